//! Fractions of whole numbers: the arithmetic of the naive model and of the sums that stand in the golden bills.
//!
//! Shares nothing with the decimals of the product. An overflow ends the test: it never gives another number.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// `over / under` in lowest terms, `under` above 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    over: i128,
    under: i128,
}

impl Ratio {
    pub const ZERO: Self = Self { over: 0, under: 1 };
    pub const HUNDRED: Self = Self { over: 100, under: 1 };

    /// `over / under`.
    pub fn new(over: i128, under: i128) -> Self {
        assert!(under != 0, "a fraction over zero");
        let divisor = common(over, under) * under.signum();
        Self {
            over: over / divisor,
            under: under / divisor,
        }
    }

    /// A whole number.
    pub fn whole(number: i128) -> Self {
        Self {
            over: number,
            under: 1,
        }
    }

    /// Reads `-12.50`; nothing for anything else.
    pub fn read(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        if whole.is_empty() || digits.ends_with('.') || !all.chars().all(|it| it.is_ascii_digit()) {
            return None;
        }
        let under = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        all.parse::<i128>().ok().map(|over| Self::new(sign * over, under))
    }

    /// The largest whole number that is not above it.
    pub fn floor(self) -> i128 {
        self.over.div_euclid(self.under)
    }

    /// The smallest whole number that is not below it.
    pub fn ceil(self) -> i128 {
        -(-self).floor()
    }

    /// Half-up, away from zero, at so many decimal places.
    pub fn rounded(self, places: u32) -> Self {
        let factor = 10_i128.pow(places);
        let units = (self.size() * Self::whole(factor) + Self::new(1, 2)).floor();
        Self::new(self.over.signum() * units, factor)
    }

    /// Without its sign.
    pub fn size(self) -> Self {
        if self.over < 0 { -self } else { self }
    }

    pub fn is_zero(self) -> bool {
        self.over == 0
    }

    pub fn is_above_zero(self) -> bool {
        self.over > 0
    }
}

fn common(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn times(a: i128, b: i128) -> i128 {
    a.checked_mul(b).expect("the model's numbers are small")
}

impl Add for Ratio {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let divisor = common(self.under, other.under);
        let (left, right) = (
            times(self.over, other.under / divisor),
            times(other.over, self.under / divisor),
        );
        let over = left.checked_add(right).expect("the model's numbers are small");
        Self::new(over, times(self.under, other.under / divisor))
    }
}

impl Neg for Ratio {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            over: -self.over,
            under: self.under,
        }
    }
}

impl Sub for Ratio {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Ratio {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let (one, two) = (
            common(self.over, other.under).max(1),
            common(other.over, self.under).max(1),
        );
        Self::new(
            times(self.over / one, other.over / two),
            times(self.under / two, other.under / one),
        )
    }
}

impl Div for Ratio {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        assert!(!other.is_zero(), "a division by zero");
        self * Self::new(other.under, other.over)
    }
}

impl Sum for Ratio {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> Ordering {
        (*self - *other).over.cmp(&0)
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Ratio {
    /// As a decimal without trailing zeros if it has an end, else as a fraction.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for places in 0..=30_u32 {
            let factor = 10_i128.pow(places);
            if factor % self.under == 0 {
                let digits = times(self.over.abs(), factor / self.under);
                let sign = if self.over < 0 { "-" } else { "" };
                if places == 0 {
                    return write!(out, "{sign}{digits}");
                }
                let width = usize::try_from(places).map_err(|_| fmt::Error)?;
                return write!(out, "{sign}{}.{:0width$}", digits / factor, digits % factor);
            }
        }
        write!(out, "{}/{}", self.over, self.under)
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Protects: the model itself. A model that rounds wrongly would call a right bill wrong.
#[test]
fn fractions_are_what_they_say() {
    let read = |text: &str| Ratio::read(text).expect("a number");
    #[rustfmt::skip]
    let table = [
        (read("0.1") + read("0.2"),       "0.3"),
        (read("1") / read("3"),           "1/3"),
        (read("1") / read("3") * read("3"), "1"),
        (read("-0.5").rounded(0),         "-1"),
        (read("0.005").rounded(2),        "0.01"),
        (read("0.004999999").rounded(2),  "0"),
        (read("-2.345").rounded(2),       "-2.35"),
        (Ratio::whole(read("2.1").ceil()), "3"),
        (Ratio::whole(read("-2.1").floor()), "-3"),
        (read("-12.50"),                  "-12.5"),
    ];
    for (got, wanted) in table {
        assert_eq!(got.to_string(), wanted);
    }
    assert!(read("0.3") > read("0.299999999") && read("-1") < Ratio::ZERO);
    assert!(
        [".5", "5.", "1e3", "", "+1"]
            .iter()
            .all(|it| Ratio::read(it).is_none())
    );
}
