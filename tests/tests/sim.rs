//! The simulation in the test run: the kept seeds, twice each, and a stretch that must hit every fault and branch.

use std::collections::BTreeMap;

use tallyman_tests::sim;

const KEPT: &str = include_str!("../sim/seeds.txt");

/// Every kind of fault and special branch that a stretch of seeds must have hit.
const REQUIRED: &[&str] = &[
    "agent killed",
    "aggregator killed",
    "clock step",
    "commit fails",
    "disk full or free",
    "ended whole",
    "host reboot",
    "kill at a disk operation",
    "late batch of a dead link",
    "link cut",
    "link down or up",
    "lost answer",
    "sync fails",
    "window closed",
    "workload ended",
];

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
    let missed: Vec<_> = REQUIRED.iter().filter(|what| !hits.contains_key(*what)).collect();
    assert!(missed.is_empty(), "never hit: {missed:?}; hit: {hits:?}");
}
