//! Once a day, the day before is reconciled: over a copy of the store, on a thread of low priority, never in the writer.
//! What was done last is a file, so that a stop costs no day.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::anyhow;
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::ports::Read;
use tallyman_aggregator_core::reconcile::{Day, Reconciliation, reconcile};
use tallyman_aggregator_core::restart::{newest_position, read_marks, read_registry};
use tallyman_common::time::WallMs;
use tokio::task::spawn_blocking;

use crate::cli::copy::StoreCopy;
use crate::handle::Handle;
use crate::io::clock;
use crate::io::rocks::beside::Beside;
use crate::io::rocks::{Create, RocksReader, RocksStore};
use crate::limits::{RECONCILE_AFTER_MS, RECONCILE_DAYS_MAX, RECONCILE_PERIOD};

/// Niceness of the thread that compares.
const NICE: i32 = 19;

/// Looks again and again whether a day is due, for as long as it is polled.
pub async fn run(handle: Handle, data: PathBuf) {
    show_newest(&handle);
    let mut ticks = tokio::time::interval(RECONCILE_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = catch_up(&handle, &data, handle.now()).await {
            handle.metrics().reconciled.fail();
            tracing::error!(
                error = format!("{error:#}"),
                "a day could not be reconciled: what the message names is to be mended; it is tried again"
            );
        }
    }
}

/// Reconciles every day that is due, oldest first; how many there were.
pub async fn catch_up(handle: &Handle, data: &Path, now: WallMs) -> anyhow::Result<u32> {
    let mut done = 0;
    while let Some(day) = due(now, handle.reconciliations().days()?.last().copied()) {
        let copy = StoreCopy::reserve(data)?;
        handle.checkpoint(copy.path().to_owned()).await?;
        let result = beside(copy, handle.reader.clone(), day).await?;
        handle.reconciliations().write(day, &result)?;
        handle.metrics().reconciled.set(day.start(), &result);
        tell(&result);
        done += 1;
    }
    Ok(done)
}

/// Compares a day in a copy of the store, in which every cell is written.
pub fn reconcile_copy(path: &Path, day: Day) -> anyhow::Result<Reconciliation> {
    reconcile_in(&RocksStore::open(path, Create::No)?, day)
}

fn reconcile_in(store: &dyn Read, day: Day) -> anyhow::Result<Reconciliation> {
    let (registry, marks) = (read_registry(store)?, read_marks(store)?);
    let books = Books {
        store,
        registry: &registry,
        marks: &marks,
        position: newest_position(store)?,
        now: clock::now(),
    };
    Ok(reconcile(books, day)?)
}

/// The next day to reconcile: behind the newest that was, else yesterday.
fn due(now: WallMs, newest: Option<Day>) -> Option<Day> {
    let settled = now.0.checked_sub(RECONCILE_AFTER_MS)?;
    let yesterday = Day::of(WallMs(settled)).before()?;
    let mut oldest = yesterday;
    for _ in 1..RECONCILE_DAYS_MAX {
        oldest = oldest.before()?;
    }
    let next = newest.map_or(yesterday, Day::next).max(oldest);
    (next <= yesterday).then_some(next)
}

/// On a thread of its own: its low priority is not for others. A stop waits for that thread, which ends as soon as the
/// store is closed: the process must not end while a copy is open.
async fn beside(copy: StoreCopy, store: RocksReader, day: Day) -> anyhow::Result<Reconciliation> {
    let compare = move || {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "the comparison runs with ordinary priority");
        }
        let beside = Beside::open(copy.path(), store)?;
        reconcile_in(&beside, day)
    };
    let joined = spawn_blocking(|| {
        let thread = std::thread::Builder::new().name("reconcile".to_owned());
        thread.spawn(compare).map(JoinHandle::join)
    });
    joined
        .await??
        .map_err(|_| anyhow!("the comparison ended without a result"))?
}

fn show_newest(handle: &Handle) {
    let results = handle.reconciliations();
    let newest = results.days().map(|days| days.last().copied());
    let newest = newest.and_then(|day| day.map_or(Ok(None), |day| Ok(results.read(day)?.map(|r| (day, r)))));
    match newest {
        Ok(Some((day, result))) => handle.metrics().reconciled.set(day.start(), &result),
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "the newest reconciliation can't be read: remove its file"),
    }
}

fn tell(result: &Reconciliation) {
    let (day, batches, differences) = (&result.day, result.batches.sent, result.count());
    if result.ok {
        let missing = result.batches.missing;
        tracing::info!(day, batches, missing, "the day's books agree");
    } else {
        tracing::error!(
            day,
            batches,
            differences,
            first = result.differences.first(),
            "the day's books do not agree: keep a backup, look at `tallyman-aggregator reconcile --day` with this day, \
             then read the page for operators; no bill of the day should be sent before"
        );
    }
}

#[cfg(test)]
mod tests {
    use tallyman_common::time::{HOUR_MS, MINUTE_MS};

    use super::*;
    use crate::testing::{Node, Running, answer, check, upto};

    #[test]
    fn days_are_due_in_order_an_hour_after_their_end() {
        let day = Day::parse("2026-11-20").unwrap();
        let end = day.next().start().0;
        let before = day.before().unwrap();
        assert_eq!(due(WallMs(end + HOUR_MS - 1), Some(before)), None);
        assert_eq!(due(WallMs(end + HOUR_MS), Some(before)), Some(day));
        assert_eq!(due(WallMs(end + HOUR_MS), None), Some(day));
        assert_eq!(due(WallMs(end + HOUR_MS), Some(day)), None);
        let long = due(WallMs(end + HOUR_MS), Some(Day::parse("2020-01-01").unwrap()));
        assert_eq!(long.unwrap().text(), "2026-10-21");
    }

    #[test]
    fn the_day_before_is_compared_once_and_shown_again_after_a_restart() {
        check(async {
            let folder = tempfile::tempdir().unwrap();
            let on = Running::start(folder.path());
            let mut node = Node::new(1);
            node.enrol(&on, "t1").await;
            let connection = node.open(&on).await;
            node.welcome(&connection).await.unwrap();
            let today = Day::of(clock::now());
            let noon =
                |minute: u64| WallMs(today.before().unwrap().start().0 + 12 * HOUR_MS + minute * MINUTE_MS);
            for seq in [1, 2, 4] {
                let taken = answer(&connection, node.batch_until(seq, noon(seq))).await;
                assert!(upto(&taken).is_some());
            }
            let now = WallMs(today.start().0 + RECONCILE_AFTER_MS);
            assert_eq!(catch_up(&on.handle, folder.path(), now).await.unwrap(), 1);
            assert_eq!(catch_up(&on.handle, folder.path(), now).await.unwrap(), 0);
            let days = on.handle.reconciliations().days().unwrap();
            let result = on.handle.reconciliations().read(days[0]).unwrap().unwrap();
            assert_eq!((result.ok, &result.differences[..]), (true, &[][..]));
            let fates = (result.batches.sent, result.batches.summed, result.batches.missing);
            assert_eq!(fates, (4, 3, 1));
            assert!(!folder.path().join("copy-reconcile").exists());
            on.stop().await;
            let on = Running::start(folder.path());
            show_newest(&on.handle);
            let text = on.handle.metrics().encode(&on.handle.status()).replace("{}", "");
            for line in [
                "tallyman_aggregator_reconciliation_ok 1",
                "tallyman_aggregator_reconciliation_batches{fate=\"missing\"} 1",
            ] {
                assert!(text.contains(line), "{text}");
            }
            on.stop().await;
        });
    }
}
