//! Block I/O of a cgroup per device, v1: `blkio.throttle.io_service_bytes` and `io_serviced`, plain or `_recursive`.
//!
//! The kernel counts a direction of a device there only while some throttle rule exists for it, on this cgroup or
//! above; otherwise it prints 0, or no row at all, whatever was read or written. A zero from these files is therefore
//! evidence only together with [`parse_blkio_rules`]. The closing `Total` line shows that a text is complete.

use super::bytes::{Line, Text};
use super::error::{FileKind, SourceError};
use super::io::{Device, IO_ROWS_MAX, IoRow, IoScan, push};

/// v1 `blkio.throttle.io_service_bytes[_recursive]`: replaces the contents of `rows` by one row per device, with the
/// bytes only. After an error `rows` is empty.
pub fn parse_blkio_service_bytes(bytes: &[u8], rows: &mut Vec<IoRow>) -> Result<IoScan, SourceError> {
    rows.clear();
    let slots = |row: &mut IoRow, direction, value| match direction {
        Direction::Read => row.read_bytes.replace(value),
        Direction::Write => row.write_bytes.replace(value),
    };
    let scan = parse_rows(Text::new(FileKind::BlkioServiceBytes, bytes)?, rows, slots);
    if scan.is_err() {
        rows.clear();
    }
    scan
}

/// v1 `blkio.throttle.io_serviced[_recursive]`: adds the operations to the rows of [`parse_blkio_service_bytes`]; a
/// device that has none yet gets a row. After an error no row has operations.
pub fn parse_blkio_serviced(bytes: &[u8], rows: &mut Vec<IoRow>) -> Result<IoScan, SourceError> {
    let before = rows.len();
    let slots = |row: &mut IoRow, direction, value| match direction {
        Direction::Read => row.read_ops.replace(value),
        Direction::Write => row.write_ops.replace(value),
    };
    let scan = Text::new(FileKind::BlkioServiced, bytes).and_then(|text| parse_rows(text, rows, slots));
    if scan.is_err() {
        rows.truncate(before);
        for row in rows.iter_mut() {
            (row.read_ops, row.write_ops) = (None, None);
        }
    }
    scan
}

/// v1 `blkio.throttle.{read,write}_{bps,iops}_device`: adds the devices that have a rule to `devices`.
pub fn parse_blkio_rules(bytes: &[u8], devices: &mut Vec<Device>) -> Result<(), SourceError> {
    let text = Text {
        file: FileKind::BlkioThrottleRules,
        bytes,
    };
    for line in text.lines_from(0) {
        if !line.whole {
            return Err(text.torn(line.start));
        }
        let device = line.words().next().and_then(|(_, word)| Device::parse(word));
        let device = device.ok_or_else(|| text.unexpected(line.start, "a device number"))?;
        if devices.len() >= IO_ROWS_MAX {
            return Err(SourceError::TooManyRows {
                file: text.file,
                limit: IO_ROWS_MAX,
            });
        }
        devices.push(device);
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

/// What one line says.
enum Entry {
    Counter(Device, Direction, u64),
    /// A line of the device that is not metered: a sum, or the split by synchrony.
    Other,
    Unnamed,
    /// The sum over all devices: the last line.
    End,
}

/// Walks the lines; `set` stores a value in a row and returns what it held before.
fn parse_rows(
    text: Text<'_>,
    rows: &mut Vec<IoRow>,
    set: impl Fn(&mut IoRow, Direction, u64) -> Option<u64>,
) -> Result<IoScan, SourceError> {
    let mut scan = IoScan::default();
    let mut current = 0;
    for line in text.lines_from(0) {
        if !line.whole {
            return Err(text.torn(line.start));
        }
        match parse_line(&text, &line) {
            Ok(Entry::End) => return Ok(scan),
            Ok(Entry::Other) => {}
            Ok(Entry::Unnamed) => scan.unnamed_rows += 1,
            Ok(Entry::Counter(device, direction, value)) => {
                current = row_of(&text, device, current, rows)?;
                if let Some(earlier) = set(&mut rows[current], direction, value) {
                    set(&mut rows[current], direction, earlier);
                    scan.malformed(text.unexpected(line.start, "one line per device and direction"));
                }
            }
            Err(error) => scan.malformed(error),
        }
    }
    Err(text.torn(text.bytes.len()))
}

fn parse_line(text: &Text<'_>, line: &Line<'_>) -> Result<Entry, SourceError> {
    let mut words = line.words();
    let (_, name) = words
        .next()
        .ok_or_else(|| text.unexpected(line.start, "a device number"))?;
    if name == b"Total" {
        return Ok(Entry::End);
    }
    let operation = words.next().map(|(_, word)| word);
    let direction = match operation {
        Some(b"Read") => Direction::Read,
        Some(b"Write") => Direction::Write,
        Some(_) => return Ok(Entry::Other),
        None => return Err(text.unexpected(line.start, "an operation")),
    };
    if name.starts_with(b"(") {
        return Ok(Entry::Unnamed);
    }
    let device = Device::parse(name).ok_or_else(|| text.unexpected(line.start, "a device number"))?;
    let (at, _) = words
        .next()
        .ok_or_else(|| text.unexpected(line.start, "a value"))?;
    Ok(Entry::Counter(device, direction, text.number_to_line_end(at)?))
}

/// The index of the device's row, which is made if need be. Lines of one device follow each other and both files name
/// the devices in one order, so the search from `near` on ends at once.
fn row_of(text: &Text<'_>, device: Device, near: usize, rows: &mut Vec<IoRow>) -> Result<usize, SourceError> {
    let (before, after) = rows.split_at(near.min(rows.len()));
    let after_near = after
        .iter()
        .position(|row| row.device == device)
        .map(|at| before.len() + at);
    match after_near.or_else(|| before.iter().position(|row| row.device == device)) {
        Some(at) => Ok(at),
        None => {
            push(text, IoRow::new(device), rows)?;
            Ok(rows.len() - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = include_bytes!("../../tests/fixtures/v1/blkio.throttle.io_service_bytes");
    const BYTES_RECURSIVE: &[u8] =
        include_bytes!("../../tests/fixtures/v1/blkio.throttle.io_service_bytes_recursive");
    const OPS: &[u8] = include_bytes!("../../tests/fixtures/v1/blkio.throttle.io_serviced");
    const FRESH: &[u8] = include_bytes!("../../tests/fixtures/v1/fresh.blkio.throttle.io_service_bytes");

    fn row(device: (u32, u32), bytes: [Option<u64>; 2], ops: [Option<u64>; 2]) -> IoRow {
        let device = Device {
            major: device.0,
            minor: device.1,
        };
        IoRow {
            device,
            read_bytes: bytes[0],
            write_bytes: bytes[1],
            read_ops: ops[0],
            write_ops: ops[1],
        }
    }

    #[test]
    fn recorded_files_of_bytes_and_operations_make_one_row_per_device() {
        for bytes in [BYTES, BYTES_RECURSIVE] {
            let mut rows = Vec::new();
            assert_eq!(parse_blkio_service_bytes(bytes, &mut rows), Ok(IoScan::default()));
            assert_eq!(parse_blkio_serviced(OPS, &mut rows), Ok(IoScan::default()));
            let zero = [Some(0), Some(0)];
            let disk = row((254, 0), [Some(14_685_184), Some(0)], [Some(165), Some(0)]);
            assert_eq!(rows, [row((7, 0), zero, zero), disk]);
        }
    }

    #[test]
    fn operations_may_come_in_another_order_and_for_more_devices() {
        let mut rows = Vec::new();
        parse_blkio_service_bytes(b"8:0 Read 10\n8:16 Write 20\nTotal 30\n", &mut rows).unwrap();
        parse_blkio_serviced(b"8:32 Read 7\n8:16 Write 2\n8:0 Read 1\nTotal 3\n", &mut rows).unwrap();
        let expected = [
            row((8, 0), [Some(10), None], [Some(1), None]),
            row((8, 16), [None, Some(20)], [None, Some(2)]),
            row((8, 32), [None, None], [Some(7), None]),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn an_error_in_the_operations_leaves_the_bytes() {
        let mut rows = Vec::new();
        parse_blkio_service_bytes(b"8:0 Read 10\nTotal 10\n", &mut rows).unwrap();
        let error = parse_blkio_serviced(b"8:0 Read 1\n8:16 Read 4\n", &mut rows);
        assert!(error.is_err_and(|error| error.is_torn()));
        assert_eq!(rows, [row((8, 0), [Some(10), None], [None, None])]);
    }

    #[test]
    fn odd_lines_are_counted_and_hide_nothing() {
        let mut rows = Vec::new();
        let text = b"(unknown) Read 5\n8:0 Read x\n8:0 Write 3\n8:0 Write 4\n\nTotal 9\n";
        let scan = parse_blkio_service_bytes(text, &mut rows).unwrap();
        assert_eq!((scan.unnamed_rows, scan.malformed_rows), (1, 3));
        assert_eq!(rows, [row((8, 0), [None, Some(3)], [None, None])]);
    }

    #[test]
    fn a_text_without_its_last_line_is_torn() {
        let mut rows = Vec::new();
        assert_eq!(parse_blkio_service_bytes(FRESH, &mut rows), Ok(IoScan::default()));
        assert!(rows.is_empty());
        for cut in [&b"8:0 Read 1\n"[..], b"8:0 Read 1", b"8:0 Read 1\nTotal 1"] {
            let error = parse_blkio_service_bytes(cut, &mut rows);
            assert!(
                error.is_err_and(|error| error.is_torn()),
                "{}",
                cut.escape_ascii()
            );
            assert!(rows.is_empty());
        }
        let empty = parse_blkio_service_bytes(b"", &mut rows);
        assert_eq!(
            empty,
            Err(SourceError::Empty {
                file: FileKind::BlkioServiceBytes
            })
        );
    }

    #[test]
    fn rules_name_the_devices_that_are_counted() {
        let mut devices = Vec::new();
        assert_eq!(parse_blkio_rules(b"", &mut devices), Ok(()));
        assert_eq!(parse_blkio_rules(b"254:0 1000000000000\n", &mut devices), Ok(()));
        assert_eq!(devices, [Device { major: 254, minor: 0 }]);
        assert!(parse_blkio_rules(b"254:0 10000", &mut devices).is_err());
        assert!(parse_blkio_rules(b"default\n", &mut devices).is_err());
    }
}
