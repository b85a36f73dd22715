//! A month's rated lines of an account, summed by tenant and item: what a statement is made from.
//!
//! Sums are exact and do not depend on how the lines are cut (a split run gives the same as a whole one). Dated
//! discounts need the part of a sum that lies in their dates, so sums are kept by segments of the month.
//! It must not know policies' arithmetic, rounding or zones.

use std::collections::BTreeMap;

use tallyman_common::money::{Amount, MoneyError, Price, Quantity};
use tallyman_common::time::Hour;

use super::RatingError;
use super::book::{BookVersions, Charge, ItemKey};
use super::ladder::TierPart;
use super::period::RatedLine;
use super::span::SpanSum;

/// Sums of one item of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemSum {
    /// Used quantity.
    pub quantity: Quantity,
    /// What of it was free by the allowance.
    pub free: Quantity,
    /// Exact amount.
    pub amount: Amount,
    /// Exact amount in each segment of the month.
    pub segments: Vec<Amount>,
    /// Parts by tier and price; of a price for the whole, the net of all hours.
    pub tiers: BTreeMap<TierKey, TierSum>,
    /// Quantities of hours, for percentiles; hours without any are not there.
    pub samples: Vec<Quantity>,
}

/// Which tier, at which price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TierKey {
    /// Lower bound, exclusive.
    pub from: Quantity,
    /// Upper bound, inclusive; none for the open tier.
    pub to: Option<Quantity>,
    /// Price of a unit or package.
    pub price: Price,
}

/// Sums of one tier; signed, because prices of the whole take back what they had charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierSum {
    /// Quantity in the tier.
    pub quantity: Amount,
    /// Number of packages, where packages are priced.
    pub packages: Amount,
    /// Exact amount.
    pub amount: Amount,
}

/// Sums of an account's month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthSums {
    /// First hours of the segments behind the first.
    cuts: Vec<Hour>,
    /// By tenant and item.
    pub tenants: BTreeMap<String, BTreeMap<ItemKey, ItemSum>>,
}

impl MonthSums {
    /// No usage yet; segments are cut at every date of a discount.
    pub fn new(books: &BookVersions) -> Self {
        let policies = books.versions().iter().map(|(_, book)| book.policies());
        let dates = policies.flat_map(|it| it.discounts.iter().flat_map(|d| [d.from, d.until]));
        let mut cuts: Vec<Hour> = dates.flatten().collect();
        cuts.sort_unstable();
        cuts.dedup();
        let tenants = BTreeMap::new();
        Self { cuts, tenants }
    }

    /// Adds a line of a tenant.
    pub fn add(&mut self, books: &BookVersions, tenant: &str, line: &RatedLine) -> Result<(), RatingError> {
        let segment = self.segment_of(line.hour);
        let segments = self.cuts.len() + 1;
        let items = match self.tenants.get_mut(tenant) {
            Some(items) => items,
            None => self.tenants.entry(tenant.to_owned()).or_default(),
        };
        let sum = match items.get_mut(&line.item) {
            Some(sum) => sum,
            None => items
                .entry(line.item.clone())
                .or_insert_with(|| ItemSum::nothing(segments)),
        };
        let money = |source| RatingError::Money {
            item: line.item.clone(),
            source,
        };
        let item = books.by_digest(line.book).and_then(|it| it.item(&line.item));
        let is_sample = item.is_some_and(|it| matches!(it.charge(), Charge::Percentile { .. }));
        sum.add(line, segment, is_sample).map_err(money)
    }

    /// Where sums of hours can be added together: at every date of a discount a new segment begins.
    pub fn cuts(&self) -> &[Hour] {
        &self.cuts
    }

    /// Adds hours of one segment, from `first` on, of an item of a tenant, in which anything was used.
    pub fn add_span(
        &mut self,
        tenant: &str,
        item: &ItemKey,
        first: Hour,
        span: SpanSum,
    ) -> Result<(), RatingError> {
        let (segment, segments) = (self.segment_of(first), self.cuts.len() + 1);
        let items = match self.tenants.get_mut(tenant) {
            Some(items) => items,
            None => self.tenants.entry(tenant.to_owned()).or_default(),
        };
        let sum = match items.get_mut(item) {
            Some(sum) => sum,
            None => items
                .entry(item.clone())
                .or_insert_with(|| ItemSum::nothing(segments)),
        };
        sum.add_span(span, segment).map_err(|source| RatingError::Money {
            item: item.clone(),
            source,
        })
    }

    fn segment_of(&self, hour: Hour) -> usize {
        self.cuts.partition_point(|cut| *cut <= hour)
    }

    /// The segments that lie in `from..until`.
    pub fn segments_in(&self, from: Option<Hour>, until: Option<Hour>) -> std::ops::Range<usize> {
        let first = from.map_or(0, |it| self.segment_of(it));
        let last = until.map_or(self.cuts.len() + 1, |it| self.segment_of(it));
        first..last
    }
}

impl ItemSum {
    fn nothing(segments: usize) -> Self {
        Self {
            quantity: Quantity::ZERO,
            free: Quantity::ZERO,
            amount: Amount::ZERO,
            segments: vec![Amount::ZERO; segments],
            tiers: BTreeMap::new(),
            samples: Vec::new(),
        }
    }

    fn add(&mut self, line: &RatedLine, segment: usize, is_sample: bool) -> Result<(), MoneyError> {
        self.quantity = self.quantity.checked_add(line.quantity)?;
        self.free = self.free.checked_add(line.free)?;
        self.amount = self.amount.checked_add(line.amount)?;
        self.segments[segment] = self.segments[segment].checked_add(line.amount)?;
        for part in &line.parts {
            self.tier(part).add(part, Amount::checked_add)?;
        }
        for part in &line.less {
            self.tier(part).add(part, Amount::checked_sub)?;
        }
        if is_sample {
            self.samples.push(line.quantity);
        }
        Ok(())
    }

    fn add_span(&mut self, span: SpanSum, segment: usize) -> Result<(), MoneyError> {
        self.quantity = self.quantity.checked_add(span.quantity)?;
        self.amount = self.amount.checked_add(span.amount)?;
        self.segments[segment] = self.segments[segment].checked_add(span.amount)?;
        for (key, more) in span.tiers {
            let TierSum {
                quantity,
                packages,
                amount,
            } = self.tiers.entry(key).or_insert(TierSum::NOTHING);
            *quantity = quantity.checked_add(more.quantity)?;
            *packages = packages.checked_add(more.packages)?;
            *amount = amount.checked_add(more.amount)?;
        }
        self.samples.extend(span.samples);
        Ok(())
    }

    fn tier(&mut self, part: &TierPart) -> &mut TierSum {
        let key = TierKey {
            from: part.from,
            to: part.to,
            price: part.price,
        };
        self.tiers.entry(key).or_insert(TierSum::NOTHING)
    }

    /// Tiers in which anything is left, lowest first.
    pub fn tiers_left(&self) -> impl Iterator<Item = (&TierKey, &TierSum)> {
        self.tiers
            .iter()
            .filter(|(_, it)| !it.amount.is_zero() || !it.quantity.is_zero())
    }
}

impl TierSum {
    const NOTHING: Self = Self {
        quantity: Amount::ZERO,
        packages: Amount::ZERO,
        amount: Amount::ZERO,
    };

    fn add(
        &mut self,
        part: &TierPart,
        op: impl Fn(Amount, Amount) -> Result<Amount, MoneyError>,
    ) -> Result<(), MoneyError> {
        // A quantity at a price of 1: the same number, signed.
        let of = |it: Quantity| it.times(Price::ONE);
        self.quantity = op(self.quantity, of(part.quantity)?)?;
        if let Some(packages) = part.packages {
            self.packages = op(self.packages, of(packages)?)?;
        }
        self.amount = op(self.amount, part.amount)?;
        Ok(())
    }
}

/// The value of a percentile by nearest rank, over `hours` of which those without a sample count as 0.
pub fn percentile(
    percent: rust_decimal::Decimal,
    samples: &[Quantity],
    hours: u32,
) -> Result<Quantity, MoneyError> {
    let too_big = || MoneyError::TooManyDigits {
        operation: "a percentile",
    };
    let hundredths = 10_i128
        .checked_pow(percent.scale())
        .and_then(|it| it.checked_mul(100));
    let hundredths = hundredths.ok_or_else(too_big)?;
    let product = percent
        .mantissa()
        .checked_mul(i128::from(hours))
        .ok_or_else(too_big)?;
    let rank = product / hundredths + i128::from(product % hundredths != 0);
    let rank = usize::try_from(rank).map_err(|_| too_big())?;
    let hours = usize::try_from(hours).map_err(|_| too_big())?;
    let zeros = hours.checked_sub(samples.len()).ok_or_else(too_big)?;
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    Ok(match rank.checked_sub(zeros + 1) {
        Some(at) => *sorted.get(at).ok_or_else(too_big)?,
        None => Quantity::ZERO,
    })
}
