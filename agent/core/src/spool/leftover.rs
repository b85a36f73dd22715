//! What failed writes leave in the folder: frames that never became durable, whose sequences a later segment of the
//! same spool uses again.
//!
//! As long as the later segment is there, it tells. Should it go first (acknowledged, and its room was needed), the
//! next opening would take the leftover for the batch of that number, and a resend would ship it: one number with two
//! contents, which is what a clone looks like. So leftovers go before any segment does, and none is ever listed.

use std::collections::BTreeMap;

use tallyman_common::ids::{Seq, SpoolId};

use super::scan::{Found, Scan, Tail};
use super::segment::Name;
use crate::ports::{Disk, DiskError};

/// Files that are longer than what of them is durable: file, durable bytes.
#[derive(Debug, Default)]
pub(super) struct Leftovers(BTreeMap<String, u64>);

impl Leftovers {
    /// Cuts a file back to what is durable; what the disk refuses is kept in mind.
    pub fn cut(&mut self, file: &str, durable: u64, disk: &mut dyn Disk) {
        if cut(file, durable, disk).is_err() {
            self.0.insert(file.to_owned(), durable);
        }
    }

    /// Tries again what the disk refused.
    ///
    /// # Errors
    /// When the disk refuses still; what it did not refuse is done.
    pub fn clear(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        while let Some((file, durable)) = self.0.first_key_value() {
            cut(file, *durable, disk)?;
            self.0.pop_first();
        }
        Ok(())
    }
}

/// Cuts a file back, durably; a file of which nothing is durable goes as a whole.
pub(super) fn cut(file: &str, durable: u64, disk: &mut dyn Disk) -> Result<(), DiskError> {
    if durable == 0 {
        return disk.remove(file);
    }
    disk.truncate(file, durable)?;
    disk.sync(file)
}

/// Takes off what a later segment of the same spool overrides: from that one's first sequence on, everything was
/// written but never became durable. `scans` are by rising name. Returns of each where its leftovers begin, if it has
/// any.
pub(super) fn take_off<'a>(
    scans: impl DoubleEndedIterator<Item = (&'a Name, &'a mut Scan)>,
) -> Vec<Option<u64>> {
    let mut first_later: BTreeMap<SpoolId, Seq> = BTreeMap::new();
    let mut begins: Vec<Option<u64>> = scans
        .rev()
        .map(|(name, scan)| {
            // One that is all damaged had something durable; one in which nothing is overrides nothing.
            let is_any = !scan.frames.is_empty() || !scan.damage.is_empty();
            let first = first_later.get(&name.spool).copied();
            if is_any {
                first_later.insert(name.spool, name.first);
            }
            let at = scan
                .frames
                .iter()
                .find(|frame| first.is_some_and(|first| frame.seq >= first))?
                .entry_at;
            cut_scan(scan, at);
            Some(at as u64)
        })
        .collect();
    begins.reverse();
    begins
}

/// A segment that ends at `at`.
fn cut_scan(scan: &mut Scan, at: usize) {
    scan.frames.retain(|frame| frame.entry_at < at);
    scan.damage.retain(|(from, _)| *from < at);
    let is_damaged = scan.damage.last().is_some_and(|(_, to)| *to == at);
    scan.tail = if is_damaged { Tail::Damaged } else { Tail::Clean };
    scan.sound_end = scan.frames.last().map_or(0, Found::end);
}
