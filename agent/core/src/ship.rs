//! The fourth stage: which batch goes when. Oldest and newest in turn, so that a backlog does not starve live data.
//!
//! Sees keys and lengths only; must not know what a batch holds, nor the disk.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::{NS_PER_MS, NS_PER_S};
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

/// How a resend by hand goes, in batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resend {
    /// Asked for since it began.
    pub asked: u64,
    /// Not answered yet.
    pub left: u64,
    /// The aggregator did not have them.
    pub new: u64,
    /// It had them: nothing changed.
    pub known: u64,
    /// Wait there for an operator's decision.
    pub held: u64,
    /// Made room for others on this host before they could be sent.
    pub gone: u64,
}

/// The sender's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ship {
    connected: bool,
    on_the_way: BTreeMap<FrameKey, OnTheWay>,
    waiting: BTreeMap<FrameKey, Waiting>,
    held: BTreeSet<FrameKey>,
    /// Acknowledged batches that a person wants sent again, behind all that were not acknowledged yet.
    again: BTreeSet<FrameKey>,
    resend: Resend,
    oldest_is_next: bool,
    /// When the backlog's allowance for what was sent is used up, nanoseconds of boot time.
    paid_until_ns: u64,
    live_at_ns: Option<u64>,
}

/// How fast batches behind the newest may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The newest batch, which draws on nobody's allowance.
    pub newest: Option<FrameKey>,
    /// Bytes a second.
    pub bytes_per_s: u64,
    /// How far it may be ahead of that, nanoseconds: it is asked no oftener than once a sweep.
    pub ahead_ns: u64,
}

impl Ship {
    /// A session stands: everything may be tried again.
    pub fn connected(&mut self) {
        *self = Self {
            connected: true,
            again: std::mem::take(&mut self.again),
            resend: self.resend,
            paid_until_ns: self.paid_until_ns,
            ..Self::default()
        };
    }

    /// Sends batches again that were acknowledged. Those that were asked for before and have no answer yet stay.
    pub fn resend(&mut self, keys: impl IntoIterator<Item = FrameKey>) {
        if self.again.is_empty() {
            self.resend = Resend::default();
        }
        for key in keys {
            self.resend.asked += u64::from(self.again.insert(key));
        }
    }

    /// How the resend goes.
    pub fn resent(&self) -> Resend {
        let left = self.again.len() as u64;
        Resend { left, ..self.resend }
    }

    /// A batch is durable there.
    pub fn acked(&mut self, key: FrameKey, known: bool) {
        self.on_the_way.remove(&key);
        self.waiting.remove(&key);
        self.held.remove(&key);
        if self.again.remove(&key) {
            let counted = if known {
                &mut self.resend.known
            } else {
                &mut self.resend.new
            };
            *counted += 1;
        }
    }

    /// A batch is no longer on this host.
    pub fn gone(&mut self, key: FrameKey) {
        self.on_the_way.remove(&key);
        self.held.insert(key);
        self.resend.gone += u64::from(self.again.remove(&key));
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
        let again = &self.again;
        let is_wanted = |key: &FrameKey| unacked.contains(key) || again.contains(key);
        self.on_the_way.retain(|key, _| is_wanted(key));
        self.waiting.retain(|key, _| is_wanted(key));
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
        self.resend.held += u64::from(self.again.remove(&key));
    }

    /// The next batch to send, if there is one and room for it.
    ///
    /// The newest always may; the others keep to the pace, so that a thousand hosts that come back at once leave the
    /// network and the aggregator room for what is live.
    pub fn next_batch(&mut self, unacked: &BTreeSet<FrameKey>, now_ns: u64, pace: Pace) -> Option<FrameKey> {
        let bytes: usize = self.on_the_way.values().map(|batch| batch.bytes).sum();
        let is_full = self.on_the_way.len() >= IN_FLIGHT_MAX || bytes >= IN_FLIGHT_BYTES_MAX;
        if !self.connected || is_full {
            return None;
        }
        let is_paced = self.paid_until_ns > now_ns + pace.ahead_ns;
        let may_go = |key: &&FrameKey| {
            if is_paced && Some(**key) != pace.newest {
                return false;
            }
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
        let next = next.or_else(|| self.again.iter().find(may_go)).copied();
        self.oldest_is_next = !self.oldest_is_next;
        next
    }

    /// A batch was handed to the network.
    pub fn sent(&mut self, key: FrameKey, bytes: usize, now_ns: u64, pace: Pace) {
        let since_ns = now_ns;
        if Some(key) != pace.newest {
            // A frame's bytes fit u64 as nanoseconds.
            let cost_ns = bytes as u64 * NS_PER_S / pace.bytes_per_s.max(1);
            self.paid_until_ns = self.paid_until_ns.max(now_ns) + cost_ns;
        }
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
