//! The agent on a machine in memory: usage survives crashes at any operation of the disk.

mod world;

mod crash;
mod rules;
mod sending;
mod storm;
