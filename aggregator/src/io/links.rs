//! Which connections each node has, so that a revoked node's end at once. Knows no messages.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quinn::Connection;
use tallyman_aggregator_core::registry::{NodeStatus, Registry};
use tallyman_common::ids::{NodeId, Nonce};

use super::quic::{CLOSE_ENDED, CLOSE_REPLACED};
use crate::limits::NODE_CONNECTIONS_MAX;

/// A connection of a node.
#[derive(Debug)]
struct Link {
    nonce: Nonce,
    connection: Connection,
}

/// Connections that a new one met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Met {
    /// Older ones of the same process; they are closed.
    pub replaced: usize,
    /// Where ones of another process of the same node come from: a clone, or a crashed agent's that was not given up yet.
    pub others: Vec<SocketAddr>,
}

/// All connections of nodes; bounded by the endpoint.
#[derive(Debug, Default)]
pub struct Links(Mutex<BTreeMap<NodeId, Vec<Link>>>);

impl Links {
    /// Takes a connection; the newer of one process replaces the older.
    pub fn add(&self, node: NodeId, nonce: Nonce, connection: Connection) -> Met {
        let mut links = self.links();
        let of_node = links.entry(node).or_default();
        let before = of_node.len();
        of_node.retain(|link| {
            let keep = link.nonce != nonce;
            if !keep {
                link.connection
                    .close(CLOSE_REPLACED, b"this process connected anew");
            }
            keep
        });
        let met = Met {
            replaced: before - of_node.len(),
            others: of_node
                .iter()
                .map(|link| link.connection.remote_address())
                .collect(),
        };
        if of_node.len() >= NODE_CONNECTIONS_MAX {
            let oldest = of_node.remove(0);
            oldest
                .connection
                .close(CLOSE_REPLACED, b"this node has too many connections");
        }
        of_node.push(Link { nonce, connection });
        met
    }

    /// Forgets a connection that ended.
    pub fn remove(&self, node: NodeId, connection: &Connection) {
        let mut links = self.links();
        if let Some(of_node) = links.get_mut(&node) {
            of_node.retain(|link| link.connection.stable_id() != connection.stable_id());
            if of_node.is_empty() {
                links.remove(&node);
            }
        }
    }

    /// Closes the connections of nodes that are not active, and of clones that an operator refused; the ended nodes.
    pub fn close_ended(&self, registry: &Registry) -> Vec<NodeId> {
        let mut links = self.links();
        let ended = |node: &NodeId| {
            registry
                .nodes
                .get(node)
                .is_none_or(|n| n.status != NodeStatus::Active)
        };
        let nodes: Vec<NodeId> = links.keys().copied().filter(ended).collect();
        for link in nodes.iter().filter_map(|node| links.remove(node)).flatten() {
            link.connection
                .close(CLOSE_ENDED, b"this node was retired or revoked");
        }
        for (node, of_node) in links.iter() {
            for link in of_node
                .iter()
                .filter(|link| registry.is_fenced(*node, link.nonce))
            {
                link.connection
                    .close(CLOSE_ENDED, b"an operator decided that another host is this node");
            }
        }
        nodes
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<NodeId, Vec<Link>>> {
        // Entries are whole at every step: what a panicked thread left can be used.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
