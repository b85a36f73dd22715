//! CPU time of a cgroup, in nanoseconds: v2 `cpu.stat`, v1 `cpuacct.usage`.
//!
//! Only the total is read. The user and system parts are a scaled split whose parts can shrink, per-CPU values lose
//! what dead children used, and `cpuacct.stat` counts in ticks of 10 ms.

use super::bytes::Text;
use super::error::{FileKind, SourceError};

const NS_PER_US: u64 = 1_000;

/// v2 `cpu.stat`: CPU time of the cgroup and all that ever was below it, in ns (the kernel counts µs there).
pub fn parse_cpu_stat(bytes: &[u8]) -> Result<u64, SourceError> {
    const KEY: &str = "usage_usec";
    let text = Text::new(FileKind::CpuStat, bytes)?;
    let [usage_us] = text.values([KEY])?;
    let usage_us = text.required(usage_us, KEY)?;
    usage_us.checked_mul(NS_PER_US).ok_or_else(|| text.overflow(0))
}

/// v1 `cpuacct.usage`: CPU time of the cgroup and all that ever was below it, in ns.
pub fn parse_cpuacct_usage(bytes: &[u8]) -> Result<u64, SourceError> {
    Text::new(FileKind::CpuacctUsage, bytes)?.only_number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_files() {
        assert_eq!(
            parse_cpu_stat(include_bytes!("../../tests/fixtures/v2/cpu.stat")),
            Ok(966_451_000)
        );
        assert_eq!(
            parse_cpu_stat(include_bytes!("../../tests/fixtures/v2/fresh.cpu.stat")),
            Ok(0)
        );
        assert_eq!(
            parse_cpuacct_usage(include_bytes!("../../tests/fixtures/v1/cpuacct.usage")),
            Ok(835_456_767)
        );
        assert_eq!(
            parse_cpuacct_usage(include_bytes!("../../tests/fixtures/v1/fresh.cpuacct.usage")),
            Ok(0)
        );
    }

    #[test]
    fn odd_files() {
        let check = |input: &[u8], expected: Result<u64, &str>| {
            let shown = parse_cpu_stat(input).map_err(|error| error.to_string());
            assert_eq!(
                shown,
                expected.map_err(str::to_string),
                "{}",
                input.escape_ascii()
            );
        };
        check(b"usage_usec 18446744073709551\n", Ok(18_446_744_073_709_551_000));
        check(
            b"usage_usec 18446744073709552\n",
            Err("cpu.stat: line 1, byte 0: `usage_usec 1844674407370` does not fit into 64 bits"),
        );
        check(b"", Err("cpu.stat: the file is empty"));
        check(
            b"user_usec 1\nsystem_usec 2\n",
            Err("cpu.stat: the key usage_usec is missing"),
        );
        check(
            b"usage_usec 12",
            Err("cpu.stat: line 1, byte 0: the text stops in the middle of an entry"),
        );
        check(
            b"nice_usec 1\nnew.field 2\nusage_usec 5\nother 1 2 3\n",
            Ok(5_000),
        );
    }
}
