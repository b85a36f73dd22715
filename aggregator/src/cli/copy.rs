//! The store as of one moment, for whoever reads it beside the running aggregator. Changes nothing in it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use tallyman_common::ids::hex;

use super::desk::Desk;
use crate::config::Config;
use crate::tokens;

/// What names of copies of an order begin with; beside each lies a file of its name with [`LOCK`].
const COPY: &str = "copy-";
/// Locked for as long as the order lives: the files that a copy shares would else take room for ever.
const LOCK: &str = "lock";

/// A copy that shares the store's files, with every cell written; removed with its value.
#[derive(Debug)]
pub struct StoreCopy {
    path: PathBuf,
    /// Of an order that can be killed: held until the copy is gone.
    lock: Option<File>,
}

impl StoreCopy {
    /// Makes it. Files can be shared within one file system only, and the running program may write nowhere else: it
    /// lies within the data folder.
    pub fn make(config: &Config) -> anyhow::Result<Self> {
        sweep(&config.data);
        let path = config.data.join(format!("{COPY}{}", hex(&tokens::random::<4>())));
        let lock = path.with_extension(LOCK);
        let lock = lock_new(&lock).with_context(|| format!("{} can't be made", lock.display()))?;
        let copy = Self {
            path,
            lock: Some(lock),
        };
        Desk::open(config)?
            .checkpoint(&copy.path)
            .context("the store could not be copied")?;
        Ok(copy)
    }

    /// The copy for the daily comparison, which there is once; what an earlier process left of it is removed.
    pub fn reserve(data: &Path) -> io::Result<Self> {
        let path = data.join("copy-reconcile");
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(Self { path, lock: None }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StoreCopy {
    fn drop(&mut self) {
        if let Err(e) = remove(&self.path, self.lock.is_some()) {
            eprintln!("{} could not be removed: {e}", self.path.display());
        }
    }
}

fn lock_new(path: &Path) -> io::Result<File> {
    let file = File::create_new(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// The lock goes last: as long as it is there, the next order finds what is left of the copy.
fn remove(copy: &Path, has_lock: bool) -> io::Result<()> {
    let unless_absent = |done: io::Result<()>| match done {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    };
    unless_absent(fs::remove_dir_all(copy))?;
    match has_lock {
        true => unless_absent(fs::remove_file(copy.with_extension(LOCK))),
        false => Ok(()),
    }
}

/// Removes copies of orders that were killed. What can't be looked at stays, and the next one tries again.
pub fn sweep(data: &Path) {
    let Ok(entries) = fs::read_dir(data) else {
        return;
    };
    for path in entries.filter_map(|it| Some(it.ok()?.path())) {
        let name = path.file_stem().and_then(|it| it.to_str());
        let is_lock = path.extension().is_some_and(|it| it == LOCK);
        if !is_lock || !name.is_some_and(|it| it.starts_with(COPY)) {
            continue;
        }
        let Ok(lock) = File::open(&path) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let copy = path.with_extension("");
        match remove(&copy, true) {
            Ok(()) => tracing::info!(copy = %copy.display(), "what a killed order had left was removed"),
            Err(error) => {
                tracing::warn!(%error, copy = %copy.display(), "can't be removed: remove it by hand")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protects: an order that is killed takes no room for ever, and the copy of one that is at work stays.
    #[test]
    fn copies_of_killed_orders_are_removed() {
        let data = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let copy = data.path().join(name);
            fs::create_dir(&copy).unwrap();
            fs::write(copy.join("CURRENT"), "x").unwrap();
            copy
        };
        let (killed, alive, foreign) = (make("copy-aa"), make("copy-bb"), make("copy-reconcile"));
        drop(lock_new(&killed.with_extension(LOCK)).unwrap());
        let held = lock_new(&alive.with_extension(LOCK)).unwrap();
        sweep(data.path());
        assert!(!killed.exists() && !killed.with_extension(LOCK).exists());
        assert!(alive.exists() && alive.with_extension(LOCK).exists() && foreign.exists());
        drop(held);
        sweep(data.path());
        assert!(!alive.exists() && foreign.exists());
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
    }
}
