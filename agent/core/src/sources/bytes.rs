//! Scanning of one file's bytes without allocation: lines, numbers, and the values behind keys.
//!
//! A number counts only when the byte behind it shows that it is whole (a space or the end of the line), so that no
//! cut of a file yields a number that was not in it. Knows nothing of what the files mean.

use super::error::{Excerpt, FileKind, Place, SourceError};

/// One file's bytes, and which file they are from.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) file: FileKind,
    pub(super) bytes: &'a [u8],
}

/// One line: its bytes without the line feed, where it starts, and whether the line feed was there.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) start: usize,
    pub(super) body: &'a [u8],
    pub(super) whole: bool,
}

impl<'a> Text<'a> {
    /// Takes a file's bytes; none at all is [`SourceError::Empty`].
    pub(super) fn new(file: FileKind, bytes: &'a [u8]) -> Result<Text<'a>, SourceError> {
        if bytes.is_empty() {
            return Err(SourceError::Empty { file });
        }
        Ok(Text { file, bytes })
    }

    /// The line that starts at `from`, or `None` at the end of the text.
    pub(super) fn line(&self, from: usize) -> Option<Line<'a>> {
        let rest = self.bytes.get(from..)?;
        if rest.is_empty() {
            return None;
        }
        Some(match find(rest, b'\n') {
            Some(end) => Line {
                start: from,
                body: &rest[..end],
                whole: true,
            },
            None => Line {
                start: from,
                body: rest,
                whole: false,
            },
        })
    }

    /// All lines from byte `from` on. An unfinished last line comes with `whole` false.
    pub(super) fn lines_from(self, from: usize) -> impl Iterator<Item = Line<'a>> {
        let mut at = from;
        std::iter::from_fn(move || {
            let line = self.line(at)?;
            at = line.next();
            Some(line)
        })
    }

    /// The decimal number at byte `at` and the position of the byte behind it, which is a space or a line feed.
    pub(super) fn number(&self, at: usize) -> Result<(u64, usize), SourceError> {
        let mut value: u64 = 0;
        let mut end = at;
        while let Some(digit) = self
            .bytes
            .get(end)
            .map(|byte| byte.wrapping_sub(b'0'))
            .filter(|digit| *digit <= 9)
        {
            value = match value
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(u64::from(digit)))
            {
                Some(value) => value,
                None => return Err(self.overflow(at)),
            };
            end += 1;
        }
        match self.bytes.get(end) {
            Some(b' ' | b'\n') if end > at => Ok((value, end)),
            Some(_) => Err(self.not_a_number(at)),
            None => Err(self.torn(at)),
        }
    }

    /// The number at `at`, which must be the last thing on its line.
    pub(super) fn number_to_line_end(&self, at: usize) -> Result<u64, SourceError> {
        match self.number(at)? {
            (value, end) if self.bytes.get(end) == Some(&b'\n') => Ok(value),
            _ => Err(self.not_a_number(at)),
        }
    }

    /// The number of a file that holds one number, a line feed and nothing else.
    pub(super) fn only_number(&self) -> Result<u64, SourceError> {
        let value = self.number_to_line_end(0)?;
        match find(self.bytes, b'\n') {
            Some(end) if end + 1 == self.bytes.len() => Ok(value),
            _ => Err(self.unexpected(0, "one number and nothing else")),
        }
    }

    /// The values of `key value` lines in one pass, each key's first line; `None` for a key that is not there. Stops
    /// as soon as all were found. Torn when the text ends inside a line before that.
    pub(super) fn values<const N: usize>(&self, keys: [&str; N]) -> Result<[Option<u64>; N], SourceError> {
        let mut values = [None; N];
        let mut missing = N;
        for line in self.lines_from(0) {
            if !line.whole {
                return Err(self.torn(line.start));
            }
            for (key, value) in keys.iter().zip(values.iter_mut()) {
                if value.is_none() && line.has_key(key.as_bytes()) {
                    *value = Some(self.number_to_line_end(line.start + key.len() + 1)?);
                    missing -= 1;
                    break;
                }
            }
            if missing == 0 {
                break;
            }
        }
        Ok(values)
    }

    /// The value that [`Text::values`] found, or the error that names its key.
    pub(super) fn required(&self, value: Option<u64>, key: &'static str) -> Result<u64, SourceError> {
        value.ok_or(SourceError::MissingKey { file: self.file, key })
    }

    #[cold]
    pub(super) fn torn(&self, at: usize) -> SourceError {
        SourceError::Torn {
            file: self.file,
            at: Place::of(self.bytes, at),
        }
    }

    #[cold]
    pub(super) fn overflow(&self, at: usize) -> SourceError {
        let found = Excerpt::of(self.bytes, at);
        SourceError::Overflow {
            file: self.file,
            at: Place::of(self.bytes, at),
            found,
        }
    }

    #[cold]
    fn not_a_number(&self, at: usize) -> SourceError {
        let found = Excerpt::of(self.bytes, at);
        SourceError::NotANumber {
            file: self.file,
            at: Place::of(self.bytes, at),
            found,
        }
    }

    #[cold]
    pub(super) fn unexpected(&self, at: usize, expected: &'static str) -> SourceError {
        let found = Excerpt::of(self.bytes, at);
        SourceError::Unexpected {
            file: self.file,
            at: Place::of(self.bytes, at),
            expected,
            found,
        }
    }
}

impl<'a> Line<'a> {
    /// Where the next line starts.
    pub(super) fn next(&self) -> usize {
        self.start + self.body.len() + usize::from(self.whole)
    }

    /// Whether the line is `key`, a space and more.
    pub(super) fn has_key(&self, key: &[u8]) -> bool {
        self.body.get(key.len()) == Some(&b' ') && self.body.starts_with(key)
    }

    /// The words between spaces, each with the position of its first byte in the file.
    pub(super) fn words(&self) -> Words<'a> {
        Words {
            body: self.body,
            at: 0,
            start: self.start,
        }
    }
}

/// Iterator over the words of a line.
pub(super) struct Words<'a> {
    body: &'a [u8],
    at: usize,
    start: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        while self.body.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        let from = self.at;
        while self.body.get(self.at).is_some_and(|byte| *byte != b' ') {
            self.at += 1;
        }
        let word = self.body.get(from..self.at).filter(|word| !word.is_empty())?;
        Some((self.start + from, word))
    }
}

/// The position of the first `needle`, eight bytes at a time.
pub(super) fn find(bytes: &[u8], needle: u8) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let pattern = u64::from_le_bytes([needle; 8]);
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        // A byte of `zero_where_equal` is 0 exactly where the chunk holds the needle; the lowest marked byte is right.
        let zero_where_equal = u64::from_le_bytes(*chunk) ^ pattern;
        let marks = zero_where_equal.wrapping_sub(LOW) & !zero_where_equal & HIGH;
        if marks != 0 {
            return Some(index * 8 + (marks.trailing_zeros() / 8) as usize);
        }
    }
    let behind_chunks = chunks.len() * 8;
    rest.iter()
        .position(|byte| *byte == needle)
        .map(|at| behind_chunks + at)
}

/// A whole word as a decimal u32, as in device numbers.
pub(super) fn small_number(word: &[u8]) -> Option<u32> {
    let mut value: u32 = 0;
    for byte in word {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u32::from(digit))?;
    }
    if word.is_empty() { None } else { Some(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Text<'_> {
        Text {
            file: FileKind::MemoryCurrent,
            bytes,
        }
    }

    #[test]
    fn find_agrees_with_a_plain_search_at_every_position() {
        for len in 0..40 {
            let mut bytes: Vec<u8> = (0..len).map(|i| if i % 3 == 0 { 0x0b } else { 0x8a }).collect();
            assert_eq!(find(&bytes, b'\n'), None, "length {len}");
            for at in (0..len).rev() {
                bytes[at] = b'\n';
                assert_eq!(find(&bytes, b'\n'), Some(at), "length {len} position {at}");
            }
        }
    }

    #[test]
    fn a_number_needs_an_end() {
        let check = |input: &[u8], expected: Result<u64, &str>| {
            let found = text(input).only_number();
            let shown = found.map_err(|error| error.to_string());
            let shown = shown.as_ref().map(|value| *value).map_err(String::as_str);
            assert_eq!(shown, expected, "{}", input.escape_ascii());
        };
        check(b"0\n", Ok(0));
        check(b"007\n", Ok(7));
        check(b"18446744073709551615\n", Ok(u64::MAX));
        check(
            b"18446744073709551616\n",
            Err("memory.current: line 1, byte 0: `18446744073709551616` does not fit into 64 bits"),
        );
        check(
            b"12",
            Err("memory.current: line 1, byte 0: the text stops in the middle of an entry"),
        );
        check(
            b"max\n",
            Err("memory.current: line 1, byte 0: expected a number, found `max`"),
        );
        check(
            b"-1\n",
            Err("memory.current: line 1, byte 0: expected a number, found `-1`"),
        );
        check(
            b"\n",
            Err("memory.current: line 1, byte 0: expected a number, found ``"),
        );
        check(
            b"1.5\n",
            Err("memory.current: line 1, byte 0: expected a number, found `1.5`"),
        );
        check(
            b"1 2\n",
            Err("memory.current: line 1, byte 0: expected a number, found `1 2`"),
        );
        check(
            b"1\n2\n",
            Err("memory.current: line 1, byte 0: expected one number and nothing else, found `1`"),
        );
    }

    #[test]
    fn a_key_is_matched_as_a_whole() {
        let found = text(b"total_file 1\nfile_mapped 2\nfile 3\nfile 4\n").values(["file", "anon"]);
        assert_eq!(found, Ok([Some(3), None]));
    }

    #[test]
    fn words_come_with_their_positions() {
        let line = text(b"x\n  8:0  a=1 \n").line(2);
        let words: Vec<_> = line.iter().flat_map(Line::words).collect();
        assert_eq!(words, [(4, &b"8:0"[..]), (9, &b"a=1"[..])]);
    }

    #[test]
    fn a_device_number_part_is_a_whole_u32() {
        assert_eq!(small_number(b"252"), Some(252));
        assert_eq!(small_number(b"4294967295"), Some(u32::MAX));
        for bad in [&b""[..], b"4294967296", b"1a", b"-1"] {
            assert_eq!(small_number(bad), None, "{}", bad.escape_ascii());
        }
    }
}
