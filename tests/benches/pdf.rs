//! Invoices as PDF: how many one processor makes in a second.

use anyhow::{Context, Result};
use tallyman_aggregator_core::accounts::Document;
use tallyman_paper::{Extra, Press};

use super::cost::cpu_of_this_thread;
use super::report::{Report, Target};

/// An ordinary Chinese invoice, and one of 200 lines, the first 20 of which are measured alone too.
const CHINESE: &str = include_str!("../../aggregator/paper/tests/golden/invoice-zh.json");
const LONG: &str = include_str!("../../aggregator/paper/tests/golden/invoice-long-en.json");

/// Makes the same documents again and again.
pub fn run(quick: bool) -> Result<Report> {
    let mut report = Report::new("pdf");
    let long: Document = serde_json::from_str(LONG)?;
    let mut twenty = long.clone();
    twenty.sections.truncate(1);
    let chinese = serde_json::from_str(CHINESE)?;
    let started = cpu_of_this_thread();
    let press = Press::new();
    let reading = cpu_of_this_thread()
        .checked_sub(started)
        .context("CPU time grows")?;
    let count = if quick { 2 } else { 500 };
    let target = Target::AtLeast(50.0);
    report.judged(
        "20 lines, English",
        rate(&press, &twenty, count)?,
        "PDFs/s of CPU",
        target,
    );
    report.judged(
        "7 lines with tiers, Chinese",
        rate(&press, &chinese, count)?,
        "PDFs/s of CPU",
        target,
    );
    report.figure("200 lines, English", rate(&press, &long, count)?, "PDFs/s of CPU");
    report.figure("reading the fonts, once", reading.as_secs_f64() * 1e3, "ms");
    Ok(report)
}

fn rate(press: &Press, document: &Document, count: u32) -> Result<f64> {
    let extra = Extra::default();
    let started = cpu_of_this_thread();
    for _ in 0..count {
        press.pdf(document, &extra)?;
    }
    let spent = cpu_of_this_thread()
        .checked_sub(started)
        .context("CPU time grows")?;
    Ok(f64::from(count) / spent.as_secs_f64())
}
