//! `node resolve-clone`: which of two hosts is the node.

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use tallyman_aggregator_core::registry::Command;
use tallyman_common::ids::{NodeId, Nonce};

use super::desk::Desk;
use super::lists::List;
use super::print;

/// Say which host is the node.
#[derive(Debug, Args)]
pub struct Resolve {
    /// The node's identity.
    node: NodeId,
    /// Process that is the node, as `node clones` lists it (its first digits will do), or `all`: then none is refused.
    #[arg(long, value_name = "PROCESS")]
    keep: String,
    /// Why; it stands in the log.
    #[arg(long)]
    reason: String,
    /// Discard the node's held batches too that contradict others; without, each is decided by `quarantine`.
    #[arg(long)]
    discard_held: bool,
}

impl Resolve {
    /// Runs the order.
    pub fn run(self, desk: &mut Desk, as_json: bool) -> anyhow::Result<()> {
        let keep = self.process(&desk.list(List::Clones)?)?;
        let (node, reason) = (self.node, self.reason.clone());
        let position = desk.command(Command::ResolveClone { node, keep, reason })?;
        let discarded = if self.discard_held { self.discard(desk)? } else { 0 };
        let text = match keep {
            Some(process) => {
                format!("process {process} is node {node}: the others of the case are refused\n")
            }
            None => format!("node {node}: no process is refused\n"),
        };
        let text = format!("{text}{discarded} held batches discarded\n");
        let value = json!({
            "node": node,
            "keep": keep.map(|process| process.to_string()),
            "discarded": discarded,
            "position": position,
        });
        print(as_json, &value, &text)
    }

    fn process(&self, rows: &Value) -> anyhow::Result<Option<Nonce>> {
        if self.keep == "all" {
            return Ok(None);
        }
        let node = self.node.to_string();
        let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
        let of_case = rows
            .iter()
            .filter(|r| r["node"] == *node && r["status"] == "open");
        let mut named = of_case
            .filter_map(|r| r["process"].as_str())
            .filter(|process| process.starts_with(&self.keep));
        match (named.next(), named.next()) {
            (Some(process), None) => Ok(Some(process.parse()?)),
            (Some(_), Some(_)) => bail!(
                "more than one process begins with `{}`: write more of it",
                self.keep
            ),
            (None, _) => bail!(
                "node {node} has no open case with a process `{}`: `node clones` lists them",
                self.keep
            ),
        }
    }

    fn discard(&self, desk: &mut Desk) -> anyhow::Result<u64> {
        let (node, held) = (self.node.to_string(), desk.list(List::Quarantine)?);
        let mut discarded = 0;
        for row in held.as_array().map_or(&[][..], Vec::as_slice) {
            let contradicts = row["reason"] == "conflict" || row["reason"] == "time_covered_twice";
            if row["node"] != *node || row["status"] != "open" || !contradicts {
                continue;
            }
            if let Some(position) = row["position"].as_u64() {
                let reason = self.reason.clone();
                desk.command(Command::DiscardBatch { position, reason })?;
                discarded += 1;
            }
        }
        Ok(discarded)
    }
}
