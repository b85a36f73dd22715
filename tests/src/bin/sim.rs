//! Runs the simulation: `--seeds N [--seed-start S]` runs many on all processors and sums up, `--seed S` replays one
//! with its trace, `--planted` shows which seed catches which planted bug.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use tallyman_tests::sim::{self, Outcome};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    if arguments.iter().any(|a| a == "--planted") {
        return planted();
    }
    match (number("--seed"), number("--seeds")) {
        (Some(seed), _) => replay(seed),
        (None, Some(seeds)) => many(number("--seed-start").unwrap_or(0), seeds),
        (None, None) => {
            eprintln!("usage: sim --seeds N [--seed-start S] | --seed S | --planted");
            ExitCode::from(2)
        }
    }
}

/// Which seed shows which planted bug, and how.
fn planted() -> ExitCode {
    let mut missed = 0;
    for bug in sim::bug::ALL {
        let began = Instant::now();
        match sim::bug::caught(bug, 50) {
            Some((seed, words)) => {
                let words: String = words.chars().take(160).collect();
                println!(
                    "{bug:?}: seed {seed}, {} ms: {words}",
                    began.elapsed().as_millis()
                );
            }
            None => {
                println!("{bug:?}: not caught");
                missed += 1;
            }
        }
    }
    ExitCode::from(u8::from(missed > 0))
}

fn replay(seed: u64) -> ExitCode {
    let outcome = sim::run(seed, true);
    if outcome.broken.is_some() {
        return report(seed, &outcome);
    }
    println!("seed {seed}: every invariant held; trace {}", outcome.trace);
    ExitCode::SUCCESS
}

/// What the processors share.
struct Shared {
    next: u64,
    done: u64,
    hits: BTreeMap<&'static str, u64>,
    /// The first seed that broke something; without an outcome an assertion of the cores did.
    failed: Option<(u64, Option<Outcome>)>,
}

fn many(start: u64, seeds: u64) -> ExitCode {
    let began = Instant::now();
    let shared = Mutex::new(Shared {
        next: start,
        done: 0,
        hits: BTreeMap::new(),
        failed: None,
    });
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| work(&shared, start + seeds, seeds));
        }
    });
    let shared = shared.into_inner().expect("no holder of the lock panics");
    match shared.failed {
        Some((seed, Some(outcome))) => return report(seed, &outcome),
        Some((seed, None)) => {
            println!(
                "seed {seed} broke an assertion of the shipped code; {}",
                how(seed)
            );
            return ExitCode::FAILURE;
        }
        None => {}
    }
    println!(
        "{seeds} seeds from {start} on, {} simulated hours in {} s: every invariant held",
        seeds * sim::HOURS,
        began.elapsed().as_secs()
    );
    let hits = &shared.hits;
    hits.iter()
        .for_each(|(what, count)| println!("{count:>8}  {what}"));
    let missed: Vec<_> = sim::REQUIRED.iter().filter(|w| !hits.contains_key(*w)).collect();
    if seeds >= 200 && !missed.is_empty() {
        eprintln!("never hit: {missed:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn work(shared: &Mutex<Shared>, end: u64, seeds: u64) {
    let lock = || shared.lock().expect("no holder of the lock panics");
    loop {
        let seed = {
            let mut shared = lock();
            if shared.next == end || shared.failed.is_some() {
                return;
            }
            shared.next += 1;
            shared.next - 1
        };
        let outcome = catch_unwind(|| sim::run(seed, false)).ok();
        let mut shared = lock();
        shared.done += 1;
        if shared.done.is_multiple_of(100) {
            eprintln!("{} of {seeds} seeds", shared.done);
        }
        match outcome {
            Some(outcome) if outcome.broken.is_none() => {
                for (what, count) in outcome.hits {
                    *shared.hits.entry(what).or_insert(0) += count;
                }
            }
            broken => {
                let earlier = shared.failed.as_ref().is_some_and(|(other, _)| *other < seed);
                if !earlier {
                    shared.failed = Some((seed, broken));
                }
            }
        }
    }
}

fn report(seed: u64, outcome: &Outcome) -> ExitCode {
    println!("the last events of seed {seed}:");
    outcome.tail.iter().for_each(|line| println!("{line}"));
    let broken = outcome.broken.as_deref().unwrap_or("nothing");
    println!("seed {seed} broke: {broken}\n{}", how(seed));
    ExitCode::FAILURE
}

/// How to see it again: a seed means the same run only in the same commit.
fn how(seed: u64) -> String {
    let asked = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let commit = asked.ok().filter(|answer| answer.status.success());
    let commit = commit.and_then(|answer| String::from_utf8(answer.stdout).ok());
    let commit = commit.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned());
    format!("commit: {commit}\nreplay: make sim SEED={seed}")
}
