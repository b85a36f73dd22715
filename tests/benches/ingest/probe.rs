//! While batches come: how long after its answer is a batch's usage readable over HTTP?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::HOURS_BACK;
use super::batches::tenant;
use super::fleet::now;
use super::load::Stock;
use tallyman_common::time::{HOUR_MS, WallMs};
use tallyman_tests::e2e::http;
use tallyman_tests::e2e::site::{Site, month_name};

/// Between two questions: rare enough to cost next to nothing beside the load.
const PAUSE: Duration = Duration::from_millis(500);
/// How long one reading is waited for.
const GIVE_UP: Duration = Duration::from_secs(30);

/// Asks beside the load.
pub struct Probe {
    thread: JoinHandle<Result<Option<Duration>>>,
    over: Arc<AtomicBool>,
}

/// Starts asking for the usage of the first owner of the first node, whose batches `stock` holds.
pub fn start(site: &Site, stock: Arc<Stock>) -> Probe {
    let (port, token) = (site.http, site.token.clone());
    let over = Arc::new(AtomicBool::new(false));
    let done = over.clone();
    let thread = std::thread::spawn(move || {
        let mut most = None;
        while !done.load(Ordering::Relaxed) {
            let upto = stock.acked_upto.load(Ordering::Relaxed) as usize;
            let Some(counted) = upto.checked_sub(1).map(|last| stock.readings[last]) else {
                std::thread::park_timeout(PAUSE);
                continue;
            };
            if !in_one_month() {
                return Ok(None);
            }
            let acked = Instant::now();
            while usage(port, &token)? < counted {
                anyhow::ensure!(
                    acked.elapsed() < GIVE_UP,
                    "usage was not readable {GIVE_UP:?} after its answer"
                );
                std::thread::park_timeout(PAUSE);
            }
            most = most.max(Some(acked.elapsed()));
        }
        Ok(most)
    });
    Probe { thread, over }
}

impl Probe {
    /// The longest wait.
    pub fn end(self) -> Result<Option<Duration>> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the probe's thread panicked")?
    }
}

/// Whether every window lies in the month that is asked for.
fn in_one_month() -> bool {
    let text = |at: WallMs| tallyman_aggregator_core::api::text::instant_text(at)[..7].to_owned();
    let first = WallMs(now().hour().start().0 - HOURS_BACK * HOUR_MS);
    text(first) == text(now())
}

fn usage(port: u16, token: &str) -> Result<u128> {
    let path = format!("/api/v1/usage/summary/{}?tenant={}", month_name(), tenant(0));
    let summary: Value = http::json(port, &path, token)?;
    let rows = summary["usage"]
        .as_array()
        .with_context(|| format!("no usage in {summary}"))?;
    let cpu = rows.iter().filter(|r| r["meter"] == "cpu.time");
    cpu.map(|r| Ok(r["value"].as_str().context("text")?.parse::<u128>()?))
        .sum()
}
