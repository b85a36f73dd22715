//! Time, links and faults: the event heap of one run. Everything that happens is one line of the trace.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use tallyman_agent_core::Effects;
use tallyman_agent_core::event::NetEvent;
use tallyman_aggregator_core::aggregator::Answer;
use tallyman_common::ids::{Digest, NodeId, Seq, SpoolId};
use tallyman_common::message::{Ack, Hello, Welcome};
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{HOUR_MS, WallMs};
use tallyman_common::wire::Frame;

use super::bug::{self, Bug};
use super::check;
use super::hub::{Asker, Hub};
use super::node::Node;
use super::rng::Rng;

pub(super) const NODES: usize = 3;
/// Simulated hours of a run before it heals.
pub const HOURS: u64 = 27;
/// Length of a run before it heals, world milliseconds.
const RUN_MS: u64 = HOURS * HOUR_MS;
/// How long delivery may take once everything is healed.
const HEAL_MS: u64 = 30 * 60_000;
// Half a day before the first of December 2025.
const START_MS: u64 = (490_152 - 13) * HOUR_MS + 17 * 60_000 + 4_321;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Sweep { node: usize, life: u64 },
    Work { node: usize },
    Population { node: usize },
    Describe { node: usize, life: u64 },
    StartAgent { node: usize },
    Connect { node: usize },
    ToHub { asker: AskerKey, message: usize },
    ToNode { asker: AskerKey, message: usize },
    HubCommit,
    StartHub,
    LinkUp { node: usize },
    Fault,
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
    nonce: u64,
    messages: BTreeMap<usize, Message>,
    next_message: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) hub: Hub,
    pub(super) sessions: Vec<Option<u64>>,
    pub(super) link_up: Vec<bool>,
    pub(super) process_life: Vec<u64>,
    pub(super) commit_planned: bool,
    pub(super) healing: bool,
    pub(super) calm: bool,
    /// Batches whose acknowledgement an agent saw.
    pub(super) acked: BTreeSet<(NodeId, SpoolId, Seq)>,
    /// How far each spool was acknowledged.
    pub(super) upto: BTreeMap<(NodeId, SpoolId), Seq>,
    pub(super) last_sent: Vec<Option<(SpoolId, Seq, Vec<u8>)>>,
    sent: BTreeSet<(usize, SpoolId, Seq)>,
    bug: Option<Bug>,
    pub(super) fault: Option<String>,
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
        let nodes: Vec<Node> = (0..NODES)
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
            sessions: vec![None; NODES],
            link_up: vec![true; NODES],
            process_life: vec![0; NODES],
            commit_planned: false,
            healing: false,
            calm: seed.is_multiple_of(4),
            acked: BTreeSet::new(),
            upto: BTreeMap::new(),
            last_sent: vec![None; NODES],
            sent: BTreeSet::new(),
            bug: None,
            fault: None,
            hits: BTreeMap::new(),
            trace: Digest::default(),
            tail: VecDeque::new(),
            print,
        };
        for node in 0..NODES {
            world.plan(world.rng.clone().below(1_000), What::StartAgent { node });
            world.plan(1, What::Work { node });
            world.plan(2, What::Population { node });
        }
        world.plan(30_000, What::Fault);
        world
    }

    fn plant(&mut self, bug: Option<Bug>) {
        (self.bug, self.hub.store.bug) = (bug, bug);
        for node in &mut self.nodes {
            node.bug = bug;
            node.disk.sync_lies = bug == Some(Bug::SyncSaysYes);
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
        for node in 0..NODES {
            let lives: Vec<u64> = self.nodes[node].workloads.keys().copied().collect();
            for life in lives {
                // What lives on is in the truth with what is recorded of it.
                let workload = self.nodes[node].workloads[&life].clone();
                self.nodes[node].truth.ended(&workload, self.now_ms);
            }
        }
        check::all(self)
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
            What::Describe { node, life } => {
                self.note(format!("n{node} workload {life} is described"));
                self.nodes[node].describe(life, self.now_ms);
            }
            What::StartAgent { node } => self.start_agent(node),
            What::Connect { node } => self.connect(node),
            What::ToHub { asker, message } => self.reach_hub(asker, message),
            What::ToNode { asker, message } => self.reach_node(asker, message),
            What::HubCommit => self.hub_commit(),
            What::StartHub => self.start_hub(),
            What::LinkUp { node } => self.link_up[node] = true,
            What::Fault => self.fault(),
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

    /// Does what the agent wants; notices when its process was killed on the way.
    fn obey(&mut self, node: usize, effects: Effects) {
        for outgoing in effects.send {
            if let Some(session) = self.sessions[node] {
                self.note(format!("n{node} sends {} of {}", outgoing.seq, outgoing.spool));
                let again = !self.sent.insert((node, outgoing.spool, outgoing.seq));
                let fresh = if self.bug.is_some() {
                    self.rng.id()
                } else {
                    [0; 16]
                };
                let key = NodeKey::from_seed(&self.nodes[node].key_seed);
                let frame = bug::leaving(self.bug, &key, outgoing.frame, again, fresh);
                self.last_sent[node] = Some((outgoing.spool, outgoing.seq, frame.clone()));
                self.post(node, session, true, Message::Batch(frame));
            }
        }
        if effects.disconnect.is_some() {
            self.hit("agent reconnects");
            self.cut(node, "wish");
        }
        if self.nodes[node].disk.is_dead() {
            self.kill_agent(node, false);
        }
    }

    pub(super) fn post(&mut self, node: usize, session: u64, to_hub: bool, message: Message) {
        let delay = self.rng.between(1, 60);
        self.next_message += 1;
        self.messages.insert(self.next_message, message);
        let (asker, message) = ((node, session), self.next_message);
        self.plan(
            delay,
            if to_hub {
                What::ToHub { asker, message }
            } else {
                What::ToNode { asker, message }
            },
        );
    }

    fn work(&mut self, node: usize) {
        let elapsed = self.rng.between(20_000, 400_000);
        if !self.healing {
            let Self { nodes, rng, .. } = self;
            for workload in nodes[node].workloads.values_mut() {
                if rng.chance(70) {
                    let has_network = workload.container.is_some();
                    workload.counters.work(elapsed, has_network, rng);
                }
            }
            self.plan(elapsed, What::Work { node });
        }
    }

    fn population(&mut self, node: usize) {
        if self.healing {
            return;
        }
        let ready = self.nodes[node].metering;
        if ready && self.nodes[node].workloads.len() < 6 && self.rng.chance(60) {
            let life = self.nodes[node].spawn(self.now_ms, &mut self.rng);
            self.note(format!(
                "n{node} workload {life} of {}",
                self.nodes[node].workloads[&life].path
            ));
            let delay = self.rng.below(9_000);
            self.plan(delay, What::Describe { node, life });
        } else if let Some(life) = self.nodes[node]
            .workloads
            .keys()
            .next()
            .copied()
            .filter(|_| self.rng.chance(50))
        {
            self.hit("workload ended");
            self.note(format!("n{node} workload {life} ends"));
            self.nodes[node].end(life, self.now_ms);
        }
        let wait = self.rng.between(300, 900_000);
        self.plan(wait, What::Population { node });
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

    fn connect(&mut self, node: usize) {
        if self.sessions[node].is_some() || self.nodes[node].agent.is_none() {
            return;
        }
        let retry = self.rng.between(1_000, 20_000);
        self.plan(retry, What::Connect { node });
        if !self.link_up[node] || self.hub.process.is_none() {
            return;
        }
        self.nonce += 1;
        let session = self.nonce;
        self.sessions[node] = Some(session);
        let hello = self.nodes[node].hello(self.now_ms).expect("the agent lives");
        self.note(format!(
            "n{node} connects, spool {} at {}",
            hello.spool, hello.last_seq
        ));
        self.post(node, session, true, Message::Hello(hello));
    }

    pub(super) fn cut(&mut self, node: usize, why: &str) {
        if self.sessions[node].take().is_some() {
            self.note(format!("n{node} link cut: {why}"));
            let effects = self.nodes[node].net(self.now_ms, NetEvent::Disconnected);
            assert!(effects.send.is_empty(), "nothing can be sent without a session");
            let wait = self.rng.between(500, 20_000);
            self.plan(wait, What::Connect { node });
        }
    }

    fn reach_hub(&mut self, (node, session): AskerKey, message: usize) {
        let message = self.messages.remove(&message).expect("delivered once");
        let alive = self.sessions[node] == Some(session);
        let asker = Asker { node, session };
        match message {
            Message::Hello(hello) if alive => self.hub.hello(self.wall(), asker, hello),
            // A batch that had left before the link was cut may arrive all the same; nobody hears the answer.
            Message::Batch(frame) if alive || self.rng.chance(50) => {
                if !alive {
                    self.hit("late batch of a dead link");
                }
                let id = self.nodes[node].id;
                if self.bug == Some(Bug::AckBeforeCommit) && alive && self.hub.process.is_some() {
                    let header = Frame::parse(&frame).expect("agents send frames").header;
                    let (spool, seq) = (header.spool, header.seq);
                    let ack = Ack {
                        spool,
                        seq,
                        upto: seq,
                        known: false,
                    };
                    self.post(node, session, false, Message::Net(NetEvent::Ack(ack)));
                }
                self.hub.batch(self.wall(), asker, id, frame);
            }
            _ => return,
        }
        if !std::mem::replace(&mut self.commit_planned, true) {
            let wait = self.rng.between(1, 25);
            self.plan(wait, What::HubCommit);
        }
    }

    fn hub_commit(&mut self) {
        self.commit_planned = false;
        if self.hub.process.is_none() {
            return;
        }
        match self.hub.commit(self.wall(), false) {
            Some(answers) => answers
                .into_iter()
                .for_each(|(asker, answer)| self.answer(asker, answer)),
            None => self.hub_died(),
        }
    }

    pub(super) fn hub_died(&mut self) {
        self.note("aggregator ends".to_owned());
        (0..NODES).for_each(|node| self.cut(node, "aggregator ended"));
        let wait = self.rng.between(100, 100_000);
        self.plan(wait, What::StartHub);
    }

    pub(super) fn start_hub(&mut self) {
        if self.hub.process.is_none() {
            self.note("aggregator starts".to_owned());
            self.hub.start(self.wall());
        }
    }

    fn answer(&mut self, asker: Asker, answer: Answer) {
        let Asker { node, session } = asker;
        if self.sessions[node] != Some(session) || self.rng.chance(3) && !self.healing {
            // QUIC loses nothing on a living connection: an answer is lost with its connection.
            self.hit("lost answer");
            if self.sessions[node] == Some(session) {
                self.cut(node, "answer lost");
            }
            return;
        }
        let message = match answer {
            Answer::Ack(mut ack) => {
                if self.bug == Some(Bug::WatermarkByTime) {
                    let last = self.last_sent[node]
                        .as_ref()
                        .filter(|(spool, ..)| *spool == ack.spool);
                    ack.upto = last.map_or(ack.upto, |(_, seq, _)| *seq);
                }
                Message::Net(NetEvent::Ack(ack))
            }
            Answer::Nack(nack, reason) => {
                self.note(format!("n{node} nack {} {reason:?}", nack.seq));
                Message::Net(NetEvent::Nack(nack))
            }
            Answer::Welcome(welcome) => Message::Welcome(welcome),
            Answer::Applied(_) | Answer::Rejected(_) => return,
        };
        self.post(node, session, false, message);
    }

    fn reach_node(&mut self, (node, session): AskerKey, message: usize) {
        let message = self.messages.remove(&message).expect("delivered once");
        if self.sessions[node] != Some(session) || self.nodes[node].agent.is_none() {
            return;
        }
        let effects = match message {
            Message::Welcome(welcome) => {
                self.note(format!("n{node} welcomed at {}", welcome.watermark));
                self.nodes[node].welcomed(self.now_ms, welcome, &mut self.rng)
            }
            Message::Net(event) => {
                if let NetEvent::Ack(ack) = &event {
                    self.note(format!("n{node} ack {} upto {}", ack.seq, ack.upto));
                    let upto = self
                        .upto
                        .entry((self.nodes[node].id, ack.spool))
                        .or_insert(ack.upto);
                    *upto = ack.upto.max(*upto);
                    self.acked.insert((self.nodes[node].id, ack.spool, ack.seq));
                }
                self.nodes[node].net(self.now_ms, event)
            }
            Message::Hello(_) | Message::Batch(_) => unreachable!("these go the other way"),
        };
        self.obey(node, effects);
    }
}
