//! Nodes that two hosts speak for: what was noticed, and what an operator decided. A case stays in the registry for
//! good; while it is open nothing is fenced, so that no honest host is cut off by a guess.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use tallyman_common::ids::{NodeId, Nonce, Seq, SpoolId};
use tallyman_common::time::WallMs;

use super::{Decision, Registry, Rejected};
use crate::limits::{CLONE_EVIDENCE_MAX, CLONE_HOSTS_MAX};

/// One process that spoke as the node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct CloneHost {
    /// One start of an agent.
    pub process: Nonce,
    /// Where it came from last.
    pub address: String,
}

/// What showed that there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloneEvidence {
    /// An older process spoke again after a newer one had begun.
    Alternating,
    /// Two batches with one number, or of one time in two spools; the later one is held.
    Batch {
        /// Spool of the later one.
        spool: SpoolId,
        /// Its number.
        seq: Seq,
    },
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneEnd {
    /// When.
    pub at: WallMs,
    /// Who said so.
    pub actor: String,
    /// The process that is the node; `None`: all may stay.
    pub keep: Option<Nonce>,
    /// Why.
    pub reason: String,
}

/// A node that was noticed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneCase {
    /// When it was first noticed.
    pub opened: WallMs,
    /// What showed it, oldest first.
    pub evidence: Vec<CloneEvidence>,
    /// Who spoke, as far as it was known.
    pub hosts: Vec<CloneHost>,
    /// How it ended.
    pub end: Option<CloneEnd>,
}

/// All cases, each node's in order.
pub type Clones = BTreeMap<NodeId, Vec<CloneCase>>;

impl CloneCase {
    /// Whether this process may not speak for the node any more.
    pub fn fences(&self, process: Nonce) -> bool {
        let keep = self.end.as_ref().and_then(|end| end.keep);
        keep.is_some_and(|keep| keep != process) && self.has(process)
    }

    fn has(&self, process: Nonce) -> bool {
        self.hosts.iter().any(|host| host.process == process)
    }
}

impl Registry {
    /// Whether an operator said that another host is the node, not this process.
    pub fn is_fenced(&self, node: NodeId, process: Nonce) -> bool {
        let cases = self.clones.get(&node);
        cases.is_some_and(|cases| cases.iter().any(|case| case.fences(process)))
    }

    fn open_clone(&self, node: &NodeId) -> Option<&CloneCase> {
        let last = self.clones.get(node).and_then(|cases| cases.last());
        last.filter(|case| case.end.is_none())
    }

    pub(super) fn check_note_clone(
        &self,
        node: &NodeId,
        evidence: &CloneEvidence,
        hosts: &[CloneHost],
    ) -> Result<(), Rejected> {
        if !self.nodes.contains_key(node) {
            return Err(super::missing("node", &node.to_string()));
        }
        let Some(cases) = self.clones.get(node) else {
            return Ok(());
        };
        let is_batch = *evidence != CloneEvidence::Alternating;
        let is_known = |case: &CloneCase| {
            hosts.iter().all(|h| case.has(h.process)) || (is_batch && case.evidence.contains(evidence))
        };
        if cases.iter().any(is_known) {
            return Err(Rejected::NotNow(format!("node {node}: noted already")));
        }
        let is_full = |case: &CloneCase| {
            case.hosts.len() >= CLONE_HOSTS_MAX || case.evidence.len() >= CLONE_EVIDENCE_MAX
        };
        if self.open_clone(node).is_some_and(is_full) {
            return Err(Rejected::NotNow(format!("node {node}: enough was noted")));
        }
        Ok(())
    }

    pub(super) fn note_clone(
        &mut self,
        node: NodeId,
        evidence: CloneEvidence,
        hosts: Vec<CloneHost>,
        at: WallMs,
    ) {
        let cases = self.clones.entry(node).or_default();
        if cases.last().is_none_or(|case| case.end.is_some()) {
            cases.push(CloneCase {
                opened: at,
                evidence: Vec::new(),
                hosts: Vec::new(),
                end: None,
            });
        }
        let case = cases.last_mut().expect("there is one now");
        case.evidence.push(evidence);
        for host in hosts {
            match case.hosts.iter_mut().find(|h| h.process == host.process) {
                Some(known) => known.address = host.address,
                None => case.hosts.push(host),
            }
        }
    }

    pub(super) fn check_resolve_clone(
        &self,
        node: &NodeId,
        keep: Option<Nonce>,
        reason: &str,
    ) -> Result<(), Rejected> {
        if reason.trim().is_empty() {
            return Err(Rejected::Invalid("a reason is needed".into()));
        }
        let Some(case) = self.open_clone(node) else {
            return Err(super::missing("open clone of node", &node.to_string()));
        };
        match keep {
            Some(process) if !case.has(process) => Err(Rejected::Invalid(format!(
                "process {process} is none of those that spoke as node {node}"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn resolve_clone(&mut self, node: NodeId, keep: Option<Nonce>, reason: String, by: &Decision) {
        if let Some(case) = self.clones.get_mut(&node).and_then(|cases| cases.last_mut()) {
            case.end = Some(CloneEnd {
                at: by.at,
                actor: by.actor.clone(),
                keep,
                reason,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tallyman_common::ids::Digest;
    use tallyman_common::sign::NodeKey;

    use super::super::{Command, NodeStatus};
    use super::*;

    const A: Nonce = Nonce([1; 16]);
    const B: Nonce = Nonce([2; 16]);
    const C: Nonce = Nonce([3; 16]);

    struct World {
        registry: Registry,
        node: NodeId,
    }

    impl World {
        fn new() -> Self {
            let mut world = Self {
                registry: Registry::default(),
                node: NodeId::default(),
            };
            let hash = Digest::of(&[b"t"]);
            world
                .decide(Command::CreateNodeToken {
                    id: "t".to_owned(),
                    hash,
                    group: "default".to_owned(),
                    expires: WallMs(100),
                })
                .unwrap();
            world.node = world.enrol(1, hash).unwrap();
            world
        }

        fn enrol(&mut self, seed: u8, token: Digest) -> Result<NodeId, Rejected> {
            let signing_key = NodeKey::from_seed(&[seed; 32]).public().to_bytes();
            let node = NodeId::of_key(&signing_key);
            let host_name = "h".to_owned();
            self.decide(Command::EnrolNode {
                token,
                node,
                signing_key,
                host_name,
            })?;
            Ok(node)
        }

        fn decide(&mut self, command: Command) -> Result<(), Rejected> {
            self.registry.check(&command, WallMs(7))?;
            self.registry.apply(&Decision {
                position: 1,
                at: WallMs(7),
                actor: "cli:ann".to_owned(),
                source: "cli".to_owned(),
                command,
            });
            Ok(())
        }

        fn note(&mut self, evidence: CloneEvidence, processes: &[Nonce]) -> Result<(), Rejected> {
            let host = |process: &Nonce| CloneHost {
                process: *process,
                address: format!("10.0.0.{}:7", process.0[0]),
            };
            let (node, hosts) = (self.node, processes.iter().map(host).collect());
            self.decide(Command::NoteClone {
                node,
                evidence,
                hosts,
            })
        }

        fn resolve(&mut self, keep: Option<Nonce>, reason: &str) -> Result<(), Rejected> {
            let (node, reason) = (self.node, reason.to_owned());
            self.decide(Command::ResolveClone { node, keep, reason })
        }
    }

    #[test]
    fn a_clone_is_noted_once_and_fenced_only_by_a_decision() {
        let mut world = World::new();
        assert!(world.resolve(None, "why").is_err(), "there is no case");
        world.note(CloneEvidence::Alternating, &[A, B]).unwrap();
        assert!(world.note(CloneEvidence::Alternating, &[B, A]).is_err(), "known");
        assert!(!world.registry.is_fenced(world.node, B), "nobody decided yet");
        assert!(world.resolve(Some(A), " ").is_err(), "a reason is needed");
        assert!(world.resolve(Some(C), "why").is_err(), "it never spoke");
        world.resolve(Some(A), "B is the copy").unwrap();
        let fenced = [A, B, C].map(|process| world.registry.is_fenced(world.node, process));
        assert_eq!(fenced, [false, true, false]);
        let case = &world.registry.clones[&world.node][0];
        let end = case.end.as_ref().unwrap();
        assert_eq!(
            (end.actor.as_str(), end.reason.as_str()),
            ("cli:ann", "B is the copy")
        );
        assert!(world.resolve(Some(A), "again").is_err(), "it is closed");
        // The copy was started again: a new case, and the old fence stays.
        world.note(CloneEvidence::Alternating, &[A, C]).unwrap();
        assert_eq!(world.registry.clones[&world.node].len(), 2);
        assert!(world.registry.is_fenced(world.node, B));
    }

    #[test]
    fn what_was_decided_about_is_not_noted_again_and_all_may_stay() {
        let mut world = World::new();
        let (spool, seq) = (SpoolId([9; 16]), 4);
        let batch = CloneEvidence::Batch { spool, seq };
        world.note(batch, &[A]).unwrap();
        world.resolve(None, "a restored snapshot").unwrap();
        assert!(!world.registry.is_fenced(world.node, A));
        assert!(
            world.note(batch, &[C]).is_err(),
            "the same batch, after a restart"
        );
        let next = CloneEvidence::Batch { spool, seq: 5 };
        assert!(world.note(next, &[A]).is_err(), "the same process");
        assert!(world.note(next, &[C]).is_ok());
    }

    #[test]
    fn a_replacement_retires_the_old_node_with_the_decision_that_enrols_the_new_one() {
        let mut world = World::new();
        let old = world.node;
        let (id, hash, expires) = ("r".to_owned(), Digest::of(&[b"r"]), WallMs(100));
        let make = |node| Command::CreateReplacementToken {
            id: id.clone(),
            hash,
            node,
            expires,
        };
        assert!(world.decide(make(NodeId([9; 16]))).is_err(), "no such node");
        world.decide(make(old)).unwrap();
        assert_eq!(world.registry.nodes[&old].status, NodeStatus::Active, "not yet");
        assert!(world.enrol(1, hash).is_err(), "the old keys are no new node");
        let new = world.enrol(2, hash).unwrap();
        assert_eq!(world.registry.nodes[&old].status, NodeStatus::Retired);
        assert_eq!(world.registry.nodes[&new].replaces, Some(old));
        assert_eq!(world.registry.nodes[&new].status, NodeStatus::Active);
        // The answer was lost, and the host asks again.
        assert_eq!(world.enrol(2, hash).unwrap(), new);
    }
}
