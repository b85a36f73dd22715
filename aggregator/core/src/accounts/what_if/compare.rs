//! Two statements of one account, line against line.

use std::collections::BTreeMap;

use tallyman_common::money::{Amount, Currency, Money, MoneyError};

use super::Both;
use super::view::{AccountDifference, Sides};
use crate::rating::statement::{Cause, Deduction, Statement};

/// Lines of one tenant and item, together.
#[derive(Clone)]
pub(super) struct Together {
    pub(super) quantity: Option<Amount>,
    pub(super) exact: Amount,
    pub(super) amount: Money,
}

/// By tenant and item.
pub(super) type Lines = BTreeMap<(Option<String>, String), Together>;

pub(super) fn lines(made: &Statement) -> Result<Lines, MoneyError> {
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

pub(super) fn nothing(currency: Currency) -> Together {
    Together {
        quantity: None,
        exact: Amount::ZERO,
        amount: Money::zero(currency),
    }
}

pub(super) fn sides(before: Money, after: Money) -> Result<Sides, MoneyError> {
    Ok(Sides {
        before: before.number(),
        after: after.number(),
        difference: after.checked_sub(before)?.number(),
    })
}

pub(super) fn difference(account: &str, both: &Both) -> Result<AccountDifference, MoneyError> {
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
