//! Fees of plans that other invoices have of the time around a month: read back, so that a fee is paid once and comes back
//! as it was paid.
//!
//! Invariant: I7, a fee is paid once, under whichever terms. It must not know who asks.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tallyman_common::money::{Money, MoneyError};

use super::document::{BilledFee, Kind};
use super::draft::{DraftError, rating};
use super::standing::{Receivable, receivable};
use super::tables::{AccountsError, Found, get, keys, parse};
use crate::bills::Books;
use crate::log::prefix_end;
use crate::ports::{Table, try_scan};
use crate::rating::policy::Titles;
use crate::rating::statement::{BilledAhead, FeePeriod};
use crate::rating::{ItemKey, Moments, Month};

/// What an invoice has of fees.
struct Invoice {
    month: Month,
    number: String,
    fees: Vec<BilledFee>,
}

/// By plan and period, what invoices of other months have of periods that reach into a month or behind it. A void one has
/// nothing: it was given back whole. Those of later months count only while the month has no invoice itself: when it is
/// made behind them it bills what they don't have; once it stands, they are made after it.
pub(super) fn billed_ahead(
    books: Books<'_>,
    (account, currency): (&str, &str),
    month: Month,
) -> Result<Vec<BilledAhead>, DraftError> {
    let invoices = invoices(books, account, month)?;
    let mut found: BTreeMap<(ItemKey, FeePeriod), BilledAhead> = BTreeMap::new();
    for it in invoices {
        let is_later = it.month > month;
        if is_later && is_billed(books, account, month)? {
            continue;
        }
        let record = receivable(books.store, &it.number)?;
        let living =
            record.filter(|it| it.voided.is_none() && it.document.total.currency().code() == currency);
        let Some(record) = living else {
            continue;
        };
        for (fee, net) in nets(&it.fees, &record).map_err(AccountsError::from)? {
            add(&mut found, fee, net, is_later)?;
        }
    }
    Ok(found.into_values().collect())
}

/// Invoices of other months with fees that reach into a month, by month.
fn invoices(books: Books<'_>, account: &str, month: Month) -> Result<Vec<Invoice>, DraftError> {
    let (from, mut found) = (keys::fees_of(account, &[]), Vec::new());
    let range = (&from[..], &prefix_end(&from)[..]);
    try_scan(books.store, Table::MoneyIndex, range, |key, value| {
        let fees: Vec<BilledFee> = parse(Table::MoneyIndex, value)?;
        let fees: Vec<BilledFee> = fees
            .into_iter()
            .filter(|it| it.until > month.first_day().into())
            .collect();
        if !fees.is_empty() {
            found.push((key[from.len()..].to_vec(), fees));
        }
        Ok::<_, AccountsError>(ControlFlow::Continue(()))
    })?;
    let mut invoices = Vec::new();
    for (key, fees) in found {
        let text = String::from_utf8(key).map_err(rating)?;
        let mut parts = text.split('\0');
        let (of, number) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let of = Month::parse(of).map_err(rating)?;
        if of != month {
            invoices.push(Invoice {
                month: of,
                number: number.to_owned(),
                fees,
            });
        }
    }
    Ok(invoices)
}

/// Whether a month has an invoice that is not void.
fn is_billed(books: Books<'_>, account: &str, month: Month) -> Result<bool, DraftError> {
    let key = keys::unique(account, &month.to_string(), Kind::Invoice);
    let found: Option<Found> = get(books.store, Table::MoneyIndex, &key)?;
    let record = found
        .map(|it| receivable(books.store, &it.number))
        .transpose()?
        .flatten();
    Ok(record.is_some_and(|it| it.voided.is_none()))
}

/// What is left of each of these fees of an invoice. Credit notes don't say of what they take: they bear notes only where
/// nothing else is left of the invoice, so that what comes back and the notes are no more than it.
fn nets<'f>(fees: &'f [BilledFee], record: &Receivable) -> Result<Vec<(&'f BilledFee, Money)>, MoneyError> {
    let of = &record.document;
    let zero = Money::zero(of.total.currency());
    let mut used = of.credits.iter().map(|(_, it)| *it);
    let used = used.try_fold(zero, Money::checked_add)?;
    let net = of.subtotal.checked_add(of.discounts)?.checked_sub(used)?;
    let left = part(net, (record.creditable()?, of.total))?;
    let mut billed = fees.iter().map(|it| it.net).filter(|it| it.minor_units() > 0);
    let billed = billed.try_fold(zero, Money::checked_add)?;
    let mut found = Vec::new();
    for it in fees {
        let is_cut = it.net.minor_units() > 0 && left.minor_units() < billed.minor_units();
        let is_cut = is_cut && record.credited.minor_units() > 0;
        found.push((
            it,
            if is_cut {
                part(it.net, (left, billed))?
            } else {
                it.net
            },
        ));
    }
    Ok(found)
}

/// So many parts of an amount, rounded down; all of it where there are none.
fn part(amount: Money, (parts, all): (Money, Money)) -> Result<Money, MoneyError> {
    let (parts, all) = (parts.minor_units(), all.minor_units());
    if all <= 0 {
        return Ok(amount);
    }
    let over = amount.minor_units().checked_mul(parts);
    let over = over.ok_or(MoneyError::TooManyDigits { operation: "a share" })?;
    Ok(Money::from_minor_units(over / all, amount.currency()))
}

fn add(
    found: &mut BTreeMap<(ItemKey, FeePeriod), BilledAhead>,
    fee: &BilledFee,
    net: Money,
    is_later: bool,
) -> Result<(), DraftError> {
    let plan = ItemKey::parse(&fee.plan).map_err(rating)?;
    let period = FeePeriod {
        from: fee.from,
        until: fee.until,
    };
    let zero = Money::zero(fee.fee.currency());
    let sum = found
        .entry((plan.clone(), period))
        .or_insert_with(|| BilledAhead {
            plan,
            titles: Titles {
                own: fee.title.clone(),
                by_language: BTreeMap::new(),
            },
            tax_class: fee.tax_class.clone(),
            period,
            time: Moments::none(),
            fee: zero,
            net: zero,
            is_settled: false,
        });
    sum.time = sum.time.with(&fee.more).without(&fee.less);
    sum.fee = sum.fee.checked_add(fee.fee).map_err(rating)?;
    sum.net = sum.net.checked_add(net).map_err(rating)?;
    sum.is_settled |= is_later;
    Ok(())
}
