//! Where this machine's cgroup trees are, and which file of which tree holds a figure.
//!
//! Decided once, at start, for each resource by itself. Must not know which cgroups are metered.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tallyman_agent_core::sources::SourceError;
use tallyman_agent_core::sources::cgroup::{Controllers, parse_controllers, parse_populated};
use tallyman_agent_core::sources::hierarchy::{self, CgroupMode, Hierarchy, parse_cgroup_mounts};
use tallyman_agent_core::{FileKind, Tree, Trees};

/// Why the trees can't be told.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file can't be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A file says something else.
    #[error("{path}: {reason}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: SourceError,
    },
}

/// The trees of this machine.
#[derive(Debug, Clone, Default)]
pub struct CgroupTrees {
    v1_cpu: Option<PathBuf>,
    v1_memory: Option<PathBuf>,
    v1_io: Option<PathBuf>,
    unified: Option<PathBuf>,
    resources: Hierarchy,
}

impl CgroupTrees {
    /// No tree at all: only the machine as a whole can be metered.
    pub fn none() -> Self {
        Self::default()
    }

    /// The trees as `self/mountinfo` below `proc` shows them.
    pub fn find(proc: &Path) -> Result<Self, CgroupError> {
        let path = proc.join("self/mountinfo");
        let bytes = read(&path)?;
        let mounts = parse_cgroup_mounts(&bytes).map_err(|reason| CgroupError::Malformed { path, reason })?;
        let controllers = match &mounts.unified {
            Some(mount) => {
                let path = Path::new(OsStr::from_bytes(mount)).join("cgroup.controllers");
                parse_controllers(&read(&path)?).map_err(|reason| CgroupError::Malformed { path, reason })?
            }
            None => Controllers::default(),
        };
        Ok(Self::of(mounts.hierarchy(controllers)))
    }

    /// The trees of a hierarchy.
    pub fn of(resources: Hierarchy) -> Self {
        let v1 = |tree: &Option<hierarchy::Tree>| match tree {
            Some(hierarchy::Tree::V1 { mount }) => Some(PathBuf::from(OsStr::from_bytes(mount))),
            _ => None,
        };
        Self {
            v1_cpu: v1(&resources.cpu),
            v1_memory: v1(&resources.memory),
            v1_io: v1(&resources.io),
            unified: resources
                .unified
                .as_ref()
                .map(|mount| PathBuf::from(OsStr::from_bytes(mount))),
            resources,
        }
    }

    /// How the resources are spread; `None` without any tree.
    pub fn mode(&self) -> Option<CgroupMode> {
        self.resources.mode()
    }

    /// Root of the tree in which workloads are looked for: the one that holds CPU time, else any that holds something.
    pub fn root(&self) -> Option<&Path> {
        let v2 = || self.unified.as_deref();
        match &self.resources.cpu {
            Some(hierarchy::Tree::V1 { .. }) => self.v1_cpu.as_deref(),
            Some(hierarchy::Tree::V2 { .. }) => v2(),
            None => self.v1_memory.as_deref().or(self.v1_io.as_deref()).or_else(v2),
        }
    }

    /// Folder of a cgroup in the tree in which workloads are looked for.
    pub fn folder(&self, path: &str) -> Option<PathBuf> {
        self.root().map(|root| below(root, path))
    }

    /// Inode of a cgroup's folder, which tells one life from the next.
    pub fn life(&self, path: &str) -> Option<u64> {
        fs::metadata(self.folder(path)?).ok().map(|m| m.ino())
    }

    /// Whether the cgroup's folder exists.
    pub fn is_there(&self, path: &str) -> bool {
        self.life(path).is_some()
    }

    /// `cgroup.events` of a cgroup; where all resources are in v1, container runtimes make the folder there too.
    pub fn events_file(&self, path: &str) -> Option<PathBuf> {
        let file = below(self.unified.as_deref()?, path).join("cgroup.events");
        file.exists().then_some(file)
    }

    /// Whether a process is in the cgroup or below it; `None` when no tree says so.
    pub fn is_populated(&self, path: &str) -> Option<bool> {
        let bytes = fs::read(below(self.unified.as_deref()?, path).join("cgroup.events")).ok()?;
        parse_populated(&bytes).ok()
    }

    /// Which tree holds which resource, for a workload of these trees.
    pub fn trees(&self) -> Trees {
        let tree = |tree: &Option<hierarchy::Tree>| match tree {
            Some(hierarchy::Tree::V1 { .. }) => Some(Tree::V1),
            Some(hierarchy::Tree::V2 { .. }) => Some(Tree::V2),
            None => None,
        };
        Trees {
            cpu: tree(&self.resources.cpu),
            memory: tree(&self.resources.memory),
            io: tree(&self.resources.io),
        }
    }

    /// Paths at which a file of a cgroup can be, best first.
    pub fn files(&self, path: &str, kind: FileKind) -> Vec<PathBuf> {
        let (tree, names): (&Option<PathBuf>, &[&str]) = match kind {
            FileKind::CpuStat => (&self.unified, &["cpu.stat"]),
            FileKind::MemoryCurrent => (&self.unified, &["memory.current"]),
            FileKind::MemorySwapCurrent => (&self.unified, &["memory.swap.current"]),
            FileKind::MemoryStat => (&self.unified, &["memory.stat"]),
            FileKind::IoStat => (&self.unified, &["io.stat"]),
            FileKind::CpuacctUsage => (&self.v1_cpu, &["cpuacct.usage"]),
            FileKind::MemoryUsageInBytes => (&self.v1_memory, &["memory.usage_in_bytes"]),
            FileKind::MemoryStatV1 => (&self.v1_memory, &["memory.stat"]),
            FileKind::BlkioServiceBytes => (
                &self.v1_io,
                &[
                    "blkio.throttle.io_service_bytes_recursive",
                    "blkio.throttle.io_service_bytes",
                ],
            ),
            FileKind::BlkioServiced => (
                &self.v1_io,
                &[
                    "blkio.throttle.io_serviced_recursive",
                    "blkio.throttle.io_serviced",
                ],
            ),
            _ => (&None, &[]),
        };
        let folder = tree.as_ref().map(|root| below(root, path));
        let names = names.iter();
        names
            .filter_map(|name| folder.as_ref().map(|f| f.join(name)))
            .collect()
    }
}

/// A cgroup's folder below a tree's root.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn read(path: &Path) -> Result<Vec<u8>, CgroupError> {
    fs::read(path).map_err(|reason| CgroupError::Unreadable {
        path: path.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trees(mountinfo: &[u8], memory: bool) -> CgroupTrees {
        let mounts = parse_cgroup_mounts(mountinfo).unwrap();
        CgroupTrees::of(mounts.hierarchy(Controllers {
            cpu: true,
            memory,
            io: memory,
        }))
    }

    #[test]
    fn each_figure_is_looked_for_in_the_tree_that_has_it() {
        let check = |trees: &CgroupTrees, kind, expected: &[&str]| {
            let found = trees.files("/docker/x", kind);
            assert_eq!(
                found,
                expected.iter().map(PathBuf::from).collect::<Vec<_>>(),
                "{kind}"
            );
        };
        let v2 = trees(include_bytes!("../../core/tests/fixtures/v2/mountinfo"), true);
        check(&v2, FileKind::CpuStat, &["/sys/fs/cgroup/docker/x/cpu.stat"]);
        check(&v2, FileKind::IoStat, &["/sys/fs/cgroup/docker/x/io.stat"]);
        check(&v2, FileKind::CpuacctUsage, &[]);
        let hybrid = trees(
            include_bytes!("../../core/tests/fixtures/hybrid/mountinfo"),
            false,
        );
        check(
            &hybrid,
            FileKind::CpuacctUsage,
            &["/sys/fs/cgroup/cpuacct/docker/x/cpuacct.usage"],
        );
        check(
            &hybrid,
            FileKind::BlkioServiced,
            &[
                "/sys/fs/cgroup/blkio/docker/x/blkio.throttle.io_serviced_recursive",
                "/sys/fs/cgroup/blkio/docker/x/blkio.throttle.io_serviced",
            ],
        );
        assert_eq!(hybrid.root(), Some(Path::new("/sys/fs/cgroup/cpuacct")));
        assert_eq!(hybrid.trees().cpu, Some(Tree::V1));
        assert_eq!(CgroupTrees::none().root(), None);
    }

    #[test]
    fn this_machine_has_trees_or_says_so() {
        let found = CgroupTrees::find(Path::new("/proc")).unwrap();
        assert_eq!(found.mode().is_some(), found.root().is_some());
    }
}
