//! One host: its kernel, its disk, its clocks and the shipped agent, started again after every crash.

use std::collections::{BTreeMap, BTreeSet};

use tallyman_agent_core::event::{Description, NetEvent, NetworkSeen, Trees};
use tallyman_agent_core::sources::identity::ContainerId;
use tallyman_agent_core::{
    Agent, BatchRange, Effects, Event, FileKind, Now, ReadFault, Slot, SourceKind, Sweep, Tree, WorkloadSeen,
};
use tallyman_common::ids::{BootId, NodeId, Owner, Seq, SpoolId};
use tallyman_common::message::{Hello, Welcome};
use tallyman_common::sign::NodeKey;
use tallyman_common::time::WallMs;

use super::bug::Bug;
use super::disk::SimDisk;
use super::ledger::{Gone, frames_on};
use super::rng::Rng;
use super::start::{HOLD_MS, mapping};
use super::truth::{Truth, Workload};
use super::unfinished::Unfinished;

/// A host.
pub struct Node {
    /// Seed of the signing key.
    pub key_seed: [u8; 32],
    /// Identity.
    pub id: NodeId,
    /// Identities that the host had before.
    pub former: Vec<NodeId>,
    /// Rules give owners another name.
    pub(super) is_alt: bool,
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
    pub(super) boot: BootId,
    pub(super) booted_ms: u64,
    /// Wall clock minus world time, milliseconds.
    pub wall_offset_ms: i64,
    /// Drift of the wall clock, parts in a million.
    pub drift_ppm: i64,
    /// Batches of windows that the agent said it had closed.
    pub(super) said_durable: BTreeSet<(SpoolId, Seq)>,
    /// What of that was not true.
    pub broken: Option<String>,
    /// Its agent began from the counters' present values: what was used since the last window is lost.
    pub(super) baseline_lost: bool,
    /// A window of which there may be a checkpoint and no batch.
    pub(super) unfinished: Option<Unfinished>,
    /// Of such a one there is a checkpoint alone, and the agent went on from it.
    pub(super) lost_window: Option<Gone>,
    /// Series of this host ended before their time: a batch that is lost is not in any later reading.
    pub births_ended: bool,
    /// What is wrong in this run.
    pub bug: Option<Bug>,
    /// How late each sweep comes, milliseconds.
    pub skipped_ms: u64,
    /// Windows are of a minute from the next start on.
    pub is_healed: bool,
    began_ms: u64,
    pub(super) slots: BTreeMap<u64, Slot>,
    /// Id and owner of every container there ever was: Docker's events come also when it has ended.
    pub(super) containers: BTreeMap<u64, (String, Owner)>,
    pub(super) next_life: u64,
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
            baseline_lost: false,
            unfinished: None,
            lost_window: None,
            births_ended: false,
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

    fn step(&mut self, world_ms: u64, event: Event) -> Effects {
        let now = self.now(world_ms);
        let agent = self.agent.as_mut().expect("only a living agent is stepped");
        self.disk.has_checkpoint = false;
        let effects = agent.step(now, event, &mut self.disk);
        self.births_ended |= effects.notices.iter().any(|n| n.code == "spool-contradicted");
        effects
    }

    /// A new workload of a tenant.
    pub fn spawn(&mut self, tenant: u64, world_ms: u64, rng: &mut Rng) -> u64 {
        self.next_life += 1;
        let life = self.next_life;
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

    pub(super) fn announce(&mut self, life: u64, world_ms: u64) {
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
        if std::mem::take(&mut self.baseline_lost) {
            for workload in self.workloads.values_mut() {
                self.truth.at_risk(workload);
                workload.recorded = workload.counters;
            }
        }
        let sweep = self
            .agent
            .as_mut()
            .expect("only a living agent sweeps")
            .begin(now);
        let lives: Vec<u64> = self.workloads.keys().copied().collect();
        lives.iter().for_each(|life| self.sample(*life, sweep));
        let effects = self.step(world_ms, Event::SweepDone);
        self.note_closed(&effects, world_ms);
        effects
    }

    fn note_closed(&mut self, effects: &Effects, world_ms: u64) {
        if let Some(closed) = &effects.closed {
            let batches = closed.first_seq..=closed.last_seq;
            self.said_durable.extend(batches.map(|seq| (closed.spool, seq)));
            self.metering = true;
            self.unfinished = None;
            // Of a container that waits for its description the checkpoint tells, and no batch yet.
            let is_told = |w: &&mut Workload| w.container.is_none() || world_ms - w.born_ms > HOLD_MS;
            let told = self.workloads.values_mut().filter(is_told);
            told.for_each(|w| w.recorded = w.sampled);
            self.ended.clear();
        } else if self.disk.has_checkpoint {
            self.note_not_closed();
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
        self.note_closed(&effects, world_ms);
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
        if self.agent.is_some() && !self.baseline_lost {
            self.ended.push(workload);
        } else {
            self.truth.at_risk(&workload);
        }
    }

    /// Sound frames of windows that the agent said it had closed.
    pub(super) fn durable_frames(&self) -> BTreeSet<(SpoolId, Seq)> {
        let there = frames_on(&self.disk)
            .into_iter()
            .map(|(frame, _)| (frame.spool, frame.seq));
        there.filter(|key| self.said_durable.contains(key)).collect()
    }

    /// The agent's process is gone.
    pub fn killed(&mut self, power_cut: bool, rng: &mut Rng) {
        (self.agent, self.baseline_lost) = (None, false);
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

    /// A person wants acknowledged batches sent again.
    pub fn resend(&mut self, world_ms: u64, ranges: Vec<BatchRange>) -> Effects {
        self.step(world_ms, Event::Resend(ranges))
    }

    /// Another rule from the next minute's edge on.
    pub fn change_mapping(&mut self, world_ms: u64) {
        self.is_alt = !self.is_alt;
        let event = Event::MappingChanged(mapping(self.is_alt));
        self.step(world_ms, event);
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
