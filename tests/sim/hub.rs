//! The aggregator's process in the simulation: gathers events, commits, crashes, comes back.

use std::collections::{BTreeMap, BTreeSet};

use tallyman_aggregator_core::aggregator::{Aggregator, Answer, Event, Ticket, initialise};
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::ingest::{Refusal, check};
use tallyman_aggregator_core::memory::MemoryStore;
use tallyman_aggregator_core::registry::{Command, Registry, TenantTerms};
use tallyman_aggregator_core::seal::{Draft, next};
use tallyman_common::ids::{Digest, NodeId, StoreId};
use tallyman_common::message::Hello;
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{Hour, WallMs};

use super::bug::{self, Bug};
use super::payers::{self, Payer};
use super::population::SEASONAL;
use super::store::{NextCommit, SimStore};

/// Price book of the simulated platform.
pub const PRICES: &str = include_str!("prices.toml");

/// Whom an answer goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// Which node.
    pub node: usize,
    /// On which connection.
    pub session: u64,
}

/// The aggregator.
pub struct Hub {
    /// What is durable.
    pub store: SimStore,
    /// The process, while it lives.
    pub process: Option<Aggregator>,
    waiting: BTreeMap<Ticket, Asker>,
    next_ticket: Ticket,
    /// Batches that were counted since the last commit.
    pending: BTreeSet<Digest>,
    /// Batches that came again before the commit of their own.
    twins: Vec<Vec<u8>>,
    /// How many of those a commit was durable with.
    pub twins_seen: u64,
    /// Written values that the process keeps in memory at most; `None`: as many as it likes.
    pub room: Option<usize>,
    /// Values were taken out of memory for want of room.
    pub has_spilled: bool,
    /// How often the process has started.
    pub lives: u64,
}

impl Hub {
    /// A fresh data folder with its nodes enrolled, its tenants known and prices in force.
    pub fn new(now: WallMs, nodes: &[[u8; 32]]) -> Self {
        let mut store = SimStore {
            inner: MemoryStore::default(),
            next: NextCommit::Works,
            bug: None,
        };
        initialise(&mut store, StoreId([1; 16])).expect("the simulated store works");
        let process = Aggregator::open(&store, now).expect("a fresh store opens");
        let mut hub = Self {
            store,
            process: Some(process),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            pending: BTreeSet::new(),
            twins: Vec::new(),
            twins_seen: 0,
            room: None,
            has_spilled: false,
            lives: 1,
        };
        for seed in nodes {
            hub.enrol(now, seed);
        }
        for command in payers::accounts() {
            hub.command(now, command);
        }
        for tenant in 0..=SEASONAL {
            hub.command(now, Command::SetTenant(terms(tenant)));
        }
        let from = Hour(now.hour().0 - now.hour().0 % 24);
        hub.command(
            now,
            Command::AddPriceBook {
                text: PRICES.to_owned(),
                from,
            },
        );
        for command in payers::terms() {
            hub.command(now, command);
        }
        hub
    }

    fn enrol(&mut self, now: WallMs, seed: &[u8; 32]) {
        let (signing_key, token) = (NodeKey::from_seed(seed).public().to_bytes(), Digest::of(&[seed]));
        let expires = WallMs(now.0 + 1_000);
        let id = format!("node-{}", seed[0]);
        self.command(
            now,
            Command::CreateNodeToken {
                id,
                hash: token,
                group: "default".into(),
                expires,
            },
        );
        let (node, host_name) = (NodeId::of_key(&signing_key), "simulated".to_owned());
        self.command(
            now,
            Command::EnrolNode {
                token,
                node,
                signing_key,
                host_name,
            },
        );
    }

    /// A decision at a quiet moment, which takes effect.
    fn command(&mut self, now: WallMs, command: Command) {
        let answer = self.decide(now, command);
        assert!(matches!(answer, Answer::Applied(_)), "{answer:?}");
    }

    /// A decision at a quiet moment, while the process lives.
    pub fn decide(&mut self, now: WallMs, command: Command) -> Answer {
        let (actor, source) = ("sim".to_owned(), "sim".to_owned());
        let process = self.process.as_mut().expect("decisions are made while it lives");
        let event = Event::Command {
            ticket: u64::MAX,
            actor,
            source,
            command,
        };
        process
            .step(now, event, &self.store)
            .expect("the simulated store reads");
        let answers = process
            .commit(now, false, &mut self.store)
            .expect("a quiet commit works")
            .into_inner();
        let mut answers = answers.into_iter().map(|(_, answer)| answer);
        answers.next().expect("a decision is answered")
    }

    /// Decides the next of what is due to be closed; what was drafted, once it is durable. `None` when nothing is due,
    /// when something has come since, or when the process died of the commit.
    pub fn decide_next(&mut self, now: WallMs, grace_ms: u64) -> Option<Draft> {
        // Drafts are made from what is written.
        self.commit(now, true)?;
        let process = self.process.as_mut()?;
        let books = Books {
            store: &self.store,
            registry: process.registry(),
            marks: process.marks(),
            position: process.position(),
            now,
        };
        let draft = next(books, grace_ms).expect("the simulated store reads")?;
        let event = match draft.clone() {
            Draft::Hole(hole) => Event::Judge(u64::MAX, hole),
            Draft::Hour(command) => Event::Command {
                ticket: u64::MAX,
                actor: "clock".to_owned(),
                source: "sim".to_owned(),
                command,
            },
        };
        process
            .step(now, event, &self.store)
            .expect("the simulated store reads");
        match process.commit(now, true, &mut self.store) {
            Ok(done) => {
                let is_applied = matches!(done.get()[..], [(_, Answer::Applied(_))]);
                is_applied.then_some(draft)
            }
            Err(_) => {
                self.kill();
                None
            }
        }
    }

    /// A greeting came.
    pub fn hello(&mut self, now: WallMs, asker: Asker, hello: Hello) {
        let ticket = self.ticket(asker);
        if let Some(process) = self.process.as_mut() {
            process
                .step(now, Event::Hello(ticket, hello), &self.store)
                .expect("the simulated store reads");
        }
    }

    /// A batch came.
    pub fn batch(&mut self, now: WallMs, asker: Asker, node: NodeId, frame: Vec<u8>) -> Result<(), Refusal> {
        let ticket = self.ticket(asker);
        if let Some(process) = self.process.as_mut() {
            let checked = check(frame.clone(), Some(node), process.registry())?;
            let (digest, before) = (checked.digest, process.counters());
            let event = Event::Batch(ticket, Box::new(checked));
            process
                .step(now, event, &self.store)
                .expect("the simulated store reads");
            if process.counters().counted > before.counted {
                self.pending.insert(digest);
            } else if process.counters().duplicates > before.duplicates && self.pending.contains(&digest) {
                self.twins.push(frame);
            }
        }
        Ok(())
    }

    /// Why a batch would not be believed, if so; also while the process is down.
    pub fn refusal(&self, node: NodeId, frame: Vec<u8>) -> Option<Refusal> {
        let unknown = Registry::default();
        let registry = self.process.as_ref().map_or(&unknown, |p| p.registry());
        check(frame, Some(node), registry).err()
    }

    /// Whether a node is known and the process lives.
    pub fn knows(&self, node: NodeId) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|p| p.registry().nodes.contains_key(&node))
    }

    fn ticket(&mut self, asker: Asker) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, asker);
        self.next_ticket
    }

    /// Commits the group. `None`: the commit failed and the process ended.
    pub fn commit(&mut self, now: WallMs, flush_all: bool) -> Option<Vec<(Asker, Answer)>> {
        let process = self.process.as_mut()?;
        match process.commit(now, flush_all, &mut self.store) {
            Ok(done) => {
                self.has_spilled |= process.spilled() > 0;
                self.pending.clear();
                let twins = std::mem::take(&mut self.twins);
                self.twins_seen += twins.len() as u64;
                if self.store.bug == Some(Bug::BlindToPending) && !twins.is_empty() {
                    bug::count_again(&mut self.store, now, &twins);
                    self.start(now);
                }
                let asked = |(ticket, answer)| self.waiting.remove(&ticket).map(|asker| (asker, answer));
                Some(done.into_inner().into_iter().filter_map(asked).collect())
            }
            Err(_) => {
                self.kill();
                None
            }
        }
    }

    /// Commits what one asker entered and hears the answers. `None`: the commit failed and the process ended.
    pub fn commit_alone(&mut self, now: WallMs) -> Option<Vec<Answer>> {
        let process = self.process.as_mut()?;
        match process.commit(now, false, &mut self.store) {
            Ok(done) => Some(done.into_inner().into_iter().map(|(_, answer)| answer).collect()),
            Err(_) => {
                self.kill();
                None
            }
        }
    }

    /// The process ends; what was not committed is gone.
    pub fn kill(&mut self) {
        self.process = None;
        self.waiting.clear();
        self.pending.clear();
        self.twins.clear();
    }

    /// The process starts again.
    pub fn start(&mut self, now: WallMs) {
        let mut process = Aggregator::open(&self.store, now).expect("a committed store opens");
        if let Some(hours) = self.room {
            process.keep_at_most(hours);
        }
        self.process = Some(process);
        self.lives += 1;
    }
}

/// The terms of a tenant, whose claims rules may write in two ways.
pub fn terms(number: u64) -> TenantTerms {
    let tenant = format!("t{number}");
    let payer = Payer::of(&tenant);
    TenantTerms {
        claims: vec![tenant.clone(), format!("alt-{tenant}")],
        name: tenant.clone(),
        account: payer.account.into(),
        tenant,
        zone: payer.zone.into(),
        currency: "USD".into(),
        language: "en".into(),
        from: Hour(0),
    }
}
