//! The measured process: opens the store, bills the month, then reads the same cells for their bare sums.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tallyman_aggregator::handle::Handle;
use tallyman_aggregator::io::rocks::Create;
use tallyman_aggregator::writer;
use tallyman_aggregator_core::accounts::command::Fate;
use tallyman_aggregator_core::accounts::{MoneyCommand, run as core};
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::ports::{Table, try_scan};
use tallyman_aggregator_core::rating::Month;
use tallyman_aggregator_core::rollup::cache::FoldError;
use tallyman_aggregator_core::rollup::cell::OwnerHour;
use tallyman_common::meter::Meter;
use tallyman_common::time::Hour;

use super::super::cost::memory_of;
use super::fill;

/// The first argument of the measured process.
pub const ARGUMENT: &str = "month-run";
/// Accounts that are drafted and issued at a time.
const PIECE: usize = 50;
/// What is not done by then is not waited for.
const LONGEST: Duration = Duration::from_secs(120);

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// From stored cells to stored invoices.
    pub seconds: f64,
    /// Drafting alone.
    pub drafting: f64,
    /// Issuing alone.
    pub issuing: f64,
    /// The most memory so far, bytes.
    pub memory: f64,
    /// Invoices.
    pub issued: usize,
    /// Accounts without one.
    pub not_billed: usize,
    /// Reading the same cells and adding them up.
    pub bare: f64,
}

/// The measured process: the store's folder as argument; it says what it measured as JSON.
pub fn main(arguments: &[String]) -> Result<()> {
    let folder = arguments.first().context("a folder")?;
    let store = fill::open(Path::new(folder), Create::No)?;
    let (month, hours) = fill::month()?;
    // Nobody waits for the writer: the process ends with what is durable.
    let (handle, _end) = writer::start(store)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut measured = runtime.block_on(bill(&handle, month))?;
    measured.memory = memory_of(std::process::id(), "VmHWM")? as f64;
    let started = Instant::now();
    let sums = handle.read_here(|books| bare(books, &hours))??;
    measured.bare = started.elapsed().as_secs_f64();
    anyhow::ensure!(!sums.is_empty(), "there are cells");
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

async fn bill(handle: &Handle, month: Month) -> Result<Measured> {
    let started = Instant::now();
    let accounts: Vec<String> = core::accounts(&handle.registry()).into_iter().collect();
    let (mut drafting, mut issuing) = (Duration::ZERO, Duration::ZERO);
    let (mut issued, mut not_billed) = (0, 0);
    for piece in accounts.chunks(PIECE) {
        let begun = Instant::now();
        if begun - started > LONGEST {
            break;
        }
        let found = handle.read_here(|books| core::drafts(books, month, piece))??;
        drafting += begun.elapsed();
        not_billed += found.not_billed.len();
        let begun = Instant::now();
        let command = MoneyCommand::IssueInvoices {
            month: month.to_string(),
            documents: found.drafts,
        };
        let booked = handle
            .money("bench".to_owned(), "bench".to_owned(), command)
            .await?;
        issuing += begun.elapsed();
        let fates = booked.documents.iter();
        issued += fates.filter(|it| matches!(it.fate, Fate::Issued { .. })).count();
    }
    Ok(Measured {
        seconds: started.elapsed().as_secs_f64(),
        drafting: drafting.as_secs_f64(),
        issuing: issuing.as_secs_f64(),
        memory: 0.0,
        issued,
        not_billed,
        bare: 0.0,
    })
}

/// The same cells, read once on one thread and added up by meter.
fn bare(books: Books<'_>, hours: &Range<Hour>) -> Result<BTreeMap<Meter, u128>, FoldError> {
    let mut sums = BTreeMap::new();
    let (from, to) = (hours.start.0.to_be_bytes(), hours.end.0.to_be_bytes());
    try_scan(books.store, Table::Cells, (&from, &to), |_, value| {
        for (_, cell) in OwnerHour::decode(value)?.cells() {
            let sum = sums.entry(cell.meter).or_insert(0u128);
            let added = sum.checked_add(cell.value);
            *sum = added.ok_or_else(|| FoldError::Entry {
                position: 0,
                reason: "too much".to_owned(),
            })?;
        }
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })?;
    Ok(sums)
}
