//! `bill sheet`: the closing sheet of a month for finance, as tables or as comma-separated values. Knows no store.

use clap::Args;
use serde_json::{Map, Value};

use super::desk::Desk;
use super::lists::grid;
use super::print;
use super::question::Question;
use super::why::{Why, list, word};
use crate::config::Config;

/// Which month.
#[derive(Debug, Args)]
pub struct Sheet {
    /// Month, such as 2026-11; in each account's own zone.
    #[arg(long, value_name = "MONTH")]
    period: String,
    /// Currency, where prices in several are in force.
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// Print comma-separated values.
    #[arg(long)]
    csv: bool,
}

impl Sheet {
    /// Asks and prints; an error when the month does not balance.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let question = Why::Sheet {
            month: self.period,
            currency: self.currency,
            csv: self.csv,
        };
        let found = Desk::open(config)?.question(Question::Why(question))?;
        let sheet = &found["sheet"];
        match found["csv"].as_str() {
            Some(csv) => print!("{csv}"),
            None => print(as_json, sheet, &text(sheet))?,
        }
        anyhow::ensure!(
            sheet["balances"] == true,
            "{}; keep a backup and read the page for operators",
            word(&sheet["verdict"])
        );
        Ok(())
    }
}

/// A sheet for a terminal.
fn text(sheet: &Value) -> String {
    let state = if sheet["is_final"] == true {
        "final"
    } else {
        "open"
    };
    let mut out = format!(
        "{} in {}, {state}, as of position {}\n\nUsage in base units\n",
        word(&sheet["month"]),
        word(&sheet["currency"]),
        sheet["as_of"]["position"]
    );
    out.push_str(&table(sheet, "usage", "base_unit"));
    out.push_str("\nAt list price\n");
    out.push_str(&table(sheet, "at_list", "unit"));
    out.push_str(&format!(
        "\nat list price {} in all, of which {} billed; at what was agreed and by tiers {}\n{}\n\nAccounts\n",
        word(&sheet["at_list"]["metered"]),
        word(&sheet["at_list"]["billed"]),
        word(&sheet["amount_exact"]),
        word(&sheet["verdict"])
    ));
    out.push_str(&grid(ACCOUNT_COLUMNS, &sheet["accounts"]));
    out.push('\n');
    out.push_str(&grid(SUM_COLUMNS, &sheet["sums"]));
    for it in list(&sheet["not_billed"]) {
        out.push_str(&format!(
            "{}: NOT billed: {}\n",
            word(&it["account"]),
            word(&it["reason"])
        ));
    }
    for fault in list(&sheet["faults"]) {
        out.push_str(&format!("fault: {}\n", word(fault)));
    }
    if sheet["more_faults"] != 0 {
        out.push_str(&format!("and {} more\n", sheet["more_faults"]));
    }
    out
}

/// Rows with their parts beside the name; columns in which nothing stands are left out.
fn table(sheet: &Value, parts: &str, unit: &str) -> String {
    let rows: Vec<Value> = list(&sheet["rows"])
        .iter()
        .map(|row| {
            let name = if row["item"].is_null() {
                &row["title"]
            } else {
                &row["item"]
            };
            let mut flat: Map<String, Value> = row[parts].as_object().cloned().unwrap_or_default();
            flat.insert("name".to_owned(), name.clone());
            flat.insert("unit".to_owned(), row[unit].clone());
            Value::Object(flat)
        })
        .collect();
    let is_used = |column: &&&str| {
        ["name", "unit", "metered", "billed"].contains(column) || rows.iter().any(|row| row[**column] != "0")
    };
    let columns: Vec<&str> = PART_COLUMNS.iter().filter(is_used).copied().collect();
    grid(&columns, &Value::Array(rows))
}

const PART_COLUMNS: &[&str] = &[
    "name",
    "unit",
    "metered",
    "billed",
    "free",
    "rounding",
    "late",
    "not_rated",
    "other_currencies",
    "unattributed",
    "unconfirmed",
    "quarantined",
    "discarded",
];
const ACCOUNT_COLUMNS: &[&str] = &[
    "account",
    "status",
    "number",
    "subtotal",
    "discounts",
    "credits",
    "taxes",
    "total",
];
const SUM_COLUMNS: &[&str] = &[
    "status",
    "accounts",
    "subtotal",
    "discounts",
    "credits",
    "taxes",
    "total",
];
