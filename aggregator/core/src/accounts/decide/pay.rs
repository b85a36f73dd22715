//! Money that comes, that is applied, and that goes back. What is more than owed goes to the prepaid balance, which never
//! falls below zero (I12). It must not know gateways.

use std::collections::BTreeSet;

use tallyman_common::money::Money;

use super::{Made, Refusal, in_currency, living, named, positive, words};
use crate::accounts::command::MoneyCommand;
use crate::accounts::document::Kind;
use crate::accounts::ledger::books::prepaid;
use crate::accounts::standing::Receivable;
use crate::ports::Read;
use crate::rating::Day;
use crate::registry::Rejected;
use crate::registry::money::{Allocation, MoneyAct};

pub(super) fn pay(read: &dyn Read, command: &MoneyCommand) -> Result<Made, Refusal> {
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
    Day::parse(on).map_err(|e| Refusal::invalid(e.to_string()))?;
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
