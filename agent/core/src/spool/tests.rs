//! Spool, on a disk in memory.
