//! The newest live view of each node: unsigned, latest wins, never billed, gone with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tallyman_common::ids::NodeId;
use tallyman_common::message::Live;
use tallyman_common::time::WallMs;

/// A live view and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When it came, by our clock.
    pub received: WallMs,
    /// What it says.
    pub live: Live,
}

/// All live views. Bounded by the nodes that are enrolled and by the size of a message.
#[derive(Debug, Default)]
pub struct LiveBoard(Mutex<BTreeMap<NodeId, Seen>>);

impl LiveBoard {
    /// Takes a view unless a newer one of the same boot is there.
    pub fn put(&self, node: NodeId, seen: Seen) {
        let mut board = self.board();
        let older = |known: &Seen| {
            known.live.wall_now > seen.live.wall_now && known.live.boot_now > seen.live.boot_now
        };
        if !board.get(&node).is_some_and(older) {
            board.insert(node, seen);
        }
    }

    /// Forgets a node that ended.
    pub fn remove(&self, node: NodeId) {
        self.board().remove(&node);
    }

    /// The view of one node.
    pub fn of(&self, node: NodeId) -> Option<Seen> {
        self.board().get(&node).cloned()
    }

    /// All views.
    pub fn all(&self) -> Vec<(NodeId, Seen)> {
        self.board()
            .iter()
            .map(|(node, seen)| (*node, seen.clone()))
            .collect()
    }

    fn board(&self) -> MutexGuard<'_, BTreeMap<NodeId, Seen>> {
        // A view is replaced in one step: what a panicked thread left is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallyman_common::time::BootMs;

    fn seen(at: u64) -> Seen {
        Seen {
            received: WallMs(at),
            live: Live {
                boot_now: BootMs(at),
                wall_now: WallMs(at),
                window_end: BootMs(0),
                rows: Vec::new(),
            },
        }
    }

    #[test]
    fn the_latest_wins_whatever_the_order() {
        let (board, node) = (LiveBoard::default(), NodeId([1; 16]));
        for at in [5, 9, 7] {
            board.put(node, seen(at));
        }
        assert_eq!(board.of(node), Some(seen(9)));
        board.remove(node);
        assert!(board.all().is_empty());
    }
}
