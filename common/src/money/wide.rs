//! Sums of amounts, and shares of them, on 256 bits: what percentages are taken from.
//!
//! Invariant: I7. A percentage of an exact amount often has more digits than a decimal holds (21 places of a price times a
//! quantity, six of the percentage, two of the hundred). Nothing needs that number: what is billed is its rounded value,
//! and that is made here from the exact one in a single step. The bounds are in `docs/adr/0003-exact-arithmetic.md`.
//! It must not know items, bills or hours.

use super::{Amount, Currency, Money, MoneyError, Percent, Rounding};

/// Decimal places that all sums are kept at: the most that an amount has.
const PLACES: u32 = 28;
/// The largest power of ten that one step divides by.
const STEP_DIGITS: u32 = 19;

/// A sum of exact amounts, in units of 10⁻²⁸; may be negative. Room for 2⁶⁵ of the largest amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WideAmount {
    // Two's complement, so that the order of the fields is that of the numbers.
    high: i128,
    low: u128,
}

impl WideAmount {
    /// No money.
    pub const ZERO: Self = Self { high: 0, low: 0 };

    /// The same amount.
    pub fn of(amount: Amount) -> Self {
        let decimal = amount.decimal();
        // A decimal has at most 96 bits and 28 places: 190 bits.
        Self::scaled(decimal.mantissa(), PLACES - decimal.scale())
    }

    /// The same amount.
    pub fn of_money(money: Money) -> Self {
        // 128 bits and 28 places: 221 bits.
        Self::scaled(money.minor_units(), PLACES - money.currency().minor_digits())
    }

    /// The exact sum of all of them.
    pub fn sum<I: IntoIterator<Item = Self>>(all: I) -> Result<Self, MoneyError> {
        all.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// Whether it is above zero.
    pub fn is_above_zero(self) -> bool {
        self > Self::ZERO
    }

    /// The exact sum.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        let (low, carry) = self.low.overflowing_add(other.low);
        let high = self.high.checked_add(other.high);
        let high = high.and_then(|it| it.checked_add(i128::from(carry)));
        let operation = "an addition";
        let high = high.ok_or(MoneyError::TooManyDigits { operation })?;
        Ok(Self { high, low })
    }

    /// The exact difference.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.checked_add(other.negated())
    }

    /// So many times the amount, exact.
    pub fn times(self, factor: u32) -> Result<Self, MoneyError> {
        let operation = "a multiplication";
        let product = times(self.limbs(), factor.into());
        Self::of_limbs(
            self.is_negative(),
            product.ok_or(MoneyError::TooManyDigits { operation })?,
        )
        .ok_or(MoneyError::TooManyDigits { operation })
    }

    /// A whole part of it, rounded once at the currency's minor unit. Fails for `parts` of 0.
    pub fn rounded(self, parts: u32, currency: Currency, rounding: Rounding) -> Result<Money, MoneyError> {
        self.quotient(1, (PLACES, parts), currency, rounding)
    }

    /// A percentage of a whole part of it, rounded once at the currency's minor unit. Fails for `parts` of 0.
    pub fn percent(
        self,
        percent: Percent,
        parts: u32,
        currency: Currency,
        rounding: Rounding,
    ) -> Result<Money, MoneyError> {
        let operation = "a percentage";
        let decimal = percent.decimal();
        let factor = u64::try_from(decimal.mantissa());
        let factor = factor.map_err(|_| MoneyError::TooManyDigits { operation })?;
        self.quotient(factor, (PLACES + decimal.scale() + 2, parts), currency, rounding)
    }

    /// `self × factor / 10^places / parts` in minor units.
    fn quotient(
        self,
        factor: u64,
        (places, parts): (u32, u32),
        currency: Currency,
        rounding: Rounding,
    ) -> Result<Money, MoneyError> {
        let too_big = || MoneyError::TooManyDigits {
            operation: "a percentage",
        };
        if parts == 0 {
            return Err(MoneyError::ZeroUnit);
        }
        // Half-up is ⌊(⌊2x⌋ + 1) / 2⌋ of the exact quotient x, and whole divisions one after another are one by their product.
        let Rounding::HalfUp = rounding;
        let mut doubled = times(self.limbs(), factor)
            .and_then(|it| times(it, 2))
            .ok_or_else(too_big)?;
        doubled = divided(doubled, parts.into());
        let mut left = places.checked_sub(currency.minor_digits()).ok_or_else(too_big)?;
        while left > 0 {
            let step = left.min(STEP_DIGITS);
            doubled = divided(doubled, 10_u64.pow(step));
            left -= step;
        }
        let doubled = narrow(doubled)
            .and_then(|it| it.checked_add(1))
            .ok_or_else(too_big)?;
        let units = i128::try_from(doubled / 2).map_err(|_| too_big())?;
        let signed = if self.is_negative() { -units } else { units };
        Ok(Money::from_minor_units(signed, currency))
    }

    fn scaled(mantissa: i128, zeros: u32) -> Self {
        let mut limbs = wide(mantissa.unsigned_abs());
        let mut left = zeros;
        while left > 0 {
            let step = left.min(STEP_DIGITS);
            limbs = times(limbs, 10_u64.pow(step)).expect("at most 221 bits");
            left -= step;
        }
        Self::of_limbs(mantissa < 0, limbs).expect("at most 221 bits")
    }

    fn is_negative(self) -> bool {
        self.high < 0
    }

    fn negated(self) -> Self {
        // All bits turned, and one: of two's complement the other sign.
        let (low, carry) = (!self.low).overflowing_add(1);
        let high = (!self.high).checked_add(i128::from(carry));
        let high = high.expect("sums are far above the least number of 256 bits");
        Self { high, low }
    }

    /// The number without its sign, least limb first.
    fn limbs(self) -> [u64; 4] {
        let size = if self.is_negative() { self.negated() } else { self };
        let [low, lower] = halves(size.low);
        let [upper, high] = halves(size.high.cast_unsigned());
        [low, lower, upper, high]
    }

    /// The number with its sign; none past 255 bits.
    fn of_limbs(is_negative: bool, [low, lower, upper, high]: [u64; 4]) -> Option<Self> {
        let join = |low: u64, high: u64| u128::from(low) | (u128::from(high) << 64);
        let size = Self {
            high: i128::try_from(join(upper, high)).ok()?,
            low: join(low, lower),
        };
        Some(if is_negative { size.negated() } else { size })
    }
}

fn halves(number: u128) -> [u64; 2] {
    let half = |it: u128| u64::try_from(it).expect("64 bits");
    [half(number & u128::from(u64::MAX)), half(number >> 64)]
}

fn wide(number: u128) -> [u64; 4] {
    let [low, high] = halves(number);
    [low, high, 0, 0]
}

/// The product; none past 256 bits.
fn times(mut limbs: [u64; 4], factor: u64) -> Option<[u64; 4]> {
    let mut carry = 0;
    for limb in &mut limbs {
        let [low, high] = halves(u128::from(*limb) * u128::from(factor) + u128::from(carry));
        (*limb, carry) = (low, high);
    }
    (carry == 0).then_some(limbs)
}

/// The whole quotient by a divisor above 0.
fn divided(mut limbs: [u64; 4], divisor: u64) -> [u64; 4] {
    let (mut rest, divisor) = (0_u128, u128::from(divisor));
    for limb in limbs.iter_mut().rev() {
        let over = (rest << 64) | u128::from(*limb);
        // The rest is below the divisor, so the quotient has 64 bits.
        *limb = halves(over / divisor)[0];
        rest = over % divisor;
    }
    limbs
}

fn narrow([low, lower, upper, high]: [u64; 4]) -> Option<u128> {
    (upper == 0 && high == 0).then(|| u128::from(low) | (u128::from(lower) << 64))
}
