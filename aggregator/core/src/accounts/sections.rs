//! The parts of a document from a statement: lines by tenant and cause, deductions, taxes, coverage.
//!
//! Invariant: I7, it adds nothing up that is not checked. It must not know stores.

use std::collections::BTreeMap;
use std::ops::Range;

use tallyman_common::money::{Money, MoneyError};
use tallyman_common::time::Hour;

use super::document::{
    BilledFee, Coverage, Deduction, Hole, Line, PricedBy, Section, SectionKind, Tax, TierLine,
};
use crate::bills::{Books, Completeness, InferredUsage, book_refs};
use crate::rating::statement::{self, Cause, Statement, StatementLine};
use crate::rating::{BookVersions, Month};

/// Kind of section, month that is corrected, whether it is of the account as a whole, tenant.
type Place<'a> = (u8, Option<Month>, bool, Option<&'a str>);

/// Lines by what they are: tenants by key, then fees, then what the account as a whole owes.
pub(super) fn sections(
    books: Books<'_>,
    made: &Statement,
    language: &str,
) -> Result<Vec<Section>, MoneyError> {
    let mut groups: BTreeMap<Place<'_>, Vec<&StatementLine>> = BTreeMap::new();
    for line in &made.lines {
        let place = match &line.cause {
            Cause::Usage(tenant) | Cause::Minimum(tenant) | Cause::Maximum(tenant) => {
                (0, None, Some(tenant.as_str()))
            }
            Cause::Fee { .. } => (1, None, None),
            Cause::Surcharge | Cause::Commitment => (2, None, None),
            Cause::Late { month, tenant } => (3, Some(*month), tenant.as_deref()),
        };
        let (kind, month, tenant) = place;
        // What the account as a whole owes comes behind its tenants.
        let place = (kind, month, tenant.is_none(), tenant);
        groups.entry(place).or_default().push(line);
    }
    let (mut number, mut found) = (0, Vec::new());
    for ((kind, month, _, tenant), lines) in groups {
        let zero = Money::zero(made.currency);
        let subtotal = lines
            .iter()
            .map(|it| it.amount)
            .try_fold(zero, Money::checked_add)?;
        let kind = [
            SectionKind::Usage,
            SectionKind::Subscription,
            SectionKind::Commitment,
            SectionKind::Adjustment,
        ][usize::from(kind)];
        found.push(Section {
            kind,
            tenant: tenant.map(str::to_owned),
            title: title(books, kind, tenant, language),
            month: month.map(|it| it.to_string()),
            lines: lines
                .into_iter()
                .map(|it| {
                    number += 1;
                    line(it, number, language)
                })
                .collect(),
            subtotal: subtotal.number(),
        });
    }
    Ok(found)
}

fn title(books: Books<'_>, kind: SectionKind, tenant: Option<&str>, language: &str) -> String {
    let known = tenant.and_then(|it| books.registry.tenants.latest(it));
    match (known, tenant, kind, language) {
        (Some(known), ..) => known.name.clone(),
        (None, Some(tenant), ..) => tenant.to_owned(),
        (_, _, SectionKind::Subscription, "zh") => "套餐".to_owned(),
        (_, _, SectionKind::Subscription, _) => "Subscription".to_owned(),
        (.., "zh") => "账户".to_owned(),
        _ => "Account".to_owned(),
    }
}

fn line(line: &StatementLine, number: u32, language: &str) -> Line {
    let has_tiers = line.tiers.len() > 1;
    let tiers = line.tiers.iter().filter(|_| has_tiers).map(|it| TierLine {
        from: it.from.to_string(),
        to: it.to.map(|it| it.to_string()),
        quantity: it.quantity.to_string(),
        price: it.price.to_string(),
        amount_exact: it.amount.to_string(),
    });
    Line {
        number,
        item: line.item.to_string(),
        title: line.titles.in_language(language).to_owned(),
        unit: line.unit.map(str::to_owned),
        quantity: line.quantity.map(|it| it.to_string()),
        unit_price: line.unit_price.map(|it| it.to_string()),
        tiers: tiers.collect(),
        amount_exact: line.exact.to_string(),
        amount: line.amount.number(),
        tax_class: line.tax_class.clone(),
        note: note(&line.cause, language),
        corrects_line: None,
    }
}

fn note(cause: &Cause, language: &str) -> Option<String> {
    let zh = language == "zh";
    match cause {
        Cause::Usage(_) | Cause::Late { .. } => None,
        Cause::Minimum(_) => Some(
            if zh {
                "补足最低消费"
            } else {
                "up to the minimum"
            }
            .to_owned(),
        ),
        Cause::Maximum(_) => Some(
            if zh {
                "超出封顶部分不收"
            } else {
                "above the maximum, not charged"
            }
            .to_owned(),
        ),
        Cause::Surcharge => Some(
            if zh {
                "超出上限部分的附加费"
            } else {
                "on what is above the cap"
            }
            .to_owned(),
        ),
        Cause::Commitment => Some(
            if zh {
                "补足承诺消费"
            } else {
                "up to the commitment"
            }
            .to_owned(),
        ),
        Cause::Fee { period, time, of } => Some(if zh {
            format!("{period}: {}/{of} 天", time.text("天"))
        } else {
            format!("{period}: {time} of {of} days")
        }),
    }
}

/// For which time the fees of a statement are, and what is left of each.
pub(super) fn fees(made: &Statement, language: &str) -> Vec<BilledFee> {
    let of_line = |it: &statement::FeeOfLine| {
        let line = &made.lines[it.line];
        BilledFee {
            plan: line.item.to_string(),
            title: line.titles.in_language(language).to_owned(),
            tax_class: line.tax_class.clone(),
            from: it.period.from,
            until: it.period.until,
            more: it.more.clone(),
            less: it.less.clone(),
            fee: it.fee,
            net: made.net[it.line],
        }
    };
    made.fees.iter().map(of_line).collect()
}

pub(super) fn deduction(it: &statement::Deduction, language: &str) -> Deduction {
    let title = it.titles.in_language(language);
    let title = match (it.is_cut_short, language) {
        (false, _) => title.to_owned(),
        (true, "zh") => format!("{title}（以余额为限）"),
        (true, _) => format!("{title} (as far as there was anything left)"),
    };
    Deduction {
        key: it.key.clone(),
        title,
        percent: it.percent.map(|it| it.to_string()),
        basis: it.basis.map(Money::number),
        amount: it.amount.number(),
    }
}

pub(super) fn tax(it: &statement::Tax, language: &str) -> Tax {
    Tax {
        title: it.titles.in_language(language).to_owned(),
        percent: it.percent.to_string(),
        basis: it.basis.number(),
        amount: it.amount.number(),
        included: it.is_included,
    }
}

pub(super) fn coverage(covered: Completeness, inferred: Vec<InferredUsage>) -> Coverage {
    let mut meters: Vec<String> = inferred.into_iter().map(|it| it.meter).collect();
    meters.sort();
    meters.dedup();
    Coverage {
        complete: covered.complete,
        expected_node_minutes: covered.expected_node_minutes,
        received_node_minutes: covered.received_node_minutes,
        held_node_minutes: covered.held_node_minutes,
        missing: covered
            .missing
            .into_iter()
            .map(|it| Hole {
                node: it.node,
                from: it.from,
                to: it.to,
                minutes: it.minutes,
            })
            .collect(),
        inferred: meters,
    }
}

/// Price books in force in a month.
pub(super) fn price_books(versions: &BookVersions, month: &Range<Hour>) -> Vec<PricedBy> {
    let all = book_refs(versions, month).into_iter();
    all.map(|it| PricedBy {
        name: it.name,
        digest: it.digest,
        from: it.from,
    })
    .collect()
}
