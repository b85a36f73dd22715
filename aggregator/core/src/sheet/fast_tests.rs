//! The fast way against the plain one over random stores: packed days or none, late and replaced usage, usage of nobody, terms
//! of tenants for hours that were sealed, open and final months, accounts in three zones; and whether the two ways that the
//! sheet compares are two.

use std::ops::ControlFlow;

use tallyman_common::codec;
use tallyman_common::ids::{Digest, Owner};
use tallyman_common::time::{Hour, WallMs};

use super::plain::plain;
use super::tests::{BOOK, Random, account, month, terms, usage};
use super::*;
use crate::bills::Books;
use crate::bills::watch::watch_month;
use crate::ingest::Marks;
use crate::log::{encode_decision, position_key};
use crate::memory::MemoryStore;
use crate::ports::{Changes, Read, Store, Table};
use crate::registry::{Command, Decision, Registry, Seller};
use crate::rollup::day::owner_prefix;
use crate::rollup::pack::{note, packed_hours, put};
use crate::rollup::part::{Part as Late, late_key, owner_key};
use crate::seal::packing::next_piece;

/// Items of which nothing is taken off, so that no hour has less than nothing; three meters have no item.
const EASY: &str = r#"
format = 1
name = "Easy"
currency = "USD"
time_zone = "Asia/Shanghai"
[[item]]
key = "cpu"
title = "CPU"
meters = ["cpu.time"]
unit = "CPU-hour"
model = "graduated"
tiers_over = "hour"
tiers = [{ up_to = "0.5", price = "1" }, { price = "0.3" }]
[[item]]
key = "storage"
title = "Storage"
meters = ["storage.capacity", "backup.capacity"]
where = { tier = "high" }
unit = "GiB-hour"
model = "per_unit"
price = "0.001"
[[item]]
key = "peak"
title = "Peak"
meters = ["network.transmit.bytes"]
unit = "Mbit/s"
model = "percentile"
percentile = "95"
price = "7"
[[item]]
key = "looks"
title = "Looks"
meters = ["requests.metadata"]
unit = "1000 requests"
model = "free"
"#;

const CLAIMS: [&str; 7] = ["anna", "bert", "carl", "carl2", "dora", "emil", "stray"];

struct Case {
    random: Random,
    store: MemoryStore,
    registry: Registry,
    marks: Marks,
    position: u64,
    now: WallMs,
    hours: Range<Hour>,
}

impl Case {
    fn books(&self) -> Books<'_> {
        Books {
            store: &self.store,
            registry: &self.registry,
            marks: &self.marks,
            position: self.position,
            now: self.now,
        }
    }

    fn decide(&mut self, command: Command) {
        self.position += 1;
        let decision = Decision {
            position: self.position,
            at: self.now,
            actor: "a".into(),
            source: "s".into(),
            command,
        };
        self.registry.apply(&decision);
        let mut changes = Changes::default();
        let (key, value) = (position_key(self.position), encode_decision(&decision));
        changes.put(Table::Decisions, key, value);
        self.store.commit(&changes).unwrap();
    }

    fn register(&mut self, book: &str) {
        let middle = Hour(self.hours.start.0 + 301);
        self.decide(Command::AddPriceBook {
            text: book.to_owned(),
            from: Hour(0),
        });
        self.decide(Command::AddPriceBook {
            text: book.replace("USD", "EUR"),
            from: Hour(0),
        });
        if self.random.below(2) == 0 {
            let text = book
                .replace("cpu.time", "requests.read")
                .replace("CPU-hour", "request");
            let text = text.replace("key = \"cpu\"", "key = \"reads\"");
            let text = text.replace("[\"cpu\", \"traffic\"]", "[\"reads\"]");
            self.decide(Command::AddPriceBook { text, from: middle });
        }
        let seller = Seller {
            seller: "cloud".into(),
            name: "Cloud".into(),
            address: vec![],
            tax_id: None,
            contact: vec![],
            bank: vec![],
            prefix: "INV".into(),
        };
        self.decide(Command::SetSeller(Box::new(seller)));
        for (key, zone) in [("pool", "Asia/Shanghai"), ("alone", "America/New_York")] {
            self.decide(Command::SetAccount(Box::new(account(key, zone))));
        }
        if self.random.below(2) == 0 {
            self.decide(Command::SetTerms {
                account: "pool".into(),
                text: "format = 1\npools = true\n".into(),
                from: Hour(0),
            });
        }
        for (tenant, account, currency, zone) in [
            ("anna", "pool", "USD", "Asia/Shanghai"),
            ("bert", "pool", "USD", "Asia/Shanghai"),
            ("carl", "alone", "USD", "America/New_York"),
            ("dora", "abroad", "EUR", "UTC"),
            ("emil", "unregistered", "USD", "UTC"),
        ] {
            self.decide(Command::SetTenant(terms(tenant, account, currency, zone)));
        }
        let mut more = terms("carl", "alone", "USD", "America/New_York");
        (more.claims, more.from) = (vec!["carl".into(), "carl2".into()], middle);
        self.decide(Command::SetTenant(more));
    }

    fn owners() -> Vec<Owner> {
        let claims = CLAIMS.iter().map(|it| Owner::claim(it).unwrap());
        claims.chain([Owner::Unattributed, Owner::Host]).collect()
    }

    fn fill(&mut self, is_plain: bool) {
        let mut changes = Changes::default();
        for hour in self.hours.start.0 - 24..self.hours.end.0 + 24 {
            for owner in Self::owners() {
                if self.random.below(4) == 0 {
                    let value = self.value(is_plain);
                    changes.put(Table::Cells, owner_key(Hour(hour), &owner), value);
                }
            }
        }
        self.store.commit(&changes).unwrap();
    }

    fn value(&mut self, is_plain: bool) -> Vec<u8> {
        let mut value = usage(&mut self.random);
        if is_plain {
            // Nothing inferred, so that the hour's sums are packed.
            for set in value.sets.iter_mut() {
                set.cells.retain(|it| it.kind == crate::rollup::cell::KIND_SUM);
            }
        }
        codec::encode(&value)
    }

    fn seal(&mut self, until: Hour) {
        for hour in (self.hours.start.0 - 30..until.0).map(Hour) {
            let (values, digest, upto) = (0, Digest::default(), 0);
            self.decide(Command::SealHour {
                hour,
                values,
                digest,
                upto,
            });
        }
    }

    fn pack(&mut self, pieces: u64) {
        let mut cursor = None;
        for _ in 0..pieces {
            let piece = next_piece(&self.store, &self.registry, cursor.as_ref()).unwrap();
            let Some(piece) = piece else { return };
            cursor = piece.next.clone().map(|from| (piece.until, from));
            let mut changes = Changes::default();
            put(piece, packed_hours(&self.store).unwrap(), &mut changes);
            self.store.commit(&changes).unwrap();
        }
    }

    /// Late parts and replaced values, with the notes that their writers make.
    fn disturb(&mut self, is_plain: bool) {
        let sealed = self.registry.seals.newest().unwrap();
        let mut changes = Changes::default();
        for _ in 0..self.random.below(12) {
            let back = u32::try_from(self.random.below(700)).unwrap();
            let hour = Hour(sealed.0 - back);
            let owners = Self::owners();
            let owner = &owners[usize::try_from(self.random.below(9)).unwrap()];
            let late = (self.random.below(4) > 0).then_some(sealed);
            let part = Late { hour, late };
            changes.put(Table::Cells, owner_key(part, owner), self.value(is_plain));
            if let Some(key) = late_key(part, owner) {
                changes.put(Table::LateParts, key, Vec::new());
            }
            note(owner, hour, &mut changes);
        }
        self.store.commit(&changes).unwrap();
    }
}

fn case(seed: u64) -> Case {
    let hours = BillingZone::utc().month_hours(month()).unwrap();
    let mut random = Random(seed * 7_919 + 1);
    for _ in 0..9 {
        random.next();
    }
    let is_open = seed.is_multiple_of(3);
    let end = if is_open {
        hours.start.0 + 400
    } else {
        hours.end.0 + 20
    };
    let mut case = Case {
        random,
        store: MemoryStore::default(),
        registry: Registry::default(),
        marks: Marks::default(),
        position: 0,
        now: Hour(end + 3).start(),
        hours,
    };
    let is_plain = !seed.is_multiple_of(5);
    case.register(if seed.is_multiple_of(4) { BOOK } else { EASY });
    case.fill(is_plain);
    case.seal(Hour(end));
    let pieces = [0, 9, 99][usize::try_from(case.random.below(3)).unwrap()];
    case.pack(pieces);
    case.disturb(is_plain);
    case.pack(pieces);
    if seed.is_multiple_of(2) {
        // For hours that were sealed: what was nobody's becomes a tenant's.
        let mut finn = terms("finn", "alone", "USD", "America/New_York");
        (finn.claims, finn.from) = (vec!["stray".into()], Hour(case.hours.start.0 + 207));
        case.decide(Command::SetTenant(finn));
    }
    case
}

/// How many accounts are rated together.
fn together(closing: &Closing<'_>) -> usize {
    let past = closing.prepared.past(closing.who.books.store);
    let is_whole = |payer: &&Payer| {
        let of = (*payer, closing.of.month);
        at_month(closing.who.books, of, (View::Billed, &past), |it| {
            let chosen = (&it.payees[..], &it.versions);
            let when = (&it.zone, &it.hours);
            let whole = watch_month(it.books, chosen, when, it.terms.pools, &mut |_, _| Some(()))?;
            Ok::<_, SheetError>(whole)
        })
    };
    closing.payers().iter().filter(|it| is_whole(it).unwrap()).count()
}

/// Protects: who reads the sheet of the fast way reads the plain one's, digit by digit, and it balances.
#[test]
fn the_fast_sheet_is_the_plain_one() {
    let (mut whole, mut late, mut nobodys) = (0, 0, 0);
    for seed in 0..30 {
        let case = case(seed);
        let usd = Some(Currency::parse("USD").unwrap());
        let fast = sheet(case.books(), month(), usd).unwrap();
        assert_eq!(fast, plain(case.books(), month(), usd).unwrap(), "seed {seed}");
        assert!(fast.balances, "seed {seed}: {}", fast.verdict);
        assert_eq!(fast.is_final, !seed.is_multiple_of(3), "seed {seed}");
        let closing = Closing::begin(case.books(), month(), usd).unwrap();
        whole += together(&closing);
        late += fast.rows.iter().filter(|it| it.usage.late != "0").count();
        nobodys += fast.rows.iter().filter(|it| it.usage.unattributed != "0").count();

        // Pieces come from any thread in any order.
        let mut sums = [Metered::default(), Metered::default()];
        for (at, piece) in closing.pieces().iter().enumerate().rev() {
            closing.add_metered(&mut sums[at % 2], piece).unwrap();
        }
        let parts = closing.payers().chunks(1).map(|it| closing.billed(it).unwrap());
        let parts = parts.collect();
        assert_eq!(closing.together(&sums, parts).unwrap(), fast, "seed {seed}");
    }
    assert!(
        whole > 20 && late > 20 && nobodys > 60,
        "{whole} accounts together, {late} rows with late usage, {nobodys} with usage of nobody"
    );
}

/// Protects: the sheet compares two ways. Were a packed day not what its cells are, invoices would be wrong, and nothing but
/// the sheet would say so.
#[test]
fn a_packed_day_that_is_not_its_cells_is_found() {
    let mut case = case(1);
    case.pack(99);
    let usd = Some(Currency::parse("USD").unwrap());
    assert!(sheet(case.books(), month(), usd).unwrap().balances);
    let prefix = owner_prefix(&Owner::claim("carl").unwrap());
    let mut days = Vec::new();
    let end = [&prefix[..], &[u8::MAX; 5]].concat();
    let see = &mut |key: &[u8], value: &[u8]| {
        days.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    case.store.scan(Table::Days, &prefix, &end, see).unwrap();
    let days: Vec<_> = days.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let mut changes = Changes::default();
    changes.put(Table::Days, days[9].0.clone(), days[10].1.clone());
    case.store.commit(&changes).unwrap();
    let found = sheet(case.books(), month(), usd).unwrap();
    assert!(!found.balances, "{}", found.verdict);
    assert!(found.verdict.contains("cpu"), "{}", found.verdict);
    assert!(
        plain(case.books(), month(), usd).unwrap().balances,
        "it reads no packed day"
    );
}
