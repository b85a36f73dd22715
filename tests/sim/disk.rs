//! A node's disk: what the process sees, and what a power cut leaves. Any operation can be the last one.

use std::collections::BTreeMap;

use tallyman_agent_core::{Disk, DiskError, Listed};

use super::rng::Rng;

/// The disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    live: BTreeMap<String, Vec<u8>>,
    durable: BTreeMap<String, Vec<u8>>,
    /// Operations until the process is killed in the middle of one.
    kill_in: Option<u64>,
    /// Appends fail for want of room.
    pub full: bool,
    /// The next sync fails and leaves unsynced bytes undefined.
    pub fail_next_sync: bool,
    /// Operations until one fails.
    pub fail_in: Option<u64>,
    /// Planted: a sync does nothing and says yes.
    pub sync_lies: bool,
    dead: bool,
    /// Files taken away since the last look, with their last bytes.
    pub removed: Vec<(String, Vec<u8>)>,
}

impl SimDisk {
    /// Kills the process at the n-th operation from now.
    pub fn kill_in(&mut self, operations: u64) {
        self.kill_in = Some(operations);
    }

    /// True once the process was killed.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// After a kill the page cache survives; after a power cut each file keeps its durable bytes and any part of
    /// what was appended since.
    pub fn come_back(&mut self, power_cut: bool, rng: &mut Rng) {
        (self.dead, self.kill_in, self.fail_next_sync) = (false, None, false);
        self.fail_in = None;
        if power_cut {
            let live = std::mem::take(&mut self.live);
            for (name, bytes) in live {
                let kept = match self.durable.get(&name) {
                    Some(durable) if bytes.starts_with(durable) => {
                        let tail = bytes.len() - durable.len();
                        durable.len() + rng.below(tail as u64 + 1) as usize
                    }
                    // Cut or rewritten and not synced: either image can be there.
                    Some(durable) if rng.chance(50) => {
                        self.live.insert(name, durable.clone());
                        continue;
                    }
                    Some(_) => bytes.len(),
                    None if rng.chance(50) => continue,
                    None => rng.below(bytes.len() as u64 + 1) as usize,
                };
                self.live.insert(name, bytes[..kept].to_vec());
            }
            self.durable = self.live.clone();
        }
    }

    fn operate(&mut self) -> Result<(), DiskError> {
        if let Some(left) = self.kill_in.as_mut() {
            *left = left.wrapping_sub(1);
            self.dead |= *left == 0;
        }
        let failing = self.fail_in.take();
        self.fail_in = failing.and_then(|left| left.checked_sub(1));
        if self.dead {
            Err(DiskError::Failed("the process was killed".into()))
        } else if failing == Some(0) {
            Err(DiskError::Failed("EIO".into()))
        } else {
            Ok(())
        }
    }

    fn file(&self, name: &str) -> Result<&Vec<u8>, DiskError> {
        self.live
            .get(name)
            .ok_or_else(|| DiskError::Failed(format!("{name}: no such file")))
    }
}

impl Disk for SimDisk {
    fn list(&mut self) -> Result<Vec<Listed>, DiskError> {
        self.operate()?;
        Ok(self
            .live
            .iter()
            .map(|(name, b)| Listed {
                name: name.clone(),
                len: b.len() as u64,
            })
            .collect())
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, DiskError> {
        self.operate()?;
        self.file(name).cloned()
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        self.operate()?;
        let offset = offset as usize;
        let bytes = self.file(name)?.get(offset..offset + len);
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| DiskError::Failed(format!("{name}: shorter than that")))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        if self.full {
            return Err(DiskError::Full);
        }
        let killed = self.operate();
        let file = self.live.entry(name.to_owned()).or_default();
        // A killed process may have written any part of it; the middle stands for all.
        let written = if killed.is_err() {
            bytes.len() / 2
        } else {
            bytes.len()
        };
        file.extend_from_slice(&bytes[..written]);
        killed
    }

    fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        self.operate()?;
        let bytes = self.file(name)?.clone();
        if std::mem::take(&mut self.fail_next_sync) {
            return Err(DiskError::Failed("EIO".into()));
        }
        if !self.sync_lies {
            self.durable.insert(name.to_owned(), bytes);
        }
        Ok(())
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), DiskError> {
        self.operate()?;
        self.live
            .entry(name.to_owned())
            .or_default()
            .truncate(len as usize);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.operate()?;
        self.durable.remove(name);
        self.removed
            .extend(self.live.remove(name).map(|bytes| (name.to_owned(), bytes)));
        Ok(())
    }
}
