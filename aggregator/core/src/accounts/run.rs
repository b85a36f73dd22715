//! The monthly run: which accounts there are, and the drafts of some of them. Who is not billed is told, with the reason.
//!
//! A run is cut anyhow and begun again anywhere: what is issued stays, for there is one invoice for each account, month
//! and kind. It must not know who asks, or how often.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tallyman_common::time::Hour;

use super::command::Draft;
use super::document::Kind;
use super::draft::{DraftError, Purpose, document_id, draft_beside};
pub use super::past::Prepared;
use super::reads::document;
use super::tables::{AccountsError, keys};
use crate::bills::{BillError, Books};
use crate::ports::Table;
use crate::rating::calendar::CalendarError;
use crate::rating::{BillingZone, Month};
use crate::registry::Registry;

/// Months that a run by itself looks back, for an aggregator that did not run for long.
const BACK_MONTHS: usize = 12;

/// An account that gets no draft, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotBilled {
    /// Which.
    pub account: String,
    /// Why.
    pub reason: String,
}

/// An account that has its invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HasOne {
    /// Which.
    pub account: String,
    /// Its invoice's number.
    pub number: String,
}

/// Accounts whose month is to be billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The month, in each account's own zone.
    pub month: Month,
    /// Whose, by key.
    pub accounts: Vec<String>,
}

/// Drafts of some accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drafts {
    /// To be issued.
    pub drafts: Vec<Draft>,
    /// Have theirs.
    pub existing: Vec<HasOne>,
    /// Used nothing and owe nothing: they get no document. What comes late for such a month is on a later invoice.
    pub nothing: Vec<String>,
    /// Get none.
    pub not_billed: Vec<NotBilled>,
}

/// Every account that somebody registered, or that a tenant named at any time, by key.
pub fn accounts(registry: &Registry) -> BTreeSet<String> {
    let registered = registry.payers.accounts.keys().cloned();
    let named = registry.tenants.accounts().map(str::to_owned);
    registered.chain(named).collect()
}

/// Months that became final since their account was registered, and that have no invoice: what a run bills by itself.
/// Oldest first. Earlier months are billed when somebody asks for it.
pub fn due(books: Books<'_>) -> Result<Vec<Due>, DraftError> {
    let mut found: BTreeMap<Month, Vec<String>> = BTreeMap::new();
    let Some(newest) = books.registry.seals.newest() else {
        return Ok(Vec::new());
    };
    let mut zones: BTreeMap<&str, Vec<(Month, u64)>> = BTreeMap::new();
    for account in books.registry.payers.accounts.values() {
        let months = match zones.entry(&account.zone) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(final_months(books, &account.zone, newest)?),
        };
        let since = books.registry.payers.since.get(&account.account);
        for (month, _) in months
            .iter()
            .filter(|(_, sealed)| since.is_some_and(|since| since < sealed))
        {
            let unique = keys::unique(&account.account, &month.to_string(), Kind::Invoice);
            if books
                .store
                .get(Table::MoneyIndex, &unique)
                .map_err(AccountsError::from)?
                .is_none()
            {
                found.entry(*month).or_default().push(account.account.clone());
            }
        }
    }
    let due = found.into_iter().map(|(month, accounts)| Due { month, accounts });
    Ok(due.collect())
}

/// The newest final months of a zone, each with the position of the seal that made it so.
fn final_months(books: Books<'_>, zone: &str, newest: Hour) -> Result<Vec<(Month, u64)>, DraftError> {
    let calendar = |e: CalendarError| DraftError::Bill(BillError::Rating(e.to_string()));
    let zone = BillingZone::parse(zone).map_err(calendar)?;
    let mut month = zone.month_of(newest.next()).map_err(calendar)?;
    let mut months = Vec::new();
    for _ in 0..BACK_MONTHS {
        month = month.previous().map_err(calendar)?;
        let hours = zone.month_hours(month).map_err(calendar)?;
        let last = hours.end.0.checked_sub(1).map(Hour);
        match last.and_then(|last| books.registry.seals.of(last)) {
            Some(seal) if Some(seal.hour) == last => months.push((month, seal.position)),
            // Nothing had come yet.
            _ => break,
        }
    }
    Ok(months)
}

/// A run over a few accounts.
#[cfg(test)]
pub(crate) fn drafts(books: Books<'_>, month: Month, accounts: &[String]) -> Result<Drafts, DraftError> {
    drafts_of(books, &Prepared::read(books, month)?, accounts)
}

/// Drafts the month of some accounts; those of a run share what was prepared for them from the same snapshot.
///
/// # Errors
/// When the tables of money can't be read; what is wrong with one account stops no other.
pub fn drafts_of(books: Books<'_>, prepared: &Prepared, accounts: &[String]) -> Result<Drafts, DraftError> {
    let (past, late, month) = (prepared.past(books.store), &prepared.late, prepared.month);
    let mut found = Drafts {
        drafts: Vec::new(),
        existing: Vec::new(),
        nothing: Vec::new(),
        not_billed: Vec::new(),
    };
    for account in accounts {
        let id = document_id(account, month, Kind::Invoice);
        if let Some((document, _)) = document(books.store, &id)? {
            let number = document.number.unwrap_or(id);
            let account = account.clone();
            found.existing.push(HasOne { account, number });
            continue;
        }
        match draft_beside((books, &past, late), account, month, Purpose::Issue) {
            Ok(draft) if draft.document.is_empty() => found.nothing.push(account.clone()),
            Ok(draft) => found.drafts.push(draft),
            Err(error) => found.not_billed.push(NotBilled {
                account: account.clone(),
                reason: error.to_string(),
            }),
        }
    }
    Ok(found)
}
