//! The files of one workload, kept open: a sample is one `pread` at offset 0 into a buffer that all share.
//!
//! A file is opened when it is first asked for. Must not know what the bytes mean, nor keep any.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::{Errno, pread, retry_on_intr};
use tallyman_agent_core::{FileKind, ReadFault};

use super::cgroup::CgroupTrees;

/// Enough for nearly every kernel file in one read.
const BUFFER_BYTES: usize = 64 << 10;
/// A file that is longer is not read: it is none that is metered.
const FILE_BYTES_MAX: usize = 4 << 20;
/// How often an absent file is looked for at once: the trees of a hybrid machine get a new cgroup one after another.
const ABSENT_LOOKS: u8 = 8;

/// The buffer that every read goes into.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; BUFFER_BYTES])
    }
}

impl Buffer {
    /// All of a file, from its start.
    pub fn read(&mut self, file: &OwnedFd, kind: FileKind) -> Result<&[u8], Errno> {
        // A file of many records comes page by page; the others come whole.
        let in_pages = matches!(kind, FileKind::NetDev | FileKind::Diskstats);
        let mut len = 0;
        loop {
            let offset = u64::try_from(len).expect("a length fits");
            let read = retry_on_intr(|| pread(file, &mut self.0[len..], offset))?;
            len += read;
            if read == 0 || (!in_pages && len < self.0.len()) {
                return Ok(&self.0[..len]);
            }
            if len == self.0.len() {
                if len >= FILE_BYTES_MAX {
                    return Err(Errno::FBIG);
                }
                self.0.resize(len * 2, 0);
            }
        }
    }
}

/// Where a workload's files are.
#[derive(Debug)]
enum Place {
    /// Files of the whole machine, below procfs.
    Host(PathBuf),
    /// Files of a cgroup, by its path from the root of the trees.
    Cgroup(String),
}

#[derive(Debug)]
enum Kept {
    Open(OwnedFd),
    /// There was no such file each of the times that it was looked for.
    Absent(u8),
}

/// The files of one workload.
#[derive(Debug)]
pub struct Files {
    place: Place,
    kept: Vec<(FileKind, Kept)>,
    net: Option<OwnedFd>,
}

impl Files {
    /// Files of the machine; `proc` is where procfs is mounted.
    pub fn of_host(proc: &Path) -> Self {
        Self::new(Place::Host(proc.to_owned()))
    }

    /// Files of the cgroup at `path` in each tree.
    pub fn of_cgroup(path: &str) -> Self {
        Self::new(Place::Cgroup(path.to_owned()))
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            kept: Vec::new(),
            net: None,
        }
    }

    /// Keeps `/proc/<pid>/net/dev` of the workload. It holds the whole network namespace alive, so let go of it with
    /// the workload.
    pub fn keep_net(&mut self, file: Option<OwnedFd>) {
        self.net = file;
    }

    /// Looks again for files that were not there: a controller can be switched on later.
    pub fn look_again(&mut self) {
        self.kept.retain(|(_, kept)| matches!(kept, Kept::Open(_)));
    }

    /// The bytes of one file.
    pub fn read<'b>(
        &mut self,
        kind: FileKind,
        trees: &CgroupTrees,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadFault> {
        if kind == FileKind::NetDev && matches!(self.place, Place::Cgroup(_)) {
            let file = self.net.as_ref().ok_or(ReadFault::Failed)?;
            return buffer.read(file, kind).map_err(read_fault);
        }
        let known = self.kept.iter().position(|(kept, _)| *kept == kind);
        let at = match known.map(|at| (at, &self.kept[at].1)) {
            Some((at, Kept::Absent(looks))) if *looks < ABSENT_LOOKS => {
                let looks = *looks;
                self.kept.swap_remove(at);
                self.open(kind, trees, looks)?
            }
            Some((at, _)) => at,
            None => self.open(kind, trees, 0)?,
        };
        match &self.kept[at].1 {
            Kept::Open(file) => buffer.read(file, kind).map_err(read_fault),
            Kept::Absent(_) => Err(ReadFault::Absent),
        }
    }

    /// Path of a file as a person would open it; `None` when no tree has it.
    pub fn path_of(&self, kind: FileKind, trees: &CgroupTrees) -> Option<PathBuf> {
        self.candidates(kind, trees).into_iter().next()
    }

    #[cold]
    fn open(&mut self, kind: FileKind, trees: &CgroupTrees, looks: u8) -> Result<usize, ReadFault> {
        let mut kept = Kept::Absent(looks + 1);
        for path in self.candidates(kind, trees) {
            match File::open(&path) {
                Ok(file) => {
                    kept = Kept::Open(file.into());
                    break;
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(_) => return Err(ReadFault::Failed),
            }
        }
        if matches!((&kept, &self.place), (Kept::Absent(_), Place::Cgroup(path)) if !trees.is_there(path)) {
            return Err(ReadFault::Gone);
        }
        self.kept.push((kind, kept));
        Ok(self.kept.len() - 1)
    }

    fn candidates(&self, kind: FileKind, trees: &CgroupTrees) -> Vec<PathBuf> {
        match &self.place {
            Place::Host(proc) => host_file(kind).map(|name| proc.join(name)).into_iter().collect(),
            Place::Cgroup(path) => trees.files(path, kind),
        }
    }
}

fn host_file(kind: FileKind) -> Option<&'static str> {
    match kind {
        FileKind::ProcStat => Some("stat"),
        FileKind::Meminfo => Some("meminfo"),
        FileKind::Diskstats => Some("diskstats"),
        // The agent's own namespace is the host's.
        FileKind::NetDev => Some("self/net/dev"),
        _ => None,
    }
}

fn read_fault(error: Errno) -> ReadFault {
    match error {
        Errno::NODEV | Errno::SRCH | Errno::NOENT => ReadFault::Gone,
        // The file is there for show: the kernel has no such figure for this cgroup.
        Errno::OPNOTSUPP => ReadFault::Absent,
        _ => ReadFault::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_comes_whole_and_an_absurd_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut buffer = Buffer::default();
        for len in [0, 1, BUFFER_BYTES, BUFFER_BYTES * 3 + 1] {
            std::fs::write(&path, vec![7; len]).unwrap();
            let file = File::open(&path).unwrap().into();
            for kind in [FileKind::CpuStat, FileKind::Diskstats] {
                assert_eq!(buffer.read(&file, kind).unwrap().len(), len);
            }
        }
        std::fs::write(&path, vec![7; FILE_BYTES_MAX + 1]).unwrap();
        let file = File::open(&path).unwrap().into();
        assert_eq!(buffer.read(&file, FileKind::IoStat), Err(Errno::FBIG));
    }

    #[test]
    fn a_file_that_comes_a_little_later_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (trees, mut buffer) = (CgroupTrees::none(), Buffer::default());
        let mut files = Files::of_host(folder.path());
        for _ in 0..3 {
            assert_eq!(
                files.read(FileKind::ProcStat, &trees, &mut buffer),
                Err(ReadFault::Absent)
            );
        }
        std::fs::write(folder.path().join("stat"), "cpu 1").unwrap();
        assert_eq!(
            files.read(FileKind::ProcStat, &trees, &mut buffer),
            Ok(&b"cpu 1"[..])
        );
    }

    #[test]
    fn the_files_of_this_machine_are_read() {
        let mut files = Files::of_host(Path::new("/proc"));
        let (trees, mut buffer) = (CgroupTrees::none(), Buffer::default());
        for kind in [
            FileKind::ProcStat,
            FileKind::Meminfo,
            FileKind::Diskstats,
            FileKind::NetDev,
        ] {
            assert!(files.read(kind, &trees, &mut buffer).is_ok(), "{kind}");
        }
        assert_eq!(
            files.read(FileKind::CpuStat, &trees, &mut buffer),
            Err(ReadFault::Absent)
        );
    }
}
