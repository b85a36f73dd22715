//! The core agent and what it meters, put together: finds workloads, brings their bytes to the core in time, and does
//! what the core asks for.
//!
//! One thread owns it. No arithmetic on usage here; nothing here waits.

use std::collections::BTreeMap;
use std::path::Path;

use tallyman_agent_core::{
    Agent, Effects, Event, FileKind, Hardware, Level, NetworkSeen, Notice, ReadFault, Slot, SourceKind,
    Sweep, WorkloadSeen,
};

use crate::advice::Advice;
use crate::inbox::{Input, LinkState};
use crate::io::cgroup::CgroupTrees;
use crate::io::clock::Clock;
use crate::io::discover::{Found, SOURCE_HOST, Selection, scan};
use crate::io::disk::FolderDisk;
use crate::io::files::{Buffer, Files};
use crate::io::host::hardware;
use crate::io::netns::{Look, Namespaces};
use crate::io::watch::{Hint, Watch};
use crate::limits::{NETWORK_LOOK_NS, NETWORK_SETTLED_NS, RESCAN_NS};
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
    denied_told: bool,
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
            denied_told: false,
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
                name: crate::io::host::host_name(),
                network: NetworkSeen::None,
                trees: self.parts.machine.trees.trees(),
            };
            let files = Files::of_host(&self.parts.machine.proc);
            self.seat(seen, files, Network::None);
        }
        for found in self.scan("/") {
            self.appear(found, false);
        }
        self.rescan_at_ns = self.parts.machine.clock.now().boot_ns + RESCAN_NS;
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
        let now = self.parts.machine.clock.now();
        if now.boot_ns >= self.rescan_at_ns {
            self.rescan();
        }
        self.look_at_networks();
        let now = self.parts.machine.clock.now();
        let sweep = self.agent.begin(now);
        let mut gone = false;
        let (table, trees) = (&mut self.table, &self.parts.machine.trees);
        for entry in table.iter_mut() {
            let reading = Reading {
                agent: &mut self.agent,
                trees,
                buffer: &mut self.buffer,
                kinds: &mut self.kinds,
            };
            gone |= reading.read(entry, sweep);
        }
        let effects = self.agent.step(now, Event::SweepDone, &mut self.disk);
        self.apply(effects);
        if gone {
            self.rescan();
        }
    }

    /// Takes the kernel's hints that are there.
    pub fn take_hints(&mut self) {
        let mut hints = std::mem::take(&mut self.hints);
        self.watch.take(&mut hints);
        for hint in hints.drain(..) {
            match hint {
                Hint::Created(path) => {
                    for found in self.scan(&path) {
                        self.appear(found, true);
                    }
                }
                Hint::Deleted(path) => self.went(&path),
                Hint::Changed(path) => self.population_changed(&path),
                Hint::Lost => self.rescan(),
            }
        }
        self.hints = hints;
    }

    /// Looks at the network of workloads of which it is not known yet.
    pub fn look_at_networks(&mut self) {
        let now_ns = self.parts.machine.clock.now().boot_ns;
        let mut found = Vec::new();
        let mut any_young = false;
        for entry in self.table.iter_mut() {
            let age_ns = now_ns - entry.since_ns;
            if !entry.is_watched && entry.path != "/" {
                if let Some(file) = self.parts.machine.trees.events_file(&entry.path) {
                    self.watch.events(&entry.path, &file);
                    entry.is_watched = true;
                }
            }
            if entry.network != Network::Sought {
                continue;
            }
            let folder = self.parts.machine.trees.folder(&entry.path);
            let Some(look) = folder.map(|folder| self.namespaces.look(&folder)) else {
                continue;
            };
            let is_settled = age_ns >= NETWORK_SETTLED_NS;
            match look {
                Look::Own { inode, file } => {
                    entry.files.keep_net(Some(file));
                    found.push((entry.slot, NetworkSeen::Namespace(inode)));
                    entry.network = Network::Told;
                }
                Look::Host if is_settled => {
                    found.push((entry.slot, NetworkSeen::Host));
                    entry.network = Network::Told;
                }
                Look::Denied if is_settled && !std::mem::replace(&mut self.denied_told, true) => {
                    tracing::error!(
                        path = %entry.path,
                        "network namespaces of other users' processes may not be looked at, so their traffic is not \
                         metered: run the agent as root or with CAP_SYS_PTRACE"
                    )
                }
                Look::Host | Look::Denied | Look::Empty => any_young |= age_ns < NETWORK_SETTLED_NS * 2,
            }
        }
        self.look_at_ns = any_young.then_some(now_ns + NETWORK_LOOK_NS);
        for (slot, network) in found {
            self.step(Event::NetworkFound { slot, network });
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

    fn read_all(&mut self, sweep: Sweep) {
        for entry in self.table.iter_mut() {
            let reading = Reading {
                agent: &mut self.agent,
                trees: &self.parts.machine.trees,
                buffer: &mut self.buffer,
                kinds: &mut self.kinds,
            };
            reading.read(entry, sweep);
        }
    }

    fn scan(&mut self, from: &str) -> Vec<Found> {
        let (trees, watch) = (&self.parts.machine.trees, &mut self.watch);
        scan(trees, &self.parts.selection, from, &mut |path| {
            if let Some(folder) = trees.folder(path) {
                watch.folder(path, &folder);
            }
        })
    }

    /// Compares everything that is there with everything that is metered.
    fn rescan(&mut self) {
        self.rescan_at_ns = self.parts.machine.clock.now().boot_ns + RESCAN_NS;
        let there: BTreeMap<String, Found> =
            self.scan("/").into_iter().map(|f| (f.path.clone(), f)).collect();
        let is_there = |path: &str, life: u64| there.get(path).is_some_and(|found| found.life == life);
        let gone: Vec<Slot> = self
            .table
            .iter()
            .filter(|e| e.path != "/" && !is_there(&e.path, e.life))
            .map(|e| e.slot)
            .collect();
        self.ended.retain(|path, life| is_there(path, *life));
        for slot in gone {
            self.end(slot);
        }
        for found in there.into_values() {
            self.appear(found, true);
        }
        self.table.iter_mut().for_each(|entry| entry.files.look_again());
        let hardware = hardware(&self.parts.machine.sys, &self.parts.machine.proc);
        if hardware != self.parts.hardware {
            self.parts.hardware = hardware.clone();
            self.step(Event::HardwareChanged(hardware));
        }
    }

    /// A cgroup is there. `at_once`: it is read right away, for it may not live until the next sweep.
    fn appear(&mut self, found: Found, at_once: bool) {
        if let Some(known) = self.table.at(&found.path) {
            if known.life == found.life {
                return;
            }
            let slot = known.slot;
            self.end(slot);
        }
        let has_ended = self.ended.get(&found.path) == Some(&found.life);
        if has_ended && self.parts.machine.trees.is_populated(&found.path) != Some(true) {
            return;
        }
        self.ended.remove(&found.path);
        let sought = found.container.is_some();
        let files = Files::of_cgroup(&found.path);
        let seen = WorkloadSeen {
            name: name_of(&found),
            network: if sought {
                NetworkSeen::Unknown
            } else {
                NetworkSeen::None
            },
            trees: self.parts.machine.trees.trees(),
            path: found.path,
            life: found.life,
            kind: found.kind,
            source: found.source,
            container: found.container,
        };
        let network = if sought { Network::Sought } else { Network::None };
        let slot = self.seat(seen, files, network);
        if let (Some(slot), true) = (slot, at_once) {
            self.look_at_networks();
            self.read_last(slot);
        } else {
            self.look_at_ns = Some(self.parts.machine.clock.now().boot_ns);
        }
    }

    fn seat(&mut self, seen: WorkloadSeen, files: Files, network: Network) -> Option<Slot> {
        let now = self.parts.machine.clock.now();
        let (path, life, container) = (seen.path.clone(), seen.life, seen.container);
        let effects = self.agent.step(now, Event::Appeared(seen), &mut self.disk);
        let slot = effects.slot;
        self.apply(effects);
        let entry = Entry {
            slot: slot?,
            path,
            life,
            container,
            files,
            network,
            is_watched: false,
            is_read_out: false,
            since_ns: now.boot_ns,
        };
        self.table.put(entry);
        slot
    }

    /// The folder at a path went, and all below it.
    fn went(&mut self, path: &str) {
        self.ended.remove(path);
        for slot in self.table.below(path) {
            self.end(slot);
        }
    }

    /// `cgroup.events` of a workload says that it became empty, or is not any more.
    fn population_changed(&mut self, path: &str) {
        let Some((slot, container)) = self.table.at(path).map(|e| (e.slot, e.container)) else {
            return;
        };
        match self.parts.machine.trees.is_populated(path) {
            Some(true) => {
                if let Some(entry) = self.table.get_mut(slot) {
                    entry.is_read_out = false;
                }
                self.look_at_networks();
            }
            Some(false) => {
                self.read_last(slot);
                if let Some(entry) = self.table.get_mut(slot) {
                    entry.is_read_out = true;
                }
                // A slice can be filled again; a container's life is over.
                if container.is_some() {
                    self.end(slot);
                }
            }
            // It is being removed.
            None if !self.parts.machine.trees.is_there(path) => self.end(slot),
            None => {}
        }
    }

    fn end(&mut self, slot: Slot) {
        let is_read_out = self.table.get_mut(slot).is_none_or(|entry| entry.is_read_out);
        if !is_read_out {
            self.read_last(slot);
        }
        if let Some(entry) = self.table.take(slot) {
            if entry.container.is_some() {
                self.ended.insert(entry.path, entry.life);
            }
            self.step(Event::Gone { slot });
        }
    }

    /// All files of one workload, now.
    fn read_last(&mut self, slot: Slot) {
        let now = self.parts.machine.clock.now();
        let sweep = self.agent.begin_last(now);
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        let reading = Reading {
            agent: &mut self.agent,
            trees: &self.parts.machine.trees,
            buffer: &mut self.buffer,
            kinds: &mut self.kinds,
        };
        reading.read(entry, sweep);
    }

    fn step(&mut self, event: Event) {
        let now = self.parts.machine.clock.now();
        let effects = self.agent.step(now, event, &mut self.disk);
        self.apply(effects);
    }

    fn apply(&mut self, effects: Effects) {
        effects.notices.iter().for_each(tell);
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
            self.parts.advice.window_closed(&self.table);
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

fn name_of(found: &Found) -> String {
    const SHORT: usize = 12;
    match &found.container {
        // As `docker ps` shows it, until Docker says its name.
        Some(id) => id.to_string()[..SHORT].to_owned(),
        None => Path::new(&found.path)
            .file_name()
            .map_or_else(|| found.path.clone(), |name| name.to_string_lossy().into_owned()),
    }
}

/// Logs what the core has to tell.
pub fn tell(notice: &Notice) {
    let Notice { level, code, text } = notice;
    match level {
        Level::Info => tracing::info!(code, "{text}"),
        Level::Warning => tracing::warn!(code, "{text}"),
        Level::Error => tracing::error!(code, "{text}"),
    }
}
