//! The clone guard's word: puts what showed a clone into the log once, with both hosts' addresses, and says what to do.

use std::net::SocketAddr;

use tallyman_aggregator_core::registry::Command;
use tallyman_aggregator_core::registry::clones::{CloneEvidence, CloneHost};
use tallyman_common::ids::NodeId;

use crate::handle::{CommandError, Handle};

/// Who decides then.
const ACTOR: &str = "clone-guard";

/// Notes a clone, unless it is noted already.
pub async fn note(
    handle: &Handle,
    node: NodeId,
    peer: SocketAddr,
    (evidence, hosts): (CloneEvidence, Vec<CloneHost>),
) {
    let addresses: Vec<String> = hosts.iter().map(|host| host.address.clone()).collect();
    let command = Command::NoteClone {
        node,
        evidence,
        hosts,
    };
    // Looked up here first: a clone that goes on for hours must not occupy the writer.
    if handle.registry().check(&command, handle.now()).is_err() {
        return;
    }
    match handle
        .command(ACTOR.to_owned(), peer.ip().to_string(), command)
        .await
    {
        Ok(position) => {
            handle.metrics().clones.inc();
            tracing::error!(
                %node, ?addresses, ?evidence, position,
                "two hosts speak as this node: was a machine or its disk copied, or set back? Look at `tallyman-aggregator \
                 node clones`, stop the copy, then `tallyman-aggregator node resolve-clone`"
            );
        }
        // Another task was faster.
        Err(CommandError::Rejected(_)) => {}
        Err(error) => tracing::warn!(%node, ?addresses, %error, "a cloned node could not be noted"),
    }
}
