//! Memory of a cgroup in its raw parts, in bytes: v2 and v1.
//!
//! Which of them a contract calls "used" is decided centrally; nothing is subtracted here. Swap is the cgroup's swap
//! alone, never memory plus swap.

use super::bytes::Text;
use super::error::{FileKind, SourceError};

/// The parts of a cgroup's memory, with all cgroups below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStat {
    /// Memory without a file behind it; v1 prints it as `total_rss`.
    pub anon_bytes: u64,
    /// Page cache, with tmpfs and shared memory in it; v1 prints it as `total_cache`.
    pub file_bytes: u64,
    /// The part of the page cache that would be given up first.
    pub inactive_file_bytes: u64,
    /// Part of `file_bytes`; kernels before 4.12 do not print it.
    pub shmem_bytes: Option<u64>,
    /// Only in v1, and only with swap accounting; v2 has a file of its own for it.
    pub swap_bytes: Option<u64>,
}

/// v2 `memory.current`: all memory charged to the cgroup and those below it, in bytes.
pub fn parse_memory_current(bytes: &[u8]) -> Result<u64, SourceError> {
    Text::new(FileKind::MemoryCurrent, bytes)?.only_number()
}

/// v1 `memory.usage_in_bytes`: all memory charged to the cgroup and those below it, in bytes.
pub fn parse_memory_usage_in_bytes(bytes: &[u8]) -> Result<u64, SourceError> {
    Text::new(FileKind::MemoryUsageInBytes, bytes)?.only_number()
}

/// v2 `memory.swap.current`: swap used by the cgroup and those below it, in bytes.
pub fn parse_memory_swap_current(bytes: &[u8]) -> Result<u64, SourceError> {
    Text::new(FileKind::MemorySwapCurrent, bytes)?.only_number()
}

/// v2 `memory.stat`.
pub fn parse_memory_stat(bytes: &[u8]) -> Result<MemoryStat, SourceError> {
    let text = Text::new(FileKind::MemoryStat, bytes)?;
    let [anon, file, inactive_file, shmem] = text.values(["anon", "file", "inactive_file", "shmem"])?;
    Ok(MemoryStat {
        anon_bytes: text.required(anon, "anon")?,
        file_bytes: text.required(file, "file")?,
        inactive_file_bytes: text.required(inactive_file, "inactive_file")?,
        shmem_bytes: shmem,
        swap_bytes: None,
    })
}

/// v1 `memory.stat`, from the `total_` keys, which include the cgroups below.
pub fn parse_memory_stat_v1(bytes: &[u8]) -> Result<MemoryStat, SourceError> {
    let text = Text::new(FileKind::MemoryStatV1, bytes)?;
    let [cache, rss, shmem, swap, inactive_file] = text.values([
        "total_cache",
        "total_rss",
        "total_shmem",
        "total_swap",
        "total_inactive_file",
    ])?;
    Ok(MemoryStat {
        anon_bytes: text.required(rss, "total_rss")?,
        file_bytes: text.required(cache, "total_cache")?,
        inactive_file_bytes: text.required(inactive_file, "total_inactive_file")?,
        shmem_bytes: shmem,
        swap_bytes: swap,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_files_of_v2() {
        assert_eq!(
            parse_memory_current(include_bytes!("../../tests/fixtures/v2/memory.current")),
            Ok(12_288_000)
        );
        assert_eq!(
            parse_memory_current(include_bytes!("../../tests/fixtures/v2/fresh.memory.current")),
            Ok(0)
        );
        assert_eq!(
            parse_memory_swap_current(include_bytes!("../../tests/fixtures/v2/memory.swap.current")),
            Ok(0)
        );
        assert_eq!(
            parse_memory_stat(include_bytes!("../../tests/fixtures/v2/memory.stat")),
            Ok(MemoryStat {
                anon_bytes: 49_152,
                file_bytes: 11_575_296,
                inactive_file_bytes: 7_868_416,
                shmem_bytes: Some(3_145_728),
                swap_bytes: None,
            })
        );
    }

    #[test]
    fn recorded_files_of_v1() {
        assert_eq!(
            parse_memory_usage_in_bytes(include_bytes!("../../tests/fixtures/v1/memory.usage_in_bytes")),
            Ok(12_333_056)
        );
        assert_eq!(
            parse_memory_stat_v1(include_bytes!("../../tests/fixtures/v1/memory.stat")),
            Ok(MemoryStat {
                anon_bytes: 49_152,
                file_bytes: 11_575_296,
                inactive_file_bytes: 7_868_416,
                shmem_bytes: Some(3_145_728),
                swap_bytes: Some(0),
            })
        );
    }

    #[test]
    fn a_missing_part_is_named() {
        let check = |input: &[u8], expected: &str| {
            let shown = parse_memory_stat(input).map_err(|error| error.to_string());
            assert_eq!(shown, Err(expected.to_string()), "{}", input.escape_ascii());
        };
        check(b"", "memory.stat: the file is empty");
        check(
            b"file 1\ninactive_file 2\n",
            "memory.stat: the key anon is missing",
        );
        check(
            b"anon 1\nfile 2\n",
            "memory.stat: the key inactive_file is missing",
        );
        check(
            b"anon 1\nfile 2\ninac",
            "memory.stat: line 3, byte 14: the text stops in the middle of an entry",
        );
        check(
            b"anon 1\nfile 2\ninactive_file 33",
            "memory.stat: line 3, byte 14: the text stops in the middle of an entry",
        );
        check(
            b"anon x\n",
            "memory.stat: line 1, byte 5: expected a number, found `x`",
        );
    }
}
