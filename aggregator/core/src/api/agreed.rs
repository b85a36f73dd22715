//! What was agreed with accounts: every file of terms that was ever put in force, as it was written.

use std::ops::ControlFlow;

use serde::Serialize;
use tallyman_common::ids::Digest;
use tallyman_common::time::Hour;

use super::text::instant_text;
use crate::bills::Books;
use crate::log::decode_decision;
use crate::ports::{Table, try_scan};
use crate::rating::{BillingZone, hour_text};
use crate::registry::Command;
use crate::rollup::cache::FoldError;

/// Terms of an account, from a month on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agreed {
    /// With whom.
    pub account: String,
    /// First month, in the account's zone.
    pub month: String,
    /// First instant of it.
    pub from: String,
    /// `in force`, `later`, `past`: others hold by now; or `replaced`: terms of the same month were decided behind them.
    pub status: &'static str,
    /// When they were decided.
    pub decided: String,
    /// By whom.
    pub actor: String,
    /// Position of the decision.
    pub position: u64,
    /// SHA-256 of the file.
    pub digest: String,
    /// The file, byte for byte.
    pub text: String,
}

/// Terms of one account or of all, by account, first month and decision.
///
/// # Errors
/// When the log can't be read.
pub fn agreed(books: Books<'_>, account: Option<&str>) -> Result<Vec<Agreed>, FoldError> {
    let mut found: Vec<(Hour, Agreed)> = Vec::new();
    try_scan(
        books.store,
        Table::Decisions,
        (&[], &[u8::MAX; 10]),
        |_, value| {
            let decision = decode_decision(value)?;
            if let Command::SetTerms {
                account: of,
                text,
                from,
            } = decision.command
                && account.is_none_or(|it| it == of)
            {
                let row = Agreed {
                    month: month(books, &of, from),
                    account: of,
                    from: hour_text(from),
                    status: "past",
                    decided: instant_text(decision.at),
                    actor: decision.actor,
                    position: decision.position,
                    digest: Digest::of(&[text.as_bytes()]).to_string(),
                    text,
                };
                found.push((from, row));
            }
            Ok::<_, FoldError>(ControlFlow::Continue(()))
        },
    )?;
    found.sort_by(|(at, one), (to, other)| {
        (&one.account, at, one.position).cmp(&(&other.account, to, other.position))
    });
    let now = books.now.hour();
    let statuses: Vec<&'static str> = (0..found.len()).map(|at| status(&found[at..], now)).collect();
    let rows = found.into_iter().zip(statuses);
    Ok(rows.map(|((_, row), status)| Agreed { status, ..row }).collect())
}

/// How the first of some rows stands, by those behind it.
fn status(rows: &[(Hour, Agreed)], now: Hour) -> &'static str {
    let Some(((from, own), behind)) = rows.split_first() else {
        return "past";
    };
    let next = behind.first().filter(|(_, it)| it.account == own.account);
    match next {
        Some((next, _)) if next == from => "replaced",
        _ if *from > now => "later",
        Some((next, _)) if *next <= now => "past",
        _ => "in force",
    }
}

/// The month of an account that an hour begins; the hour itself where it can't be told.
fn month(books: Books<'_>, account: &str, from: Hour) -> String {
    let zone = books
        .registry
        .payers
        .accounts
        .get(account)
        .map(|it| it.zone.as_str());
    let zone = zone.and_then(|it| BillingZone::parse(it).ok());
    let month = zone.and_then(|it| it.month_of(from).ok());
    month.map_or_else(|| hour_text(from), |it| it.to_string())
}
