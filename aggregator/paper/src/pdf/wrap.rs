//! Breaks a text into lines of a width. It must not know fonts: widths come from the caller.

/// Signs that must not begin a line.
const CLOSING: &str = "，。、；：？！）》〉」』】〕”’％…—·,.;:?!)]}%";
/// Signs that must not end a line.
const OPENING: &str = "（《〈「『【〔“‘([{";

/// Lines not wider than `width`, as far as a single character is not; at least one.
pub(super) fn wrap(text: &str, width: f32, advance: impl Fn(char) -> f32) -> Vec<String> {
    let chars: Vec<char> = text.trim().chars().collect();
    let mut lines = Vec::new();
    let mut start = 0;
    while start < chars.len() {
        let end = line_end(&chars, start, width, &advance);
        let line: String = chars[start..end].iter().collect();
        lines.push(line.trim_end().to_owned());
        start = end;
        while chars.get(start) == Some(&' ') {
            start += 1;
        }
    }
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// Where the line that begins at `start` ends: at the last fitting break, in the middle of a word if there is none.
fn line_end(chars: &[char], start: usize, width: f32, advance: &impl Fn(char) -> f32) -> usize {
    let mut used = 0.0;
    let mut last_break = None;
    for at in start..chars.len() {
        if at > start && may_break(chars[at - 1], chars[at]) {
            last_break = Some(at);
        }
        used += advance(chars[at]);
        // A space at the end of a line takes no room.
        if used > width && chars[at] != ' ' {
            return last_break.unwrap_or(at.max(start + 1));
        }
    }
    chars.len()
}

fn may_break(before: char, after: char) -> bool {
    if before == ' ' {
        return after != ' ';
    }
    if after == ' ' || CLOSING.contains(after) || OPENING.contains(before) {
        return false;
    }
    is_wide(before)
        || is_wide(after)
        || (matches!(before, '-' | '/' | '_' | '@' | '–') && after.is_alphabetic())
}

/// Ideographs, kana and full-width signs: lines may break beside each of them.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_where_a_reader_expects_it() {
        for (text, width, expected) in [
            ("", 5.0, vec![""]),
            ("one two three", 8.0, vec!["one two", "three"]),
            ("对象存储，标准型", 5.0, vec!["对象存储，", "标准型"]),
            ("对象存储，标准型", 4.0, vec!["对象存", "储，标准", "型"]),
            ("（甲）（乙）", 4.0, vec!["（甲）", "（乙）"]),
            ("abcdefghij", 4.0, vec!["abcd", "efgh", "ij"]),
            (
                "object-storage/standard",
                15.0,
                vec!["object-storage/", "standard"],
            ),
            ("a  b", 1.0, vec!["a", "b"]),
            ("wide", 0.1, vec!["w", "i", "d", "e"]),
        ] {
            assert_eq!(wrap(text, width, |_| 1.0), expected, "{text} in {width}");
        }
    }
}
