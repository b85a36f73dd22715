//! The monthly run: from stored cells to stored final invoices, without paper, beside the bare sums over the same cells.

/// One hour of very many tenants.
mod hour;
/// The run itself, in a process of its own.
mod run;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use tallyman_aggregator::io::rocks::Create;
use tallyman_common::time::Hour;
use tallyman_tests::e2e::month as fill;

use self::run::Measured;
use super::cost::disk_of;
use super::report::{Report, Target};
use super::say;

pub use run::{ARGUMENT, main};

/// The month that is billed.
const MONTH: &str = "2025-10";
/// Fills a table of the ClickHouse engine and sums it up.
const SUMS: &str = include_str!("sums.py");
/// A folder in which the filled store stays for the next run.
const KEEP: &str = "TALLYMAN_BENCH_STORE";
/// How many tenants; 10,000 without.
const TENANTS: &str = "TALLYMAN_BENCH_TENANTS";

/// Fills a store, then bills its month in a process of its own.
pub fn run(quick: bool) -> Result<Report> {
    let mut report = Report::new("month");
    let tenants = match std::env::var(TENANTS) {
        _ if quick => 20,
        Ok(text) => text.parse().context(TENANTS)?,
        Err(_) => 10_000,
    };
    let (_, mut hours) = fill::hours(MONTH)?;
    if quick {
        // The last days of the month: what was before is empty, and as sealed as they are.
        hours = Hour(hours.end.0 - 60)..hours.end;
    }
    let scratch = tempfile::tempdir()?;
    let kept = std::env::var_os(KEEP).map(PathBuf::from).filter(|_| !quick);
    let filled = kept.unwrap_or_else(|| scratch.path().join("filled"));
    if !filled.exists() {
        let started = Instant::now();
        say(&format!(
            "filling a store with {tenants} tenants, {} hours, 8 meters",
            hours.end.0 - hours.start.0
        ));
        fill::fill(&mut fill::open(&filled, Create::Yes)?, tenants, hours)?;
        report.figure("filling the store", started.elapsed().as_secs_f64(), "s");
        let packing: f64 = spawn(run::PACK, &filled)?;
        report.figure("packing its days, which is done as they are sealed", packing, "s");
    }
    // Beside the filled one, so that files are shared.
    let folder = filled.with_extension("run");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    fill::open(&filled, Create::No)?.checkpoint(&folder)?;
    let measured = spawn(run::BILL, &folder)?;
    tell(&mut report, &measured, tenants);
    if !quick && tenants <= fill::WITH_CELLS_MAX {
        match engine(&filled, scratch.path()) {
            Ok(seconds) => report.figure("ClickHouse engine (chdb): sums of the cells alone", seconds, "s"),
            Err(error) => report.note(format!("no figure of the ClickHouse engine: {error:#}")),
        }
    }
    report.figure(
        "cells, invoices and all else on disk",
        disk_of(&folder) as f64 / 1e6,
        "MB",
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(report)
}

/// The bare sums over the same cells in chdb, if this machine's Python has it.
fn engine(filled: &Path, scratch: &Path) -> Result<f64> {
    let python = |arguments: &[&OsStr]| -> Result<String> {
        let output = Command::new("python3").args(arguments).output()?;
        anyhow::ensure!(
            output.status.success(),
            "python3 with chdb is needed (pip install chdb)"
        );
        Ok(String::from_utf8(output.stdout)?)
    };
    python(&["-c".as_ref(), "import chdb".as_ref()])?;
    let rows: PathBuf = spawn(run::EXPORT, filled)?;
    let folder = scratch.join("engine");
    let said = python(&["-c".as_ref(), SUMS.as_ref(), rows.as_ref(), folder.as_ref()]);
    std::fs::remove_file(&rows)?;
    Ok(said?.trim().parse()?)
}

/// Does something with a store in a process of its own, and hears what that measured.
fn spawn<T: DeserializeOwned>(what: &str, folder: &Path) -> Result<T> {
    let output = Command::new(std::env::current_exe()?)
        .args([ARGUMENT, what])
        .arg(folder)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    anyhow::ensure!(output.status.success(), "{what}: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Fills a store with one hour, then rates it in a process of its own.
pub fn run_hour(quick: bool) -> Result<Report> {
    let mut report = Report::new("hour");
    let tenants = match std::env::var(TENANTS) {
        _ if quick => 20,
        Ok(text) => text.parse().context(TENANTS)?,
        Err(_) => 1_000_000,
    };
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join("filled");
    say(&format!(
        "filling a store with an hour of {tenants} tenants, 8 meters"
    ));
    let hour = fill::hours(MONTH)?.1.start;
    fill::fill_hour(&mut fill::open(&folder, Create::Yes)?, tenants, hour)?;
    let measured: hour::Measured = spawn(run::HOUR, &folder)?;
    report.judged(
        &format!(
            "an hour of {tenants} tenants rated, {} lines stored",
            measured.lines
        ),
        measured.seconds,
        "s",
        Target::AtMost(6.0 * (tenants as f64 / 1e6).max(1.0)),
    );
    report.figure("bytes of these lines", measured.bytes as f64 / 1e6, "MB");
    Ok(report)
}

fn tell(report: &mut Report, measured: &Measured, tenants: usize) {
    // The target is that of 10,000; more may take as much longer. Fewer have no target of their own.
    let (seconds, memory) = (2.0 * (tenants as f64 / 10_000.0).max(1.0), 500.0);
    let name = format!("{} of {tenants} accounts, cells to invoices", measured.issued);
    if measured.issued == tenants {
        report.judged(&name, measured.seconds, "s", Target::AtMost(seconds));
    } else {
        report.figure(&name, measured.seconds, "s");
        let whole = measured.seconds * tenants as f64 / measured.issued as f64;
        report.judged("all of them at this rate", whole, "s", Target::AtMost(seconds));
    }
    report.judged(
        "what-if of all of them, both sides",
        measured.what_if,
        "s",
        Target::AtMost(seconds),
    );
    if let Some(sheet) = measured.sheet {
        let seconds = if tenants <= 2_000 {
            2.0
        } else {
            8.0 * (tenants as f64 / 10_000.0).max(1.0)
        };
        report.judged(
            "closing sheet of it, every cell read",
            sheet,
            "s",
            Target::AtMost(seconds),
        );
        report.figure("memory behind it", measured.sheet_memory / 1e6, "MB");
    }
    report.figure("until the first are durable", measured.first, "s");
    report.figure("CPU time of all threads", measured.cpu, "s");
    report.judged(
        "memory of the run",
        measured.memory / 1e6,
        "MB",
        Target::AtMost(memory),
    );
    report.figure("of it before the run", measured.at_rest / 1e6, "MB");
    report.figure(
        "bare: the same cells read and added up, one thread",
        measured.bare,
        "s",
    );
    report.figure(
        "bare: the packed days read and added up, one thread",
        measured.bare_packed,
        "s",
    );
    report.note(format!("not billed: {}", measured.not_billed));
}
