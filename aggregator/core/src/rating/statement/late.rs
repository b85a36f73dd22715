//! What an earlier month costs more or less than was billed for it, because usage came late: the difference of two
//! statements of that month, line by line, with what discounts make of it.
//!
//! A month's statements one after the other telescope: what was billed first and all differences since are what the month
//! costs now, to the last digit (I7). It must not know what came late, or who was told.

use std::collections::BTreeMap;

use tallyman_common::money::{Amount, Money, MoneyError};

use super::{Cause, Draft, Statement, StatementLine, TaxedBy};
use crate::rating::book::ItemKey;
use crate::rating::calendar::Month;
use crate::rating::policy::{TaxRate, Titles};

/// Key of the line that says what discounts take off corrections.
const DISCOUNTS: &str = "discounts";

impl Draft<'_> {
    /// Behind discounts and coupons, which have been counted in already, and before credits, which can pay it.
    pub(super) fn add_late(&mut self) {
        self.input.late.iter().for_each(|line| self.push(line.clone()));
    }
}

/// Lines of one cause and item, old and new.
#[derive(Default)]
struct Pair<'a>(
    Option<(&'a StatementLine, Money)>,
    Option<(&'a StatementLine, Money)>,
);

/// What a month costs more or less than before: a line for each one that changed, and one for each tax class in which
/// discounts changed. Neither statement may have used credits: what was granted pays the difference where it is billed.
pub fn difference(
    month: Month,
    before: &Statement,
    after: &Statement,
) -> Result<Vec<StatementLine>, MoneyError> {
    let mut pairs: BTreeMap<(&Cause, &ItemKey), Pair<'_>> = BTreeMap::new();
    for (line, net) in before.lines.iter().zip(&before.net) {
        pairs.entry((&line.cause, &line.item)).or_default().0 = Some((line, *net));
    }
    for (line, net) in after.lines.iter().zip(&after.net) {
        pairs.entry((&line.cause, &line.item)).or_default().1 = Some((line, *net));
    }
    let zero = Money::zero(after.currency);
    let taxed_by = |class: &str| taxed_then(class, [after, before]);
    let (mut lines, mut discounts) = (Vec::new(), BTreeMap::new());
    for Pair(old, new) in pairs.values() {
        let Some((shown, _)) = new.or(*old) else {
            continue;
        };
        let line = StatementLine {
            taxed_by: taxed_by(&shown.tax_class),
            ..changed(month, shown, (old.map(|it| it.0), new.map(|it| it.0)), zero)?
        };
        let net = |it: &Option<(_, Money)>| it.map_or(zero, |(_, net)| net);
        let taken = net(new).checked_sub(net(old))?.checked_sub(line.amount)?;
        let sum = discounts.entry(&shown.tax_class).or_insert(zero);
        *sum = sum.checked_add(taken)?;
        let nothing = line.amount == zero && line.exact.is_zero();
        if !nothing || line.quantity.is_some_and(|it| !it.is_zero()) {
            lines.push(line);
        }
    }
    let discounts = discounts.into_iter().filter(|(_, amount)| *amount != zero);
    lines.extend(discounts.map(|(class, amount)| StatementLine {
        taxed_by: taxed_by(class),
        ..discount(month, class, amount)
    }));
    Ok(lines)
}

/// What a month costs is taxed as the month was, whenever it is billed: what was not charged does not come back.
fn taxed_then(class: &str, statements: [&Statement; 2]) -> TaxedBy {
    let mut taxes = statements.into_iter().flat_map(|it| &it.taxes);
    let rate = taxes.find(|it| it.class == class).map(|it| {
        let rate = TaxRate {
            class: it.class.clone(),
            titles: it.titles.clone(),
            percent: it.percent,
        };
        Box::new((rate, it.is_included))
    });
    TaxedBy::Earlier(rate)
}

/// A line less what it was.
fn changed(
    month: Month,
    shown: &StatementLine,
    (old, new): (Option<&StatementLine>, Option<&StatementLine>),
    zero: Money,
) -> Result<StatementLine, MoneyError> {
    let quantity = |line: Option<&StatementLine>| {
        let known = line.and_then(|it| it.quantity);
        known.map_or(Amount::ZERO, |it| it)
    };
    let exact = |line: Option<&StatementLine>| line.map_or(Amount::ZERO, |it| it.exact);
    let amount = |line: Option<&StatementLine>| line.map_or(zero, |it| it.amount);
    let tenant = match &shown.cause {
        Cause::Usage(tenant) | Cause::Minimum(tenant) | Cause::Maximum(tenant) => Some(tenant.clone()),
        Cause::Late { tenant, .. } => tenant.clone(),
        Cause::Surcharge | Cause::Commitment | Cause::Fee { .. } => None,
    };
    let change = quantity(new).checked_sub(quantity(old))?;
    Ok(StatementLine {
        cause: Cause::Late { month, tenant },
        quantity: shown.quantity.map(|_| change),
        unit_price: None,
        tiers: Vec::new(),
        exact: exact(new).checked_sub(exact(old))?,
        // Of the rounded amounts: all corrections of a month then sum to its rounded amount.
        amount: amount(new).checked_sub(amount(old))?,
        ..shown.clone()
    })
}

fn discount(month: Month, class: &str, amount: Money) -> StatementLine {
    let chinese = ("zh".to_owned(), "折扣".to_owned());
    let titles = Titles {
        own: "Discounts".to_owned(),
        by_language: [chinese].into_iter().collect(),
    };
    let item = ItemKey::parse(DISCOUNTS).expect("a good key");
    StatementLine::unmetered(Cause::Late { month, tenant: None }, (item, titles), amount, class)
}
