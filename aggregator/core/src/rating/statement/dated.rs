//! Discounts whose dates hold for a part of a month: what of each line lies within them, and what earlier discounts left
//! of it.
//!
//! Usage lies where its hours lie. What belongs to the month as a whole (a percentile, what is missing to a minimum, a
//! surcharge) lies in all of its hours evenly. So dates that hold for the whole month are like none.
//! It must not know what a discount takes, or why.

use std::ops::Range;

use tallyman_common::money::{Amount, Money, MoneyError, WideAmount, largest_remainder};
use tallyman_common::time::Hour;

use super::{Cause, Draft};
use crate::rating::RatingError;
use crate::rating::policy::Discount;
use crate::rating::sums::ItemSum;

/// What a discount is taken from: an exact sum, as so many times of it, for the part of an hour has no decimals.
pub(super) struct Basis {
    pub(super) sum: WideAmount,
    pub(super) times: u32,
}

/// A month in pieces: cut where a discount's dates begin or end inside it.
pub(super) struct Pieces {
    /// First hours of the pieces, and the hour behind the month.
    edges: Vec<Hour>,
    /// By line and piece: what lies in it, rounded so that pieces sum to the line, and what discounts took of that. Empty
    /// where all dates hold for the whole month.
    lines: Vec<Vec<Piece>>,
}

struct Piece {
    amount: Money,
    taken: Money,
}

impl Pieces {
    /// The pieces of a month with some discounts.
    pub(super) fn of(draft: &Draft<'_>, discounts: &[&Discount]) -> Result<Self, RatingError> {
        let month = draft.input.zone.month_hours(draft.input.month);
        let month = month.map_err(|e| RatingError::Calendar(e.to_string()))?;
        let dates = discounts.iter().flat_map(|it| [it.from, it.until]).flatten();
        let mut edges: Vec<Hour> = dates
            .filter(|it| month.contains(it))
            .chain([month.start, month.end])
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let mut pieces = Self {
            edges,
            lines: Vec::new(),
        };
        if pieces.count() > 1 {
            let lines = (0..draft.lines.len()).map(|at| {
                let money = super::about(&draft.lines[at].item);
                pieces.cut(draft, at).map_err(money)
            });
            pieces.lines = lines.collect::<Result<_, _>>()?;
        }
        Ok(pieces)
    }

    fn count(&self) -> usize {
        self.edges.len() - 1
    }

    /// The pieces within a discount's dates; none if they hold for the whole month.
    pub(super) fn within(&self, discount: &Discount) -> Option<Range<usize>> {
        let place = |date: Hour| self.edges.partition_point(|it| *it < date).min(self.count());
        let first = discount.from.map_or(0, place);
        let behind = discount.until.map_or(self.count(), place);
        let is_whole = first == 0 && behind == self.count();
        (!is_whole).then_some(first..behind.max(first))
    }

    /// A line by pieces: differences of what had come up to each edge, rounded.
    fn cut(&self, draft: &Draft<'_>, at: usize) -> Result<Vec<Piece>, MoneyError> {
        let mut before = draft.zero();
        let mut pieces = Vec::with_capacity(self.count());
        for piece in 0..self.count() {
            let upto = match piece + 1 == self.count() {
                true => draft.lines[at].amount,
                false => {
                    let whole = draft.lines[at].exact;
                    draft.round_basis(&self.exact(draft, at, &(0..piece + 1), whole)?)?
                }
            };
            let (amount, taken) = (upto.checked_sub(before)?, draft.zero());
            pieces.push(Piece { amount, taken });
            before = upto;
        }
        Ok(pieces)
    }

    /// What of a line lies in pieces: the sum of its hours, or of what belongs to the month as a whole, which costs `whole`,
    /// the part of so many hours.
    fn exact(
        &self,
        draft: &Draft<'_>,
        at: usize,
        pieces: &Range<usize>,
        whole: Amount,
    ) -> Result<Basis, MoneyError> {
        let times = self.hours(&(0..self.count()));
        let sum = match usage_of(draft, at) {
            None => WideAmount::of(whole).times(self.hours(pieces))?,
            Some(sum) => {
                // Sums are cut at dates of discounts, not at the month's ends.
                let from = (pieces.start > 0).then(|| self.edges[pieces.start]);
                let until = (pieces.end < self.count()).then(|| self.edges[pieces.end]);
                let segments = draft.input.sums.segments_in(from, until);
                let inside = sum.segments.get(segments).into_iter().flatten();
                WideAmount::of(Amount::sum(inside.copied())?).times(times)?
            }
        };
        Ok(Basis { sum, times })
    }

    fn hours(&self, pieces: &Range<usize>) -> u32 {
        self.edges[pieces.end].0 - self.edges[pieces.start].0
    }

    /// What a discount within some pieces is taken from.
    pub(super) fn basis(
        &self,
        draft: &Draft<'_>,
        lines: &[usize],
        pieces: &Range<usize>,
        in_turn: bool,
    ) -> Result<Basis, MoneyError> {
        let mut all = Basis {
            sum: WideAmount::ZERO,
            times: self.hours(&(0..self.count())),
        };
        for at in lines.iter().filter(|at| !draft.is_maximum(**at)) {
            let net = draft.net_of(*at)?;
            let inside = self.exact(draft, *at, pieces, net)?.sum;
            all.sum = all
                .sum
                .checked_add(inside.min(WideAmount::of(net).times(all.times)?))?;
            if in_turn {
                let taken = self.lines[*at][pieces.clone()]
                    .iter()
                    .map(|it| WideAmount::of_money(it.taken));
                all.sum = all.sum.checked_sub(WideAmount::sum(taken)?.times(all.times)?)?;
            }
        }
        Ok(all)
    }

    /// What is left of each line within some pieces, and no more than is left of its item.
    pub(super) fn left(
        &self,
        draft: &Draft<'_>,
        lines: &[usize],
        pieces: &Range<usize>,
    ) -> Result<Vec<(usize, Money)>, MoneyError> {
        let inside = |at: usize| {
            let mut all = draft.zero();
            for piece in &self.lines[at][pieces.clone()] {
                all = all.checked_add(piece.amount.checked_sub(piece.taken)?)?;
            }
            Ok(all)
        };
        let mut found = Vec::new();
        for at in lines.iter().copied().filter(|at| !draft.is_maximum(*at)) {
            let has_maximum = draft.is_maximum(at + 1);
            let mut left = inside(at)?;
            if has_maximum && usage_of(draft, at).is_none() {
                left = left.checked_add(inside(at + 1)?)?;
            }
            let mut most = draft.left[at];
            if has_maximum {
                most = most.checked_add(draft.left[at + 1])?;
            }
            let least = if left.minor_units() > most.minor_units() {
                most
            } else {
                left
            };
            found.push((at, least));
        }
        Ok(found)
    }

    /// Notes what a discount took from lines within some pieces, all if none: from each piece in proportion to what is left.
    pub(super) fn note(
        &mut self,
        taken: &[(usize, Money)],
        pieces: Option<Range<usize>>,
    ) -> Result<(), MoneyError> {
        let pieces = match pieces {
            Some(pieces) => pieces,
            None => 0..self.count(),
        };
        for (at, taken) in taken {
            let Some(line) = self.lines.get_mut(*at) else {
                continue;
            };
            let line = &mut line[pieces.clone()];
            // Together no less than was taken, for pieces below zero only lessened that.
            let mut weights = Vec::with_capacity(line.len());
            for piece in &*line {
                let left = piece.amount.checked_sub(piece.taken)?.minor_units();
                weights.push(if left > 0 { left.unsigned_abs() } else { 0 });
            }
            for (piece, part) in line.iter_mut().zip(largest_remainder(*taken, &weights)?) {
                piece.taken = piece.taken.checked_add(part)?;
            }
        }
        Ok(())
    }
}

/// The sums of a line of usage whose hours have amounts; none for what belongs to the month as a whole.
fn usage_of<'a>(draft: &Draft<'a>, at: usize) -> Option<&'a ItemSum> {
    let line = &draft.lines[at];
    let Cause::Usage(tenant) = &line.cause else {
        return None;
    };
    let sum = draft.input.sums.tenants.get(tenant)?.get(&line.item)?;
    // Hours of a percentile are samples.
    sum.samples.is_empty().then_some(sum)
}

impl Draft<'_> {
    /// Whether a line takes off what is above the maximum of the line before it.
    fn is_maximum(&self, at: usize) -> bool {
        let line = self.lines.get(at);
        line.is_some_and(|it| matches!(it.cause, Cause::Maximum(_)))
    }

    /// What a line costs less what of it is above its maximum, which stands behind it.
    fn net_of(&self, at: usize) -> Result<Amount, MoneyError> {
        let exact = self.lines[at].exact;
        if self.is_maximum(at + 1) {
            exact.checked_add(self.lines[at + 1].exact)
        } else {
            Ok(exact)
        }
    }

    pub(super) fn round_basis(&self, basis: &Basis) -> Result<Money, MoneyError> {
        basis
            .sum
            .rounded(basis.times, self.currency(), self.book.rounding())
    }
}
