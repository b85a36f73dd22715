//! CPU time of the sending, told per batch and as shares of the machine.

use std::time::Duration;

use anyhow::Result;

use super::Report;
use super::us;

/// CPU time of the sending, by who spent it.
pub struct Spent {
    /// The aggregator's while sending.
    pub busy: Duration,
    /// The aggregator's until it rests.
    pub whole: Duration,
    /// The generator's.
    pub own: Duration,
    /// Everything's on this machine.
    pub all: Duration,
    /// Batches sent.
    pub batches: u32,
    /// How long the sending took.
    pub took: Duration,
}

/// Tells it per batch and as shares of the machine.
pub fn tell_cpu(spent: &Spent, report: &mut Report) -> Result<()> {
    let Spent {
        busy,
        whole,
        own,
        all,
        batches,
        took,
    } = *spent;
    report.figure(
        "aggregator's CPU per batch while sending",
        us(busy / batches),
        "µs",
    );
    report.figure(
        "aggregator's CPU per batch, until it rests",
        us(whole / batches),
        "µs",
    );
    report.figure("generator's CPU per batch", us(own / batches), "µs");
    let processors = std::thread::available_parallelism()?.get() as f64;
    let share = |time: Duration| 100.0 * time.as_secs_f64() / (took.as_secs_f64() * processors);
    report.figure("processors: aggregator", share(busy), "%");
    report.figure("processors: generator", share(own), "%");
    report.figure("processors: everything together", share(all), "%");
    Ok(())
}
