//! The measured process: opens the store, bills the month, then reads the same cells for their bare sums.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tallyman_aggregator::handle::Handle;
use tallyman_aggregator::io::rocks::Create;
use tallyman_aggregator::run::stop_writer;
use tallyman_aggregator::{closer, monthly, whole, writer};
use tallyman_aggregator_core::accounts::run as core;
use tallyman_aggregator_core::accounts::what_if::{Ask, Prices};
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::ports::{Table, try_scan};
use tallyman_aggregator_core::rating::Month;
use tallyman_aggregator_core::rollup::cache::FoldError;
use tallyman_aggregator_core::rollup::cell::OwnerHour;
use tallyman_aggregator_core::rollup::day::{DAY_HOURS, PackedDay, UtcDay};
use tallyman_aggregator_core::rollup::part::owner_of_key;
use tallyman_common::codec::CodecError;
use tallyman_common::meter::Meter;
use tallyman_common::time::Hour;
use tokio::runtime::Runtime;

use super::super::cost::{cpu_of_this_process, memory_of};
use super::{MONTH, fill};

/// The first argument of a process of this measurement.
pub const ARGUMENT: &str = "month-process";
/// Packs the sealed days.
pub const PACK: &str = "pack";
/// Writes the cells of owners as rows into a file beside the store, and says where.
pub const EXPORT: &str = "export";
/// Extension of that file.
const ROWS: &str = "rows";
/// Rates one hour.
pub const HOUR: &str = "hour";
/// Bills the month.
pub const BILL: &str = "bill";
/// What is not done by then is not waited for.
const LONGEST: Duration = Duration::from_secs(120);

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// From stored cells to stored invoices.
    pub seconds: f64,
    /// Until the first invoices were durable.
    pub first: f64,
    /// CPU time of the run, all threads.
    pub cpu: f64,
    /// Memory before it, bytes: the registry, which is there whether anybody bills or not.
    pub at_rest: f64,
    /// The most memory so far, bytes.
    pub memory: f64,
    /// Invoices.
    pub issued: usize,
    /// Accounts without one.
    pub not_billed: usize,
    /// The same month under other prices beside the real ones.
    pub what_if: f64,
    /// The closing sheet of it; none where there are packed days alone, for it reads every cell.
    pub sheet: Option<f64>,
    /// The most memory so far behind it, bytes.
    pub sheet_memory: f64,
    /// Reading the same cells and adding them up, on one thread.
    pub bare: f64,
    /// The same of the packed days.
    pub bare_packed: f64,
}

/// A process of its own: what it does and the store's folder as arguments; it says what it measured as JSON.
pub fn main(arguments: &[String]) -> Result<()> {
    let [what, folder] = arguments else {
        bail!("what to do, and a folder");
    };
    let store = fill::open(Path::new(folder), Create::No)?;
    let (handle, end) = writer::start(store)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let said = match what.as_str() {
        EXPORT => {
            let file = Path::new(folder).with_extension(ROWS);
            handle.read_here(|books| export(books, &file))??;
            serde_json::to_string(&file)?
        }
        PACK => {
            let started = Instant::now();
            runtime.block_on(closer::pack(&handle))?;
            serde_json::to_string(&started.elapsed().as_secs_f64())?
        }
        HOUR => serde_json::to_string(&super::hour::measure(&handle, Path::new(folder))?)?,
        _ => serde_json::to_string(&measure(&handle, &runtime)?)?,
    };
    runtime.block_on(stop_writer(&handle, end))?;
    println!("{said}");
    Ok(())
}

fn measure(handle: &Handle, runtime: &Runtime) -> Result<Measured> {
    let (month, hours) = fill::hours(MONTH)?;
    let at_rest = memory_of(std::process::id(), "VmRSS")? as f64;
    let mut measured = runtime.block_on(bill(handle, month))?;
    measured.at_rest = at_rest;
    measured.memory = memory_of(std::process::id(), "VmHWM")? as f64;
    let started = Instant::now();
    let rated = handle.read_here(|books| what_if(books, month))??;
    measured.what_if = started.elapsed().as_secs_f64();
    anyhow::ensure!(rated == measured.issued, "what-if rated {rated} accounts");
    let started = Instant::now();
    let sheet = handle.read_here(|books| whole::closing_sheet(books, month, None))??;
    let seconds = started.elapsed().as_secs_f64();
    measured.sheet_memory = memory_of(std::process::id(), "VmHWM")? as f64;
    let started = Instant::now();
    let sums = handle.read_here(|books| bare(books, &hours))??;
    measured.bare = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let packed = handle.read_here(|books| bare_packed(books, &hours))??;
    measured.bare_packed = started.elapsed().as_secs_f64();
    // With very many tenants there are packed days alone, and nothing that was metered.
    anyhow::ensure!(sums.is_empty() || sheet.balances, "{}", sheet.verdict);
    measured.sheet = (!sums.is_empty()).then_some(seconds);
    anyhow::ensure!(
        sums.is_empty() || sums == packed,
        "packed days have the sums of their cells"
    );
    Ok(measured)
}

async fn bill(handle: &Handle, month: Month) -> Result<Measured> {
    let (started, cpu) = (Instant::now(), cpu_of_this_process());
    let accounts: Vec<String> = core::accounts(&handle.registry()).into_iter().collect();
    let (mut issued, mut not_billed, mut first) = (0, 0, None);
    let (actor, source) = ("bench".to_owned(), "bench".to_owned());
    let asked = monthly::Asked { actor, source };
    let due = core::Due {
        month,
        accounts,
        again: false,
    };
    let run = monthly::bill(handle, due, Some(&asked), |piece| {
        not_billed += piece.not_billed.len();
        issued += piece.issued.len();
        first.get_or_insert_with(|| started.elapsed());
    });
    // What is issued by then counts.
    if let Ok(ended) = tokio::time::timeout(LONGEST, run).await {
        ended?;
    }
    Ok(Measured {
        seconds: started.elapsed().as_secs_f64(),
        first: first.map_or(0.0, |it| it.as_secs_f64()),
        cpu: (cpu_of_this_process() - cpu).as_secs_f64(),
        at_rest: 0.0,
        memory: 0.0,
        issued,
        not_billed,
        what_if: 0.0,
        sheet: None,
        sheet_memory: 0.0,
        bare: 0.0,
        bare_packed: 0.0,
    })
}

/// Rates all accounts under the same book once more: both sides are made, whatever differs. Answers how many were.
fn what_if(books: Books<'_>, month: Month) -> Result<usize> {
    let now = books.registry.books.first().context("a price book")?;
    let ask = Ask {
        month,
        before: Prices::Real,
        after: now.book.clone(),
        account: None,
        tenant: None,
    };
    let found = whole::what_if(books, &ask)?;
    anyhow::ensure!(
        found.rows.is_empty() && found.not_rated.is_empty(),
        "the same prices"
    );
    Ok(found.accounts.len())
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

/// The same of the packed days: what reading and adding alone take of the run.
fn bare_packed(books: Books<'_>, hours: &Range<Hour>) -> Result<BTreeMap<Meter, u128>, FoldError> {
    let mut sums: BTreeMap<Meter, [u128; DAY_HOURS]> = BTreeMap::new();
    try_scan(books.store, Table::Days, (&[], &[]), |key, value| {
        let day = key.last_chunk().map_or(0, |it| u32::from_be_bytes(*it));
        let start = UtcDay(day).start().0;
        let inside = (0..24).filter(|at| hours.contains(&Hour(start + at)));
        let inside: u32 = inside.map(|at| 1 << at).sum();
        PackedDay::parse(value)?.columns(|column| {
            let sums = sums.entry(column.meter).or_insert([0; DAY_HOURS]);
            column.add_to(sums, inside).ok_or_else(|| CodecError::Malformed {
                what: "sum",
                reason: "too much".to_owned(),
            })
        })?;
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })?;
    let sums = sums.into_iter();
    Ok(sums.map(|(meter, hours)| (meter, hours.iter().sum())).collect())
}

/// Each value as hour, number of the owner, meter, value: 32, 32, 16 and 64 bits, little-endian.
fn export(books: Books<'_>, file: &Path) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    let mut fault = None;
    books.store.scan(
        Table::Cells,
        &[],
        &[],
        &mut |key, value| match row(key, value, &mut out) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                fault = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    out.flush()?;
    fault.map_or(Ok(()), Err)
}

fn row(key: &[u8], value: &[u8], out: &mut impl Write) -> Result<()> {
    let (part, owner) = owner_of_key(key)?;
    let digits = owner.name().trim_start_matches(|it: char| !it.is_ascii_digit());
    let owner: u32 = digits.parse()?;
    for (_, cell) in OwnerHour::decode(value)?.cells() {
        out.write_all(&part.hour.0.to_le_bytes())?;
        out.write_all(&owner.to_le_bytes())?;
        out.write_all(&cell.meter.0.to_le_bytes())?;
        out.write_all(&u64::try_from(cell.value)?.to_le_bytes())?;
    }
    Ok(())
}
