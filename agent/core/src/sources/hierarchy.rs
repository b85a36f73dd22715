//! Where the cgroup trees are mounted (`mountinfo`), and which tree holds which resource.
//!
//! Decided once, at start, for each resource by itself: v2 has it, or a v1 tree has it, or nobody has. A resource is
//! never read from two trees. Must not look into the trees; the shell brings the text of `cgroup.controllers`.

use super::bytes::{Line, Text};
use super::cgroup::Controllers;
use super::error::{FileKind, SourceError};

/// The cgroup mounts of a machine: paths of directories, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupMounts {
    /// The v2 tree.
    pub unified: Option<Vec<u8>>,
    /// The v1 trees by controller; several controllers can share one.
    pub cpuacct: Option<Vec<u8>>,
    /// As above, for memory.
    pub memory: Option<Vec<u8>>,
    /// As above, for block I/O.
    pub blkio: Option<Vec<u8>>,
}

/// The tree that holds a resource: which files it has, and the directory at which it is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A v1 tree: `cpuacct.usage`, `memory.usage_in_bytes`, `blkio.throttle.*`.
    V1 {
        /// Where it is mounted.
        mount: Vec<u8>,
    },
    /// The v2 tree: `cpu.stat`, `memory.current`, `io.stat`.
    V2 {
        /// Where it is mounted.
        mount: Vec<u8>,
    },
}

/// Which tree holds which resource; `None` when no tree does, which is unmeasured, not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchy {
    /// CPU time.
    pub cpu: Option<Tree>,
    /// Memory.
    pub memory: Option<Tree>,
    /// Block I/O.
    pub io: Option<Tree>,
    /// The v2 tree, for `cgroup.events`, also where all resources are in v1.
    pub unified: Option<Vec<u8>>,
}

/// How a machine's resources are spread over the trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupMode {
    /// All in v1 trees.
    V1,
    /// v1 resources beside a v2 tree.
    Hybrid,
    /// All in the v2 tree.
    V2,
}

impl Hierarchy {
    /// `None` on a machine without any cgroup tree.
    pub fn mode(&self) -> Option<CgroupMode> {
        let trees = [&self.cpu, &self.memory, &self.io];
        let any_v1 = trees.iter().any(|tree| matches!(tree, Some(Tree::V1 { .. })));
        match (any_v1, self.unified.is_some()) {
            (true, true) => Some(CgroupMode::Hybrid),
            (true, false) => Some(CgroupMode::V1),
            (false, true) => Some(CgroupMode::V2),
            (false, false) => None,
        }
    }
}

/// `/proc/self/mountinfo`: the first mount of each tree that shows the tree from its root. A mount of a part of a
/// tree (as in a container) is of no use, since the paths of processes start at the root.
pub fn parse_cgroup_mounts(bytes: &[u8]) -> Result<CgroupMounts, SourceError> {
    let text = Text::new(FileKind::Mountinfo, bytes)?;
    let mut mounts = CgroupMounts::default();
    for line in text.lines_from(0) {
        if !line.whole {
            return Err(text.torn(line.start));
        }
        let mount = parse_mount(&line).ok_or_else(|| text.unexpected(line.start, "a mount"))?;
        if mount.root != b"/" {
            continue;
        }
        match mount.file_system {
            b"cgroup2" => keep_first(&mut mounts.unified, mount.mount_point),
            b"cgroup" => keep_v1(&mut mounts, &mount),
            _ => {}
        }
    }
    Ok(mounts)
}

impl CgroupMounts {
    /// Decides for each resource. `controllers` is what `cgroup.controllers` at the v2 tree's root lists; a resource
    /// with a v1 tree is there, since the kernel lends a controller to one tree only. CPU time needs no controller in
    /// v2: every v2 cgroup counts it.
    pub fn hierarchy(&self, controllers: Controllers) -> Hierarchy {
        let tree = |v1: &Option<Vec<u8>>, in_v2: bool| match (v1, &self.unified) {
            (Some(mount), _) => Some(Tree::V1 { mount: mount.clone() }),
            (None, Some(mount)) if in_v2 => Some(Tree::V2 { mount: mount.clone() }),
            (None, _) => None,
        };
        Hierarchy {
            cpu: tree(&self.cpuacct, true),
            memory: tree(&self.memory, controllers.memory),
            io: tree(&self.blkio, controllers.io),
            unified: self.unified.clone(),
        }
    }
}

struct Mount<'a> {
    root: &'a [u8],
    mount_point: &'a [u8],
    file_system: &'a [u8],
    super_options: &'a [u8],
}

/// id parent major:minor root mount-point options optional-fields… - file-system source super-options
fn parse_mount<'a>(line: &Line<'a>) -> Option<Mount<'a>> {
    let mut words = line.words().map(|(_, word)| word);
    let root = words.nth(3)?;
    let mount_point = words.next()?;
    words.next()?;
    words.find(|word| *word == b"-")?;
    let file_system = words.next()?;
    // The source can be empty, and the line then lacks a word; the options are the last one.
    let super_options = words.last()?;
    Some(Mount {
        root,
        mount_point,
        file_system,
        super_options,
    })
}

fn keep_v1(mounts: &mut CgroupMounts, mount: &Mount<'_>) {
    for option in mount.super_options.split(|byte| *byte == b',') {
        match option {
            b"cpuacct" => keep_first(&mut mounts.cpuacct, mount.mount_point),
            b"memory" => keep_first(&mut mounts.memory, mount.mount_point),
            b"blkio" => keep_first(&mut mounts.blkio, mount.mount_point),
            _ => {}
        }
    }
}

fn keep_first(slot: &mut Option<Vec<u8>>, mount_point: &[u8]) {
    slot.get_or_insert_with(|| unescape(mount_point));
}

/// The kernel writes space, tab, line feed and backslash in a path as a backslash and three octal digits.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        match rest {
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                behind @ ..,
            ] => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = behind;
            }
            _ => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Controllers = Controllers {
        cpu: true,
        memory: true,
        io: true,
    };
    const NONE: Controllers = Controllers {
        cpu: false,
        memory: false,
        io: false,
    };

    /// `cpu memory io unified mode`, each as `v1:path`, `v2:path` or `-`.
    fn shown(mountinfo: &[u8], controllers: Controllers) -> String {
        let hierarchy = parse_cgroup_mounts(mountinfo).unwrap().hierarchy(controllers);
        let tree = |tree: &Option<Tree>| match tree {
            Some(Tree::V1 { mount }) => format!("v1:{}", mount.escape_ascii()),
            Some(Tree::V2 { mount }) => format!("v2:{}", mount.escape_ascii()),
            None => "-".to_string(),
        };
        let unified = hierarchy
            .unified
            .as_ref()
            .map_or("-".to_string(), |mount| mount.escape_ascii().to_string());
        let trees = [&hierarchy.cpu, &hierarchy.memory, &hierarchy.io]
            .map(tree)
            .join(" ");
        format!("{trees} {unified} {:?}", hierarchy.mode())
    }

    #[test]
    fn recorded_machines() {
        let v2 = include_bytes!("../../tests/fixtures/v2/mountinfo");
        let all_v2 = "v2:/sys/fs/cgroup v2:/sys/fs/cgroup v2:/sys/fs/cgroup /sys/fs/cgroup Some(V2)";
        assert_eq!(shown(v2, ALL), all_v2);
        let v1 = include_bytes!("../../tests/fixtures/v1/mountinfo");
        let all_v1 =
            "v1:/sys/fs/cgroup/cpu,cpuacct v1:/sys/fs/cgroup/memory v1:/sys/fs/cgroup/blkio - Some(V1)";
        assert_eq!(shown(v1, NONE), all_v1);
        let hybrid = include_bytes!("../../tests/fixtures/hybrid/mountinfo");
        let expected = "v1:/sys/fs/cgroup/cpuacct v1:/sys/fs/cgroup/memory v1:/sys/fs/cgroup/blkio \
                        /sys/fs/cgroup/unified Some(Hybrid)";
        assert_eq!(shown(hybrid, NONE), expected);
    }

    #[test]
    fn each_resource_is_decided_by_itself() {
        let check = |mountinfo: &str, controllers, expected: &str| {
            assert_eq!(shown(mountinfo.as_bytes(), controllers), expected, "{mountinfo}");
        };
        let unified = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        check(unified, NONE, "v2:/sys/fs/cgroup - - /sys/fs/cgroup Some(V2)");
        check(
            unified,
            Controllers { io: true, ..NONE },
            "v2:/sys/fs/cgroup - v2:/sys/fs/cgroup /sys/fs/cgroup Some(V2)",
        );
        let memory = "36 24 0:31 / /mem rw shared:1 master:2 - cgroup cgroup rw,memory\n";
        let mixed = format!("{unified}{memory}");
        check(
            &mixed,
            Controllers { io: true, ..NONE },
            "v2:/sys/fs/cgroup v1:/mem v2:/sys/fs/cgroup /sys/fs/cgroup Some(Hybrid)",
        );
        check("21 1 0:19 / /proc rw - proc proc rw\n", ALL, "- - - - None");
        check(
            "36 24 0:31 / /x rw - cgroup cgroup rw,xattr,name=systemd\n",
            ALL,
            "- - - - None",
        );
    }

    #[test]
    fn a_mount_of_a_part_or_a_second_mount_is_passed_over() {
        let text = "1 2 0:1 /docker/x /part rw - cgroup2 c rw\n2 2 0:1 / /first\\040one rw - cgroup2 c rw\n\
                    3 2 0:1 / /second rw - cgroup2 c rw\n";
        let mounts = parse_cgroup_mounts(text.as_bytes()).unwrap();
        assert_eq!(mounts.unified.as_deref(), Some(&b"/first one"[..]));
    }

    #[test]
    fn bad_mountinfo_is_refused() {
        for bad in [
            &b""[..],
            b"1 2 0:1 / /x rw - cgroup2",
            b"1 2 3\n",
            b"1 2 0:1 / /x rw cgroup2 c rw\n",
        ] {
            assert!(parse_cgroup_mounts(bad).is_err(), "{}", bad.escape_ascii());
        }
        let escapes = unescape(b"/a\\134b\\999\\04");
        assert_eq!(escapes, b"/a\\b\\999\\04");
    }
}
