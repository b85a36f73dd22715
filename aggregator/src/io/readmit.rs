//! After a restore from a backup: nodes that joined since are not known, but hold certificates of this authority that
//! name their signing key. While nobody settled the restore they are taken back, each by a decision of its own.

use quinn::Connection;
use tallyman_aggregator_core::registry::Command;
use tallyman_common::ids::NodeId;

use super::keys::{peer_certificate, signing_key_of};
use crate::handle::Handle;

/// Who decides then: the authority, by what it signed before.
const ACTOR: &str = "certificate";

/// Takes an unknown node back if that is allowed now.
pub async fn readmit_if_unknown(handle: &Handle, connection: &Connection, node: NodeId) {
    let registry = handle.registry();
    if registry.open_restore().is_none() || registry.nodes.contains_key(&node) {
        return;
    }
    let peer = connection.remote_address();
    let certificate = peer_certificate(connection);
    let Some(signing_key) = certificate.as_ref().and_then(signing_key_of) else {
        return tracing::warn!(%peer, %node, "a node that joined after the backup has an old certificate: enrol it again");
    };
    let host_name = format!("came back from {}", peer.ip());
    let command = Command::ReadmitNode {
        node,
        signing_key,
        host_name,
    };
    match handle.command(ACTOR.to_owned(), peer.to_string(), command).await {
        Ok(position) => tracing::warn!(
            %peer, %node, position,
            "a node that joined after the backup is taken back; retire or revoke it if that was decided since"
        ),
        Err(error) => {
            tracing::warn!(%peer, %node, %error, "a node that joined after the backup is not taken back")
        }
    }
}
