//! From TOML to a checked price book.
//!
//! All faults of a file are told at once; a file with any fault gives no book. Shares of another item's prices are
//! resolved here, so that rating sees plain prices only.
//! It must not know quantities or where files are kept.

use std::collections::BTreeMap;

use tallyman_common::ids::Digest;
use tallyman_common::money::{Currency, MoneyError, Rounding};
use toml::de::DeTable;

use super::super::calendar::BillingZone;
use super::charges::{parse_metered, parse_of, parse_percent, parse_percentile, parse_price};
use super::fits;
use super::policies::{POLICY_KEYS, parse_policies, parse_tax_class};
use super::reader::{At, Faults, Reader, list};
use super::selection::parse_selection;
use super::shares::{Draft, Takes, order_of_shares, resolve, too_fine};
use super::{BOOK_BYTES_MAX, Charge, Fault, ITEMS_MAX, Item, ItemKey, PriceBook, Share};

const HEAD_KEYS: &[&str] = &["format", "name", "currency", "time_zone", "rounding", "item"];
const ITEM_KEYS: &[&str] = &[
    "key",
    "title",
    "meters",
    "minus",
    "where",
    "unit",
    "model",
    "tax_class",
    "minimum",
    "maximum",
];
/// What every metered model knows beside its own keys.
const METERED_KEYS: &[&str] = &["allowance", "allowance_over", "at_least", "reset"];

/// Models and the keys that belong to each.
const MODELS: &[(&str, &[&str])] = &[
    ("free", &[]),
    ("flat", &["price", "flat_over"]),
    ("per_unit", &["price"]),
    ("graduated", &["tiers", "tiers_over"]),
    ("volume", &["tiers", "tiers_over"]),
    ("stairstep", &["tiers", "tiers_over"]),
    ("package", &["price", "size", "package_over"]),
    ("percent_of_price", &["of", "percent"]),
    ("percent_of_amount", &["of", "percent"]),
    ("percentile", &["percentile", "price", "tiers"]),
];
const UNMETERED: &[&str] = &["free", "percent_of_price", "percent_of_amount", "percentile"];

/// Reads a book; what does not fit together in it is a fault only where it `must_fit`.
pub(super) fn parse(text: &str, must_fit: bool) -> Result<PriceBook, Vec<Fault>> {
    let mut faults = Faults::new(text);
    if text.len() > BOOK_BYTES_MAX {
        faults.add(0, "price book", format!("longer than {BOOK_BYTES_MAX} bytes"));
        return Err(faults.into_sorted());
    }
    let (table, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let offset = error.span().map_or(0, |it| it.start);
        faults.add(
            offset,
            "price book",
            format!("not TOML: {}", error.message().trim()),
        );
    }
    if !syntax.is_empty() {
        return Err(faults.into_sorted());
    }
    let reader = Reader::new(table.get_ref(), 0, "price book".to_owned(), String::new());
    let book = parse_book(&reader, text, &mut faults);
    if let (Some(book), 0, true) = (&book, faults.count(), must_fit) {
        fits::check(&reader, &mut faults, &book.items, &book.policies);
    }
    match book {
        Some(book) if faults.count() == 0 => Ok(book),
        _ => Err(faults.into_sorted()),
    }
}

fn parse_book(reader: &Reader<'_, '_>, text: &str, faults: &mut Faults<'_>) -> Option<PriceBook> {
    let keys: Vec<&str> = HEAD_KEYS.iter().chain(POLICY_KEYS).copied().collect();
    reader.only(faults, &keys, |it| keys.contains(&it));
    let format = reader.integer(faults, "format");
    if let Some(format) = format.filter(|it| it.value != "1") {
        reader.fault(
            faults,
            format.offset,
            format!("`format = {}` is not known; 1 is", format.value),
        );
    }
    let name = reader.required(faults, "name");
    let currency = reader.required(faults, "currency");
    let currency = taken(reader, faults, currency, |it| Currency::parse(it).map_err(words));
    let time_zone = match reader.text(faults, "time_zone") {
        Some(zone) => taken(reader, faults, Some(zone), |it| {
            BillingZone::parse(it).map_err(|it| it.to_string())
        }),
        None => Some(BillingZone::utc()),
    };
    let rounding = match reader.text(faults, "rounding") {
        Some(rounding) => taken(reader, faults, Some(rounding), parse_rounding),
        None => Some(Rounding::HalfUp),
    };
    let (items, share_order) = parse_items(reader, faults);
    let policies = parse_policies(reader, faults, &items);
    Some(PriceBook {
        name: name?.value.to_owned(),
        currency: currency?,
        time_zone: time_zone?,
        rounding: rounding?,
        items,
        share_order,
        policies: policies?,
        digest: Digest::of(&[text.as_bytes()]),
    })
}

fn parse_rounding(text: &str) -> Result<Rounding, String> {
    if text == Rounding::HalfUp.name() {
        return Ok(Rounding::HalfUp);
    }
    Err(format!("`rounding = \"{text}\"` is not known; `half_up` is"))
}

/// The items, and the order of those that cost a share of amounts.
fn parse_items(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> (Vec<Item>, Vec<usize>) {
    let tables = reader.tables(faults, "item");
    if tables.is_empty() {
        reader.fault(faults, reader.offset(), "there is no `[[item]]`");
    }
    if tables.len() > ITEMS_MAX {
        reader.fault(faults, reader.offset(), format!("more than {ITEMS_MAX} items"));
    }
    let mut drafts: Vec<Draft> = Vec::new();
    for (index, table) in tables.iter().enumerate().take(ITEMS_MAX) {
        let path = format!("item {}", index + 1);
        let Some(draft) = parse_item(
            Reader::new(table.value, table.offset, path, String::new()),
            faults,
            &[],
        ) else {
            continue;
        };
        if drafts.iter().any(|it| it.item.key == draft.item.key) {
            faults.add(
                table.offset,
                &path_of(&draft.item.key),
                "there is an item of this key above",
            );
        }
        drafts.push(draft);
    }
    let read: Vec<ItemKey> = drafts.iter().map(|it| it.item.key.clone()).collect();
    let is_faulty = |key: &ItemKey| {
        let names = tables
            .iter()
            .filter_map(|it| it.value.get("key")?.get_ref().as_str());
        names.into_iter().any(|it| it == key.as_str()) && !read.contains(key)
    };
    resolve(&mut drafts, faults, is_faulty);
    let order = order_of_shares(&drafts, faults);
    let offsets: Vec<usize> = drafts.iter().map(|it| it.offset).collect();
    let items: Vec<Item> = drafts.into_iter().map(|it| it.item).collect();
    for (at, reason) in too_fine(&items, &order) {
        faults.add(offsets[at], &path_of(&items[at].key), reason);
    }
    (items, order)
}

/// Reads one item; `more` are keys that belong to it where it stands.
pub(super) fn parse_item(
    mut reader: Reader<'_, '_>,
    faults: &mut Faults<'_>,
    more: &[&'static str],
) -> Option<Draft> {
    let key = reader.required(faults, "key");
    let key = taken(&reader, faults, key, ItemKey::parse);
    if let Some(key) = &key {
        reader.rename(path_of(key));
    }
    let model = parse_model(&reader, faults, more);
    let title = reader.required(faults, "title");
    let titles = parse_titles(&reader, faults);
    let selection = parse_selection(&reader, faults, model?);
    let charge = parse_charge(&reader, faults, model?);
    let tax_class = parse_tax_class(&reader, faults);
    let bound = |name: &str, faults: &mut Faults<'_>| match reader.key_offset(name) {
        None => Some(None),
        Some(_) => parse_price(&reader, faults, name).map(Some),
    };
    let (minimum, maximum) = (bound("minimum", faults), bound("maximum", faults));
    let (charge, takes) = charge?;
    let item = Item {
        key: key?,
        title: title?.value.to_owned(),
        titles,
        selection: selection?,
        charge,
        share: match &takes {
            Takes::Price {
                of: (_, item),
                percent,
            } => Some(Share {
                item: item.clone(),
                percent: *percent,
            }),
            _ => None,
        },
        tax_class: tax_class?,
        minimum: minimum?,
        maximum: maximum?,
    };
    if let (Some(least), Some(most)) = (item.minimum, item.maximum)
        && least > most
    {
        reader.fault(faults, reader.offset(), "`minimum` is above `maximum`");
    }
    let offset = reader.offset();
    Some(Draft { item, offset, takes })
}

fn parse_charge(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, model: &str) -> Option<(Charge, Takes)> {
    match model {
        "free" => Some((Charge::Free, Takes::Nothing)),
        "percentile" => Some((parse_percentile(reader, faults)?, Takes::Nothing)),
        "percent_of_price" => {
            let (of, percent) = (parse_of(reader, faults), parse_percent(reader, faults));
            let (mut of, percent) = (of?, percent?);
            if of.len() > 1 {
                let offset = reader.key_offset("of").unwrap_or(reader.offset());
                reader.fault(faults, offset, "`of` names one item, whose prices are taken");
                return None;
            }
            let of = of.pop()?;
            Some((Charge::Free, Takes::Price { of, percent }))
        }
        "percent_of_amount" => {
            let (of, percent) = (parse_of(reader, faults), parse_percent(reader, faults));
            let (of, percent) = (of?, percent?);
            let keys = of.iter().map(|(_, key)| key.clone()).collect();
            Some((Charge::ShareOfAmounts { of: keys, percent }, Takes::Amounts(of)))
        }
        _ => Some((parse_metered(model, reader, faults)?, Takes::Nothing)),
    }
}

/// The model's name; refuses keys that no model or only other models know.
fn parse_model(
    reader: &Reader<'_, '_>,
    faults: &mut Faults<'_>,
    more: &[&'static str],
) -> Option<&'static str> {
    let all_keys: Vec<&str> = MODELS
        .iter()
        .flat_map(|(_, keys)| keys.iter().copied())
        .chain(ITEM_KEYS.iter().chain(METERED_KEYS).chain(more).copied())
        .collect();
    let Some(model) = reader.required(faults, "model") else {
        reader.only(faults, ITEM_KEYS, |it| {
            all_keys.contains(&it) || it.starts_with("title_")
        });
        return None;
    };
    let Some((name, own_keys)) = MODELS.iter().find(|(name, _)| *name == model.value) else {
        let names: Vec<&str> = MODELS.iter().map(|(name, _)| *name).collect();
        reader.fault(
            faults,
            model.offset,
            format!(
                "`model = \"{}\"` is not known; known are {}",
                model.value,
                list(&names)
            ),
        );
        reader.only(faults, ITEM_KEYS, |it| {
            all_keys.contains(&it) || it.starts_with("title_")
        });
        return None;
    };
    let common: &[&str] = if UNMETERED.contains(name) {
        &[]
    } else {
        METERED_KEYS
    };
    let known = ITEM_KEYS.iter().chain(own_keys.iter()).chain(common).chain(more);
    let known: Vec<&str> = known.copied().collect();
    reader.only(faults, &known, |it| {
        all_keys.contains(&it) || it.starts_with("title_")
    });
    for key in all_keys.iter().filter(|it| !known.contains(it)) {
        if let Some(offset) = reader.key_offset(key) {
            reader.fault(
                faults,
                offset,
                format!("`{key}` does not belong to model `{name}`"),
            );
        }
    }
    Some(name)
}

pub(super) fn parse_titles(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> BTreeMap<String, String> {
    let mut titles = BTreeMap::new();
    for language in reader.suffixes("title_") {
        let key = format!("title_{language}");
        let title = reader.text(faults, &key);
        let offset = reader.key_offset(&key).unwrap_or(reader.offset());
        if !(2..=3).contains(&language.len()) || !language.chars().all(|it| it.is_ascii_lowercase()) {
            reader.fault(
                faults,
                offset,
                format!("`{key}`: a language has two or three small letters, such as `title_zh`"),
            );
        } else if let Some(title) = title {
            titles.insert(language, title.value.to_owned());
        }
    }
    titles
}

pub(super) fn path_of(key: &ItemKey) -> String {
    format!("item `{key}`")
}

fn words(error: MoneyError) -> String {
    error.to_string()
}

/// Reads a text's value; a fault is told where the text stands.
pub(super) fn taken<T>(
    reader: &Reader<'_, '_>,
    faults: &mut Faults<'_>,
    text: Option<At<&str>>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let text = text?;
    read(text.value)
        .map_err(|reason| reader.fault(faults, text.offset, reason))
        .ok()
}
