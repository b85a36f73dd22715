//! Whom a run can't bill although there is usage: tenants whose payer nobody registered, or was registered when the month
//! was final already. It must not know documents or amounts.

use std::collections::BTreeMap;
use std::ops::Range;

use tallyman_common::time::Hour;

use super::draft::{DraftError, rating};
use super::month::payer;
use super::past::Past;
use super::run::{NotBilled, final_months, newest_of};
use crate::bills::Books;
use crate::bills::used::is_used;
use crate::rating::{BillingZone, Month};

/// Tenants that a reason names at most.
const NAMED_MAX: usize = 5;

/// What a run makes of an account that nobody registered.
pub(super) enum Unregistered {
    /// It has an invoice to come, and can't get one.
    Missing(NotBilled),
    /// No tenant of it used anything.
    Unused,
}

/// What of an account that nobody registered is to be told: a run over all would else call it billed, or hide it.
pub(super) fn unregistered(
    books: Books<'_>,
    account: &str,
    month: Month,
) -> Result<Unregistered, DraftError> {
    let missing = |reason: String| {
        let account = account.to_owned();
        Unregistered::Missing(NotBilled { account, reason })
    };
    let Some(known) = payer(books.registry, account) else {
        return Ok(missing(DraftError::NoAccount(account.to_owned()).to_string()));
    };
    let zone = BillingZone::parse(&known.zone).map_err(rating)?;
    let hours = zone.month_hours(month).map_err(rating)?;
    let tenants = users(books, account, &hours)?;
    if tenants.is_empty() {
        return Ok(Unregistered::Unused);
    }
    Ok(missing(format!(
        "nobody registered the account, which pays for the usage of {}: `tallyman-aggregator account set {account}`, then \
         `bill run --period {month} --account {account}`",
        named(&tenants)
    )))
}

/// By month the accounts that a run by itself passes over although they have usage: in the newest final month of their zone,
/// for of earlier ones it was told when they were the newest.
pub(super) fn passed_over(
    books: Books<'_>,
    newest: Hour,
) -> Result<BTreeMap<Month, Vec<NotBilled>>, DraftError> {
    let mut found: BTreeMap<Month, Vec<NotBilled>> = BTreeMap::new();
    let mut zones: BTreeMap<String, Option<(Month, u64)>> = BTreeMap::new();
    for account in super::run::accounts(books.registry) {
        let Some(known) = payer(books.registry, &account) else {
            continue;
        };
        let last = match zones.get(&known.zone) {
            Some(last) => *last,
            None => {
                let last = final_months(books, &known.zone, newest)?.first().copied();
                zones.insert(known.zone.clone(), last);
                last
            }
        };
        let Some((month, sealed)) = last else { continue };
        let reason = match books.registry.payers.since.get(&account) {
            Some(since) if *since < sealed => None,
            Some(_) => registered_late(books, (&account, &known.zone), (month, sealed))?,
            None => match unregistered(books, &account, month)? {
                Unregistered::Missing(it) => Some(it),
                Unregistered::Unused => None,
            },
        };
        if let Some(reason) = reason {
            found.entry(month).or_default().push(reason);
        }
    }
    Ok(found)
}

fn registered_late(
    books: Books<'_>,
    (account, zone): (&str, &str),
    (month, sealed): (Month, u64),
) -> Result<Option<NotBilled>, DraftError> {
    if newest_of(books, account, month)?.is_some() {
        return Ok(None);
    }
    let zone = BillingZone::parse(zone).map_err(rating)?;
    // What became its usage behind the seal is on its next invoice.
    let then = Past::new(books.store).registry(sealed)?;
    let then = Books {
        registry: &then,
        ..books
    };
    let tenants = users(then, account, &zone.month_hours(month).map_err(rating)?)?;
    let reason = format!(
        "the account was registered when {month} was final already: `bill run --period {month} --account {account}` bills \
         the usage of {}",
        named(&tenants)
    );
    let account = account.to_owned();
    Ok((!tenants.is_empty()).then_some(NotBilled { account, reason }))
}

/// Tenants with usage that an account pays for, by key.
fn users<'b>(books: Books<'b>, account: &str, hours: &Range<Hour>) -> Result<Vec<&'b str>, DraftError> {
    let mut found = Vec::new();
    for tenant in books.registry.tenants.of_account(account, hours) {
        if is_used(books, &tenant.tenant, hours)? {
            found.push(&*tenant.tenant);
        }
    }
    Ok(found)
}

fn named(tenants: &[&str]) -> String {
    let first: Vec<String> = tenants
        .iter()
        .take(NAMED_MAX)
        .map(|it| format!("`{it}`"))
        .collect();
    let what = if tenants.len() == 1 { "tenant" } else { "tenants" };
    match tenants.len().checked_sub(NAMED_MAX) {
        None | Some(0) => format!("{what} {}", first.join(", ")),
        Some(more) => format!("{what} {} and {more} more", first.join(", ")),
    }
}
