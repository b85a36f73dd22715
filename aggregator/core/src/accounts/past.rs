//! What drafts of many accounts share: who was who at positions of the log, and what completeness is told by there. Each is
//! read once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tallyman_common::time::Hour;

use super::adjust::LateMonths;
use super::draft::DraftError;
use crate::bills::month::Common;
use crate::bills::{BillError, Books};
use crate::ports::Read;
use crate::rating::{BillingZone, Month};
use crate::registry::{Registry, Seal};
use crate::restart::read_registry_until;

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
    pub(super) fn common(&self, books: Books<'_>) -> Result<Arc<Common>, BillError> {
        if let Some(known) = self.commons.borrow().get(&books.position) {
            return Ok(known.clone());
        }
        let common = Arc::new(Common::read(books)?);
        self.commons.borrow_mut().insert(books.position, common.clone());
        Ok(common)
    }
}

/// What the drafts of one month share, to be read by many threads. It goes with the snapshot that it was read from.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) month: Month,
    pub(super) late: LateMonths,
    registries: Registries,
    commons: Commons,
}

impl Prepared {
    /// Reads what all registered accounts' months need.
    pub fn read(books: Books<'_>, month: Month) -> Result<Self, DraftError> {
        let mut prepared = Self {
            month,
            late: LateMonths::read(books)?,
            registries: Registries::new(),
            commons: Commons::new(),
        };
        let accounts = books.registry.payers.accounts.values();
        let zones: BTreeSet<&str> = accounts.map(|it| it.zone.as_str()).collect();
        for zone in zones {
            prepared.add_zone(books, zone)?;
        }
        Ok(prepared)
    }

    fn add_zone(&mut self, books: Books<'_>, zone: &str) -> Result<(), DraftError> {
        let calendar = |e: crate::rating::calendar::CalendarError| BillError::Rating(e.to_string());
        let zone = BillingZone::parse(zone).map_err(calendar)?;
        let hours = zone.month_hours(self.month).map_err(calendar)?;
        let Some(seal) = final_seal(books, &hours) else {
            return Ok(());
        };
        if self.commons.contains_key(&seal.position) {
            return Ok(());
        }
        let registry = read_registry_until(books.store, seal.position - 1).map_err(BillError::from)?;
        let then = Books {
            registry: &registry,
            position: seal.position,
            now: seal.at,
            ..books
        };
        let common = Common::read_for_many(then, &hours).map_err(BillError::from)?;
        self.commons.insert(seal.position, Arc::new(common));
        self.registries.insert(seal.position, Arc::new(registry));
        Ok(())
    }

    /// For one thread.
    pub fn past<'a>(&self, store: &'a dyn Read) -> Past<'a> {
        Past {
            store,
            registries: RefCell::new(self.registries.clone()),
            commons: RefCell::new(self.commons.clone()),
        }
    }
}

/// The seal that made a month final.
pub(super) fn final_seal<'b>(books: Books<'b>, hours: &std::ops::Range<Hour>) -> Option<&'b Seal> {
    let seals = &books.registry.seals;
    let last = seals.is_final(hours).then(|| Hour(hours.end.0 - 1));
    last.and_then(|last| seals.of(last))
}
