//! What tells one process from the next with the same pid, and one boot from the next.

use super::bytes::Text;
use super::error::{FileKind, SourceError};

/// `/proc/<pid>/stat`: when the process started, in ticks since boot (field 22). With the pid it names one process of
/// one boot.
///
/// The command name stands in parentheses and may itself hold spaces and parentheses, so fields count from the last
/// closing one.
pub fn parse_starttime_ticks(bytes: &[u8]) -> Result<u64, SourceError> {
    /// The state is field 3 and the first word behind the name.
    const STARTTIME_BEHIND_NAME: usize = 22 - 3;
    let text = Text::new(FileKind::PidStat, bytes)?;
    let name_end = bytes
        .iter()
        .rposition(|byte| *byte == b')')
        .ok_or_else(|| text.torn(0))?;
    let line = text.line(name_end + 1).ok_or_else(|| text.torn(0))?;
    let (at, _) = line
        .words()
        .nth(STARTTIME_BEHIND_NAME)
        .ok_or_else(|| text.torn(line.start))?;
    let (ticks, _) = text.number(at)?;
    Ok(ticks)
}

/// `/proc/sys/kernel/random/boot_id`: 32 lower-case hexadecimal digits in five groups.
pub fn parse_boot_id(bytes: &[u8]) -> Result<[u8; 16], SourceError> {
    let text = Text::new(FileKind::BootId, bytes)?;
    let line = text.line(0).ok_or_else(|| text.torn(0))?;
    let malformed = || text.unexpected(0, "a boot id");
    if line.body.len() < 36 && !line.whole {
        return Err(text.torn(0));
    }
    if line.body.len() != 36 || line.next() != bytes.len() {
        return Err(malformed());
    }
    let mut id: u128 = 0;
    for (at, byte) in line.body.iter().enumerate() {
        match (at, byte) {
            (8 | 13 | 18 | 23, b'-') => {}
            (8 | 13 | 18 | 23, _) => return Err(malformed()),
            _ => id = id << 4 | u128::from(hex_digit(*byte).ok_or_else(malformed)?),
        }
    }
    Ok(id.to_be_bytes())
}

/// The value of one lower-case hexadecimal digit.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starttime_is_counted_from_the_last_parenthesis() {
        let check = |input: &[u8], expected: Result<u64, &str>| {
            let shown = parse_starttime_ticks(input).map_err(|error| error.to_string());
            assert_eq!(
                shown,
                expected.map_err(str::to_string),
                "{}",
                input.escape_ascii()
            );
        };
        check(include_bytes!("../../tests/fixtures/v2/pid.stat"), Ok(434));
        let rest = "S 1 0 0 0 -1 4194304 109 712 0 0 1 1 38 13 20 0 1 0 388 2314240 1\n";
        for name in ["sleep", "a b", "a) R 1 2 3 (b", "((", ")))", "x\ny", ""] {
            check(format!("111 ({name}) {rest}").as_bytes(), Ok(388));
        }
        check(b"", Err("/proc/<pid>/stat: the file is empty"));
        check(
            b"111 (sle",
            Err("/proc/<pid>/stat: line 1, byte 0: the text stops in the middle of an entry"),
        );
        check(
            b"1 (a) S 1",
            Err("/proc/<pid>/stat: line 1, byte 5: the text stops in the middle of an entry"),
        );
        let cut = b"1 (a) S 1 0 0 0 -1 4194304 109 712 0 0 1 1 38 13 20 0 1 0 38";
        check(
            cut,
            Err("/proc/<pid>/stat: line 1, byte 58: the text stops in the middle of an entry"),
        );
    }

    #[test]
    fn boot_ids() {
        let recorded = include_bytes!("../../tests/fixtures/proc/boot_id");
        let id = 0x6f3f_1104_0ca1_47d9_97dd_891b_c08e_4f00_u128.to_be_bytes();
        assert_eq!(parse_boot_id(recorded), Ok(id));
        assert_eq!(parse_boot_id(recorded.trim_ascii_end()), Ok(id));
        let bad: [&[u8]; 6] = [
            b"",
            b"6f3f1104\n",
            b"6F3f1104-0ca1-47d9-97dd-891bc08e4f00\n",
            b"6f3f11040-ca1-47d9-97dd-891bc08e4f00\n",
            b"6f3f1104-0ca1-47d9-97dd-891bc08e4f000\n",
            b"6f3f1104-0ca1-47d9-97dd-891bc08e4f00\n\n",
        ];
        for input in bad {
            assert!(parse_boot_id(input).is_err(), "{}", input.escape_ascii());
        }
    }
}
