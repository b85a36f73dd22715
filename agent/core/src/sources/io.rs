//! Block I/O of a cgroup per device, v2 `io.stat`: bytes and operations, read and write apart.
//!
//! A row that cannot be used (no name, no counters, a broken value) is counted and left out; it never hides the
//! others, and what it would have said stays unknown. Which devices are billed is decided elsewhere: a stacked device
//! shows the same I/O once more.

use super::bytes::{Line, Text, small_number};
use super::error::{FileKind, SourceError};

/// The most devices of one cgroup; more is refused rather than kept in memory.
pub const IO_ROWS_MAX: usize = 4_096;

/// A block device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// The driver's number.
    pub major: u32,
    /// The device's number with that driver.
    pub minor: u32,
}

impl Device {
    /// Reads `MAJ:MIN`.
    pub(super) fn parse(word: &[u8]) -> Option<Device> {
        let colon = word.iter().position(|byte| *byte == b':')?;
        Some(Device {
            major: small_number(&word[..colon])?,
            minor: small_number(&word[colon + 1..])?,
        })
    }
}

/// The counters of one device; `None` is what the kernel did not print, and is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoRow {
    /// Whose counters these are.
    pub device: Device,
    /// Bytes read from the device.
    pub read_bytes: Option<u64>,
    /// Bytes written to the device.
    pub write_bytes: Option<u64>,
    /// Read operations.
    pub read_ops: Option<u64>,
    /// Write operations.
    pub write_ops: Option<u64>,
}

impl IoRow {
    pub(super) fn new(device: Device) -> IoRow {
        IoRow {
            device,
            read_bytes: None,
            write_bytes: None,
            read_ops: None,
            write_ops: None,
        }
    }

    fn is_bare(&self) -> bool {
        self.read_bytes.is_none()
            && self.write_bytes.is_none()
            && self.read_ops.is_none()
            && self.write_ops.is_none()
    }
}

/// What was left out of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoScan {
    /// Devices named without any counter: the cgroup did no I/O there yet.
    pub bare_devices: u32,
    /// Rows (v1: counters) of a device that the kernel calls `(unknown)`, as the paths below a multipath disk.
    pub unnamed_rows: u32,
    /// Rows (v1: counters) with a value that is no number or does not fit.
    pub malformed_rows: u32,
    /// What was wrong with the first of these.
    pub first_malformed: Option<SourceError>,
}

impl IoScan {
    pub(super) fn malformed(&mut self, error: SourceError) {
        self.malformed_rows += 1;
        self.first_malformed.get_or_insert(error);
    }
}

/// v2 `io.stat`: replaces the contents of `rows` by one row per device that has counters, in the file's order.
///
/// An empty file is no error: a cgroup without I/O has none. After an error `rows` is empty.
pub fn parse_io_stat(bytes: &[u8], rows: &mut Vec<IoRow>) -> Result<IoScan, SourceError> {
    rows.clear();
    let text = Text {
        file: FileKind::IoStat,
        bytes,
    };
    let mut scan = IoScan::default();
    for line in text.lines_from(0) {
        let outcome = parse_line(&text, &line, rows, &mut scan);
        if let Err(error) = outcome {
            rows.clear();
            return Err(error);
        }
    }
    Ok(scan)
}

/// Whom the counters that follow belong to.
enum Owner {
    Nobody,
    Unnamed,
    Device(IoRow),
}

/// One line, which some kernels fill with several devices: all but the last of them without counters.
fn parse_line(
    text: &Text<'_>,
    line: &Line<'_>,
    rows: &mut Vec<IoRow>,
    scan: &mut IoScan,
) -> Result<(), SourceError> {
    let mut owner = Owner::Nobody;
    for (at, word) in line.words() {
        if let Some(equals) = word.iter().position(|byte| *byte == b'=') {
            if let Err(error) = parse_counter(text, at, &word[..equals], &mut owner) {
                if error.is_torn() {
                    return Err(error);
                }
                scan.malformed(error);
                return Ok(());
            }
        } else if word.starts_with(b"(") {
            finish(text, std::mem::replace(&mut owner, Owner::Unnamed), rows, scan)?;
        } else if let Some(device) = Device::parse(word) {
            finish(
                text,
                std::mem::replace(&mut owner, Owner::Device(IoRow::new(device))),
                rows,
                scan,
            )?;
        } else if line.whole {
            scan.malformed(text.unexpected(at, "a device number or a counter"));
            return Ok(());
        } else {
            return Err(text.torn(at));
        }
    }
    if !line.whole && !is_bare(&owner) {
        return Err(text.torn(line.start));
    }
    finish(text, owner, rows, scan)
}

/// A device without counters at the very end lacks its line feed on some kernels; counters never do.
fn is_bare(owner: &Owner) -> bool {
    match owner {
        Owner::Nobody | Owner::Unnamed => true,
        Owner::Device(row) => row.is_bare(),
    }
}

/// One `key=value`; keys that are not metered (discards, costs, latencies) are skipped unread.
fn parse_counter(text: &Text<'_>, at: usize, key: &[u8], owner: &mut Owner) -> Result<(), SourceError> {
    let row = match owner {
        Owner::Device(row) => row,
        Owner::Unnamed => return Ok(()),
        Owner::Nobody => return Err(text.unexpected(at, "a device number")),
    };
    let slot = match key {
        b"rbytes" => &mut row.read_bytes,
        b"wbytes" => &mut row.write_bytes,
        b"rios" => &mut row.read_ops,
        b"wios" => &mut row.write_ops,
        _ => return Ok(()),
    };
    let (value, _) = text.number(at + key.len() + 1)?;
    *slot = Some(value);
    Ok(())
}

fn finish(
    text: &Text<'_>,
    owner: Owner,
    rows: &mut Vec<IoRow>,
    scan: &mut IoScan,
) -> Result<(), SourceError> {
    match owner {
        Owner::Nobody => {}
        Owner::Unnamed => scan.unnamed_rows += 1,
        Owner::Device(row) if row.is_bare() => scan.bare_devices += 1,
        Owner::Device(row) => push(text, row, rows)?,
    }
    Ok(())
}

pub(super) fn push(text: &Text<'_>, row: IoRow, rows: &mut Vec<IoRow>) -> Result<(), SourceError> {
    if rows.len() >= IO_ROWS_MAX {
        return Err(SourceError::TooManyRows {
            file: text.file,
            limit: IO_ROWS_MAX,
        });
    }
    rows.push(row);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as `MAJ:MIN read_bytes write_bytes read_ops write_ops`, `-` for unknown; then what was left out.
    fn shown(input: &[u8]) -> String {
        let mut rows = vec![IoRow::new(Device { major: 9, minor: 9 })];
        let scan = match parse_io_stat(input, &mut rows) {
            Ok(scan) => scan,
            Err(error) => {
                assert!(rows.is_empty());
                return error.to_string();
            }
        };
        let number = |value: Option<u64>| value.map_or("-".to_string(), |value| value.to_string());
        let row = |row: &IoRow| {
            let Device { major, minor } = row.device;
            let counters = [row.read_bytes, row.write_bytes, row.read_ops, row.write_ops]
                .map(number)
                .join(" ");
            format!("{major}:{minor} {counters}")
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        let left_out = format!(
            "b{} u{} m{}",
            scan.bare_devices, scan.unnamed_rows, scan.malformed_rows
        );
        format!("{} | {left_out}", rows.join(", "))
    }

    fn check(input: &[u8], expected: &str) {
        assert_eq!(shown(input), expected, "{}", input.escape_ascii());
    }

    #[test]
    fn recorded_files() {
        check(
            include_bytes!("../../tests/fixtures/v2/io.stat"),
            "7:0 524288 0 8 0, 254:0 14685184 8400896 165 140 | b0 u0 m0",
        );
        check(
            include_bytes!("../../tests/fixtures/v2/root.io.stat"),
            "7:0 524288 0 8 0, 254:0 14695424 8417280 172 141 | b7 u0 m0",
        );
        check(
            include_bytes!("../../tests/fixtures/v2/fresh.io.stat"),
            " | b0 u0 m0",
        );
    }

    #[test]
    fn other_keys_are_skipped() {
        check(
            b"8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 use_delay=0 cost.vrate=100.00 cost.usage=7\n",
            "8:0 1 2 3 4 | b0 u0 m0",
        );
        check(b"8:0 cost.vrate=100.00\n", " | b1 u0 m0");
        check(b"8:0 rbytes=1 rios=3\n", "8:0 1 - 3 - | b0 u0 m0");
    }

    #[test]
    fn a_broken_row_is_left_out_and_counted() {
        check(
            b"8:0 rbytes=x wbytes=2\n8:16 rbytes=5\n",
            "8:16 5 - - - | b0 u0 m1",
        );
        check(
            b"8:0 rbytes=99999999999999999999 wbytes=2\n8:16 rbytes=5\n",
            "8:16 5 - - - | b0 u0 m1",
        );
        check(b"rbytes=1\n8:16 rbytes=5\n", "8:16 5 - - - | b0 u0 m1");
        check(b"sda rbytes=1\n8:16 rbytes=5\n", "8:16 5 - - - | b0 u0 m1");
    }

    #[test]
    fn a_cut_counter_is_no_counter() {
        check(
            b"8:0 rbytes=12",
            "io.stat: line 1, byte 11: the text stops in the middle of an entry",
        );
        check(
            b"8:0 rbytes=12 ",
            "io.stat: line 1, byte 0: the text stops in the middle of an entry",
        );
        check(
            b"8:0 rbytes=12 wby",
            "io.stat: line 1, byte 14: the text stops in the middle of an entry",
        );
        check(
            b"8:16 rbytes=5\n8:0 dbyt",
            "io.stat: line 2, byte 18: the text stops in the middle of an entry",
        );
        check(
            b"8:16 rbytes=5\n8:",
            "io.stat: line 2, byte 14: the text stops in the middle of an entry",
        );
    }

    #[test]
    fn the_number_of_rows_is_bounded() {
        let text = b"8:0 rbytes=1\n".repeat(IO_ROWS_MAX);
        let mut rows = Vec::new();
        assert_eq!(parse_io_stat(&text, &mut rows), Ok(IoScan::default()));
        let error = parse_io_stat(&[&text[..], b"8:1 rbytes=1\n"].concat(), &mut rows);
        assert_eq!(
            error,
            Err(SourceError::TooManyRows {
                file: FileKind::IoStat,
                limit: IO_ROWS_MAX
            })
        );
    }
}
