//! One host: its kernel, its disk, its clocks and the shipped agent, started again after every crash.

use std::collections::{BTreeMap, BTreeSet};

use tallyman_agent_core::event::{AgentConfig, Description, Hardware, NetEvent, NetworkSeen, Trees};
use tallyman_agent_core::mapping::{Rule, When};
use tallyman_agent_core::sources::identity::ContainerId;
use tallyman_agent_core::{
    Agent, Effects, Event, FileKind, Fresh, Identity, Mapping, Now, OpenError, ReadFault, Slot, SourceKind,
    Sweep, Tree, WorkloadSeen,
};
use tallyman_common::ids::{BootId, NodeId, Nonce, Owner, Seq, SpoolId};
use tallyman_common::message::{Hello, Welcome};
use tallyman_common::record::Inventory;
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{MINUTE_MS, WallMs};

use super::bug::Bug;
use super::disk::SimDisk;
use super::ledger::frames_on;
use super::rng::Rng;
use super::truth::{Truth, Workload};

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

/// A host.
pub struct Node {
    /// Seed of the signing key.
    pub key_seed: [u8; 32],
    /// Identity.
    pub id: NodeId,
    /// Identities that the host had before.
    pub former: Vec<NodeId>,
    /// Rules give owners another name.
    is_alt: bool,
    /// Its disk.
    pub disk: SimDisk,
    /// The agent, while its process lives.
    pub agent: Option<Agent>,
    /// Workloads by inode.
    pub workloads: BTreeMap<u64, Workload>,
    /// Ended, last sample taken, not yet in a durable window for sure.
    pub ended: Vec<Workload>,
    /// What was used and what may be lost.
    pub truth: Truth,
    /// True once a window was durable: before that nothing is metered.
    pub metering: bool,
    boot: BootId,
    booted_ms: u64,
    /// Wall clock minus world time, milliseconds.
    pub wall_offset_ms: i64,
    /// Drift of the wall clock, parts in a million.
    pub drift_ppm: i64,
    /// Batches of windows that the agent said it had closed.
    said_durable: BTreeSet<(SpoolId, Seq)>,
    /// What of that was not true.
    pub broken: Option<String>,
    /// What is wrong in this run.
    pub bug: Option<Bug>,
    /// How late each sweep comes, milliseconds.
    pub skipped_ms: u64,
    /// Windows are of a minute from the next start on.
    pub is_healed: bool,
    began_ms: u64,
    slots: BTreeMap<u64, Slot>,
    /// Id and owner of every container there ever was: Docker's events come also when it has ended.
    containers: BTreeMap<u64, (String, Owner)>,
    next_life: u64,
}

impl Node {
    /// A host that just booted.
    pub fn new(number: u8, now_ms: u64, rng: &mut Rng) -> Self {
        let key_seed = [number + 1; 32];
        let id = NodeId::of_key(&NodeKey::from_seed(&key_seed).public().to_bytes());
        Self {
            key_seed,
            id,
            former: Vec::new(),
            is_alt: false,
            disk: SimDisk::default(),
            agent: None,
            workloads: BTreeMap::new(),
            ended: Vec::new(),
            truth: Truth::default(),
            metering: false,
            boot: BootId(rng.id()),
            booted_ms: now_ms - 1_000,
            wall_offset_ms: 0,
            drift_ppm: i64::try_from(rng.below(101)).expect("small") - 50,
            bug: None,
            said_durable: BTreeSet::new(),
            broken: None,
            skipped_ms: 0,
            is_healed: false,
            began_ms: now_ms,
            slots: BTreeMap::new(),
            containers: BTreeMap::new(),
            next_life: 100,
        }
    }

    /// The host's clocks.
    pub fn now(&self, world_ms: u64) -> Now {
        let wall = world_ms
            .checked_add_signed(self.wall_offset_ms + self.drifted_ms(world_ms))
            .expect("offsets are small");
        Now {
            boot_ns: (world_ms - self.booted_ms) * 1_000_000,
            wall: WallMs(wall),
            boot: self.boot,
        }
    }

    fn drifted_ms(&self, world_ms: u64) -> i64 {
        i64::try_from(world_ms - self.began_ms).expect("a run is short") * self.drift_ppm / 1_000_000
    }

    /// World time of a boot time.
    pub fn world_ms_of(&self, boot_ns: u64) -> u64 {
        self.booted_ms + boot_ns.div_ceil(1_000_000)
    }

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
        let interval_ms = if rng.chance(3) { 10_000 } else { 60_000 };
        self.slots.clear();
        match Agent::open(
            config(interval_ms, self.is_alt),
            identity,
            now,
            fresh,
            &mut self.disk,
        ) {
            Ok((agent, _)) => self.agent = Some(agent),
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

    fn step(&mut self, world_ms: u64, event: Event) -> Effects {
        let now = self.now(world_ms);
        let agent = self.agent.as_mut().expect("only a living agent is stepped");
        agent.step(now, event, &mut self.disk)
    }

    /// A new workload.
    pub fn spawn(&mut self, world_ms: u64, rng: &mut Rng) -> u64 {
        self.next_life += 1;
        let life = self.next_life;
        let tenant = rng.below(3);
        let is_container = rng.chance(50);
        let hex = format!("{life:064x}");
        let workload = Workload {
            owner: Owner::claim(&format!("t{tenant}")).expect("a good name"),
            path: if is_container {
                format!("/docker/{hex}")
            } else {
                format!("/tenants/t{tenant}/w{life}")
            },
            container: is_container.then_some(hex),
            netns: life,
            counters: Default::default(),
            sampled: Default::default(),
            recorded: Default::default(),
            memory: rng.between(1, 1 << 30),
            born_ms: world_ms,
        };
        self.containers.extend(
            workload
                .container
                .clone()
                .map(|hex| (life, (hex, workload.owner.clone()))),
        );
        self.workloads.insert(life, workload);
        if self.agent.is_some() {
            self.announce(life, world_ms);
        }
        life
    }

    fn announce(&mut self, life: u64, world_ms: u64) {
        let workload = &self.workloads[&life];
        let container = workload
            .container
            .as_ref()
            .map(|hex| ContainerId::parse(hex.as_bytes()).expect("64 digits"));
        let v2 = Some(Tree::V2);
        let seen = WorkloadSeen {
            path: workload.path.clone(),
            life,
            kind: if container.is_some() {
                SourceKind::Docker
            } else {
                SourceKind::Cgroup
            },
            source: if container.is_some() { "docker" } else { "tenants" }.to_owned(),
            network: if container.is_some() {
                NetworkSeen::Namespace(workload.netns)
            } else {
                NetworkSeen::None
            },
            container,
            name: format!("w{life}"),
            trees: Trees {
                cpu: v2,
                memory: v2,
                io: v2,
            },
        };
        let effects = self.step(world_ms, Event::Appeared(seen));
        self.slots.extend(effects.slot.map(|slot| (life, slot)));
    }

    /// Docker tells the labels of a container.
    pub fn describe(&mut self, life: u64, world_ms: u64) {
        let Some((hex, owner)) = self.containers.get(&life).filter(|_| self.agent.is_some()) else {
            return;
        };
        let container = ContainerId::parse(hex.as_bytes()).expect("64 digits");
        let labels = [("tallyman.tenant".to_owned(), owner.name().to_owned())].into();
        let (name, image_labels) = (format!("w{life}"), BTreeMap::new());
        self.step(
            world_ms,
            Event::Described(Description {
                container,
                name,
                labels,
                image_labels,
            }),
        );
    }

    fn sample(&mut self, life: u64, sweep: Sweep) {
        let (Some(slot), Some(workload)) = (self.slots.get(&life), self.workloads.get_mut(&life)) else {
            return;
        };
        let agent = self.agent.as_mut().expect("only a living agent samples");
        workload.sampled = workload.counters;
        for file in agent.wants(*slot, sweep).to_vec() {
            let text = match file {
                FileKind::CpuStat if self.bug == Some(Bug::CounterOf32Bits) => {
                    let mut cut = workload.clone();
                    cut.counters.cpu_us &= u64::from(u32::MAX);
                    cut.cpu_stat()
                }
                FileKind::CpuStat => workload.cpu_stat(),
                FileKind::MemoryCurrent => format!("{}\n", workload.memory),
                FileKind::MemorySwapCurrent => "0\n".to_owned(),
                FileKind::MemoryStat => workload.memory_stat(),
                FileKind::IoStat => workload.io_stat(),
                FileKind::NetDev => workload.net_dev(),
                _ => {
                    agent.sample(*slot, file, Err(ReadFault::Absent));
                    continue;
                }
            };
            agent.sample(*slot, file, Ok(text.as_bytes()));
        }
    }

    /// One sweep over all workloads.
    pub fn sweep(&mut self, world_ms: u64) -> Effects {
        let now = self.now(world_ms);
        let sweep = self
            .agent
            .as_mut()
            .expect("only a living agent sweeps")
            .begin(now);
        let lives: Vec<u64> = self.workloads.keys().copied().collect();
        lives.iter().for_each(|life| self.sample(*life, sweep));
        let effects = self.step(world_ms, Event::SweepDone);
        self.note_closed(&effects);
        effects
    }

    fn note_closed(&mut self, effects: &Effects) {
        if let Some(closed) = &effects.closed {
            let batches = closed.first_seq..=closed.last_seq;
            self.said_durable.extend(batches.map(|seq| (closed.spool, seq)));
            self.metering = true;
            self.workloads.values_mut().for_each(|w| w.recorded = w.sampled);
            self.ended.clear();
        }
    }

    /// The agent stops in order.
    pub fn stop(&mut self, world_ms: u64, rng: &mut Rng) {
        let now = self.now(world_ms);
        let agent = self.agent.as_mut().expect("only a living agent is stopped");
        let sweep = agent.begin_last(now);
        let lives: Vec<u64> = self.workloads.keys().copied().collect();
        lives.iter().for_each(|life| self.sample(*life, sweep));
        let effects = self.step(world_ms, Event::Stop);
        self.note_closed(&effects);
        self.killed(false, rng);
    }

    /// A workload ends; a living agent reads it once more.
    pub fn end(&mut self, life: u64, world_ms: u64) {
        if self.agent.is_some() {
            let now = self.now(world_ms);
            let sweep = self.agent.as_mut().expect("checked").begin(now);
            self.sample(life, sweep);
            if let Some(slot) = self.slots.remove(&life) {
                self.step(world_ms, Event::Gone { slot });
            }
        }
        let workload = self.workloads.remove(&life).expect("it lived");
        self.truth.ended(&workload, world_ms);
        if self.agent.is_some() {
            self.ended.push(workload);
        } else {
            self.truth.at_risk(&workload);
        }
    }

    /// Sound frames of windows that the agent said it had closed.
    fn durable_frames(&self) -> BTreeSet<(SpoolId, Seq)> {
        let there = frames_on(&self.disk)
            .into_iter()
            .map(|(frame, _)| (frame.spool, frame.seq));
        there.filter(|key| self.said_durable.contains(key)).collect()
    }

    /// The agent's process is gone.
    pub fn killed(&mut self, power_cut: bool, rng: &mut Rng) {
        self.agent = None;
        let before = if power_cut {
            self.durable_frames()
        } else {
            BTreeSet::new()
        };
        self.disk.come_back(power_cut, rng);
        if let Some((_, seq)) = before.difference(&self.durable_frames()).next() {
            let text = format!("I3: batch {seq} was said to be durable, and a power cut took it");
            self.broken.get_or_insert(text);
        }
        for workload in std::mem::take(&mut self.ended) {
            self.truth.at_risk(&workload);
        }
    }

    /// The host goes down and up again: every workload ends unread, counters begin at 0, the clock of boot too.
    pub fn reboot(&mut self, world_ms: u64, rng: &mut Rng) {
        self.killed(true, rng);
        let lives: Vec<u64> = self.workloads.keys().copied().collect();
        lives.iter().for_each(|life| self.end(*life, world_ms));
        (self.boot, self.booted_ms) = (BootId(rng.id()), world_ms);
    }

    /// Another rule from the next minute's edge on.
    pub fn change_mapping(&mut self, world_ms: u64) {
        self.is_alt = !self.is_alt;
        let event = Event::MappingChanged(mapping(self.is_alt));
        self.step(world_ms, event);
    }

    /// The host that went down is installed anew: an empty disk and new keys.
    pub fn reimaged(&mut self, key_seed: [u8; 32]) {
        self.former.push(self.id);
        self.key_seed = key_seed;
        self.id = NodeId::of_key(&NodeKey::from_seed(&key_seed).public().to_bytes());
        self.disk.wipe();
        self.metering = false;
    }

    /// The host that went down comes up with an older image of its disk: what is not on it is no longer its word.
    pub fn set_back(&mut self, disk: SimDisk, rng: &mut Rng) {
        self.disk = disk;
        let power_cut = true;
        self.disk.come_back(power_cut, rng);
        self.said_durable = self.durable_frames();
    }

    /// A copy of a host's disk in another machine, which boots.
    pub fn cloned(original: &Self, world_ms: u64, rng: &mut Rng) -> Self {
        let mut clone = Self::new(0, world_ms, rng);
        (clone.key_seed, clone.id) = (original.key_seed, original.id);
        clone.disk = original.disk.clone();
        let power_cut = true;
        clone.disk.come_back(power_cut, rng);
        clone.disk.full = false;
        clone.disk.removed.clear();
        (clone.is_alt, clone.bug) = (original.is_alt, original.bug);
        // Docker's list is on the disk too: what waits in the checkpoint for its labels is described at once.
        clone.containers = original.containers.clone();
        clone.next_life = original.next_life + 1_000_000;
        clone
    }

    /// Greets the aggregator.
    pub fn hello(&self, world_ms: u64) -> Option<Hello> {
        self.agent.as_ref().map(|a| a.hello(self.now(world_ms)))
    }

    /// Something came over the network.
    pub fn net(&mut self, world_ms: u64, event: NetEvent) -> Effects {
        if self.agent.is_some() {
            self.step(world_ms, Event::Net(event))
        } else {
            Effects::default()
        }
    }

    /// The aggregator's answer to the greeting.
    pub fn welcomed(&mut self, world_ms: u64, welcome: Welcome, rng: &mut Rng) -> Effects {
        let fresh = SpoolId(rng.id());
        self.net(world_ms, NetEvent::Connected { welcome, fresh })
    }
}

fn mapping(is_alt: bool) -> Mapping {
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
        hold_ms: 10_000,
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
