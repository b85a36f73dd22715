//! Bytes received and sent by each interface of one network namespace: `/proc/<pid>/net/dev`.
//!
//! The counts are the namespace's own (its receive is what came in to it), of layer 2. The loopback is left out. An
//! interface that is not listed is unknown, not 0: it was removed, or the namespace is gone. Which namespace the file
//! belongs to, and who owns it, is the caller's business.

use super::bytes::{Line, Text};
use super::error::{FileKind, SourceError};
use super::name::InterfaceName;

/// The most interfaces of one namespace; more is refused rather than kept in memory.
pub const INTERFACES_MAX: usize = 4_096;

/// The counters of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetRow {
    /// The interface's name; it can come back as another interface, with counters from 0.
    pub interface: InterfaceName,
    /// Bytes that came in to the namespace (column 1).
    pub rx_bytes: u64,
    /// Bytes that the namespace sent (column 9).
    pub tx_bytes: u64,
}

/// `/proc/<pid>/net/dev` and `/proc/net/dev`: replaces the contents of `rows` by one row per interface except the
/// loopback, in the file's order. After an error `rows` is empty.
pub fn parse_net_dev(bytes: &[u8], rows: &mut Vec<NetRow>) -> Result<(), SourceError> {
    rows.clear();
    let outcome = parse_rows(bytes, rows);
    if outcome.is_err() {
        rows.clear();
    }
    outcome
}

fn parse_rows(bytes: &[u8], rows: &mut Vec<NetRow>) -> Result<(), SourceError> {
    let text = Text::new(FileKind::NetDev, bytes)?;
    for line in text.lines_from(rows_start(&text)?) {
        if !line.whole {
            return Err(text.torn(line.start));
        }
        let Some(row) = parse_row(&text, &line)? else {
            continue;
        };
        if rows.len() >= INTERFACES_MAX {
            return Err(SourceError::TooManyRows {
                file: text.file,
                limit: INTERFACES_MAX,
            });
        }
        rows.push(row);
    }
    Ok(())
}

/// Checks the two lines of headings, which say where the bytes stand, and returns where the rows start.
fn rows_start(text: &Text<'_>) -> Result<usize, SourceError> {
    const GROUPS: &[u8] = b"Inter-|";
    const COLUMNS: &[u8] = b" face |bytes ";
    let mut at = 0;
    for heading in [GROUPS, COLUMNS] {
        let line = text
            .line(at)
            .filter(|line| line.whole)
            .ok_or_else(|| text.torn(at))?;
        if !line.body.starts_with(heading) {
            return Err(text.unexpected(at, "the headings of the interface table"));
        }
        at = line.next();
    }
    Ok(at)
}

/// One row: the name up to the colon (behind which some kernels print no space), then 8 counters of each direction.
fn parse_row(text: &Text<'_>, line: &Line<'_>) -> Result<Option<NetRow>, SourceError> {
    let expected_name = || text.unexpected(line.start, "an interface name and a colon");
    let colon = line
        .body
        .iter()
        .position(|byte| *byte == b':')
        .ok_or_else(expected_name)?;
    let name = line.body[..colon].trim_ascii_start();
    if name == b"lo" {
        return Ok(None);
    }
    let interface = InterfaceName::new(name).ok_or_else(expected_name)?;
    let mut at = line.start + colon + 1;
    let rx_bytes = next_number(text, &mut at)?;
    for _other_rx in 0..7 {
        next_number(text, &mut at)?;
    }
    let tx_bytes = next_number(text, &mut at)?;
    Ok(Some(NetRow {
        interface,
        rx_bytes,
        tx_bytes,
    }))
}

/// The number behind the spaces at `at`; moves `at` behind it.
fn next_number(text: &Text<'_>, at: &mut usize) -> Result<u64, SourceError> {
    while text.bytes.get(*at) == Some(&b' ') {
        *at += 1;
    }
    let (value, end) = text.number(*at)?;
    *at = end;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: &[u8] = include_bytes!("../../tests/fixtures/proc/container.net_dev");
    const HOST: &[u8] = include_bytes!("../../tests/fixtures/proc/net_dev");

    /// Rows as `name rx tx`, or the error.
    fn shown(input: &[u8]) -> String {
        let eth9 = InterfaceName::new(b"eth9").unwrap();
        let mut rows = vec![NetRow {
            interface: eth9,
            rx_bytes: 9,
            tx_bytes: 9,
        }];
        match parse_net_dev(input, &mut rows) {
            Ok(()) => {
                let row = |row: &NetRow| format!("{} {} {}", row.interface, row.rx_bytes, row.tx_bytes);
                rows.iter().map(row).collect::<Vec<_>>().join(", ")
            }
            Err(error) => {
                assert!(rows.is_empty());
                error.to_string()
            }
        }
    }

    /// A table with these rows below the kernel's headings.
    fn table(rows: &str) -> Vec<u8> {
        let headings: Vec<_> = CONTAINER.split_inclusive(|byte| *byte == b'\n').take(2).collect();
        [&headings.concat(), rows.as_bytes()].concat()
    }

    #[test]
    fn recorded_files() {
        assert_eq!(shown(CONTAINER), "eth0 2668 12748");
        assert_eq!(
            shown(HOST),
            "ifb0 0 0, ifb1 0 0, eth0 372954035 596717, docker0 0 306"
        );
    }

    #[test]
    fn odd_rows() {
        let check = |rows: &str, expected: &str| assert_eq!(shown(&table(rows)), expected, "{rows}");
        check("", "");
        check("eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "eth0 1 9");
        check("  lo: broken\n", "");
        check("veth0123456789a: 1 2 3 4 5 6 7 8 9 10\n", "veth0123456789a 1 9");
        check(
            "eth0: 18446744073709551615 0 0 0 0 0 0 0 18446744073709551615 0\n",
            "eth0 18446744073709551615 18446744073709551615",
        );
        check(
            "eth0: 18446744073709551616 0 0 0 0 0 0 0 1 0\n",
            "net/dev: line 3, byte 206: `18446744073709551616 0 0` does not fit into 64 bits",
        );
        check(
            "eth0: 1 2 3 4 5 6 7 8\n",
            "net/dev: line 3, byte 221: expected a number, found ``",
        );
        check(
            "eth0 1 2\n",
            "net/dev: line 3, byte 200: expected an interface name and a colon, found `eth0 1 2`",
        );
        check(
            "eth0: 1 2 3 4 5 6 7 8 9 10",
            "net/dev: line 3, byte 200: the text stops in the middle of an entry",
        );
    }

    #[test]
    fn another_layout_is_refused() {
        let other = b"Inter-|   Receive\n face |packets bytes\neth0: 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(
            shown(other),
            "net/dev: line 2, byte 18: expected the headings of the interface table, found ` face |packets bytes`"
        );
        assert_eq!(shown(b""), "net/dev: the file is empty");
    }
}
