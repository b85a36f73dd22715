//! Reads the terms of an account, and puts them over a price book.
//!
//! It must not know accounts or months.

use tallyman_common::ids::Digest;
use tallyman_common::money::Quantity;
use toml::de::DeTable;

use super::super::calendar::Month;
use super::super::moments::Moment;
use super::super::tariff::{Allowance, Over};
use super::super::terms::{Coupon, Override, Subscription, Terms};
use super::charges::parse_price;
use super::fits::check_own_taxes;
use super::parse::{parse_item, path_of, taken};
use super::policies::{each, parse_cut, parse_items_of, parse_key, parse_named, parse_taxes};
use super::reader::{Faults, Reader};
use super::shares::{Takes, resolve, too_fine};
use super::{BOOK_BYTES_MAX, Charge, Fault, Item, ItemKey, PriceBook};

const TERMS_KEYS: &[&str] = &[
    "format",
    "class",
    "plan",
    "plan_from",
    "plan_until",
    "subscription",
    "commitment",
    "tax_exempt",
    "pools",
    "coupon",
    "tax",
    "item",
];
const SUBSCRIPTION_KEYS: &[&str] = &["plan", "from", "until"];
const COUPON_KEYS: &[&str] = &[
    "key", "title", "items", "percent", "amount", "steps", "from", "months",
];

pub(in super::super) fn parse_terms(text: &str, book: &PriceBook, is_new: bool) -> Result<Terms, Vec<Fault>> {
    let mut faults = Faults::new(text);
    if text.len() > BOOK_BYTES_MAX {
        faults.add(0, "terms", format!("longer than {BOOK_BYTES_MAX} bytes"));
        return Err(faults.into_sorted());
    }
    let (table, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let offset = error.span().map_or(0, |it| it.start);
        faults.add(offset, "terms", format!("not TOML: {}", error.message().trim()));
    }
    if !syntax.is_empty() {
        return Err(faults.into_sorted());
    }
    let reader = Reader::new(table.get_ref(), 0, "terms".to_owned(), String::new());
    let terms = read(&reader, text, book, &mut faults);
    if let Some(terms) = terms.as_ref().filter(|_| is_new) {
        check_own_taxes(&reader, terms, book, &mut faults);
    }
    match terms {
        Some(terms) if faults.count() == 0 => Ok(terms),
        _ => Err(faults.into_sorted()),
    }
}

fn read(reader: &Reader<'_, '_>, text: &str, book: &PriceBook, faults: &mut Faults<'_>) -> Option<Terms> {
    reader.only(faults, TERMS_KEYS, |it| TERMS_KEYS.contains(&it));
    let format = reader.integer(faults, "format");
    if let Some(format) = format.filter(|it| it.value != "1") {
        let reason = format!("`format = {}` is not known; 1 is", format.value);
        reader.fault(faults, format.offset, reason);
    }
    let class = match reader.text(faults, "class") {
        None => Some(None),
        class => taken(reader, faults, class, |it| ItemKey::parse(it).map(String::from)).map(Some),
    };
    let subscriptions = parse_subscriptions(reader, book, faults);
    let commitment = match reader.key_offset("commitment") {
        None => Some(None),
        Some(_) => parse_price(reader, faults, "commitment").map(Some),
    };
    let (tax_exempt, pools) = (reader.flag(faults, "tax_exempt"), reader.flag(faults, "pools"));
    let items: Vec<ItemKey> = book.items().iter().map(|it| it.key.clone()).collect();
    let coupons = each(reader, faults, "coupon", COUPON_KEYS, |it, faults| {
        parse_coupon(it, faults, &items)
    });
    let overrides = parse_overrides(reader, (book, &subscriptions), faults);
    let taxes = parse_taxes(reader, faults);
    if pools == Some(true)
        && let Some(at) = overrides
            .iter()
            .find(|it| it.tenant.is_some())
            .and(reader.key_offset("pools"))
    {
        reader.fault(faults, at, "tenants with prices of their own can't be pooled");
    }
    let terms = Terms {
        class: class?,
        subscriptions,
        commitment: commitment?,
        tax_exempt: tax_exempt?,
        taxes,
        pools: pools?,
        coupons,
        overrides,
        digest: Digest::of(&[text.as_bytes()]),
    };
    Some(terms)
}

/// Plans of the short form and of tables of their own, in the order of their time.
fn parse_subscriptions(
    reader: &Reader<'_, '_>,
    book: &PriceBook,
    faults: &mut Faults<'_>,
) -> Vec<Subscription> {
    let mut found: Vec<(usize, Subscription)> = Vec::new();
    let short = ["plan", "plan_from", "plan_until"];
    if let Some(at) = short.iter().find_map(|it| reader.key_offset(it)) {
        let own = parse_subscription(reader, short, book, faults);
        found.extend(own.map(|it| (at, it)));
    }
    for (index, table) in reader.tables(faults, "subscription").iter().enumerate() {
        let path = format!("subscription {}", index + 1);
        let one = Reader::new(table.value, table.offset, path, String::new());
        one.only(faults, SUBSCRIPTION_KEYS, |it| SUBSCRIPTION_KEYS.contains(&it));
        let own = parse_subscription(&one, ["plan", "from", "until"], book, faults);
        found.extend(own.map(|it| (table.offset, it)));
    }
    found.sort_by_key(|(_, it)| it.from);
    for pair in found.windows(2) {
        let [(_, one), (at, next)] = pair else {
            unreachable!("windows of two");
        };
        if one.until.is_none_or(|it| it > next.from) {
            let ends = one
                .until
                .map_or_else(|| "has no end".to_owned(), |it| format!("ends on {it}"));
            let (plan, from) = (&next.plan, next.from);
            let reason = format!(
                "plan `{plan}` begins on {from}, and plan `{}` before it {ends}",
                one.plan
            );
            reader.fault(faults, *at, reason);
        }
    }
    found.into_iter().map(|(_, it)| it).collect()
}

/// A plan and its time under the names of their keys.
fn parse_subscription(
    reader: &Reader<'_, '_>,
    [plan_key, from_key, until_key]: [&str; 3],
    book: &PriceBook,
    faults: &mut Faults<'_>,
) -> Option<Subscription> {
    let plan = reader.required(faults, plan_key);
    let plan = taken(reader, faults, plan, |it| {
        let key = ItemKey::parse(it)?;
        match book.policies().plan(&key) {
            Some(_) => Ok(key),
            None => Err(format!("the price book `{}` has no plan `{key}`", book.name())),
        }
    });
    let moment = |it: &str| Moment::parse(it).map_err(|e| e.to_string());
    let from = reader.required(faults, from_key);
    let from = taken(reader, faults, from, moment);
    let until = match reader.text(faults, until_key) {
        None => Some(None),
        until => taken(reader, faults, until, moment).map(Some),
    };
    let (plan, from, until) = (plan?, from?, until?);
    if until.is_some_and(|it| it <= from) {
        let at = reader.key_offset(until_key).unwrap_or(reader.offset());
        reader.fault(faults, at, format!("`{until_key}` is not after `{from_key}`"));
    }
    Some(Subscription { plan, from, until })
}

fn parse_coupon(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, items: &[ItemKey]) -> Option<Coupon> {
    let (key, titles) = (parse_key(reader, faults), parse_named(reader, faults));
    let of_items = parse_items_of(reader, faults, items);
    let cut = parse_cut(reader, faults);
    let from = reader.required(faults, "from");
    let from = taken(reader, faults, from, |it| {
        Month::parse(it).map_err(|e| e.to_string())
    });
    let months = match reader.text(faults, "months") {
        None => Some(None),
        months => taken(reader, faults, months, |it| match it.parse::<u32>() {
            Ok(months @ 1..=1_200) if months.to_string() == it => Ok(Some(months)),
            _ => Err(format!(
                "`months = \"{it}\"` is not a number from 1 to 1200; leave it out for ever"
            )),
        }),
    };
    Some(Coupon {
        key: key?,
        titles: titles?,
        items: of_items?,
        cut: cut?,
        from: from?,
        months: months?,
    })
}

/// Items as in a price book, with `tenant` beside them; each must stand in the book, with the same unit.
fn parse_overrides(
    reader: &Reader<'_, '_>,
    (book, subscriptions): (&PriceBook, &[Subscription]),
    faults: &mut Faults<'_>,
) -> Vec<Override> {
    let mut found = Vec::new();
    for (index, table) in reader.tables(faults, "item").iter().enumerate() {
        let path = format!("item {}", index + 1);
        let one = Reader::new(table.value, table.offset, path, String::new());
        let tenant = one.text(faults, "tenant").map(|it| it.value.to_owned());
        let Some(mut draft) = parse_item(one, faults, &["tenant"]) else {
            continue;
        };
        let at = table.offset;
        let key = draft.item.key.clone();
        match book.item(&key) {
            None => faults.add(
                at,
                &path_of(&key),
                format!("the price book `{}` has no such item", book.name()),
            ),
            Some(old) if old.unit_name() != draft.item.unit_name() => {
                let (own, theirs) = (draft.item.unit_name(), old.unit_name());
                let reason = format!("unit `{own}` is not `{theirs}`, which the price book has");
                faults.add(at, &path_of(&key), reason);
            }
            Some(_) if !matches!(draft.takes, Takes::Nothing) => {
                let reason = "takes from another item; write its own prices here";
                faults.add(at, &path_of(&key), reason);
            }
            Some(_) => {
                if let Some(why) = takes_included(&draft.item, book, subscriptions) {
                    faults.add(at, &path_of(&key), why);
                }
            }
        }
        resolve(std::slice::from_mut(&mut draft), faults, |_| true);
        found.push(Override {
            tenant,
            item: draft.item,
        });
    }
    for own in &found {
        // What costs a share of it must still fit.
        let own = book.with(&[&own.item], &[], Digest::default());
        for (_, reason) in too_fine(&own.items, &own.share_order) {
            let at = reader.key_offset("item").unwrap_or(reader.offset());
            faults.add(at, "terms", reason);
        }
    }
    found
}

/// Why an own item would take away what a plan includes; none if it does not. An allowance of its own stands in place of
/// the plan's quantity, so it must not be less.
fn takes_included(own: &Item, book: &PriceBook, subscriptions: &[Subscription]) -> Option<String> {
    for it in subscriptions {
        let Some(plan) = book.policies().plan(&it.plan) else {
            continue;
        };
        let Some((_, quantity)) = plan.quantities.iter().find(|(key, _)| *key == own.key) else {
            continue;
        };
        let plan = &plan.key;
        match &own.charge {
            Charge::Metered(tariff) => match tariff.allowance {
                Some(it) if it.over != Over::Month || it.quantity < *quantity => {
                    return Some(format!(
                        "has less free than plan `{plan}`, which includes {quantity} each month; leave the allowance out, or \
                         give at least as much over a month"
                    ));
                }
                _ => {}
            },
            _ => {
                return Some(format!(
                    "has no metered price, but plan `{plan}` includes {quantity} of it each month"
                ));
            }
        }
    }
    None
}

impl PriceBook {
    /// The same book with some items in place of its own and with free quantities each month. Its digest is that of both
    /// files.
    pub fn with(&self, items: &[&Item], free: &[(ItemKey, Quantity)], terms: Digest) -> Self {
        let mut book = self.clone();
        for own in items {
            let places = book.items.iter_mut().filter(|it| it.key == own.key);
            places.for_each(|it| *it = (*own).clone());
        }
        for (key, quantity) in free {
            for item in book.items.iter_mut().filter(|it| it.key == *key) {
                if let Charge::Metered(tariff) = &mut item.charge {
                    let over = Over::Month;
                    let quantity = *quantity;
                    tariff.allowance.get_or_insert(Allowance { quantity, over });
                }
            }
        }
        book.digest = Digest::of(&[&self.digest.0, &terms.0]);
        book
    }
}
