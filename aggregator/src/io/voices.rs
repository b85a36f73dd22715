//! Which processes spoke as a node lately: an older one that speaks again after a newer one had begun is alive beside
//! it, and that is a clone. A restart is none: its process is new, and the old one is silent for good.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tallyman_aggregator_core::registry::clones::CloneHost;
use tallyman_common::ids::{NodeId, Nonce};

use crate::limits::VOICES_MAX;

/// By node, bounded by those that are enrolled; the one that spoke last is the last.
#[derive(Debug, Default)]
pub struct Voices(Mutex<BTreeMap<NodeId, Vec<Voice>>>);

#[derive(Debug, Clone)]
struct Voice {
    process: Nonce,
    address: SocketAddr,
    /// Since when nobody else spoke.
    since: Instant,
}

impl Voices {
    /// A process speaks. The two hosts, if it is older than one that began more than `grace` ago: so long words may
    /// have been on their way.
    pub fn heard(
        &self,
        node: NodeId,
        (process, address): (Nonce, SocketAddr),
        now: Instant,
        grace: Duration,
    ) -> Option<Vec<CloneHost>> {
        let mut voices = self.voices();
        let of_node = voices.entry(node).or_default();
        let newest = of_node.last().map(|voice| (voice.process, voice.since));
        let known = of_node.iter().position(|voice| voice.process == process);
        match (known, newest) {
            (Some(at), Some((last, _))) if last == process => {
                of_node[at].address = address;
                None
            }
            (Some(_), Some((_, since))) if now.duration_since(since) < grace => None,
            (Some(at), _) => {
                of_node.remove(at);
                of_node.push(Voice {
                    process,
                    address,
                    since: now,
                });
                Some(hosts(of_node, 2))
            }
            (None, _) => {
                if of_node.len() >= VOICES_MAX {
                    of_node.remove(0);
                }
                of_node.push(Voice {
                    process,
                    address,
                    since: now,
                });
                None
            }
        }
    }

    /// Who spoke last as a node, and before.
    pub fn last_two(&self, node: NodeId) -> Vec<CloneHost> {
        let voices = self.voices();
        voices
            .get(&node)
            .map_or_else(Vec::new, |of_node| hosts(of_node, 2))
    }

    fn voices(&self) -> MutexGuard<'_, BTreeMap<NodeId, Vec<Voice>>> {
        // Entries are whole at every step: what a panicked thread left can be used.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hosts(of_node: &[Voice], count: usize) -> Vec<CloneHost> {
    let newest = of_node.iter().rev().take(count);
    newest
        .map(|voice| CloneHost {
            process: voice.process,
            address: voice.address.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([1; 16]);
    const GRACE: Duration = Duration::from_secs(10);

    fn host(n: u8) -> (Nonce, SocketAddr) {
        (Nonce([n; 16]), SocketAddr::from(([10, 0, 0, n], 7)))
    }

    #[test]
    fn restarts_and_reconnects_are_no_clones() {
        let (voices, start) = (Voices::default(), Instant::now());
        for process in 1..=20 {
            let at = start + Duration::from_secs(u64::from(process));
            assert_eq!(
                voices.heard(NODE, host(process), at, GRACE),
                None,
                "a new process"
            );
            assert_eq!(voices.heard(NODE, host(process), at, GRACE), None, "it goes on");
        }
        let moved = (host(20).0, host(99).1);
        let later = start + GRACE * 9;
        assert_eq!(
            voices.heard(NODE, moved, later, GRACE),
            None,
            "from another address"
        );
        assert_eq!(voices.last_two(NODE)[0].address, "10.0.0.99:7");
    }

    #[test]
    fn an_older_process_that_speaks_again_names_both_hosts() {
        let (voices, start) = (Voices::default(), Instant::now());
        assert_eq!(voices.heard(NODE, host(1), start, GRACE), None);
        assert_eq!(voices.heard(NODE, host(2), start, GRACE), None);
        let soon = start + GRACE / 2;
        assert_eq!(voices.heard(NODE, host(1), soon, GRACE), None, "was on its way");
        let both = voices.heard(NODE, host(1), start + GRACE, GRACE).unwrap();
        let named: Vec<&str> = both.iter().map(|h| h.address.as_str()).collect();
        assert_eq!(named, ["10.0.0.1:7", "10.0.0.2:7"]);
        assert!(
            voices.heard(NODE, host(2), start + GRACE * 2, GRACE).is_some(),
            "and back"
        );
        assert_eq!(voices.heard(NodeId([2; 16]), host(1), start, GRACE), None);
    }
}
