//! The same rating over files, without a store: a price book and lines of usage in, lines and totals out.
//!
//! Input is one JSON object a line, output one JSON document; both have a schema in `docs/schemas`. Numbers are
//! decimal strings in both. Months are those of the price book's time zone.
//! Invariants: I6, I7. It must not know where the files are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tallyman_common::ids::Owner;
use tallyman_common::money::{Amount, Currency, Quantity, Rounding};
use tallyman_common::time::Hour;

use super::RatingError;
use super::book::{BookVersions, Fault, ItemKey, PriceBook};
use super::calendar::{Month, parse_hour};
use super::period::{HourUsage, RatedLine, rate_period};
use super::totals::{BillLine, bill_totals};

/// Most usage lines of one run.
pub const USAGE_LINES_MAX: usize = 4_000_000;
/// Most faults told about one file.
pub const USAGE_FAULTS_MAX: usize = 100;

/// Why nothing was rated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfflineError {
    /// The price book has faults.
    Book(Vec<Fault>),
    /// Lines of the usage have faults.
    Usage(Vec<UsageFault>),
    /// A tenant's month could not be rated.
    Rating {
        /// Whose.
        tenant: String,
        /// Which month.
        month: Month,
        /// Why.
        source: RatingError,
    },
    /// The result could not be written as JSON.
    Output(String),
}

/// One thing wrong with a usage line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageFault {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// Rates usage lines under a price book; the result is a JSON document (`docs/schemas/rate-output.schema.json`).
///
/// The order of the lines does not matter; the same (tenant, hour, item) twice is refused.
pub fn rate(book_text: &str, usage_text: &str) -> Result<String, OfflineError> {
    let book = Arc::new(PriceBook::parse(book_text).map_err(OfflineError::Book)?);
    let usage = read_usage(&book, usage_text).map_err(OfflineError::Usage)?;
    let books = BookVersions::always(Arc::clone(&book));
    let mut bills = Vec::with_capacity(usage.len());
    for ((tenant, month), hours) in usage {
        let bill = rate_month(&books, &tenant, month, hours);
        bills.push(bill.map_err(|source| OfflineError::Rating {
            tenant,
            month,
            source,
        })?);
    }
    let output = Output {
        format: 1,
        price_book: BookOutput::of(&book),
        bills,
    };
    serde_json::to_string_pretty(&output).map_err(|it| OfflineError::Output(it.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageLine {
    tenant: String,
    hour: String,
    item: String,
    quantity: String,
}

#[derive(Serialize)]
struct Output {
    format: u32,
    price_book: BookOutput,
    bills: Vec<BillOutput>,
}

#[derive(Serialize)]
struct BookOutput {
    name: String,
    digest: String,
    currency: Currency,
    time_zone: String,
    rounding: Rounding,
}

#[derive(Serialize)]
struct BillOutput {
    tenant: String,
    month: Month,
    items: Vec<ItemOutput>,
    subtotal: Amount,
    total: String,
    lines: Vec<RatedLine>,
}

#[derive(Serialize)]
struct ItemOutput {
    item: ItemKey,
    title: String,
    unit: &'static str,
    quantity: Quantity,
    unrounded: Amount,
    amount: String,
}

/// Hours of each tenant and month; inside an hour the place of the item in the book, its key and its quantity.
type Usage = BTreeMap<(String, Month), BTreeMap<Hour, BTreeMap<usize, (ItemKey, Quantity, usize)>>>;

fn read_usage(book: &PriceBook, text: &str) -> Result<Usage, Vec<UsageFault>> {
    let (mut usage, mut faults) = (Usage::new(), Vec::new());
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        if line > USAGE_LINES_MAX {
            faults.push(UsageFault {
                line,
                reason: format!("more than {USAGE_LINES_MAX} lines"),
            });
        } else if !raw.trim().is_empty()
            && let Err(reason) = read_line(book, raw, line, &mut usage)
        {
            faults.push(UsageFault { line, reason });
        }
        if faults.len() >= USAGE_FAULTS_MAX || line > USAGE_LINES_MAX {
            break;
        }
    }
    if faults.is_empty() { Ok(usage) } else { Err(faults) }
}

fn read_line(book: &PriceBook, raw: &str, line: usize, usage: &mut Usage) -> Result<(), String> {
    // The library would take an array of four strings as well.
    if !raw.trim_start().starts_with('{') {
        return Err("a JSON object is wanted, one a line".to_owned());
    }
    let read: UsageLine = serde_json::from_str(raw).map_err(|it| json_words(&it))?;
    if Owner::claim(&read.tenant).is_err() {
        return Err(
            "`tenant` must have 1 to 128 bytes, no control characters and no spaces at its ends".to_owned(),
        );
    }
    let hour = parse_hour(&read.hour).map_err(|it| format!("`hour`: {it}"))?;
    let month = book
        .time_zone()
        .month_of(hour)
        .map_err(|it| format!("`hour`: {it}"))?;
    let key = ItemKey::parse(&read.item).map_err(|it| format!("`item`: {it}"))?;
    let place = book.items().iter().position(|it| *it.key() == key);
    let place = place.ok_or_else(|| format!("`item`: the price book has no item `{key}`"))?;
    let quantity = Quantity::parse(&read.quantity).map_err(|it| format!("`quantity`: {it}"))?;
    let items = usage
        .entry((read.tenant.clone(), month))
        .or_default()
        .entry(hour)
        .or_default();
    if let Some((_, _, first)) = items.get(&place) {
        let UsageLine {
            tenant, hour, item, ..
        } = read;
        return Err(format!(
            "tenant `{tenant}`, hour {hour} and item `{item}` are already on line {first}"
        ));
    }
    items.insert(place, (key, quantity, line));
    Ok(())
}

/// The message without the position inside the one line that was read, which has its own number in the file.
fn json_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let words = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(words, _)| words);
    format!("column {}: {words}", error.column())
}

fn rate_month(
    books: &BookVersions,
    tenant: &str,
    month: Month,
    hours: BTreeMap<Hour, BTreeMap<usize, (ItemKey, Quantity, usize)>>,
) -> Result<BillOutput, RatingError> {
    // An hour outside the calendar was refused when it was read.
    let zone = books.at(Hour(u32::MAX)).map(|book| book.time_zone());
    let day_of = |hour| {
        zone.and_then(|it| it.day_start(hour).ok())
            .map_or(hour, |day| day)
    };
    let hour_usage = |(hour, items): (Hour, BTreeMap<usize, (ItemKey, Quantity, usize)>)| HourUsage {
        hour,
        day: day_of(hour),
        quantities: items
            .into_values()
            .map(|(key, quantity, _)| (key, quantity))
            .collect(),
    };
    let hours: Vec<HourUsage> = hours.into_iter().map(hour_usage).collect();
    let lines = rate_period(books, &hours)?;
    let until = hours.last().map_or(Hour(0), |it| it.hour);
    let totals = bill_totals(books, until, &lines)?;
    Ok(BillOutput {
        tenant: tenant.to_owned(),
        month,
        items: totals.lines.into_iter().map(ItemOutput::of).collect(),
        subtotal: totals.subtotal,
        total: totals.total.number(),
        lines,
    })
}

impl BookOutput {
    fn of(book: &PriceBook) -> Self {
        Self {
            name: book.name().to_owned(),
            digest: book.digest().to_string(),
            currency: book.currency(),
            time_zone: book.time_zone().name().to_owned(),
            rounding: book.rounding(),
        }
    }
}

impl ItemOutput {
    fn of(line: BillLine) -> Self {
        Self {
            item: line.item,
            title: line.title,
            unit: line.unit,
            quantity: line.quantity,
            unrounded: line.unrounded,
            amount: line.amount.number(),
        }
    }
}

impl fmt::Display for OfflineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = match self {
            Self::Book(faults) => faults.iter().map(|it| format!("price book: {it}")).collect(),
            Self::Usage(faults) => faults
                .iter()
                .map(|it| format!("usage: line {}: {}", it.line, it.reason))
                .collect(),
            Self::Rating {
                tenant,
                month,
                source,
            } => vec![format!("tenant `{tenant}`, month {month}: {source}")],
            Self::Output(reason) => vec![format!("the result can't be written: {reason}")],
        };
        out.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for OfflineError {}

#[cfg(test)]
#[path = "offline_tests.rs"]
mod tests;
