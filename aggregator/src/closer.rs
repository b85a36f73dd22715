//! Closes hours: judges the holes that begin in the next hour to be sealed, then seals it; and packs sealed days. Drafts are made over a
//! snapshot on a thread for blocking work; the writer takes one only if what it was made from still stands (I5, I9).

use std::time::Instant;

use tallyman_aggregator_core::registry::Judgement;
use tallyman_aggregator_core::seal::packing::{Cursor, next_piece};
use tallyman_aggregator_core::seal::{Draft, HoleDraft, next};
use tallyman_common::time::HOUR_MS;

use crate::handle::{CommandError, Handle, Unavailable};
use crate::limits::{CLOSE_AGAIN, CLOSE_PERIOD};

/// Looks again and again whether an hour is due, until the writer is gone.
pub async fn run(handle: Handle, grace_hours: u64) {
    let mut ticks = tokio::time::interval(CLOSE_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let closed = close(&handle, grace_hours * HOUR_MS).await;
        let done = match closed {
            Ok(_) => pack(&handle).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {}
            Err(Unavailable::Stopping) => return,
            Err(error) => tracing::error!(
                %error,
                "no hours are sealed, so no month becomes final: what the message names is to be mended; it is tried again"
            ),
        }
    }
}

/// Decides all that is due; returns how many hours were sealed.
pub async fn close(handle: &Handle, grace_ms: u64) -> Result<usize, Unavailable> {
    let (mut sealed, started) = (0, Instant::now());
    loop {
        let draft = handle.read(move |books| next(books, grace_ms)).await?;
        let outcome = match draft? {
            None => return Ok(sealed),
            Some(Draft::Hole(draft)) => judge(handle, draft).await,
            Some(Draft::Hour(seal)) => {
                let done = handle
                    .command("clock".to_owned(), "aggregator".to_owned(), seal)
                    .await;
                let done = done.map(|position| tracing::debug!(position, "an hour was sealed"));
                sealed += usize::from(done.is_ok());
                done
            }
        };
        match outcome {
            Ok(()) => {}
            // Something has come since: what is written by then is looked at again.
            Err(CommandError::Rejected(rejected)) if started.elapsed() < CLOSE_PERIOD => {
                tracing::debug!(%rejected, "a draft was made from what does not stand any more");
                tokio::time::sleep(CLOSE_AGAIN).await;
            }
            Err(CommandError::Rejected(_)) => return Ok(sealed),
            Err(CommandError::Unavailable(gone)) => return Err(gone),
        }
    }
}

/// Packs every day that is sealed, so that months are billed from few rows.
pub async fn pack(handle: &Handle) -> Result<(), Unavailable> {
    let mut cursor: Option<Cursor> = None;
    loop {
        let last = cursor.take();
        let piece = handle.read(move |books| next_piece(books.store, books.registry, last.as_ref()));
        let Some(piece) = piece.await?? else {
            return Ok(());
        };
        cursor = piece.next.clone().map(|from| (piece.until, from));
        match handle.pack(Box::new(piece)).await {
            Ok(()) => {}
            // Somebody else packs: what is left is for the next time.
            Err(CommandError::Rejected(_)) => return Ok(()),
            Err(CommandError::Unavailable(gone)) => return Err(gone),
        }
    }
}

async fn judge(handle: &Handle, draft: Box<HoleDraft>) -> Result<(), CommandError> {
    let judgement = draft.judgement.clone();
    let position = handle.judge(draft).await?;
    tell(&judgement, position);
    Ok(())
}

fn tell(judgement: &Judgement, position: u64) {
    let Judgement {
        node,
        values,
        unresolved,
        contradictions,
        ..
    } = judgement;
    if *contradictions > 0 {
        tracing::warn!(
            %node, position, contradictions,
            "readings behind a hole are below those before it, nothing is inferred from them: was this node cloned, or \
             its disk put back? `hole list` has the particulars"
        );
    } else if *values > 0 || *unresolved > 0 {
        tracing::info!(
            %node, position, values, unresolved,
            "a hole was judged: usage that its far side shows is billed as inferred"
        );
    }
}

#[cfg(test)]
mod tests {
    use tallyman_aggregator_core::limits::SEAL_GRACE_MS;
    use tallyman_aggregator_core::recompute::recompute;
    use tallyman_aggregator_core::rollup::part::read_owner;
    use tallyman_common::ids::Owner;
    use tallyman_common::meter::Meter;
    use tallyman_common::time::{Hour, MINUTE_MS, WallMs};

    use super::*;
    use crate::io::clock;
    use crate::testing::{Node, Running, answer, check, upto};

    #[test]
    fn old_hours_are_sealed_with_what_their_holes_hide_and_late_batches_replace_it() {
        check(async {
            let folder = tempfile::tempdir().unwrap();
            let on = Running::start(folder.path());
            let mut node = Node::new(1);
            node.enrol(&on, "t1").await;
            let connection = node.open(&on).await;
            node.welcome(&connection).await.unwrap();
            // Minute 10 of the hour 76 hours ago: three hours of grace have passed.
            let hour = Hour(clock::now().hour().0 - 76);
            let minute = |seq: u64| WallMs(hour.start().0 + (10 + seq) * MINUTE_MS);
            for (seq, end) in [(1, minute(1)), (4, minute(4)), (5, clock::now())] {
                let taken = answer(&connection, node.batch_until(seq, end)).await;
                assert_eq!(upto(&taken), Some(1));
            }
            // Writes all cells: what is not written yet is not looked at.
            on.handle.checkpoint(folder.path().join("copy")).await.unwrap();
            assert!(close(&on.handle, SEAL_GRACE_MS).await.unwrap() >= 3);
            pack(&on.handle).await.unwrap();
            let used = move |books: tallyman_aggregator_core::bills::Books<'_>| {
                let owner = Owner::claim("acme").unwrap();
                let value = read_owner(books.store, hour, &owner, books.registry.seals.newest());
                value.unwrap().unwrap().sum(Meter::CPU_TIME)
            };
            let holes = |handle: &Handle| handle.registry().holes.iter().count();
            // The cells of the judgement were written before the hour could be sealed.
            assert_eq!(
                (on.handle.read(used).await.unwrap(), holes(&on.handle)),
                (Some(4_000), 1)
            );
            for seq in [3, 2] {
                let late = answer(&connection, node.batch_until(seq, minute(seq))).await;
                assert_eq!(upto(&late), Some(if seq == 2 { 5 } else { 1 }));
            }
            assert_eq!(holes(&on.handle), 0);
            on.stop().await;
            let on = Running::start(folder.path());
            assert_eq!(on.handle.read(used).await.unwrap(), Some(4_000));
            let again = on
                .handle
                .read(|books| recompute(books.store, books.now))
                .await
                .unwrap();
            assert_eq!(again.unwrap().differences, Vec::<String>::new());
            on.stop().await;
        });
    }
}
