//! Money that comes, that is applied, and that goes back. What is more than owed goes to the prepaid balance, which never
//! falls below zero (I12). It must not know gateways.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use tallyman_common::money::Money;
use tallyman_common::time::Hour;

use super::{Context, Made, Refusal, in_currency, living, named, positive, words};
use crate::accounts::command::MoneyCommand;
use crate::accounts::document::Kind;
use crate::accounts::ledger::books::prepaid;
use crate::accounts::standing::{Receivable, receivable};
use crate::accounts::tables::{AccountsError, Found, keys, parse};
use crate::log::prefix_end;
use crate::ports::{Read, Table, try_scan};
use crate::rating::calendar::CalendarError;
use crate::rating::{BillingZone, Day};
use crate::registry::Rejected;
use crate::registry::money::{Allocation, MoneyAct};

/// A day begins this much earlier in the east than in UTC at most.
const AHEAD_HOURS: u32 = 14;
/// How far back money that is paid ahead can have come: books are closed by then.
const BACK_HOURS: u32 = 400 * 24;

pub(super) fn pay(read: &dyn Read, context: &Context, command: &MoneyCommand) -> Result<Made, Refusal> {
    let MoneyCommand::Pay {
        reference,
        account,
        source,
        on,
        amount,
        allocations,
        rest_to_balance,
        ..
    } = command
    else {
        unreachable!("called with a payment");
    };
    words("the payment's reference", reference)?;
    named("source", source)?;
    named("account", account)?;
    came_on(read, context, (account, on))?;
    positive("a payment", *amount)?;
    let mut rest = *amount;
    let mut taken = Vec::with_capacity(allocations.len());
    for (allocation, document) in payable(read, account, *amount, allocations)? {
        let left = document.left()?;
        if left.minor_units() <= 0 && !rest_to_balance {
            return Err(Rejected::NotNow(format!(
                "{} is paid: nothing is booked; say that the rest goes to the prepaid balance if the money is meant \
                 for that",
                allocation.number
            ))
            .into());
        }
        let paid = if left.minor_units() < allocation.amount.minor_units() {
            left
        } else {
            allocation.amount
        };
        rest = rest.checked_sub(allocation.amount)?;
        if paid.minor_units() > 0 {
            taken.push(Allocation {
                number: allocation.number.clone(),
                amount: paid,
            });
        }
    }
    if rest.minor_units() < 0 {
        return Err(Refusal::invalid(format!(
            "more is allocated than the {amount} that came"
        )));
    }
    if rest.minor_units() > 0 && !rest_to_balance {
        return Err(Refusal::invalid(format!(
            "{rest} is for no document: say that the rest goes to the prepaid balance, or allocate it"
        )));
    }
    let mut to_balance = *amount;
    for allocation in &taken {
        to_balance = to_balance.checked_sub(allocation.amount)?;
    }
    Ok(Made::act(MoneyAct::Pay {
        account: account.clone(),
        reference: reference.clone(),
        source: source.clone(),
        on: on.clone(),
        allocations: taken,
        to_balance,
    }))
}

/// Whether money can have come on a day: not on one that is still to come anywhere, nor before there was anything to pay.
fn came_on(read: &dyn Read, context: &Context, (account, on): (&str, &str)) -> Result<(), Refusal> {
    let invalid = |e: CalendarError| Refusal::invalid(e.to_string());
    let (zone, now) = (BillingZone::utc(), context.at.hour());
    let (day, next) = (Day::parse(on).map_err(invalid)?, Hour(now.0 + AHEAD_HOURS));
    if day > zone.day_of(next).map_err(invalid)? {
        return Err(Refusal::invalid(format!(
            "the payment came on {on}: that day is still to come"
        )));
    }
    let back = now.0.checked_sub(BACK_HOURS).map_or(Hour(0), Hour);
    let mut first = zone.day_of(back).map_err(invalid)?;
    if let Some(month) = first_month(read, account)? {
        first = first.min(Day::parse(&format!("{month}-01")).map_err(invalid)?);
    }
    if day < first {
        return Err(Refusal::invalid(format!(
            "the payment came on {on}: account `{account}` had nothing to pay before {first}"
        )));
    }
    Ok(())
}

/// The first month of which an account has a document.
fn first_month(read: &dyn Read, account: &str) -> Result<Option<String>, AccountsError> {
    let (from, mut found) = (keys::by_account(account, &[]), None);
    let range = (&from[..], &prefix_end(&from)[..]);
    try_scan(read, Table::MoneyIndex, range, |_, value| {
        let row: Found = parse(Table::MoneyIndex, value)?;
        found = receivable(read, &row.number)?.map(|it| it.document.month);
        Ok::<_, AccountsError>(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// Each allocation with its document, which belongs to the account and occurs once.
fn payable<'a>(
    read: &dyn Read,
    account: &str,
    currency_of: Money,
    allocations: &'a [Allocation],
) -> Result<Vec<(&'a Allocation, Receivable)>, Refusal> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::with_capacity(allocations.len());
    for allocation in allocations {
        let number = &allocation.number;
        positive("an allocation", allocation.amount)?;
        if !seen.insert(number) {
            return Err(Refusal::invalid(format!("{number} is named twice")));
        }
        let document = living(read, number)?;
        if document.document.account != account {
            return Err(Refusal::invalid(format!(
                "{number} is of account `{}`, not of `{account}`",
                document.document.account
            )));
        }
        if document.document.kind == Kind::CreditNote {
            return Err(Refusal::invalid(format!(
                "{number} is a credit note: nobody pays it"
            )));
        }
        in_currency(allocation.amount, document.document.total, number)?;
        in_currency(allocation.amount, currency_of, "the payment")?;
        found.push((allocation, document));
    }
    Ok(found)
}

pub(super) fn apply_balance(
    read: &dyn Read,
    account: &str,
    allocations: &[Allocation],
) -> Result<Made, Refusal> {
    let Some(first) = allocations.first() else {
        return Err(Refusal::invalid("no document is named".to_owned()));
    };
    let mut sum = Money::zero(first.amount.currency());
    for (allocation, document) in payable(read, account, first.amount, allocations)? {
        let left = document.left()?;
        if allocation.amount.minor_units() > left.minor_units() {
            return Err(Rejected::NotNow(format!(
                "{} has {left} left to pay, less than {}",
                allocation.number, allocation.amount
            ))
            .into());
        }
        sum = sum.checked_add(allocation.amount)?;
    }
    covered(read, account, sum)?;
    Ok(Made::act(MoneyAct::ApplyBalance {
        account: account.to_owned(),
        allocations: allocations.to_vec(),
    }))
}

pub(super) fn refund(read: &dyn Read, command: &MoneyCommand) -> Result<Made, Refusal> {
    let MoneyCommand::Refund {
        account,
        reference,
        source,
        amount,
        reason,
        ..
    } = command
    else {
        unreachable!("called with a refund");
    };
    words("the refund's reference", reference)?;
    words("the reason", reason)?;
    named("source", source)?;
    named("account", account)?;
    positive("a refund", *amount)?;
    covered(read, account, *amount)?;
    Ok(Made::act(MoneyAct::Refund {
        account: account.clone(),
        reference: reference.clone(),
        source: source.clone(),
        amount: *amount,
        reason: reason.clone(),
    }))
}

/// Whether the prepaid balance has an amount.
pub(super) fn covered(read: &dyn Read, account: &str, amount: Money) -> Result<(), Refusal> {
    let balance = prepaid(read, account, amount.currency())?;
    if balance.minor_units() < amount.minor_units() {
        return Err(Rejected::NotNow(format!(
            "the prepaid balance of account `{account}` is {balance}, less than {amount}"
        ))
        .into());
    }
    Ok(())
}
