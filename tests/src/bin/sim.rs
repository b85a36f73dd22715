//! Runs the simulation: `--seeds N [--seed-start S]` runs many and sums up, `--seed S` replays one with its trace.

use std::collections::BTreeMap;
use std::process::ExitCode;

use tallyman_tests::sim;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    match (number("--seed"), number("--seeds")) {
        (Some(seed), _) => report(seed, sim::run(seed, true)),
        (None, Some(seeds)) => many(number("--seed-start").unwrap_or(0), seeds),
        (None, None) => {
            eprintln!("usage: sim --seeds N [--seed-start S] | --seed S");
            ExitCode::from(2)
        }
    }
}

fn many(start: u64, seeds: u64) -> ExitCode {
    let mut hits: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in start..start + seeds {
        let outcome = sim::run(seed, false);
        if outcome.broken.is_some() {
            return report(seed, outcome);
        }
        outcome
            .hits
            .into_iter()
            .for_each(|(what, count)| *hits.entry(what).or_default() += count);
        if (seed + 1 - start).is_multiple_of(50) {
            eprintln!("{} of {seeds} seeds", seed + 1 - start);
        }
    }
    println!(
        "{seeds} seeds from {start} on, {} simulated hours: every invariant held",
        seeds * sim::HOURS
    );
    hits.iter()
        .for_each(|(what, count)| println!("{count:>8}  {what}"));
    let missed: Vec<_> = sim::REQUIRED.iter().filter(|w| !hits.contains_key(*w)).collect();
    if seeds >= 200 && !missed.is_empty() {
        eprintln!("never hit: {missed:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn report(seed: u64, outcome: sim::Outcome) -> ExitCode {
    let Some(broken) = outcome.broken else {
        println!("seed {seed}: every invariant held; trace {}", outcome.trace);
        return ExitCode::SUCCESS;
    };
    println!("the last events of seed {seed}:");
    outcome.tail.iter().for_each(|line| println!("{line}"));
    println!("seed {seed} broke: {broken}\nreplay: make sim SEED={seed}");
    ExitCode::FAILURE
}
