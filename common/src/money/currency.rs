//! Currencies of ISO 4217, rounding to their minor unit, and splitting of rounded money.
//!
//! Invariant: I7. [`round_minor`] is the one place where an amount is rounded: once per bill line, never a sum.
//! It must not know items, bills or exchange rates.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Amount, MoneyError, parse_decimal};

/// Codes whose minor unit is a hundredth.
const TWO_DIGITS: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BMD", "BND", "BOB",
    "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CNY", "COP", "CRC", "CUP", "CVE", "CZK",
    "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GTQ",
    "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IRR", "JMD", "KES", "KGS", "KHR", "KPW", "KYD",
    "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR",
    "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "PAB", "PEN", "PGK", "PHP",
    "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS",
    "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH",
    "USD", "UYU", "UZS", "VED", "VES", "WST", "XCD", "YER", "ZAR", "ZMW",
];
/// Codes without a minor unit.
const NO_DIGITS: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF",
    "XPF",
];
/// Codes whose minor unit is a thousandth.
const THREE_DIGITS: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// A currency of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency {
    code: &'static str,
    minor_digits: u32,
}

impl Currency {
    /// Looks a code such as `CNY` up; any other text, lower case too, is refused.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        let tables = [(NO_DIGITS, 0), (TWO_DIGITS, 2), (THREE_DIGITS, 3)];
        for (codes, minor_digits) in tables {
            if let Some(code) = codes.iter().find(|it| **it == code) {
                return Ok(Self { code, minor_digits });
            }
        }
        Err(MoneyError::UnknownCurrency {
            code: code.chars().take(64).collect(),
        })
    }

    /// The code of three letters.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// Decimal places of the minor unit: 2 for CNY and USD, 0 for JPY.
    pub fn minor_digits(self) -> u32 {
        self.minor_digits
    }
}

/// How an amount is brought to the minor unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest minor unit; what lies in the middle goes away from zero.
    HalfUp,
}

impl Rounding {
    /// The name in price books and on bills.
    pub fn name(self) -> &'static str {
        match self {
            Self::HalfUp => "half_up",
        }
    }
}

/// Rounded money: a whole number of minor units of one currency; may be negative.
///
/// Its text has always the currency's own number of places: `1.40 CNY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Money {
    minor_units: i128,
    currency: Currency,
}

impl Money {
    /// Money of a number of minor units (cents, fen).
    pub fn from_minor_units(minor_units: i128, currency: Currency) -> Self {
        Self {
            minor_units,
            currency,
        }
    }

    /// No money.
    pub fn zero(currency: Currency) -> Self {
        Self {
            minor_units: 0,
            currency,
        }
    }

    /// Reads `1.40 CNY`; fails if the number is no whole number of minor units.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (number, code) = text.split_once(' ').ok_or_else(|| MoneyError::NotDecimal {
            text: text.chars().take(64).collect(),
            reason: "a number, a space and a currency code are wanted",
        })?;
        let currency = Currency::parse(code)?;
        let value = parse_decimal(number)?;
        let places_max = currency.minor_digits;
        if value.scale() > places_max {
            let text = text.to_owned();
            return Err(MoneyError::TooManyPlaces {
                text,
                places: value.scale(),
                places_max,
            });
        }
        let minor_units = power_of_ten(places_max - value.scale())
            .and_then(|factor| value.mantissa().checked_mul(factor))
            .ok_or(MoneyError::TooManyDigits { operation: "reading" })?;
        Ok(Self {
            minor_units,
            currency,
        })
    }

    /// Number of minor units.
    pub fn minor_units(self) -> i128 {
        self.minor_units
    }

    /// Its currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The exact sum; fails for another currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch {
                left: self.currency,
                right: other.currency,
            });
        }
        let minor_units =
            self.minor_units
                .checked_add(other.minor_units)
                .ok_or(MoneyError::TooManyDigits {
                    operation: "an addition",
                })?;
        Ok(Self {
            minor_units,
            currency: self.currency,
        })
    }

    /// The exact difference; fails for another currency.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        let negated = other.minor_units.checked_neg().ok_or(MoneyError::TooManyDigits {
            operation: "a subtraction",
        })?;
        self.checked_add(Self {
            minor_units: negated,
            ..other
        })
    }

    /// The same amount, exact.
    ///
    /// # Panics
    /// When it has more digits than a decimal holds, which no invoice reaches.
    pub fn exact(self) -> Amount {
        Amount(Decimal::from_i128_with_scale(self.minor_units, self.currency.minor_digits).normalize())
    }

    /// The number alone, with the currency's places: `1.40`.
    pub fn number(self) -> String {
        let sign = if self.minor_units < 0 { "-" } else { "" };
        let units = self.minor_units.unsigned_abs();
        let places = self.currency.minor_digits;
        if places == 0 {
            return format!("{sign}{units}");
        }
        let unit = 10_u128.pow(places);
        let width = usize::from(places.to_le_bytes()[0]);
        format!("{sign}{}.{:0width$}", units / unit, units % unit)
    }
}

/// Rounds an exact amount to the currency's minor unit. Once per bill line; a sum is never rounded again.
pub fn round_minor(amount: Amount, currency: Currency, rounding: Rounding) -> Result<Money, MoneyError> {
    let too_big = MoneyError::TooManyDigits {
        operation: "rounding",
    };
    let (mantissa, scale) = (amount.decimal().mantissa(), amount.decimal().scale());
    let digits = currency.minor_digits;
    let minor_units = if scale <= digits {
        power_of_ten(digits - scale)
            .and_then(|factor| mantissa.checked_mul(factor))
            .ok_or(too_big)?
    } else {
        // Mantissas have 96 bits and scales at most 28, so neither the power nor the doubling can overflow.
        let divisor = power_of_ten(scale - digits).ok_or(too_big)?;
        let (quotient, rest) = (mantissa / divisor, mantissa % divisor);
        match rounding {
            Rounding::HalfUp if 2 * rest.abs() >= divisor => quotient + mantissa.signum(),
            Rounding::HalfUp => quotient,
        }
    };
    Ok(Money {
        minor_units,
        currency,
    })
}

/// Splits money over weights: each part gets its share rounded toward zero, the units that are left go to the
/// largest remainders, equal ones to the earlier part. The parts sum exactly to the total (I7).
///
/// Fails if all weights are zero or a product passes 128 bits.
pub fn largest_remainder(total: Money, weights: &[u128]) -> Result<Vec<Money>, MoneyError> {
    let too_big = || MoneyError::TooManyDigits { operation: "a split" };
    let mut weight_sum: u128 = 0;
    for weight in weights {
        weight_sum = weight_sum.checked_add(*weight).ok_or_else(too_big)?;
    }
    if weight_sum == 0 {
        return Err(MoneyError::NoWeight);
    }
    let units = total.minor_units.unsigned_abs();
    let mut shares = Vec::with_capacity(weights.len());
    let mut left = units;
    for weight in weights {
        let product = units.checked_mul(*weight).ok_or_else(too_big)?;
        shares.push((product / weight_sum, product % weight_sum));
        left -= product / weight_sum;
    }
    // `left` is below the number of parts with a remainder, so one unit each is enough.
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|a, b| shares[*b].1.cmp(&shares[*a].1).then(a.cmp(b)));
    for index in order {
        if left == 0 {
            break;
        }
        shares[index].0 += 1;
        left -= 1;
    }
    let part = |share: u128| {
        let share = i128::try_from(share).map_err(|_| too_big())?;
        Ok(Money {
            minor_units: share * total.minor_units.signum(),
            currency: total.currency,
        })
    };
    shares.into_iter().map(|(share, _)| part(share)).collect()
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

impl fmt::Debug for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.number(), self.currency)
    }
}

impl From<Currency> for String {
    fn from(value: Currency) -> Self {
        value.code.to_owned()
    }
}

impl From<Money> for String {
    fn from(value: Money) -> Self {
        value.to_string()
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(code: String) -> Result<Self, MoneyError> {
        Self::parse(&code)
    }
}

impl TryFrom<String> for Money {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        Self::parse(&text)
    }
}
