//! The aggregator told to stop at any moment of its work, in the middle of the daily comparison and of questions too: it
//! ends in time and with success, and the next start finds everything.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tallyman_tests::e2e::office::Office;
use tallyman_tests::e2e::process::pass;
use tallyman_tests::sim::rng::Rng;

const STOPS: u64 = 40;
/// Enough that both take longer than any moment below.
const ACCOUNTS: usize = 2_000;
const HOURS: u32 = 30;
/// Microseconds from the question to the order to stop at most.
const MOMENT_US: u64 = 60_000;

/// Protects: a thread that reads the store, or a copy of it, while the process ends, ends it with a signal; one that is
/// waited for until it has its answer keeps a stop waiting for as long as a question takes.
#[test]
fn a_stop_at_any_moment_is_a_success() -> Result<()> {
    let mut office = Office::fill(ACCOUNTS, HOURS)?;
    let mut rng = Rng::new(1);
    let report = format!("/api/v1/admin/usage-report?month={}", office.month);
    for stop in 0..STOPS {
        // The comparison of yesterday begins with the program when its result isn't there.
        match std::fs::remove_dir_all(office.path("data").join("reconciliations")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        office.start()?;
        office.ask_and_leave(&report)?;
        let moment_us = rng.below(MOMENT_US);
        pass(Duration::from_micros(moment_us));
        office
            .stop()
            .with_context(|| format!("stop {stop}, {moment_us} us after the question"))?;
    }
    let checked = office.order(&["ledger", "check"])?;
    ensure!(checked.contains("the ledger is what the log says"), "{checked}");
    Ok(())
}
