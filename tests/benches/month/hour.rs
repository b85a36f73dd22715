//! One hour of very many tenants: read, rated and stored, line by line. The aggregator itself keeps no hour's lines, for they
//! follow from cells and prices at any time; this is what it would cost to write them all down.

use std::fmt::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use rocksdb::{DB, DBCompressionType, Options, SstFileWriter};
use serde::{Deserialize, Serialize};
use tallyman_aggregator::handle::Handle;
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::bills::account::Payee;
use tallyman_aggregator_core::bills::hourly::each_hour;
use tallyman_aggregator_core::rating::{BillingZone, BookVersions};
use tallyman_common::time::Hour;
use tallyman_tests::e2e::month as fill;

/// Tenants whose prices are laid out at once.
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

/// Rates the hour of all tenants on all processors, each its share in the order of keys, so that it writes a table of its own.
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
        let files: Vec<PathBuf> = (0..processors)
            .map(|it| folder.with_extension(format!("{it}.sst")))
            .collect();
        let sums = thread::scope(|scope| {
            let (zone, versions) = (&zone, &versions);
            let shares = tenants.chunks(share).zip(&files);
            let threads: Vec<_> = shares
                .map(|(own, file)| scope.spawn(move || rate(books, (own, versions, zone), hour, file)))
                .collect();
            let ended = threads.into_iter().map(|it| it.join());
            ended
                .map(|it| it.map_err(|_| anyhow!("a thread panicked"))?)
                .collect::<Result<Vec<(usize, usize)>>>()
        })?;
        let written: Vec<&PathBuf> = files.iter().take(sums.len()).collect();
        db.ingest_external_file(written)?;
        let all = sums.iter().fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        anyhow::Ok(all)
    })??;
    Ok(Measured {
        seconds: started.elapsed().as_secs_f64(),
        lines,
        bytes,
    })
}

/// Rates one thread's tenants into a table, synced: item, quantity and amount of each line under the tenant.
fn rate(
    books: Books<'_>,
    (tenants, versions, zone): (&[&str], &BookVersions, &BillingZone),
    hour: Hour,
    file: &Path,
) -> Result<(usize, usize)> {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::None);
    let mut table = SstFileWriter::create(&options);
    table.open(file)?;
    let (mut count, mut bytes, mut text) = (0, 0, String::new());
    for piece in tenants.chunks(PIECE) {
        let payees = piece.iter().map(|tenant| Payee {
            tenant: (*tenant).to_owned(),
            books: versions.clone(),
        });
        let payees: Vec<Payee> = payees.collect();
        each_hour::<anyhow::Error>(books, (&payees, false), zone, hour..hour.next(), |hour| {
            text.clear();
            count += hour.lines.len();
            for it in &hour.lines {
                writeln!(text, "{}\t{}\t{}", it.item, it.quantity, it.amount)?;
            }
            bytes += text.len();
            Ok(table.put(&hour.payee.tenant, &text)?)
        })?;
    }
    table.finish()?;
    Ok((count, bytes))
}
