//! The one error of the parse stage: which file, what was found, at which byte and line.
//!
//! Must not hold a path (the shell knows it and adds it) and must not allocate: a broken file is met at every sample.

use std::fmt;

use thiserror::Error;

/// The kernel files that this stage reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// v2 `cpu.stat`.
    CpuStat,
    /// v1 `cpuacct.usage`.
    CpuacctUsage,
    /// v2 `memory.current`.
    MemoryCurrent,
    /// v1 `memory.usage_in_bytes`.
    MemoryUsageInBytes,
    /// v2 `memory.swap.current`.
    MemorySwapCurrent,
    /// v2 `memory.stat`.
    MemoryStat,
    /// v1 `memory.stat`.
    MemoryStatV1,
    /// v2 `io.stat`.
    IoStat,
    /// v1 `blkio.throttle.io_service_bytes` and its `_recursive` form.
    BlkioServiceBytes,
    /// v1 `blkio.throttle.io_serviced` and its `_recursive` form.
    BlkioServiced,
    /// v1 `blkio.throttle.{read,write}_{bps,iops}_device`.
    BlkioThrottleRules,
    /// `/proc/<pid>/net/dev` and `/proc/net/dev`.
    NetDev,
    /// `/proc/stat`.
    ProcStat,
    /// `/proc/meminfo`.
    Meminfo,
    /// `/proc/diskstats`.
    Diskstats,
    /// `/proc/self/mountinfo`.
    Mountinfo,
    /// `/proc/<pid>/cgroup`.
    PidCgroup,
    /// `/proc/<pid>/stat`.
    PidStat,
    /// v2 `cgroup.events`.
    CgroupEvents,
    /// v2 `cgroup.controllers` and `cgroup.subtree_control`.
    CgroupControllers,
    /// `/proc/sys/kernel/random/boot_id`.
    BootId,
}

impl fmt::Display for FileKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            FileKind::CpuStat => "cpu.stat",
            FileKind::CpuacctUsage => "cpuacct.usage",
            FileKind::MemoryCurrent => "memory.current",
            FileKind::MemoryUsageInBytes => "memory.usage_in_bytes",
            FileKind::MemorySwapCurrent => "memory.swap.current",
            FileKind::MemoryStat => "memory.stat",
            FileKind::MemoryStatV1 => "memory.stat (v1)",
            FileKind::IoStat => "io.stat",
            FileKind::BlkioServiceBytes => "blkio.throttle.io_service_bytes",
            FileKind::BlkioServiced => "blkio.throttle.io_serviced",
            FileKind::BlkioThrottleRules => "blkio.throttle rules",
            FileKind::NetDev => "net/dev",
            FileKind::ProcStat => "/proc/stat",
            FileKind::Meminfo => "/proc/meminfo",
            FileKind::Diskstats => "/proc/diskstats",
            FileKind::Mountinfo => "mountinfo",
            FileKind::PidCgroup => "/proc/<pid>/cgroup",
            FileKind::PidStat => "/proc/<pid>/stat",
            FileKind::CgroupEvents => "cgroup.events",
            FileKind::CgroupControllers => "cgroup.controllers",
            FileKind::BootId => "boot_id",
        })
    }
}

/// Why a file gave no value. Each of them means *unknown*: the caller keeps its last reading and tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Nothing was read at all; a kernel file that has no value yet prints a zero.
    #[error("{file}: the file is empty")]
    Empty {
        /// Which file.
        file: FileKind,
    },
    /// The text stops before the end of an entry: a short read, or a cgroup that is being made or removed.
    #[error("{file}: {at}: the text stops in the middle of an entry")]
    Torn {
        /// Which file.
        file: FileKind,
        /// Where the entry starts that is not whole.
        at: Place,
    },
    /// The text is whole and lacks a key that every supported kernel prints.
    #[error("{file}: the key {key} is missing")]
    MissingKey {
        /// Which file.
        file: FileKind,
        /// The key.
        key: &'static str,
    },
    /// Something else stands where a decimal number must be.
    #[error("{file}: {at}: expected a number, found `{found}`")]
    NotANumber {
        /// Which file.
        file: FileKind,
        /// Where the number should start.
        at: Place,
        /// What is there.
        found: Excerpt,
    },
    /// The number, or its value in the unit that is returned, needs more than 64 bits.
    #[error("{file}: {at}: `{found}` does not fit into 64 bits")]
    Overflow {
        /// Which file.
        file: FileKind,
        /// Where the number, or its line, starts.
        at: Place,
        /// What is there.
        found: Excerpt,
    },
    /// The text does not have the file's layout.
    #[error("{file}: {at}: expected {expected}, found `{found}`")]
    Unexpected {
        /// Which file.
        file: FileKind,
        /// Where the text departs from it.
        at: Place,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: Excerpt,
    },
    /// More rows than are kept in memory.
    #[error("{file}: more than {limit} rows")]
    TooManyRows {
        /// Which file.
        file: FileKind,
        /// The most rows that are taken.
        limit: usize,
    },
}

impl SourceError {
    /// Whether the text merely stopped too early, so that reading more of the file may help.
    pub fn is_torn(&self) -> bool {
        matches!(self, SourceError::Torn { .. })
    }
}

/// A position in a file: byte from 0, line from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it.
    pub byte: usize,
    /// Lines, this one included.
    pub line: usize,
}

impl Place {
    /// The place of byte `byte` of `text`. Counts lines, so it is called only once an error is certain.
    #[cold]
    pub(super) fn of(text: &[u8], byte: usize) -> Place {
        let newlines = text.iter().take(byte).filter(|b| **b == b'\n').count();
        Place {
            byte,
            line: newlines + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, byte {}", self.line, self.byte)
    }
}

/// The first bytes of what was found instead, up to the end of the line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; Excerpt::BYTES_MAX],
    len: u8,
}

impl Excerpt {
    /// The longest excerpt; a u64 has 20 digits.
    pub const BYTES_MAX: usize = 24;

    #[cold]
    pub(super) fn of(text: &[u8], from: usize) -> Excerpt {
        let mut excerpt = Excerpt {
            bytes: [0; Excerpt::BYTES_MAX],
            len: 0,
        };
        let found = text.iter().skip(from).take_while(|b| **b != b'\n');
        for (slot, byte) in excerpt.bytes.iter_mut().zip(found) {
            *slot = *byte;
            excerpt.len += 1;
        }
        excerpt
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_file_the_place_and_what_was_found() {
        let text = b"anon 1\nfile max\n";
        let error = SourceError::NotANumber {
            file: FileKind::MemoryStat,
            at: Place::of(text, 12),
            found: Excerpt::of(text, 12),
        };
        assert_eq!(
            error.to_string(),
            "memory.stat: line 2, byte 12: expected a number, found `max`"
        );
    }

    #[test]
    fn an_excerpt_is_short_and_printable() {
        let found = Excerpt::of(b"\x00\xffabcdefghijklmnopqrstuvwxyz0123456789", 0);
        assert_eq!(found.to_string(), "\\x00\\xffabcdefghijklmnopqrstuv");
        assert_eq!(Excerpt::of(b"short", 99).to_string(), "");
    }
}
