//! Measurements against the real programs: figures as ratios within one run, never asserted, every phase bounded.

// In reading order: the means first, then the three measurements.
/// CPU time and memory of processes.
pub mod cost;
/// What this machine is.
pub mod machine;
/// Figures with their targets.
pub mod report;

/// The agent with many workloads.
pub mod agent;
/// The least that reading counters can cost.
pub mod bare;
/// The agent against Docker's stats API.
pub mod docker;
/// The aggregator under load.
pub mod ingest;
/// The monthly run.
pub mod month;
/// Invoices as PDF.
pub mod pdf;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::json;

use self::report::Report;

/// A measurement: its name and how it is run, small or in full.
type Bench = (&'static str, fn(quick: bool) -> Result<Report>);

const BENCHES: &[Bench] = &[
    ("ingest", ingest::run),
    ("agent", agent::run),
    ("docker", docker::run),
    ("pdf", pdf::run),
    ("month", month::run),
    ("hour", month::run_hour),
];

/// Runs the measurements that `arguments` name, all if none; `--quick` makes them tiny, to see that they still work.
pub fn run(arguments: &[String]) -> Result<()> {
    if let Some((first, rest)) = arguments.split_first()
        && first == bare::ARGUMENT
    {
        return bare::main(rest);
    }
    if let Some((first, rest)) = arguments.split_first()
        && first == month::ARGUMENT
    {
        return month::main(rest);
    }
    let (flags, names): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|a| a.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|f| f.as_str() != "--quick") {
        bail!("unknown option {unknown}; usage: bench [--quick] [NAME…]");
    }
    if let Some(unknown) = names.iter().find(|n| BENCHES.iter().all(|(name, _)| name != *n)) {
        let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!(
            "there is no measurement `{unknown}`; there are: {}",
            known.join(", ")
        );
    }
    let quick = !flags.is_empty();
    let machine = machine::describe();
    println!("{machine}");
    let mut reports = Vec::new();
    for (name, bench) in BENCHES {
        if names.is_empty() || names.iter().any(|n| n == name) {
            println!("\n== {name}");
            let report = bench(quick).with_context(|| format!("measurement `{name}`"))?;
            println!("{report}");
            reports.push(report);
        }
    }
    let whole = json!({ "machine": machine, "quick": quick, "measurements": reports });
    let path = results(quick);
    std::fs::write(&path, format!("{whole:#}\n")).with_context(|| path.display().to_string())?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

/// `bench.json` in the build's folder; tiny runs have a file of their own.
fn results(quick: bool) -> PathBuf {
    let own = std::env::current_exe().expect("a program has a path");
    let target = own
        .ancestors()
        .find(|p| p.ends_with("target"))
        .unwrap_or(own.parent().expect("a folder"));
    target.join(if quick { "bench-quick.json" } else { "bench.json" })
}

/// Says what happens now; measurements take minutes.
pub(crate) fn say(words: &str) {
    eprintln!("   {words}");
}
