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

fn write_lines(out: &mut String, bill: &Bill) -> std::fmt::Result {
    writeln!(out)?;
    let width = |text: fn(&super::Line) -> &str, least: usize| {
        bill.lines
            .iter()
            .map(|l| text(l).chars().count())
            .max()
            .map_or(least, |w| w.max(least))
    };
    let (title, quantity) = (width(|l| &l.title, 8), width(|l| &l.quantity, 8));
    let (unit, exact) = (width(|l| &l.unit, 4), width(|l| &l.amount_exact, 8));
    writeln!(
        out,
        "{:title$}  {:>quantity$}  {:unit$}  {:>exact$}  {:>10}",
        "item", "quantity", "unit", "exact", bill.currency
    )?;
    for line in &bill.lines {
        let (amount, unit_name) = (&line.amount, &line.unit);
        writeln!(
            out,
            "{:title$}  {:>quantity$}  {unit_name:unit$}  {:>exact$}  {amount:>10}",
            line.title, line.quantity, line.amount_exact
        )?;
    }
    let left = title + quantity + unit + 6;
    writeln!(
        out,
        "{:left$}{:>exact$}  {:>10}",
        "total", bill.subtotal_exact, bill.total
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
    for gap in &bill.unmeasured {
        let (hours, from) = (gap.hours, &gap.first_hour);
        writeln!(
            out,
            "  {:11} {}: {} ({hours} hour(s), from {from})",
            gap.state, gap.meter, gap.cause
        )?;
    }
    for fault in &bill.faults {
        writeln!(out, "  not rated   {fault}")?;
    }
    Ok(())
}
