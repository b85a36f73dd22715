//! Deterministic simulation: the shipped cores of several agents and one aggregator on one thread, driven from one
//! seed. Time, disks, network, crashes and the kernels' counters are the world's; every decision is the cores'.
//!
//! An oracle (`truth`) remembers what each workload really used, and `check` requires the invariants I1 to I9 and I12.

// In reading order.
/// The monthly run.
pub mod billing;
/// Planted bugs.
pub mod bug;
/// Payments, credits and disputes.
pub mod cash;
/// The invariants.
pub mod check;
/// Holes judged, hours sealed, final bills asked for again.
pub mod closing;
/// I1: what was used against what is billed.
pub mod conserve;
/// What seldom goes wrong.
pub mod disasters;
/// A disk with a live and a durable image.
pub mod disk;
/// Documents and the ledger at the end.
pub mod documents;
/// What goes wrong.
pub mod faults;
/// The aggregator and its crashes.
pub mod hub;
/// What the oracle knows of batches.
pub mod ledger;
/// What happens to a machine as a whole.
pub mod machine;
/// One host: kernel, disk, agent.
pub mod node;
/// Who pays, and what it costs.
pub mod payers;
/// Workloads that come and go.
pub mod population;
/// The one source of chance.
pub mod rng;
/// Series that were retired.
pub mod series;
/// How an agent starts.
pub mod start;
/// A store whose commits can fail either way.
pub mod store;
/// What goes over the links.
pub mod traffic;
/// The kernels' counters, and what is known to be lost.
pub mod truth;
/// Windows that are in a checkpoint and in no batch.
pub mod unfinished;
/// Documents that are taken back.
pub mod voids;
/// Time, links and faults.
pub mod world;

pub use world::{HOURS, Outcome, run, run_planted};

/// Every kind of fault and special branch that a stretch of seeds must have hit.
pub const REQUIRED: &[&str] = &[
    "agent killed",
    "aggregator killed",
    "batch of a newer version",
    "cells spilled",
    "checkpoint lost",
    "clock drift",
    "clock step",
    "commit fails",
    "credit granted",
    "credits expired",
    "disk full or free",
    "dispute opened",
    "dispute resolved",
    "document made void",
    "drafts lost with the process",
    "duplicate before the commit",
    "ended whole",
    "ended with a recorded hole",
    "final month adjusted",
    "final month stands",
    "flipped bit in a checkpoint",
    "flipped bit",
    "forged batch",
    "hold",
    "host reboot",
    "hour sealed",
    "inferred usage taken back",
    "input or output error",
    "invoice asked for twice",
    "invoice issued behind a restore",
    "invoice issued",
    "kill at a disk operation",
    "killed before a commit of money",
    "killed behind a commit of money",
    "late batch of a dead link",
    "late usage billed",
    "late usage on the next invoice",
    "link cut",
    "link down or up",
    "longer window",
    "lost answer",
    "lost batch imported",
    "lost batch inferred",
    "mapping change",
    "message cut at a byte",
    "money entered twice",
    "money in a group with batches",
    "money refused",
    "month of nothing",
    "month's end",
    "node cloned",
    "node re-imaged",
    "node readmitted",
    "node rolled back",
    "note entered twice",
    "note for late usage",
    "orderly stop",
    "outage of hours",
    "payment booked",
    "price change",
    "registry change",
    "replayed batch",
    "resend by hand",
    "restore from an older copy",
    "restore settled",
    "sealed hours packed",
    "segment dropped",
    "series retired and back",
    "sync fails, the next one says yes",
    "usage inferred",
    "usage late",
    "usage spread over hours",
    "void month drafted again",
    "window closed",
    "workload ended",
];
