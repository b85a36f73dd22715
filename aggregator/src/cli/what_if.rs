//! `what-if` and `price-book diff`: a month under other prices, and what differs between two price books. Knows no store,
//! and changes nothing.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json, to_value};
use tallyman_aggregator_core::rating::PriceBook;
use tallyman_aggregator_core::rating::book::diff::diff;

use super::commerce::{read_book, told, warnings};
use super::desk::Desk;
use super::lists::grid;
use super::print;
use super::question::Question;
use super::why::{Why, faults, list, word};
use crate::config::Config;

/// Which prices, for when and whom.
#[derive(Debug, Args)]
pub struct WhatIf {
    /// Price book that is put in the place of those in force.
    #[arg(long, value_name = "FILE")]
    price_book: PathBuf,
    /// Month, past or running, such as 2026-11; in each account's own zone.
    #[arg(long, value_name = "MONTH")]
    period: String,
    /// Only this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only this paying account.
    #[arg(long)]
    account: Option<String>,
}

impl WhatIf {
    /// Asks and prints.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let (after, _) = read_book(&self.price_book)?;
        let question = Why::WhatIf {
            before: None,
            after,
            month: self.period,
            account: self.account,
            tenant: self.tenant.clone(),
        };
        let found = Desk::open(config)?.question(Question::Why(question))?;
        print(as_json, &found, &text(&found, self.tenant.as_deref()))?;
        let is_nothing = list(&found["accounts"]).is_empty() && !list(&found["not_rated"]).is_empty();
        anyhow::ensure!(!is_nothing, "nothing could be rated");
        Ok(())
    }
}

/// Two price books, each a file or one that was activated.
#[derive(Debug, Args)]
pub struct Diff {
    /// Old one: a file, or the name, digest or beginning (2026-11-01T00:00:00Z) of one that was activated.
    old: String,
    /// New one.
    new: String,
    /// Tell too whose bills of this month would change, such as 2026-11.
    #[arg(long, value_name = "MONTH")]
    period: Option<String>,
}

impl Diff {
    /// Compares and prints; two files need no data folder.
    pub fn run(self, config: impl FnOnce() -> anyhow::Result<Config>, as_json: bool) -> anyhow::Result<()> {
        let are_files = [&self.old, &self.new].map(|it| Path::new(it).exists());
        let mut desk = match (are_files, &self.period) {
            ([true, true], None) => None,
            _ => Some(Desk::open(&config()?)?),
        };
        let mut read = |name: &str, is_file: bool| match (&mut desk, is_file) {
            (Some(desk), false) => activated(desk, name),
            _ => read_book(Path::new(name)),
        };
        let (old_text, old) = read(&self.old, are_files[0])?;
        let (new_text, new) = read(&self.new, are_files[1])?;
        let changes = diff(&old, &new);
        let mut text: String = changes.iter().map(|it| format!("{it}\n")).collect();
        if changes.is_empty() {
            text.push_str("both price books say the same\n");
        }
        let warnings = match &mut desk {
            Some(desk) => warnings(desk, &new_text)?,
            None => json!([]),
        };
        text.push_str(&told(&warnings));
        let mut value = json!({
            "old": old.digest(), "new": new.digest(), "changes": to_value(&changes)?, "what_if": null,
            "warnings": warnings,
        });
        if let (Some(desk), Some(month)) = (&mut desk, self.period) {
            let question = Why::WhatIf {
                before: Some(old_text),
                after: new_text,
                month,
                account: None,
                tenant: None,
            };
            let found = desk.question(Question::Why(question))?;
            text.push_str(&self::text(&found, None));
            value["what_if"] = found;
        }
        print(as_json, &value, &text)
    }
}

fn activated(desk: &mut Desk, name: &str) -> anyhow::Result<(String, PriceBook)> {
    let name = name.to_owned();
    let found = desk.question(Question::Why(Why::BookText { name }))?;
    let text = found["text"].as_str().map_or_else(String::new, str::to_owned);
    let book = PriceBook::parse_logged(&text).map_err(faults)?;
    Ok((text, book))
}

/// A month on both sides, for a terminal: lines that differ, accounts that do, all.
fn text(found: &Value, tenant: Option<&str>) -> String {
    let mut out = format!("{} in {}:\n", word(&found["month"]), word(&found["currency"]));
    let rows: Vec<Value> = list(&found["rows"]).iter().map(row).collect();
    if !rows.is_empty() {
        out.push_str(&grid(ROW_COLUMNS, &Value::Array(rows)));
    }
    if found["more_rows"] != 0 {
        out.push_str(&format!("and {} more lines\n", found["more_rows"]));
    }
    let differs = |it: &&Value| {
        let sides = ["subtotal", "discounts", "taxes", "total"].map(|part| &it[part]);
        sides.iter().any(|it| it["before"] != it["after"])
    };
    let accounts = list(&found["accounts"]);
    let changed: Vec<Value> = accounts.iter().filter(differs).map(account).collect();
    let count = changed.len();
    if count > 0 {
        out.push_str(&grid(ACCOUNT_COLUMNS, &Value::Array(changed)));
    }
    for it in accounts {
        for fault in list(&it["faults"]) {
            out.push_str(&format!("{}: not rated: {}\n", word(&it["account"]), word(fault)));
        }
    }
    for it in list(&found["not_rated"]) {
        out.push_str(&format!(
            "{}: NOT rated: {}\n",
            word(&it["account"]),
            word(&it["reason"])
        ));
    }
    // Discounts, credits and taxes are of accounts: a tenant has its lines alone.
    let whose = tenant.map_or_else(|| "in all".to_owned(), |it| format!("lines of tenant `{it}`:"));
    let total = &found["total"];
    out.push_str(&format!(
        "{whose} {} instead of {}, {} more; {count} of {} accounts change, {} lines stay as they are\n",
        word(&total["after"]),
        word(&total["before"]),
        word(&total["difference"]),
        accounts.len(),
        found["same_rows"]
    ));
    out
}

fn row(it: &Value) -> Value {
    json!({
        "account": it["account"], "tenant": it["tenant"], "item": it["item"],
        "quantity": if it["quantity_after"].is_null() { &it["quantity_before"] } else { &it["quantity_after"] },
        "exact_before": it["exact_before"], "exact_after": it["exact_after"],
        "before": it["amount"]["before"], "after": it["amount"]["after"], "difference": it["amount"]["difference"],
    })
}

fn account(it: &Value) -> Value {
    json!({
        "account": it["account"],
        "subtotal_before": it["subtotal"]["before"], "subtotal_after": it["subtotal"]["after"],
        "total_before": it["total"]["before"], "total_after": it["total"]["after"],
        "difference": it["total"]["difference"],
    })
}

const ROW_COLUMNS: &[&str] = &[
    "account",
    "tenant",
    "item",
    "quantity",
    "exact_before",
    "exact_after",
    "before",
    "after",
    "difference",
];
const ACCOUNT_COLUMNS: &[&str] = &[
    "account",
    "subtotal_before",
    "subtotal_after",
    "total_before",
    "total_after",
    "difference",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_stand_side_by_side() {
        let sides = |before: &str, after: &str, difference: &str| json!({"before": before, "after": after, "difference": difference});
        let found = json!({
            "month": "2026-11", "currency": "USD", "more_rows": 0, "same_rows": 3, "not_rated": [],
            "rows": [{
                "account": "acme", "tenant": "acme", "item": "cpu", "quantity_before": "60", "quantity_after": "60",
                "exact_before": "50", "exact_after": "55", "amount": sides("50.00", "55.00", "5.00"),
            }],
            "accounts": [{
                "account": "acme", "subtotal": sides("50.00", "55.00", "5.00"), "discounts": sides("-5.00", "-5.50", "-0.50"),
                "taxes": sides("2.70", "2.97", "0.27"), "total": sides("47.70", "52.47", "4.77"), "faults": [],
            }],
            "total": sides("47.70", "52.47", "4.77"),
        });
        let text = text(&found, None);
        let last =
            "in all 52.47 instead of 47.70, 4.77 more; 1 of 1 accounts change, 3 lines stay as they are\n";
        assert!(text.ends_with(last), "{text}");
        assert!(
            text.contains("acme     acme    cpu   60        50            55"),
            "{text}"
        );
    }
}
