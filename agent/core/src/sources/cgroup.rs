//! Which cgroups a process is in (`/proc/<pid>/cgroup`), and what a cgroup says of itself (`cgroup.events`,
//! `cgroup.controllers`).
//!
//! Paths are bytes below a tree's root, as the kernel prints them. Must not guess a path from a name: the kernel's
//! word counts. What a path means is `identity`'s business, where the trees are `hierarchy`'s.

use super::bytes::{Line, Text};
use super::error::{FileKind, SourceError};

/// The cgroups of one process, one per tree that is of use here; `None` where the kernel names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessCgroups<'a> {
    /// The v2 tree, line `0::`.
    pub unified: Option<CgroupPath<'a>>,
    /// The v1 trees by controller; several controllers can share one.
    pub cpuacct: Option<CgroupPath<'a>>,
    /// As above, for memory.
    pub memory: Option<CgroupPath<'a>>,
    /// As above, for block I/O.
    pub blkio: Option<CgroupPath<'a>>,
}

/// A path below the root of its tree, with the leading slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupPath<'a> {
    /// The path, without the kernel's mark of a removed cgroup.
    pub path: &'a [u8],
    /// The directory was removed already; the path can be another cgroup's by now.
    pub deleted: bool,
}

/// `/proc/<pid>/cgroup`.
pub fn parse_process_cgroups(bytes: &[u8]) -> Result<ProcessCgroups<'_>, SourceError> {
    let text = Text::new(FileKind::PidCgroup, bytes)?;
    let mut cgroups = ProcessCgroups::default();
    for line in text.lines_from(0) {
        if !line.whole {
            return Err(text.torn(line.start));
        }
        let (controllers, path) = split_line(&text, &line)?;
        if controllers.is_empty() {
            if line.body.starts_with(b"0:") {
                cgroups.unified = Some(path);
            }
            continue;
        }
        for controller in controllers.split(|byte| *byte == b',') {
            match controller {
                b"cpuacct" => cgroups.cpuacct = Some(path),
                b"memory" => cgroups.memory = Some(path),
                b"blkio" => cgroups.blkio = Some(path),
                _ => {}
            }
        }
    }
    Ok(cgroups)
}

/// `number:controllers:path`; the path may hold colons.
fn split_line<'a>(text: &Text<'a>, line: &Line<'a>) -> Result<(&'a [u8], CgroupPath<'a>), SourceError> {
    const DELETED: &[u8] = b" (deleted)";
    let malformed = || text.unexpected(line.start, "a number, controllers and a path");
    let mut parts = line.body.splitn(3, |byte| *byte == b':');
    let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(malformed());
    };
    if path.starts_with(b"/..") {
        return Err(text.unexpected(
            line.start,
            "a path below the root (is the reader itself in a container?)",
        ));
    }
    if !path.starts_with(b"/") {
        return Err(malformed());
    }
    let path = match path.strip_suffix(DELETED) {
        Some(path) => CgroupPath { path, deleted: true },
        None => CgroupPath { path, deleted: false },
    };
    Ok((controllers, path))
}

/// v2 `cgroup.events`: whether any process is in the cgroup or below it.
pub fn parse_populated(bytes: &[u8]) -> Result<bool, SourceError> {
    const KEY: &str = "populated";
    let text = Text::new(FileKind::CgroupEvents, bytes)?;
    let [populated] = text.values([KEY])?;
    match text.required(populated, KEY)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(text.unexpected(0, "populated 0 or 1")),
    }
}

/// Which controllers of a v2 cgroup are of use here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controllers {
    /// Shares of CPU time; the time itself is counted without it.
    pub cpu: bool,
    /// Memory.
    pub memory: bool,
    /// Block I/O.
    pub io: bool,
}

/// v2 `cgroup.controllers` and `cgroup.subtree_control`. No controller at all is a valid answer: an empty line, and
/// from an empty `cgroup.subtree_control` the kernel prints that too.
pub fn parse_controllers(bytes: &[u8]) -> Result<Controllers, SourceError> {
    let text = Text::new(FileKind::CgroupControllers, bytes)?;
    let line = text
        .line(0)
        .filter(|line| line.whole)
        .ok_or_else(|| text.torn(0))?;
    let mut controllers = Controllers::default();
    for (_, word) in line.words() {
        match word {
            b"cpu" => controllers.cpu = true,
            b"memory" => controllers.memory = true,
            b"io" => controllers.io = true,
            _ => {}
        }
    }
    Ok(controllers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &[u8] = b"/docker/4f5b1c0a9e8d7c6b5a493827160f5e4d3c2b1a09f8e7d6c5b4a3928170f1e2d3";

    fn live(path: &[u8]) -> Option<CgroupPath<'_>> {
        Some(CgroupPath { path, deleted: false })
    }

    #[test]
    fn recorded_processes() {
        let v2 = parse_process_cgroups(include_bytes!("../../tests/fixtures/v2/pid.cgroup"));
        assert_eq!(
            v2,
            Ok(ProcessCgroups {
                unified: live(DOCKER),
                ..ProcessCgroups::default()
            })
        );
        let v1 = parse_process_cgroups(include_bytes!("../../tests/fixtures/v1/pid.cgroup")).unwrap();
        assert_eq!(
            (v1.cpuacct, v1.memory, v1.blkio, v1.unified),
            (live(DOCKER), live(DOCKER), live(DOCKER), None)
        );
        let hybrid = parse_process_cgroups(include_bytes!("../../tests/fixtures/hybrid/pid.cgroup")).unwrap();
        assert_eq!(
            (hybrid.unified, hybrid.cpuacct, hybrid.memory, hybrid.blkio),
            (live(DOCKER), live(DOCKER), live(DOCKER), live(DOCKER))
        );
    }

    #[test]
    fn odd_lines() {
        let check = |input: &[u8], expected: Result<&[u8], &str>| {
            let found =
                parse_process_cgroups(input).map(|cgroups| cgroups.unified.map(|unified| unified.path));
            let found = found.map_err(|error| error.to_string());
            assert_eq!(
                found,
                expected.map(Some).map_err(str::to_string),
                "{}",
                input.escape_ascii()
            );
        };
        check(b"0::/a:b/c d\n", Ok(b"/a:b/c d"));
        check(b"1:name=systemd:/x\n0::/y\n", Ok(b"/y"));
        check(b"", Err("/proc/<pid>/cgroup: the file is empty"));
        check(
            b"0::/docker/4f5b",
            Err("/proc/<pid>/cgroup: line 1, byte 0: the text stops in the middle of an entry"),
        );
        check(
            b"0::/../x\n",
            Err(
                "/proc/<pid>/cgroup: line 1, byte 0: expected a path below the root (is the reader itself in a \
                 container?), found `0::/../x`",
            ),
        );
        check(
            b"0:/x\n",
            Err(
                "/proc/<pid>/cgroup: line 1, byte 0: expected a number, controllers and a path, found `0:/x`",
            ),
        );
    }

    #[test]
    fn a_removed_cgroup_is_told_apart() {
        let cgroups = parse_process_cgroups(b"0::/docker/x (deleted)\n").unwrap();
        assert_eq!(
            cgroups.unified,
            Some(CgroupPath {
                path: b"/docker/x",
                deleted: true
            })
        );
    }

    #[test]
    fn populated_is_0_or_1() {
        assert_eq!(
            parse_populated(include_bytes!("../../tests/fixtures/v2/cgroup.events")),
            Ok(true)
        );
        assert_eq!(
            parse_populated(include_bytes!("../../tests/fixtures/v2/fresh.cgroup.events")),
            Ok(false)
        );
        for bad in [
            &b""[..],
            b"frozen 0\n",
            b"populated 2\n",
            b"populated 1",
            b"populated\n",
        ] {
            assert!(parse_populated(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn controllers_are_whole_words() {
        let recorded = parse_controllers(include_bytes!("../../tests/fixtures/v2/cgroup.controllers"));
        assert_eq!(
            recorded,
            Ok(Controllers {
                cpu: true,
                memory: true,
                io: true
            })
        );
        assert_eq!(parse_controllers(b"cpuset pids\n"), Ok(Controllers::default()));
        assert_eq!(parse_controllers(b"\n"), Ok(Controllers::default()));
        assert!(parse_controllers(b"cpu mem").is_err());
    }
}
