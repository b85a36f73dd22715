//! The simulation in the test run: the kept seeds, twice each, and a stretch that must hit every fault and branch.

use std::collections::BTreeMap;

use tallyman_tests::sim::{self, bug, bug::Bug};

const KEPT: &str = include_str!("../sim/seeds.txt");

fn whole(seed: u64) -> sim::Outcome {
    let outcome = sim::run(seed, false);
    if let Some(broken) = &outcome.broken {
        panic!(
            "seed {seed}: {broken}\n{}\nreplay: make sim SEED={seed}",
            outcome.tail.join("\n")
        );
    }
    outcome
}

#[test]
fn kept_seeds_hold_and_repeat() {
    let seeds = KEPT.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    for line in seeds {
        let number = line.split(' ').next().and_then(|n| n.parse().ok());
        let seed = number.unwrap_or_else(|| panic!("seeds.txt: `{line}` does not begin with a seed"));
        assert_eq!(
            whole(seed).trace,
            whole(seed).trace,
            "seed {seed} does not repeat"
        );
    }
}

#[test]
fn a_stretch_of_seeds_holds_and_hits_everything() {
    let mut hits: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 1_000..1_040 {
        whole(seed)
            .hits
            .into_iter()
            .for_each(|(what, count)| *hits.entry(what).or_default() += count);
    }
    let missed: Vec<_> = sim::REQUIRED
        .iter()
        .filter(|what| !hits.contains_key(*what))
        .collect();
    assert!(missed.is_empty(), "never hit: {missed:?}; hit: {hits:?}");
}

/// The first seed that shows the bug.
fn caught(bug: Bug) -> Option<u64> {
    (0..50).find(|seed| {
        // An assertion on the way is a catch as well as a broken invariant.
        let run = std::panic::catch_unwind(|| sim::run_planted(*seed, false, Some(bug)));
        run.map_or(true, |outcome| outcome.broken.is_some())
    })
}

#[test]
fn every_planted_bug_is_caught_within_fifty_seeds() {
    let missed: Vec<Bug> = bug::ALL.into_iter().filter(|b| caught(*b).is_none()).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
