//! "What if these were the prices?": any month, past or running, rated once more under another price book, beside the real
//! one. It touches nothing.
//!
//! Both sides are made alike: usage, terms and registry as the month is billed, without late usage of earlier months, and
//! without credits that were granted (they pay amounts, they make none). It must not know who asks.

// What is answered.
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tallyman_common::money::{Amount, Currency, Money, MoneyError};

use super::ahead::billed_ahead;
use super::draft::{DraftError, Past, payees};
use super::month::{AccountMonth, View, at_month, payer};
use super::run::accounts;
use crate::bills::month::rate_month;
use crate::bills::{AsOf, BillError, Books, last_priced};
use crate::rating::instant::instant_text;
use crate::rating::statement::{Cause, Deduction, Input, Statement, statement};
use crate::rating::{BookVersions, Month, PriceBook};
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
    /// Amounts that can't be added up.
    #[error("the difference in all: {0}")]
    Money(#[from] MoneyError),
}

/// Rates a month of all accounts, or of one, on both sides.
///
/// # Errors
/// When what is asked for is not there or contradicts itself. What is wrong with one account of all is told in the answer.
pub fn what_if(books: Books<'_>, ask: &Ask) -> Result<WhatIf, WhatIfError> {
    let currency = ask.after.currency();
    let before = match &ask.before {
        Prices::Real => "real".to_owned(),
        Prices::Book(book) if book.currency() != currency => {
            return Err(WhatIfError::TwoCurrencies(book.currency(), currency));
        }
        Prices::Book(book) => book.digest().to_string(),
    };
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
        total: sides(Money::zero(currency), Money::zero(currency))?,
        not_rated: Vec::new(),
    };
    let past = Past::new(books.store);
    let mut total = [Money::zero(currency); 2];
    for account in chosen(books, ask)? {
        let both = match both_sides(books, &account, ask, &past) {
            Ok(both) => both,
            Err(error) => {
                let reason = error.to_string();
                found.not_rated.push(NotRated { account, reason });
                continue;
            }
        };
        let of_account = found.add(&account, both, ask)?;
        for (sum, more) in total.iter_mut().zip(of_account) {
            *sum = sum.checked_add(more)?;
        }
    }
    found.total = sides(total[0], total[1])?;
    Ok(found)
}

/// Accounts that pay in the book's currency, or the one that is asked for.
fn chosen(books: Books<'_>, ask: &Ask) -> Result<BTreeSet<String>, WhatIfError> {
    let registry = books.registry;
    let wanted = ask.after.currency();
    let of_tenant = match &ask.tenant {
        None => None,
        Some(tenant) => {
            let known = registry.tenants.latest(tenant);
            let known = known.ok_or_else(|| WhatIfError::NoTenant(tenant.clone()))?;
            Some(known.account.clone())
        }
    };
    if let Some(account) = ask.account.clone().or(of_tenant) {
        let known = payer(registry, &account).ok_or_else(|| WhatIfError::NoAccount(account.clone()))?;
        if let Some(tenant) = &ask.tenant
            && registry
                .tenants
                .latest(tenant)
                .is_none_or(|it| it.account != account)
        {
            return Err(WhatIfError::NoTenant(tenant.clone()));
        }
        if known.currency != wanted.code() {
            return Err(WhatIfError::Currency {
                book: wanted,
                account,
                currency: known.currency,
            });
        }
        return Ok(BTreeSet::from([account]));
    }
    let pays = |account: &String| payer(registry, account).is_some_and(|it| it.currency == wanted.code());
    let found: BTreeSet<String> = accounts(registry).into_iter().filter(pays).collect();
    if found.is_empty() {
        return Err(WhatIfError::Nobody(wanted));
    }
    Ok(found)
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
    let payees = payees(month.books, account, (&month.terms, month.month), versions)?;
    let hours = month.hours.clone();
    let prices = (&payees[..], versions);
    let usage = rate_month(month.books, prices, &month.zone, hours.clone(), month.terms.pools)?;
    let ahead = billed_ahead(now, (account, &month.payer.currency), month.month)?;
    let input = Input {
        sums: &usage.sums,
        books: versions,
        until: last_priced(versions, &hours, month.books.now),
        terms: &month.terms,
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

/// Lines of one tenant and item, together.
#[derive(Clone)]
struct Together {
    quantity: Option<Amount>,
    exact: Amount,
    amount: Money,
}

type Lines = BTreeMap<(Option<String>, String), Together>;

fn lines(made: &Statement) -> Result<Lines, MoneyError> {
    let mut found = Lines::new();
    for line in &made.lines {
        let tenant = match &line.cause {
            Cause::Usage(tenant) | Cause::Minimum(tenant) | Cause::Maximum(tenant) => Some(tenant.clone()),
            Cause::Surcharge | Cause::Commitment | Cause::Fee { .. } | Cause::Late { .. } => None,
        };
        let nothing = nothing(made.currency);
        let sum = found.entry((tenant, line.item.to_string())).or_insert(nothing);
        sum.quantity = sum.quantity.or(line.quantity);
        sum.exact = sum.exact.checked_add(line.exact)?;
        sum.amount = sum.amount.checked_add(line.amount)?;
    }
    Ok(found)
}

fn nothing(currency: Currency) -> Together {
    Together {
        quantity: None,
        exact: Amount::ZERO,
        amount: Money::zero(currency),
    }
}

fn sides(before: Money, after: Money) -> Result<Sides, MoneyError> {
    Ok(Sides {
        before: before.number(),
        after: after.number(),
        difference: after.checked_sub(before)?.number(),
    })
}

impl WhatIf {
    /// Adds an account; what of it counts in all.
    fn add(&mut self, account: &str, both: Both, ask: &Ask) -> Result<[Money; 2], MoneyError> {
        let [before, after] = &both.sides;
        let (old, new) = (lines(&before.made)?, lines(&after.made)?);
        let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let mut sum = [Money::zero(self.currency); 2];
        for key in keys {
            let (tenant, item) = key;
            if ask.tenant.is_some() && ask.tenant != *tenant {
                continue;
            }
            let of = |lines: &Lines| lines.get(key).cloned().unwrap_or_else(|| nothing(self.currency));
            let (was, is) = (of(&old), of(&new));
            sum = [sum[0].checked_add(was.amount)?, sum[1].checked_add(is.amount)?];
            let same = (was.quantity, was.exact, was.amount) == (is.quantity, is.exact, is.amount);
            if same {
                self.same_rows += 1;
            } else if self.rows.len() == ROWS_MAX {
                self.more_rows += 1;
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
        self.accounts.push(difference(account, &both)?);
        Ok(match ask.tenant {
            Some(_) => sum,
            None => [both.sides[0].made.total, both.sides[1].made.total],
        })
    }
}

fn difference(account: &str, both: &Both) -> Result<AccountDifference, MoneyError> {
    let [before, after] = &both.sides;
    let of = |take: &dyn Fn(&Statement) -> Result<Money, MoneyError>| {
        sides(take(&before.made)?, take(&after.made)?)
    };
    let off = |made: &Statement| {
        let all = made.discounts.iter().chain(&made.credits);
        let amounts = all.map(|it: &Deduction| it.amount);
        amounts
            .into_iter()
            .try_fold(Money::zero(made.currency), Money::checked_add)
    };
    let taxes = |made: &Statement| {
        let amounts = made.taxes.iter().map(|it| it.amount);
        amounts
            .into_iter()
            .try_fold(Money::zero(made.currency), Money::checked_add)
    };
    let mut faults = before.faults.clone();
    faults.extend(
        after
            .faults
            .iter()
            .filter(|it| !before.faults.contains(it))
            .cloned(),
    );
    Ok(AccountDifference {
        account: account.to_owned(),
        is_final: both.is_final,
        subtotal: of(&|made| Ok(made.subtotal))?,
        discounts: of(&off)?,
        taxes: of(&taxes)?,
        total: of(&|made| Ok(made.total))?,
        faults,
    })
}
