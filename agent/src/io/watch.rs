//! Hints from the kernel that cgroups come, end or go (inotify). Hints only: the state is read again every time, and
//! an overflow asks for a full look.
//!
//! Must not know what is metered.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// Bytes of hints taken at once.
const HINT_BYTES: usize = 16 << 10;

/// One hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A cgroup appeared at this path.
    Created(String),
    /// The cgroup at this path went.
    Deleted(String),
    /// `cgroup.events` of the cgroup at this path changed.
    Changed(String),
    /// Hints were lost: look at everything.
    Lost,
}

#[derive(Debug, Clone)]
enum Watched {
    Folder(String),
    Events(String),
}

/// The watches of this process.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    watched: BTreeMap<i32, Watched>,
    refused: bool,
}

impl Watch {
    /// Nothing is watched yet.
    pub fn open() -> Result<Self, Errno> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self {
            inotify,
            watched: BTreeMap::new(),
            refused: false,
        })
    }

    /// Watches for folders in the folder of the cgroup at `path`.
    pub fn folder(&mut self, path: &str, folder: &Path) {
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        // It is let go of by the kernel, with the folder.
        let _ = self.add(folder, flags, Watched::Folder(path.to_owned()));
    }

    /// Watches the `cgroup.events` of the cgroup at `path`; the number is for [`Watch::forget`].
    pub fn events(&mut self, path: &str, file: &Path) -> Option<i32> {
        self.add(file, WatchFlags::MODIFY, Watched::Events(path.to_owned()))
    }

    /// Lets go of a watched file. A removed cgroup's files would else be kept by their watch.
    pub fn forget(&mut self, wd: i32) {
        // Refused when the kernel let go of it already.
        let _ = inotify::remove_watch(&self.inotify, wd);
        self.watched.remove(&wd);
    }

    fn add(&mut self, at: &Path, flags: WatchFlags, watched: Watched) -> Option<i32> {
        match inotify::add_watch(&self.inotify, at, flags) {
            Ok(wd) => {
                self.watched.insert(wd, watched);
                return Some(wd);
            }
            // It went in the meantime.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NODEV) => {}
            Err(error) if !self.refused => {
                self.refused = true;
                tracing::warn!(
                    path = %at.display(), %error,
                    "not all cgroups can be watched, so that short lives may be seen late; raise it with \
                     `sysctl -w fs.inotify.max_user_watches=65536`"
                );
            }
            Err(_) => {}
        }
        None
    }

    /// Takes the hints that are there, in order.
    pub fn take(&mut self, hints: &mut Vec<Hint>) {
        let mut bytes = [MaybeUninit::uninit(); HINT_BYTES];
        let mut reader = inotify::Reader::new(&self.inotify, &mut bytes);
        let mut ended = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => break,
                Err(error) => {
                    tracing::warn!(%error, "hints of the kernel can't be read; looking at everything instead");
                    hints.push(Hint::Lost);
                    break;
                }
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                hints.push(Hint::Lost);
            } else if flags.contains(ReadFlags::IGNORED) {
                ended.push(event.wd());
            } else if let Some(watched) = self.watched.get(&event.wd()) {
                let name = event.file_name().and_then(|name| name.to_str().ok());
                hints.extend(hint(watched, flags, name));
            }
        }
        // The kernel may use a number again, but only after it said that the old watch ended.
        for wd in ended {
            self.watched.remove(&wd);
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

fn hint(watched: &Watched, flags: ReadFlags, name: Option<&str>) -> Option<Hint> {
    match watched {
        Watched::Events(path) => Some(Hint::Changed(path.clone())),
        Watched::Folder(parent) => {
            let path = format!("{}/{}", parent.trim_end_matches('/'), name?);
            if flags.contains(ReadFlags::CREATE) {
                Some(Hint::Created(path))
            } else {
                flags.contains(ReadFlags::DELETE).then_some(Hint::Deleted(path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_come_and_go_are_told_in_order() {
        let root = tempfile::tempdir().unwrap();
        let mut watch = Watch::open().unwrap();
        watch.folder("/", root.path());
        watch.folder("/gone", &root.path().join("gone"));
        std::fs::create_dir(root.path().join("a")).unwrap();
        watch.folder("/a", &root.path().join("a"));
        std::fs::create_dir(root.path().join("a/b")).unwrap();
        std::fs::write(root.path().join("a/cgroup.events"), "populated 1\n").unwrap();
        watch.events("/a", &root.path().join("a/cgroup.events"));
        std::fs::write(root.path().join("a/cgroup.events"), "populated 0\n").unwrap();
        std::fs::remove_dir(root.path().join("a/b")).unwrap();
        let mut hints = Vec::new();
        watch.take(&mut hints);
        hints.dedup();
        let path = |path: &str| path.to_owned();
        assert_eq!(
            hints,
            [
                Hint::Created(path("/a")),
                Hint::Created(path("/a/b")),
                Hint::Created(path("/a/cgroup.events")),
                Hint::Changed(path("/a")),
                Hint::Deleted(path("/a/b")),
            ]
        );
        hints.clear();
        watch.take(&mut hints);
        assert_eq!(hints, []);
    }
}
