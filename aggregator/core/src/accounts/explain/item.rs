//! One item of a tenant's month: its line, its hours, and where an hour comes from.
//!
//! Invariant: I7, hours sum to the line. Where they don't the answer says so; nothing is adjusted.

use std::ops::Range;

use tallyman_common::money::{Amount, Quantity};
use tallyman_common::time::Hour;

use super::super::draft::Past;
use super::super::month::{AccountMonth, Payer, View, at_month};
use super::{ExplainError, Explanation, HourLine, ItemAmount, Line, Tier, head, rating};
use crate::bills::account::{Payee, rate_account};
use crate::bills::hourly::{TenantLines, each_hour};
use crate::bills::sources::{is_inferred, sources};
use crate::bills::{BillError, Books, Viewer, last_priced};
use crate::rating::book::diff::charge_words;
use crate::rating::statement::{Cause, Input, StatementLine, statement};
use crate::rating::sums::percentile;
use crate::rating::{Charge, Item, ItemKey, Month, RatedLine, hour_text};

/// Explains an item of a tenant's month.
pub(super) fn explain(
    books: Books<'_>,
    of: (&Payer, Month),
    (tenant, key, hour): (&str, &ItemKey, Option<Hour>),
    viewer: Viewer,
) -> Result<Explanation, ExplainError> {
    at_month(books, of, (View::Billed, &Past::new(books.store)), |month| {
        let no_line = || ExplainError::NoLine {
            tenant: tenant.to_owned(),
            item: key.to_string(),
            month: month.month,
        };
        let (payer, hours) = (month.payer, month.hours.clone());
        let payee = month.payees.iter().find(|it| it.tenant == tenant);
        let payee = payee.ok_or_else(no_line)?;
        let item = item_of(&month, payee, key).ok_or_else(no_line)?;
        let mut found = head(books, payer, month.month, month.is_final);
        let (lines, mut hours_of_item) = (lines_of_item(&month, payee, item)?, Hours::default());
        let usage = lines.iter().find(|it| matches!(it.cause, Cause::Usage(_)));
        let exact = usage.ok_or_else(no_line)?.exact;
        let chosen = chosen(&month, payee);
        each_hour(
            month.books,
            (chosen, month.terms.pools),
            &month.zone,
            hours.clone(),
            |it| hours_of_item.add(it, tenant, key),
        )?;
        let sum = Amount::sum(hours_of_item.lines.iter().map(|it| it.amount_exact)).map_err(rating)?;
        let at_end = at_months_end(item, &hours_of_item, &hours)?;
        found.agrees = Some(at_end.as_ref().map_or(sum, |(amount, _)| *amount) == exact);
        found.sum_exact = Some(at_end.as_ref().map_or(sum, |(amount, _)| *amount));
        let note = at_end.map(|(_, words)| words);
        let views = lines.iter().map(|it| line(it, item, (tenant, payer), &note));
        found.lines = views.collect();
        found.hours = hours_of_item.lines;
        found.faults = hours_of_item.faults;
        if let Some(hour) = hour {
            if !hours.contains(&hour) {
                return Err(ExplainError::Question("the hour is not in the month"));
            }
            let text = hour_text(hour);
            found.hours.retain(|it| it.hour == text);
            let selection = payee.books.at(hour).and_then(|it| it.item(key)).unwrap_or(item);
            let from = sources(month.books, (tenant, hour), selection.selection(), viewer);
            found.sources = Some(from.map_err(BillError::from)?);
        }
        Ok(found)
    })
}

/// Who has to be rated: everybody where tiers are climbed together.
fn chosen<'m>(month: &'m AccountMonth<'_>, payee: &'m Payee) -> &'m [Payee] {
    if month.terms.pools {
        &month.payees
    } else {
        std::slice::from_ref(payee)
    }
}

fn item_of<'b>(month: &AccountMonth<'_>, payee: &'b Payee, key: &ItemKey) -> Option<&'b Item> {
    let until = last_priced(&month.versions, &month.hours, month.books.now);
    let now = payee.books.at(until).and_then(|it| it.item(key));
    now.or_else(|| payee.books.newest_with(key, until))
}

/// The item's lines as a statement has them.
fn lines_of_item(
    month: &AccountMonth<'_>,
    payee: &Payee,
    item: &Item,
) -> Result<Vec<StatementLine>, ExplainError> {
    let versions = &month.versions;
    let usage = rate_account(
        month.books,
        (chosen(month, payee), versions),
        &month.zone,
        month.hours.clone(),
        month.terms.pools,
    )?;
    let input = Input {
        sums: &usage.sums,
        books: versions,
        until: last_priced(versions, &month.hours, month.books.now),
        terms: &month.terms,
        before: None,
        month: month.month,
        zone: &month.zone,
        grants: &[],
        billed_ahead: &[],
        late: &[],
    };
    let made = statement(input).map_err(rating)?;
    let is_own = |it: &StatementLine| match &it.cause {
        Cause::Usage(tenant) | Cause::Minimum(tenant) | Cause::Maximum(tenant) => {
            *tenant == payee.tenant && it.item == *item.key()
        }
        _ => false,
    };
    Ok(made.lines.into_iter().filter(is_own).collect())
}

fn line(line: &StatementLine, item: &Item, (tenant, payer): (&str, &Payer), note: &Option<String>) -> Line {
    let cause = match line.cause {
        Cause::Minimum(_) => "minimum",
        Cause::Maximum(_) => "maximum",
        _ => "usage",
    };
    let is_usage = cause == "usage";
    let tiers = line.tiers.iter().map(|it| Tier {
        from: it.from.to_string(),
        to: it.to.map(|it| it.to_string()),
        quantity: it.quantity.to_string(),
        price: it.price.to_string(),
        amount_exact: it.amount.to_string(),
    });
    Line {
        tenant: Some(tenant.to_owned()),
        item: line.item.to_string(),
        title: line.titles.in_language(&payer.language).to_owned(),
        cause,
        charged: is_usage.then(|| charge_words(item)),
        note: note.clone().filter(|_| is_usage),
        unit: line.unit.map(str::to_owned),
        quantity: line.quantity.map(|it| it.to_string()),
        tiers: tiers.collect(),
        amount_exact: line.exact.to_string(),
        amount: line.amount.number(),
    }
}

/// Hours of one item of one tenant.
#[derive(Default)]
struct Hours {
    lines: Vec<HourLine>,
    faults: Vec<String>,
}

impl Hours {
    fn add(&mut self, of: TenantLines<'_>, tenant: &str, key: &ItemKey) -> Result<(), ExplainError> {
        if of.payee.tenant != tenant {
            return Ok(());
        }
        self.faults.extend(of.faults);
        let Some(line) = of.lines.iter().find(|it| it.item == *key) else {
            return Ok(());
        };
        let item = of.payee.books.by_digest(line.book).and_then(|it| it.item(key));
        let inferred = is_inferred(&of.usage, item.and_then(Item::selection));
        let share_of = match item.map(Item::charge) {
            Some(Charge::ShareOfAmounts { of: these, .. }) => amounts(&of.lines, these),
            _ => Vec::new(),
        };
        self.lines.push(HourLine {
            hour: hour_text(line.hour),
            quantity: line.quantity,
            raised_to: line.raised_to,
            free: line.free,
            before: line.before,
            amount_exact: line.amount,
            parts: line.parts.clone(),
            less: line.less.clone(),
            share_of,
            inferred,
            price_book: line.book.to_string(),
        });
        Ok(())
    }
}

fn amounts(lines: &[RatedLine], these: &[ItemKey]) -> Vec<ItemAmount> {
    let taken = lines.iter().filter(|it| these.contains(&it.item));
    let amount = |it: &RatedLine| ItemAmount {
        item: it.item.to_string(),
        amount_exact: it.amount,
    };
    taken.map(amount).collect()
}

/// The amount of an item that is booked at the month's end, and how it came about.
fn at_months_end(
    item: &Item,
    hours: &Hours,
    month: &Range<Hour>,
) -> Result<Option<(Amount, String)>, ExplainError> {
    let Charge::Percentile {
        percentile: at,
        ladder,
    } = item.charge()
    else {
        return Ok(None);
    };
    let samples: Vec<Quantity> = hours.lines.iter().map(|it| it.quantity).collect();
    let count = month.end.0 - month.start.0;
    let value = percentile(at.decimal(), &samples, count).map_err(rating)?;
    let parts = ladder.slices(Quantity::ZERO, value).map_err(rating)?;
    let amount = Amount::sum(parts.iter().map(|it| it.amount)).map_err(rating)?;
    let hour = hours.lines.iter().find(|it| it.quantity == value);
    let hour = hour.map_or_else(|| "an hour without usage".to_owned(), |it| it.hour.clone());
    let words = format!(
        "percentile {at} of {count} hours, {} of them with usage: {value}, as in {hour}",
        samples.len()
    );
    Ok(Some((amount, words)))
}
