//! A month of random usage under every charge model, with pooled tiers, several zones and currencies: each line explains
//! itself to the last digit, and the closing sheet balances; with a claim that two tenants have it does not.

use std::sync::Arc;

use tallyman_common::codec;
use tallyman_common::ids::{NodeId, Owner, SpoolId};
use tallyman_common::meter::{METERS, Meter};
use tallyman_common::time::{HOUR_MS, Hour, WallMs};

use super::*;
use crate::accounts::explain::{Ask, ExplainError, Explanation, Of, explain};
use crate::accounts::what_if::{self, Prices, what_if};
use crate::bills::Viewer;
use crate::ingest::Marks;
use crate::memory::MemoryStore;
use crate::ports::{Changes, Store, Table};
use crate::rating::PriceBook;
use crate::registry::{Account, Command, Decision, Registry, Seller, TenantTerms};
use crate::rollup::OwnerHour;
use crate::rollup::cell::{KIND_INFERRED, KIND_SUM, KIND_WITHDRAWN};
use crate::rollup::part::{inferred, owner_key};

pub(super) const BOOK: &str = r#"
format = 1
name = "Everything"
currency = "USD"
time_zone = "UTC"
[[item]]
key = "cpu"
title = "CPU"
meters = ["cpu.time"]
unit = "CPU-hour"
model = "graduated"
tiers_over = "month"
tiers = [{ up_to = "5", price = "1", fee = "2" }, { up_to = "9", price = "0.7" }, { price = "0.3" }]
allowance = "0.25"
allowance_over = "day"
at_least = "0.01"
[[item]]
key = "storage"
title = "Storage"
meters = ["storage.capacity"]
where = { tier = "high" }
unit = "GiB-hour"
model = "volume"
tiers_over = "day"
tiers = [{ up_to = "3", price = "0.01" }, { price = "0.008" }]
[[item]]
key = "backup"
title = "Backup"
meters = ["backup.capacity"]
unit = "GiB-hour"
model = "percent_of_price"
of = "storage"
percent = "20"
[[item]]
key = "traffic"
title = "Traffic"
meters = ["network.receive.bytes", "network.transmit.bytes"]
unit = "GiB"
model = "package"
price = "0.5"
size = "2"
package_over = "month"
maximum = "3"
[[item]]
key = "peak"
title = "Peak"
meters = ["network.transmit.bytes"]
unit = "Mbit/s"
model = "percentile"
percentile = "95"
price = "7"
[[item]]
key = "support"
title = "Support"
model = "percent_of_amount"
of = ["cpu", "traffic"]
percent = "12.5"
[[item]]
key = "writes"
title = "Writes"
meters = ["requests.write"]
minus = ["requests.delete"]
unit = "1000 requests"
model = "per_unit"
price = "0.004"
minimum = "50"
[[item]]
key = "looks"
title = "Looks"
meters = ["requests.metadata"]
unit = "request"
model = "free"
"#;

const METERS_USED: [&str; 9] = [
    "cpu.time",
    "storage.capacity",
    "backup.capacity",
    "network.receive.bytes",
    "network.transmit.bytes",
    "requests.write",
    "requests.delete",
    "requests.metadata",
    "requests.read",
];
const ITEMS: [&str; 8] = [
    "cpu", "storage", "backup", "traffic", "peak", "support", "writes", "looks",
];

struct World {
    store: MemoryStore,
    registry: Registry,
    marks: Marks,
    now: WallMs,
}

impl World {
    fn books(&self) -> Books<'_> {
        Books {
            store: &self.store,
            registry: &self.registry,
            marks: &self.marks,
            position: 100,
            now: self.now,
        }
    }

    fn decide(&mut self, command: Command) {
        let decision = Decision {
            position: 1,
            at: WallMs(0),
            actor: "a".into(),
            source: "s".into(),
            command,
        };
        self.registry.apply(&decision);
    }
}

pub(super) fn month() -> Month {
    Month::parse("2026-02").unwrap()
}

pub(super) fn terms(tenant: &str, account: &str, currency: &str, zone: &str) -> TenantTerms {
    TenantTerms {
        tenant: tenant.into(),
        name: tenant.into(),
        claims: vec![tenant.into()],
        account: account.into(),
        zone: zone.into(),
        currency: currency.into(),
        language: "en".into(),
        from: Hour(0),
    }
}

pub(super) fn account(key: &str, zone: &str) -> Account {
    Account {
        account: key.into(),
        organisation: None,
        name: key.into(),
        seller: "cloud".into(),
        currency: "USD".into(),
        zone: zone.into(),
        language: "en".into(),
        address: vec![],
        tax_id: None,
        contact: vec![],
        due_days: 30,
    }
}

/// Two tenants who pool in Shanghai, one of an account that nobody registered, one in another currency.
fn world(seed: u64) -> World {
    let hours = BillingZone::utc().month_hours(month()).unwrap();
    let mut world = World {
        store: MemoryStore::default(),
        registry: Registry::default(),
        marks: Marks::default(),
        now: WallMs(hours.end.start().0 + 12 * HOUR_MS),
    };
    let book = |text: String| Command::AddPriceBook { text, from: Hour(0) };
    world.decide(book(BOOK.to_owned()));
    world.decide(book(BOOK.replace("USD", "EUR")));
    let seller = Seller {
        seller: "cloud".into(),
        name: "Cloud".into(),
        address: vec![],
        tax_id: None,
        contact: vec![],
        bank: vec![],
        prefix: "INV".into(),
    };
    world.decide(Command::SetSeller(Box::new(seller)));
    world.decide(Command::SetAccount(Box::new(account("pool", "Asia/Shanghai"))));
    let agreed = Command::SetTerms {
        account: "pool".into(),
        text: "format = 1\npools = true\n".into(),
        from: Hour(0),
    };
    world.decide(agreed);
    for (tenant, account, currency, zone) in [
        ("anna", "pool", "USD", "Asia/Shanghai"),
        ("bert", "pool", "USD", "Asia/Shanghai"),
        ("carl", "alone", "USD", "America/New_York"),
        ("dora", "abroad", "EUR", "UTC"),
    ] {
        world.decide(Command::SetTenant(terms(tenant, account, currency, zone)));
    }
    let claims = ["anna", "bert", "carl", "dora", "stray"];
    let mut owners: Vec<Owner> = claims.iter().map(|it| Owner::claim(it).unwrap()).collect();
    owners.extend([Owner::Unattributed, Owner::Host]);
    let mut random = Random(seed);
    let mut changes = Changes::default();
    let span = hours.start.0 - 24..hours.end.0 + 12;
    for hour in span.map(Hour) {
        for owner in &owners {
            if random.below(9) == 0 {
                let value = codec::encode(&usage(&mut random));
                changes.put(Table::Cells, owner_key(hour, owner), value);
            }
        }
    }
    world.store.commit(&changes).unwrap();
    world
}

pub(super) fn usage(random: &mut Random) -> OwnerHour {
    let mut value = OwnerHour::default();
    value.trace(NodeId([1; 16]), SpoolId([2; 16]), 1, 1);
    for name in METERS_USED {
        let meter: Meter = METERS.iter().find(|it| it.name == name).unwrap().meter;
        let scale: u128 = match name {
            "cpu.time" => 3_600_000_000_000,
            "storage.capacity" | "backup.capacity" => 7_000_000_000_000_000,
            "requests.write" => 90_000,
            "requests.delete" => 30_000,
            _ => 900_000_000,
        };
        let dims = match random.below(3) {
            0 => vec![("tier".to_owned(), "low".to_owned())],
            _ => vec![("tier".to_owned(), "high".to_owned())],
        };
        let set = value.set_mut(&"g".into(), &dims);
        let mut add = |kind, amount| {
            set.cell_mut(meter, kind).add(inferred(amount, false)).unwrap();
        };
        add(KIND_SUM, u128::from(random.next()) % scale);
        if random.below(5) == 0 {
            let hole = u128::from(random.next()) % scale;
            add(KIND_INFERRED, hole);
            add(KIND_WITHDRAWN, hole / 3);
        }
    }
    value
}

/// The same numbers for the same seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn explained(
    world: &World,
    (account, tenant, item): (&str, &str, &str),
) -> Result<Explanation, ExplainError> {
    let of = Of::Month {
        account: account.to_owned(),
        month: month(),
    };
    let ask = Ask {
        tenant: Some(tenant.to_owned()),
        item: Some(ItemKey::parse(item).unwrap()),
        hour: None,
    };
    explain(world.books(), of, &ask, Viewer::Operator)
}

#[test]
fn every_line_explains_itself_to_the_last_digit() {
    for seed in 1..=5 {
        let world = world(seed);
        for (account, tenant) in [
            ("pool", "anna"),
            ("pool", "bert"),
            ("alone", "carl"),
            ("abroad", "dora"),
        ] {
            for item in ITEMS {
                let found = explained(&world, (account, tenant, item)).unwrap();
                let name = format!("seed {seed}, {tenant}, {item}: {:?}", found.lines);
                assert_eq!(found.agrees, Some(true), "{name}");
                let line = found.lines.iter().find(|it| it.cause == "usage").unwrap();
                assert_eq!(
                    Some(line.amount_exact.clone()),
                    found.sum_exact.map(|it| it.to_string())
                );
                let amounts = line
                    .tiers
                    .iter()
                    .map(|it| Amount::parse(&it.amount_exact).unwrap());
                let tiers = Amount::sum(amounts).unwrap().to_string();
                assert!(item == "support" || tiers == line.amount_exact, "{name}");
                assert!(found.hours.len() > 20, "{name}");
                if item == "support" {
                    assert!(
                        found
                            .hours
                            .iter()
                            .all(|it| it.share_of.len() <= 2 && !it.share_of.is_empty())
                    );
                }
                if item == "peak" {
                    let note = line.note.as_deref().unwrap();
                    assert!(note.starts_with("percentile 95 of 67"), "{note}");
                }
            }
        }
        let bounds = |item| explained(&world, ("pool", "anna", item)).unwrap().lines[1].cause;
        assert_eq!((bounds("writes"), bounds("traffic")), ("minimum", "maximum"));
    }
}

#[test]
fn a_month_of_every_model_balances() {
    for seed in 1..=5 {
        let world = world(seed);
        let usd = Currency::parse("USD").unwrap();
        let found = sheet(world.books(), month(), Some(usd)).unwrap();
        assert!(
            found.balances,
            "seed {seed}: {}\n{:#?}",
            found.verdict, found.rows
        );
        assert_eq!(found.rows.len(), 10, "8 items, storage that is not high, reads");
        let row = |name: &str| {
            let is_named = |it: &&Row| it.item.as_ref().map_or(it.title.as_str(), ItemKey::as_str) == name;
            found
                .rows
                .iter()
                .find(is_named)
                .unwrap_or_else(|| panic!("{name}"))
        };
        assert_ne!(row("cpu").usage.free, "0");
        assert_ne!(row("cpu").usage.rounding, "0");
        assert_ne!(row("cpu").at_list.unattributed, "0");
        assert_ne!(
            row("writes").usage.not_rated,
            "0",
            "less than nothing was used in some hours"
        );
        assert_eq!(row("looks").usage.billed, "0");
        assert_ne!(row("requests.read").usage.free, "0", "nothing prices it");
        assert_ne!(row("storage").usage.other_currencies, "0");
        assert_eq!(
            (found.accounts.len(), &*found.not_billed[0].account),
            (1, "alone"),
            "{:?}",
            found.not_billed
        );
        let which = sheet(world.books(), month(), None).unwrap_err().to_string();
        assert!(which.contains("EUR, USD"), "{which}");
    }
}

#[test]
fn a_claim_that_two_tenants_have_is_found() {
    let mut world = world(1);
    // No order makes this: it is refused before it is logged.
    let mut thief = terms("emil", "alone", "USD", "America/New_York");
    thief.claims = vec!["carl".into()];
    world.decide(Command::SetTenant(thief));
    let usd = Currency::parse("USD").unwrap();
    let found = sheet(world.books(), month(), Some(usd)).unwrap();
    assert!(
        !found.balances && found.verdict.starts_with("does NOT balance, "),
        "{}",
        found.verdict
    );
    assert!(found.verdict.contains("cpu") && !found.faults.is_empty());
}

#[test]
fn the_same_book_changes_nothing_whatever_the_models() {
    let world = world(3);
    let mut ask = what_if::Ask {
        month: month(),
        before: Prices::Real,
        after: Arc::new(PriceBook::parse(BOOK).unwrap()),
        account: None,
        tenant: None,
    };
    let same = what_if(world.books(), &ask).unwrap();
    assert_eq!(
        (same.rows.len(), same.accounts.len()),
        (0, 2),
        "{:?}",
        same.not_rated
    );
    assert_eq!((same.same_rows, &*same.total.difference), (24, "0.00"));
    let other = BOOK.replace("price = \"0.004\"", "price = \"0.4\"");
    ask.after = Arc::new(PriceBook::parse(&other).unwrap());
    let dearer = what_if(world.books(), &ask).unwrap();
    assert!(
        dearer.rows.iter().all(|it| it.item == "writes"),
        "{:?}",
        dearer.rows
    );
    assert_eq!((dearer.rows.len(), dearer.same_rows), (3, 21));
}

/// What an account agreed on, and tiers that it pools, are in what its tenants see (I7).
#[test]
fn a_tenants_bill_is_what_its_account_is_invoiced() {
    const OWN: &str = "format = 1\n[[item]]\nkey = \"writes\"\ntitle = \"Writes\"\nmeters = [\"requests.write\"]\n\
                       unit = \"1000 requests\"\nmodel = \"per_unit\"\nprice = \"0.0007\"\n";
    let bill = |world: &World, tenant: &str, zone: &str| {
        let zone = BillingZone::parse(zone).unwrap();
        let hours = zone.month_hours(month()).unwrap();
        crate::bills::draft(world.books(), tenant, hours, Viewer::Tenant).unwrap()
    };
    let agree = |world: &mut World, account: &str, text: &str| {
        world.decide(Command::SetTerms {
            account: account.into(),
            text: text.into(),
            from: Hour(0),
        });
    };
    for seed in 1..=3 {
        let mut world = world(seed);
        world.decide(Command::SetAccount(Box::new(account(
            "alone",
            "America/New_York",
        ))));
        agree(&mut world, "alone", OWN);
        for (account, tenant, zone) in [
            ("pool", "anna", "Asia/Shanghai"),
            ("pool", "bert", "Asia/Shanghai"),
            ("alone", "carl", "America/New_York"),
            ("abroad", "dora", "UTC"),
        ] {
            let bill = bill(&world, tenant, zone);
            // A percentile is of the month; no hour has a part of it.
            for line in bill.lines.iter().filter(|it| it.item != "peak") {
                let found = explained(&world, (account, tenant, &line.item)).unwrap();
                let invoiced = found.lines.iter().find(|it| it.cause == "usage").unwrap();
                let name = format!("seed {seed}, {tenant}, {}", line.item);
                assert_eq!(line.amount_exact, invoiced.amount_exact, "{name}");
            }
        }
        let agreed = [
            bill(&world, "bert", "Asia/Shanghai"),
            bill(&world, "carl", "America/New_York"),
        ];
        agree(&mut world, "alone", "format = 1\n");
        agree(&mut world, "pool", "format = 1\n");
        let listed = [
            bill(&world, "bert", "Asia/Shanghai"),
            bill(&world, "carl", "America/New_York"),
        ];
        for (agreed, listed) in agreed.iter().zip(&listed) {
            assert_ne!(agreed.subtotal_exact, listed.subtotal_exact, "seed {seed}");
        }
    }
}
