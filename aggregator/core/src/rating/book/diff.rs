//! What changes from one price book to another, in words: each thing that a book says by name, with its old and new text.
//!
//! Books are compared as they are read, so that another order of keys or another way to write a number is no change. It
//! must not know who pays.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tallyman_common::meter::Meter;
use tallyman_common::money::Price;

use super::super::calendar::hour_text;
use super::super::ladder::{Ladder, Tier};
use super::super::policy::{Cut, Cycle, Discount, Plan, Surcharge, TaxRate, Titles};
use super::super::tariff::{Over, Shape, Tariff};
use super::{Charge, Item, ItemKey, PriceBook, Selection};

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Only the new book has it.
    Added,
    /// Only the old book has it.
    Gone,
    /// Both have it, and it differs.
    Changed,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Of what, such as "item `storage`"; "price book" for its head.
    pub what: String,
    /// What became of it.
    pub kind: Kind,
    /// Which of its words, such as `price`; none where all of it came or went.
    pub field: Option<String>,
    /// What the old book says.
    pub old: Option<String>,
    /// What the new book says.
    pub new: Option<String>,
}

/// What is said of one thing, in the order in which people read it.
type Fields = Vec<(String, String)>;

/// What changes from `old` to `new`: the head, then items, then policies; each in the new book's order, what is gone last.
/// Empty if both books say the same, whatever their bytes.
pub fn diff(old: &PriceBook, new: &PriceBook) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(&mut changes, "price book", Some(&head(old)), Some(&head(new)));
    let lists = [items, discounts, surcharges, plans, taxes];
    for list in lists {
        let (before, after) = (list(old), list(new));
        let find = |list: &[(String, Fields)], name: &str| {
            let found = list.iter().find(|(known, _)| known == name);
            found.map(|(_, fields)| fields.clone())
        };
        for (name, fields) in &after {
            compare(&mut changes, name, find(&before, name).as_ref(), Some(fields));
        }
        for (name, fields) in before.iter().filter(|(name, _)| find(&after, name).is_none()) {
            compare(&mut changes, name, Some(fields), None);
        }
    }
    changes
}

fn compare(changes: &mut Vec<Change>, what: &str, old: Option<&Fields>, new: Option<&Fields>) {
    let change = |kind, field: Option<&str>, old: Option<String>, new: Option<String>| Change {
        what: what.to_owned(),
        kind,
        field: field.map(str::to_owned),
        old,
        new,
    };
    let all = |fields: &Fields| {
        let each = fields.iter().map(|(name, text)| format!("{name} {text}"));
        each.collect::<Vec<_>>().join("; ")
    };
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => changes.push(change(Kind::Added, None, None, Some(all(new)))),
        (Some(old), None) => changes.push(change(Kind::Gone, None, Some(all(old)), None)),
        (Some(old), Some(new)) => {
            let before: BTreeMap<&str, &str> = old.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
            let after: BTreeMap<&str, &str> = new.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
            let gone = old.iter().filter(|(name, _)| !after.contains_key(name.as_str()));
            for (name, _) in new.iter().chain(gone) {
                let (was, is) = (before.get(name.as_str()), after.get(name.as_str()));
                if was != is {
                    let text = |it: Option<&&str>| it.map(|it| (*it).to_owned());
                    changes.push(change(Kind::Changed, Some(name), text(was), text(is)));
                }
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |it: &Option<String>| it.clone().unwrap_or_else(|| "none".to_owned());
        match (self.kind, &self.field) {
            (Kind::Added, _) => write!(out, "{} is new: {}", self.what, text(&self.new)),
            (Kind::Gone, _) => write!(out, "{} is gone: {}", self.what, text(&self.old)),
            (Kind::Changed, field) => {
                let field = field.as_deref().unwrap_or("all");
                write!(
                    out,
                    "{}: {field}: {} → {}",
                    self.what,
                    text(&self.old),
                    text(&self.new)
                )
            }
        }
    }
}

/// How an item is charged, in words.
pub fn charge_words(item: &Item) -> String {
    let mut fields = Fields::new();
    charge_fields(&mut fields, item);
    let each = fields.into_iter().map(|(name, text)| match name.as_str() {
        "model" => text,
        _ => format!("{name} {text}"),
    });
    each.collect::<Vec<_>>().join(", ")
}

fn head(book: &PriceBook) -> Fields {
    let mut fields = Fields::new();
    put(&mut fields, "name", book.name());
    put(&mut fields, "currency", book.currency().code());
    put(&mut fields, "time_zone", book.time_zone().name());
    put(&mut fields, "rounding", book.rounding().name());
    let policies = book.policies();
    let discounts = if policies.in_turn {
        "in_turn"
    } else {
        "each_on_raw"
    };
    put(&mut fields, "discounts", discounts);
    put(&mut fields, "tax_included", policies.tax_included);
    let order = book.items().iter().map(Item::key);
    put(&mut fields, "order of items", keys(order));
    fields
}

fn items(book: &PriceBook) -> Vec<(String, Fields)> {
    let fields = |item: &Item| {
        let mut fields = Fields::new();
        put(&mut fields, "title", item.title());
        for (language, title) in item.titles() {
            put(&mut fields, &format!("title_{language}"), title);
        }
        if let Some(selection) = item.selection() {
            selection_fields(&mut fields, selection);
        }
        charge_fields(&mut fields, item);
        put(&mut fields, "tax_class", item.tax_class());
        put_some(&mut fields, "minimum", item.minimum());
        put_some(&mut fields, "maximum", item.maximum());
        (format!("item `{}`", item.key()), fields)
    };
    book.items().iter().map(fields).collect()
}

fn selection_fields(fields: &mut Fields, selection: &Selection) {
    let names = |meters: &[Meter]| {
        let labels: Vec<String> = meters.iter().map(|it| it.label()).collect();
        labels.join(", ")
    };
    put(fields, "meters", names(&selection.plus));
    if !selection.minus.is_empty() {
        put(fields, "minus", names(&selection.minus));
    }
    if !selection.dims.is_empty() {
        let pairs = selection
            .dims
            .iter()
            .map(|(name, value)| format!("{name} = {value}"));
        put(fields, "where", pairs.collect::<Vec<_>>().join(", "));
    }
    put(fields, "unit", selection.unit);
}

fn charge_fields(fields: &mut Fields, item: &Item) {
    match item.charge() {
        Charge::Free => put(fields, "model", "free"),
        Charge::ShareOfAmounts { of, percent } => {
            put(fields, "model", "percent_of_amount");
            put(fields, "of", keys(of.iter()));
            put(fields, "percent", percent);
        }
        Charge::Percentile { percentile, ladder } => {
            put(fields, "model", "percentile");
            put(fields, "percentile", percentile);
            put(fields, "tiers", tiers(ladder));
        }
        Charge::Metered(tariff) => {
            match item.share() {
                Some(share) => {
                    put(fields, "model", "percent_of_price");
                    put(fields, "of", &share.item);
                    put(fields, "percent", share.percent);
                    tariff_fields(fields, tariff);
                }
                None => {
                    put(fields, "model", model(&tariff.shape));
                    tariff_fields(fields, tariff);
                }
            };
        }
    }
}

fn model(shape: &Shape) -> &'static str {
    match shape {
        Shape::Flat(_) => "flat",
        Shape::Graduated(ladder) if plain_price(ladder).is_some() => "per_unit",
        Shape::Graduated(_) => "graduated",
        Shape::Volume(ladder) if ladder.tiers().iter().all(|it| it.price == Price::ZERO) => "stairstep",
        Shape::Volume(_) => "volume",
        Shape::Package { .. } => "package",
    }
}

fn tariff_fields(fields: &mut Fields, tariff: &Tariff) {
    match &tariff.shape {
        Shape::Flat(price) => put(fields, "price", price),
        Shape::Graduated(ladder) | Shape::Volume(ladder) => match plain_price(ladder) {
            Some(price) => put(fields, "price", price),
            None => put(fields, "tiers", tiers(ladder)),
        },
        Shape::Package { size, price } => {
            put(fields, "price", price);
            put(fields, "size", size);
        }
    }
    if tariff.has_memory() {
        put(fields, "over", over(tariff.over));
    }
    if let Some(allowance) = tariff.allowance {
        let text = format!("{} each {}", allowance.quantity, over(allowance.over));
        put(fields, "allowance", text);
    }
    if !tariff.at_least.is_zero() {
        put(fields, "at_least", tariff.at_least);
    }
    if tariff.resets {
        put(fields, "reset", true);
    }
}

/// The price of one open tier without a fee.
fn plain_price(ladder: &Ladder) -> Option<Price> {
    match ladder.tiers() {
        [one] if one.fee == Price::ZERO => Some(one.price),
        _ => None,
    }
}

fn tiers(ladder: &Ladder) -> String {
    let words = |tier: &Tier| {
        let bound = tier
            .up_to
            .map_or("above".to_owned(), |bound| format!("up to {bound}"));
        match (tier.price == Price::ZERO, tier.fee == Price::ZERO) {
            (_, true) => format!("{bound} {}", tier.price),
            (true, false) => format!("{bound} {} once", tier.fee),
            (false, false) => format!("{bound} {} and {} once", tier.price, tier.fee),
        }
    };
    ladder.tiers().iter().map(words).collect::<Vec<_>>().join(", ")
}

fn over(over: Over) -> &'static str {
    match over {
        Over::Hour => "hour",
        Over::Day => "day",
        Over::Month => "month",
    }
}

fn discounts(book: &PriceBook) -> Vec<(String, Fields)> {
    let fields = |it: &Discount| {
        let mut fields = named(&it.titles);
        cut_fields(&mut fields, &it.cut);
        put_list(&mut fields, "items", keys(it.items.iter()));
        put_list(&mut fields, "classes", it.classes.join(", "));
        put_list(&mut fields, "plans", keys(it.plans.iter()));
        put_some(&mut fields, "from", it.from.map(hour_text));
        put_some(&mut fields, "until", it.until.map(hour_text));
        (format!("discount `{}`", it.key), fields)
    };
    book.policies().discounts.iter().map(fields).collect()
}

fn cut_fields(fields: &mut Fields, cut: &Cut) {
    match cut {
        Cut::Percent(percent) => put(fields, "percent", percent),
        Cut::Amount(amount) => put(fields, "amount", amount),
        Cut::Steps(steps) => {
            let words = steps
                .iter()
                .map(|it| format!("above {} {} %", it.above, it.percent));
            put(fields, "steps", words.collect::<Vec<_>>().join(", "));
        }
    }
}

fn surcharges(book: &PriceBook) -> Vec<(String, Fields)> {
    let fields = |it: &Surcharge| {
        let mut fields = named(&it.titles);
        put(&mut fields, "above", it.above);
        put(&mut fields, "percent", it.percent);
        put_list(&mut fields, "items", keys(it.items.iter()));
        put(&mut fields, "tax_class", &it.tax_class);
        (format!("surcharge `{}`", it.key), fields)
    };
    book.policies().surcharges.iter().map(fields).collect()
}

fn plans(book: &PriceBook) -> Vec<(String, Fields)> {
    let fields = |it: &Plan| {
        let mut fields = named(&it.titles);
        put(&mut fields, "fee", it.fee);
        let per = match it.cycle {
            Cycle::Month => "month",
            Cycle::Year => "year",
        };
        put(&mut fields, "per", per);
        let due = if it.in_advance { "in_advance" } else { "in_arrears" };
        put(&mut fields, "due", due);
        put(&mut fields, "credits", it.credits);
        let quantities = it.quantities.iter().map(|(key, free)| format!("{key} = {free}"));
        let quantities: Vec<String> = quantities.collect();
        put_list(&mut fields, "quantities", quantities.join(", "));
        put(&mut fields, "tax_class", &it.tax_class);
        (format!("plan `{}`", it.key), fields)
    };
    book.policies().plans.iter().map(fields).collect()
}

fn taxes(book: &PriceBook) -> Vec<(String, Fields)> {
    let fields = |it: &TaxRate| {
        let mut fields = named(&it.titles);
        put(&mut fields, "percent", it.percent);
        (format!("tax of class `{}`", it.class), fields)
    };
    book.policies().taxes.iter().map(fields).collect()
}

fn named(titles: &Titles) -> Fields {
    let mut fields = Fields::new();
    put(&mut fields, "title", &titles.own);
    for (language, title) in &titles.by_language {
        put(&mut fields, &format!("title_{language}"), title);
    }
    fields
}

fn put(fields: &mut Fields, name: &str, text: impl fmt::Display) {
    fields.push((name.to_owned(), text.to_string()));
}

fn put_some(fields: &mut Fields, name: &str, text: Option<impl fmt::Display>) {
    if let Some(text) = text {
        put(fields, name, text);
    }
}

/// A list that may be empty for "all".
fn put_list(fields: &mut Fields, name: &str, text: String) {
    if !text.is_empty() {
        put(fields, name, text);
    }
}

fn keys<'k>(keys: impl Iterator<Item = &'k ItemKey>) -> String {
    let names: Vec<&str> = keys.map(ItemKey::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
format = 1
name = "Storage"
currency = "CNY"
[[item]]
key = "storage"
title = "Storage"
meters = ["storage.capacity"]
unit = "GiB-hour"
model = "graduated"
tiers_over = "hour"
tiers = [{ up_to = "100", price = "0.001" }, { price = "0.0008" }]
[[item]]
key = "backup"
title = "Backup"
meters = ["storage.capacity"]
where = { class = "backup" }
unit = "GiB-hour"
model = "percent_of_price"
of = "storage"
percent = "20"
[[item]]
key = "requests"
title = "Requests"
meters = ["requests.read"]
unit = "10000 requests"
model = "per_unit"
price = "0.01"
[[tax]]
class = "standard"
title = "VAT"
percent = "6"
"#;

    fn book(text: &str) -> PriceBook {
        PriceBook::parse(text).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    fn words(old: &str, new: &str) -> Vec<String> {
        let changes = diff(&book(old), &book(new));
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_same_book_written_otherwise_changes_nothing() {
        let other = OLD
            .replace("percent = \"20\"", "percent = \"20.0\"")
            .replace("currency", "# a word\ncurrency");
        assert_eq!(words(OLD, &other), Vec::<String>::new());
    }

    #[test]
    fn what_changes_is_told_with_old_and_new_words() {
        let new = OLD
            .replace("{ price = \"0.0008\" }", "{ price = \"0.0007\" }")
            .replace("percent = \"6\"", "percent = \"9\"");
        let told = words(OLD, &new);
        let expected = [
            "item `storage`: tiers: up to 100 0.001, above 0.0008 → up to 100 0.001, above 0.0007",
            // Its prices are a share of the other's, so that they change too.
            "item `backup`: tiers: up to 100 0.0002, above 0.00016 → up to 100 0.0002, above 0.00014",
            "tax of class `standard`: percent: 6 → 9",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_comes_and_goes_is_told_as_a_whole() {
        let at = OLD.find("[[item]]\nkey = \"requests\"").unwrap();
        let tax = OLD.find("[[tax]]").unwrap();
        let short = format!("{}{}", &OLD[..at], &OLD[tax..]);
        let gone = words(OLD, &short);
        assert_eq!(
            gone[0],
            "price book: order of items: storage, backup, requests → storage, backup"
        );
        let all = "title Requests; meters requests.read; unit 10000 requests; model per_unit; price 0.01; tax_class standard";
        assert_eq!(gone[1..], [format!("item `requests` is gone: {all}")]);
        assert_eq!(words(&short, OLD)[1], format!("item `requests` is new: {all}"));
    }

    #[test]
    fn models_allowances_and_dates_have_their_words() {
        let new = OLD.replace(
            "model = \"per_unit\"\nprice = \"0.01\"",
            "model = \"package\"\nprice = \"5\"\nsize = \"100\"\npackage_over = \"month\"\nallowance = \"7\"\n\
             allowance_over = \"day\"",
        );
        let new = new
            + "[[discount]]\nkey = \"gold\"\ntitle = \"Gold\"\npercent = \"10\"\nfrom = \"2026-12-01T00:00:00Z\"\n";
        let told = words(OLD, &new);
        let expected = [
            "item `requests`: model: per_unit → package",
            "item `requests`: price: 0.01 → 5",
            "item `requests`: size: none → 100",
            "item `requests`: over: none → month",
            "item `requests`: allowance: none → 7 each day",
            "discount `gold` is new: title Gold; percent 10; from 2026-12-01T00:00:00Z",
        ];
        assert_eq!(told, expected);
        let new = book(&new);
        assert_eq!(
            charge_words(&new.items()[2]),
            "package, price 5, size 100, over month, allowance 7 each day"
        );
    }
}
