//! The shell of the metering agent: brings bytes, labels and time to the core, and the core's batches to the
//! aggregator. What is metered and how is in `tallyman_agent_core`; here is what touches the world.
//!
//! Read [`run`] first, then [`sampler`] and [`meter`].

// In reading order, a comment each, so that the order is kept.
/// How to attribute containers.
pub mod advice;
/// Enrolment and renewal.
pub mod certificate;
/// The command line.
pub mod cli;
/// The operator's configuration.
pub mod config;
/// Orders to the running agent.
pub mod control;
/// To the sampler.
pub mod inbox;
/// `status` and `spool`.
pub mod inspect;
/// What touches the world.
pub mod io;
/// Every named maximum.
pub mod limits;
/// The core and what it meters.
pub mod meter;
/// The way to the aggregator.
pub mod net;
/// What the core has to tell, to the log.
pub mod notices;
/// `once`.
pub mod once;
/// From the sampler.
pub mod outbox;
/// `resend` and `spool export`.
pub mod resend;
/// Opens everything and ends in order.
pub mod run;
/// The sampler's loop.
pub mod sampler;
/// The service manager and the status file.
pub mod service;
/// Which slot is which cgroup.
pub mod table;
