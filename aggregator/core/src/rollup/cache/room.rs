//! How many values stay in memory (I11): written ones make room, the oldest hours first, and are read again when they
//! change again. What waits to be written stays, whatever the limit.

use super::Rollup;
use crate::limits::CACHED_HOURS_MAX;

/// The limit, and what it cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Values that stay in memory at most, once they are written.
    values_max: usize,
    /// Values that were taken out of memory for the limit's sake, since the start.
    spilled: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            values_max: CACHED_HOURS_MAX,
            spilled: 0,
        }
    }
}

impl Rollup {
    /// Keeps at most so many values in memory once they are written, in place of [`CACHED_HOURS_MAX`].
    pub fn keep_at_most(&mut self, values_max: usize) {
        self.room.values_max = values_max;
    }

    /// Values of open hours that were taken out of memory for the limit's sake, since the start.
    pub fn spilled(&self) -> u64 {
        self.room.spilled
    }

    /// Forgets clean values of the oldest hours while there are too many, and all but the newest three hours.
    pub(super) fn make_room(&mut self) {
        while self.owners.len() > 3 || self.cached > self.room.values_max {
            let is_open = self.owners.len() <= 3;
            let Some((&oldest, owners)) = self.owners.iter_mut().next() else {
                break;
            };
            let before = owners.count();
            owners.retain(|slot| slot.dirty);
            let kept = owners.count();
            self.cached -= before - kept;
            self.room.spilled += if is_open { (before - kept) as u64 } else { 0 };
            if kept > 0 {
                break;
            }
            let (cached, mut waits) = (&mut self.cached, false);
            self.nodes.retain(|(part, _), slot| {
                let keep = slot.dirty || *part != oldest;
                waits |= keep && *part == oldest;
                *cached -= usize::from(!keep);
                keep
            });
            // A part that is forgotten is not looked at again: nothing of it may stay behind.
            if waits {
                break;
            }
            self.owners.remove(&oldest);
        }
    }
}
