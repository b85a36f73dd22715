//! "What if these were the prices?": any month, past or running, rated once more under another price book, beside the real
//! one. It touches nothing.
//!
//! Both sides are made alike: usage, terms and registry as the month is billed, without late usage of earlier months, and
//! without credits that were granted (they pay amounts, they make none). It must not know who asks.

// Two statements against each other.
mod compare;
// What is answered.
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use tallyman_common::money::{Currency, Money, MoneyError};

use self::compare::{Lines, difference, lines, nothing, sides};
use super::ahead::billed_ahead;
use super::draft::{DraftError, Past, terms_before};
use super::month::{AccountMonth, View, at_month, payer};
use super::run::accounts;
use crate::bills::account::payees;
use crate::bills::month::rate_month;
use crate::bills::{AsOf, BillError, Books, last_priced};
use crate::rating::instant::instant_text;
use crate::rating::statement::{Input, Statement, statement};
use crate::rating::{BillingZone, BookVersions, Month, PriceBook};
use crate::registry::Registry;
pub use view::{AccountDifference, NotRated, Row, Sides, WhatIf};

/// Rows of one answer at most; the others are in the sums and counted.
pub const ROWS_MAX: usize = 10_000;

/// Which prices.
#[derive(Debug, Clone)]
pub enum Prices {
    /// Those that were, or are, in force.
    Real,
    /// Those of a book, for the whole month.
    Book(Arc<PriceBook>),
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// In which month of each account's zone.
    pub month: Month,
    /// Prices on the left side.
    pub before: Prices,
    /// Prices on the right side, in the currency that is looked at.
    pub after: Arc<PriceBook>,
    /// Only this account.
    pub account: Option<String>,
    /// Only rows of this tenant, and only its account.
    pub tenant: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// No such account.
    #[error("nobody pays under the account `{0}`")]
    NoAccount(String),
    /// No such tenant.
    #[error("there is no tenant `{0}`")]
    NoTenant(String),
    /// Another currency.
    #[error("the price book is in {book}, but account `{account}` pays in {currency}")]
    Currency {
        /// Of the book.
        book: Currency,
        /// Which account.
        account: String,
        /// Its currency.
        currency: String,
    },
    /// The two books have no currency in common.
    #[error("one price book is in {0}, the other in {1}")]
    TwoCurrencies(Currency, Currency),
    /// Nobody pays in the book's currency.
    #[error("no account pays in {0}")]
    Nobody(Currency),
    /// The month has not begun.
    #[error("month {0} has not begun")]
    NotBegun(Month),
    /// Nothing can be rated.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// Amounts that can't be added up.
    #[error("the difference in all: {0}")]
    Money(#[from] MoneyError),
}

/// Some accounts on both sides; parts in the order of accounts make the answer.
#[derive(Debug)]
pub struct Part {
    accounts: Vec<AccountDifference>,
    rows: Vec<Row>,
    same_rows: u64,
    not_rated: Vec<NotRated>,
    total: [Money; 2],
}

/// Rates a month of all accounts, or of one, on both sides.
///
/// # Errors
/// When what is asked for is not there or contradicts itself. What is wrong with one account of all is told in the answer.
pub fn what_if(books: Books<'_>, ask: &Ask) -> Result<WhatIf, WhatIfError> {
    let accounts = chosen(books, ask)?;
    let part = part((books, &Past::new(books.store)), ask, &accounts)?;
    together(books, ask, vec![part])
}

/// Rates some of the accounts that were [`chosen`].
pub fn part(
    (books, past): (Books<'_>, &Past<'_>),
    ask: &Ask,
    accounts: &[String],
) -> Result<Part, WhatIfError> {
    let mut found = Part {
        accounts: Vec::new(),
        rows: Vec::new(),
        same_rows: 0,
        not_rated: Vec::new(),
        total: [Money::zero(ask.after.currency()); 2],
    };
    for account in accounts {
        match both_sides(books, account, ask, past) {
            Ok(both) => found.add(account, &both, ask)?,
            Err(error) => found.not_rated.push(NotRated {
                account: account.clone(),
                reason: error.to_string(),
            }),
        }
    }
    Ok(found)
}

/// The answer, of all parts in order.
pub fn together(books: Books<'_>, ask: &Ask, parts: Vec<Part>) -> Result<WhatIf, WhatIfError> {
    let currency = ask.after.currency();
    let before = match &ask.before {
        Prices::Real => "real".to_owned(),
        Prices::Book(book) => book.digest().to_string(),
    };
    let mut total = [Money::zero(currency); 2];
    let mut found = WhatIf {
        as_of: AsOf {
            position: books.position,
            at: instant_text(books.now),
        },
        month: ask.month,
        currency,
        before,
        after: ask.after.digest().to_string(),
        accounts: Vec::new(),
        rows: Vec::new(),
        more_rows: 0,
        same_rows: 0,
        total: sides(total[0], total[1])?,
        not_rated: Vec::new(),
    };
    for part in parts {
        for (sum, more) in total.iter_mut().zip(part.total) {
            *sum = sum.checked_add(more)?;
        }
        found.accounts.extend(part.accounts);
        found.same_rows += part.same_rows;
        found.not_rated.extend(part.not_rated);
        for row in part.rows {
            if found.rows.len() < ROWS_MAX {
                found.rows.push(row);
            } else {
                found.more_rows += 1;
            }
        }
    }
    found.total = sides(total[0], total[1])?;
    Ok(found)
}

/// Accounts that pay in the book's currency, or the one that is asked for; by key.
///
/// # Errors
/// As [`what_if`].
pub fn chosen(books: Books<'_>, ask: &Ask) -> Result<Vec<String>, WhatIfError> {
    let registry = books.registry;
    let wanted = ask.after.currency();
    if let Prices::Book(book) = &ask.before
        && book.currency() != wanted
    {
        return Err(WhatIfError::TwoCurrencies(book.currency(), wanted));
    }
    let of_tenant = match &ask.tenant {
        None => None,
        Some(tenant) => Some(payer_of(registry, tenant, ask.month)?),
    };
    if let Some(account) = ask.account.clone().or(of_tenant.clone()) {
        let known = payer(registry, &account).ok_or_else(|| WhatIfError::NoAccount(account.clone()))?;
        if let (Some(tenant), Some(_)) = (&ask.tenant, of_tenant.filter(|it| *it != account)) {
            return Err(WhatIfError::NoTenant(tenant.clone()));
        }
        if known.currency != wanted.code() {
            return Err(WhatIfError::Currency {
                book: wanted,
                account,
                currency: known.currency,
            });
        }
        return Ok(vec![account]);
    }
    let pays = |account: &String| payer(registry, account).is_some_and(|it| it.currency == wanted.code());
    let found: Vec<String> = accounts(registry).into_iter().filter(pays).collect();
    if found.is_empty() {
        return Err(WhatIfError::Nobody(wanted));
    }
    Ok(found)
}

/// The account that pays for a tenant in a month; before it was registered, the one that pays now.
fn payer_of(registry: &Registry, tenant: &str, month: Month) -> Result<String, WhatIfError> {
    let known = registry.tenants.latest(tenant);
    let latest = known.ok_or_else(|| WhatIfError::NoTenant(tenant.to_owned()))?;
    let zone = BillingZone::parse(&latest.zone).map_err(rating)?;
    let hours = zone.month_hours(month).map_err(rating)?;
    let then = registry.tenants.at_end(tenant, &hours).unwrap_or(latest);
    Ok(then.account.clone())
}

/// A side that was rated.
struct Side {
    made: Statement,
    faults: Vec<String>,
}

struct Both {
    sides: [Side; 2],
    is_final: bool,
}

fn both_sides(books: Books<'_>, account: &str, ask: &Ask, past: &Past<'_>) -> Result<Both, DraftError> {
    let payer = payer(books.registry, account).ok_or_else(|| DraftError::NoAccount(account.to_owned()))?;
    let of = (&payer, ask.month);
    at_month(books, of, (View::Billed, past), |month| {
        if books.now < month.hours.start.start() {
            return Err(rating(WhatIfError::NotBegun(ask.month)));
        }
        let only = |book: &Arc<PriceBook>| BookVersions::always(book.clone());
        let before = match &ask.before {
            Prices::Real => side(books, &month, &month.versions)?,
            Prices::Book(book) => side(books, &month, &only(book))?,
        };
        let after = side(books, &month, &only(&ask.after))?;
        Ok(Both {
            sides: [before, after],
            is_final: month.is_final,
        })
    })
}

fn rating(e: impl ToString) -> DraftError {
    DraftError::Bill(BillError::Rating(e.to_string()))
}

/// Rates the month under some prices. `now` are the books that have the invoices of earlier months.
fn side(now: Books<'_>, month: &AccountMonth<'_>, versions: &BookVersions) -> Result<Side, DraftError> {
    let account = &month.payer.account;
    let payees = payees(
        month.books,
        account,
        (&month.terms, month.month, &month.hours),
        versions,
    )?;
    let hours = month.hours.clone();
    let prices = (&payees[..], versions);
    let usage = rate_month(month.books, prices, &month.zone, hours.clone(), month.terms.pools)?;
    let ahead = billed_ahead(now, (account, &month.payer.currency), month.month)?;
    let before = terms_before(month.books, account, (&month.zone, month.month))?;
    let input = Input {
        sums: &usage.sums,
        books: versions,
        until: last_priced(versions, &hours, month.books.now),
        terms: &month.terms,
        before: Some(&before),
        month: month.month,
        zone: &month.zone,
        grants: &[],
        billed_ahead: &ahead,
        late: &[],
    };
    Ok(Side {
        made: statement(input).map_err(rating)?,
        faults: usage.faults,
    })
}

impl Part {
    fn add(&mut self, account: &str, both: &Both, ask: &Ask) -> Result<(), MoneyError> {
        let [before, after] = &both.sides;
        let (old, new) = (lines(&before.made)?, lines(&after.made)?);
        let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let currency = before.made.currency;
        let mut sum = [Money::zero(currency); 2];
        for key in keys {
            let (tenant, item) = key;
            if ask.tenant.is_some() && ask.tenant != *tenant {
                continue;
            }
            let of = |lines: &Lines| lines.get(key).cloned().unwrap_or_else(|| nothing(currency));
            let (was, is) = (of(&old), of(&new));
            sum = [sum[0].checked_add(was.amount)?, sum[1].checked_add(is.amount)?];
            let same = (was.quantity, was.exact, was.amount) == (is.quantity, is.exact, is.amount);
            if same {
                self.same_rows += 1;
            } else {
                self.rows.push(Row {
                    account: account.to_owned(),
                    tenant: tenant.clone(),
                    item: item.clone(),
                    quantity_before: was.quantity,
                    quantity_after: is.quantity,
                    exact_before: was.exact,
                    exact_after: is.exact,
                    amount: sides(was.amount, is.amount)?,
                });
            }
        }
        self.accounts.push(difference(account, both)?);
        let counts = match ask.tenant {
            Some(_) => sum,
            None => [both.sides[0].made.total, both.sides[1].made.total],
        };
        for (sum, more) in self.total.iter_mut().zip(counts) {
            *sum = sum.checked_add(more)?;
        }
        Ok(())
    }
}
