//! Tests of the whole: what packages can't test alone.

// A small virtual machine with pure cgroup v2.
pub mod vm;

/// Deterministic simulation of the shipped cores.
#[path = "../sim/mod.rs"]
pub mod sim;

/// Real programs: processes, sites, cgroups, containers.
#[path = "../e2e/mod.rs"]
pub mod e2e;
