//! Orders from the command line to the running program: a Unix socket for its owner alone, one line of JSON each way; a
//! monthly run answers with a line for each piece.
//!
//! Who orders is known from the socket's peer credentials, never from the order.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tallyman_aggregator_core::accounts::{Booked, MoneyCommand};
use tallyman_aggregator_core::ingest::check;
use tallyman_aggregator_core::recompute::{Comparison, recompute_hours};
use tallyman_aggregator_core::registry::Command;
use tallyman_common::time::Hour;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Take};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::biller::Told;
use crate::cli::bill::{Bill, Wanted};
use crate::cli::import::{BatchName, Taken};
use crate::cli::lists::{List, list};
use crate::cli::question::Question;
use crate::handle::{CommandError, Handle};
use crate::io::clock;
use crate::io::rocks::beside::Beside;
use crate::limits::{ADMIN_BYTES_MAX, ADMIN_CONNECTIONS_MAX, IMPORT_BYTES_MAX, IMPORT_FRAMES_MAX};

/// Source of decisions that come from the command line.
pub const SOURCE: &str = "cli";

/// An order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Make a change.
    Command(Command),
    /// Ask something of the ledger.
    Money(Box<MoneyCommand>),
    /// Ask what the ledger says.
    Ledger(Question),
    /// Show a list.
    List(List),
    /// Draft a bill.
    Bill(Bill),
    /// Carry a monthly run out; it goes on when nobody reads the answers any more.
    BillRun(Wanted),
    /// Write everything and copy the store into a folder.
    Checkpoint(PathBuf),
    /// Compare the cells of a copy of the store with its log, and replace what differs.
    Recompute {
        /// Folder of the copy.
        copy: PathBuf,
        /// First hour.
        from: Hour,
        /// The hour behind the last one.
        to: Hour,
    },
    /// Take in frames of a file; they follow the line, each as long as is said here.
    Import(Vec<u32>),
}

/// The answer to an order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The change's position.
    Applied(u64),
    /// What became of what was asked of the ledger.
    Booked(Booked),
    /// What became of each frame, in order.
    Imported(Vec<Taken>),
    /// The list.
    Listed(Value),
    /// How far a monthly run is; more follow until its end.
    Told(Told),
    /// Done.
    Done,
    /// The change has no effect, for this reason.
    Rejected(String),
    /// It could not be done now.
    Failed(String),
}

/// The socket, bound.
#[derive(Debug)]
pub struct AdminServer {
    listener: UnixListener,
    handle: Handle,
}

impl AdminServer {
    /// Binds the socket; only the owner of the process may connect. What an earlier process left is removed: whoever
    /// holds the store's lock is the only one.
    pub fn bind(path: &Path, handle: Handle) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, handle })
    }

    /// Serves for as long as it is polled.
    pub async fn serve(self) {
        let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
        loop {
            let place = places.clone().acquire_owned().await.expect("never closed");
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let handle = self.handle.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(&handle, stream).await {
                            tracing::warn!(%error, "an order over the admin socket came to nothing");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::error!(%error, "the admin socket failed");
                    return;
                }
            }
        }
    }
}

async fn converse(handle: &Handle, stream: UnixStream) -> io::Result<()> {
    let actor = actor_of(stream.peer_cred()?.uid());
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading.take(ADMIN_BYTES_MAX as u64));
    let mut line = String::new();
    while lines.read_line(&mut line).await? > 0 {
        let answer = match serde_json::from_str(&line) {
            Ok(Order::Import(lengths)) => import(handle, &lengths, &mut lines).await?,
            Ok(Order::BillRun(wanted)) => bill_run(handle, &actor, wanted, &mut writing).await?,
            Ok(order) => obey(handle, &actor, order).await,
            Err(error) => Answer::Failed(format!(
                "the running aggregator does not understand this order ({error}): are both of one version?"
            )),
        };
        say(&mut writing, &answer).await?;
        line.clear();
        lines.get_mut().set_limit(ADMIN_BYTES_MAX as u64);
    }
    Ok(())
}

async fn say<W: AsyncWrite + Unpin>(to: &mut W, answer: &Answer) -> io::Result<()> {
    let mut text = serde_json::to_string(answer).map_err(io::Error::other)?;
    text.push('\n');
    to.write_all(text.as_bytes()).await
}

/// Begins the run and says how far it is; the last word is its end.
async fn bill_run<W: AsyncWrite + Unpin>(
    handle: &Handle,
    actor: &str,
    wanted: Wanted,
    to: &mut W,
) -> io::Result<Answer> {
    let mut listener = match wanted.begin(handle, actor.to_owned()) {
        Ok(listener) => listener,
        Err(under_way) => return Ok(Answer::Rejected(under_way.to_string())),
    };
    while let Some(told) = listener.recv().await {
        let answer = Answer::Told(told);
        if matches!(answer, Answer::Told(Told::Ended { .. })) {
            return Ok(answer);
        }
        say(to, &answer).await?;
    }
    let text =
        "the run goes on, but nobody read how far it is for long: `GET /api/v1/admin/invoice-runs` tells";
    Ok(Answer::Failed(text.to_owned()))
}

/// Reads the frames behind the line and takes them in together, so that they share a commit.
async fn import<R: AsyncRead + Unpin>(
    handle: &Handle,
    lengths: &[u32],
    from: &mut BufReader<Take<R>>,
) -> io::Result<Answer> {
    let bytes = lengths.iter().map(|len| u64::from(*len)).sum::<u64>();
    if lengths.len() > IMPORT_FRAMES_MAX || bytes > IMPORT_BYTES_MAX {
        return Ok(Answer::Failed(format!(
            "{} frames of {bytes} bytes at a time are too many",
            lengths.len()
        )));
    }
    from.get_mut().set_limit(bytes);
    let mut taken = Vec::with_capacity(lengths.len());
    for length in lengths {
        let mut frame = vec![0; *length as usize];
        from.read_exact(&mut frame).await?;
        taken.push(tokio::spawn(take_in(handle.clone(), frame)));
    }
    let mut fates = Vec::with_capacity(taken.len());
    for task in taken {
        fates.push(task.await.map_err(io::Error::other)?);
    }
    Ok(Answer::Imported(fates))
}

async fn take_in(handle: Handle, frame: Vec<u8>) -> Taken {
    let name = BatchName::of(&frame);
    match check(frame, None, &handle.registry()) {
        Err(refusal) => Taken::refused(name, refusal.text),
        Ok(checked) => match handle.batch(Box::new(checked)).await {
            Ok(answer) => Taken::of(name, answer),
            Err(error) => Taken::refused(name, error.to_string()),
        },
    }
}

async fn obey(handle: &Handle, actor: &str, order: Order) -> Answer {
    match order {
        Order::Command(command) => match handle.command(actor.to_owned(), SOURCE.to_owned(), command).await {
            Ok(position) => Answer::Applied(position),
            Err(CommandError::Rejected(rejected)) => Answer::Rejected(rejected.to_string()),
            Err(CommandError::Unavailable(error)) => Answer::Failed(error.to_string()),
        },
        Order::Money(command) => match handle.money(actor.to_owned(), SOURCE.to_owned(), *command).await {
            Ok(booked) => Answer::Booked(booked),
            Err(CommandError::Rejected(rejected)) => Answer::Rejected(rejected.to_string()),
            Err(CommandError::Unavailable(error)) => Answer::Failed(error.to_string()),
        },
        Order::Ledger(question) => match handle.read(move |books| question.answer(books)).await {
            Ok(Ok(found)) => Answer::Listed(found),
            Ok(Err(error)) => Answer::Failed(format!("{error:#}")),
            Err(error) => Answer::Failed(error.to_string()),
        },
        Order::List(which) => match handle.read(move |books| list(which, books)).await {
            Ok(Ok(found)) => Answer::Listed(found),
            Ok(Err(error)) => Answer::Failed(error.to_string()),
            Err(error) => Answer::Failed(error.to_string()),
        },
        Order::Bill(bill) => match handle.read(move |books| bill.answer(books)).await {
            Ok(Ok(answer)) => Answer::Listed(answer),
            Ok(Err(error)) => Answer::Failed(error.to_string()),
            Err(error) => Answer::Failed(error.to_string()),
        },
        Order::Checkpoint(path) => match handle.checkpoint(path).await {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed(error.to_string()),
        },
        Order::Recompute { copy, from, to } => match repair(handle, actor, copy, from..to).await {
            Ok(found) => {
                serde_json::to_value(found).map_or_else(|e| Answer::Failed(e.to_string()), Answer::Listed)
            }
            Err(error) => Answer::Failed(error.to_string()),
        },
        Order::Import(_) | Order::BillRun(_) => unreachable!("they are seen to where the line was read"),
    }
}

/// Rebuilds beside the writer, which takes the result only if it still stands.
async fn repair(
    handle: &Handle,
    actor: &str,
    copy: PathBuf,
    hours: Range<Hour>,
) -> anyhow::Result<Comparison> {
    let asked = hours.clone();
    let store = handle.reader.clone();
    let compare = move || -> anyhow::Result<_> {
        let store = Beside::open(&copy, store)?;
        Ok(recompute_hours(&store, clock::now(), asked)?)
    };
    let (found, differences) = tokio::task::spawn_blocking(compare).await??;
    if !differences.is_empty() {
        let decision = Command::ReplaceCells {
            from: hours.start,
            to: hours.end,
            values: found.count(),
        };
        handle
            .replace(actor.to_owned(), SOURCE.to_owned(), decision, differences)
            .await?;
    }
    Ok(found)
}

/// Who a user id is, as it stands in the log.
pub fn actor_of(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").ok();
    let name = users.as_deref().and_then(|text| user_name(text, uid));
    format!("cli:{}", name.unwrap_or(&uid.to_string()))
}

fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use tallyman_aggregator_core::bills::Books;
    use tallyman_aggregator_core::ports::Table;
    use tallyman_aggregator_core::recompute::Difference;

    use super::*;
    use crate::testing::{Node, Running, answer, check as check_async};

    #[test]
    fn users_are_known_by_name_or_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000), Some("ann"));
        assert_eq!(user_name(passwd, 7), None);
    }

    #[test]
    fn cells_that_are_not_what_the_log_says_are_replaced_while_it_runs_unless_they_changed() {
        check_async(async {
            let folder = tempfile::tempdir().unwrap();
            let on = Running::start(folder.path());
            let mut node = Node::new(1);
            node.enrol(&on, "t1").await;
            let connection = node.open(&on).await;
            node.welcome(&connection).await.unwrap();
            answer(&connection, node.batch(1, 0)).await;
            let copy = |number: u8| folder.path().join(format!("copy-{number}"));
            let all = Hour(0)..Hour(u32::MAX);
            on.handle.checkpoint(copy(0)).await.unwrap();
            let cell = |books: Books<'_>| {
                let mut first = None;
                let visit = &mut |key: &[u8], value: &[u8]| {
                    first = Some((key.to_vec(), value.to_vec()));
                    std::ops::ControlFlow::Break(())
                };
                books.store.scan(Table::Cells, &[], &[], visit).unwrap();
                first.unwrap()
            };
            let (key, good) = on.handle.read(cell).await.unwrap();
            let change = |stored: &[u8], rebuilt: &[u8]| {
                let (key, stored) = (key.clone(), Some(stored.to_vec()));
                let rebuilt = Some(rebuilt.to_vec());
                let table = Table::Cells;
                vec![Difference {
                    table,
                    key,
                    stored,
                    rebuilt,
                }]
            };
            let decision = Command::ReplaceCells {
                from: all.start,
                to: all.end,
                values: 1,
            };
            let replace = |differences| {
                let (actor, source) = ("test".to_owned(), "test".to_owned());
                on.handle.replace(actor, source, decision.clone(), differences)
            };
            let stale = replace(change(b"as it never was", b"x")).await;
            assert!(matches!(stale, Err(CommandError::Rejected(_))), "{stale:?}");
            // The last byte is of a count of holes: a value that is read, but wrong.
            let mut wrong = good.clone();
            *wrong.last_mut().unwrap() ^= 1;
            replace(change(&good, &wrong)).await.unwrap();
            on.handle.checkpoint(copy(1)).await.unwrap();
            let found = repair(&on.handle, "test", copy(1), all.clone()).await.unwrap();
            assert_eq!(found.count(), 1, "{found:?}");
            on.handle.checkpoint(copy(2)).await.unwrap();
            let found = repair(&on.handle, "test", copy(2), all).await.unwrap();
            assert!(found.holds(), "{found:?}");
            assert_eq!(on.handle.read(cell).await.unwrap(), (key.clone(), good));
            on.stop().await;
        });
    }

    #[test]
    fn orders_come_back_from_their_line() {
        let order = Order::Command(Command::RevokeToken { id: "a".to_owned() });
        let line = serde_json::to_string(&order).unwrap();
        assert!(matches!(
            serde_json::from_str(&line).unwrap(),
            Order::Command(Command::RevokeToken { id }) if id == "a"
        ));
    }
}
