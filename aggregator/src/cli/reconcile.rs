//! `reconcile`: a day's books against each other, over a copy of the store; also while the aggregator runs. Changes
//! nothing, and keeps no result: that is what the running program does once a day.

use anyhow::bail;
use clap::Args;
use tallyman_aggregator_core::reconcile::{Day, MeterUsage, Reconciliation};

use super::copy::StoreCopy;
use super::print;
use crate::config::Config;
use crate::reconciler::reconcile_copy;

/// Which day.
#[derive(Debug, Args)]
pub struct Reconcile {
    /// The day in UTC, such as 2026-11-20.
    #[arg(long, value_name = "DAY", value_parser = Day::parse)]
    day: Day,
}

impl Reconcile {
    /// Compares and prints; an error when something differs.
    pub fn run(&self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let copy = StoreCopy::make(config)?;
        let found = reconcile_copy(copy.path(), self.day)?;
        drop(copy);
        print(as_json, &serde_json::to_value(&found)?, &text(&found))?;
        if !found.ok {
            bail!("the day's books do not agree; keep a backup and read the page for operators");
        }
        Ok(())
    }
}

fn text(found: &Reconciliation) -> String {
    let fates = found.batches;
    let mut lines = vec![
        format!("{} as of position {}", found.day, found.position),
        format!(
            "batches: {} sent = {} summed + {} held + {} discarded + {} missing",
            fates.sent, fates.summed, fates.held, fates.discarded, fates.missing
        ),
    ];
    for spool in &found.spools {
        for missing in &spool.missing_batches {
            let (first, last) = (missing.first, missing.last);
            lines.push(format!(
                "missing: {first} to {last} of node {} spool {}",
                spool.node, spool.spool
            ));
        }
    }
    lines.extend(found.usage.iter().map(usage));
    lines.push(format!("{} values are the fold of the log", found.values_same));
    lines.extend(found.differences.iter().map(|d| format!("differs: {d}")));
    if found.more > 0 {
        lines.push(format!("and {} more differ", found.more));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn usage(of: &MeterUsage) -> String {
    let MeterUsage {
        meter,
        summed,
        rated,
        not_priced,
        unconfirmed,
        unattributed,
        host,
    } = of;
    format!(
        "{meter}: {summed} summed = {rated} rated + {not_priced} not priced + {unconfirmed} unconfirmed + \
         {unattributed} unattributed + {host} host"
    )
}
