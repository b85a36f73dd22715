//! Whether the store's disk has room: below a reserve nothing is written any more, so that a full disk stops the intake
//! and not the process (I3, I11). Values in, a decision out; must not know batches, nor how the disk is asked.

use std::time::Instant;

use crate::limits::{ROOM_RESERVE_BYTES, ROOM_RESERVE_SHARE, ROOM_STUCK_MAX};

const MIB: u64 = 1 << 20;

/// Bytes of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// What this process may still write.
    pub free_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}

impl Space {
    /// What is kept free: a fixed size, or a share of a small disk.
    pub fn reserve_bytes(self) -> u64 {
        ROOM_RESERVE_BYTES.min(self.total_bytes / ROOM_RESERVE_SHARE)
    }
}

/// What is known of the room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// The disk.
    pub space: Space,
    /// Nothing is written.
    pub is_low: bool,
}

impl Room {
    /// Why nothing is written, for people far away.
    pub fn words(self) -> String {
        format!(
            "the aggregator's disk is nearly full ({} MiB free, {} MiB are kept in reserve): make room there; nothing is \
             lost, the agents keep their batches and send them again by themselves",
            self.space.free_bytes / MIB,
            self.space.reserve_bytes() / MIB
        )
    }
}

/// What a look at the disk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// As before.
    Same,
    /// Nothing is written from now on.
    Low,
    /// Writing goes on.
    Back,
    /// There is room again, but the store does not write for a long time: it must be opened anew.
    Stuck,
}

/// Decides by looks at the disk.
#[derive(Debug, Default)]
pub struct Watch {
    room: Room,
    /// Since when there is room that the store does not take.
    refused_since: Option<Instant>,
}

impl Watch {
    /// What is known now.
    pub fn room(&self) -> Room {
        self.room
    }

    /// Takes a look. `writes` tries the store once there is room again: after a write that found none it may need some
    /// seconds to recover by itself.
    pub fn look(&mut self, space: Space, now: Instant, writes: impl FnOnce() -> bool) -> Turn {
        self.room.space = space;
        let reserve = space.reserve_bytes();
        if !self.room.is_low {
            self.room.is_low = space.free_bytes < reserve;
            return if self.room.is_low { Turn::Low } else { Turn::Same };
        }
        // A quarter more, so that it does not go back and forth.
        if space.free_bytes < reserve + reserve / 4 {
            self.refused_since = None;
            return Turn::Same;
        }
        if writes() {
            *self = Self {
                room: Room { space, is_low: false },
                refused_since: None,
            };
            return Turn::Back;
        }
        let since = *self.refused_since.get_or_insert(now);
        if now.duration_since(since) >= ROOM_STUCK_MAX {
            Turn::Stuck
        } else {
            Turn::Same
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free_mib: u64) -> Space {
        Space {
            free_bytes: free_mib * MIB,
            total_bytes: 100_000 * MIB,
        }
    }

    #[test]
    fn the_reserve_of_a_small_disk_is_a_share() {
        assert_eq!(space(0).reserve_bytes(), 512 * MIB);
        let small = Space {
            free_bytes: 0,
            total_bytes: 1_600 * MIB,
        };
        assert_eq!(small.reserve_bytes(), 100 * MIB);
    }

    #[test]
    fn below_the_reserve_nothing_is_written_until_there_is_clearly_more_and_the_store_takes_it() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let no_try = || unreachable!("the store is tried only when there is room again");
        assert_eq!(watch.look(space(512), start, no_try), Turn::Same);
        assert_eq!(watch.look(space(511), start, no_try), Turn::Low);
        assert!(watch.room().words().contains("511 MiB free"));
        assert_eq!(watch.look(space(0), start, no_try), Turn::Same);
        assert_eq!(watch.look(space(639), start, no_try), Turn::Same);
        assert_eq!(watch.look(space(640), start, || false), Turn::Same);
        assert!(watch.room().is_low);
        assert_eq!(watch.look(space(640), start, || true), Turn::Back);
        assert!(!watch.room().is_low);
    }

    #[test]
    fn a_store_that_does_not_take_the_room_is_opened_anew() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        watch.look(space(1), start, || true);
        assert_eq!(watch.look(space(999), start, || false), Turn::Same);
        // A disk that is full again meanwhile is no fault of the store.
        let later = start + ROOM_STUCK_MAX;
        assert_eq!(watch.look(space(1), later, || false), Turn::Same);
        assert_eq!(watch.look(space(999), later, || false), Turn::Same);
        assert_eq!(
            watch.look(space(999), later + ROOM_STUCK_MAX, || false),
            Turn::Stuck
        );
    }
}
