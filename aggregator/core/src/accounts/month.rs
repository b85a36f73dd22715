//! An account's month with everything that rates it: hours, terms, prices, tenants, at the position that counts.
//!
//! Of a month that is final that is what stood when it was sealed (I9), as for its invoice. It must not know what is made of
//! it.

use std::ops::Range;

use tallyman_common::time::Hour;

use super::draft::{DraftError, Past};
use super::past::final_seal;
use crate::bills::account::{Payee, payees};
use crate::bills::{BillError, Books};
use crate::rating::{BillingZone, BookVersions, Month, Terms};
use crate::registry::{Registry, TenantTerms};

/// Who pays, whether registered or only named by tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payer {
    /// Key of the account.
    pub account: String,
    /// Currency of its months.
    pub currency: String,
    /// Zone of its months.
    pub zone: String,
    /// Language of its invoices.
    pub language: String,
    /// It can get invoices.
    pub is_registered: bool,
}

/// Of which position a month is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// As it is billed: of a final month, as it was sealed.
    Billed,
    /// With everything that is known now.
    Now,
}

/// An account's month.
pub struct AccountMonth<'a> {
    /// Usage and registry at the position that counts.
    pub books: Books<'a>,
    /// Who pays.
    pub payer: &'a Payer,
    /// Zone of its months.
    pub zone: BillingZone,
    /// Which month.
    pub month: Month,
    /// Its hours.
    pub hours: Range<Hour>,
    /// What was agreed.
    pub terms: Terms,
    /// Price books of the currency.
    pub versions: BookVersions,
    /// Tenants and their prices, by key.
    pub payees: Vec<Payee>,
    /// It never changes any more.
    pub is_final: bool,
}

/// Who pays under a key; `None` if no account is registered under it and no tenant ever named it.
pub fn payer(registry: &Registry, account: &str) -> Option<Payer> {
    if let Some(known) = registry.payers.accounts.get(account) {
        return Some(Payer {
            account: known.account.clone(),
            currency: known.currency.clone(),
            zone: known.zone.clone(),
            language: known.language.clone(),
            is_registered: true,
        });
    }
    let mut named = registry.tenants.ever_of(account);
    let tenant = named.find_map(|it| registry.tenants.latest(it))?;
    Some(Payer {
        account: account.to_owned(),
        currency: tenant.currency.clone(),
        zone: tenant.zone.clone(),
        language: tenant.language.clone(),
        is_registered: false,
    })
}

/// The account that pays for a tenant and never paid for another: an invoice of several tenants tells of each what it uses,
/// or used. None for a tenant that shares its account.
pub fn own_account<'r>(registry: &'r Registry, terms: &'r TenantTerms) -> Option<&'r str> {
    let mut ever = registry.tenants.ever_of(&terms.account);
    let is_shared = ever.any(|it| it != terms.tenant);
    (!is_shared).then_some(&*terms.account)
}

/// Looks at an account's month. `past` keeps what is read of earlier positions for the next one.
///
/// # Errors
/// When no price book has the currency, the month lies outside the calendar, the store can't be read, or `ask` fails.
pub fn at_month<T, E: From<DraftError>>(
    books: Books<'_>,
    (payer, month): (&Payer, Month),
    (view, past): (View, &Past<'_>),
    ask: impl FnOnce(AccountMonth<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let zone = BillingZone::parse(&payer.zone).map_err(calendar)?;
    let hours = zone.month_hours(month).map_err(calendar)?;
    let seal = final_seal(books, &hours);
    let is_final = seal.is_some();
    let seal = seal.filter(|_| view == View::Billed);
    let then = seal.map(|it| past.registry(it.position)).transpose();
    let then = then.map_err(DraftError::from)?;
    let books = match (&then, seal) {
        (Some(registry), Some(seal)) => Books {
            registry,
            position: seal.position,
            now: seal.at,
            ..books
        },
        _ => books,
    };
    let terms = books.registry.payers.terms(&payer.account, hours.start);
    let versions = books.registry.books_of(&payer.currency);
    let versions = versions.filter(|it| !it.versions().is_empty());
    let no_book = || DraftError::from(BillError::NoBook(payer.currency.clone()));
    let versions = versions.ok_or_else(no_book)?;
    let payees =
        payees(books, &payer.account, (&terms, month, &hours), &versions).map_err(DraftError::from)?;
    ask(AccountMonth {
        books,
        payer,
        zone,
        month,
        hours,
        terms,
        versions,
        payees,
        is_final,
    })
}

fn calendar(e: crate::rating::calendar::CalendarError) -> DraftError {
    BillError::Rating(e.to_string()).into()
}
