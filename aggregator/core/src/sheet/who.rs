//! Who used what: in which month an owner's hour is, by which prices, and where it is on the sheet.
//!
//! A month is that of the zone of whoever used it; of what belongs to nobody it is the price book's. It must not know usage.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tallyman_common::ids::Owner;
use tallyman_common::time::Hour;

use super::parts::Place;
use crate::bills::Books;
use crate::rating::BookVersions;

/// Hours of cells that one processor reads at a time.
const PIECE_HOURS: u32 = 8;

/// Who used what in which hours.
pub struct Who<'a> {
    /// As of now.
    pub books: Books<'a>,
    /// Hours of what belongs to nobody.
    pub hours: Range<Hour>,
    /// Different prices: those of the sheet's currency first, then what accounts agreed on.
    pub prices: Vec<BookVersions>,
    /// Tenants that pay in the currency: their hours, and the place of their prices.
    pub own: BTreeMap<String, (Range<Hour>, usize)>,
    /// Tenants that pay in another one: their hours.
    pub others: BTreeMap<String, Range<Hour>>,
}

/// Usage of an owner: in which month it is, by which prices, and where, unless it is read as bills are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The month's hours.
    pub hours: Range<Hour>,
    /// Place of the prices.
    pub prices: usize,
    /// Where it is; none for a tenant of this currency, who is read as bills do.
    pub place: Option<Place>,
}

impl<'a> Who<'a> {
    /// Nobody yet.
    pub fn new(books: Books<'a>, versions: BookVersions, hours: Range<Hour>) -> Self {
        Self {
            books,
            hours,
            prices: vec![versions],
            own: BTreeMap::new(),
            others: BTreeMap::new(),
        }
    }

    /// Price books of the sheet's currency as they were published.
    pub fn versions(&self) -> &BookVersions {
        &self.prices[0]
    }

    /// Notes a tenant of this currency.
    pub fn add(&mut self, tenant: String, hours: Range<Hour>, prices: BookVersions) {
        // Neighbours are of one account; most have what was published.
        let same = [0, self.prices.len() - 1];
        let known = same.into_iter().find(|it| is_same(&self.prices[*it], &prices));
        let place = known.unwrap_or_else(|| {
            self.prices.push(prices);
            self.prices.len() - 1
        });
        self.own.insert(tenant, (hours, place));
    }

    /// Hours that are in the month of any zone.
    pub fn span(&self) -> Range<Hour> {
        let own = self.own.values().map(|(hours, _)| hours);
        let all = own.chain(self.others.values());
        all.fold(self.hours.clone(), |span, it| {
            span.start.min(it.start)..span.end.max(it.end)
        })
    }

    /// The past hours of all months in pieces in which no claim changes hands and no prices change.
    pub fn pieces(&self) -> Vec<Range<Hour>> {
        let span = self.span();
        let span = span.start..span.end.min(self.books.now.hour().next());
        let mut cuts: BTreeSet<Hour> = (span.start.0..span.end.0)
            .step_by(PIECE_HOURS as usize)
            .map(Hour)
            .collect();
        cuts.extend(self.versions().versions().iter().map(|(from, _)| *from));
        let tenants = &self.books.registry.tenants;
        for terms in tenants.iter() {
            let held = tenants.owners_in(&terms.tenant, &span);
            cuts.extend(held.iter().flat_map(|(_, hours)| [hours.start, hours.end]));
        }
        cuts.insert(span.end);
        let inside: Vec<Hour> = cuts
            .into_iter()
            .filter(|it| span.start <= *it && *it <= span.end)
            .collect();
        inside.windows(2).map(|it| it[0]..it[1]).collect()
    }

    /// `None` for whole machines, which are in no sum.
    pub fn whose(&self, owner: &Owner, hour: Hour) -> Option<Whose> {
        let whose = |hours: &Range<Hour>, prices, place| {
            Some(Whose {
                hours: hours.clone(),
                prices,
                place,
            })
        };
        let tenant = self.books.registry.tenants.tenant_of(owner, hour);
        match (owner, tenant) {
            (Owner::Host, _) => None,
            (_, Some(terms)) => match self.own.get(&terms.tenant) {
                Some((hours, prices)) => whose(hours, *prices, None),
                None => {
                    let hours = self.others.get(&terms.tenant)?;
                    whose(hours, 0, Some(Place::OtherCurrencies))
                }
            },
            (Owner::Unattributed, None) => whose(&self.hours, 0, Some(Place::Unattributed)),
            (Owner::Claim(_), None) => whose(&self.hours, 0, Some(Place::Unconfirmed)),
        }
    }
}

/// Whether two are the very same books, by address: equal ones may be told apart, which costs a second sum.
fn is_same(one: &BookVersions, other: &BookVersions) -> bool {
    let (one, other) = (one.versions(), other.versions());
    let pairs = one.iter().zip(other);
    one.len() == other.len()
        && pairs
            .into_iter()
            .all(|(a, b)| a.0 == b.0 && std::sync::Arc::ptr_eq(&a.1, &b.1))
}
