//! Time, links and faults: the event heap of one run. Everything that happens is one line of the trace.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use tallyman_agent_core::event::NetEvent;
use tallyman_aggregator_core::registry::Command;
use tallyman_common::ids::{Digest, NodeId, Seq, SpoolId};
use tallyman_common::message::{Hello, Welcome};
use tallyman_common::time::{HOUR_MS, MINUTE_MS, WallMs};

use super::billing::Billing;
use super::bug::Bug;
use super::cash::Cash;
use super::check;
use super::disasters::Backup;
use super::disk::SimDisk;
use super::hub::Hub;
use super::ledger::Ledger;
use super::node::Node;
use super::rng::Rng;

const HOSTS: usize = 3;
/// Simulated hours of a run before it heals.
pub const HOURS: u64 = 27;
/// Length of a run before it heals, world milliseconds.
const RUN_MS: u64 = HOURS * HOUR_MS;
/// How long delivery may take once everything is healed.
const HEAL_MS: u64 = 30 * 60_000;
// Half a day before the first of December 2025.
pub(super) const START_MS: u64 = (490_152 - 13) * HOUR_MS + 17 * 60_000 + 4_321;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Sweep { node: usize, life: u64 },
    Work { node: usize },
    Population { node: usize },
    Season { node: usize, guest: Option<u64> },
    Describe { node: usize, life: u64 },
    StartAgent { node: usize },
    Connect { node: usize },
    ToHub { asker: AskerKey, message: usize },
    ToNode { asker: AskerKey, message: usize },
    HubCommit,
    StartHub,
    LinkUp { node: usize },
    Fault,
    Settle,
    Import { node: usize, message: usize },
    Close,
    Bill,
    Cash,
}

pub(super) type AskerKey = (usize, u64);

pub(super) enum Message {
    Hello(Hello),
    Batch(Vec<u8>),
    Welcome(Welcome),
    Net(NetEvent),
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Hash of the whole trace: the same seed gives the same.
    pub trace: Digest,
    /// How often each kind of fault and branch was hit.
    pub hits: BTreeMap<&'static str, u64>,
    /// What broke, if anything.
    pub broken: Option<String>,
    /// The last lines of the trace.
    pub tail: Vec<String>,
}

/// The world.
pub struct World {
    pub(super) now_ms: u64,
    pub(super) rng: Rng,
    heap: BinaryHeap<Reverse<(u64, u64, What)>>,
    pub(super) nonce: u64,
    pub(super) messages: BTreeMap<usize, Message>,
    pub(super) next_message: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) hub: Hub,
    pub(super) sessions: Vec<Option<u64>>,
    pub(super) link_up: Vec<bool>,
    pub(super) process_life: Vec<u64>,
    pub(super) commit_planned: bool,
    pub(super) healing: bool,
    pub(super) calm: bool,
    /// Hosts without clones.
    pub(super) hosts: usize,
    pub(super) ledger: Ledger,
    /// Nodes of which there was a copy, or an older one: their batches may contradict each other.
    pub(super) twisted: BTreeSet<NodeId>,
    pub(super) snapshots: Vec<Option<(NodeId, SimDisk)>>,
    pub(super) backup: Option<Backup>,
    /// Decisions that are in the log, in order.
    pub(super) decisions: Vec<Command>,
    /// Decisions that a restore took, to be entered again.
    pub(super) to_enter: Vec<Command>,
    pub(super) drawn_keys: u8,
    pub(super) last_sent: Vec<Option<(SpoolId, Seq, Vec<u8>)>>,
    pub(super) sends: u64,
    pub(super) sent: BTreeSet<(usize, SpoolId, Seq)>,
    pub(super) bug: Option<Bug>,
    pub(super) fault: Option<String>,
    /// What each tenant's final bill said first.
    pub(super) final_bills: BTreeMap<&'static str, String>,
    pub(super) billing: Billing,
    pub(super) cash: Cash,
    hits: BTreeMap<&'static str, u64>,
    trace: Digest,
    tail: VecDeque<String>,
    print: bool,
}

/// Runs one seed. `print` shows every line of the trace.
pub fn run(seed: u64, print: bool) -> Outcome {
    run_planted(seed, print, None)
}

/// Runs one seed with a planted bug.
pub fn run_planted(seed: u64, print: bool, bug: Option<Bug>) -> Outcome {
    let mut world = World::new(seed, print);
    world.plant(bug);
    let broken = world.live().err();
    Outcome {
        trace: world.trace,
        hits: world.hits,
        broken,
        tail: world.tail.into(),
    }
}

impl World {
    fn new(seed: u64, print: bool) -> Self {
        let mut rng = Rng::new(seed);
        let nodes: Vec<Node> = (0..HOSTS)
            .map(|n| Node::new(n as u8, START_MS, &mut rng))
            .collect();
        let seeds: Vec<[u8; 32]> = nodes.iter().map(|n| n.key_seed).collect();
        let mut world = Self {
            now_ms: START_MS,
            rng,
            heap: BinaryHeap::new(),
            nonce: 0,
            messages: BTreeMap::new(),
            next_message: 0,
            nodes,
            hub: Hub::new(WallMs(START_MS), &seeds),
            sessions: vec![None; HOSTS],
            link_up: vec![true; HOSTS],
            process_life: vec![0; HOSTS],
            commit_planned: false,
            healing: false,
            calm: seed.is_multiple_of(4),
            hosts: HOSTS,
            ledger: Ledger::default(),
            twisted: BTreeSet::new(),
            snapshots: vec![None; HOSTS],
            backup: None,
            decisions: Vec::new(),
            to_enter: Vec::new(),
            drawn_keys: 0,
            last_sent: vec![None; HOSTS],
            sends: 0,
            sent: BTreeSet::new(),
            bug: None,
            fault: None,
            final_bills: BTreeMap::new(),
            billing: Billing::new(seed),
            cash: Cash::new(seed),
            hits: BTreeMap::new(),
            trace: Digest::default(),
            tail: VecDeque::new(),
            print,
        };
        (0..HOSTS).for_each(|node| world.go_live(node));
        world.plan(30_000, What::Fault);
        world.plan(HOUR_MS, What::Close);
        world.plan(HOUR_MS, What::Bill);
        if world.cash.is_on {
            world.plan(HOUR_MS, What::Cash);
        }
        world
    }

    fn go_live(&mut self, node: usize) {
        let wait = self.rng.clone().below(1_000);
        self.plan(wait, What::StartAgent { node });
        self.plan(1, What::Work { node });
        self.plan(2, What::Population { node });
        self.plan(MINUTE_MS, What::Season { node, guest: None });
    }

    /// One more host, which begins to work.
    pub(super) fn add_host(&mut self, host: Node) {
        self.nodes.push(host);
        self.sessions.push(None);
        self.link_up.push(true);
        self.process_life.push(0);
        self.last_sent.push(None);
        self.snapshots.push(None);
        self.go_live(self.nodes.len() - 1);
    }

    fn plant(&mut self, bug: Option<Bug>) {
        (self.bug, self.hub.store.bug) = (bug, bug);
        for node in &mut self.nodes {
            node.bug = bug;
            node.disk.sync_lies = bug == Some(Bug::SyncSaysYes);
            node.disk.failure_hidden = bug == Some(Bug::FailedSyncIgnored);
        }
    }

    pub(super) fn plan(&mut self, in_ms: u64, what: What) {
        self.nonce += 1;
        self.heap.push(Reverse((self.now_ms + in_ms, self.nonce, what)));
    }

    pub(super) fn hit(&mut self, what: &'static str) {
        *self.hits.entry(what).or_insert(0) += 1;
    }

    pub(super) fn note(&mut self, line: String) {
        let line = format!("{:>9} {line}", self.now_ms - START_MS);
        if self.print {
            println!("{line}");
        }
        self.trace = Digest::of(&[&self.trace.0, line.as_bytes()]);
        self.tail.push_back(line);
        if self.tail.len() > 50 {
            self.tail.pop_front();
        }
    }

    pub(super) fn wall(&self) -> WallMs {
        WallMs(self.now_ms)
    }

    fn live(&mut self) -> Result<(), String> {
        while self.now_ms < START_MS + RUN_MS {
            self.next()?;
        }
        self.hit("month's end");
        if self.nodes.iter().any(|n| n.drift_ppm != 0) {
            self.hit("clock drift");
        }
        self.heal();
        while self.now_ms < START_MS + RUN_MS + HEAL_MS {
            self.next()?;
        }
        for node in 0..self.nodes.len() {
            let lives: Vec<u64> = self.nodes[node].workloads.keys().copied().collect();
            for life in lives {
                // What lives on is in the truth with what is recorded of it.
                let workload = self.nodes[node].workloads[&life].clone();
                self.nodes[node].truth.ended(&workload, self.now_ms);
            }
        }
        check::all(self)?;
        if self.hub.has_spilled {
            self.hit("cells spilled");
        }
        *self.hits.entry("batches sent").or_insert(0) += self.sends;
        Ok(())
    }

    fn next(&mut self) -> Result<(), String> {
        let Reverse((at, _, what)) = self.heap.pop().expect("sweeps go on for ever");
        self.now_ms = at;
        self.happen(what);
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        check::removed(self)
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Sweep { node, life } => self.sweep(node, life),
            What::Work { node } => self.work(node),
            What::Population { node } => self.population(node),
            What::Season { node, guest } => self.season(node, guest),
            What::Describe { node, life } => {
                self.note(format!("n{node} workload {life} is described"));
                self.nodes[node].describe(life, self.now_ms);
            }
            What::StartAgent { node } => self.start_agent(node),
            What::Connect { node } => self.connect(node),
            What::ToHub { asker, message } => self.reach_hub(asker, message),
            What::ToNode { asker, message } => self.reach_node(asker, message),
            What::HubCommit => {
                self.bill_with_group();
                self.hub_commit();
            }
            What::StartHub => self.start_hub(),
            What::LinkUp { node } => self.link_up[node] = true,
            What::Fault => self.fault(),
            What::Settle => self.settle(),
            What::Import { node, message } => self.import(node, message),
            What::Close => self.close(),
            What::Bill => self.bill(),
            What::Cash => self.cash(),
        }
    }

    fn sweep(&mut self, node: usize, life: u64) {
        if self.process_life[node] != life || self.nodes[node].agent.is_none() {
            return;
        }
        let effects = self.nodes[node].sweep(self.now_ms);
        if let Some(closed) = effects.closed {
            self.note(format!(
                "n{node} closed {} to {} in {}",
                closed.first_seq, closed.last_seq, closed.spool
            ));
            self.hit("window closed");
            if closed.window.length_ms() > 2 * MINUTE_MS {
                self.hit("longer window");
            }
        }
        self.obey(node, effects);
        if let Some(agent) = self.nodes[node].agent.as_ref() {
            let due = self.nodes[node].world_ms_of(agent.next_timeout());
            let late = if self.healing {
                0
            } else {
                self.nodes[node].skipped_ms
            };
            let due = due + late;
            let wait = due.checked_sub(self.now_ms).map_or(1, |ms| ms.max(1));
            self.plan(wait, What::Sweep { node, life });
        }
    }

    fn start_agent(&mut self, node: usize) {
        if self.nodes[node].agent.is_some() {
            return;
        }
        let now_ms = self.now_ms;
        if !self.nodes[node].start(now_ms, &mut self.rng) {
            self.hit("killed while starting");
            self.kill_agent(node, true);
            return;
        }
        if self.nodes[node].baseline_lost {
            self.hit("checkpoint lost");
        }
        self.note_unfinished(node);
        self.process_life[node] += 1;
        let life = self.process_life[node];
        self.note(format!("n{node} agent starts, life {life}"));
        self.plan(1, What::Sweep { node, life });
        self.plan(5, What::Connect { node });
    }

    pub(super) fn kill_agent(&mut self, node: usize, power_cut: bool) {
        self.note(format!("n{node} agent killed, power cut {power_cut}"));
        self.cut(node, "agent killed");
        self.nodes[node].killed(power_cut, &mut self.rng);
        self.process_life[node] += 1;
        let wait = self.rng.between(100, 200_000);
        self.plan(wait, What::StartAgent { node });
    }
}
