//! Sums and products of decimals that are exact to the last digit or fail.
//!
//! A decimal here is canonical: mantissa / 10^scale with the smallest scale, so that 0.1 and 0.10 are one byte
//! string. Mantissas are 96 bits wide, as `rust_decimal` stores them, and are worked on as i128.
//! Invariant: I7. It must not know what the numbers mean.

use rust_decimal::Decimal;

use super::MoneyError;

/// Largest mantissa that a [`Decimal`] holds.
const MANTISSA_MAX: i128 = (1 << 96) - 1;
/// Most decimal places that a [`Decimal`] holds.
const SCALE_MAX: u32 = 28;

/// The exact product, canonical; fails if it does not fit.
pub fn exact_mul(left: Decimal, right: Decimal) -> Result<Decimal, MoneyError> {
    let operation = "a multiplication";
    let (mut left, mut right) = (Parts::of(left), Parts::of(right));
    let mut scale = left.scale + right.scale;
    // Tens of the product (100 × 0.25, 0.2 × 5) are cancelled before it is made, so that a product fails only if
    // its canonical form does not fit.
    left.mantissa = strip_tens(left.mantissa, &mut scale);
    right.mantissa = strip_tens(right.mantissa, &mut scale);
    scale = cancel_tens(&mut left.mantissa, &mut right.mantissa, scale);
    scale = cancel_tens(&mut right.mantissa, &mut left.mantissa, scale);
    let mantissa = left
        .mantissa
        .checked_mul(right.mantissa)
        .ok_or(MoneyError::TooManyDigits { operation })?;
    canonical(mantissa, scale, operation)
}

/// The exact sum, canonical; fails if it does not fit.
pub fn exact_add(left: Decimal, right: Decimal) -> Result<Decimal, MoneyError> {
    add_parts(Parts::of(left), Parts::of(right), "an addition")
}

/// The exact difference, canonical; fails if it does not fit.
pub fn exact_sub(left: Decimal, right: Decimal) -> Result<Decimal, MoneyError> {
    let right = Parts::of(right);
    let negated = Parts {
        mantissa: -right.mantissa,
        scale: right.scale,
    };
    add_parts(Parts::of(left), negated, "a subtraction")
}

/// The exact sum of all values, canonical.
pub fn exact_sum<I: IntoIterator<Item = Decimal>>(values: I) -> Result<Decimal, MoneyError> {
    values.into_iter().try_fold(Decimal::ZERO, exact_add)
}

/// Reads `-?digits[.digits]` and nothing else: no plus sign, exponent, separator, leading zero or space.
pub fn parse_decimal(text: &str) -> Result<Decimal, MoneyError> {
    let refuse = |reason| MoneyError::NotDecimal {
        text: text.chars().take(64).collect(),
        reason,
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if let Some(reason) = digits.chars().find_map(stranger) {
        return Err(refuse(reason));
    }
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return Err(refuse("no digits after the point")),
        Some((_, fraction)) if fraction.contains('.') => return Err(refuse("more than one point")),
        Some((whole, fraction)) => (whole, fraction),
        None => (digits, ""),
    };
    if whole.is_empty() {
        return Err(refuse("no digits before the point"));
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return Err(refuse("a leading zero"));
    }
    let fraction = fraction.trim_end_matches('0');
    let too_long = "more digits than can be kept exactly";
    let mut mantissa: i128 = 0;
    for digit in whole.chars().chain(fraction.chars()) {
        let value = digit
            .to_digit(10)
            .ok_or_else(|| refuse("only digits and one point are allowed"))?;
        mantissa = mantissa
            .checked_mul(10)
            .and_then(|it| it.checked_add(i128::from(value)))
            .filter(|it| *it <= MANTISSA_MAX)
            .ok_or_else(|| refuse(too_long))?;
    }
    let scale = u32::try_from(fraction.len()).map_err(|_| refuse(too_long))?;
    let signed = if negative { -mantissa } else { mantissa };
    canonical(signed, scale, "reading").map_err(|_| refuse(too_long))
}

/// Why a character has no place in a number; none if it has one.
fn stranger(it: char) -> Option<&'static str> {
    Some(match it {
        '0'..='9' | '.' => return None,
        ',' | '，' | '٫' => "the decimal separator is a point, and digits are not grouped",
        '_' | '\'' | '’' => "digits are not grouped",
        it if it.is_whitespace() => "digits are not grouped, and no space stands before or behind them",
        '+' => "no plus sign is written",
        'e' | 'E' => "no exponent is written: all digits are",
        '%' => "no percent sign is written",
        it if it.is_numeric() => "only the digits 0 to 9 are read",
        _ => "only digits and one point are allowed",
    })
}

/// The canonical decimal mantissa / 10^scale.
pub(super) fn canonical(
    mantissa: i128,
    mut scale: u32,
    operation: &'static str,
) -> Result<Decimal, MoneyError> {
    let mantissa = strip_tens(mantissa, &mut scale);
    if scale > SCALE_MAX || mantissa.unsigned_abs() > MANTISSA_MAX.unsigned_abs() {
        return Err(MoneyError::TooManyDigits { operation });
    }
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| MoneyError::TooManyDigits { operation })
}

/// A decimal taken apart: value = mantissa / 10^scale, |mantissa| < 2^96.
#[derive(Clone, Copy)]
struct Parts {
    mantissa: i128,
    scale: u32,
}

impl Parts {
    fn of(value: Decimal) -> Self {
        let mut scale = value.scale();
        Self {
            mantissa: strip_tens(value.mantissa(), &mut scale),
            scale,
        }
    }

    /// The mantissa at a larger scale.
    fn at(self, scale: u32, operation: &'static str) -> Result<i128, MoneyError> {
        10_i128
            .checked_pow(scale - self.scale)
            .and_then(|factor| self.mantissa.checked_mul(factor))
            .ok_or(MoneyError::TooManyDigits { operation })
    }
}

/// Both parts are canonical. If their scales differ, the sum needs the larger one, and its mantissa fits 96 bits
/// only if both aligned mantissas fit 97; so i128 never refuses a sum that a decimal could hold.
fn add_parts(left: Parts, right: Parts, operation: &'static str) -> Result<Decimal, MoneyError> {
    let scale = left.scale.max(right.scale);
    let mantissa = left
        .at(scale, operation)?
        .checked_add(right.at(scale, operation)?)
        .ok_or(MoneyError::TooManyDigits { operation })?;
    canonical(mantissa, scale, operation)
}

/// Takes the mantissa's trailing zeros out as far as the scale goes.
fn strip_tens(mut mantissa: i128, scale: &mut u32) -> i128 {
    // Most fit one word, whose division costs a fraction.
    if let Ok(mut word) = i64::try_from(mantissa) {
        while *scale > 0 && word % 10 == 0 {
            word /= 10;
            *scale -= 1;
        }
        return i128::from(word);
    }
    while *scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        *scale -= 1;
    }
    mantissa
}

/// Takes pairs of a factor 2 of one mantissa and a factor 5 of the other out; returns the scale that is left.
fn cancel_tens(twos: &mut i128, fives: &mut i128, mut scale: u32) -> u32 {
    while scale > 0 && *twos != 0 && *fives != 0 && *twos % 2 == 0 && *fives % 5 == 0 {
        *twos /= 2;
        *fives /= 5;
        scale -= 1;
    }
    scale
}
