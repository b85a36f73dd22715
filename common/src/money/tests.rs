//! Tests of exact money: tables a finance person can read, and random numbers against naive big integers.
//!
//! Invariant: I7. The model below is a decimal digit string, so it shares no arithmetic with what it checks.

use rust_decimal::Decimal;

use super::*;

/// A signed decimal as digits, least first; value = ±digits / 10^scale.
#[derive(Clone, Debug)]
struct Model {
    negative: bool,
    digits: Vec<u8>,
    scale: usize,
}

impl Model {
    fn of(value: Decimal) -> Self {
        let digits = value.mantissa().unsigned_abs().to_string();
        Self {
            negative: value.mantissa() < 0,
            digits: digits.bytes().rev().map(|it| it - b'0').collect(),
            scale: value.scale() as usize,
        }
    }

    fn at(&self, scale: usize) -> Vec<u8> {
        let mut digits = vec![0; scale - self.scale];
        digits.extend(&self.digits);
        digits
    }

    fn mul(&self, other: &Self) -> Self {
        let mut wide = vec![0_u64; self.digits.len() + other.digits.len() + 1];
        for (i, a) in self.digits.iter().enumerate() {
            for (j, b) in other.digits.iter().enumerate() {
                wide[i + j] += u64::from(*a) * u64::from(*b);
            }
        }
        let digits = carry(wide);
        Self {
            negative: self.negative != other.negative,
            digits,
            scale: self.scale + other.scale,
        }
    }

    fn add(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        let (a, b) = (self.at(scale), other.at(scale));
        if self.negative == other.negative {
            let sums = (0..a.len().max(b.len()) + 1).map(|i| digit(&a, i) + digit(&b, i));
            return Self {
                negative: self.negative,
                digits: carry(sums.collect()),
                scale,
            };
        }
        let (large, small, negative) = if less(&a, &b) {
            (b, a, other.negative)
        } else {
            (a, b, self.negative)
        };
        let mut borrow = 0;
        let mut digits = Vec::new();
        for i in 0..large.len() {
            let take = digit(&small, i) + borrow;
            let have = digit(&large, i);
            borrow = u64::from(have < take);
            digits.push(u8::try_from(have + 10 * borrow - take).expect("one digit"));
        }
        Self {
            negative,
            digits,
            scale,
        }
    }

    /// The canonical text, or none if no decimal can hold it.
    fn text(&self) -> Option<String> {
        let mut digits = self.digits.clone();
        let mut scale = self.scale;
        while digits.len() <= scale {
            digits.push(0);
        }
        while scale > 0 && digits[0] == 0 {
            digits.remove(0);
            scale -= 1;
        }
        while digits.len() > scale + 1 && digits.last() == Some(&0) {
            digits.pop();
        }
        let all: String = digits.iter().rev().map(|it| char::from(b'0' + it)).collect();
        let trimmed = all.trim_start_matches('0');
        let limit = ((1_u128 << 96) - 1).to_string();
        let too_long = (trimmed.len(), trimmed) > (limit.len(), limit.as_str());
        if too_long || scale > 28 {
            return None;
        }
        let (whole, fraction) = all.split_at(all.len() - scale);
        let sign = if self.negative && !trimmed.is_empty() {
            "-"
        } else {
            ""
        };
        let point = if scale > 0 { "." } else { "" };
        Some(format!("{sign}{whole}{point}{fraction}"))
    }
}

fn digit(digits: &[u8], index: usize) -> u64 {
    digits.get(index).copied().map_or(0, u64::from)
}

fn less(a: &[u8], b: &[u8]) -> bool {
    (0..a.len().max(b.len()))
        .rev()
        .map(|i| (digit(a, i), digit(b, i)))
        .find(|(x, y)| x != y)
        .is_some_and(|(x, y)| x < y)
}

fn carry(wide: Vec<u64>) -> Vec<u8> {
    let mut rest = 0;
    let mut digits = Vec::new();
    for value in wide {
        let sum = value + rest;
        digits.push(u8::try_from(sum % 10).expect("one digit"));
        rest = sum / 10;
    }
    while rest > 0 {
        digits.push(u8::try_from(rest % 10).expect("one digit"));
        rest /= 10;
    }
    digits
}

/// A small generator; every width of mantissa and every scale comes up.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn decimal(&mut self) -> Decimal {
        let wide = (u128::from(self.next()) << 64) | u128::from(self.next());
        let bits = self.next() % 97;
        let mut mantissa = i128::try_from(wide & ((1 << bits) - 1)).expect("96 bits");
        if self.next().is_multiple_of(3) {
            // Round numbers are what price lists are made of.
            let unit = 10_i128.pow(u32::try_from(self.next() % 20).expect("small"));
            mantissa = mantissa / unit * unit;
        }
        let signed = if self.next().is_multiple_of(2) {
            -mantissa
        } else {
            mantissa
        };
        Decimal::from_i128_with_scale(signed, u32::try_from(self.next() % 29).expect("small"))
    }
}

#[test]
fn sums_and_products_equal_naive_big_integers_or_fail() {
    let mut random = Random(0x5eed_cafe_f00d_0001);
    let (mut exact, mut refused) = (0, 0);
    for round in 0..60_000 {
        let (a, b) = (random.decimal(), random.decimal());
        let (ma, mb) = (Model::of(a), Model::of(b));
        let minus_b = Model {
            negative: !mb.negative,
            ..mb.clone()
        };
        let cases = [
            ("mul", exact_mul(a, b), ma.mul(&mb)),
            ("add", exact_add(a, b), ma.add(&mb)),
            ("sub", exact_sub(a, b), ma.add(&minus_b)),
        ];
        for (name, got, wanted) in cases {
            let got = got.ok().map(|it| it.to_string());
            assert_eq!(got, wanted.text(), "I7: round {round}: {a} {name} {b}");
            if got.is_some() { exact += 1 } else { refused += 1 }
        }
    }
    assert!(
        exact > 30_000 && refused > 30_000,
        "both kinds are tested: {exact}, {refused}"
    );
}

#[test]
fn what_the_library_rounds_is_exact_or_refused_here() {
    // 20 digits times 20 digits: the library's checked product keeps 28 digits and says nothing.
    let a = Decimal::from_str_exact("1.2345678901234567891").expect("decimal");
    let silent = a.checked_mul(a).expect("rounded in silence");
    assert_eq!(silent.scale(), 28);
    assert!(exact_mul(a, a).is_err());
    // 2^95 × 0.2 × 5 has as many digits as 2^95 itself.
    let big = Decimal::from_i128_with_scale(1 << 95, 0);
    let fifth = Decimal::from_str_exact("0.2").expect("decimal");
    assert_eq!(
        exact_mul(exact_mul(fifth, Decimal::from(5)).expect("one"), big),
        Ok(big)
    );
}

#[test]
fn numbers_are_read_strictly_and_written_canonically() {
    let good = [
        ("0", "0"),
        ("-0", "0"),
        ("0.0", "0"),
        ("0.10", "0.1"),
        ("100", "100"),
        ("-1.50", "-1.5"),
        ("79228162514264337593543950335", "79228162514264337593543950335"),
        ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
        ("1.00000000000000000000000000000000000000", "1"),
    ];
    for (text, wanted) in good {
        assert_eq!(
            parse_decimal(text).map(|it| it.to_string()).as_deref(),
            Ok(wanted),
            "{text}"
        );
    }
    let bad = [
        "",
        "-",
        "+1",
        ".5",
        "5.",
        "1e3",
        "1_000",
        "1,5",
        " 1",
        "1 ",
        "007",
        "--1",
        "1.2.3",
        "NaN",
        "٣",
        "79228162514264337593543950336",
        "0.00000000000000000000000000001",
        "0x10",
    ];
    for text in bad {
        assert!(parse_decimal(text).is_err(), "{text} was taken");
    }
}

#[test]
fn what_is_no_number_is_told_why() {
    let point = "the decimal separator is a point, and digits are not grouped";
    let table = [
        ("", "no digits before the point"),
        ("0,1", point),
        ("1,000.00", point),
        ("1.000,00", point),
        (
            "1 000",
            "digits are not grouped, and no space stands before or behind them",
        ),
        (
            " 1",
            "digits are not grouped, and no space stands before or behind them",
        ),
        (
            "1\u{a0}000",
            "digits are not grouped, and no space stands before or behind them",
        ),
        ("1_000", "digits are not grouped"),
        ("1'000", "digits are not grouped"),
        ("١", "only the digits 0 to 9 are read"),
        ("１", "only the digits 0 to 9 are read"),
        ("1e3", "no exponent is written: all digits are"),
        ("1E-3", "no exponent is written: all digits are"),
        ("+1", "no plus sign is written"),
        ("-+1", "no plus sign is written"),
        (".5", "no digits before the point"),
        ("5.", "no digits after the point"),
        ("1.2.3", "more than one point"),
        ("1..2", "more than one point"),
        ("06", "a leading zero"),
        ("6%", "no percent sign is written"),
        ("¥6", "only digits and one point are allowed"),
    ];
    for (text, reason) in table {
        let told = parse_decimal(text).map_err(|it| it.to_string());
        assert_eq!(
            told,
            Err(format!("`{text}` is not a decimal number: {reason}")),
            "{text}"
        );
    }
}

#[test]
fn kinds_of_numbers_refuse_what_they_cannot_be() {
    let says = |error: MoneyError| error.to_string();
    assert_eq!(
        Price::parse("-1").map_err(says),
        Err("price -1 is negative".into())
    );
    assert_eq!(
        Price::parse("0.0000000000001").map_err(says),
        Err("`0.0000000000001` has 13 decimal places, at most 12 are allowed".into())
    );
    assert_eq!(
        Quantity::parse("0.0000000001").map_err(says),
        Err("`0.0000000001` has 10 decimal places, at most 9 are allowed".into())
    );
    let (one, two) = (quantity("1"), quantity("2"));
    assert_eq!(two.checked_sub(one), Ok(one));
    assert_eq!(
        one.checked_sub(two).map_err(says),
        Err("quantity -1 is negative".into())
    );
    assert!(Currency::parse("XXX").is_err() && Currency::parse("cny").is_err());
}

#[test]
fn base_units_become_quantities_half_up_at_nine_places() {
    const GIB_HOUR: u128 = (1 << 30) * 3_600_000;
    #[rustfmt::skip]
    let table: &[(u128, u128, &str)] = &[
        // base units      unit            quantity
        (0,                1_000_000_000,  "0"),
        (1,                1_000_000_000,  "0.000000001"),
        (3_600_000_000_000,1_000_000_000,  "3600"),
        (1,                2_000_000_000,  "0.000000001"),   // exactly half: up
        (1,                2_000_000_001,  "0"),             // just below half
        (1,                3,              "0.333333333"),
        (2,                3,              "0.666666667"),
        (2048 * GIB_HOUR,  GIB_HOUR,       "2048"),
        (GIB_HOUR - 1,     GIB_HOUR,       "1"),
        (1_932_735,        GIB_HOUR,       "0"),             // half of 0.000000001 is 1 932 735.28
        (1_932_736,        GIB_HOUR,       "0.000000001"),
    ];
    for (base, unit, wanted) in table {
        assert_eq!(
            Quantity::from_base_units(*base, *unit),
            Ok(quantity(wanted)),
            "{base}/{unit}"
        );
    }
    assert_eq!(Quantity::from_base_units(1, 0), Err(MoneyError::ZeroUnit));
    assert!(Quantity::from_base_units(u128::MAX, 1).is_err());
}

#[test]
fn amounts_are_rounded_to_the_minor_unit() {
    #[rustfmt::skip]
    let table = [
        // amount        currency  rounded
        ("1.4536",       "CNY",    "1.45 CNY"),
        ("0.282",        "USD",    "0.28 USD"),
        ("0.005",        "USD",    "0.01 USD"),
        ("0.004999999",  "USD",    "0.00 USD"),
        ("-0.005",       "USD",    "-0.01 USD"),   // the middle goes away from zero, both ways
        ("-0.0049",      "USD",    "0.00 USD"),
        ("1.4",          "CNY",    "1.40 CNY"),
        ("12",           "EUR",    "12.00 EUR"),
        ("0.5",          "JPY",    "1 JPY"),
        ("1234.4999",    "JPY",    "1234 JPY"),
        ("0.0005",       "KWD",    "0.001 KWD"),
        ("7.9228162514264337593543950335", "USD", "7.92 USD"),
        ("79228162514264337593543950335",  "USD", "79228162514264337593543950335.00 USD"),
    ];
    for (amount, code, wanted) in table {
        let currency = Currency::parse(code).expect("code");
        let amount = Amount::parse(amount).expect("amount");
        let got = round_minor(amount, currency, Rounding::HalfUp).expect("fits");
        assert_eq!(got.to_string(), wanted);
        assert_eq!(Money::parse(wanted), Ok(got), "the text reads back");
    }
}

#[test]
fn a_split_loses_no_cent_and_favours_the_larger_remainder_then_the_earlier_part() {
    let usd = Currency::parse("USD").expect("code");
    #[rustfmt::skip]
    let table: &[(i128, &[u128], &[i128])] = &[
        (100,  &[1, 1, 1],        &[34, 33, 33]),
        (-100, &[1, 1, 1],        &[-34, -33, -33]),
        (101,  &[1, 1, 1],        &[34, 34, 33]),
        (1,    &[1, 2],           &[0, 1]),
        (10,   &[0, 3, 0, 7],     &[0, 3, 0, 7]),
        (2,    &[0, 1, 1, 1],     &[0, 1, 1, 0]),
        (0,    &[5, 5],           &[0, 0]),
        (7,    &[9],              &[7]),
    ];
    for (total, weights, wanted) in table {
        let parts = largest_remainder(Money::from_minor_units(*total, usd), weights).expect("splits");
        let units: Vec<i128> = parts.iter().map(|it| it.minor_units()).collect();
        assert_eq!(&units, wanted, "{total} over {weights:?}");
        assert_eq!(units.iter().sum::<i128>(), *total, "I7");
    }
    let one = Money::from_minor_units(1, usd);
    assert_eq!(largest_remainder(one, &[0, 0]), Err(MoneyError::NoWeight));
    assert_eq!(largest_remainder(one, &[]), Err(MoneyError::NoWeight));
}

#[test]
fn percentages_of_prices_are_exact_or_refused() {
    #[rustfmt::skip]
    let table = [
        ("50",   "0.001",  Some("0.0005")),
        ("200",  "0.50",   Some("1")),
        ("30",   "0.0005", Some("0.00015")),
        ("0",    "9",      Some("0")),
        ("12.5", "0.08",   Some("0.01")),
        ("0.1",  "0.000000000001", None),
    ];
    for (percent, price, wanted) in table {
        let percent = Percent::parse(percent).expect("percentage");
        let got = percent.of_price(Price::parse(price).expect("price"));
        assert_eq!(got.ok().map(|it| it.to_string()).as_deref(), wanted);
    }
}

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).expect("quantity")
}

/// The percentage of an amount, half-up at some places, digit by digit.
fn percentage(amount: Decimal, percent: Decimal, places: usize) -> String {
    let product = Model::of(amount).mul(&Model::of(percent));
    let (scale, mut digits) = (product.scale + 2, product.digits);
    digits.resize(digits.len().max(scale + 1), 0);
    let up = scale > places && digits[scale - places - 1] >= 5;
    let kept = if scale > places {
        digits.split_off(scale - places)
    } else {
        digits.splice(0..0, vec![0; places - scale]);
        digits
    };
    let mut wide: Vec<u64> = kept.into_iter().map(u64::from).collect();
    wide[0] += u64::from(up);
    let text: String = carry(wide).iter().rev().map(|it| char::from(b'0' + it)).collect();
    let text = text.trim_start_matches('0');
    let sign = if product.negative && !text.is_empty() {
        "-"
    } else {
        ""
    };
    format!("{sign}{text}")
}

#[test]
fn percentages_are_rounded_once_from_exact_numbers() {
    let mut random = Random(0x5eed_cafe_f00d_0002);
    let (mut fine, mut wide) = (0, 0);
    for round in 0..30_000 {
        let amount = random.decimal();
        let percent = Decimal::from_i128_with_scale(i128::from(random.next() % 1_000_000_000_001), 6);
        let percent = Percent::parse(&percent.normalize().to_string()).expect("a percentage");
        let Ok(amount) = Amount::parse(&amount.normalize().to_string()) else {
            continue;
        };
        for code in ["JPY", "USD", "KWD"] {
            let currency = Currency::parse(code).expect("code");
            let got = WideAmount::of(amount).percent(percent, 1, currency, Rounding::HalfUp);
            let places = usize::try_from(currency.minor_digits()).expect("few");
            let wanted = percentage(amount.decimal(), percent.decimal(), places);
            let got = got
                .expect("all of a decimal by a million percent fit")
                .minor_units();
            let wanted = if wanted.is_empty() { "0" } else { &wanted };
            assert_eq!(
                got.to_string(),
                wanted,
                "I7: round {round}: {percent} % of {amount} {code}"
            );
            match percent.of_amount(amount) {
                Ok(exact) => {
                    let rounded = round_minor(exact, currency, Rounding::HalfUp).expect("fits");
                    assert_eq!(rounded.minor_units(), got, "I7: the two ways agree");
                    fine += 1;
                }
                Err(_) => wide += 1,
            }
        }
    }
    assert!(
        fine > 5_000 && wide > 5_000,
        "both kinds are tested: {fine}, {wide}"
    );
}

#[test]
fn percentages_at_the_bounds_of_exact_amounts() {
    let usd = Currency::parse("USD").expect("code");
    #[rustfmt::skip]
    let table = [
        // percentage    amount                              parts  rounded
        ("12.5",         "633825.300114114700748351",         1,    Some("79228.16 USD")),
        ("12.5",         "633825.300114114700748352",         1,    Some("79228.16 USD")),
        ("12.5",         "79228162.514264337593543950335",    1,    Some("9903520.31 USD")),
        ("33.333333",    "79228162.514264337593543",          1,    Some("26409387.24 USD")),
        ("33.333333",    "-0.000000000000000000001",          1,    Some("0.00 USD")),
        ("100",          "79228162514264337593543950335",     1,    Some("79228162514264337593543950335.00 USD")),
        ("1000000",      "-79228162514264337593543950335",    1,    Some("-792281625142643375935439503350000.00 USD")),
        ("50",           "0.01",                              1,    Some("0.01 USD")),
        ("49.999999",    "0.01",                              1,    Some("0.00 USD")),
        ("3",            "1",                                 6,    Some("0.01 USD")),   // exactly half a cent
        ("2.999999",     "1",                                 6,    Some("0.00 USD")),
        ("3",            "1",                                 0,    None),
    ];
    for (percent, amount, parts, wanted) in table {
        let percent = Percent::parse(percent).expect("percentage");
        let wide = WideAmount::of(Amount::parse(amount).expect("amount"));
        let got = wide.percent(percent, parts, usd, Rounding::HalfUp);
        assert_eq!(
            got.ok().map(|it| it.to_string()).as_deref(),
            wanted,
            "{percent} % of {amount}"
        );
    }
}

#[test]
fn wide_sums_are_exact_and_ordered() {
    let wide = |text: &str| WideAmount::of(Amount::parse(text).expect("amount"));
    let (most, least) = (
        wide("79228162514264337593543950335"),
        wide("0.0000000000000000000000000001"),
    );
    let sum = WideAmount::sum([most, least, most]).expect("fits");
    assert!(sum > most && most > least && least > WideAmount::ZERO && sum.is_above_zero());
    assert!(wide("-1") < WideAmount::ZERO && wide("-2") < wide("-1") && !wide("-1").is_above_zero());
    let back = sum
        .checked_sub(most)
        .and_then(|it| it.checked_sub(most))
        .expect("fits");
    assert_eq!(back, least);
    assert_eq!(wide("1").checked_sub(wide("1.5")), Ok(wide("-0.5")));
    assert_eq!(wide("-1.5").times(745), Ok(wide("-1117.5")));
    assert_eq!(wide("-1.5").times(0), Ok(WideAmount::ZERO));
    let usd = Currency::parse("USD").expect("code");
    for (amount, parts, wanted) in [
        ("1", 3, "0.33 USD"),
        ("-2", 3, "-0.67 USD"),
        ("0.01", 2, "0.01 USD"),
    ] {
        let got = wide(amount).rounded(parts, usd, Rounding::HalfUp).expect("fits");
        assert_eq!(got.to_string(), wanted);
        assert_eq!(
            WideAmount::of_money(got).rounded(1, usd, Rounding::HalfUp),
            Ok(got)
        );
    }
}
