//! What operators and finance ask of a month: why an amount, what if, which prices, the closing sheet. Answers come from
//! one snapshot, whether the program runs or not. It changes nothing.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, to_value};
use tallyman_aggregator_core::accounts::explain::{Ask, Of, explain};
use tallyman_aggregator_core::accounts::what_if::{self, Prices};
use tallyman_aggregator_core::bills::{Books, Viewer};
use tallyman_aggregator_core::rating::{Fault, ItemKey, Month, PriceBook, hour_text, parse_hour};
use tallyman_aggregator_core::sheet::csv;
use tallyman_common::money::Currency;

use crate::whole;

/// A digest is named by so many of its digits at least.
const DIGEST_DIGITS_MIN: usize = 8;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Why an amount is what it is.
    Explain {
        /// Number or identity of an invoice; else account and month.
        invoice: Option<String>,
        /// Paying account.
        account: Option<String>,
        /// Month of it.
        month: Option<String>,
        /// Lines of this tenant.
        tenant: Option<String>,
        /// This item.
        item: Option<String>,
        /// This hour.
        hour: Option<String>,
    },
    /// A month under another price book.
    WhatIf {
        /// Text of the book on the left side; what is in force without.
        before: Option<String>,
        /// Text of the book.
        after: String,
        /// Which month.
        month: String,
        /// Only this account.
        account: Option<String>,
        /// Only this tenant.
        tenant: Option<String>,
    },
    /// The text of a price book that was activated.
    BookText {
        /// First digits of its digest, its name, or the instant from which it prices.
        name: String,
    },
    /// The closing sheet of a month.
    Sheet {
        /// Which month.
        month: String,
        /// Of this currency.
        currency: Option<String>,
        /// As comma-separated values.
        csv: bool,
    },
}

impl Why {
    /// The answer from one snapshot.
    pub fn answer(self, books: Books<'_>) -> anyhow::Result<Value> {
        Ok(match self {
            Self::Explain {
                invoice,
                account,
                month,
                tenant,
                item,
                hour,
            } => {
                let of = match (invoice, account, month) {
                    (Some(name), None, None) => Of::Invoice(name),
                    (None, Some(account), Some(month)) => Of::Month {
                        account,
                        month: Month::parse(&month)?,
                    },
                    _ => bail!("name an invoice, or an account with --account and a month with --month"),
                };
                let ask = Ask {
                    tenant,
                    item: item
                        .map(|it| ItemKey::parse(&it))
                        .transpose()
                        .map_err(|e| anyhow!(e))?,
                    hour: hour.map(|it| parse_hour(&it)).transpose()?,
                };
                to_value(explain(books, of, &ask, Viewer::Operator)?)?
            }
            Self::WhatIf {
                before,
                after,
                month,
                account,
                tenant,
            } => {
                let before = before
                    .map(|it| PriceBook::parse_logged(&it).map_err(faults))
                    .transpose()?;
                let (before, after) = (before.map(Arc::new), book(&after)?);
                let ask = what_if::Ask {
                    month: Month::parse(&month)?,
                    before: before.map_or(Prices::Real, Prices::Book),
                    after,
                    account,
                    tenant,
                };
                to_value(whole::what_if(books, &ask)?)?
            }
            Self::BookText { name } => book_text(books, &name)?,
            Self::Sheet {
                month,
                currency,
                csv: as_csv,
            } => {
                let currency = currency.map(|it| Currency::parse(&it)).transpose()?;
                let made = whole::closing_sheet(books, Month::parse(&month)?, currency)?;
                let text = as_csv.then(|| csv(&made));
                json!({"sheet": made, "csv": text})
            }
        })
    }
}

fn book(text: &str) -> anyhow::Result<Arc<PriceBook>> {
    PriceBook::parse(text).map(Arc::new).map_err(faults)
}

/// Faults of a price book, line by line.
pub fn faults(faults: Vec<Fault>) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow!("the price book has faults:\n{}", lines.join("\n"))
}

fn book_text(books: Books<'_>, name: &str) -> anyhow::Result<Value> {
    let all = || books.registry.books.iter();
    let is_named = |digest: &str, title: &str, from: &str| {
        (name.len() >= DIGEST_DIGITS_MIN && digest.starts_with(name)) || title == name || from == name
    };
    let mut named: Vec<(String, &str)> = all()
        .map(|it| (it.book.digest().to_string(), it))
        .filter(|(digest, it)| is_named(digest, it.book.name(), &hour_text(it.from)))
        .map(|(digest, it)| (digest, it.text.as_str()))
        .collect();
    named.sort();
    named.dedup();
    match &named[..] {
        [(digest, text)] => Ok(json!({"digest": digest, "text": text})),
        [] => bail!(
            "`{name}` is no file, and no price book has this name, digest or beginning: \
             `tallyman-aggregator price-book list` shows them"
        ),
        several => {
            let digests: Vec<&str> = several.iter().map(|(digest, _)| digest.as_str()).collect();
            bail!(
                "several price books are `{name}`; say which digest: {}",
                digests.join(", ")
            )
        }
    }
}

/// A text of an answer, or a dash.
pub(super) fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), str::to_owned)
}

/// A list of an answer; empty for anything else.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
