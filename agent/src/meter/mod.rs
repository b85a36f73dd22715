//! The core agent and what it meters, put together: finds workloads, brings their bytes to the core in time, and does
//! what the core asks for.
//!
//! One thread owns it. No arithmetic on usage here; nothing here waits.

/// Workloads come and go.
mod arrive;
/// The network of new containers.
mod network;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use tallyman_agent_core::{
    Agent, Effects, Event, FileKind, Hardware, NetworkSeen, ReadFault, Slot, SourceKind, Sweep, WorkloadSeen,
};

use crate::advice::Advice;
use crate::control::Progress;
use crate::inbox::{Input, LinkState};
use crate::io::cgroup::CgroupTrees;
use crate::io::clock::{Clock, boot_ns};
use crate::io::discover::{SOURCE_HOST, Selection};
use crate::io::disk::FolderDisk;
use crate::io::files::{Buffer, Files};
use crate::io::host::host_name;
use crate::io::netns::Namespaces;
use crate::io::watch::{Hint, Watch};
use crate::limits::RESCAN_NS;
use crate::notices::Notices;
use crate::outbox::{Outbox, ToNet};
use crate::table::{Entry, Network, Table};

/// Where the machine shows itself; another place in tests.
#[derive(Debug, Clone)]
pub struct Machine {
    /// procfs.
    pub proc: std::path::PathBuf,
    /// sysfs.
    pub sys: std::path::PathBuf,
    /// Its cgroup trees.
    pub trees: CgroupTrees,
    /// Its clocks.
    pub clock: Clock,
}

/// What the meter is made of.
#[derive(Debug)]
pub struct Parts {
    /// The machine.
    pub machine: Machine,
    /// What is looked for.
    pub selection: Selection,
    /// Whether the machine as a whole is metered.
    pub host: bool,
    /// Disks and uplinks as the core was told.
    pub hardware: Hardware,
    /// Tells once how to attribute containers.
    pub advice: Advice,
}

/// The agent at work.
pub struct Meter {
    agent: Agent,
    disk: FolderDisk,
    parts: Parts,
    outbox: Outbox,
    watch: Watch,
    namespaces: Namespaces,
    table: Table,
    /// Containers that ended but whose folder is still there: path and life.
    ended: BTreeMap<String, u64>,
    buffer: Buffer,
    kinds: Vec<FileKind>,
    hints: Vec<Hint>,
    rescan_at_ns: u64,
    look_at_ns: Option<u64>,
    /// Workloads of which something is still to be learnt.
    unsettled: BTreeSet<Slot>,
    denied_told: bool,
    /// What the core has to tell.
    pub notices: Notices,
    /// How the connection is doing.
    pub link: Option<LinkState>,
    /// Why Docker says nothing.
    pub docker_fault: Option<String>,
    /// Windows closed since the last call of [`Meter::take_closed`].
    closed: u32,
}

/// Whether the loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    On,
    /// The process was asked to end.
    Stop,
}

impl Meter {
    /// Nothing is metered yet.
    pub fn new(agent: Agent, disk: FolderDisk, parts: Parts, outbox: Outbox, watch: Watch) -> Self {
        Self {
            agent,
            disk,
            namespaces: Namespaces::open(&parts.machine.proc),
            parts,
            outbox,
            watch,
            table: Table::default(),
            ended: BTreeMap::new(),
            buffer: Buffer::default(),
            kinds: Vec::new(),
            hints: Vec::new(),
            rescan_at_ns: 0,
            look_at_ns: None,
            unsettled: BTreeSet::new(),
            denied_told: false,
            notices: Notices::default(),
            link: None,
            docker_fault: None,
            closed: 0,
        }
    }

    /// Finds everything that is there, the machine first, and makes the first sweep.
    pub fn start(&mut self) {
        if self.parts.host {
            let seen = WorkloadSeen {
                path: "/".to_owned(),
                life: 0,
                kind: SourceKind::Host,
                source: SOURCE_HOST.to_owned(),
                container: None,
                name: host_name(),
                network: NetworkSeen::None,
                trees: self.parts.machine.trees.trees(),
            };
            let files = Files::of_host(&self.parts.machine.proc);
            self.seat(seen, files, Network::None);
        }
        for found in self.scan("/") {
            self.appear(found, false);
        }
        self.rescan_at_ns = self.now_ns() + RESCAN_NS;
        self.sweep();
    }

    /// When the next sweep is due, nanoseconds of boot time.
    pub fn next_sweep_ns(&self) -> u64 {
        self.agent.next_timeout()
    }

    /// When something is due that does not wait for the sweep.
    pub fn next_look_ns(&self) -> Option<u64> {
        self.look_at_ns
    }

    /// Where hints come from.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The core's figures.
    pub fn status(&self) -> tallyman_agent_core::Status {
        self.agent.status()
    }

    /// How many windows were closed since the last call.
    pub fn take_closed(&mut self) -> u32 {
        std::mem::take(&mut self.closed)
    }

    /// One burst over all files.
    pub fn sweep(&mut self) {
        if self.now_ns() >= self.rescan_at_ns {
            self.rescan();
        }
        self.look_at_networks();
        let now = self.parts.machine.clock.now();
        let sweep = self.agent.begin(now);
        let gone = self.read_all(sweep);
        let effects = self.agent.step(now, Event::SweepDone, &mut self.disk);
        self.apply(effects);
        if gone {
            self.rescan();
        }
    }

    /// Takes one message.
    pub fn take(&mut self, input: Input) -> Flow {
        match input {
            Input::Described(description) => {
                self.parts.advice.described(&description);
                self.step(Event::Described(description));
            }
            Input::Net(event) => self.step(Event::Net(event)),
            Input::Hello(answer) => {
                let now = self.parts.machine.clock.now();
                // A connection that was given up in the meantime needs no word.
                drop(answer.send(self.agent.hello(now)));
            }
            Input::Link(state) => self.link = Some(state),
            Input::Docker(fault) => self.docker_fault = fault,
            Input::Resend(ranges, answer) => {
                if !ranges.is_empty() {
                    self.step(Event::Resend(ranges));
                }
                let status = self.agent.status();
                let (resend, connected) = (status.resend, status.connected);
                // Whoever asked may be gone.
                let _ = answer.send(Progress { resend, connected });
            }
            Input::Stop => return Flow::Stop,
        }
        Flow::On
    }

    /// The last samples and the last window. Drops the way to the network, which so learns that all is said.
    pub fn stop(mut self) {
        self.take_hints();
        let now = self.parts.machine.clock.now();
        let sweep = self.agent.begin_last(now);
        self.read_all(sweep);
        let effects = self.agent.step(now, Event::Stop, &mut self.disk);
        self.apply(effects);
    }

    /// All files of all workloads; whether one turned out to be gone.
    fn read_all(&mut self, sweep: Sweep) -> bool {
        let mut gone = false;
        for entry in self.table.iter_mut() {
            let reading = Reading {
                agent: &mut self.agent,
                trees: &self.parts.machine.trees,
                buffer: &mut self.buffer,
                kinds: &mut self.kinds,
            };
            gone |= reading.read(entry, sweep);
        }
        gone
    }

    /// All files of one workload, now; whether it turned out to be gone.
    fn read_last(&mut self, slot: Slot) -> bool {
        let now = self.parts.machine.clock.now();
        let sweep = self.agent.begin_last(now);
        let Some(entry) = self.table.get_mut(slot) else {
            return true;
        };
        let reading = Reading {
            agent: &mut self.agent,
            trees: &self.parts.machine.trees,
            buffer: &mut self.buffer,
            kinds: &mut self.kinds,
        };
        reading.read(entry, sweep)
    }

    fn now_ns(&self) -> u64 {
        boot_ns()
    }

    fn step(&mut self, event: Event) {
        let now = self.parts.machine.clock.now();
        let effects = self.agent.step(now, event, &mut self.disk);
        self.apply(effects);
    }

    fn apply(&mut self, effects: Effects) {
        for notice in &effects.notices {
            self.notices.tell(notice, boot_ns());
        }
        for outgoing in effects.send {
            self.outbox.put(ToNet::Batch(outgoing));
        }
        if let Some(live) = effects.live {
            self.outbox.show(live);
        }
        if let Some(reason) = effects.disconnect {
            self.outbox.put(ToNet::Disconnect(reason));
        }
        if let Some(closed) = effects.closed {
            self.closed += 1;
            let (first_seq, last_seq) = (closed.first_seq, closed.last_seq);
            let length_ms = closed.window.length_ms();
            let workloads = self.table.iter().count();
            tracing::info!(first_seq, last_seq, length_ms, workloads, "window closed");
            self.parts.advice.window_closed(&self.table, boot_ns());
        }
    }
}

/// What a read needs beside the workload.
struct Reading<'a> {
    agent: &'a mut Agent,
    trees: &'a CgroupTrees,
    buffer: &'a mut Buffer,
    kinds: &'a mut Vec<FileKind>,
}

impl Reading<'_> {
    /// Brings the files that the core wants; whether the cgroup turned out to be gone.
    fn read(self, entry: &mut Entry, sweep: Sweep) -> bool {
        let mut gone = false;
        self.kinds.clear();
        self.kinds.extend_from_slice(self.agent.wants(entry.slot, sweep));
        for kind in self.kinds.iter() {
            let bytes = entry.files.read(*kind, self.trees, self.buffer);
            gone |= bytes == Err(ReadFault::Gone) && *kind != FileKind::NetDev;
            self.agent.sample(entry.slot, *kind, bytes);
        }
        gone
    }
}
