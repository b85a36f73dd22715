//! A month of an account: usage lines, what a book and terms add and take off, tax, total.
//!
//! The order is fixed and printed ([`super::policy::ORDER`]). Each line is rounded once, at the minor unit; whatever is
//! taken off is split over the lines that it is for by largest remainder, so that what is left of every line is known and
//! the tax of its class is taken from exactly that. The total is the sum of what is printed (I7).
//! It must not know stores, ledgers, clocks or words of a language beyond titles.

// Discounts for a part of a month.
mod dated;
// Discounts, coupons and credits.
/// What earlier invoices have of fees.
mod ahead;
mod deduct;
/// What earlier months cost more or less than was billed.
mod late;
// Fees of plans.
mod plan;
// Taxes.
mod tax;
// Lines of usage, minimums, maximums, percentiles, surcharges, commitments.
#[cfg(test)]
mod tests;
mod usage;

pub use ahead::{BilledAhead, FeeOfLine, FeePeriod};
pub use late::difference;

use tallyman_common::money::{Amount, Currency, Money, MoneyError, Percent, Price, Quantity, Rounding};

use super::RatingError;
use super::book::{BookVersions, ItemKey, PriceBook};
use super::calendar::{BillingZone, Month};
use super::moments::Length;
use super::policy::{TaxRate, Titles};
use super::sums::MonthSums;
use super::terms::Terms;
use tallyman_common::time::Hour;

/// What a statement is made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Usage of the month.
    pub sums: &'a MonthSums,
    /// Versions that rated it.
    pub books: &'a BookVersions,
    /// Last hour of the month, or the present one.
    pub until: Hour,
    /// What was agreed.
    pub terms: &'a Terms,
    /// What was agreed for the month before: plans that it had and this one has not any more have ended with it.
    pub before: Option<&'a Terms>,
    /// The month.
    pub month: Month,
    /// Zone of the account.
    pub zone: &'a BillingZone,
    /// Credits that are left, in the order of use.
    pub grants: &'a [Grant],
    /// Fees that invoices of other months have of periods that reach into this month or the next.
    pub billed_ahead: &'a [BilledAhead],
    /// What earlier months cost more or less than was billed for them.
    pub late: &'a [StatementLine],
}

/// Credit that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its key.
    pub key: String,
    /// Its name.
    pub titles: Titles,
    /// What is left of it.
    pub left: Money,
    /// Items that it is for; all if empty.
    pub items: Vec<ItemKey>,
}

/// Why a line is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Metered usage of a tenant.
    Usage(String),
    /// What is missing to an item's minimum of a tenant.
    Minimum(String),
    /// What is above an item's maximum of a tenant; negative.
    Maximum(String),
    /// A surcharge of the account.
    Surcharge,
    /// What is missing to the account's commitment.
    Commitment,
    /// The fee of a plan for some time of a month or year.
    Fee {
        /// Which month or year.
        period: FeePeriod,
        /// How much of it has the plan.
        time: Length,
        /// How long it is.
        of: Length,
    },
    /// What an earlier month costs more or less than was billed for it.
    Late {
        /// Which month.
        month: Month,
        /// Whose usage; none for what the account as a whole owes.
        tenant: Option<String>,
    },
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    /// Why it is there.
    pub cause: Cause,
    /// Key of the item, surcharge or plan.
    pub item: ItemKey,
    /// Its name.
    pub titles: Titles,
    /// Unit of the quantity; none for what is not metered.
    pub unit: Option<&'static str>,
    /// Quantity; none for what is not metered. Of an earlier month the change, which can be negative.
    pub quantity: Option<Amount>,
    /// Price of a unit, where all have the same and nothing else is due.
    pub unit_price: Option<Price>,
    /// How tiers made the amount.
    pub tiers: Vec<LineTier>,
    /// Unrounded amount.
    pub exact: Amount,
    /// Amount.
    pub amount: Money,
    /// Tax class.
    pub tax_class: String,
    /// By which rate of that class.
    pub taxed_by: TaxedBy,
}

/// By which rate a line is taxed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaxedBy {
    /// That of the statement's month.
    Month,
    /// That of the earlier month which it corrects, and whether prices contained it; none if none was due.
    Earlier(Option<Box<(TaxRate, bool)>>),
}

impl StatementLine {
    /// A line of what is not metered: an amount and nothing behind it. Nothing of it was rounded.
    fn unmetered(
        cause: Cause,
        (item, titles): (ItemKey, Titles),
        amount: Money,
        tax_class: impl Into<String>,
    ) -> Self {
        Self {
            cause,
            item,
            titles,
            unit: None,
            quantity: None,
            unit_price: None,
            tiers: Vec::new(),
            exact: amount.exact(),
            amount,
            tax_class: tax_class.into(),
            taxed_by: TaxedBy::Month,
        }
    }
}

/// A tier of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTier {
    /// Lower bound, exclusive.
    pub from: Quantity,
    /// Upper bound, inclusive; none for the open tier.
    pub to: Option<Quantity>,
    /// Quantity in it.
    pub quantity: Amount,
    /// Price there.
    pub price: Price,
    /// Unrounded amount.
    pub amount: Amount,
}

/// Something taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deduction {
    /// Key of the policy, coupon, grant or plan.
    pub key: String,
    /// Its name.
    pub titles: Titles,
    /// The share, where it is one.
    pub percent: Option<Percent>,
    /// What a share was taken from.
    pub basis: Option<Money>,
    /// Amount; negative.
    pub amount: Money,
    /// There was not enough left to take all of it from.
    pub is_cut_short: bool,
}

/// Tax of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tax {
    /// Class.
    pub class: String,
    /// Its name.
    pub titles: Titles,
    /// Rate.
    pub percent: Percent,
    /// What it is taken from; it contains the tax if prices do.
    pub basis: Money,
    /// Amount, rounded once.
    pub amount: Money,
    /// The basis contains it.
    pub is_included: bool,
}

/// A month of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Currency of all amounts.
    pub currency: Currency,
    /// How lines were rounded.
    pub rounding: Rounding,
    /// Lines: usage by tenant, then what the account as a whole owes, then corrections of earlier months.
    pub lines: Vec<StatementLine>,
    /// What is left of each line after discounts and credits.
    pub net: Vec<Money>,
    /// Of the lines of fees, for which days they are.
    pub fees: Vec<FeeOfLine>,
    /// Sum of the lines.
    pub subtotal: Money,
    /// Discounts and coupons, in the order in which they were taken.
    pub discounts: Vec<Deduction>,
    /// Credits of the plan and grants.
    pub credits: Vec<Deduction>,
    /// Taxes.
    pub taxes: Vec<Tax>,
    /// What is due.
    pub total: Money,
}

/// Lines, and what is left of each.
struct Draft<'a> {
    input: Input<'a>,
    book: &'a PriceBook,
    lines: Vec<StatementLine>,
    left: Vec<Money>,
    fees: Vec<FeeOfLine>,
    discounts: Vec<Deduction>,
    credits: Vec<Deduction>,
}

/// Makes the statement of a month.
pub fn statement(input: Input<'_>) -> Result<Statement, RatingError> {
    let hour = input.until;
    let book = input.books.of_month(input.month, hour);
    let book = book.ok_or(RatingError::NoPriceBook { hour })?;
    let mut draft = Draft {
        input,
        book,
        lines: Vec::new(),
        left: Vec::new(),
        fees: Vec::new(),
        discounts: Vec::new(),
        credits: Vec::new(),
    };
    draft.add_usage()?;
    draft.add_surcharges()?;
    draft.take_discounts()?;
    draft.add_commitment()?;
    draft.add_fees()?;
    draft.take_coupons()?;
    draft.add_late();
    draft.take_credits()?;
    let taxes = draft.taxes()?;
    draft.finish(taxes).map_err(RatingError::Total)
}

impl Draft<'_> {
    fn currency(&self) -> Currency {
        self.book.currency()
    }

    fn zero(&self) -> Money {
        Money::zero(self.currency())
    }

    fn push(&mut self, line: StatementLine) {
        self.left.push(line.amount);
        self.lines.push(line);
    }

    fn finish(self, taxes: Vec<Tax>) -> Result<Statement, MoneyError> {
        let zero = self.zero();
        let subtotal = self
            .lines
            .iter()
            .map(|it| it.amount)
            .try_fold(zero, Money::checked_add)?;
        let off = self
            .discounts
            .iter()
            .chain(&self.credits)
            .map(|it| it.amount)
            .try_fold(zero, Money::checked_add)?;
        let tax = taxes
            .iter()
            .filter(|it| !it.is_included)
            .map(|it| it.amount)
            .try_fold(zero, Money::checked_add)?;
        let left = self.left.iter().copied().try_fold(zero, Money::checked_add)?;
        let net = subtotal.checked_add(off)?;
        assert!(
            left == net,
            "I7: what is left of the lines is the subtotal less what was taken off"
        );
        Ok(Statement {
            currency: self.currency(),
            rounding: self.book.rounding(),
            subtotal,
            total: net.checked_add(tax)?,
            lines: self.lines,
            net: self.left,
            fees: self.fees,
            discounts: self.discounts,
            credits: self.credits,
            taxes,
        })
    }
}

/// An error of money about an item, discount or plan.
fn about(item: &ItemKey) -> impl Fn(MoneyError) -> RatingError + use<'_> {
    move |source| RatingError::Money {
        item: item.clone(),
        source,
    }
}
