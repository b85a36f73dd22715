//! skeleton

// A small virtual machine with pure cgroup v2.
pub mod vm;
