//! Who pays in the simulated world, and what a month of theirs costs: rated anew from the cells alone, in whole numbers.
//!
//! Must not know the rating of the shipped code: prices stand here once more, as `prices.toml` has them.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use tallyman_aggregator_core::ports::{Read, Table};
use tallyman_aggregator_core::registry::{Account, Command, Seller};
use tallyman_aggregator_core::rollup::cell::{KIND_MAXIMUM, KIND_WITHDRAWN, OwnerHour};
use tallyman_aggregator_core::rollup::part::{Part, owner_of_key};
use tallyman_common::meter::Meter;
use tallyman_common::time::Hour;

use super::ledger::canonical;

/// A paying account.
pub struct Payer {
    /// Its key.
    pub account: &'static str,
    /// Those it pays for, by key.
    pub tenants: &'static [&'static str],
    /// Zone of its months.
    pub zone: &'static str,
    /// Hours by which its months begin before those of UTC.
    ahead: u32,
    /// Its tenants climb tiers together.
    pub pools: bool,
}

/// All of them: one for each tenant, but one that pays for two, and one that pays for nobody. One month ends within the
/// run's first hours.
pub const PAYERS: [Payer; 4] = [
    Payer {
        account: "alone",
        tenants: &["t0"],
        zone: "UTC",
        ahead: 0,
        pools: false,
    },
    Payer {
        account: "couple",
        tenants: &["t1", "t2"],
        zone: "UTC",
        ahead: 0,
        pools: true,
    },
    Payer {
        account: "guest",
        tenants: &["t3"],
        zone: "Asia/Shanghai",
        ahead: 8,
        pools: false,
    },
    Payer {
        account: "idle",
        tenants: &[],
        zone: "UTC",
        ahead: 0,
        pools: false,
    },
];

/// November and December 2025 in UTC.
pub const MONTHS: [(&str, Range<Hour>); 2] = [
    ("2025-11", Hour(489_432)..Hour(490_152)),
    ("2025-12", Hour(490_152)..Hour(490_896)),
];

impl Payer {
    /// Who pays for a tenant.
    pub fn of(tenant: &str) -> &'static Self {
        let mut payers = PAYERS.iter();
        payers
            .find(|it| it.tenants.contains(&tenant))
            .expect("every tenant has one")
    }

    /// A month of UTC as hours of the account's own zone.
    pub fn hours(&self, month: &Range<Hour>) -> Range<Hour> {
        Hour(month.start.0 - self.ahead)..Hour(month.end.0 - self.ahead)
    }
}

/// Seller and accounts, to be entered before tenants.
pub fn accounts() -> Vec<Command> {
    let seller = Seller {
        seller: "cloud".into(),
        name: "Cloud".into(),
        address: Vec::new(),
        tax_id: None,
        contact: Vec::new(),
        bank: Vec::new(),
        prefix: "INV".into(),
    };
    let accounts = PAYERS.iter().map(|payer| Account {
        account: payer.account.into(),
        organisation: None,
        name: payer.account.into(),
        seller: "cloud".into(),
        currency: "USD".into(),
        zone: payer.zone.into(),
        language: "en".into(),
        address: Vec::new(),
        tax_id: None,
        contact: Vec::new(),
        due_days: 30,
    });
    let accounts = accounts.map(|it| Command::SetAccount(Box::new(it)));
    let seller = Command::SetSeller(Box::new(seller));
    [seller].into_iter().chain(accounts).collect()
}

/// What was agreed with them, to be entered behind tenants and prices.
pub fn terms() -> Vec<Command> {
    let pooling = PAYERS.iter().filter(|it| it.pools);
    let terms = pooling.map(|payer| Command::SetTerms {
        account: payer.account.into(),
        text: "format = 1\npools = true\n".into(),
        from: payer.hours(&MONTHS[0].1).start,
    });
    terms.collect()
}

/// What is priced: CPU time, bytes sent, bytes read and written, memory without what is reclaimed first.
const ITEMS: usize = 4;

/// Billionths of the priced units, by hour and tenant: whole ones, for the units of the price book are chosen so.
#[derive(Debug, Clone, Default)]
pub struct Used(BTreeMap<(Hour, String), [i128; ITEMS]>);

/// The same, by part of an hour.
pub struct Parts(Vec<(Part, String, [i128; ITEMS])>);

impl Parts {
    /// Everything that the cells have.
    pub fn read(store: &dyn Read) -> Result<Self, String> {
        let mut parts = Vec::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            let (part, owner) = owner_of_key(key).expect("the store holds what was put");
            let hour = OwnerHour::decode(value).expect("the store holds what was put");
            let mut sums = [0; ITEMS];
            for (_, cell) in hour.cells().filter(|(_, c)| c.kind != KIND_MAXIMUM) {
                if let Some((item, factor)) = priced(cell.meter) {
                    let sign = if cell.kind == KIND_WITHDRAWN { -1 } else { 1 };
                    let value = i128::try_from(cell.value).expect("simulated usage is small");
                    sums[item] += sign * factor * value;
                }
            }
            parts.push((part, canonical(&owner).name().to_owned(), sums));
            ControlFlow::Continue(())
        };
        let all = store.scan(Table::Cells, &[], &[], visit);
        all.map_err(|e| e.to_string())?;
        Ok(Self(parts))
    }

    /// What some of the parts have.
    pub fn seen(&self, sees: impl Fn(Part) -> bool) -> Used {
        let mut used = Used::default();
        for (part, name, sums) in self.0.iter().filter(|(part, ..)| sees(*part)) {
            let of = used.0.entry((part.hour, name.clone())).or_default();
            of.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
        }
        used
    }
}

impl Used {
    /// What a payer's hours cost, in cents; `None` when nothing was used.
    pub fn cost(&self, payer: &Payer, hours: &Range<Hour>) -> Option<i128> {
        let mut exact: BTreeMap<(&str, usize), i128> = BTreeMap::new();
        // Behind the last tenant of an hour tiers of the hour begin anew; of the month they go on.
        let mut month: BTreeMap<&str, i128> = BTreeMap::new();
        let mut in_hour: BTreeMap<(Hour, &str), i128> = BTreeMap::new();
        let rows = self
            .0
            .range((hours.start, String::new())..(hours.end, String::new()));
        for ((hour, name), sums) in rows {
            let Some(tenant) = payer.tenants.iter().copied().find(|it| it == name) else {
                continue;
            };
            let place = if payer.pools { "" } else { tenant };
            let [cpu, sent, disk, memory] = *sums;
            let amounts = [
                climb(in_hour.entry((*hour, place)).or_default(), cpu, CPU),
                climb(month.entry(place).or_default(), sent, TRAFFIC),
                disk * DISK,
                memory * MEMORY,
            ];
            for item in (0..ITEMS).filter(|item| sums[*item] != 0) {
                *exact.entry((tenant, item)).or_default() += amounts[item];
            }
        }
        let lines = exact.values().map(|amount| (amount + CENT / 2).div_euclid(CENT));
        (!exact.is_empty()).then(|| lines.sum())
    }
}

/// The item that a meter is for, and billionths of its unit in a base unit.
fn priced(meter: Meter) -> Option<(usize, i128)> {
    Some(match meter {
        Meter::CPU_TIME => (0, 1),
        Meter::NETWORK_TRANSMIT_BYTES => (1, 1_000),
        Meter::DISK_READ_BYTES | Meter::DISK_WRITE_BYTES => (2, 1_000),
        Meter::MEMORY_CURRENT => (3, 1),
        Meter::MEMORY_INACTIVE_FILE => (3, -1),
        _ => return None,
    })
}

/// Prices are in millionths of a dollar, so amounts are in units of 10^-15: a cent has so many.
const CENT: i128 = 10_000_000_000_000;
/// First tier in billionths, its price, the price behind it.
const CPU: (i128, i128, i128) = (1_000_000_000_000, 10_000, 8_000);
const TRAFFIC: (i128, i128, i128) = (200_000_000_000, 30_000, 20_000);
const DISK: i128 = 2_000;
const MEMORY: i128 = 1;

/// What a quantity costs behind another one, which it is added to.
fn climb(before: &mut i128, quantity: i128, (end, first, second): (i128, i128, i128)) -> i128 {
    let cost = |to: i128| to.min(end) * first + (to - to.min(end)) * second;
    let from = *before;
    *before += quantity;
    cost(*before) - cost(from)
}
