//! `recompute --check`: folds the whole log again and compares every cell byte for byte with the stored ones (I5).
//! `--apply` replaces what differs. Both work on a copy of the store that shares its files, so that a running aggregator
//! goes on. The comparison itself is the core's.

use std::ops::Range;

use anyhow::bail;
use clap::Args;
use tallyman_aggregator_core::rating::calendar::parse_hour;
use tallyman_aggregator_core::recompute::{Comparison, recompute_hours};
use tallyman_common::time::Hour;

use super::copy::StoreCopy;
use super::desk::Desk;
use super::print;
use crate::config::Config;
use crate::io::clock;
use crate::io::rocks::{Create, RocksStore};

/// What is recomputed.
#[derive(Debug, Args)]
pub struct Recompute {
    /// Compare the stored cells with a new fold of the log; changes nothing.
    #[arg(long, required_unless_present = "apply")]
    check: bool,
    /// Compare, and put what the log says in the place of what differs; a decision in the log says so.
    #[arg(long, conflicts_with = "check")]
    apply: bool,
    /// First hour that is compared, such as 2026-11-01T08:00:00Z; the log's first otherwise.
    #[arg(long, value_name = "HOUR", value_parser = hour)]
    from: Option<Hour>,
    /// The hour behind the last one.
    #[arg(long, value_name = "HOUR", value_parser = hour)]
    to: Option<Hour>,
}

fn hour(text: &str) -> Result<Hour, String> {
    parse_hour(text).map_err(|e| e.to_string())
}

impl Recompute {
    /// Compares and prints; an error when something differs.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let hours = self.from.unwrap_or(Hour(0))..self.to.unwrap_or(Hour(u32::MAX));
        if hours.start >= hours.end {
            bail!("--from lies before --to");
        }
        if self.apply {
            return apply(config, hours, as_json);
        }
        let copy = StoreCopy::make(config)?;
        let store = RocksStore::open(copy.path(), Create::No)?;
        let (found, _) = recompute_hours(&store, clock::now(), hours)?;
        drop(store);
        print(as_json, &serde_json::to_value(&found)?, &text(&found))?;
        if !found.holds() {
            bail!("the cells are not what the log says; keep the data folder and report this");
        }
        Ok(())
    }
}

fn apply(config: &Config, hours: Range<Hour>, as_json: bool) -> anyhow::Result<()> {
    let copy = StoreCopy::make(config)?;
    let found = Desk::open(config)?.recompute(hours, copy.path())?;
    let mut text = text(&found);
    if !found.holds() {
        text.push_str("replaced by what the log says; the decision is in the log\n");
    }
    print(as_json, &serde_json::to_value(&found)?, &text)
}

/// The comparison for people: how much is the same, and what differs, a line each.
fn text(found: &Comparison) -> String {
    let mut text = format!("{} values are the fold of the log\n", found.same);
    for difference in &found.differences {
        text.push_str(&format!("differs: {difference}\n"));
    }
    if found.more > 0 {
        text.push_str(&format!("and {} more differ\n", found.more));
    }
    text
}
