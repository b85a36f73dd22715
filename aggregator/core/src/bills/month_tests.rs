//! Months from packed days against months hour by hour from cells, over random books and usage: the same to the last
//! digit, or hour by hour.

use std::fmt::Write as _;

use tallyman_common::codec;
use tallyman_common::ids::{BootId, Digest, NodeId, Owner, Seq, SpoolId};
use tallyman_common::meter::Meter;
use tallyman_common::time::{BootMs, HOUR_MS, WallMs};
use tallyman_common::wire::Header;

use super::*;
use crate::ingest::Marks;
use crate::memory::MemoryStore;
use crate::ports::{Changes, Store, Table};
use crate::registry::{Account, Command, Decision, Registry, TenantTerms};
use crate::rollup::cell::{Cell, KIND_INFERRED, KIND_MAXIMUM, KIND_SUM, KIND_WITHDRAWN, NodeHour, OwnerHour};
use crate::rollup::pack::{note, put};
use crate::rollup::part::{Part, node_hour_key, owner_key};
use crate::seal::packing::next_piece;

const NODES: [NodeId; 3] = [NodeId([1; 16]), NodeId([2; 16]), NodeId([3; 16])];
const METERS: [u16; 6] = [1, 10, 13, 31, 50, 60];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn usage(&mut self) -> u128 {
        let bits = if self.one_in(100_000) { 80 } else { self.below(52) };
        u128::from(self.next()) << 16 >> (80 - bits)
    }
}

struct Case {
    random: Random,
    store: MemoryStore,
    registry: Registry,
    marks: Marks,
    position: u64,
    month: Range<Hour>,
    zone: BillingZone,
    now: WallMs,
    text: String,
}

impl Case {
    fn decide(&mut self, command: Command) {
        self.position += 1;
        self.registry.apply(&Decision {
            position: self.position,
            at: self.month.start.start(),
            actor: String::new(),
            source: String::new(),
            command,
        });
    }

    fn books(&self) -> Books<'_> {
        Books {
            store: &self.store,
            registry: &self.registry,
            marks: &self.marks,
            position: self.position,
            now: self.now,
        }
    }

    fn commit(&mut self, changes: &Changes) {
        self.store.commit(changes).unwrap();
    }

    fn hour(&mut self) -> Hour {
        let (start, end) = (self.month.start.0 - 30, self.month.end.0 + 30);
        Hour(start + u32::try_from(self.random.below(u64::from(end - start))).unwrap())
    }

    /// A part of an owner's hour, with everything that cells can have.
    fn value(&mut self, plain: bool) -> OwnerHour {
        let mut value = OwnerHour {
            upto: 1,
            ..OwnerHour::default()
        };
        let random = &mut self.random;
        let (node, seq): (NodeId, Seq) = (random.pick(&NODES), 1 + random.below(9));
        value.trace(node, SpoolId([9; 16]), seq, 1 << random.below(60));
        for _ in 0..random.below(7) {
            let group = random.pick(&["default", "other"]).into();
            let dims: &[(String, String)] = match random.below(4) {
                0 => &[("tier".to_owned(), "high".to_owned())],
                1 => &[
                    ("region".to_owned(), "east".to_owned()),
                    ("tier".to_owned(), "low".to_owned()),
                ],
                _ => &[],
            };
            let kind = match random.below(if plain { 8 } else { 40 }) {
                8 => KIND_INFERRED,
                9 => KIND_WITHDRAWN,
                0 => KIND_MAXIMUM,
                _ => KIND_SUM,
            };
            let meter = Meter(random.pick(&METERS));
            let amount = random.usage();
            let cell: &mut Cell = value.set_mut(&group, dims).cell_mut(meter, kind);
            cell.value = amount;
            if random.one_in(50) {
                cell.causes = 2;
            }
        }
        // What was taken back had been inferred, mostly.
        let broken = random.one_in(5_000);
        for set in value.sets.iter_mut() {
            let taken = set.cells.iter().filter(|it| it.kind == KIND_WITHDRAWN);
            let taken: Vec<(Meter, u128)> = taken.map(|it| (it.meter, it.value)).collect();
            for (meter, amount) in taken.into_iter().filter(|_| !broken) {
                set.cell_mut(meter, KIND_INFERRED).value = amount + 1;
            }
        }
        value
    }

    fn fill(&mut self) {
        let (mut changes, plain) = (Changes::default(), !self.random.one_in(3));
        for name in ["a", "b", "c"] {
            let owner = Owner::claim(name).unwrap();
            let dense = self.random.one_in(2);
            for hour in self.month.start.0 - 30..self.month.end.0 + 30 {
                if dense || self.random.one_in(5) {
                    let value = self.value(plain);
                    changes.put(Table::Cells, owner_key(Hour(hour), &owner), codec::encode(&value));
                }
            }
        }
        for node in NODES {
            let whole = self.random.one_in(2);
            for hour in self.month.start.0 - 60..self.month.end.0 + 30 {
                let minutes = if whole || !self.random.one_in(9) {
                    (1 << 60) - 1
                } else {
                    self.random.next() >> 4
                };
                let stops = match self.random.one_in(20) {
                    true => vec![WallMs(Hour(hour).start().0 + self.random.below(HOUR_MS))],
                    false => Vec::new(),
                };
                let value = NodeHour {
                    upto: 1,
                    minutes,
                    batches: 1,
                    stops,
                };
                changes.put(
                    Table::NodeHours,
                    node_hour_key(Hour(hour), node),
                    codec::encode(&value),
                );
            }
            let header = header(node, &self.month);
            self.marks.node_mut(node).note(&header, WallMs(0), None);
        }
        self.commit(&changes);
    }

    fn register(&mut self, seed: u64) {
        let terms = |tenant: &str, claims: &[&str], from: u32| {
            Command::SetTenant(TenantTerms {
                tenant: tenant.into(),
                name: tenant.into(),
                claims: claims.iter().map(|it| (*it).to_owned()).collect(),
                account: "acme".into(),
                zone: self.zone.name().into(),
                currency: "USD".into(),
                language: "en".into(),
                from: Hour(from),
            })
        };
        let change = self.month.start.0 + u32::try_from(seed % 700).unwrap();
        let tenants = [
            terms("one", &["a"], 0),
            terms("one", &["a", "b"], change),
            terms("two", &["c"], 0),
        ];
        tenants.into_iter().for_each(|it| self.decide(it));
        // Its month's end is packed before the day's.
        let account = Account {
            account: "acme".into(),
            organisation: None,
            name: "Acme".into(),
            seller: "cloud".into(),
            currency: "USD".into(),
            zone: self.zone.name().into(),
            language: "en".into(),
            address: vec![],
            tax_id: None,
            contact: vec![],
            due_days: 30,
        };
        self.decide(Command::SetAccount(Box::new(account)));
    }

    fn add_books(&mut self, seed: u64) {
        let hard = self.random.one_in(2);
        let first = match self.random.one_in(20) {
            true => self.month.start.0 + 5,
            false => 0,
        };
        for from in [first, self.month.start.0 + 333] {
            let name = format!("B{from}-{}", seed % 10);
            let text = book(&mut self.random, &name, hard);
            self.text += &text;
            if from == first || self.random.one_in(2) {
                self.decide(Command::AddPriceBook {
                    text,
                    from: Hour(from),
                });
            }
        }
    }

    fn seal(&mut self) {
        let seal_from = self.month.start.0 - u32::try_from(self.random.below(40)).unwrap();
        let seal_to = match self.random.one_in(3) {
            true => self.month.end.0 - u32::try_from(self.random.below(700)).unwrap(),
            false => self.month.end.0,
        };
        for hour in seal_from..seal_to {
            let (hour, values, digest, upto) = (Hour(hour), 0, Digest::default(), 0);
            self.decide(Command::SealHour {
                hour,
                values,
                digest,
                upto,
            });
        }
    }

    /// Late parts, and values that were replaced, both with the note that their writers make.
    fn disturb(&mut self) {
        let Some(sealed) = self.registry.seals.newest() else {
            return;
        };
        let mut changes = Changes::default();
        for _ in 0..self.random.below(6) {
            let (hour, owner) = (
                self.hour(),
                Owner::claim(self.random.pick(&["a", "b", "c"])).unwrap(),
            );
            if hour > sealed {
                continue;
            }
            let late = Some(Hour(hour.0.max(sealed.0 - 40) + self.random.below(80) as u32));
            let part = match self.random.one_in(3) {
                true => hour.into(),
                false => Part { hour, late },
            };
            let value = self.value(true);
            changes.put(Table::Cells, owner_key(part, &owner), codec::encode(&value));
            note(&owner, hour, &mut changes);
        }
        self.commit(&changes);
    }

    fn pack(&mut self, days: u64) {
        let mut cursor = None;
        for _ in 0..days {
            let piece = next_piece(&self.store, &self.registry, cursor.as_ref()).unwrap();
            let Some(piece) = piece else { return };
            cursor = piece.next.clone().map(|from| (piece.until, from));
            let mut changes = Changes::default();
            put(piece, packed_hours(&self.store).unwrap(), &mut changes);
            self.commit(&changes);
        }
    }
}

fn header(node: NodeId, month: &Range<Hour>) -> Header {
    Header {
        version: tallyman_common::wire::VERSION,
        node,
        spool: SpoolId([9; 16]),
        partition: 0,
        seq: 1,
        prev_digest: Digest::default(),
        boot: BootId([1; 16]),
        boot_start: BootMs(0),
        boot_end: BootMs(HOUR_MS),
        wall_start: month.start.start(),
        wall_end: month.start.end(),
        part: 0,
        parts: 1,
        flags: 0,
        mapping_revision: 1,
        cpus: 1,
        leaves: 1,
        root: Digest::default(),
        raw_bytes: 0,
        codec: 0,
    }
}

fn price(random: &mut Random) -> String {
    random
        .pick(&["1", "0.5", "0.000012", "0.000000000001", "3.25", "0", "12345.678"])
        .to_owned()
}

fn tiers(random: &mut Random, amounts: bool) -> String {
    let mut text = "tiers = [".to_owned();
    let mut bound = 0;
    for _ in 0..random.below(4) {
        bound += 1 + random.below(1_000);
        let fraction = random.pick(&["", ".5", ".000000001"]);
        let (price, fee) = (price(random), if random.one_in(3) { ", fee = \"7\"" } else { "" });
        match amounts {
            true => write!(
                text,
                "{{ up_to = \"{bound}{fraction}\", amount = \"{price}\" }}, "
            ),
            false => write!(
                text,
                "{{ up_to = \"{bound}{fraction}\", price = \"{price}\"{fee} }}, "
            ),
        }
        .unwrap();
    }
    let key = if amounts { "amount" } else { "price" };
    text + &format!("{{ {key} = \"{}\" }}]\n", price(random))
}

/// How an item is charged.
fn charge(random: &mut Random, hard: bool) -> String {
    let over = random.pick(&["hour", "day", "month"]);
    match random.below(if hard { 9 } else { 4 }) {
        0 => "model = \"free\"\n".to_owned(),
        1 => format!("model = \"per_unit\"\nprice = \"{}\"\n", price(random)),
        2 | 3 => format!(
            "model = \"graduated\"\ntiers_over = \"hour\"\n{}",
            tiers(random, false)
        ),
        4 => format!(
            "model = \"graduated\"\ntiers_over = \"{over}\"\n{}",
            tiers(random, false)
        ),
        5 => format!(
            "model = \"volume\"\ntiers_over = \"{over}\"\n{}",
            tiers(random, false)
        ),
        6 => format!(
            "model = \"stairstep\"\ntiers_over = \"{over}\"\n{}",
            tiers(random, true)
        ),
        7 => format!("model = \"package\"\nprice = \"2\"\nsize = \"10\"\npackage_over = \"{over}\"\n"),
        _ => format!(
            "model = \"per_unit\"\nprice = \"{}\"\nat_least = \"3\"\nallowance = \"100\"\nallowance_over = \"{over}\"\n",
            price(random)
        ),
    }
}

/// A book with items of all models; `hard` ones too that depend on other hours or items.
fn book(random: &mut Random, name: &str, hard: bool) -> String {
    let mut text = format!("format = 1\nname = \"{name}\"\ncurrency = \"USD\"\n");
    let units = [
        ("cpu.time", "CPU-second"),
        ("memory.current", "GiB-second"),
        ("network.transmit.bytes", "GiB"),
        ("storage.capacity", "GiB-hour"),
        ("requests.read", "10000 requests"),
        ("requests.read", "request"),
    ];
    for (at, (meter, unit)) in units.into_iter().enumerate() {
        if random.one_in(4) {
            continue;
        }
        writeln!(
            text,
            "[[item]]\nkey = \"i{at}\"\ntitle = \"I\"\nmeters = [\"{meter}\"]"
        )
        .unwrap();
        if meter == "memory.current" && random.one_in(9) {
            text += "minus = [\"memory.inactive_file\"]\n";
        }
        if random.one_in(4) {
            text += "where = { tier = \"high\" }\n";
        }
        if meter == "network.transmit.bytes" && name.ends_with('8') {
            writeln!(
                text,
                "unit = \"Mbit/s\"\nmodel = \"percentile\"\npercentile = \"95\"\nprice = \"2\""
            )
            .unwrap();
            continue;
        }
        writeln!(text, "unit = \"{unit}\"").unwrap();
        text += &charge(random, hard);
    }
    if hard && random.one_in(3) && text.contains("i0") {
        text += "[[item]]\nkey = \"share\"\ntitle = \"S\"\nmodel = \"percent_of_amount\"\nof = [\"i0\"]\npercent = \"100\"\n";
    }
    if random.one_in(2) {
        text +=
            "[[discount]]\nkey = \"d\"\ntitle = \"D\"\npercent = \"10\"\nfrom = \"2025-10-13T00:00:00Z\"\n";
        text += "until = \"2025-10-13T05:00:00Z\"\n";
    }
    text
}

fn case(seed: u64) -> Case {
    let mut random = Random(seed);
    let zone = random.pick(&["UTC", "Asia/Shanghai", "America/New_York"]);
    let zone = BillingZone::parse(zone).unwrap();
    let month = zone
        .month_hours(crate::rating::Month::parse("2025-10").unwrap())
        .unwrap();
    let now = match random.one_in(4) {
        true => WallMs(month.start.start().0 + random.below(744 * HOUR_MS)),
        false => WallMs(month.end.start().0 + 72 * HOUR_MS),
    };
    let mut case = Case {
        random,
        store: MemoryStore::default(),
        registry: Registry::default(),
        marks: Marks::default(),
        position: 0,
        month,
        zone,
        now,
        text: String::new(),
    };
    case.register(seed);
    case.add_books(seed);
    case.fill();
    case.seal();
    let days = case.random.pick(&[0, 7, 40, 40, 40]);
    case.pack(days);
    case.disturb();
    let days = case.random.pick(&[0, 40]);
    case.pack(days);
    case
}

/// Protects: who is billed from packed days pays what the cells say, to the last digit, and nothing that is wrong is passed
/// over.
#[test]
fn packed_months_are_those_of_their_cells() {
    let (mut fast, mut refused) = (0, 0);
    for seed in 0..120 {
        let mut case = case(seed);
        let pools = case.random.one_in(2);
        let Some(versions) = case.registry.books_of("USD") else {
            continue;
        };
        let payees: Vec<Payee> = ["one", "two"]
            .into_iter()
            .map(|tenant| Payee {
                tenant: tenant.to_owned(),
                books: versions.clone(),
            })
            .collect();
        let (books, month) = (case.books(), case.month.clone());
        let slow = by_hour(books, (&payees, &versions), &case.zone, month.clone(), pools);
        let run = Run {
            books,
            packed: packed_hours(&case.store).unwrap(),
            zone: &case.zone,
            month: &month,
            hours: month.start..month.end.min(case.now.hour().next()),
            pools,
        };
        match run.rate(&payees, &versions, None) {
            Ok(usage) => {
                assert_eq!(Ok(&usage), slow.as_ref(), "seed {seed}\n{}", case.text);
                fast += 1;
            }
            Err(Stop::ByHour) => refused += 1,
            Err(Stop::Fold(_)) => assert!(slow.is_err(), "seed {seed}"),
        }
        let Ok(slow) = slow else { continue };
        if seed % 4 != 0 {
            continue;
        }
        let again = rate_month(books, (&payees, &versions), &case.zone, month.clone(), pools);
        assert_eq!(again.as_ref(), Ok(&slow), "seed {seed}");
        let hours = rate_account(books, (&payees, &versions), &case.zone, month.clone(), pools)
            .unwrap()
            .hours;
        let wanted = completeness::of(books, &hours, month.clone(), Viewer::Tenant).unwrap();
        let common = [
            Common::read(books).unwrap(),
            Common::read_for_many(books, std::slice::from_ref(&month)).unwrap(),
        ];
        for common in common {
            let found = common.completeness(books, &slow, &month, Viewer::Tenant).unwrap();
            assert_eq!(found, wanted, "seed {seed}");
        }
    }
    assert!(
        fast > 60 && refused > 5,
        "{fast} from packed days, {refused} hour by hour"
    );
}
