//! Where orders of the command line go: to the running program, or, when none runs, into the store itself by the same
//! step and commit. Either way the decision stands in the log with its actor.

use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use tallyman_aggregator_core::accounts::{Booked, MoneyCommand};
use tallyman_aggregator_core::aggregator::{Aggregator, Answer as CoreAnswer, Asker, Event};
use tallyman_aggregator_core::ingest::check;
use tallyman_aggregator_core::recompute::{Comparison, recompute_hours};
use tallyman_aggregator_core::registry::Command;
use tallyman_common::time::Hour;

use super::bill::{Bill, Wanted};
use super::import::{BatchName, Taken};
use super::lists::{List, list};
use super::question::Question;
use crate::biller::Told;
use crate::config::Config;
use crate::handle::with_books;
use crate::io::admin::{Answer, Order, SOURCE, actor_of};
use crate::io::clock;
use crate::io::rocks::{Create, RocksOpenError, RocksStore};
use crate::run::stop_writer;
use crate::writer;

/// How long a store that is in use, but does not answer, is waited for.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(3);
/// How often it is looked for meanwhile.
const OPEN_AGAIN: Duration = Duration::from_millis(50);
const LOST: &str = "the running aggregator went away: look at its log, and at whether the change was made";

/// Hears how far a monthly run is.
pub type Listener<'a> = dyn FnMut(Told) -> anyhow::Result<()> + 'a;

/// Takes orders.
pub enum Desk {
    /// The running program.
    Running(BufReader<UnixStream>),
    /// The store, while no program runs.
    Stopped(Box<Stopped>),
}

/// An aggregator without its sockets.
pub struct Stopped {
    aggregator: Aggregator,
    store: RocksStore,
}

impl Desk {
    /// Finds the running program, else opens the store. A program that has just been started, or another order that
    /// is at work on the store, is waited for.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let end = Instant::now() + OPEN_WAIT_MAX;
        loop {
            match Self::find(config)? {
                Ok(desk) => return Ok(desk),
                Err(_) if Instant::now() < end => std::thread::sleep(OPEN_AGAIN),
                Err(locked) => {
                    let socket = config.socket();
                    bail!("{locked} It does not answer on {}.", socket.display());
                }
            }
        }
    }

    /// The desk, or that the store is locked.
    fn find(config: &Config) -> anyhow::Result<Result<Self, RocksOpenError>> {
        match UnixStream::connect(config.socket()) {
            Ok(stream) => return Ok(Ok(Self::Running(BufReader::new(stream)))),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                let path = config.socket();
                bail!(
                    "{}: {e} (run this as root or as the service's user)",
                    path.display()
                );
            }
            Err(_) => {}
        }
        match RocksStore::open(&config.store(), Create::No) {
            Ok(store) => Ok(Ok(Self::Stopped(Box::new(Stopped::open(store)?)))),
            Err(error @ RocksOpenError::Locked(_)) => Ok(Err(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a change; its position.
    pub fn command(&mut self, command: Command) -> anyhow::Result<u64> {
        match self {
            Self::Running(stream) => match ask(stream, &Order::Command(command))? {
                Answer::Applied(position) => Ok(position),
                other => Err(unexpected(other)),
            },
            Self::Stopped(stopped) => stopped.command(command),
        }
    }

    /// Asks something of the ledger; what became of it.
    pub fn money(&mut self, command: MoneyCommand) -> anyhow::Result<Booked> {
        match self {
            Self::Running(stream) => match ask(stream, &Order::Money(Box::new(command)))? {
                Answer::Booked(booked) => Ok(booked),
                other => Err(unexpected(other)),
            },
            Self::Stopped(stopped) => stopped.money(command),
        }
    }

    /// Asks what the ledger says.
    pub fn question(&mut self, question: Question) -> anyhow::Result<Value> {
        match self {
            Self::Running(stream) => match ask(stream, &Order::Ledger(question))? {
                Answer::Listed(found) => Ok(found),
                other => Err(unexpected(other)),
            },
            Self::Stopped(stopped) => stopped.question(question),
        }
    }

    /// A list, as an array of objects.
    pub fn list(&mut self, which: List) -> anyhow::Result<Value> {
        match self {
            Self::Running(stream) => match ask(stream, &Order::List(which))? {
                Answer::Listed(rows) => Ok(rows),
                other => Err(unexpected(other)),
            },
            Self::Stopped(stopped) => stopped.list(which),
        }
    }

    /// A bill, as data and as text.
    pub fn bill(&mut self, bill: Bill) -> anyhow::Result<Value> {
        match self {
            Self::Running(stream) => match ask(stream, &Order::Bill(bill))? {
                Answer::Listed(answer) => Ok(answer),
                other => Err(unexpected(other)),
            },
            Self::Stopped(stopped) => stopped.bill(&bill),
        }
    }

    /// Carries a monthly run out; `tell` hears how far it is. Why it ended early, if it did.
    pub fn bill_run(self, wanted: Wanted, tell: &mut Listener<'_>) -> anyhow::Result<Option<String>> {
        let mut stream = match self {
            Self::Running(stream) => stream,
            Self::Stopped(stopped) => return stopped.bill_run(wanted, tell),
        };
        let mut answer = ask(&mut stream, &Order::BillRun(wanted))?;
        loop {
            match answer {
                Answer::Told(Told::Ended { fault }) => return Ok(fault),
                Answer::Told(told) => tell(told)?,
                other => return Err(unexpected(other)),
            }
            answer = hear(&mut stream)?;
        }
    }

    /// Takes in frames of a file; what became of each, in order.
    pub fn import(&mut self, frames: Vec<Vec<u8>>) -> anyhow::Result<Vec<Taken>> {
        match self {
            Self::Running(stream) => {
                let lengths = frames.iter().map(|f| u32::try_from(f.len()));
                let order = Order::Import(lengths.collect::<Result<_, _>>()?);
                match ask_with(stream, &order, &frames.concat())? {
                    Answer::Imported(taken) => Ok(taken),
                    other => Err(unexpected(other)),
                }
            }
            Self::Stopped(stopped) => stopped.import(frames),
        }
    }

    /// A copy of the store in `path`, with every cell written.
    pub fn checkpoint(&mut self, path: &Path) -> anyhow::Result<()> {
        match self {
            Self::Running(stream) => match ask(stream, &Order::Checkpoint(path.to_owned()))? {
                Answer::Done => Ok(()),
                other => Err(unexpected(other)),
            },
            Self::Stopped(stopped) => stopped.checkpoint(path),
        }
    }
}

fn ask(stream: &mut BufReader<UnixStream>, order: &Order) -> anyhow::Result<Answer> {
    ask_with(stream, order, &[])
}

/// An order, and bytes that belong to it behind its line.
fn ask_with(stream: &mut BufReader<UnixStream>, order: &Order, behind: &[u8]) -> anyhow::Result<Answer> {
    let mut line = serde_json::to_string(order)?;
    line.push('\n');
    stream.get_mut().write_all(line.as_bytes()).context(LOST)?;
    stream.get_mut().write_all(behind).context(LOST)?;
    hear(stream)
}

/// One answer.
fn hear(stream: &mut BufReader<UnixStream>) -> anyhow::Result<Answer> {
    let mut answer = String::new();
    if stream.read_line(&mut answer).context(LOST)? == 0 {
        bail!(LOST);
    }
    serde_json::from_str(&answer).context("the running aggregator is of another version")
}

fn unexpected(answer: Answer) -> anyhow::Error {
    match answer {
        Answer::Rejected(reason) | Answer::Failed(reason) => anyhow!(reason),
        other => anyhow!("the running aggregator is of another version: it answered {other:?}"),
    }
}

impl Desk {
    /// Compares the cells of some hours with the log, and puts what it says in the place of what differs. `copy` is for
    /// a running program, which compares it.
    pub fn recompute(&mut self, hours: Range<Hour>, copy: &Path) -> anyhow::Result<Comparison> {
        match self {
            Self::Running(stream) => {
                let order = Order::Recompute {
                    copy: copy.to_owned(),
                    from: hours.start,
                    to: hours.end,
                };
                match ask(stream, &order)? {
                    Answer::Listed(found) => Ok(serde_json::from_value(found)?),
                    other => Err(unexpected(other)),
                }
            }
            Self::Stopped(stopped) => stopped.recompute(hours),
        }
    }
}

impl Stopped {
    /// Opens an aggregator over its store.
    pub fn open(store: RocksStore) -> anyhow::Result<Self> {
        let aggregator = Aggregator::open(&store, clock::now())?;
        Ok(Self { aggregator, store })
    }

    /// Makes a change; its position.
    pub fn command(&mut self, command: Command) -> anyhow::Result<u64> {
        let now = clock::now();
        let event = Event::Command {
            ticket: 0,
            actor: actor_of(rustix::process::getuid().as_raw()),
            source: SOURCE.to_owned(),
            command,
        };
        self.aggregator.step(now, event, &self.store)?;
        let answers = self.aggregator.commit(now, true, &mut self.store)?;
        match answers.into_inner().pop() {
            Some((_, CoreAnswer::Applied(position))) => Ok(position),
            Some((_, CoreAnswer::Rejected(rejected))) => Err(rejected.into()),
            other => unreachable!("a command is applied or rejected, not {other:?}"),
        }
    }

    /// Compares the cells of some hours with the log, and puts what it says in the place of what differs, by a
    /// decision and in one commit.
    pub fn recompute(&mut self, hours: Range<Hour>) -> anyhow::Result<Comparison> {
        self.aggregator.commit(clock::now(), true, &mut self.store)?;
        let (found, differences) = recompute_hours(&self.store, clock::now(), hours.clone())?;
        if !differences.is_empty() {
            let stands = self.aggregator.replace(differences, &self.store)?;
            anyhow::ensure!(stands, "the store changed although nothing else has it open");
            self.command(Command::ReplaceCells {
                from: hours.start,
                to: hours.end,
                values: found.count(),
            })?;
        }
        Ok(found)
    }

    /// Carries a monthly run out as the running program does, with a writer and without its sockets.
    fn bill_run(self, wanted: Wanted, tell: &mut Listener<'_>) -> anyhow::Result<Option<String>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let actor = actor_of(rustix::process::getuid().as_raw());
        let (handle, end) = writer::start_with(self.aggregator, self.store);
        runtime.block_on(async {
            let mut listener = wanted.begin(&handle, actor)?;
            let mut fault = Some("nobody said how it ended".to_owned());
            while let Some(told) = listener.recv().await {
                match told {
                    Told::Ended { fault: why } => fault = why,
                    told => tell(told)?,
                }
            }
            stop_writer(&handle, end).await?;
            Ok(fault)
        })
    }

    /// Takes in frames in one commit.
    fn import(&mut self, frames: Vec<Vec<u8>>) -> anyhow::Result<Vec<Taken>> {
        let now = clock::now();
        let mut taken = Vec::with_capacity(frames.len());
        for frame in frames {
            let name = BatchName::of(&frame);
            match check(frame, None, self.aggregator.registry()) {
                Ok(checked) => {
                    let event = Event::Batch(taken.len() as u64, Box::new(checked));
                    self.aggregator.step(now, event, &self.store)?;
                    // Its answer comes with the commit.
                    taken.push(Taken::refused(name, String::new()));
                }
                Err(refusal) => taken.push(Taken::refused(name, refusal.text)),
            }
        }
        let answers = self.aggregator.commit(now, true, &mut self.store)?;
        for (ticket, answer) in answers.into_inner() {
            let place = &mut taken[usize::try_from(ticket)?];
            *place = Taken::of(place.name, answer);
        }
        Ok(taken)
    }

    /// Asks something of the ledger.
    fn money(&mut self, command: MoneyCommand) -> anyhow::Result<Booked> {
        command.check_payer(self.aggregator.registry())?;
        let command = if command.is_open() {
            let (registry, position) = (self.aggregator.registry().clone(), self.aggregator.position());
            with_books(&self.store, registry, position, |books| command.filled(books))??
        } else {
            command
        };
        let now = clock::now();
        let asker = Asker {
            actor: actor_of(rustix::process::getuid().as_raw()),
            source: SOURCE.to_owned(),
        };
        let event = Event::Money(0, asker, Box::new(command));
        self.aggregator.step(now, event, &self.store)?;
        let answers = self.aggregator.commit(now, true, &mut self.store)?;
        match answers.into_inner().pop() {
            Some((_, CoreAnswer::Booked(booked))) => Ok(booked),
            Some((_, CoreAnswer::Rejected(rejected))) => Err(rejected.into()),
            other => unreachable!("what is asked of the ledger is booked or rejected, not {other:?}"),
        }
    }

    fn question(&self, question: Question) -> anyhow::Result<Value> {
        let (registry, position) = (self.aggregator.registry().clone(), self.aggregator.position());
        with_books(&self.store, registry, position, |books| question.answer(books))?
    }

    /// A list, as an array of objects.
    fn list(&self, which: List) -> anyhow::Result<Value> {
        let (registry, position) = (self.aggregator.registry().clone(), self.aggregator.position());
        Ok(with_books(&self.store, registry, position, |books| {
            list(which, books)
        })??)
    }

    fn bill(&self, bill: &Bill) -> anyhow::Result<Value> {
        let (registry, position) = (self.aggregator.registry().clone(), self.aggregator.position());
        Ok(with_books(&self.store, registry, position, |books| {
            bill.answer(books)
        })??)
    }

    fn checkpoint(&mut self, path: &Path) -> anyhow::Result<()> {
        self.aggregator.commit(clock::now(), true, &mut self.store)?;
        Ok(self.store.checkpoint(path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::admin::AdminServer;
    use crate::testing::{Running, check};
    use std::net::SocketAddr;

    fn config(data: &Path) -> Config {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        Config {
            data: data.to_owned(),
            log: "info".to_owned(),
            quic_listen: any,
            advertise: vec!["localhost".to_owned()],
            certificate_life_ms: 1_000,
            http_listen: any,
            seal_grace_hours: 72,
            automatic_invoices: true,
        }
    }

    fn revoke(id: &str) -> Command {
        Command::RevokeToken { id: id.to_owned() }
    }

    fn make(id: &str) -> Command {
        Command::CreateToken {
            id: id.to_owned(),
            hash: crate::tokens::digest(id),
            scope: tallyman_aggregator_core::registry::Scope::Operator,
            expires: None,
        }
    }

    /// The same orders, whoever takes them.
    fn order(config: &Config, id: &str) -> anyhow::Result<(u64, Value)> {
        let mut desk = Desk::open(config)?;
        let unknown = desk.command(revoke("nobody")).unwrap_err().to_string();
        assert_eq!(unknown, "there is no token `nobody`");
        let position = desk.command(make(id))?;
        Ok((position, desk.list(List::Tokens)?))
    }

    #[test]
    fn a_running_and_a_stopped_aggregator_take_the_same_orders() {
        check(async {
            let folder = tempfile::tempdir().unwrap();
            let config = config(folder.path());
            let on = Running::start(folder.path());
            let locked = Desk::open(&config).err().map(|e| e.to_string());
            assert!(locked.unwrap().contains("in use by another process"));
            let admin = AdminServer::bind(&config.socket(), on.handle.clone()).unwrap();
            let serving = tokio::spawn(admin.serve());
            let asked = config.clone();
            let first = tokio::task::spawn_blocking(move || order(&asked, "first").unwrap());
            let (position, rows) = first.await.unwrap();
            assert_eq!((position, rows.as_array().unwrap().len()), (1, 1));
            serving.abort();
            drop(serving.await);
            on.stop().await;
            // The socket of the stopped program is still there; nobody answers on it.
            assert!(config.socket().exists());
            let (position, rows) = order(&config, "second").unwrap();
            assert_eq!(position, 2);
            assert_eq!(rows[0]["id"], "first");
            assert_eq!(rows[1]["id"], "second");
        });
    }

    #[test]
    fn a_folder_that_was_never_initialised_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = Desk::open(&config(folder.path())).err().map(|e| e.to_string());
        assert!(told.unwrap().contains("tallyman-aggregator init"));
    }
}
