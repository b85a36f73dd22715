//! A small machine for the agent: workloads with counters, clocks, a disk that crashes, and the reader of its frames.

use std::collections::BTreeMap;

use tallyman_common::ids::{BootId, NodeId, Nonce, Owner, Seq, SpoolId};
use tallyman_common::meter::Meter;
use tallyman_common::record::{Birth, Cause, Inventory, Record, Row};
use tallyman_common::sign::NodeKey;
use tallyman_common::time::WallMs;
use tallyman_common::wire::{Frame, Header};

use crate::sources::identity::ContainerId;
use crate::testing::MemDisk;
use crate::*;

pub const S: u64 = 1_000_000_000;
pub const MINUTE: u64 = 60 * S;
/// 2026-01-01T00:00:00Z, at boot second 0.
pub const WALL_0: u64 = 1_767_225_600_000;

pub fn key() -> NodeKey {
    NodeKey::from_seed(&[7; 32])
}

/// One cgroup and what its kernel counts.
#[derive(Debug, Clone)]
pub struct Cgroup {
    pub path: String,
    pub life: u64,
    pub container: Option<u8>,
    pub tenant: Option<&'static str>,
    pub network: NetworkSeen,
    pub cpu_us: u64,
    pub memory: u64,
    pub disk: u64,
    pub net: u64,
    pub slot: Option<Slot>,
}

pub fn container(number: u8, tenant: Option<&'static str>) -> Cgroup {
    let id = ContainerId::parse(format!("{number:02x}").repeat(32).as_bytes()).unwrap();
    Cgroup {
        path: format!("/docker/{id}"),
        life: u64::from(number) + 100,
        container: Some(number),
        tenant,
        network: NetworkSeen::Namespace(u64::from(number) + 9_000),
        cpu_us: 0,
        memory: 1_000,
        disk: 0,
        net: 0,
        slot: None,
    }
}

pub fn slice(path: &str) -> Cgroup {
    Cgroup {
        path: path.to_owned(),
        life: 50,
        container: None,
        network: NetworkSeen::None,
        ..container(0, None)
    }
}

/// The machine.
pub struct World {
    pub ns: u64,
    pub wall_shift: i64,
    pub boot: BootId,
    pub disk: MemDisk,
    pub cgroups: Vec<Cgroup>,
    pub agent: Option<Agent>,
    pub mapping: Mapping,
    pub sources: Vec<String>,
    pub notices: Vec<Notice>,
    pub sent: Vec<Outgoing>,
    pub starts: u8,
    pub backlog_bytes_per_s: u64,
}

impl World {
    pub fn new() -> Self {
        let cgroup_rule = mapping::Rule {
            when: mapping::When::Cgroup("/tenants/*".to_owned()),
            owner: "$1".to_owned(),
        };
        Self {
            ns: 1_000 * S,
            wall_shift: 0,
            boot: BootId([1; 16]),
            disk: MemDisk::default(),
            cgroups: Vec::new(),
            agent: None,
            mapping: Mapping {
                rules: vec![cgroup_rule],
                ..Mapping::default()
            },
            sources: vec!["docker".to_owned(), "slices".to_owned()],
            notices: Vec::new(),
            sent: Vec::new(),
            starts: 0,
            backlog_bytes_per_s: 1 << 20,
        }
    }

    pub fn now(&self) -> Now {
        let ms = i64::try_from(self.ns / 1_000_000 + WALL_0).unwrap() + self.wall_shift;
        Now {
            boot_ns: self.ns,
            wall: WallMs(u64::try_from(ms).unwrap()),
            boot: self.boot,
        }
    }

    /// A new spool id each time.
    pub fn fresh_spool(&mut self) -> SpoolId {
        self.starts += 1;
        SpoolId([self.starts; 16])
    }

    /// Starts the agent; false when the disk stopped it.
    pub fn start(&mut self) -> bool {
        match self.try_start() {
            Ok(()) => true,
            Err(OpenError::Disk(_)) => false,
            Err(e) => panic!("{e}"),
        }
    }

    /// Starts the agent.
    pub fn try_start(&mut self) -> Result<(), OpenError> {
        let config = AgentConfig {
            interval_ns: 10 * S,
            full_every_ticks: 3,
            hold_ms: 10_000,
            live_every_ms: 5_000,
            sources: self.sources.clone(),
            mapping: self.mapping.clone(),
            hardware: Hardware::default(),
            clock_ticks_per_s: 100,
            spool_bytes_max: 64 << 20,
            retention_ms: 35 * 24 * 3_600_000,
            backlog_bytes_per_s: self.backlog_bytes_per_s,
        };
        let identity = Identity {
            node: NodeId([3; 16]),
            key: key(),
            inventory: Inventory {
                host_name: "test".to_owned(),
                os: "test".to_owned(),
                kernel: "test".to_owned(),
                cpus: 2,
                memory_bytes: 1 << 30,
                agent_version: "0".to_owned(),
            },
        };
        let fresh = Fresh {
            spool: self.fresh_spool(),
            nonce: Nonce([self.starts; 16]),
        };
        let (agent, notices) = Agent::open(config, identity, self.now(), fresh, &mut self.disk)?;
        self.notices.extend(notices);
        self.agent = Some(agent);
        for at in 0..self.cgroups.len() {
            self.cgroups[at].slot = None;
            self.appear(at);
        }
        Ok(())
    }

    pub fn step(&mut self, event: Event) -> Effects {
        let now = self.now();
        let agent = self.agent.as_mut().expect("the agent runs");
        let effects = agent.step(now, event, &mut self.disk);
        self.notices.extend(effects.notices.iter().cloned());
        self.sent.extend(effects.send.iter().cloned());
        effects
    }

    /// Acknowledges all that was sent, and what is sent then.
    pub fn answer_all(&mut self) {
        while let Some(Outgoing { spool, seq, .. }) = self.sent.pop() {
            let (upto, known) = (0, false);
            self.step(Event::Net(NetEvent::Ack(tallyman_common::message::Ack {
                spool,
                seq,
                upto,
                known,
            })));
        }
    }

    pub fn add(&mut self, cgroup: Cgroup) -> usize {
        self.cgroups.push(cgroup);
        let at = self.cgroups.len() - 1;
        if self.agent.is_some() {
            self.appear(at);
        }
        at
    }

    fn appear(&mut self, at: usize) {
        let cgroup = self.cgroups[at].clone();
        let id = cgroup
            .container
            .and_then(|n| ContainerId::parse(format!("{n:02x}").repeat(32).as_bytes()));
        let effects = self.step(Event::Appeared(WorkloadSeen {
            path: cgroup.path.clone(),
            life: cgroup.life,
            kind: if id.is_some() {
                SourceKind::Docker
            } else {
                SourceKind::Cgroup
            },
            source: if id.is_some() { "docker" } else { "slices" }.to_owned(),
            container: id,
            name: cgroup.path.clone(),
            network: cgroup.network,
            trees: Trees {
                cpu: Some(Tree::V2),
                memory: Some(Tree::V2),
                io: Some(Tree::V2),
            },
        }));
        self.cgroups[at].slot = effects.slot;
        if cgroup.tenant.is_some() {
            self.describe(at);
        }
    }

    pub fn describe(&mut self, at: usize) {
        let cgroup = &self.cgroups[at];
        let label = (
            "tallyman.tenant".to_owned(),
            cgroup.tenant.unwrap_or("").to_owned(),
        );
        let number = cgroup.container.expect("only containers are described");
        self.step(Event::Described(Description {
            container: ContainerId::parse(format!("{number:02x}").repeat(32).as_bytes()).unwrap(),
            name: format!("c{number}"),
            labels: [label].into(),
            image_labels: BTreeMap::new(),
        }));
    }

    /// Reads all files of one workload.
    pub fn sample(&mut self, at: usize, sweep: Sweep) {
        let cgroup = self.cgroups[at].clone();
        let Some(slot) = cgroup.slot else { return };
        let agent = self.agent.as_mut().expect("the agent runs");
        for file in agent.wants(slot, sweep).to_vec() {
            let text = match file {
                FileKind::CpuStat => format!("usage_usec {}\n", cgroup.cpu_us),
                FileKind::MemoryCurrent => format!("{}\n", cgroup.memory),
                FileKind::MemorySwapCurrent => "0\n".to_owned(),
                FileKind::MemoryStat => format!("anon {}\nfile 0\ninactive_file 0\nshmem 0\n", cgroup.memory),
                FileKind::IoStat => format!(
                    "8:0 rbytes={0} wbytes={0} rios=1 wios=1 dbytes=0 dios=0\n",
                    cgroup.disk
                ),
                FileKind::NetDev => format!(
                    "Inter-| Receive | Transmit\n face |bytes packets errs drop fifo frame compressed \
                     multicast|bytes packets errs drop fifo colls carrier compressed\n\
                     eth0: {0} 0 0 0 0 0 0 0 {0} 0 0 0 0 0 0 0\n",
                    cgroup.net
                ),
                other => panic!("{other} is not made"),
            };
            agent.sample(slot, file, Ok(text.as_bytes()));
        }
    }

    /// A sweep over everything, now.
    pub fn sweep(&mut self) -> Effects {
        let now = self.now();
        let sweep = self.agent.as_mut().expect("the agent runs").begin(now);
        for at in 0..self.cgroups.len() {
            self.sample(at, sweep);
        }
        self.step(Event::SweepDone)
    }

    /// Lets time pass with a sweep at each tick and minute's edge; `work` moves the counters by seconds gone.
    pub fn run(&mut self, ns: u64, work: impl Fn(&mut Cgroup, u64)) {
        let end = self.ns + ns;
        while self.ns < end {
            let next = self
                .agent
                .as_ref()
                .map_or(self.ns + 10 * S, Agent::next_timeout)
                .min(end);
            let gone = next - self.ns;
            self.ns = next;
            self.cgroups.iter_mut().for_each(|cgroup| work(cgroup, gone / S));
            if self.agent.is_some() {
                self.sweep();
            }
        }
    }

    /// A workload ends, seen: its last values are read.
    pub fn end(&mut self, at: usize) {
        let now = self.now();
        if let (Some(agent), Some(slot)) = (self.agent.as_mut(), self.cgroups[at].slot) {
            let sweep = agent.begin_last(now);
            self.sample(at, sweep);
            self.step(Event::Gone { slot });
        }
        self.cgroups.remove(at);
    }
}

/// Everything in the frames of a folder, as the aggregator would see it.
#[derive(Debug, Default)]
pub struct Books {
    pub headers: Vec<Header>,
    pub records: Vec<(Header, Record)>,
}

impl Books {
    pub fn read(disk: &mut MemDisk) -> Self {
        let mut books = Self::default();
        let frames = spool::list(disk).unwrap();
        for listed in frames {
            let bytes = disk.bytes(&listed.segment).to_vec();
            let at = (0..bytes.len()).find(|at| {
                Frame::parse_at(&bytes, *at, listed.bytes as usize).is_some_and(|d| d == listed.digest)
            });
            let at = at.expect("a listed frame is in its segment");
            let frame = Frame::parse(&bytes[at..at + listed.bytes as usize]).unwrap();
            let verified = frame.verify(&key().public()).unwrap();
            books.headers.push(verified.header().clone());
            for leaf in verified.open().unwrap() {
                books.records.push((verified.header().clone(), leaf.record));
            }
        }
        books
    }

    /// Rows of an owner and meter, oldest first.
    pub fn rows(&self, owner: &str, meter: Meter) -> Vec<(Birth, Seq, Row)> {
        let of_owner = self.records.iter().filter(|(_, r)| name(&r.owner) == owner);
        let rows = of_owner.flat_map(|(h, r)| {
            r.groups
                .iter()
                .flat_map(|g| g.rows.iter().map(|row| (g.birth, h.seq, *row)))
        });
        rows.filter(|(_, _, row)| row.meter == meter).collect()
    }

    /// What an owner used: of each series its last reading.
    pub fn total(&self, owner: &str, meter: Meter) -> u128 {
        let mut last: BTreeMap<Birth, u128> = BTreeMap::new();
        for (birth, _, row) in self.rows(owner, meter) {
            let before = last.insert(birth, row.to);
            assert!(
                before.is_none_or(|before| before <= row.from),
                "readings only grow"
            );
        }
        last.values().sum()
    }

    /// Causes of the holes of an owner.
    pub fn causes(&self, owner: &str) -> Vec<Cause> {
        let of_owner = self.records.iter().filter(|(_, r)| name(&r.owner) == owner);
        of_owner
            .flat_map(|(_, r)| r.holes.iter().map(|h| h.cause))
            .collect()
    }

    /// All causes.
    pub fn all_causes(&self) -> Vec<Cause> {
        self.records
            .iter()
            .flat_map(|(_, r)| r.holes.iter().map(|h| h.cause))
            .collect()
    }
}

fn name(owner: &Owner) -> &str {
    match owner {
        Owner::Host => "host",
        Owner::Unattributed => "unattributed",
        Owner::Claim(name) => name,
    }
}

trait ParseAt {
    fn parse_at(bytes: &[u8], at: usize, len: usize) -> Option<tallyman_common::ids::Digest>;
}

impl ParseAt for Frame<'_> {
    fn parse_at(bytes: &[u8], at: usize, len: usize) -> Option<tallyman_common::ids::Digest> {
        let slice = bytes.get(at..at + len)?;
        slice.starts_with(b"TLYM").then_some(())?;
        Frame::parse(slice).ok().map(|frame| frame.digest())
    }
}
