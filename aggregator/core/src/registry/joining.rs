//! Nodes that join. Of a host that was set up anew the old identity ends with the decision that lets the new one in.

use tallyman_common::ids::{Digest, NodeId};
use tallyman_common::sign::PublicKey;
use tallyman_common::time::WallMs;

use super::{Command, DEFAULT_GROUP, Decision, Node, NodeStatus, NodeToken, Registry, Rejected};

impl Registry {
    pub(super) fn check_replaced(&self, node: &NodeId) -> Result<(), Rejected> {
        match self.nodes.get(node).map(|n| n.status) {
            None => Err(super::missing("node", &node.to_string())),
            Some(NodeStatus::Revoked) => Err(Rejected::NotNow(format!(
                "node {node} is revoked: nothing of it is trusted; make a token without `--replaces`"
            ))),
            Some(_) => Ok(()),
        }
    }

    /// Commands about who may join, and who may speak.
    pub(super) fn apply_trust(&mut self, command: Command, by: &Decision) {
        match command {
            Command::CreateNodeToken {
                id,
                hash,
                group,
                expires,
            } => self.add_node_token(hash, (id, group, expires), None),
            Command::CreateReplacementToken {
                id,
                hash,
                node,
                expires,
            } => {
                let group = self.nodes.get(&node).map(|n| n.group.clone());
                let group = group.expect("checked before it was logged");
                self.add_node_token(hash, (id, group, expires), Some(node));
            }
            Command::NoteClone {
                node,
                evidence,
                hosts,
            } => self.note_clone(node, evidence, hosts, by.at),
            Command::ResolveClone { node, keep, reason } => self.resolve_clone(node, keep, reason, by),
            other => unreachable!("no command about trust: {other:?}"),
        }
    }

    fn add_node_token(
        &mut self,
        hash: Digest,
        (id, group, expires): (String, String, WallMs),
        replaces: Option<NodeId>,
    ) {
        let token = NodeToken {
            id,
            group,
            expires,
            replaces,
            used_by: None,
        };
        self.node_tokens.insert(hash, token);
    }

    pub(super) fn check_enrol(
        &self,
        token: &Digest,
        node: &NodeId,
        key: &[u8; 32],
        now: WallMs,
    ) -> Result<(), Rejected> {
        let Some(known) = self.node_tokens.get(token) else {
            return Err(Rejected::Invalid(
                "this enrolment token is not known here: was it made by this aggregator?".into(),
            ));
        };
        if PublicKey::from_bytes(key).is_none() || NodeId::of_key(key) != *node {
            return Err(Rejected::Invalid(
                "the signing key is not valid, or not the node's".into(),
            ));
        }
        match (known.used_by, self.nodes.get(node)) {
            // The answer to the first try was lost; the same key may ask again.
            (Some(user), Some(n)) if user == *node && n.status == NodeStatus::Active => Ok(()),
            (Some(_), _) => Err(Rejected::NotNow(
                "this enrolment token was used by another node; make a new one".into(),
            )),
            (None, Some(n)) if n.status != NodeStatus::Active => Err(Rejected::NotNow(format!(
                "node {node} was retired or revoked; enrol with new keys"
            ))),
            (None, _) if known.replaces == Some(*node) => Err(Rejected::NotNow(format!(
                "this host still has the keys of node {node}, which is to be replaced: it needs no new identity; \
                 for one, move the agent's folder away first"
            ))),
            (None, _) if now >= known.expires => Err(Rejected::NotNow(
                "this enrolment token has expired; make a new one with `node token`".into(),
            )),
            (None, _) => Ok(()),
        }
    }

    pub(super) fn enrol(
        &mut self,
        token: Digest,
        node: NodeId,
        key: [u8; 32],
        host_name: String,
        at: WallMs,
    ) {
        let signing_key = PublicKey::from_bytes(&key).expect("checked before it was logged");
        let (mut group, mut replaces) = (String::from(DEFAULT_GROUP), None);
        if let Some(known) = self.node_tokens.get_mut(&token) {
            known.used_by = Some(node);
            group.clone_from(&known.group);
            replaces = known.replaces;
        }
        // A node that ended already stays as it ended, and when.
        let is_active = |old: &NodeId| {
            self.nodes
                .get(old)
                .is_some_and(|n| n.status == NodeStatus::Active)
        };
        if let Some(old) = replaces.filter(is_active) {
            self.end(old, NodeStatus::Retired, at);
        }
        let fresh = Node {
            signing_key,
            host_name,
            group,
            status: NodeStatus::Active,
            enrolled: at,
            ended: None,
            replaces,
        };
        self.nodes.entry(node).or_insert(fresh);
    }
}
