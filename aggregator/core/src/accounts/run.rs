//! The monthly run: which accounts there are, and the drafts of some of them. Who is not billed is told, with the reason.
//!
//! A run is cut anyhow and begun again anywhere: what is issued stays, for there is one living invoice for each account,
//! month and kind. A month whose invoice is void is billed again when somebody asks for exactly that
//! (docs/adr/0016-voids-and-months-billed-again.md). It must not know who asks, or how often.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tallyman_common::time::Hour;

use super::command::Draft;
use super::document::Kind;
use super::draft::{DraftError, Purpose, draft_beside};
pub use super::past::Prepared;
use super::tables::{AccountsError, Found, get, keys};
use super::unbilled::{Unregistered, passed_over, unregistered};
use crate::bills::{BillError, Books};
use crate::ports::Table;
use crate::rating::calendar::CalendarError;
use crate::rating::{BillingZone, Month};
use crate::registry::Registry;

/// Months that a run by itself looks back, for an aggregator that did not run for long.
const BACK_MONTHS: usize = 12;

/// An account that gets no draft, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Those whose invoice is void get another one.
    #[serde(default)]
    pub again: bool,
}

/// An account's month whose invoice is void, and that is not billed again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Void {
    /// Which month.
    pub month: Month,
    /// Whose.
    pub account: String,
    /// The number of the void invoice.
    pub number: String,
}

/// Final months without a living invoice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Open {
    /// They were never billed; oldest first.
    pub due: Vec<Due>,
    /// Their invoice is void: they are billed again only when somebody asks.
    pub void: Vec<Void>,
    /// By month the accounts with usage that are not billed by themselves, and why.
    pub passed_over: BTreeMap<Month, Vec<NotBilled>>,
}

/// What to do about a void invoice.
pub fn void_text(number: &str, account: &str, month: &str) -> String {
    format!(
        "{number} is void: the month is billed again with `bill run --period {month} --account {account} --again`"
    )
}

/// Drafts of some accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drafts {
    /// To be issued.
    pub drafts: Vec<Draft>,
    /// Have theirs.
    pub existing: Vec<HasOne>,
    /// Had theirs, which is void; they get another one when somebody asks for that.
    pub void: Vec<HasOne>,
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
    Ok(open(books)?.due)
}

/// [`due`], the months whose invoice is void, and who has usage but is not billed.
pub fn open(books: Books<'_>) -> Result<Open, DraftError> {
    let mut found: BTreeMap<Month, Vec<String>> = BTreeMap::new();
    let mut void = Vec::new();
    let Some(newest) = books.registry.seals.newest() else {
        return Ok(Open::default());
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
            let account = account.account.clone();
            match newest_of(books, &account, *month)? {
                None => found.entry(*month).or_default().push(account),
                Some(Found {
                    number, void: true, ..
                }) => void.push(Void {
                    month: *month,
                    account,
                    number,
                }),
                Some(_) => {}
            }
        }
    }
    let due = found.into_iter().map(|(month, accounts)| Due {
        month,
        accounts,
        again: false,
    });
    Ok(Open {
        due: due.collect(),
        void,
        passed_over: passed_over(books, newest)?,
    })
}

/// The newest invoice of an account's month.
pub(super) fn newest_of(
    books: Books<'_>,
    account: &str,
    month: Month,
) -> Result<Option<Found>, AccountsError> {
    let unique = keys::unique(account, &month.to_string(), Kind::Invoice);
    get(books.store, Table::MoneyIndex, &unique)
}

/// The newest final months of a zone, each with the position of the seal that made it so.
pub(super) fn final_months(
    books: Books<'_>,
    zone: &str,
    newest: Hour,
) -> Result<Vec<(Month, u64)>, DraftError> {
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
        void: Vec::new(),
        nothing: Vec::new(),
        not_billed: Vec::new(),
    };
    for account in accounts {
        if !books.registry.payers.accounts.contains_key(account) {
            match unregistered(books, account, month)? {
                Unregistered::Missing(it) => found.not_billed.push(it),
                Unregistered::Unused => found.nothing.push(account.clone()),
            }
            continue;
        }
        let known = newest_of(books, account, month)?;
        if let Some(it) = known.as_ref().filter(|it| !(it.void && prepared.again)) {
            let (account, number) = (account.clone(), it.number.clone());
            let list = if it.void {
                &mut found.void
            } else {
                &mut found.existing
            };
            list.push(HasOne { account, number });
            continue;
        }
        match draft_beside((books, &past, late), account, month, Purpose::Issue) {
            Ok(draft) if draft.document.is_empty() => found.nothing.push(account.clone()),
            Ok(mut draft) => {
                if let Some(void) = known {
                    draft.stands_in_for(&void.number, month);
                }
                found.drafts.push(draft);
            }
            Err(error) => found.not_billed.push(NotBilled {
                account: account.clone(),
                reason: error.to_string(),
            }),
        }
    }
    Ok(found)
}
