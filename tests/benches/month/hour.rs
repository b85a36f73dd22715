//! One hour of very many tenants: read, rated and stored, line by line. The aggregator itself keeps no hour's lines, for they
//! follow from cells and prices at any time; this is what it would cost to write them all down.

use std::fmt::Write;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use rocksdb::{DB, WriteBatch};
use serde::{Deserialize, Serialize};
use tallyman_aggregator::handle::Handle;
use tallyman_aggregator_core::bills::account::Payee;
use tallyman_aggregator_core::bills::hourly::each_hour;
use tallyman_aggregator_core::bills::{BillError, Books};
use tallyman_aggregator_core::rating::BillingZone;
use tallyman_common::time::Hour;
use tallyman_tests::e2e::month as fill;

/// Tenants in one commit of lines.
const PIECE: usize = 1_000;

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// From cells to stored lines, all threads.
    pub seconds: f64,
    /// Lines.
    pub lines: usize,
    /// Bytes of them.
    pub bytes: usize,
}

/// Rates the hour of all tenants on all processors; each piece is stored in one commit.
pub fn measure(handle: &Handle, folder: &Path) -> Result<Measured> {
    let hour = fill::hours(super::MONTH)?.1.start;
    let (zone, db) = (
        BillingZone::parse(fill::ZONE)?,
        DB::open_default(folder.with_extension("lines"))?,
    );
    let started = Instant::now();
    let (lines, bytes) = handle.read_here(|books| {
        let versions = books.registry.books_of("CNY").context("a price book")?;
        let tenants: Vec<&str> = books.registry.tenants.iter().map(|it| &*it.tenant).collect();
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let share = tenants.len().div_ceil(processors);
        thread::scope(|scope| {
            let rate = |own: &[&str]| {
                let mut sum = (0, 0);
                for piece in own.chunks(PIECE) {
                    let payees = piece.iter().map(|tenant| Payee {
                        tenant: (*tenant).to_owned(),
                        books: versions.clone(),
                    });
                    let payees: Vec<Payee> = payees.collect();
                    let (lines, bytes) = store(books, (&payees, &zone), hour..hour.next(), &db)?;
                    sum = (sum.0 + lines, sum.1 + bytes);
                }
                anyhow::Ok(sum)
            };
            let threads: Vec<_> = tenants
                .chunks(share)
                .map(|own| scope.spawn(move || rate(own)))
                .collect();
            let mut all = (0, 0);
            for thread in threads {
                let own = thread.join().map_err(|_| anyhow!("a thread panicked"))??;
                all = (all.0 + own.0, all.1 + own.1);
            }
            anyhow::Ok(all)
        })
    })??;
    db.flush_wal(true)?;
    Ok(Measured {
        seconds: started.elapsed().as_secs_f64(),
        lines,
        bytes,
    })
}

/// Item, quantity and amount of each line, under the tenant.
fn store(
    books: Books<'_>,
    (payees, zone): (&[Payee], &BillingZone),
    hours: Range<Hour>,
    db: &DB,
) -> Result<(usize, usize)> {
    let (mut batch, mut count, mut text) = (WriteBatch::default(), 0, String::new());
    each_hour::<BillError>(books, (payees, false), zone, hours, |hour| {
        text.clear();
        count += hour.lines.len();
        for it in &hour.lines {
            let _ = writeln!(text, "{}\t{}\t{}", it.item, it.quantity, it.amount);
        }
        batch.put(&hour.payee.tenant, &text);
        Ok(())
    })?;
    let bytes = batch.size_in_bytes();
    db.write(batch)?;
    Ok((count, bytes))
}
