//! What a credit can be bound to: names of lines that price books have. A credit for a misspelt item would be worth nothing
//! in silence, and one whose item a new price book drops too. It must not know amounts of lines.

use std::collections::{BTreeMap, BTreeSet};

use super::reads::grants_of;
use super::tables::AccountsError;
use crate::bills::Books;
use crate::rating::PriceBook;
use crate::registry::money::Granted;
use crate::registry::{Registry, Rejected};

/// Names that a refusal lists at most.
const NAMED_MAX: usize = 30;
/// What is missing to a commitment is a line of this name.
const COMMITMENT: &str = "commitment";

/// Refuses a credit for something that no price book in its currency has, or ever had.
pub(super) fn check(registry: &Registry, granted: &Granted) -> Result<(), Rejected> {
    let currency = granted.amount.currency();
    let books = registry.books.iter().map(|it| &it.book);
    let books = books.filter(|it| it.currency() == currency);
    let known: BTreeSet<&str> = books.flat_map(|it| names(it)).collect();
    let unknown = granted.items.iter().find(|it| !known.contains(it.as_str()));
    let Some(unknown) = unknown else {
        return Ok(());
    };
    let names: Vec<String> = known.iter().take(NAMED_MAX).map(|it| format!("`{it}`")).collect();
    let known = match nearest(unknown, &known) {
        Some(near) => format!("did you mean `{near}`? Known are {}", names.join(", ")),
        None if names.is_empty() => "there is none yet".to_owned(),
        None => format!("known are {}", names.join(", ")),
    };
    Err(Rejected::Invalid(format!(
        "no price book in {} has, or ever had, an item `{unknown}`: {known}",
        currency.code()
    )))
}

/// Open credits in a book's currency for something that it does not have, in words: they can't be used while it is in force.
pub fn credits_without(books: Books<'_>, book: &PriceBook) -> Result<Vec<String>, AccountsError> {
    let known: BTreeSet<&str> = names(book).collect();
    let mut found = Vec::new();
    let accounts = books.registry.payers.accounts.values();
    for account in accounts.filter(|it| it.currency == book.currency().code()) {
        for grant in grants_of(books.store, &account.account, books.now)? {
            let items = grant.granted.items.iter();
            let lost: Vec<String> = items
                .filter(|it| !known.contains(it.as_str()))
                .map(|it| format!("`{it}`"))
                .collect();
            if !lost.is_empty() {
                found.push(format!(
                    "credit `{}` of account `{}`, of which {} is left, is for {}, which this price book does not have: while it \
                     is in force the credit can't be used for that",
                    grant.granted.key,
                    account.account,
                    grant.left,
                    lost.join(", ")
                ));
            }
        }
    }
    Ok(found)
}

/// Names of lines that a month under a book can have.
fn names(book: &PriceBook) -> impl Iterator<Item = &str> {
    let policies = book.policies();
    let items = book.items().iter().map(|it| it.key().as_str());
    let plans = policies.plans.iter().map(|it| it.key.as_str());
    let surcharges = policies.surcharges.iter().map(|it| it.key.as_str());
    items.chain(plans).chain(surcharges).chain([COMMITMENT])
}

/// The known name that a slip of the pen made this one of: at most a third of its letters differ.
fn nearest<'n>(name: &str, known: &BTreeSet<&'n str>) -> Option<&'n str> {
    let by_distance: BTreeMap<usize, &str> = known.iter().rev().map(|it| (distance(name, it), *it)).collect();
    let (distance, near) = by_distance.into_iter().next()?;
    (distance * 3 <= name.len().max(3)).then_some(near)
}

/// Letters to be added, left out or changed between two names.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (to, same) in other.bytes().enumerate() {
            let changed = before + usize::from(letter != same);
            before = row[to + 1];
            row[to + 1] = changed.min(before + 1).min(row[to] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Command, Decision};
    use tallyman_common::money::Money;
    use tallyman_common::time::{Hour, WallMs};

    const BOOK: &str = "format = 1\nname = \"B\"\ncurrency = \"USD\"\n\
        [[item]]\nkey = \"storage\"\ntitle = \"S\"\nmeters = [\"requests.read\"]\nunit = \"request\"\nmodel = \"free\"\n\
        [[item]]\nkey = \"traffic\"\ntitle = \"T\"\nmeters = [\"requests.write\"]\nunit = \"request\"\nmodel = \"free\"\n";

    /// Protects: a credit is never bound to what no line can have.
    #[test]
    fn a_credit_is_for_what_a_price_book_has() {
        let mut registry = Registry::default();
        registry.apply(&Decision {
            position: 1,
            at: WallMs(0),
            actor: "a".into(),
            source: "s".into(),
            command: Command::AddPriceBook {
                text: BOOK.into(),
                from: Hour(0),
            },
        });
        let known = "known are `commitment`, `storage`, `traffic`";
        let table = [
            ("USD", "storage", None),
            ("USD", "commitment", None),
            (
                "USD",
                "storge",
                Some(format!("did you mean `storage`? K{}", &known[1..])),
            ),
            (
                "USD",
                "trafic",
                Some(format!("did you mean `traffic`? K{}", &known[1..])),
            ),
            ("USD", "gpu", Some(known.to_owned())),
            ("EUR", "storage", Some("there is none yet".to_owned())),
        ];
        for (currency, item, wanted) in table {
            let granted = Granted {
                key: "k".into(),
                account: "a".into(),
                title: "t".into(),
                amount: Money::parse(&format!("1.00 {currency}")).unwrap(),
                priority: 50,
                expires: None,
                items: vec!["storage".into(), item.into()],
            };
            let told = check(&registry, &granted).err().map(|it| it.to_string());
            let wanted = wanted.map(|it| (currency, it));
            match (told, wanted) {
                (None, None) => {}
                (Some(told), Some((_, wanted))) => assert!(told.ends_with(&wanted), "{told}"),
                other => panic!("{item}: {other:?}"),
            }
        }
    }
}
