//! `hole` and `seals`: what did not come, what was made of it, and up to where hours stay as they are.

use std::ops::RangeInclusive;

use anyhow::anyhow;
use clap::Subcommand;
use serde_json::json;
use tallyman_aggregator_core::registry::Command;
use tallyman_common::ids::{NodeId, Seq, SpoolId};

use super::desk::Desk;
use super::lists::List;
use super::{print, print_list};
use crate::config::Config;

/// Batches that did not come.
#[derive(Debug, Subcommand)]
pub enum HoleOrder {
    /// Show the judged holes; what is missing but not judged yet stands in `node list --json`.
    List,
    /// These batches are lost for good: their node's watermark passes them. They still count if they come.
    GiveUp {
        /// The node.
        node: NodeId,
        /// Its spool, as `node list --json` names it.
        #[arg(long)]
        spool: SpoolId,
        /// First and last batch, such as 12..15.
        #[arg(long, value_name = "A..B", value_parser = numbers)]
        seq: RangeInclusive<Seq>,
        /// Why; it stands in the log for good.
        #[arg(long)]
        reason: String,
    },
}

impl HoleOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        let (node, spool, seq, reason) = match self {
            Self::List => return print_list(&mut desk, List::Holes, as_json),
            Self::GiveUp {
                node,
                spool,
                seq,
                reason,
            } => (node, spool, seq, reason),
        };
        let (first, last) = seq.into_inner();
        let position = desk.command(Command::GiveUpBatches {
            node,
            spool,
            first,
            last,
            reason,
        })?;
        let text =
            format!("batches {first} to {last} of node {node} are given up; they still count if they come\n");
        let value = json!({"node": node, "spool": spool, "first": first, "last": last, "position": position});
        print(as_json, &value, &text)
    }
}

/// Shows up to where hours are sealed, and the newest seals.
pub fn seals(config: &Config, as_json: bool) -> anyhow::Result<()> {
    print_list(&mut Desk::open(config)?, List::Seals, as_json)
}

fn numbers(text: &str) -> anyhow::Result<RangeInclusive<Seq>> {
    let wrong = || anyhow!("two numbers are wanted, such as 12..15");
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let (first, last): (Seq, Seq) = (first.parse()?, last.parse()?);
    if first == 0 || first > last {
        return Err(wrong());
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_a_range() {
        assert_eq!(numbers("12..15").unwrap(), 12..=15);
        assert_eq!(numbers("7..7").unwrap(), 7..=7);
        for wrong in ["", "7", "8..7", "0..3", "a..b", "1..-2"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }
}
