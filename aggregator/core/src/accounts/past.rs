//! What drafts of many accounts share: who was who at positions of the log, and what completeness is told by there. Each is
//! read once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::slice;
use std::sync::Arc;

use tallyman_common::time::Hour;

use super::adjust::LateMonths;
use super::draft::DraftError;
use crate::bills::month::Common;
use crate::bills::{BillError, Books};
use crate::ports::Read;
use crate::rating::{BillingZone, Month};
use crate::registry::{Registry, Seal};
use crate::restart::{read_registry_like, read_registry_until};

type Registries = BTreeMap<u64, Arc<Registry>>;
type Commons = BTreeMap<u64, Arc<Common>>;

/// Registries as they were before positions of the log, each read once.
pub struct Past<'a> {
    store: &'a dyn Read,
    registries: RefCell<Registries>,
    commons: RefCell<Commons>,
}

impl<'a> Past<'a> {
    /// Nothing read yet.
    pub fn new(store: &'a dyn Read) -> Self {
        Self {
            store,
            registries: RefCell::default(),
            commons: RefCell::default(),
        }
    }

    /// What was decided before a position: up to a seal, not with it, for what it seals is on time.
    pub(super) fn registry(&self, position: u64) -> Result<Arc<Registry>, BillError> {
        if let Some(known) = self.registries.borrow().get(&position) {
            return Ok(known.clone());
        }
        let registry = Arc::new(read_registry_until(self.store, position - 1)?);
        self.registries.borrow_mut().insert(position, registry.clone());
        Ok(registry)
    }

    /// What completeness is told by at the books' position.
    pub(crate) fn common(&self, books: Books<'_>) -> Result<Arc<Common>, BillError> {
        if let Some(known) = self.commons.borrow().get(&books.position) {
            return Ok(known.clone());
        }
        let common = Arc::new(Common::read(books)?);
        self.commons.borrow_mut().insert(books.position, common.clone());
        Ok(common)
    }
}

/// The registries that the month of any registered account is billed by, to be read by many threads.
#[derive(Debug, Clone)]
pub struct Sealed {
    registries: Registries,
}

impl Sealed {
    /// Reads one for each seal that made the month final in some account's zone.
    pub fn read(books: Books<'_>, month: Month) -> Result<Self, DraftError> {
        let positions = seals(books, (month, &zones(books)))?.into_keys();
        Self::before(books, positions)
    }

    /// Reads those before the given positions.
    fn before(books: Books<'_>, positions: impl Iterator<Item = u64>) -> Result<Self, DraftError> {
        let registries = positions.map(|position| {
            let registry = read_registry_like(books.store, position - 1, books.registry);
            Ok((position, Arc::new(registry.map_err(BillError::from)?)))
        });
        Ok(Self {
            registries: registries.collect::<Result<_, DraftError>>()?,
        })
    }

    /// For one thread.
    pub fn past<'a>(&self, store: &'a dyn Read) -> Past<'a> {
        Past {
            store,
            registries: RefCell::new(self.registries.clone()),
            commons: RefCell::default(),
        }
    }
}

/// The zones of registered accounts.
fn zones(books: Books<'_>) -> BTreeSet<&str> {
    let accounts = books.registry.payers.accounts.values();
    accounts.map(|it| it.zone.as_str()).collect()
}

/// By position the seals that made a month final in some zones, each with its hours there.
fn seals<'b>(
    books: Books<'b>,
    (month, zones): (Month, &BTreeSet<&str>),
) -> Result<BTreeMap<u64, (&'b Seal, Range<Hour>)>, DraftError> {
    let mut found = BTreeMap::new();
    for zone in zones {
        let hours = month_in(zone, month)?;
        if let Some(seal) = final_seal(books, &hours) {
            found.entry(seal.position).or_insert((seal, hours));
        }
    }
    Ok(found)
}

fn month_in(zone: &str, month: Month) -> Result<Range<Hour>, DraftError> {
    let calendar = |e: crate::rating::calendar::CalendarError| BillError::Rating(e.to_string());
    let zone = BillingZone::parse(zone).map_err(calendar)?;
    Ok(zone.month_hours(month).map_err(calendar)?)
}

/// What the drafts of one month share, to be read by many threads. It goes with the snapshot that it was read from.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) month: Month,
    pub(super) late: LateMonths,
    pub(super) again: bool,
    sealed: Sealed,
    commons: Commons,
}

impl Prepared {
    /// Reads what all registered accounts' months need.
    pub fn read(books: Books<'_>, month: Month) -> Result<Self, DraftError> {
        Self::of_zones(books, (month, &zones(books)))
    }

    /// Reads what they need where the month can be open, too.
    pub fn read_whole(books: Books<'_>, month: Month) -> Result<Self, DraftError> {
        Self::read_open(books, (month, &zones(books)))
    }

    /// Reads what months in these zones need, those that are open too.
    pub(crate) fn read_open(
        books: Books<'_>,
        (month, zones): (Month, &BTreeSet<&str>),
    ) -> Result<Self, DraftError> {
        let mut read = Self::of_zones(books, (month, zones))?;
        let mut open: Vec<Range<Hour>> = Vec::new();
        for zone in zones {
            let hours = month_in(zone, month)?;
            if final_seal(books, &hours).is_none() && !open.contains(&hours) {
                open.push(hours);
            }
        }
        if !open.is_empty() {
            let common = Common::read_for_many(books, &open).map_err(BillError::from)?;
            read.commons.entry(books.position).or_insert(Arc::new(common));
        }
        Ok(read)
    }

    fn of_zones(books: Books<'_>, (month, zones): (Month, &BTreeSet<&str>)) -> Result<Self, DraftError> {
        let late = LateMonths::read(books)?;
        let seals = seals(books, (month, zones))?;
        // One by one, each thread would read the earlier months' again.
        let mut positions = late.positions(books, month)?;
        positions.extend(seals.keys());
        let (sealed, mut commons) = (Sealed::before(books, positions.into_iter())?, Commons::new());
        for (position, (seal, hours)) in seals {
            let then = Books {
                registry: &sealed.registries[&position],
                position,
                now: seal.at,
                ..books
            };
            let common = Common::read_for_many(then, slice::from_ref(&hours)).map_err(BillError::from)?;
            commons.insert(position, Arc::new(common));
        }
        Ok(Self {
            month,
            late,
            again: false,
            sealed,
            commons,
        })
    }

    /// Accounts with late usage, and the months of it.
    pub(crate) fn late(&self) -> &LateMonths {
        &self.late
    }

    /// Whether accounts whose invoice is void get another one.
    pub fn again(self, again: bool) -> Self {
        Self { again, ..self }
    }

    /// For one thread.
    pub fn past<'a>(&self, store: &'a dyn Read) -> Past<'a> {
        Past {
            commons: RefCell::new(self.commons.clone()),
            ..self.sealed.past(store)
        }
    }
}

/// The seal that made a month final.
pub(super) fn final_seal<'b>(books: Books<'b>, hours: &Range<Hour>) -> Option<&'b Seal> {
    let seals = &books.registry.seals;
    let last = seals.is_final(hours).then(|| Hour(hours.end.0 - 1));
    last.and_then(|last| seals.of(last))
}
