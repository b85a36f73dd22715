//! What stands below the lines: sums, completeness, notes, where to pay. It must not add anything up.

use tallyman_aggregator_core::accounts::Document;
use tallyman_aggregator_core::accounts::document::{Deduction, Kind};

use crate::figures::{clean, grouped, money, percent};
use crate::moments::Clock;
use crate::words::{Words, fill};

/// How much of a price book's digest is printed: enough to tell versions apart.
const DIGEST_CHARS: usize = 12;

/// A line of the sums.
pub(crate) struct Sum {
    pub(crate) label: String,
    /// How it came, such as the rate and its basis.
    pub(crate) detail: String,
    pub(crate) amount: String,
}

/// How complete the usage is.
pub(crate) struct Coverage {
    pub(crate) is_complete: bool,
    pub(crate) lines: Vec<String>,
    /// Node, time, minutes.
    pub(crate) holes: Vec<[String; 3]>,
}

/// From the subtotal to the taxes that add to the total.
pub(crate) fn sums(document: &Document, words: &Words) -> Vec<Sum> {
    let subtotal = Sum {
        label: words.subtotal.to_owned(),
        detail: String::new(),
        amount: grouped(&document.subtotal),
    };
    let deductions = document.discounts.iter().chain(&document.credits);
    let taxes = document.taxes.iter().filter(|tax| !tax.included).map(|tax| Sum {
        label: clean(&format!("{} {}", tax.title, percent(&tax.percent))),
        detail: fill(words.tax_on, &[&grouped(&tax.basis)]),
        amount: grouped(&tax.amount),
    });
    std::iter::once(subtotal)
        .chain(deductions.map(|d| deduction(d, words)))
        .chain(taxes)
        .collect()
}

fn deduction(deduction: &Deduction, words: &Words) -> Sum {
    let rate = deduction.percent.as_deref().map(percent);
    let detail = match (rate, deduction.basis.as_deref().map(grouped)) {
        (Some(rate), Some(basis)) => fill(words.discount_of, &[&rate, &basis]),
        (Some(rate), None) => rate,
        (None, _) => String::new(),
    };
    Sum {
        label: clean(&deduction.title),
        detail: clean(&detail),
        amount: grouped(&deduction.amount),
    }
}

/// What is due, or given back.
pub(crate) fn total(document: &Document, words: &Words) -> Sum {
    let label = match document.kind {
        Kind::Invoice | Kind::DebitNote => words.total_due,
        Kind::CreditNote => words.total_credited,
    };
    Sum {
        label: label.to_owned(),
        detail: String::new(),
        amount: money(&document.total, &clean(&document.currency), &document.language),
    }
}

/// Taxes that the total holds already.
pub(crate) fn included(document: &Document, words: &Words) -> Vec<String> {
    let taxes = document.taxes.iter().filter(|tax| tax.included);
    let text = |title: &str, rate: &str, basis: &str, amount: &str| {
        let on = fill(words.tax_on, &[&grouped(basis)]);
        fill(
            words.tax_included,
            &[&format!("{title} {}, {on}: {}", percent(rate), grouped(amount))],
        )
    };
    taxes
        .map(|tax| clean(&text(&tax.title, &tax.percent, &tax.basis, &tax.amount)))
        .collect()
}

/// Where to pay; nothing for drafts and credit notes.
pub(crate) fn payment(document: &Document, words: &Words) -> Vec<String> {
    let Some(number) = document.number.as_deref() else {
        return Vec::new();
    };
    if document.kind == Kind::CreditNote || document.seller.bank.is_empty() {
        return Vec::new();
    }
    let bank = document.seller.bank.iter().cloned();
    let lines = bank.chain([fill(words.reference, &[number])]);
    lines.map(|line| clean(&line)).collect()
}

/// Words and holes.
pub(crate) fn coverage(document: &Document, clock: &Clock, words: &Words) -> Coverage {
    let coverage = &document.coverage;
    let count = |n: u64| grouped(&n.to_string());
    let template = if coverage.complete {
        words.complete
    } else {
        words.incomplete
    };
    let (expected, received) = (
        count(coverage.expected_node_minutes),
        count(coverage.received_node_minutes),
    );
    let mut lines = vec![fill(template, &[&expected, &received])];
    if coverage.held_node_minutes > 0 {
        lines.push(fill(words.held, &[&count(coverage.held_node_minutes)]));
    }
    if !coverage.inferred.is_empty() {
        lines.push(clean(&fill(
            words.inferred,
            &[&coverage.inferred.join(words.list)],
        )));
    }
    let hole = |node: &str, from: &str, to: &str, minutes: u64| {
        [clean(node), clean(&clock.span(from, to, words)), count(minutes)]
    };
    let holes = coverage.missing.iter();
    let holes = holes.map(|h| hole(&h.node, &h.from, &h.to, h.minutes)).collect();
    Coverage {
        is_complete: coverage.complete,
        lines,
        holes,
    }
}

/// How it was made.
pub(crate) fn notes(document: &Document, clock: &Clock, words: &Words) -> Vec<String> {
    let mut notes = vec![match document.rounding.as_str() {
        "half_up" => fill(words.half_up, &[&document.currency]),
        other => fill(words.rounding, &[other]),
    }];
    if !document.order.is_empty() {
        let steps: Vec<&str> = document.order.iter().map(|key| step(key, words)).collect();
        notes.push(fill(words.order, &[&clean(&steps.join(" → "))]));
    }
    for book in &document.price_books {
        let digest: String = book.digest.chars().take(DIGEST_CHARS).collect();
        notes.push(fill(
            words.price_book,
            &[&book.name, &clock.day(&book.from), &digest],
        ));
    }
    let position = grouped(&document.position.to_string());
    notes.push(fill(words.position, &[&position, &document.id]));
    notes.iter().map(|note| clean(note)).collect()
}

/// A step's words; one that this release does not know stands as it is.
fn step<'a>(key: &'a str, words: &'a Words) -> &'a str {
    match key {
        "usage" => words.step_usage,
        "minimum_maximum" => words.step_minimum_maximum,
        "surcharges" => words.step_surcharges,
        "discounts" => words.step_discounts,
        "commitment" => words.step_commitment,
        "subscription" => words.step_subscription,
        "coupons" => words.step_coupons,
        "adjustments" => words.step_adjustments,
        "credits" => words.step_credits,
        "tax" => words.step_tax,
        other => other,
    }
}
