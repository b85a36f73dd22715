//! A bill as plain text, for terminals. Says what the data say, adds nothing.

use std::fmt::Write;

use super::{Bill, Completeness};

/// The bill as lines of text.
pub fn render(bill: &Bill) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write_head(&mut out, bill)
        .and_then(|()| write_lines(&mut out, bill))
        .and_then(|()| write_gaps(&mut out, bill));
    out
}

fn write_head(out: &mut String, bill: &Bill) -> std::fmt::Result {
    let Bill {
        tenant,
        tenant_name,
        account,
        period_start,
        period_end,
        zone,
        ..
    } = bill;
    writeln!(
        out,
        "Bill ({}) of {tenant_name} [{tenant}], paid by account {account}",
        bill.status
    )?;
    writeln!(out, "period        {period_start} to {period_end} ({zone})")?;
    writeln!(
        out,
        "as of         {}, log position {}",
        bill.as_of.at, bill.as_of.position
    )?;
    for book in &bill.price_books {
        writeln!(
            out,
            "price book    {} from {}, sha256 {}",
            book.name, book.from, book.digest
        )?;
    }
    Ok(())
}

/// Columns of a terminal that a text takes: Chinese characters take two.
fn columns(text: &str) -> usize {
    text.chars()
        .map(|c| {
            if ('\u{1100}'..='\u{ffe6}').contains(&c) {
                2
            } else {
                1
            }
        })
        .sum()
}

fn left(text: &str, width: usize) -> String {
    let pad = width
        .checked_sub(columns(text))
        .map_or_else(String::new, |n| " ".repeat(n));
    format!("{text}{pad}")
}

fn write_lines(out: &mut String, bill: &Bill) -> std::fmt::Result {
    writeln!(out)?;
    let width = |text: fn(&super::Line) -> &str, least: usize| {
        bill.lines
            .iter()
            .map(|l| columns(text(l)))
            .fold(least, usize::max)
    };
    let (title, quantity) = (width(|l| &l.title, 8), width(|l| &l.quantity, 8));
    let (unit, exact) = (width(|l| &l.unit, 4), width(|l| &l.amount_exact, 8));
    let head = (left("item", title), left("unit", unit));
    writeln!(
        out,
        "{}  {:>quantity$}  {}  {:>exact$}  {:>10}",
        head.0, "quantity", head.1, "exact", bill.currency
    )?;
    for line in &bill.lines {
        let (name, unit) = (left(&line.title, title), left(&line.unit, unit));
        let (amount, exact_amount) = (&line.amount, &line.amount_exact);
        writeln!(
            out,
            "{name}  {:>quantity$}  {unit}  {exact_amount:>exact$}  {amount:>10}",
            line.quantity
        )?;
    }
    let (subtotal, total) = (&bill.subtotal_exact, &bill.total);
    writeln!(
        out,
        "{}{subtotal:>exact$}  {total:>10}",
        left("total", title + quantity + unit + 6)
    )
}

fn write_gaps(out: &mut String, bill: &Bill) -> std::fmt::Result {
    let Completeness {
        expected_node_minutes: expected,
        received_node_minutes: received,
        nodes,
        ..
    } = bill.completeness;
    writeln!(out)?;
    writeln!(
        out,
        "completeness  {received} of {expected} node-minutes received so far, from {nodes} node(s)"
    )?;
    for hole in &bill.completeness.missing {
        writeln!(
            out,
            "  missing     {}: {} to {}, {} min",
            hole.node, hole.from, hole.to, hole.minutes
        )?;
    }
    if bill.completeness.held_node_minutes > 0 {
        let held = bill.completeness.held_node_minutes;
        writeln!(
            out,
            "  held        {held} node-minutes are in batches that are held or were discarded"
        )?;
    }
    for gap in &bill.unmeasured {
        let (hours, from) = (gap.hours, &gap.first_hour);
        writeln!(
            out,
            "  {:11} {}: {} ({hours} hour(s), from {from})",
            gap.state, gap.meter, gap.cause
        )?;
    }
    for hole in &bill.inferred {
        let (meter, value, unit, hours) = (&hole.meter, &hole.value, hole.unit, hole.hours);
        writeln!(
            out,
            "  inferred    {meter}: {value} {unit} over holes in {hours} hour(s), in the lines above"
        )?;
    }
    for fault in &bill.faults {
        writeln!(out, "  not rated   {fault}")?;
    }
    write_adjustment(out, bill)
}

fn write_adjustment(out: &mut String, bill: &Bill) -> std::fmt::Result {
    let Some(adjustment) = &bill.adjustment else {
        return Ok(());
    };
    writeln!(
        out,
        "\nadjustment    {} {} since this month became final; in no line above",
        adjustment.total, bill.currency
    )?;
    for line in &adjustment.lines {
        let (item, quantity, exact) = (&line.item, &line.quantity, &line.amount_exact);
        writeln!(out, "  {item}: {quantity}, exact {exact}, {}", line.amount)?;
    }
    Ok(())
}
