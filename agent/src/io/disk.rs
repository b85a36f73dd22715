//! The core's disk port over a real folder (I3): append handles stay open, a sync is `fdatasync` of the file and, for
//! a file that is new, `fsync` of the folder.
//!
//! After a failed sync the kernel may have dropped the pages and would call the next sync a success: the handle is
//! dead, and nothing is appended to that file until it was cut back. Must not know what the files mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tallyman_agent_core::{Disk, DiskError, Listed};

/// Append handles kept open; the core writes to a segment and a checkpoint slot at a time.
const HANDLES_MAX: usize = 8;

/// A folder of files.
#[derive(Debug)]
pub struct FolderDisk {
    folder: PathBuf,
    entries: File,
    handles: BTreeMap<String, Handle>,
    /// Files whose last sync failed.
    dead: BTreeSet<String>,
}

#[derive(Debug)]
struct Handle {
    file: File,
    /// Its entry in the folder is not durable yet.
    is_new: bool,
}

impl FolderDisk {
    /// Opens the folder; makes it (mode 0700, parents too) when there is none.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| fault(folder, e))?;
        let entries = File::open(folder).map_err(|e| fault(folder, e))?;
        Ok(Self {
            folder: folder.to_owned(),
            entries,
            handles: BTreeMap::new(),
            dead: BTreeSet::new(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn handle(&mut self, name: &str) -> Result<&mut Handle, DiskError> {
        if !self.handles.contains_key(name) {
            if self.handles.len() >= HANDLES_MAX {
                self.close_one()?;
            }
            let handle = self.open_handle(name)?;
            self.handles.insert(name.to_owned(), handle);
        }
        Ok(self.handles.get_mut(name).expect("just put there"))
    }

    fn open_handle(&self, name: &str) -> Result<Handle, DiskError> {
        let path = self.path(name);
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path);
        let file = opened.map_err(|e| fault(&path, e))?;
        // Also where it was there: an earlier process may have died before the entry was durable.
        Ok(Handle { file, is_new: true })
    }

    /// Closes a handle whose entry is durable, so that nothing about it must be remembered.
    fn close_one(&mut self) -> Result<(), DiskError> {
        let settled = self.handles.iter().find(|(_, handle)| !handle.is_new);
        let name = settled
            .or(self.handles.iter().next())
            .map(|(name, _)| name.clone());
        let Some(name) = name else { return Ok(()) };
        let handle = self.handles.remove(&name);
        if handle.is_some_and(|handle| handle.is_new) {
            self.sync_entries()?;
        }
        Ok(())
    }

    fn sync_entries(&self) -> Result<(), DiskError> {
        self.entries.sync_all().map_err(|e| fault(&self.folder, e))
    }
}

impl Disk for FolderDisk {
    fn list(&mut self) -> Result<Vec<Listed>, DiskError> {
        let folder = self.folder.clone();
        let entries = fs::read_dir(&folder).map_err(|e| fault(&folder, e))?;
        let mut listed = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| fault(&folder, e))?;
            let metadata = entry.metadata().map_err(|e| fault(&folder, e))?;
            // Names that are no text are not ours.
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                let len = metadata.len();
                listed.push(Listed { name, len });
            }
        }
        listed.sort();
        Ok(listed)
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, DiskError> {
        let path = self.path(name);
        fs::read(&path).map_err(|e| fault(&path, e))
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let path = self.path(name);
        let file = File::open(&path).map_err(|e| fault(&path, e))?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset)
            .map_err(|e| fault(&path, e))?;
        Ok(bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let path = self.path(name);
        if self.dead.contains(name) {
            let reason = "an earlier sync failed; cut it back to what is durable first";
            return Err(DiskError::Failed(format!("{}: {reason}", path.display())));
        }
        let handle = self.handle(name)?;
        handle.file.write_all(bytes).map_err(|e| fault(&path, e))
    }

    fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        let path = self.path(name);
        let handle = self.handle(name)?;
        let is_new = handle.is_new;
        let synced = handle.file.sync_data().map_err(|e| fault(&path, e));
        let synced = synced.and_then(|()| if is_new { self.sync_entries() } else { Ok(()) });
        match synced {
            Ok(()) => {
                self.handle(name)?.is_new = false;
                Ok(())
            }
            Err(error) => {
                self.handles.remove(name);
                self.dead.insert(name.to_owned());
                Err(error)
            }
        }
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), DiskError> {
        let path = self.path(name);
        if self.dead.contains(name) {
            self.handles.remove(name);
        }
        self.handle(name)?
            .file
            .set_len(len)
            .map_err(|e| fault(&path, e))?;
        self.dead.remove(name);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        let path = self.path(name);
        self.handles.remove(name);
        self.dead.remove(name);
        match fs::remove_file(&path) {
            Ok(()) => self.sync_entries(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(fault(&path, e)),
        }
    }
}

fn fault(path: &Path, error: io::Error) -> DiskError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::Full,
        _ => DiskError::Failed(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, FolderDisk) {
        let folder = tempfile::tempdir().unwrap();
        let disk = FolderDisk::open(&folder.path().join("spool")).unwrap();
        (folder, disk)
    }

    fn names(disk: &mut FolderDisk) -> Vec<(String, u64)> {
        let listed = disk.list().unwrap();
        listed.into_iter().map(|file| (file.name, file.len)).collect()
    }

    /// What the port says of itself, in order; the core's fake keeps the same sentences.
    #[test]
    fn the_contract_of_the_port() {
        let (_folder, mut disk) = folder();
        assert_eq!(names(&mut disk), []);
        disk.append("b", b"123").unwrap();
        disk.append("b", b"45").unwrap();
        disk.append("a", b"").unwrap();
        disk.sync("a").unwrap();
        disk.sync("b").unwrap();
        assert_eq!(names(&mut disk), [("a".to_owned(), 0), ("b".to_owned(), 5)]);
        assert_eq!(disk.read("b").unwrap(), b"12345");
        assert_eq!(disk.read_at("b", 1, 3).unwrap(), b"234");
        assert!(matches!(disk.read_at("b", 3, 3), Err(DiskError::Failed(_))));
        assert!(matches!(disk.read("none"), Err(DiskError::Failed(_))));
        disk.truncate("b", 2).unwrap();
        disk.append("b", b"x").unwrap();
        disk.sync("b").unwrap();
        assert_eq!(disk.read("b").unwrap(), b"12x");
        disk.truncate("c", 0).unwrap();
        assert_eq!(disk.read("c").unwrap(), b"");
        disk.remove("b").unwrap();
        disk.remove("b").unwrap();
        assert!(disk.read("b").is_err());
        disk.append("b", b"new").unwrap();
        assert_eq!(disk.read("b").unwrap(), b"new");
    }

    #[test]
    fn a_second_opening_goes_on_at_the_end() {
        let (folder, mut disk) = folder();
        disk.append("a", b"1").unwrap();
        disk.sync("a").unwrap();
        let mut again = FolderDisk::open(&folder.path().join("spool")).unwrap();
        again.append("a", b"2").unwrap();
        assert_eq!(disk.read("a").unwrap(), b"12");
    }

    #[test]
    fn more_files_than_handles() {
        let (_folder, mut disk) = folder();
        for round in 0..2 {
            for file in 0..HANDLES_MAX * 2 {
                disk.append(&format!("f{file:02}"), &[round]).unwrap();
            }
        }
        for file in 0..HANDLES_MAX * 2 {
            disk.sync(&format!("f{file:02}")).unwrap();
            assert_eq!(disk.read(&format!("f{file:02}")).unwrap(), [0, 1]);
        }
    }

    #[test]
    fn after_a_failed_sync_nothing_is_appended_until_the_file_was_cut_back() {
        let (_folder, mut disk) = folder();
        disk.append("a", b"12").unwrap();
        disk.dead.insert("a".to_owned());
        assert!(disk.append("a", b"3").is_err());
        disk.truncate("a", 1).unwrap();
        disk.append("a", b"3").unwrap();
        assert_eq!(disk.read("a").unwrap(), b"13");
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        // /dev/full takes nothing; a link to it stands for a file on a disk without room.
        let (folder, mut disk) = folder();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("spool/full")).unwrap();
        assert_eq!(disk.append("full", b"1"), Err(DiskError::Full));
    }
}
