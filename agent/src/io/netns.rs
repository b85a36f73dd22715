//! The network namespace of a workload: found through one of its processes, told from the host's by its inode.
//!
//! An open `/proc/<pid>/net/dev` keeps the namespace alive after its last process; whoever holds it lets go of it with
//! the workload. Must not know who counts a shared namespace.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Folders below a container's that are searched for a process (an init system of its own, a `container/` child).
const NESTED_MAX: usize = 64;

/// Looks namespaces up.
#[derive(Debug, Clone)]
pub struct Namespaces {
    proc: PathBuf,
    host: Option<u64>,
}

/// What a look at a workload's network gave.
#[derive(Debug)]
pub enum Look {
    /// No process is in the cgroup (yet).
    Empty,
    /// The host's namespace. A container that is just being started is there for a moment, too.
    Host,
    /// A namespace of its own, or shared with others.
    Own {
        /// Inode of the namespace.
        inode: u64,
        /// Its `net/dev`.
        file: OwnedFd,
    },
    /// There is a process, but its namespace may not be looked at.
    Denied,
}

impl Namespaces {
    /// `proc` is where procfs is mounted.
    pub fn open(proc: &Path) -> Self {
        let of = |pid: &str| inode(&proc.join(pid).join("ns/net"));
        Self {
            proc: proc.to_owned(),
            // Other users' processes need a capability; the agent runs in the host's namespace itself.
            host: of("1").or_else(|| of("self")),
        }
    }

    /// Looks at the processes in and below a cgroup's folder, until one tells.
    pub fn look(&self, folder: &Path) -> Look {
        let mut waiting = vec![folder.to_owned()];
        let mut outcome = Look::Empty;
        for _ in 0..NESTED_MAX {
            let Some(folder) = waiting.pop() else { break };
            let pids = fs::read_to_string(folder.join("cgroup.procs"));
            for pid in pids
                .iter()
                .flat_map(|text| text.lines())
                .filter(|pid| *pid != "0")
            {
                match self.look_at(pid) {
                    Look::Empty => {}
                    Look::Denied => outcome = Look::Denied,
                    told => return told,
                }
            }
            waiting.extend(folders(&folder));
        }
        outcome
    }

    fn look_at(&self, pid: &str) -> Look {
        let process = self.proc.join(pid);
        let namespace = process.join("ns/net");
        let Some(before) = inode(&namespace) else {
            return if process.exists() {
                Look::Denied
            } else {
                Look::Empty
            };
        };
        if Some(before) == self.host {
            return Look::Host;
        }
        let Ok(file) = File::open(process.join("net/dev")) else {
            return Look::Empty;
        };
        // The process may have moved, or another one have got its number, in between.
        if inode(&namespace) == Some(before) {
            let file = file.into();
            Look::Own { inode: before, file }
        } else {
            Look::Empty
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|m| m.ino())
}

fn folders(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let entries = entries.filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(proc: &Path, pid: &str, namespace: &str) {
        let folder = proc.join(pid);
        fs::create_dir_all(folder.join("ns")).unwrap();
        fs::create_dir_all(folder.join("net")).unwrap();
        fs::write(folder.join("net/dev"), namespace).unwrap();
        let target = proc.join(format!("ns-{namespace}"));
        fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, folder.join("ns/net")).unwrap();
    }

    #[test]
    fn the_first_process_that_tells_counts() {
        let root = tempfile::tempdir().unwrap();
        let (proc, cgroup) = (root.path().join("proc"), root.path().join("cgroup"));
        fs::create_dir_all(&proc).unwrap();
        process(&proc, "1", "host");
        process(&proc, "7", "own");
        fs::create_dir_all(cgroup.join("container")).unwrap();
        let namespaces = Namespaces::open(&proc);
        let procs = |text: &str| fs::write(cgroup.join("cgroup.procs"), text).unwrap();
        assert!(matches!(namespaces.look(&cgroup), Look::Empty));
        procs("99\n0\n");
        assert!(matches!(namespaces.look(&cgroup), Look::Empty));
        fs::write(cgroup.join("container/cgroup.procs"), "7\n").unwrap();
        let expected = inode(&proc.join("ns-own")).unwrap();
        assert!(matches!(namespaces.look(&cgroup), Look::Own { inode, .. } if inode == expected));
        procs("1\n");
        assert!(matches!(namespaces.look(&cgroup), Look::Host));
        fs::create_dir_all(proc.join("8")).unwrap();
        procs("8\n");
        fs::remove_dir_all(cgroup.join("container")).unwrap();
        assert!(matches!(namespaces.look(&cgroup), Look::Denied));
    }
}
