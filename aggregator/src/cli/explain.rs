//! `explain`: why an amount is what it is, from a line down to hosts and batches. Knows no store.

use clap::Args;
use serde_json::{Value, json};

use super::desk::Desk;
use super::lists::grid;
use super::paper::{noted, percented};
use super::print;
use super::question::Question;
use super::why::{Why, list, word};
use crate::config::Config;

/// What is to be explained.
#[derive(Debug, Args)]
pub struct Explain {
    /// Number or identity of an invoice.
    #[arg(required_unless_present = "account", conflicts_with_all = ["account", "month"])]
    invoice: Option<String>,
    /// Paying account, for a month without an invoice.
    #[arg(long, requires = "month")]
    account: Option<String>,
    /// Month of the account, such as 2026-11.
    #[arg(long, requires = "account")]
    month: Option<String>,
    /// Lines of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// An item of the tenant, hour by hour.
    #[arg(long, requires = "tenant")]
    item: Option<String>,
    /// An hour of the item, such as 2026-11-20T10:00:00Z, with the hosts and batches that it comes from.
    #[arg(long, requires = "item")]
    hour: Option<String>,
}

impl Explain {
    /// Asks and prints.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let question = Why::Explain {
            invoice: self.invoice,
            account: self.account,
            month: self.month,
            tenant: self.tenant,
            item: self.item,
            hour: self.hour,
        };
        let found = Desk::open(config)?.question(Question::Why(question))?;
        print(as_json, &found, &text(&found))
    }
}

/// An explanation for a terminal.
fn text(found: &Value) -> String {
    let state = if found["is_final"] == true {
        "final"
    } else {
        "open"
    };
    let mut out = format!(
        "{} of {} in {}, {}, {state}, as of position {}\n",
        word(&found["month"]),
        word(&found["account"]),
        word(&found["zone"]),
        word(&found["currency"]),
        found["as_of"]["position"]
    );
    let lines = list(&found["lines"]).iter().map(|line| {
        let mut row = line.clone();
        row["title"] = json!(noted(line));
        row
    });
    out.push_str(&grid(LINE_COLUMNS, &Value::Array(lines.collect())));
    out.push_str(&totals(&found["totals"]));
    for line in list(&found["lines"]) {
        if let Some(words) = line["charged"].as_str().filter(|_| !found["agrees"].is_null()) {
            out.push_str(&format!("charged: {words}\n"));
        }
        if !found["agrees"].is_null() && !list(&line["tiers"]).is_empty() {
            out.push_str(&grid(TIER_COLUMNS, &line["tiers"]));
        }
    }
    if !list(&found["hours"]).is_empty() {
        out.push_str(&grid(HOUR_COLUMNS, &found["hours"]));
    }
    if let Some(sum) = found["sum_exact"].as_str() {
        let agrees = if found["agrees"] == true {
            "as the line says"
        } else {
            "the line says OTHERWISE: keep a backup and report it"
        };
        out.push_str(&format!("the hours come to {sum}: {agrees}\n"));
    }
    if found["sources"].is_object() {
        out.push_str(&hour(&found["hours"][0], &found["sources"]));
    }
    for fault in list(&found["faults"]) {
        out.push_str(&format!("not rated: {}\n", word(fault)));
    }
    out
}

/// What makes the total of the lines, row by row, each with its reason.
fn totals(found: &Value) -> String {
    if !found.is_object() {
        return String::new();
    }
    let sum = |title: &str, amount: &Value| json!({"title": title, "amount": amount, "why": ""});
    let mut rows = vec![sum("subtotal", &found["subtotal"])];
    rows.extend(list(&found["taken"]).iter().map(|it| {
        let of = it["basis"]
            .as_str()
            .map_or_else(String::new, |basis| format!(" of {basis}"));
        let included = if it["kind"] == "tax_included" {
            " (included)"
        } else {
            ""
        };
        let title = format!("{}{of}{included}", percented(it));
        json!({"title": title, "amount": it["amount"], "why": it["why"]})
    }));
    rows.push(sum("total", &found["total"]));
    format!("\n{}", grid(&["title", "amount", "why"], &Value::Array(rows)))
}

/// Parts of an hour, and where it comes from.
fn hour(line: &Value, from: &Value) -> String {
    let mut out = String::new();
    for (title, key) in [("costs", "parts"), ("less, as before this hour", "less")] {
        if !list(&line[key]).is_empty() {
            out.push_str(&format!("{title}:\n{}", grid(PART_COLUMNS, &line[key])));
        }
    }
    if !list(&line["share_of"]).is_empty() {
        out.push_str(&grid(&["item", "amount_exact"], &line["share_of"]));
    }
    out.push_str(&grid(METER_COLUMNS, &from["meters"]));
    for owner in list(&from["owners"]) {
        out.push_str(&format!("owner {}:\n", word(&owner["owner"])));
        out.push_str(&grid(SUM_COLUMNS, &owner["sums"]));
        for node in list(&owner["nodes"]) {
            let batch = |it: &Value| format!("{} {} to {}", word(&it["spool"]), it["first"], it["last"]);
            let batches: Vec<String> = list(&node["batches"]).iter().map(batch).collect();
            out.push_str(&format!(
                "node {}: {} minutes; batches {}\n",
                word(&node["node"]),
                node["minutes"],
                batches.join(", ")
            ));
        }
        for hole in list(&owner["holes"]) {
            out.push_str(&format!(
                "node {} could not measure {} from {} to {}: {}\n",
                word(&hole["node"]),
                word(&hole["meter"]),
                word(&hole["from"]),
                word(&hole["to"]),
                word(&hole["cause"])
            ));
        }
    }
    let covered = &from["completeness"];
    out.push_str(&format!(
        "{} of {} node-minutes came, {} are held\n",
        covered["received_node_minutes"], covered["expected_node_minutes"], covered["held_node_minutes"]
    ));
    for missing in list(&covered["missing"]) {
        out.push_str(&format!(
            "missing: node {} from {} to {}\n",
            word(&missing["node"]),
            word(&missing["from"]),
            word(&missing["to"])
        ));
    }
    out
}

const LINE_COLUMNS: &[&str] = &[
    "tenant",
    "item",
    "title",
    "cause",
    "quantity",
    "unit",
    "amount_exact",
    "amount",
];
const TIER_COLUMNS: &[&str] = &["from", "to", "quantity", "price", "amount_exact"];
const HOUR_COLUMNS: &[&str] = &[
    "hour",
    "quantity",
    "free",
    "before",
    "amount_exact",
    "inferred",
    "price_book",
];
const PART_COLUMNS: &[&str] = &["from", "to", "quantity", "price", "fee", "packages", "amount"];
const METER_COLUMNS: &[&str] = &["meter", "side", "value", "inferred", "unit"];
const SUM_COLUMNS: &[&str] = &[
    "group",
    "meter",
    "measured",
    "inferred",
    "withdrawn",
    "state",
    "spread",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_is_read_from_the_line_to_the_batches() {
        let found = json!({
            "month": "2026-11", "account": "acme", "zone": "UTC", "currency": "USD", "is_final": true,
            "as_of": {"position": 9, "at": "2026-12-04T00:00:00Z"},
            "lines": [{
                "tenant": "acme", "item": "cpu", "title": "CPU", "cause": "usage", "quantity": "60", "unit": "CPU-second",
                "amount_exact": "50", "amount": "50.00", "charged": "per_unit, price 1", "note": null,
                "tiers": [{"from": "0", "to": "40", "quantity": "40", "price": "1", "amount_exact": "40"}],
            }],
            "hours": [{
                "hour": "2026-11-20T10:00:00Z", "quantity": "60", "free": "0", "before": "0", "amount_exact": "50",
                "inferred": false, "price_book": "ab", "parts": [], "less": [], "share_of": [],
            }],
            "sum_exact": "50", "agrees": true, "faults": [],
            "sources": {
                "meters": [{"meter": "cpu.time", "side": "plus", "value": "60", "inferred": "0", "unit": "ns"}],
                "owners": [{
                    "owner": "acme", "sums": [], "holes": [],
                    "nodes": [{"node": "n1", "minutes": 2, "batches": [{"spool": "s1", "first": 1, "last": 3}]}],
                }],
                "completeness": {
                    "received_node_minutes": 2, "expected_node_minutes": 3, "held_node_minutes": 0, "missing": [],
                },
            },
        });
        let text = text(&found);
        for words in [
            "2026-11 of acme in UTC, USD, final, as of position 9\n",
            "charged: per_unit, price 1\n",
            "the hours come to 50: as the line says\n",
            "node n1: 2 minutes; batches s1 1 to 3\n",
            "2 of 3 node-minutes came, 0 are held\n",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }
}
