//! The monthly run in the simulation: packing, drafting, issuing, notes for late usage, one step at a time, with crashes
//! around every commit. Chance is a stream of its own, so that what else happens in a run of a seed does not depend on it.
//!
//! Drafts are made from what is written and are entered later, as the shell does; they go with the process.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tallyman_aggregator_core::accounts::adjust::note;
use tallyman_aggregator_core::accounts::command::{Draft, Fate};
use tallyman_aggregator_core::accounts::run::{Drafts, Due, Open, Prepared, drafts_of, open};
use tallyman_aggregator_core::accounts::{Booked, MoneyCommand};
use tallyman_aggregator_core::aggregator::{Answer, Asker, Event};
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::rating::Month;
use tallyman_aggregator_core::registry::{Command, Rejected};
use tallyman_aggregator_core::seal::digest_of;
use tallyman_aggregator_core::seal::packing::{Cursor, next_piece};
use tallyman_common::ids::Digest;
use tallyman_common::time::{HOUR_MS, Hour, MINUTE_MS};

use super::documents::{invoices, numbers};
use super::payers::MONTHS;
use super::rng::Rng;
use super::store::NextCommit;
use super::world::{What, World};

/// What makes the stream of a seed another one.
const STREAM: u64 = 0x6d6f_6e65_7900_0001;
/// Steps in which everything that is due at the end is done.
const STEPS_MAX: u64 = 1_000;
/// Commits within which a note is written, though some fail.
const NOTES_MAX: u64 = 20;

/// What the monthly run remembers, and what is known of numbers.
pub(super) struct Billing {
    pub(super) rng: Rng,
    /// Drafted, not entered yet.
    pub(super) waiting: VecDeque<MoneyCommand>,
    /// Which life of the process drafted it.
    life: u64,
    /// Where packing goes on.
    cursor: Option<Cursor>,
    /// Months in which an account had nothing to bill.
    pub(super) nothing: BTreeSet<(Month, String)>,
    /// Every number that was ever durable: position and digest of the decision that gave it.
    pub(super) given: BTreeMap<String, (u64, Digest)>,
}

impl Billing {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed ^ STREAM),
            waiting: VecDeque::new(),
            life: 0,
            cursor: None,
            nothing: BTreeSet::new(),
            given: BTreeMap::new(),
        }
    }
}

impl World {
    /// One step, and when the next one comes: soon, where drafts wait to be issued.
    pub(super) fn bill(&mut self) {
        if let Err(broken) = self.bill_next() {
            self.fault.get_or_insert(broken);
        }
        let soon = !self.billing.waiting.is_empty();
        let (from, to) = if soon {
            (1, MINUTE_MS / 2)
        } else {
            (MINUTE_MS, HOUR_MS)
        };
        let wait = self.billing.rng.between(from, to);
        self.plan(wait, What::Bill);
    }

    /// A group of batches is about to be committed; what waits may go with it.
    pub(super) fn bill_with_group(&mut self) {
        let waits = self.commit_planned && !self.billing.waiting.is_empty();
        if waits && self.billing.rng.chance(50) {
            let done = self.bill_next();
            self.fault = self.fault.take().or(done.err());
        }
    }

    fn bill_next(&mut self) -> Result<(), String> {
        if self.hub.process.is_none() {
            return Ok(());
        }
        self.forget_with_process();
        if let Some(command) = self.billing.waiting.pop_front() {
            return self.issue(command);
        }
        match self.billing.rng.below(8) {
            0 | 1 => self.pack_next().map(|_| ()),
            2 => self.draft_note(),
            3 if self.billing.rng.chance(30) => self.void_one(),
            _ => self.draft_due().map(|_| ()),
        }
    }

    /// What was not entered goes with the process.
    fn forget_with_process(&mut self) {
        if self.billing.life == self.hub.lives {
            return;
        }
        self.billing.life = self.hub.lives;
        if !self.billing.waiting.is_empty() {
            self.hit("drafts lost with the process");
        }
        self.billing.waiting.clear();
        self.billing.nothing.clear();
        self.billing.cursor = None;
    }

    /// Packs some owners of the day or month that is packed next; false if there is none.
    fn pack_next(&mut self) -> Result<bool, String> {
        let last = self.billing.cursor.take();
        let piece = self.read(|books| next_piece(books.store, books.registry, last.as_ref()));
        let Some(piece) = piece?.map_err(|e| e.to_string())? else {
            return Ok(false);
        };
        self.hit("sealed hours packed");
        self.billing.cursor = piece.next.clone().map(|from| (piece.until, from));
        self.enter(vec![Event::Pack(u64::MAX, Box::new(piece))]);
        Ok(true)
    }

    /// Drafts what is due, in pieces of one account or more; false if nothing is.
    fn draft_due(&mut self) -> Result<bool, String> {
        let Open { mut due, void, .. } = self.read(open)?.map_err(|e| e.to_string())?;
        due.extend(void.into_iter().map(|it| Due {
            month: it.month,
            accounts: vec![it.account],
            again: true,
        }));
        for Due {
            month,
            mut accounts,
            again,
        } in due
        {
            accounts.retain(|it| !self.billing.nothing.contains(&(month, it.clone())));
            if accounts.is_empty() {
                continue;
            }
            let found =
                self.read(|books| drafts_of(books, &Prepared::read(books, month)?.again(again), &accounts))?;
            let Drafts {
                drafts,
                existing,
                nothing,
                not_billed,
                ..
            } = found.map_err(|e| e.to_string())?;
            if let Some(first) = not_billed.first().map(|it| &it.reason) {
                return Err(format!("I7: an account is not billed: {first}"));
            }
            if again {
                self.hit("void month drafted again");
            }
            if let Some(first) = existing.first() {
                return Err(format!("I9: {} is due and has {}", first.account, first.number));
            }
            for account in nothing {
                self.hit("month of nothing");
                self.billing.nothing.insert((month, account));
            }
            self.wait_in_pieces(month, drafts);
        }
        Ok(!self.billing.waiting.is_empty())
    }

    fn wait_in_pieces(&mut self, month: Month, mut drafts: Vec<Draft>) {
        while !drafts.is_empty() {
            let count = 1 + self.billing.rng.below(drafts.len() as u64) as usize;
            let documents: Vec<Draft> = drafts.drain(..count).collect();
            let month = month.to_string();
            let command = MoneyCommand::IssueInvoices { month, documents };
            self.billing.waiting.push_back(command);
        }
    }

    /// Drafts a note over late usage of some invoice's month.
    fn draft_note(&mut self) -> Result<(), String> {
        let known = invoices(&self.hub.store)?;
        if known.is_empty() {
            return Ok(());
        }
        let at = self.billing.rng.below(known.len() as u64) as usize;
        let number = known[at].document.number.clone();
        let command = self.read(|books| note(books, &number, "it came late"))?;
        self.billing.waiting.extend(command.map_err(|e| e.to_string())?);
        Ok(())
    }

    /// Asks the shipped code something over what is written.
    pub(super) fn read<T>(&self, ask: impl FnOnce(Books<'_>) -> T) -> Result<T, String> {
        let process = self.hub.process.as_ref().ok_or("the aggregator is down")?;
        Ok(ask(Books {
            store: &self.hub.store,
            registry: process.registry(),
            marks: process.marks(),
            position: process.position(),
            now: self.wall(),
        }))
    }

    /// Enters what was drafted, now and then twice: by itself and by hand.
    fn issue(&mut self, command: MoneyCommand) -> Result<(), String> {
        let is_open = |world: &Self| {
            let process = world.hub.process.as_ref();
            process.is_some_and(|p| p.registry().open_restore().is_some())
        };
        let (is_fenced, is_note) = (is_open(self), matches!(command, MoneyCommand::IssueNote { .. }));
        let is_void = matches!(command, MoneyCommand::Void { .. });
        let times = 1 + u64::from(self.billing.rng.chance(20));
        let asker = Asker {
            actor: "clock".to_owned(),
            source: "sim".to_owned(),
        };
        let event = |_| Event::Money(u64::MAX, asker.clone(), Box::new(command.clone()));
        let Some(answers) = self.enter((0..times).map(event).collect()) else {
            return Ok(());
        };
        for answer in answers {
            match answer {
                answer if is_void => self.voided(answer)?,
                Answer::Booked(booked) => self.booked(is_note, booked)?,
                Answer::Rejected(Rejected::NotNow(_)) if is_fenced => self.hit("number fenced"),
                // Somebody billed the same meanwhile.
                Answer::Rejected(Rejected::NotNow(_)) if is_note => self.hit("note outdated"),
                other => return Err(format!("I9: a draft was answered {other:?}")),
            }
        }
        Ok(())
    }

    fn booked(&mut self, is_note: bool, booked: Booked) -> Result<(), String> {
        self.note(format!("booked at {:?}", booked.position));
        if booked.repeated {
            self.hit("note entered twice");
            return Ok(());
        }
        for document in booked.documents {
            match document.fate {
                Fate::Issued { number } => {
                    self.note(format!("{} of {} issued", number, document.account));
                    self.hit(match is_note {
                        true => "note for late usage",
                        false if number.contains("-R") => "invoice issued behind a restore",
                        false => "invoice issued",
                    });
                }
                Fate::Existed { .. } => self.hit("invoice asked for twice"),
                // A void came between: it is drafted again.
                Fate::Refused { reason }
                    if reason.contains("draft it again") || reason.contains("is void") =>
                {
                    self.hit("draft outdated by a void");
                }
                Fate::Refused { reason } => return Err(format!("I9: a draft was refused: {reason}")),
            }
        }
        Ok(())
    }

    /// Enters something: with the group that waits for its commit, or with a commit of its own, which can fail either way
    /// and then ends the process; it is back at once. The answers, if they were heard.
    pub(super) fn enter(&mut self, events: Vec<Event>) -> Option<Vec<Answer>> {
        let now = self.wall();
        let process = self.hub.process.as_mut()?;
        for event in events {
            let step = process.step(now, event, &self.hub.store);
            step.expect("the simulated store reads");
        }
        if self.commit_planned {
            self.hit("money in a group with batches");
            return None;
        }
        let (fate, hit) = match self.billing.rng.below(16) {
            0 => (NextCommit::FailsEmpty, "killed before a commit of money"),
            1 => (NextCommit::FailsWritten, "killed behind a commit of money"),
            _ => (NextCommit::Works, "commit of money"),
        };
        self.hit(hit);
        // Faults that were drawn for others stay theirs.
        let others = std::mem::replace(&mut self.hub.store.next, fate);
        let answers = self.hub.commit_alone(now);
        self.hub.store.next = others;
        if answers.is_none() {
            self.note(hit.to_owned());
            self.hub.start(now);
        }
        answers
    }

    /// Numbers that are durable, before a store is lost, and at the end: none of them was ever given to another document.
    pub(super) fn remember_numbers(&mut self) -> Result<(), String> {
        for (number, decision) in numbers(&self.hub.store)? {
            let first = *self.billing.given.entry(number.clone()).or_insert(decision);
            if first != decision {
                return Err(format!("I9: {number} was given twice: {first:?}, {decision:?}"));
            }
        }
        Ok(())
    }

    /// Behind the end of a run: the restore is settled, all hours are sealed and packed, all that is due is billed. Most
    /// runs write notes for what came late, the others go on to December's end, whose invoices have it.
    pub(super) fn bill_all(&mut self) -> Result<(), String> {
        self.hub.store.next = NextCommit::Works;
        let process = self.hub.process.as_ref().ok_or("the aggregator is down")?;
        if process.registry().open_restore().is_some() {
            let reason = "the run is over".to_owned();
            self.decide(Command::SettleRestore { reason });
        }
        self.close_due(0);
        self.bill_due()?;
        if self.billing.rng.chance(75) {
            return self.write_notes();
        }
        self.seal_december();
        self.hit("late usage on the next invoice");
        self.bill_due()
    }

    fn bill_due(&mut self) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            self.forget_with_process();
            if self.pack_next()? {
                continue;
            }
            self.forget_with_process();
            match self.billing.waiting.pop_front() {
                Some(command) => self.issue(command)?,
                None if !self.draft_due()? => return Ok(()),
                None => {}
            }
        }
        Err("I9: the monthly run does not end".to_owned())
    }

    fn write_notes(&mut self) -> Result<(), String> {
        for invoice in invoices(&self.hub.store)? {
            for _ in 0..NOTES_MAX {
                let number = invoice.document.number.clone();
                let command = self.read(|books| note(books, &number, "it came late"))?;
                let Some(command) = command.map_err(|e| e.to_string())? else {
                    break;
                };
                self.issue(command)?;
            }
        }
        Ok(())
    }

    /// Nothing is used any more, and the clock seals hour after hour, in one commit.
    fn seal_december(&mut self) {
        let (_, december) = &MONTHS[1];
        self.now_ms = december.end.start().0 + HOUR_MS;
        let now = self.wall();
        let process = self.hub.process.as_mut().expect("it is back at once");
        let newest = process.registry().seals.newest().expect("hours are sealed");
        for hour in newest.next().0..december.end.0 {
            let hour = Hour(hour);
            let (values, digest) = digest_of(&self.hub.store, hour).expect("the simulated store reads");
            let upto = process.position();
            let command = Command::SealHour {
                hour,
                values,
                digest,
                upto,
            };
            let (actor, source, ticket) = ("clock".to_owned(), "sim".to_owned(), u64::MAX);
            let event = Event::Command {
                ticket,
                actor,
                source,
                command,
            };
            let step = process.step(now, event, &self.hub.store);
            step.expect("the simulated store reads");
        }
        let answers = self.hub.commit_alone(now).expect("a quiet commit works");
        let refused = answers.iter().find(|it| !matches!(it, Answer::Applied(_)));
        assert_eq!(refused, None, "an hour is not sealed");
    }
}
