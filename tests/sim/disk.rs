//! A node's disk: what the process sees, and what a power cut leaves. Any operation can be the last one.

use std::collections::BTreeMap;

use tallyman_agent_core::{Disk, DiskError, Listed};

use super::rng::Rng;

/// A file that an agent takes for a damaged segment kept aside.
const BALLAST: &str = "quarantine-spool-left-lying";

/// What of a file survives a power cut.
#[derive(Debug, Clone)]
enum Durable {
    /// Its first bytes, as the process sees them.
    Prefix(usize),
    /// Other bytes than the process sees.
    Image(Vec<u8>),
}

#[derive(Debug, Clone, Default)]
struct File {
    live: Vec<u8>,
    durable: Option<Durable>,
    /// Where a sync failed: the kernel takes these bytes for written from then on, and they are not.
    dropped: Option<(usize, usize)>,
}

impl File {
    fn durable_bytes(&self) -> Option<&[u8]> {
        self.durable.as_ref().map(|durable| match durable {
            Durable::Prefix(len) => &self.live[..*len],
            Durable::Image(bytes) => bytes,
        })
    }

    /// What is there after a power cut: what was durable, and any part of what was appended since.
    fn after_power_cut(&self, rng: &mut Rng) -> Option<Vec<u8>> {
        let any_of =
            |from: usize, rng: &mut Rng| from + rng.below((self.live.len() - from) as u64 + 1) as usize;
        match &self.durable {
            Some(Durable::Prefix(len)) => {
                let mut bytes = self.live[..any_of(*len, rng)].to_vec();
                if let Some((from, to)) = self.dropped {
                    let to = to.min(bytes.len());
                    bytes.get_mut(from..to).into_iter().flatten().for_each(|b| *b = 0);
                }
                Some(bytes)
            }
            // Cut or rewritten and not synced: either image can be there.
            Some(Durable::Image(bytes)) if rng.chance(50) => Some(bytes.clone()),
            Some(Durable::Image(_)) => Some(self.live.clone()),
            None if rng.chance(50) => None,
            None => Some(self.live[..any_of(0, rng)].to_vec()),
        }
    }
}

/// The disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    files: BTreeMap<String, File>,
    /// Operations until the process is killed in the middle of one.
    kill_in: Option<u64>,
    /// Appends fail for want of room.
    pub full: bool,
    /// Syncs that still work before one fails; those behind it say yes.
    pub fail_sync_in: Option<u64>,
    /// Operations until one fails.
    pub fail_in: Option<u64>,
    /// A checkpoint was written whole since the last look.
    pub has_checkpoint: bool,
    /// Planted: a sync does nothing and says yes.
    pub sync_lies: bool,
    /// Planted: a sync that failed says yes.
    pub failure_hidden: bool,
    dead: bool,
    /// Files taken away since the last look, with the bytes of them that were durable.
    pub removed: Vec<(String, Vec<u8>)>,
    /// Bytes of damaged segments that an operator left lying: they take room, so that windows get longer.
    pub ballast: u64,
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

    /// After a kill the page cache survives; a power cut leaves what was durable and any part of the rest.
    pub fn come_back(&mut self, power_cut: bool, rng: &mut Rng) {
        (self.dead, self.kill_in, self.fail_sync_in) = (false, None, None);
        self.fail_in = None;
        if power_cut {
            for (name, file) in std::mem::take(&mut self.files) {
                if let Some(live) = file.after_power_cut(rng) {
                    let durable = Some(Durable::Prefix(live.len()));
                    let dropped = None;
                    self.files.insert(
                        name,
                        File {
                            live,
                            durable,
                            dropped,
                        },
                    );
                }
            }
        }
    }

    /// Names of all files whose name begins so.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let of_prefix = self.files.keys().filter(|name| name.starts_with(prefix));
        of_prefix.cloned().collect()
    }

    /// The bytes of a file as the process sees them.
    pub fn bytes(&self, name: &str) -> &[u8] {
        self.files.get(name).map_or(&[], |file| &file.live)
    }

    /// Takes everything away, as an installation does.
    pub fn wipe(&mut self) {
        self.files.clear();
        self.full = false;
    }

    /// Takes the oldest segment away, whatever is in it.
    pub fn drop_oldest(&mut self) {
        if let Some(name) = self.names("spool-").first() {
            let file = self.files.remove(name).expect("it is there");
            self.removed.push((name.clone(), file.live));
        }
    }

    /// One bit of the medium turns over.
    pub fn flip(&mut self, name: &str, at: usize, bit: u8) {
        let file = self.files.get_mut(name).expect("named by the caller");
        file.live[at] ^= 1 << bit;
        if let Some(Durable::Image(bytes)) = &mut file.durable {
            bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << bit);
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

    fn file(&self, name: &str) -> Result<&File, DiskError> {
        self.files
            .get(name)
            .ok_or_else(|| DiskError::Failed(format!("{name}: no such file")))
    }
}

impl Disk for SimDisk {
    fn list(&mut self) -> Result<Vec<Listed>, DiskError> {
        self.operate()?;
        let files = self.files.iter().map(|(name, file)| Listed {
            name: name.clone(),
            len: file.live.len() as u64,
        });
        let ballast = Listed {
            name: BALLAST.to_owned(),
            len: self.ballast,
        };
        Ok(files.chain((self.ballast > 0).then_some(ballast)).collect())
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, DiskError> {
        self.operate()?;
        self.file(name).map(|file| file.live.clone())
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        self.operate()?;
        let offset = offset as usize;
        let bytes = self.file(name)?.live.get(offset..offset + len);
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| DiskError::Failed(format!("{name}: shorter than that")))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        if self.full {
            return Err(DiskError::Full);
        }
        let killed = self.operate();
        let file = self.files.entry(name.to_owned()).or_default();
        // A killed process may have written any part of it; the middle stands for all.
        let written = if killed.is_err() {
            bytes.len() / 2
        } else {
            bytes.len()
        };
        file.live.extend_from_slice(&bytes[..written]);
        self.has_checkpoint |= killed.is_ok() && name.starts_with("checkpoint-");
        killed
    }

    fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        self.operate()?;
        self.file(name)?;
        let file = self.files.get_mut(name).expect("it is there");
        let len = file.live.len();
        let failing = self.fail_sync_in.take();
        self.fail_sync_in = failing.and_then(|left| left.checked_sub(1));
        if failing == Some(0) {
            let from = match file.durable {
                Some(Durable::Prefix(len)) => len,
                _ => 0,
            };
            file.dropped = (from < len).then_some((from, len));
            if self.failure_hidden {
                file.durable = Some(Durable::Prefix(len));
                return Ok(());
            }
            return Err(DiskError::Failed("EIO".into()));
        }
        if !self.sync_lies {
            file.durable = Some(Durable::Prefix(len));
        }
        Ok(())
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), DiskError> {
        self.operate()?;
        let file = self.files.entry(name.to_owned()).or_default();
        let len = len as usize;
        if let Some(Durable::Prefix(durable)) = file.durable
            && durable > len
        {
            file.durable = Some(Durable::Image(file.live[..durable].to_vec()));
        }
        file.live.truncate(len);
        file.dropped = file
            .dropped
            .filter(|(from, _)| *from < len)
            .map(|(from, to)| (from, to.min(len)));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.operate()?;
        if let Some(file) = self.files.remove(name) {
            let durable = file.durable_bytes().map(<[u8]>::to_vec);
            self.removed.extend(durable.map(|bytes| (name.to_owned(), bytes)));
        }
        Ok(())
    }
}
