//! What is printed, word by word and in order: the same for HTML and PDF.
//!
//! All texts are clean ([`clean`]), in the document's language and ready to stand. It must not know fonts, pages or
//! HTML.

use tallyman_aggregator_core::accounts::Document;
use tallyman_aggregator_core::accounts::document::{Kind, Line, Party, Section, SectionKind, TierLine};

use crate::Extra;
use crate::figures::{clean, grouped};
use crate::moments::Clock;
use crate::words::{Words, fill, words};

// Sums, completeness and notes.
#[path = "sheet/rest.rs"]
mod rest;

pub(crate) use rest::{Coverage, Sum};

/// A whole document.
pub(crate) struct Sheet {
    pub(crate) words: &'static Words,
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) number: Option<String>,
    pub(crate) is_draft: bool,
    /// Day of issue as it came, for the file's own data.
    pub(crate) issued: Option<String>,
    pub(crate) period: String,
    pub(crate) facts: Vec<Fact>,
    pub(crate) seller: Card,
    pub(crate) account: Card,
    pub(crate) amount_head: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) sums: Vec<Sum>,
    pub(crate) total: Sum,
    /// Taxes that the total holds already.
    pub(crate) included: Vec<String>,
    /// Until when to pay.
    pub(crate) due: Option<String>,
    pub(crate) payment: Vec<String>,
    pub(crate) faults: Vec<String>,
    pub(crate) coverage: Coverage,
    pub(crate) notes: Vec<String>,
}

/// A fact of the head; without a value there is a line to write on.
pub(crate) struct Fact {
    pub(crate) label: &'static str,
    pub(crate) value: Option<String>,
}

/// Who sells, or who pays.
pub(crate) struct Card {
    pub(crate) label: &'static str,
    pub(crate) name: String,
    pub(crate) lines: Vec<String>,
}

/// A section.
pub(crate) struct Table {
    pub(crate) title: String,
    /// Beside the title: what its lines are, and the tenant's key.
    pub(crate) about: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) subtotal: String,
}

/// A line. Cells that do not apply are empty.
pub(crate) struct Row {
    pub(crate) number: String,
    pub(crate) title: String,
    pub(crate) notes: Vec<String>,
    pub(crate) quantity: String,
    pub(crate) unit: String,
    pub(crate) price: String,
    pub(crate) amount: String,
    pub(crate) tiers: Vec<Tier>,
}

/// The part of a line in one tier.
pub(crate) struct Tier {
    pub(crate) range: String,
    pub(crate) quantity: String,
    pub(crate) price: String,
    pub(crate) amount: String,
}

impl Sheet {
    /// Of a document.
    pub(crate) fn of(document: &Document, extra: &Extra) -> Self {
        let words = words(&document.language);
        let clock = Clock::of(&document.period.zone);
        let period = clean(&clock.period(&document.period, words));
        let number = document.number.as_deref().map(clean);
        Self {
            words,
            id: clean(&document.id),
            kind: match document.kind {
                Kind::Invoice => words.invoice,
                Kind::CreditNote => words.credit_note,
                Kind::DebitNote => words.debit_note,
            },
            is_draft: number.is_none(),
            number,
            issued: document.issued.clone(),
            facts: facts(document, extra, &period, words),
            period,
            seller: card(words.from, &document.seller, &[], words),
            account: card(words.to, &document.account, &[&document.account.key], words),
            amount_head: fill(words.amount, &[&clean(&document.currency)]),
            tables: tables(document, words),
            sums: rest::sums(document, words),
            total: rest::total(document, words),
            included: rest::included(document, words),
            due: document
                .due
                .as_deref()
                .map(|day| fill(words.due_by, &[&clean(day)])),
            payment: rest::payment(document, words),
            faults: document.faults.iter().map(|fault| clean(fault)).collect(),
            coverage: rest::coverage(document, &clock, words),
            notes: rest::notes(document, &clock, words),
        }
    }

    /// `Invoice INV-2026-000123`, or `Invoice DRAFT`.
    pub(crate) fn name(&self) -> String {
        format!(
            "{} {}",
            self.kind,
            self.number.as_deref().unwrap_or(self.words.draft)
        )
    }
}

fn facts(document: &Document, extra: &Extra, period: &str, words: &Words) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |label, value: Option<&str>| {
        if let Some(value) = value {
            let value = Some(clean(value));
            facts.push(Fact { label, value });
        }
    };
    add(words.number, document.number.as_deref());
    add(words.issued, document.issued.as_deref());
    add(words.due, document.due.as_deref());
    add(words.corrects, document.corrects.as_deref());
    add(words.reason, document.reason.as_deref());
    add(words.period, Some(period));
    add(words.zone, Some(&document.period.zone));
    add(words.currency, Some(&document.currency));
    // A draft is no paper that a tax invoice could be written for.
    if document.number.is_some() {
        let label = words.external_tax_number;
        let value = extra.external_tax_number.as_deref().map(clean);
        facts.push(Fact { label, value });
    }
    facts
}

fn card(label: &'static str, party: &Party, keys: &[&str], words: &Words) -> Card {
    let keys = keys.iter().map(|key| fill(words.account_key, &[key]));
    let tax_id = party.tax_id.iter().map(|id| fill(words.tax_id, &[id]));
    let lines = party.address.iter().cloned().chain(tax_id);
    let lines = lines.chain(party.contact.iter().cloned()).chain(keys);
    let lines = lines.map(|line| clean(&line)).collect();
    let name = clean(&party.name);
    Card { label, name, lines }
}

fn tables(document: &Document, words: &Words) -> Vec<Table> {
    let mut classes: Vec<&str> = Vec::new();
    for line in document.sections.iter().flat_map(|section| &section.lines) {
        if !classes.contains(&line.tax_class.as_str()) {
            classes.push(&line.tax_class);
        }
    }
    // Where all lines have the same class, the taxes below say it.
    let says_class = classes.len() > 1;
    document
        .sections
        .iter()
        .map(|section| table(section, says_class, words))
        .collect()
}

fn table(section: &Section, says_class: bool, words: &Words) -> Table {
    let kind = match (section.kind, &section.month) {
        (SectionKind::Usage, _) => words.usage.to_owned(),
        (SectionKind::Subscription, _) => words.subscription.to_owned(),
        (SectionKind::Commitment, _) => words.commitment.to_owned(),
        (SectionKind::Adjustment, Some(month)) => fill(words.adjustment_of, &[&clean(month)]),
        (SectionKind::Adjustment, None) => words.adjustment.to_owned(),
    };
    let key = section.tenant.as_ref().filter(|key| **key != section.title);
    let about = key.map_or_else(|| kind.clone(), |key| format!("{kind} · {}", clean(key)));
    Table {
        title: clean(&section.title),
        about,
        rows: section
            .lines
            .iter()
            .map(|line| row(line, says_class, words))
            .collect(),
        subtotal: grouped(&section.subtotal),
    }
}

fn row(line: &Line, says_class: bool, words: &Words) -> Row {
    let cell = |text: &Option<String>| text.as_deref().map(|t| clean(&grouped(t))).unwrap_or_default();
    let class = says_class.then(|| clean(&fill(words.tax_class, &[&line.tax_class])));
    let notes = line.note.as_deref().map(clean).into_iter().chain(class);
    Row {
        number: line.number.to_string(),
        title: clean(&line.title),
        notes: notes.collect(),
        quantity: cell(&line.quantity),
        unit: line.unit.as_deref().map(clean).unwrap_or_default(),
        price: cell(&line.unit_price),
        amount: grouped(&line.amount),
        tiers: line.tiers.iter().map(|part| tier(part, words)).collect(),
    }
}

fn tier(part: &TierLine, words: &Words) -> Tier {
    let template = match (part.from.as_str(), &part.to) {
        ("0", Some(_)) => words.tier_first,
        (_, Some(_)) => words.tier_middle,
        ("0", None) => words.tier_all,
        (_, None) => words.tier_open,
    };
    let to = part.to.as_deref().map(grouped).unwrap_or_default();
    Tier {
        range: clean(&fill(template, &[&grouped(&part.from), &to])),
        quantity: grouped(&part.quantity),
        price: grouped(&part.price),
        amount: grouped(&part.amount_exact),
    }
}
