//! Reads what a price book says about months: discounts, surcharges, plans, taxes.
//!
//! It must not know how items are charged.

use tallyman_common::money::{Percent, Price, Quantity};
use tallyman_common::time::Hour;

use super::super::calendar::parse_hour;
use super::super::policy::{Cut, Cycle, Discount, Plan, Policies, Step, Surcharge, TaxRate, Titles};
use super::charges::{parse_percent, parse_price};
use super::parse::{parse_titles, path_of, taken};
use super::reader::{Faults, Reader};
use super::{Charge, DEFAULT_TAX_CLASS, Item, ItemKey};

/// Keys of the head that belong to policies.
pub(super) const POLICY_KEYS: &[&str] = &[
    "discounts",
    "tax_included",
    "discount",
    "surcharge",
    "plan",
    "tax",
];
const DISCOUNT_KEYS: &[&str] = &[
    "key", "title", "items", "classes", "plans", "from", "until", "percent", "amount", "steps",
];
const STEP_KEYS: &[&str] = &["above", "percent"];
const SURCHARGE_KEYS: &[&str] = &["key", "title", "items", "above", "percent", "tax_class"];
const PLAN_KEYS: &[&str] = &[
    "key",
    "title",
    "fee",
    "per",
    "due",
    "credits",
    "quantities",
    "tax_class",
];
const TAX_KEYS: &[&str] = &["class", "title", "percent"];

pub(super) fn parse_policies(
    reader: &Reader<'_, '_>,
    faults: &mut Faults<'_>,
    of: &[Item],
) -> Option<Policies> {
    let items: &[ItemKey] = &of.iter().map(|it| it.key.clone()).collect::<Vec<_>>();
    let count = faults.count();
    let in_turn = match reader.text(faults, "discounts") {
        None => Some(false),
        text => taken(reader, faults, text, |it| match it {
            "each_on_raw" => Ok(false),
            "in_turn" => Ok(true),
            other => Err(format!(
                "`discounts = \"{other}\"` is not known; `each_on_raw` and `in_turn` are"
            )),
        }),
    };
    let tax_included = reader.flag(faults, "tax_included");
    let policies = Policies {
        in_turn: in_turn?,
        tax_included: tax_included?,
        discounts: each(reader, faults, "discount", DISCOUNT_KEYS, |it, faults| {
            parse_discount(it, faults, items)
        }),
        surcharges: each(reader, faults, "surcharge", SURCHARGE_KEYS, |it, faults| {
            parse_surcharge(it, faults, items)
        }),
        plans: each(reader, faults, "plan", PLAN_KEYS, |it, faults| {
            parse_plan(it, faults, of)
        }),
        taxes: parse_taxes(reader, faults),
    };
    unique(
        reader,
        faults,
        "discount",
        policies.discounts.iter().map(|it| it.key.as_str()),
    );
    unique(
        reader,
        faults,
        "surcharge",
        policies.surcharges.iter().map(|it| it.key.as_str()),
    );
    unique(
        reader,
        faults,
        "plan",
        policies.plans.iter().map(|it| it.key.as_str()),
    );
    (faults.count() == count).then_some(policies)
}

/// Reads the tables of one kind; a faulty one is told and left out.
pub(super) fn each<T>(
    reader: &Reader<'_, '_>,
    faults: &mut Faults<'_>,
    name: &str,
    keys: &[&str],
    read: impl Fn(&Reader<'_, '_>, &mut Faults<'_>) -> Option<T>,
) -> Vec<T> {
    let mut found = Vec::new();
    for (index, table) in reader.tables(faults, name).iter().enumerate() {
        let path = format!("{name} {}", index + 1);
        let one = Reader::new(table.value, table.offset, path, String::new());
        one.only(faults, keys, |it| keys.contains(&it) || it.starts_with("title_"));
        found.extend(read(&one, faults));
    }
    found
}

fn unique<'k>(
    reader: &Reader<'_, '_>,
    faults: &mut Faults<'_>,
    name: &str,
    keys: impl Iterator<Item = &'k str>,
) {
    let mut seen: Vec<&str> = Vec::new();
    for key in keys {
        if seen.contains(&key) {
            let at = reader.key_offset(name).unwrap_or(reader.offset());
            faults.add(at, &format!("{name} `{key}`"), "is there twice");
        }
        seen.push(key);
    }
}

pub(super) fn parse_key(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<ItemKey> {
    let key = reader.required(faults, "key");
    taken(reader, faults, key, ItemKey::parse)
}

pub(super) fn parse_named(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Titles> {
    let own = reader.required(faults, "title");
    let by_language = parse_titles(reader, faults);
    Some(Titles {
        own: own?.value.to_owned(),
        by_language,
    })
}

/// Keys of items that are there; all if the list is missing.
pub(super) fn parse_items_of(
    reader: &Reader<'_, '_>,
    faults: &mut Faults<'_>,
    items: &[ItemKey],
) -> Option<Vec<ItemKey>> {
    let mut keys = Vec::new();
    for text in reader.texts(faults, "items") {
        let offset = text.offset;
        let key = taken(reader, faults, Some(text), ItemKey::parse)?;
        if !items.contains(&key) {
            reader.fault(faults, offset, format!("there is no {}", path_of(&key)));
        }
        keys.push(key);
    }
    Some(keys)
}

fn parse_discount(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, items: &[ItemKey]) -> Option<Discount> {
    let (key, titles) = (parse_key(reader, faults), parse_named(reader, faults));
    let of_items = parse_items_of(reader, faults, items);
    let classes = reader.texts(faults, "classes");
    let plans: Option<Vec<ItemKey>> = reader
        .texts(faults, "plans")
        .into_iter()
        .map(|it| taken(reader, faults, Some(it), ItemKey::parse))
        .collect();
    let (from, until) = (
        parse_date(reader, faults, "from"),
        parse_date(reader, faults, "until"),
    );
    let cut = parse_cut(reader, faults);
    let (from, until) = (from?, until?);
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        reader.fault(faults, reader.offset(), "`until` is not after `from`");
    }
    Some(Discount {
        key: key?,
        titles: titles?,
        items: of_items?,
        classes: classes.into_iter().map(|it| it.value.to_owned()).collect(),
        plans: plans?,
        from,
        until,
        cut: cut?,
    })
}

/// The outer option is none after a fault, the inner one where the key is missing.
fn parse_date(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, name: &str) -> Option<Option<Hour>> {
    match reader.text(faults, name) {
        None => Some(None),
        text => taken(reader, faults, text, |it| {
            parse_hour(it).map_err(|e| format!("`{name}`: {e}"))
        })
        .map(Some),
    }
}

/// Reads one of `percent`, `amount` and `steps`.
pub(super) fn parse_cut(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Cut> {
    let there: Vec<&str> = ["percent", "amount", "steps"]
        .into_iter()
        .filter(|it| reader.key_offset(it).is_some())
        .collect();
    match there[..] {
        ["percent"] => {
            let percent = parse_percent(reader, faults)?;
            at_most_all(reader, faults, percent).map(Cut::Percent)
        }
        ["amount"] => parse_price(reader, faults, "amount").map(Cut::Amount),
        ["steps"] => parse_steps(reader, faults).map(Cut::Steps),
        _ => {
            reader.fault(
                faults,
                reader.offset(),
                "one of `percent`, `amount` and `steps` is wanted",
            );
            None
        }
    }
}

fn at_most_all(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, percent: Percent) -> Option<Percent> {
    if percent.decimal() > rust_decimal::Decimal::ONE_HUNDRED {
        let at = reader.key_offset("percent").unwrap_or(reader.offset());
        reader.fault(
            faults,
            at,
            format!("`percent = \"{percent}\"` takes off more than there is"),
        );
        return None;
    }
    Some(percent)
}

fn parse_steps(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, table) in reader.tables(faults, "steps").iter().enumerate() {
        let part = format!("step {} ", index + 1);
        let one = Reader::new(table.value, table.offset, reader.path().to_owned(), part);
        one.only(faults, STEP_KEYS, |it| STEP_KEYS.contains(&it));
        let above = parse_price(&one, faults, "above");
        let percent = parse_percent(&one, faults).and_then(|it| at_most_all(&one, faults, it));
        let (above, percent) = (above?, percent?);
        if steps.last().is_some_and(|it| it.above >= above) {
            one.fault(faults, table.offset, "is not above the one before");
        }
        steps.push(Step { above, percent });
    }
    (!steps.is_empty()).then_some(steps)
}

fn parse_surcharge(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, items: &[ItemKey]) -> Option<Surcharge> {
    let (key, titles) = (parse_key(reader, faults), parse_named(reader, faults));
    let of_items = parse_items_of(reader, faults, items);
    let (above, percent) = (
        parse_price(reader, faults, "above"),
        parse_percent(reader, faults),
    );
    Some(Surcharge {
        tax_class: parse_tax_class(reader, faults)?,
        key: key?,
        titles: titles?,
        items: of_items?,
        above: above?,
        percent: percent?,
    })
}

fn parse_plan(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, items: &[Item]) -> Option<Plan> {
    let (key, titles) = (parse_key(reader, faults), parse_named(reader, faults));
    let fee = parse_price(reader, faults, "fee");
    let per = reader.required(faults, "per");
    let cycle = taken(reader, faults, per, |it| match it {
        "month" => Ok(Cycle::Month),
        "year" => Ok(Cycle::Year),
        other => Err(format!(
            "`per = \"{other}\"` is not known; `month` and `year` are"
        )),
    });
    let due = reader.required(faults, "due");
    let in_advance = taken(reader, faults, due, |it| match it {
        "in_advance" => Ok(true),
        "in_arrears" => Ok(false),
        other => Err(format!(
            "`due = \"{other}\"` is not known; `in_advance` and `in_arrears` are"
        )),
    });
    let credits = match reader.key_offset("credits") {
        None => Some(Price::ZERO),
        Some(_) => parse_price(reader, faults, "credits"),
    };
    let quantities = parse_quantities(reader, faults, items);
    Some(Plan {
        tax_class: parse_tax_class(reader, faults)?,
        key: key?,
        titles: titles?,
        fee: fee?,
        cycle: cycle?,
        in_advance: in_advance?,
        credits: credits?,
        quantities,
    })
}

/// Reads the quantities that a plan includes. Each must be one that it can give.
fn parse_quantities(
    reader: &Reader<'_, '_>,
    faults: &mut Faults<'_>,
    items: &[Item],
) -> Vec<(ItemKey, Quantity)> {
    let mut quantities = Vec::new();
    for (item, text) in reader.text_table(faults, "quantities") {
        let at = reader.key_offset("quantities").unwrap_or(reader.offset());
        let known = items.iter().find(|it| it.key.as_str() == item);
        match (known, Quantity::parse(text)) {
            (Some(known), Ok(quantity)) => match cannot_include(known) {
                None => quantities.push((known.key.clone(), quantity)),
                Some(why) => {
                    let path = path_of(&known.key);
                    let reason = format!("{path} has {why}, so a plan can't include a quantity of it");
                    reader.fault(faults, at, reason);
                }
            },
            (None, _) => match ItemKey::parse(item) {
                Ok(key) => reader.fault(faults, at, format!("there is no {}", path_of(&key))),
                Err(reason) => reader.fault(faults, at, reason),
            },
            (_, Err(reason)) => reader.fault(faults, at, format!("`quantities.{item}`: {reason}")),
        }
    }
    quantities
}

/// Why a plan can't include a quantity of an item; none if it can.
fn cannot_include(item: &Item) -> Option<&'static str> {
    match &item.charge {
        Charge::Metered(tariff) if tariff.allowance.is_some() => Some("an allowance of its own"),
        Charge::Metered(_) => None,
        _ => Some("no metered price"),
    }
}

/// Reads the tables of taxes, one for a class at most.
pub(super) fn parse_taxes(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Vec<TaxRate> {
    let taxes = each(reader, faults, "tax", TAX_KEYS, parse_tax);
    unique(reader, faults, "tax", taxes.iter().map(|it| it.class.as_str()));
    taxes
}

fn parse_tax(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<TaxRate> {
    let class = reader.required(faults, "class");
    let class = taken(reader, faults, class, ItemKey::parse);
    let (titles, percent) = (parse_named(reader, faults), parse_percent(reader, faults));
    if let Some(percent) = percent.filter(|it| it.decimal() >= rust_decimal::Decimal::ONE_HUNDRED) {
        let at = reader.key_offset("percent").unwrap_or(reader.offset());
        let reason =
            format!("`percent = \"{percent}\"` is more than what is taxed: a tax of 6 percent is `6`");
        reader.fault(faults, at, reason);
    }
    Some(TaxRate {
        class: class?.as_str().to_owned(),
        titles: titles?,
        percent: percent?,
    })
}

/// Reads `tax_class`; the default one if it is missing.
pub(super) fn parse_tax_class(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<String> {
    match reader.text(faults, "tax_class") {
        None => Some(DEFAULT_TAX_CLASS.to_owned()),
        class => taken(reader, faults, class, |it| ItemKey::parse(it).map(String::from)),
    }
}
