//! Rated hours and statements as tables that a finance person can read.

use tallyman_aggregator_core::rating::statement::{Cause, Deduction, Statement, StatementLine};
use tallyman_aggregator_core::rating::{RatedLine, TierPart, hour_text};
use tallyman_common::money::Amount;

/// A row; cells of a column that holds numbers stand at its right end.
type Row = Vec<String>;

/// Rows as aligned columns; `right` are the columns of numbers.
fn aligned(rows: &[Row], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().expect("a heading");
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|it| it.chars().count()).max().expect("a column")
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            match right.contains(&at) {
                true => line.push_str(&format!("{cell:>width$}  ")),
                false => line.push_str(&format!("{cell:<width$}  ")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row<const N: usize>(cells: [&str; N]) -> Row {
    cells.iter().map(|it| (*it).to_owned()).collect()
}

/// Rated hours. Hours in a row that differ in nothing are one row with their number.
pub fn hours(lines: &[(String, RatedLine)]) -> String {
    let mut rows = vec![row([
        "hour (UTC)",
        "tenant",
        "item",
        "used",
        "free",
        "before",
        "amount",
        "how",
    ])];
    let mut runs: Vec<(u32, u32, Row)> = Vec::new();
    for (tenant, line) in lines {
        let cells = vec![
            tenant.clone(),
            line.item.to_string(),
            line.quantity.decimal().to_string(),
            line.free.decimal().to_string(),
            line.before.decimal().to_string(),
            line.amount.to_string(),
            how(line),
        ];
        let run = runs
            .iter_mut()
            .rev()
            .take(20)
            .find(|(from, count, it)| from + count == line.hour.0 && *it == cells);
        match run {
            Some((_, count, _)) => *count += 1,
            None => runs.push((line.hour.0, 1, cells)),
        }
    }
    for (from, count, cells) in runs {
        let text = hour_text(tallyman_common::time::Hour(from));
        let hour = text.trim_end_matches(":00:00Z").replace('T', " ");
        let hour = match count {
            1 => format!("{hour}h"),
            count => format!("{hour}h, {count} hours"),
        };
        rows.push([vec![hour], cells].concat());
    }
    aligned(&rows, &[3, 4, 5, 6])
}

/// How an amount came about: quantities at prices, fees, packages, and what the span had cost before.
fn how(line: &RatedLine) -> String {
    let parts = |parts: &[TierPart]| parts.iter().map(part).collect::<Vec<_>>().join(" + ");
    let mut text = parts(&line.parts);
    if !line.less.is_empty() {
        text = format!("{text} less {}", parts(&line.less));
    }
    if let Some(raised) = line.raised_to {
        text = format!("billed as {}: {text}", raised.decimal());
    }
    text
}

fn part(part: &TierPart) -> String {
    let price = part.price.decimal();
    let mut text = match part.packages {
        Some(packages) => format!("{} packages at {price}", packages.decimal()),
        None => format!("{} at {price}", part.quantity.decimal()),
    };
    if let Some(fee) = part.fee {
        text = match price.is_zero() {
            true => format!("{} for {}", fee.decimal(), part.quantity.decimal()),
            false => format!("{text} and {} once", fee.decimal()),
        };
    }
    text
}

/// A statement as it would be printed: lines and their tiers, what is taken off, taxes, total.
pub fn statement(statement: &Statement) -> String {
    let mut rows = vec![row(["line", "quantity", "price", "unrounded", "amount"])];
    for line in &statement.lines {
        rows.push(line_row(line));
        if line.tiers.len() > 1 {
            rows.extend(line.tiers.iter().map(|tier| {
                let to = tier.to.map_or("∞".to_owned(), |it| it.decimal().to_string());
                row([
                    &format!("    ({}, {to}]", tier.from.decimal()),
                    &tier.quantity.to_string(),
                    &tier.price.decimal().to_string(),
                    &tier.amount.to_string(),
                ])
            }));
        }
    }
    let exact = Amount::sum(statement.lines.iter().map(|it| it.exact)).expect("it adds up");
    rows.push(row([
        "subtotal",
        "",
        "",
        &exact.to_string(),
        &statement.subtotal.number(),
    ]));
    rows.extend(statement.discounts.iter().map(|it| deduction("discount", it)));
    rows.extend(statement.credits.iter().map(|it| deduction("credit", it)));
    for tax in &statement.taxes {
        let kind = if tax.is_included { "tax, included:" } else { "tax" };
        let title = format!(
            "{kind} {}, {} % of {}",
            tax.class,
            tax.percent.decimal(),
            tax.basis.number()
        );
        let amount = match tax.is_included {
            true => format!("({})", tax.amount.number()),
            false => tax.amount.number(),
        };
        rows.push(row([&title, "", "", "", &amount]));
    }
    let total = format!("total {}", statement.currency);
    rows.push(row([&total, "", "", "", &statement.total.number()]));
    aligned(&rows, &[1, 2, 3, 4])
}

fn line_row(line: &StatementLine) -> Row {
    let item = &line.item;
    let title = match &line.cause {
        Cause::Usage(tenant) => format!("{tenant}: {item}"),
        Cause::Minimum(tenant) => format!("{tenant}: {item}, missing to the minimum"),
        Cause::Maximum(tenant) => format!("{tenant}: {item}, above the maximum"),
        Cause::Surcharge => format!("surcharge {item}"),
        Cause::Commitment => "missing to the commitment".to_owned(),
        Cause::Fee { period, time, of } => format!("fee {item}, {period}, {time} of {of} days"),
        Cause::Late { month, .. } => format!("{month}: {item}"),
    };
    let quantity = line.quantity.map(|it| it.to_string());
    let quantity = match (quantity, line.unit) {
        (Some(quantity), Some(unit)) => format!("{quantity} {unit}"),
        (Some(quantity), None) => quantity,
        (None, _) => String::new(),
    };
    let price = line.unit_price.map(|it| it.decimal().to_string());
    row([
        &title,
        &quantity,
        &price.unwrap_or_default(),
        &line.exact.to_string(),
        &line.amount.number(),
    ])
}

fn deduction(kind: &str, it: &Deduction) -> Row {
    let mut title = format!("{kind} {}", it.key);
    if let (Some(percent), Some(basis)) = (it.percent, it.basis) {
        title = format!("{title}, {} % of {}", percent.decimal(), basis.number());
    }
    if it.is_cut_short {
        title.push_str(", no more was left");
    }
    row([&title, "", "", "", &it.amount.number()])
}
