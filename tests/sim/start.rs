//! How a host's agent starts: what it is configured with, at which pace it works until the next start, and what a start
//! finds lost.

use tallyman_agent_core::event::{AgentConfig, Hardware};
use tallyman_agent_core::mapping::{Rule, When};
use tallyman_agent_core::{Agent, Fresh, Identity, Mapping, Notice, OpenError};
use tallyman_common::ids::{BootId, Nonce, SpoolId};
use tallyman_common::record::Inventory;
use tallyman_common::sign::NodeKey;
use tallyman_common::time::MINUTE_MS;

use super::bug::Bug;
use super::node::Node;
use super::rng::Rng;

/// How an agent works from one start to the next: a spool that is nearly full of what an operator left lying closes
/// longer windows, and a host under load sweeps late. Most are slow, so that a run of many hours is cheap.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Bytes in the folder that are not the agent's.
    ballast: u64,
    /// How late each sweep comes, milliseconds.
    skipped_ms: u64,
}

const fn pace(ballast: u64, skipped_minutes: u64) -> Pace {
    Pace {
        ballast,
        skipped_ms: skipped_minutes * MINUTE_MS,
    }
}

/// Windows of 1, 5, 15 and 60 minutes: 80, 90 and 95 of 100 bytes of the limit are used.
const PACES: [Pace; 10] = [
    pace(0, 0),
    pace(37_000_000, 0),
    pace(37_000_000, 1),
    pace(37_000_000, 4),
    pace(43_700_000, 4),
    pace(43_700_000, 4),
    pace(43_700_000, 9),
    pace(43_700_000, 14),
    pace(47_000_000, 9),
    pace(47_000_000, 14),
];

/// How long a container waits for its description, milliseconds; it comes sooner.
pub(super) const HOLD_MS: u64 = 10_000;

impl Node {
    /// Starts the agent's process; false if it was killed while it started.
    pub fn start(&mut self, world_ms: u64, rng: &mut Rng) -> bool {
        if self.bug == Some(Bug::BootEachStart) {
            self.boot = BootId(rng.id());
        }
        let now = self.now(world_ms);
        let fresh = Fresh {
            spool: SpoolId(rng.id()),
            nonce: Nonce(rng.id()),
        };
        let identity = Identity {
            node: self.id,
            key: NodeKey::from_seed(&self.key_seed),
            inventory: inventory(),
        };
        let pace = if self.is_healed {
            PACES[0]
        } else {
            PACES[rng.below(PACES.len() as u64) as usize]
        };
        (self.disk.ballast, self.skipped_ms) = (pace.ballast, pace.skipped_ms);
        let config = config(if rng.chance(3) { 10_000 } else { 60_000 }, self.is_alt);
        self.slots.clear();
        match Agent::open(config, identity, now, fresh, &mut self.disk) {
            Ok((agent, notices)) => {
                self.find_lost(agent.status().last_seq == 0, &notices);
                self.agent = Some(agent);
            }
            // A disk that fails or a process that is killed; anything else would be a fault of the agent.
            Err(OpenError::Disk(_)) => return false,
            Err(e) => panic!("the agent does not start: {e}"),
        }
        let lives: Vec<u64> = self.workloads.keys().copied().collect();
        lives.iter().for_each(|life| self.announce(*life, world_ms));
        // Docker lists containers that have ended as well.
        let listed: Vec<u64> = self.containers.keys().copied().collect();
        listed.iter().for_each(|life| self.describe(*life, world_ms));
        !self.disk.is_dead()
    }

    /// Whether the start found no checkpoint to go on from: none of the newest batch, or none and no batch either.
    fn find_lost(&mut self, is_empty: bool, notices: &[Notice]) {
        let told = |code: &str| notices.iter().any(|n| n.code == code);
        let nothing = is_empty && told("checkpoint-slot") && !told("spool-frames-lost");
        self.baseline_lost = told("checkpoint-lost") || nothing;
        self.births_ended |= self.baseline_lost;
        if told("spool-frames-lost") {
            self.lose_unfinished();
        } else if self.baseline_lost {
            // All since the last batch is lost with it.
            self.unfinished = None;
        }
    }
}

pub(super) fn mapping(is_alt: bool) -> Mapping {
    let owner = if is_alt { "alt-$1" } else { "$1" };
    Mapping {
        rules: vec![Rule {
            when: When::Cgroup("/tenants/*/*".into()),
            owner: owner.into(),
        }],
        ..Mapping::default()
    }
}

fn config(interval_ms: u64, is_alt: bool) -> AgentConfig {
    AgentConfig {
        interval_ns: interval_ms * 1_000_000,
        full_every_ticks: 3,
        hold_ms: HOLD_MS,
        live_every_ms: 5_000,
        sources: vec!["docker".into(), "tenants".into()],
        mapping: mapping(is_alt),
        hardware: Hardware::default(),
        clock_ticks_per_s: 100,
        spool_bytes_max: 64 << 20,
        retention_ms: 10 * MINUTE_MS,
        backlog_bytes_per_s: 1 << 20,
    }
}

fn inventory() -> Inventory {
    Inventory {
        host_name: "simulated".into(),
        os: "none".into(),
        kernel: "none".into(),
        cpus: 64,
        memory_bytes: 1 << 34,
        agent_version: "0".into(),
    }
}
