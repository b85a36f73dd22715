//! Lines of usage with their minimums and maximums, percentiles, surcharges above a cap, and the commitment.

use tallyman_common::money::{Amount, Money, MoneyError, Percent, Price, Quantity, WideAmount, round_minor};

use super::{Cause, Draft, LineTier, StatementLine, TaxedBy, about};
use crate::rating::RatingError;
use crate::rating::book::{Charge, Item, ItemKey, PriceBook};
use crate::rating::policy::{Surcharge, Titles, applies};
use crate::rating::sums::{ItemSum, percentile};

impl Draft<'_> {
    /// Lines by tenant, in the order of the price book; items that only earlier versions had come last, by key.
    pub(super) fn add_usage(&mut self) -> Result<(), RatingError> {
        for (tenant, items) in &self.input.sums.tenants {
            let (month, books) = (self.input.month, self.input.books);
            let own = self.input.terms.books_for(tenant, month, books)?;
            let hour = self.input.until;
            let now = own.at(hour).ok_or(RatingError::NoPriceBook { hour })?;
            let mut keys: Vec<&ItemKey> = items.keys().collect();
            keys.sort_by_key(|key| (now.place_of(key), *key));
            for key in keys {
                let item = own.item_of_month(key, month, hour);
                let item = item.ok_or_else(|| RatingError::UnknownItem { item: key.clone() })?;
                self.add_item(tenant, item, &items[key])?;
            }
        }
        Ok(())
    }

    fn add_item(&mut self, tenant: &str, item: &Item, sum: &ItemSum) -> Result<(), RatingError> {
        let key = item.key();
        let usage = Cause::Usage(tenant.to_owned());
        let line = match item.charge() {
            Charge::Percentile {
                percentile: at,
                ladder,
            } => {
                let month = self.input.zone.month_hours(self.input.month);
                let month = month.map_err(|e| RatingError::Calendar(e.to_string()))?;
                let hours = month.end.0 - month.start.0;
                let quantity = percentile(at.decimal(), &sum.samples, hours).map_err(about(key))?;
                let parts = ladder.slices(Quantity::ZERO, quantity).map_err(about(key))?;
                let exact = Amount::sum(parts.iter().map(|it| it.amount)).map_err(about(key))?;
                let tiers: Result<Vec<LineTier>, MoneyError> = parts
                    .iter()
                    .map(|it| {
                        Ok(LineTier {
                            from: it.from,
                            to: it.to,
                            quantity: it.quantity.times(Price::ONE)?,
                            price: it.price,
                            amount: it.amount,
                        })
                    })
                    .collect();
                let tiers = tiers.map_err(about(key))?;
                self.line(usage, item, Some(quantity), tiers, exact)
            }
            Charge::ShareOfAmounts { .. } => self.line(usage, item, None, Vec::new(), sum.amount),
            Charge::Free | Charge::Metered(_) => {
                let tiers = sum.tiers_left().map(|(key, it)| LineTier {
                    from: key.from,
                    to: key.to,
                    quantity: it.quantity,
                    price: key.price,
                    amount: it.amount,
                });
                self.line(usage, item, Some(sum.quantity), tiers.collect(), sum.amount)
            }
        };
        let line = line.map_err(about(key))?;
        let (exact, amount) = (line.exact, line.amount);
        self.push(line);
        self.bound(tenant, item, exact, amount).map_err(about(key))
    }

    /// What an item's minimum adds, or its maximum takes off.
    fn bound(&mut self, tenant: &str, item: &Item, exact: Amount, amount: Money) -> Result<(), MoneyError> {
        let least = item.minimum().map(Price::of_one).filter(|it| exact < *it);
        let most = item.maximum().map(Price::of_one).filter(|it| exact > *it);
        let (bound, cause) = match (least, most) {
            (Some(least), _) => (least, Cause::Minimum(tenant.to_owned())),
            (_, Some(most)) => (most, Cause::Maximum(tenant.to_owned())),
            _ => return Ok(()),
        };
        let mut line = self.line(cause, item, None, Vec::new(), bound.checked_sub(exact)?)?;
        // Of the rounded amounts, so that both lines together are the bound.
        line.amount = self.round(bound)?.checked_sub(amount)?;
        line.unit = None;
        self.push(line);
        Ok(())
    }

    fn line(
        &self,
        cause: Cause,
        item: &Item,
        quantity: Option<Quantity>,
        tiers: Vec<LineTier>,
        exact: Amount,
    ) -> Result<StatementLine, MoneyError> {
        let unit_price = match (&tiers[..], quantity) {
            ([one], Some(quantity)) if quantity.times(one.price)? == exact => Some(one.price),
            _ => None,
        };
        Ok(StatementLine {
            cause,
            item: item.key().clone(),
            titles: Titles {
                own: item.title().to_owned(),
                by_language: item.titles().clone(),
            },
            unit: item.selection().map(|it| it.unit().name()),
            quantity: quantity.map(|it| it.times(Price::ONE)).transpose()?,
            unit_price,
            tiers,
            exact,
            amount: self.round(exact)?,
            tax_class: item.tax_class().to_owned(),
            taxed_by: TaxedBy::Month,
        })
    }

    pub(super) fn round(&self, exact: Amount) -> Result<Money, MoneyError> {
        round_minor(exact, self.currency(), self.book.rounding())
    }

    /// A percentage of an exact sum, rounded once.
    pub(super) fn percent(&self, percent: Percent, of: WideAmount) -> Result<Money, MoneyError> {
        of.percent(percent, 1, self.currency(), self.book.rounding())
    }

    /// The exact cost of the month of some items, all if empty.
    fn raw_cost(&self, items: &[ItemKey]) -> Result<WideAmount, MoneyError> {
        let lines = self.lines.iter().filter(|it| applies(items, &it.item));
        WideAmount::sum(lines.map(|it| WideAmount::of(it.exact)))
    }

    pub(super) fn add_surcharges(&mut self) -> Result<(), RatingError> {
        let book: &PriceBook = self.book;
        let mut due = Vec::new();
        for surcharge in &book.policies().surcharges {
            due.extend(self.surcharge(surcharge).map_err(about(&surcharge.key))?);
        }
        due.into_iter().for_each(|line| self.push(line));
        Ok(())
    }

    fn surcharge(&self, surcharge: &Surcharge) -> Result<Option<StatementLine>, MoneyError> {
        let cost = self.raw_cost(&surcharge.items)?;
        let cap = WideAmount::of(surcharge.above.of_one());
        if cost <= cap {
            return Ok(None);
        }
        // The rounded amount is the line's: a share of an exact sum can have more digits than an exact amount.
        let amount = self.percent(surcharge.percent, cost.checked_sub(cap)?)?;
        Amount::of_parts(amount.minor_units(), self.currency().minor_digits())?;
        let named = (surcharge.key.clone(), surcharge.titles.clone());
        let class = &*surcharge.tax_class;
        Ok(Some(StatementLine::unmetered(
            Cause::Surcharge,
            named,
            amount,
            class,
        )))
    }

    /// What is missing to the commitment, once discounts were taken.
    pub(super) fn add_commitment(&mut self) -> Result<(), RatingError> {
        let Some(commitment) = self.input.terms.commitment else {
            return Ok(());
        };
        let item = ItemKey::parse("commitment").expect("a good key");
        let committed = self.round(commitment.of_one()).map_err(about(&item))?;
        let paid = self
            .left
            .iter()
            .copied()
            .try_fold(self.zero(), Money::checked_add);
        let missing = paid
            .and_then(|it| committed.checked_sub(it))
            .map_err(about(&item))?;
        if missing.minor_units() <= 0 {
            return Ok(());
        }
        let by_language = [("zh".to_owned(), "最低消费补足".to_owned())].into();
        let own = "Minimum commitment, missing part".to_owned();
        let named = (item, Titles { own, by_language });
        let class = crate::rating::book::DEFAULT_TAX_CLASS;
        self.push(StatementLine::unmetered(Cause::Commitment, named, missing, class));
        Ok(())
    }
}
