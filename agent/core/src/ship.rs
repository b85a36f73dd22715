//! The fourth stage: which batch goes when. Oldest and newest in turn, so that a backlog does not starve live data.
//!
//! Sees keys and lengths only; must not know what a batch holds, nor the disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::NS_PER_MS;
use crate::limits::{ANSWER_MS_MAX, IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX, RETRY_FIRST_MS, RETRY_LAST_MS};
use crate::spool::FrameKey;

/// A batch on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OnTheWay {
    bytes: usize,
    since_ns: u64,
}

/// A batch that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    until_ns: u64,
    wait_ms: u64,
}

/// The sender's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ship {
    connected: bool,
    on_the_way: BTreeMap<FrameKey, OnTheWay>,
    waiting: BTreeMap<FrameKey, Waiting>,
    held: BTreeSet<FrameKey>,
    oldest_is_next: bool,
    live_at_ns: Option<u64>,
}

impl Ship {
    /// A session stands: everything may be tried again.
    pub fn connected(&mut self) {
        *self = Self {
            connected: true,
            ..Self::default()
        };
    }

    /// The session is gone. What is held stays so until the next one.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.on_the_way.clear();
        self.live_at_ns = None;
    }

    /// Whether a session stands.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Batches that wait for an operator.
    pub fn held_count(&self) -> u64 {
        self.held.len() as u64
    }

    /// Acknowledged batches are no longer on the way.
    pub fn forget_acked(&mut self, unacked: &BTreeSet<FrameKey>) {
        self.on_the_way.retain(|key, _| unacked.contains(key));
        self.waiting.retain(|key, _| unacked.contains(key));
        self.held.retain(|key| unacked.contains(key));
    }

    /// A batch was not taken now: again, later and later.
    pub fn retry(&mut self, key: FrameKey, now_ns: u64) {
        self.on_the_way.remove(&key);
        let before = self.waiting.get(&key).map(|waiting| waiting.wait_ms);
        let wait_ms = before.map_or(RETRY_FIRST_MS, |ms| (ms * 2).min(RETRY_LAST_MS));
        let until_ns = now_ns + wait_ms * NS_PER_MS;
        self.waiting.insert(key, Waiting { until_ns, wait_ms });
    }

    /// A batch waits for an operator; the others go on.
    pub fn hold(&mut self, key: FrameKey) {
        self.on_the_way.remove(&key);
        self.waiting.remove(&key);
        self.held.insert(key);
    }

    /// The next batch to send, if there is one and room for it.
    pub fn next_batch(&mut self, unacked: &BTreeSet<FrameKey>, now_ns: u64) -> Option<FrameKey> {
        let bytes: usize = self.on_the_way.values().map(|batch| batch.bytes).sum();
        let is_full = self.on_the_way.len() >= IN_FLIGHT_MAX || bytes >= IN_FLIGHT_BYTES_MAX;
        if !self.connected || is_full {
            return None;
        }
        let may_go = |key: &&FrameKey| {
            let waits = self
                .waiting
                .get(key)
                .is_some_and(|waiting| waiting.until_ns > now_ns);
            !waits && !self.held.contains(key) && !self.on_the_way.contains_key(key)
        };
        let next = if self.oldest_is_next {
            unacked.iter().find(may_go)
        } else {
            unacked.iter().rev().find(may_go)
        };
        let next = next.copied();
        self.oldest_is_next = !self.oldest_is_next;
        next
    }

    /// A batch was handed to the network.
    pub fn sent(&mut self, key: FrameKey, bytes: usize, now_ns: u64) {
        let since_ns = now_ns;
        self.on_the_way.insert(key, OnTheWay { bytes, since_ns });
    }

    /// Whether an answer is overdue, so that the connection can't be believed any more.
    pub fn is_stuck(&self, now_ns: u64) -> bool {
        let overdue = |batch: &OnTheWay| now_ns >= batch.since_ns + ANSWER_MS_MAX * NS_PER_MS;
        self.on_the_way.values().any(overdue)
    }

    /// Whether current readings are due; if so, the next ones are `every_ms` later.
    pub fn live_is_due(&mut self, now_ns: u64, every_ms: u64) -> bool {
        let due = self.connected && self.live_at_ns.is_none_or(|at| now_ns >= at);
        if due {
            self.live_at_ns = Some(now_ns + every_ms * NS_PER_MS);
        }
        due
    }
}
