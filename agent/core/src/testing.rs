//! For tests: a disk in memory with a live and a durable image, which stops at any operation and then forgets.

use std::collections::BTreeMap;

use crate::ports::{Disk, DiskError, Listed};

/// What a crash leaves of bytes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process died: the kernel still has everything.
    Process,
    /// The machine died: only what was synced is there.
    Machine,
    /// The machine died half-way through writing back.
    Torn,
}

/// All of them.
pub const CRASHES: [Crash; 3] = [Crash::Process, Crash::Machine, Crash::Torn];

#[derive(Debug, Clone, Default)]
struct File {
    live: Vec<u8>,
    durable: Option<Vec<u8>>,
}

/// The disk.
#[derive(Debug, Clone, Default)]
pub struct MemDisk {
    files: BTreeMap<String, File>,
    /// Operations that changed something, so far.
    pub operations: u64,
    /// Fails at this operation and ever after.
    pub stop_at: Option<u64>,
    /// Fails at this operation only.
    pub fail_at: Option<(u64, DiskError)>,
    /// Bytes of all files together, at most.
    pub capacity: Option<usize>,
}

impl MemDisk {
    /// Counts an operation; an error when it must not succeed.
    fn operation(&mut self) -> Result<(), DiskError> {
        self.operations += 1;
        if self.stop_at.is_some_and(|at| self.operations >= at) {
            return Err(DiskError::Failed("stopped".to_owned()));
        }
        match &self.fail_at {
            Some((at, error)) if *at == self.operations => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// The disk as the next process finds it.
    pub fn after(&self, crash: Crash) -> Self {
        let mut files = BTreeMap::new();
        for (name, file) in &self.files {
            let left = match (crash, &file.durable) {
                (Crash::Process, _) => Some(file.live.clone()),
                (Crash::Machine, durable) => durable.clone(),
                (Crash::Torn, Some(durable)) if file.live.starts_with(durable) => {
                    let half = durable.len() + (file.live.len() - durable.len()) / 2;
                    Some(file.live[..half].to_vec())
                }
                (Crash::Torn, _) => Some(file.live[..file.live.len() / 2].to_vec()),
            };
            if let Some(bytes) = left {
                let file = File {
                    live: bytes.clone(),
                    durable: Some(bytes),
                };
                files.insert(name.clone(), file);
            }
        }
        Self {
            files,
            ..Self::default()
        }
    }

    /// Flips a bit of a file, durably.
    pub fn flip(&mut self, name: &str, byte: usize) {
        let file = self.files.get_mut(name).expect("the file is there");
        file.live[byte] ^= 1;
        file.durable = Some(file.live.clone());
    }

    /// Names of all files.
    pub fn names(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    /// A file's bytes.
    pub fn bytes(&self, name: &str) -> &[u8] {
        &self.files[name].live
    }
}

impl Disk for MemDisk {
    fn list(&mut self) -> Result<Vec<Listed>, DiskError> {
        let listed = |(name, file): (&String, &File)| Listed {
            name: name.clone(),
            len: file.live.len() as u64,
        };
        Ok(self.files.iter().map(listed).collect())
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, DiskError> {
        let file = self.files.get(name);
        file.map(|f| f.live.clone())
            .ok_or_else(|| DiskError::Failed(format!("{name}: no such file")))
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let bytes = self.read(name)?;
        let from = usize::try_from(offset).expect("tests are small");
        let short = || DiskError::Failed(format!("{name}: short read"));
        bytes.get(from..from + len).map(<[u8]>::to_vec).ok_or_else(short)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let outcome = self.operation();
        let used: usize = self.files.values().map(|f| f.live.len()).sum();
        let room = self
            .capacity
            .map_or(usize::MAX, |capacity| capacity - used.min(capacity));
        // A failed append leaves some of its bytes.
        let written = match &outcome {
            Err(_) => bytes.len() / 2,
            Ok(()) => bytes.len(),
        };
        let live = &mut self.files.entry(name.to_owned()).or_default().live;
        live.extend_from_slice(&bytes[..written.min(room)]);
        outcome?;
        if room < bytes.len() {
            Err(DiskError::Full)
        } else {
            Ok(())
        }
    }

    fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        self.operation()?;
        match self.files.get_mut(name) {
            Some(file) => {
                file.durable = Some(file.live.clone());
                Ok(())
            }
            None => Err(DiskError::Failed(format!("{name}: no such file"))),
        }
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), DiskError> {
        self.operation()?;
        let live = &mut self.files.entry(name.to_owned()).or_default().live;
        live.truncate(usize::try_from(len).expect("tests are small"));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.operation()?;
        self.files.remove(name);
        Ok(())
    }
}
