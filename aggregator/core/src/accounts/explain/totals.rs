//! From the lines of an invoice to its total: each discount, coupon, credit and tax with the policy, agreement or grant that it
//! comes from. What stands there was printed; only the words are made here. It must not know how much is taken.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::document::{Deduction, Document, Tax};
use super::super::draft::Past;
use super::super::month::{AccountMonth, Payer, View, at_month};
use super::super::tables::{GrantState, get, keys};
use super::ExplainError;
use crate::bills::{Books, last_priced};
use crate::ports::Table;
use crate::rating::instant::instant_text;
use crate::rating::policy::{Discount, TaxRate};
use crate::rating::{ItemKey, Month, PriceBook};

/// What makes a total of the lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Sum of the lines.
    pub subtotal: String,
    /// What was taken off or added, in order; without the taxes that the prices contain they sum with the subtotal to the
    /// total.
    pub taken: Vec<Taken>,
    /// What is due.
    pub total: String,
}

/// A discount, credit or tax.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// `discount`, `coupon`, `included_credit`, `credit`, `tax` or `tax_included`.
    pub kind: &'static str,
    /// Key of the policy, coupon, plan or grant; of a tax its class.
    pub key: Option<String>,
    /// As it is printed.
    pub title: String,
    /// Percentage, where it is one.
    pub percent: Option<String>,
    /// What it was taken from, where it is a percentage.
    pub basis: Option<String>,
    /// Amount.
    pub amount: String,
    /// Where it comes from, in words.
    pub why: String,
}

/// Explains what is between the lines and the total of a document.
pub(super) fn totals(
    books: Books<'_>,
    of: (&Payer, Month),
    document: &Document,
) -> Result<Totals, ExplainError> {
    at_month(books, of, (View::Billed, &Past::new(books.store)), |month| {
        let mut taken = Vec::new();
        let mut seen = BTreeSet::new();
        for it in &document.discounts {
            taken.push(discount(&month, it, seen.insert(&*it.key)));
        }
        for it in &document.credits {
            let grant: Option<GrantState> = get(
                books.store,
                Table::MoneyIndex,
                &keys::grant(&month.payer.account, &it.key),
            )?;
            let why = grant.map_or_else(|| "credit".to_owned(), |it| grant_words(&it));
            taken.push(deducted("credit", it, why));
        }
        taken.extend(
            document
                .taxes
                .iter()
                .map(|it| tax(&month, it, &document.language)),
        );
        Ok(Totals {
            subtotal: document.subtotal.clone(),
            taken,
            total: document.total.clone(),
        })
    })
}

/// The book that gives order and titles of the month.
fn book_of<'m>(month: &'m AccountMonth<'_>) -> Option<&'m PriceBook> {
    let until = last_priced(&month.versions, &month.hours, month.books.now);
    month.versions.at(until).map(|it| &**it)
}

/// A discount of the price book comes before a coupon and a plan of the same name.
fn discount(month: &AccountMonth<'_>, it: &Deduction, is_first: bool) -> Taken {
    let of_book = book_of(month).and_then(|book| {
        let mut all = book.policies().discounts.iter();
        let found = all.find(|own| own.key.as_str() == it.key);
        found.map(|found| discount_words(book.name(), found))
    });
    if let (Some(why), true) = (of_book, is_first) {
        return deducted("discount", it, why);
    }
    let coupon = month.terms.coupons.iter().find(|own| own.key.as_str() == it.key);
    if let Some(coupon) = coupon {
        let until = match coupon.months {
            None => "for ever".to_owned(),
            Some(months) => format!("for {months} months"),
        };
        let of = items(&coupon.items);
        let why = format!("coupon of the account's terms, from {} {until}{of}", coupon.from);
        return deducted("coupon", it, why);
    }
    let why = format!(
        "credits that plan `{}` includes; what is not used of them lapses",
        it.key
    );
    deducted("included_credit", it, why)
}

fn discount_words(book: &str, it: &Discount) -> String {
    let mut why = format!("discount of the price book `{book}`");
    if !it.classes.is_empty() {
        why.push_str(&format!(", for class {}", it.classes.join(", ")));
    }
    if !it.plans.is_empty() {
        let plans: Vec<&str> = it.plans.iter().map(ItemKey::as_str).collect();
        why.push_str(&format!(", for plan {}", plans.join(", ")));
    }
    why.push_str(&items(&it.items));
    for (word, hour) in [("from", it.from), ("until", it.until)] {
        if let Some(hour) = hour {
            why.push_str(&format!(", {word} {}", instant_text(hour.start())));
        }
    }
    why
}

fn grant_words(it: &GrantState) -> String {
    let granted = &it.granted;
    let names: Vec<&str> = granted.items.iter().map(String::as_str).collect();
    let of = if names.is_empty() {
        String::new()
    } else {
        format!(", on {}", names.join(", "))
    };
    let end = granted.expires.map_or_else(
        || "without end".to_owned(),
        |end| format!("until {}", instant_text(end)),
    );
    format!(
        "credit `{}` of {}, granted at position {}, {end}{of}; {} is left of it now",
        granted.key, granted.amount, it.position, it.left
    )
}

fn items(keys: &[ItemKey]) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = keys.iter().map(ItemKey::as_str).collect();
    format!(", on {}", names.join(", "))
}

fn deducted(kind: &'static str, it: &Deduction, why: String) -> Taken {
    Taken {
        kind,
        key: Some(it.key.clone()),
        title: it.title.clone(),
        percent: it.percent.clone(),
        basis: it.basis.clone(),
        amount: it.amount.clone(),
        why,
    }
}

fn tax(month: &AccountMonth<'_>, it: &Tax, language: &str) -> Taken {
    let contained = if it.included {
        "the prices contain it; "
    } else {
        ""
    };
    let book = book_of(month);
    let rates = book.map_or_else(Vec::new, |book| month.terms.taxes_with(book));
    let is_it = |own: &&&TaxRate| {
        own.percent.to_string() == it.percent && own.titles.in_language(language) == it.title
    };
    let mut same = rates.iter().filter(is_it);
    // Two classes of one title and rate are not told apart.
    let class = same.next().filter(|_| same.next().is_none()).map(|it| &it.class);
    let of_class = class.map_or_else(String::new, |it| format!(" of tax class `{it}`"));
    let is_agreed = class.is_some_and(|class| month.terms.taxes.iter().any(|own| own.class == *class));
    let whose = match book {
        _ if is_agreed => "the account's terms".to_owned(),
        Some(book) => format!("the price book `{}`", book.name()),
        None => "the price book".to_owned(),
    };
    Taken {
        kind: if it.included { "tax_included" } else { "tax" },
        key: class.cloned(),
        title: it.title.clone(),
        percent: Some(it.percent.clone()),
        basis: Some(it.basis.clone()),
        amount: it.amount.clone(),
        why: format!("{contained}rate{of_class} in {whose}"),
    }
}
