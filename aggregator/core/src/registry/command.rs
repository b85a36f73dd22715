//! Every change that a person or the clock can make. Each is logged with its actor before it has any effect, and the
//! registry is the fold of them.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use tallyman_common::ids::{Digest, NodeId, Nonce, Seq, SpoolId};
use tallyman_common::time::{Hour, WallMs};

use super::clones::{CloneEvidence, CloneHost};
use super::money::MoneyDecision;
use super::payers::{Account, Seller};

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything.
    Operator,
    /// One tenant's own data, read only.
    Tenant(String),
}

/// A tenant as the operator describes it, from an hour on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct TenantTerms {
    /// Key in addresses and answers.
    pub tenant: String,
    /// Name for people; may be Chinese.
    pub name: String,
    /// Claims on nodes that mean this tenant; the key itself is not one unless listed.
    pub claims: Vec<String>,
    /// Account that pays.
    pub account: String,
    /// IANA time zone of periods.
    pub zone: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Language of bills: `en` or `zh`.
    pub language: String,
    /// First hour for which this holds.
    pub from: Hour,
}

/// A hole in a node's batches, seen from its far side.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Judgement {
    /// On which node.
    pub node: NodeId,
    /// Spool of the first batch behind the hole.
    pub spool: SpoolId,
    /// Its number.
    pub seq: Seq,
    /// Missing batches: spool, first and last.
    pub missing: Vec<(SpoolId, Seq, Seq)>,
    /// Start of the hole on the wall clock.
    pub start: WallMs,
    /// End of the hole on the wall clock.
    pub end: WallMs,
    /// How many values were inferred. They stand in a table of their own, by this decision's position.
    pub values: u64,
    /// Series whose last reading was not found, or that a batch stands in between that was held: nothing is inferred.
    pub unresolved: u64,
    /// Series whose reading is below the last one: impossible, nothing is inferred.
    pub contradictions: u64,
    /// Position up to which the log was looked at.
    pub upto: u64,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Command {
    /// A new access token; only its hash is kept.
    CreateToken {
        /// Short name to list and revoke by.
        id: String,
        /// SHA-256 of the token.
        hash: Digest,
        /// What it may do.
        scope: Scope,
        /// End of its life, if any.
        expires: Option<WallMs>,
    },
    /// The token is worth nothing from now on.
    RevokeToken {
        /// Which.
        id: String,
    },
    /// A single-use token to enrol a node.
    CreateNodeToken {
        /// Short name to list by.
        id: String,
        /// SHA-256 of the token.
        hash: Digest,
        /// Group that the node will belong to.
        group: String,
        /// End of its life.
        expires: WallMs,
    },
    /// A node joins with its token.
    EnrolNode {
        /// SHA-256 of the token.
        token: Digest,
        /// The node: the first 16 bytes of its signing key's SHA-256.
        node: NodeId,
        /// Public signing key.
        signing_key: [u8; 32],
        /// Host name, for people.
        host_name: String,
    },
    /// No more data will come; what comes is refused, and the node is not expected any more.
    RetireNode {
        /// Which.
        node: NodeId,
    },
    /// Not trusted any more, at once.
    RevokeNode {
        /// Which.
        node: NodeId,
    },
    /// A tenant's terms.
    SetTenant(TenantTerms),
    /// A seller, as it stands on invoices from now on.
    SetSeller(Box<Seller>),
    /// A paying account, as it stands on invoices from now on.
    SetAccount(Box<Account>),
    /// What was agreed with an account, from a month on.
    SetTerms {
        /// With whom.
        account: String,
        /// The file's text, byte for byte.
        text: String,
        /// First hour of the month.
        from: Hour,
    },
    /// A price book, in force from an hour on.
    AddPriceBook {
        /// The file's text, byte for byte.
        text: String,
        /// First hour it prices.
        from: Hour,
    },
    /// A held batch is counted after all.
    ReleaseBatch {
        /// Position of the held batch.
        position: u64,
        /// Why.
        reason: String,
    },
    /// A held batch is never counted.
    DiscardBatch {
        /// Position of the held batch.
        position: u64,
        /// Why.
        reason: String,
    },
    /// Batches that did not come and never will: the node's watermark passes them.
    GiveUpBatches {
        /// Whose.
        node: NodeId,
        /// In which spool.
        spool: SpoolId,
        /// First batch.
        first: Seq,
        /// Last batch.
        last: Seq,
        /// Why.
        reason: String,
    },
    /// A hole was judged: its far side's readings say what was used in it (docs/adr/0007-seals-and-holes.md).
    JudgeHole(Judgement),
    /// What was missing in a judged hole came, or is not missing any more: what was inferred is taken back.
    WithdrawJudgement {
        /// Position of the judgement.
        position: u64,
    },
    /// An hour's values on time are as they stay; what comes now is late.
    SealHour {
        /// Which.
        hour: Hour,
        /// How many values it has on time.
        values: u64,
        /// SHA-256 over them (docs/FORMATS.md).
        digest: Digest,
        /// Position up to which they contain everything.
        upto: u64,
    },
    /// Cells that were not the fold of the log were replaced by what it makes of them.
    ReplaceCells {
        /// First hour that was compared.
        from: Hour,
        /// The hour behind the last one.
        to: Hour,
        /// How many values were replaced.
        values: u64,
    },
    /// The data folder was restored from a backup: what was decided since it was made is not known here.
    NoteRestore {
        /// When the backup was made.
        made: WallMs,
        /// Position of the newest entry in it.
        position: u64,
    },
    /// What was decided between backup and restore was entered again, or is given up.
    SettleRestore {
        /// Why.
        reason: String,
    },
    /// A single-use token to enrol a host that had another identity before: that node is retired by the enrolment, and
    /// the new one belongs to its group.
    CreateReplacementToken {
        /// Short name to list by.
        id: String,
        /// SHA-256 of the token.
        hash: Digest,
        /// The node that is replaced.
        node: NodeId,
        /// End of its life.
        expires: WallMs,
    },
    /// Two hosts seem to speak as one node.
    NoteClone {
        /// Which.
        node: NodeId,
        /// What showed it.
        evidence: CloneEvidence,
        /// Who spoke, as far as it is known.
        hosts: Vec<CloneHost>,
    },
    /// An operator knows which host is the node.
    ResolveClone {
        /// Which.
        node: NodeId,
        /// The process that is the node; the others of the case are refused from now on. `None`: all may stay.
        keep: Option<Nonce>,
        /// Why.
        reason: String,
    },
    /// A node that joined after the backup comes with the certificate that this authority gave it.
    ReadmitNode {
        /// Which.
        node: NodeId,
        /// Public signing key, as the certificate says.
        signing_key: [u8; 32],
        /// Host name, for people.
        host_name: String,
    },
    /// Something about money, with its amounts. It is asked for as a `MoneyCommand`; this is what was made
    /// of it.
    Money(Box<MoneyDecision>),
}

impl Command {
    /// It changes tenants, sellers, accounts or their terms.
    pub fn is_about_payers(&self) -> bool {
        matches!(
            self,
            Self::SetTenant(_) | Self::SetSeller(_) | Self::SetAccount(_) | Self::SetTerms { .. }
        )
    }
}

/// A command as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Position in the log.
    pub position: u64,
    /// When it was made.
    pub at: WallMs,
    /// Who made it.
    pub actor: String,
    /// From where: `cli`, or an address.
    pub source: String,
    /// What.
    pub command: Command,
}

/// Why a command has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Something with this name is there already.
    #[error("{what} `{name}` exists already")]
    Exists {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Nothing with this name is there.
    #[error("there is no {what} `{name}`")]
    Missing {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The thing is not in a state that allows it.
    #[error("{0}")]
    NotNow(String),
    /// The command contradicts itself or a rule.
    #[error("{0}")]
    Invalid(String),
}
