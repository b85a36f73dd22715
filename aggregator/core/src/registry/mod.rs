//! Who is who: tokens, nodes, tenants and price books, folded from the decisions in the log. Does not know usage.
//!
//! A correction here touches no cell: owners are joined to tenants when a bill or view is made (I6).

/// What terms name.
mod agreed;
/// Price books over time.
mod books;
/// Nodes that two hosts speak for.
pub mod clones;
/// Commands, decisions and rejections.
pub mod command;
/// Nodes that join, and hosts that were set up anew.
mod joining;
/// Decisions about money.
pub mod money;
/// Sellers, paying accounts, terms.
pub mod payers;
/// Restores from backups.
pub mod restores;
/// Sealed hours and judged holes.
pub mod seals;
/// Tenants and whose claims they have, by date.
pub mod tenants;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tallyman_common::ids::{Digest, NodeId};
use tallyman_common::sign::PublicKey;
use tallyman_common::time::{Hour, WallMs};

use crate::rating::{BookVersions, PriceBook};
pub use clones::Clones;
pub use command::{Command, Decision, Judgement, Rejected, Scope, TenantTerms};
pub use payers::{Account, Payers, Seller};
pub use restores::Restore;
pub use seals::{Holes, Seal, Seals};
pub use tenants::{BackDated, Tenants};

/// An access token, as far as it is known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// SHA-256 of the token.
    #[serde(skip)]
    pub hash: Digest,
    /// What it may do.
    pub scope: Scope,
    /// End of its life.
    pub expires: Option<WallMs>,
    /// When it was made.
    pub created: WallMs,
    /// When it was revoked.
    pub revoked: Option<WallMs>,
}

/// A token that enrols one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeToken {
    /// Short name.
    pub id: String,
    /// Group of the node to be.
    pub group: String,
    /// End of its life.
    pub expires: WallMs,
    /// The node that is retired when it is used.
    pub replaces: Option<NodeId>,
    /// The node that used it.
    pub used_by: Option<NodeId>,
}

/// What became of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// Sends.
    Active,
    /// Said good-bye.
    Retired,
    /// Not trusted.
    Revoked,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Public signing key.
    pub signing_key: PublicKey,
    /// Host name at enrolment.
    pub host_name: String,
    /// Group for cells.
    pub group: String,
    /// Status.
    pub status: NodeStatus,
    /// When it joined.
    pub enrolled: WallMs,
    /// When it was retired or revoked.
    pub ended: Option<WallMs>,
    /// The identity that its host had before.
    pub replaces: Option<NodeId>,
}

/// A price book and the hour from which it prices.
#[derive(Debug, Clone)]
pub struct Activation {
    /// First hour.
    pub from: Hour,
    /// The book.
    pub book: Arc<PriceBook>,
    /// The file's text.
    pub text: String,
}

/// The fold of all decisions.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// Access tokens by id.
    pub tokens: BTreeMap<String, Token>,
    /// Node tokens by hash.
    pub node_tokens: BTreeMap<Digest, NodeToken>,
    /// Nodes.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Tenants. Shared by copies of the registry, as payers are: most decisions change neither, and they are most of it.
    pub tenants: Arc<Tenants>,
    /// Price books in order of decision.
    pub books: Vec<Activation>,
    /// What was decided about held batches: true for release.
    pub held: BTreeMap<u64, bool>,
    /// Restores from backups, in order.
    pub restores: Vec<Restore>,
    /// Nodes that two hosts spoke for.
    pub clones: Clones,
    /// Sealed hours.
    pub seals: Seals,
    /// Judged holes.
    pub holes: Holes,
    /// Sellers, paying accounts, terms.
    pub payers: Arc<Payers>,
    /// Terms of tenants that were set for hours that were sealed by then, in order.
    pub back_dated: Vec<BackDated>,
}

impl Registry {
    /// Checks a command against what is known; the price book is parsed here.
    pub fn check(&self, command: &Command, now: WallMs) -> Result<(), Rejected> {
        match command {
            Command::CreateToken { id, .. } => absent("token", id, self.tokens.contains_key(id)),
            Command::RevokeToken { id } => match self.tokens.get(id) {
                None => Err(missing("token", id)),
                Some(t) if t.revoked.is_some() => {
                    Err(Rejected::NotNow(format!("token `{id}` is revoked already")))
                }
                Some(_) => Ok(()),
            },
            Command::CreateNodeToken { id, hash, .. } => self.check_node_token(id, hash),
            Command::CreateReplacementToken { id, hash, node, .. } => {
                self.check_replaced(node)?;
                self.check_node_token(id, hash)
            }
            Command::NoteClone {
                node,
                evidence,
                hosts,
            } => self.check_note_clone(node, evidence, hosts),
            Command::ResolveClone { node, keep, reason } => self.check_resolve_clone(node, *keep, reason),
            Command::EnrolNode {
                token,
                node,
                signing_key,
                ..
            } => self.check_enrol(token, node, signing_key, now),
            Command::RetireNode { node } | Command::RevokeNode { node } => self.check_end(node),
            Command::SetTenant(terms) => self.tenants.check(terms).and_then(|()| self.check_payer(terms)),
            Command::SetSeller(seller) => self.check_seller(seller),
            Command::SetAccount(account) => self.check_account(account),
            Command::SetTerms { account, text, from } => self.check_terms(account, text, *from),
            Command::AddPriceBook { text, from } => self.check_book(text, *from),
            Command::ReleaseBatch { position, .. } | Command::DiscardBatch { position, .. } => {
                match self.held.get(position) {
                    Some(_) => Err(Rejected::NotNow(format!(
                        "batch at position {position} was decided already"
                    ))),
                    None => Ok(()),
                }
            }
            Command::NoteRestore { .. } | Command::ReplaceCells { .. } => Ok(()),
            Command::SettleRestore { reason } => self.check_settle(reason),
            Command::GiveUpBatches { node, reason, .. } => self.check_give_up(node, reason),
            Command::JudgeHole(judgement) => self.holes.check(judgement),
            Command::WithdrawJudgement { position } => self.holes.check_withdraw(*position),
            Command::SealHour { hour, .. } => self.check_seal(*hour),
            Command::ReadmitNode {
                node, signing_key, ..
            } => self.check_readmit(node, signing_key),
            Command::Money(_) => Err(Rejected::Invalid(
                "what is decided about money is made here, not brought".into(),
            )),
        }
    }

    /// Applies a decision that was checked, or that stands in the log.
    pub fn apply(&mut self, decision: &Decision) {
        let at = decision.at;
        match decision.command.clone() {
            Command::CreateToken {
                id,
                hash,
                scope,
                expires,
            } => {
                let (created, revoked) = (at, None);
                let token = Token {
                    hash,
                    scope,
                    expires,
                    created,
                    revoked,
                };
                self.tokens.insert(id, token);
            }
            Command::RevokeToken { id } => {
                self.tokens.entry(id).and_modify(|t| t.revoked = Some(at));
            }
            command @ (Command::CreateNodeToken { .. }
            | Command::CreateReplacementToken { .. }
            | Command::NoteClone { .. }
            | Command::ResolveClone { .. }) => self.apply_trust(command, decision),
            Command::EnrolNode {
                token,
                node,
                signing_key,
                host_name,
            } => self.enrol(token, node, signing_key, host_name, at),
            Command::RetireNode { node } => self.end(node, NodeStatus::Retired, at),
            Command::RevokeNode { node } => self.end(node, NodeStatus::Revoked, at),
            command @ (Command::SetTenant(_)
            | Command::SetSeller(_)
            | Command::SetAccount(_)
            | Command::SetTerms { .. }) => self.apply_payers(command, decision.position),
            Command::AddPriceBook { text, from } => self.add_book(text, from),
            Command::ReleaseBatch { position, .. } => {
                self.held.insert(position, true);
            }
            Command::DiscardBatch { position, .. } => {
                self.held.insert(position, false);
            }
            // Neither cells nor marks are part of the registry; the decision stands for itself.
            // Nor are the tables of money.
            Command::ReplaceCells { .. } | Command::GiveUpBatches { .. } | Command::Money(_) => {}
            Command::JudgeHole(_) | Command::WithdrawJudgement { .. } | Command::SealHour { .. } => {
                self.close(decision);
            }
            Command::NoteRestore { made, position } => self.note_restore(made, position, at),
            Command::SettleRestore { reason } => self.settle_restore(reason, at),
            Command::ReadmitNode {
                node,
                signing_key,
                host_name,
            } => self.enrol(Digest::default(), node, signing_key, host_name, at),
        }
    }

    fn add_book(&mut self, text: String, from: Hour) {
        let book = PriceBook::parse_logged(&text).expect("checked before it was logged");
        let book = Arc::new(book);
        self.books.push(Activation { from, book, text });
    }

    /// The scope of a token that is good now.
    pub fn scope_of(&self, hash: &Digest, now: WallMs) -> Option<(&str, &Scope)> {
        self.tokens
            .iter()
            .find(|(_, t)| t.hash == *hash)
            .filter(|(_, t)| t.revoked.is_none() && t.expires.is_none_or(|end| now < end))
            .map(|(id, t)| (id.as_str(), &t.scope))
    }

    /// The versions of the price books of one currency, by the hour from which they hold; a later decision for the
    /// same hour replaces the earlier one.
    pub fn books_of(&self, currency: &str) -> Option<BookVersions> {
        let mut versions = BTreeMap::new();
        for activation in self.books.iter().filter(|a| a.book.currency().code() == currency) {
            versions.insert(activation.from, activation.book.clone());
        }
        BookVersions::new(versions.into_iter().collect()).ok()
    }

    /// Nodes from which more is to come.
    pub fn active_nodes(&self) -> impl Iterator<Item = NodeId> {
        let active = self.nodes.iter().filter(|(_, n)| n.status == NodeStatus::Active);
        active.map(|(id, _)| *id)
    }

    fn check_node_token(&self, id: &str, hash: &Digest) -> Result<(), Rejected> {
        let exists = self.node_tokens.contains_key(hash) || self.node_tokens.values().any(|t| t.id == id);
        absent("node token", id, exists)
    }

    fn check_end(&self, node: &NodeId) -> Result<(), Rejected> {
        match self.nodes.get(node).map(|n| n.status) {
            None => Err(missing("node", &node.to_string())),
            Some(NodeStatus::Revoked) => Err(Rejected::NotNow(format!("node {node} is revoked already"))),
            Some(_) => Ok(()),
        }
    }

    fn end(&mut self, node: NodeId, status: NodeStatus, at: WallMs) {
        self.nodes.entry(node).and_modify(|n| {
            n.status = status;
            n.ended = Some(at);
        });
    }
}

/// Group of a node that was given none.
pub const DEFAULT_GROUP: &str = "default";

fn missing(what: &'static str, name: &str) -> Rejected {
    Rejected::Missing {
        what,
        name: name.to_owned(),
    }
}

fn absent(what: &'static str, name: &str, exists: bool) -> Result<(), Rejected> {
    if name.is_empty() {
        Err(Rejected::Invalid(format!("a {what} needs a name")))
    } else if exists {
        Err(Rejected::Exists {
            what,
            name: name.to_owned(),
        })
    } else {
        Ok(())
    }
}
