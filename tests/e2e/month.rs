//! A store with a sealed month, for the measurements and for the tests of invoices: nodes, tenants, accounts, prices, and
//! the cells as the rollup writes them. No batches: the log of usage is neither measured nor tested, so nothing here would be
//! the fold of it.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result};
use tallyman_aggregator::io::rocks::RocksStore;
use tallyman_aggregator_core::accounts::MoneyCommand;
use tallyman_aggregator_core::accounts::run::{self, Prepared};
use tallyman_aggregator_core::aggregator::{Aggregator, Answer, Asker, Event, initialise};
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::ingest::Marks;
use tallyman_aggregator_core::log::{encode_decision, position_key};
use tallyman_aggregator_core::ports::{Changes, Store, Table};
use tallyman_aggregator_core::rating::{BillingZone, Month};
use tallyman_aggregator_core::registry::{Account, Command, Decision, Seller, TenantTerms};
use tallyman_aggregator_core::restart::{META_FLOOR, META_POSITION, read_marks};
use tallyman_aggregator_core::rollup::cell::{Addition, KIND_SUM, NodeHour, OwnerHour};
use tallyman_aggregator_core::rollup::day::{UtcDay, day_key, owner_prefix};
use tallyman_aggregator_core::rollup::pack::{Piece, packed_hours, put};
use tallyman_aggregator_core::rollup::packer::Packer;
use tallyman_aggregator_core::rollup::part::{node_hour_key, owner_key};
use tallyman_aggregator_core::seal::digest_of;
use tallyman_common::codec;
use tallyman_common::ids::{BootId, Digest, NodeId, Owner, SpoolId, StoreId};
use tallyman_common::meter::Meter;
use tallyman_common::record::State;
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{BootMs, HOUR_MS, Hour, WallMs};
use tallyman_common::wire::Header;

use super::site::month_name;
use crate::sim::rng::Rng;

/// Where every account is.
pub const ZONE: &str = "Asia/Shanghai";
/// The shipped example: storage tiered by the hour, a share of its prices, per unit, free, by dimension.
const PRICES: &str = include_str!("../../deploy/price-books/storage-cny.toml");
/// Tenants that share a node.
const TENANTS_PER_NODE: usize = 100;
/// With more, only packed days are stored.
pub const WITH_CELLS_MAX: usize = 20_000;
/// Packed days in one commit.
const COMMIT_DAYS: usize = 10_000;
const GRACE_MS: u64 = 72 * HOUR_MS;
const MINUTES: u64 = (1 << 60) - 1;
const GIB_HOUR: u128 = (1 << 30) * 3_600_000;

/// A month of the accounts here, and its hours.
pub fn hours(name: &str) -> Result<(Month, Range<Hour>)> {
    let month = Month::parse(name)?;
    let hours = BillingZone::parse(ZONE)?.month_hours(month)?;
    Ok((month, hours))
}

/// A month that is final whatever day it is, and whose invoices, if they were issued in time, are overdue by now.
pub fn final_month() -> Result<(Month, Range<Hour>)> {
    let month = Month::parse(&month_name())?.previous()?.previous()?.previous()?;
    hours(&month.to_string())
}

/// Key of a tenant, and of its account.
pub fn tenant(number: usize) -> String {
    format!("tenant-{number:06}")
}

/// Puts everything into an empty store; `hours`, up to the end of a month, have usage and are sealed.
pub fn fill(store: &mut RocksStore, tenants: usize, hours: Range<Hour>) -> Result<()> {
    initialise(store, StoreId([7; 16]))?;
    let mut log = Log::default();
    let nodes = nodes(tenants);
    register(&mut log, &nodes, tenants, hours.start);
    log.put_marks(&nodes, &hours);
    store.commit(&std::mem::take(&mut log.changes))?;
    if tenants > WITH_CELLS_MAX {
        pack(store, &nodes, tenants, &hours)?;
    }
    for hour in (hours.start.0..hours.end.0).map(Hour) {
        let with_cells = if tenants > WITH_CELLS_MAX { 0 } else { tenants };
        store.commit(&cells(hour, &nodes, with_cells))?;
        let (values, digest) = digest_of(store, hour)?;
        let upto = log.position;
        log.decide(
            WallMs(hour.end().0 + GRACE_MS),
            Command::SealHour {
                hour,
                values,
                digest,
                upto,
            },
        );
        store.commit(&std::mem::take(&mut log.changes))?;
    }
    Ok(())
}

/// Puts everybody and the cells of one open hour into an empty store.
pub fn fill_hour(store: &mut RocksStore, tenants: usize, hour: Hour) -> Result<()> {
    initialise(store, StoreId([7; 16]))?;
    let mut log = Log::default();
    let nodes = nodes(tenants);
    register(&mut log, &nodes, tenants, hour);
    log.put_marks(&nodes, &(hour..hour.next()));
    store.commit(&std::mem::take(&mut log.changes))?;
    store.commit(&cells(hour, &nodes, tenants))?;
    Ok(())
}

/// Gives every account its invoice of a month as soon as it is final.
pub fn issue(store: &mut RocksStore, month: Month) -> Result<()> {
    let (_, hours) = hours(&month.to_string())?;
    let now = WallMs(hours.end.start().0 + GRACE_MS + HOUR_MS);
    let mut aggregator = Aggregator::open(store, now)?;
    let (registry, marks) = (aggregator.registry().clone(), read_marks(store)?);
    let books = Books {
        store,
        registry: &registry,
        marks: &marks,
        position: aggregator.position(),
        now,
    };
    let accounts: Vec<String> = run::accounts(&registry).into_iter().collect();
    let drafted = run::drafts_of(books, &Prepared::read(books, month)?, &accounts)?;
    let command = MoneyCommand::IssueInvoices {
        month: month.to_string(),
        documents: drafted.drafts,
    };
    let (actor, source) = ("clock".to_owned(), "aggregator".to_owned());
    let event = Event::Money(0, Asker { actor, source }, Box::new(command));
    aggregator.step(now, event, store)?;
    match aggregator.commit(now, true, store)?.into_inner().pop() {
        Some((_, Answer::Booked(booked))) => {
            anyhow::ensure!(booked.documents.len() == accounts.len(), "{booked:?}");
            Ok(())
        }
        other => anyhow::bail!("nothing was issued: {other:?}"),
    }
}

/// The packed days of cells that are not stored themselves: with very many tenants they would take longer to write than all
/// else, and the run reads none of them.
fn pack(store: &mut RocksStore, nodes: &[NodeId], tenants: usize, hours: &Range<Hour>) -> Result<()> {
    let group: Arc<str> = "default".into();
    let mut day = UtcDay::of(hours.start).0;
    let mut packed = Hour(0)..Hour(0);
    while day.start() < hours.end {
        let until = day.next().start().min(hours.end);
        let mut changes = Changes::default();
        for number in 0..tenants {
            let owner = Owner::claim(&tenant(number)).expect("a plain name");
            let mut packer = Packer::default();
            for hour in (day.start().max(hours.start).0..until.0).map(Hour) {
                let value = owner_hour(&group, nodes[number / TENANTS_PER_NODE], number, hour);
                packer.add(UtcDay::of(hour).1, &value);
            }
            changes.put(Table::Days, day_key(&owner_prefix(&owner), day), packer.finish());
            if number % COMMIT_DAYS == 0 {
                store.commit(&std::mem::take(&mut changes))?;
            }
        }
        let (rows, next) = (Vec::new(), None);
        put(Piece { until, rows, next }, packed, &mut changes);
        store.commit(&changes)?;
        packed = packed_hours(store)?;
        day = day.next();
    }
    Ok(())
}

#[derive(Default)]
struct Log {
    position: u64,
    changes: Changes,
}

impl Log {
    fn decide(&mut self, at: WallMs, command: Command) {
        self.position += 1;
        let (actor, source) = ("bench".to_owned(), "bench".to_owned());
        let position = self.position;
        let decision = Decision {
            position,
            at,
            actor,
            source,
            command,
        };
        self.changes.put(
            Table::Decisions,
            position_key(position),
            encode_decision(&decision),
        );
        for key in [META_POSITION, META_FLOOR] {
            self.changes
                .put(Table::Meta, key.to_vec(), position.to_be_bytes().to_vec());
        }
    }

    fn put_marks(&mut self, nodes: &[NodeId], hours: &Range<Hour>) {
        let mut marks = Marks::default();
        for node in nodes {
            marks
                .node_mut(*node)
                .note(&window(*node, hours), hours.end.start(), None);
            self.changes
                .put(Table::Marks, node.0.to_vec(), marks.encode(*node));
        }
    }
}

/// One window over the whole time.
fn window(node: NodeId, hours: &Range<Hour>) -> Header {
    let length = u64::from(hours.end.0 - hours.start.0) * HOUR_MS;
    Header {
        version: tallyman_common::wire::VERSION,
        node,
        spool: spool(node),
        partition: 0,
        seq: 1,
        prev_digest: Digest::default(),
        boot: BootId(node.0),
        boot_start: BootMs(0),
        boot_end: BootMs(length),
        wall_start: hours.start.start(),
        wall_end: hours.end.start(),
        part: 0,
        parts: 1,
        flags: 0,
        mapping_revision: 1,
        cpus: 64,
        leaves: 1,
        root: Digest::default(),
        raw_bytes: 0,
        codec: 0,
    }
}

fn key_of(number: usize) -> NodeKey {
    NodeKey::from_seed(&Digest::of(&[b"bench node", &number.to_le_bytes()]).0)
}

fn nodes(tenants: usize) -> Vec<NodeId> {
    let count = tenants.div_ceil(TENANTS_PER_NODE);
    (0..count)
        .map(|n| NodeId::of_key(&key_of(n).public().to_bytes()))
        .collect()
}

fn spool(node: NodeId) -> SpoolId {
    SpoolId(node.0)
}

fn register(log: &mut Log, nodes: &[NodeId], tenants: usize, from: Hour) {
    let at = from.start();
    for (number, node) in nodes.iter().enumerate() {
        let signing_key = key_of(number).public().to_bytes();
        let host_name = format!("host-{number}");
        log.decide(
            at,
            Command::ReadmitNode {
                node: *node,
                signing_key,
                host_name,
            },
        );
    }
    let seller = Seller {
        seller: "cloud".into(),
        name: "云海存储有限公司".into(),
        address: vec!["上海市浦东新区世纪大道 100 号".into()],
        tax_id: Some("91310000000000000X".into()),
        contact: vec!["billing@example.com".into()],
        bank: vec!["6222 0000 0000 0000".into()],
        prefix: "INV".into(),
    };
    log.decide(at, Command::SetSeller(Box::new(seller)));
    log.decide(
        at,
        Command::AddPriceBook {
            text: PRICES.to_owned(),
            from,
        },
    );
    for number in 0..tenants {
        let key = tenant(number);
        log.decide(at, Command::SetTenant(terms(&key, from)));
        log.decide(at, Command::SetAccount(Box::new(account(&key))));
    }
}

fn terms(key: &str, from: Hour) -> TenantTerms {
    TenantTerms {
        tenant: key.to_owned(),
        name: format!("Customer {key}"),
        claims: vec![key.to_owned()],
        account: key.to_owned(),
        zone: ZONE.into(),
        currency: "CNY".into(),
        language: "zh".into(),
        from,
    }
}

fn account(key: &str) -> Account {
    Account {
        account: key.to_owned(),
        organisation: None,
        name: format!("{key} Limited"),
        seller: "cloud".into(),
        currency: "CNY".into(),
        zone: ZONE.into(),
        language: "zh".into(),
        address: vec!["北京市海淀区中关村大街 1 号".into()],
        tax_id: None,
        contact: vec![format!("{key}@example.com")],
        due_days: 30,
    }
}

/// An hour of every owner and node.
fn cells(hour: Hour, nodes: &[NodeId], tenants: usize) -> Changes {
    let mut changes = Changes::default();
    let group: Arc<str> = "default".into();
    for number in 0..tenants {
        let owner = Owner::claim(&tenant(number)).expect("a plain name");
        let node = nodes[number / TENANTS_PER_NODE];
        let value = owner_hour(&group, node, number, hour);
        changes.put(Table::Cells, owner_key(hour, &owner), codec::encode(&value));
    }
    for node in nodes {
        let value = NodeHour {
            upto: 1,
            minutes: MINUTES,
            batches: 60,
            stops: Vec::new(),
        };
        changes.put(
            Table::NodeHours,
            node_hour_key(hour, *node),
            codec::encode(&value),
        );
    }
    changes
}

/// Eight meters of one owner: what it holds moves slowly, what it does moves fast.
fn owner_hour(group: &Arc<str>, node: NodeId, number: usize, hour: Hour) -> OwnerHour {
    let mut value = OwnerHour {
        upto: 1,
        ..OwnerHour::default()
    };
    value.trace(node, spool(node), u64::from(hour.0) * 60, MINUTES);
    value.traces[0].batches[0].2 += 59;
    let mut random = Rng::new((number as u64) << 32 | u64::from(hour.0));
    let held = |random: &mut Rng, base: u128| base + u128::from(random.bits() >> 12);
    let size = 10 + (number as u128 % 97) * (number as u128 % 31);
    let used: [(u16, bool, u128); 8] = [
        (50, false, held(&mut random, size * GIB_HOUR)),
        (51, false, held(&mut random, size * GIB_HOUR / 2)),
        (30, false, u128::from(random.bits() >> 32)),
        (31, false, u128::from(random.bits() >> 31)),
        (60, false, u128::from(random.bits() >> 46)),
        (61, false, u128::from(random.bits() >> 48)),
        (63, false, u128::from(random.bits() >> 50)),
        (40, true, 3_600_000),
    ];
    let tier = [("tier".to_owned(), "standard".to_owned())];
    for (meter, with_tier, amount) in used {
        let dims = if with_tier { &tier[..] } else { &[] };
        let addition = Addition {
            value: amount,
            covered_ms: HOUR_MS,
            state: State::Measured,
            spread: false,
        };
        let cell = value.set_mut(group, dims).cell_mut(Meter(meter), KIND_SUM);
        cell.add(addition).expect("sums of one hour fit");
    }
    value
}

/// Opens the store in a folder for reading and writing.
pub fn open(folder: &std::path::Path, create: tallyman_aggregator::io::rocks::Create) -> Result<RocksStore> {
    RocksStore::open(folder, create).with_context(|| folder.display().to_string())
}
