//! What holds after the data folder was restored from a backup, until a person says that all decisions are here again.

use serde::Serialize;
use tallyman_common::ids::NodeId;
use tallyman_common::sign::PublicKey;
use tallyman_common::time::WallMs;

use super::{Registry, Rejected};

/// A restore from a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restore {
    /// When it was done.
    pub at: WallMs,
    /// When the backup was made.
    pub backup_made: WallMs,
    /// Position of the newest entry in the backup.
    pub backup_position: u64,
    /// When, and why, an operator said that the decisions in between are here again or given up.
    pub settled: Option<(WallMs, String)>,
}

impl Registry {
    /// The restore after which nobody said yet that all decisions are here again. Until then nothing may become final.
    pub fn open_restore(&self) -> Option<&Restore> {
        self.restores.last().filter(|r| r.settled.is_none())
    }

    pub(super) fn check_readmit(&self, node: &NodeId, key: &[u8; 32]) -> Result<(), Rejected> {
        if self.open_restore().is_none() {
            return Err(Rejected::NotNow("no restore is open".into()));
        }
        if self.nodes.contains_key(node) {
            return Err(Rejected::NotNow(format!("node {node} is known")));
        }
        if PublicKey::from_bytes(key).is_none() || NodeId::of_key(key) != *node {
            return Err(Rejected::Invalid(
                "the signing key is not valid, or not the node's".into(),
            ));
        }
        Ok(())
    }

    pub(super) fn note_restore(&mut self, backup_made: WallMs, backup_position: u64, at: WallMs) {
        let settled = None;
        self.restores.push(Restore {
            at,
            backup_made,
            backup_position,
            settled,
        });
    }

    pub(super) fn settle_restore(&mut self, reason: String, at: WallMs) {
        if let Some(last) = self.restores.last_mut() {
            last.settled = Some((at, reason));
        }
    }

    pub(super) fn check_settle(&self, reason: &str) -> Result<(), Rejected> {
        if reason.trim().is_empty() {
            return Err(Rejected::Invalid("a reason is needed".into()));
        }
        match self.open_restore() {
            Some(_) => Ok(()),
            None => Err(Rejected::NotNow("no restore is open".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tallyman_common::sign::NodeKey;

    use super::super::{Command, Decision, NodeStatus};
    use super::*;

    fn decide(registry: &mut Registry, command: Command) -> Result<(), Rejected> {
        registry.check(&command, WallMs(1))?;
        registry.apply(&Decision {
            position: 1,
            at: WallMs(1),
            actor: "test".to_owned(),
            source: "test".to_owned(),
            command,
        });
        Ok(())
    }

    #[test]
    fn unknown_nodes_come_back_only_while_a_restore_is_open_and_only_with_their_key() {
        let mut registry = Registry::default();
        let signing_key = NodeKey::from_seed(&[1; 32]).public().to_bytes();
        let node = NodeId::of_key(&signing_key);
        let readmit = |node| Command::ReadmitNode {
            node,
            signing_key,
            host_name: "h".to_owned(),
        };
        assert!(
            decide(&mut registry, readmit(node)).is_err(),
            "no restore is open"
        );
        let made = WallMs(0);
        decide(&mut registry, Command::NoteRestore { made, position: 0 }).unwrap();
        assert!(
            decide(&mut registry, readmit(NodeId([7; 16]))).is_err(),
            "another node's key"
        );
        decide(&mut registry, readmit(node)).unwrap();
        assert_eq!(registry.nodes[&node].status, NodeStatus::Active);
        assert!(decide(&mut registry, readmit(node)).is_err(), "known by now");
        let settle = |reason: &str| Command::SettleRestore {
            reason: reason.to_owned(),
        };
        assert!(decide(&mut registry, settle(" ")).is_err(), "a reason is needed");
        decide(&mut registry, settle("entered again")).unwrap();
        assert_eq!(registry.open_restore(), None);
        assert!(decide(&mut registry, settle("again")).is_err(), "nothing is open");
    }
}
