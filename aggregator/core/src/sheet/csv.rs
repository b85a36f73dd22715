//! A sheet as comma-separated values: usage, the same at list price, then accounts, each line named by its table.
//!
//! It must not know how numbers came about.

use super::money::{AccountRow, Sum};
use super::parts::Parts;
use super::{Row, Sheet};
use crate::csv::line;

const ACCOUNT_COLUMNS: [&str; 7] = [
    "status",
    "number",
    "subtotal",
    "discounts",
    "credits",
    "taxes",
    "total",
];

/// The sheet as text with a first line of names and `\r\n` behind each line.
pub fn csv(sheet: &Sheet) -> String {
    let parts = sheet.at_list.columns().map(|(name, _)| name);
    let first = ["table", "name", "title", "unit"];
    let more = ["amount_exact", "balances"];
    let names = first.iter().chain(&parts).chain(&more).chain(&ACCOUNT_COLUMNS);
    let mut text = line(names.map(|it| (*it).to_owned()));
    for row in &sheet.rows {
        text.push_str(&usage(row));
    }
    for row in &sheet.rows {
        text.push_str(&listed(row));
    }
    let all = ("at_list", "all", "", sheet.currency.code());
    let amount = sheet.amount_exact.to_string();
    text.push_str(&parts_line(all, &sheet.at_list, (amount, Some(sheet.balances))));
    for row in &sheet.accounts {
        text.push_str(&account(row));
    }
    for sum in &sheet.sums {
        text.push_str(&of_status(sum));
    }
    text
}

fn name(row: &Row) -> &str {
    row.item.as_ref().map_or(&row.title, |it| it.as_str())
}

fn usage(row: &Row) -> String {
    let of = ("usage", name(row), row.title.as_str(), row.base_unit);
    parts_line(of, &row.usage, (String::new(), Some(row.balances)))
}

fn listed(row: &Row) -> String {
    let of = (
        "at_list",
        name(row),
        row.title.as_str(),
        row.unit.map_or("", |it| it),
    );
    parts_line(of, &row.at_list, (row.amount_exact.to_string(), None))
}

fn parts_line(
    (table, name, title, unit): (&str, &str, &str, &str),
    parts: &Parts,
    (amount, balances): (String, Option<bool>),
) -> String {
    let first = [table, name, title, unit].map(str::to_owned);
    let numbers = parts.columns().map(|(_, number)| number.to_owned());
    let balances = balances.map_or_else(String::new, |it| it.to_string());
    let rest = ACCOUNT_COLUMNS.map(|_| String::new());
    line(
        first
            .into_iter()
            .chain(numbers)
            .chain([amount, balances])
            .chain(rest),
    )
}

fn account(row: &AccountRow) -> String {
    let amounts = [row.subtotal, row.discounts, row.credits, row.taxes, row.total];
    let status = [
        row.status.to_owned(),
        row.number.as_deref().unwrap_or("").to_owned(),
    ];
    let status = status.into_iter().chain(amounts.map(|it| it.number()));
    money_line("account", &row.account, status)
}

fn of_status(sum: &Sum) -> String {
    let amounts = [sum.subtotal, sum.discounts, sum.credits, sum.taxes, sum.total];
    let status = [sum.status.to_owned(), String::new()];
    let status = status.into_iter().chain(amounts.map(|it| it.number()));
    money_line("accounts", &format!("{} accounts", sum.accounts), status)
}

fn money_line(table: &str, name: &str, rest: impl Iterator<Item = String>) -> String {
    let empty = 2 + 11 + 2;
    let first = [table.to_owned(), name.to_owned()];
    line(
        first
            .into_iter()
            .chain(std::iter::repeat_n(String::new(), empty))
            .chain(rest),
    )
}
