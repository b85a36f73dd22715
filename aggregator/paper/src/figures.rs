//! Numbers as people read them: thousands apart, the currency beside them.
//!
//! Digits come as text and go as text; none is added, dropped or rounded here. It must not calculate.

use crate::words::is_chinese;

/// `-1234567.50` as `-1,234,567.50`. What is no plain decimal stays as it is: a document hides nothing.
pub(crate) fn grouped(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(w, f)| (w, Some(f)));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || fraction.is_some_and(|f| !is_digits(f)) {
        return text.to_owned();
    }
    let mut out = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// An amount that stands alone: `CNY 1,234.50`, or `¥1,234.50` where Chinese readers can't take it for yen. The sign
/// comes first, so that it can't be overlooked.
pub(crate) fn money(text: &str, currency: &str, language: &str) -> String {
    let plain = grouped(text);
    let (sign, digits) = plain
        .strip_prefix('-')
        .map_or(("", plain.as_str()), |rest| ("-", rest));
    if currency == "CNY" && is_chinese(language) {
        return format!("{sign}¥{digits}");
    }
    format!("{sign}{currency}\u{a0}{digits}")
}

/// `6` as `6%`.
pub(crate) fn percent(text: &str) -> String {
    format!("{text}%")
}

/// One line of harmless text: line ends and other control characters become spaces; marks that turn or hide text go.
pub(crate) fn clean(text: &str) -> String {
    let hides = |c: char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let spaced = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    spaced.filter(|c| !hides(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart_and_no_digit_changes() {
        for (text, expected) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567.50", "-1,234,567.50"),
            ("123456.123456789", "123,456.123456789"),
            ("-0.05", "-0.05"),
            ("n/a", "n/a"),
            ("", ""),
            ("1.", "1."),
        ] {
            assert_eq!(grouped(text), expected);
        }
    }

    #[test]
    fn money_names_its_currency() {
        for (text, currency, language, expected) in [
            ("1234.50", "CNY", "zh", "¥1,234.50"),
            ("-1234.50", "CNY", "zh", "-¥1,234.50"),
            ("1234.50", "CNY", "en", "CNY\u{a0}1,234.50"),
            ("1234", "JPY", "zh", "JPY\u{a0}1,234"),
            ("-1234.567", "BHD", "en", "-BHD\u{a0}1,234.567"),
        ] {
            assert_eq!(money(text, currency, language), expected);
        }
    }

    #[test]
    fn texts_are_one_line_and_turn_nothing() {
        assert_eq!(clean("a\r\nb\u{202e}c\u{200b}\u{0}"), "a  bc ");
    }
}
