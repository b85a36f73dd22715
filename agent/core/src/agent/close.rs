//! From a window to durable frames: closed on a copy, checkpoint synced, frames synced, and only then does the state
//! move on (I1, I3). When anything fails nothing has happened: the window stays open and readings go on.

use tallyman_common::ids::{Digest, Seq, SpoolId};
use tallyman_common::time::MINUTE_MS;
use tallyman_common::wire::{self, FLAG_CARRIED, FLAG_CLEAN_STOP, FLAG_CLOCK_STEP, FrameError, Header};

use super::Agent;
use crate::checkpoint::Named;
use crate::event::{ClosedWindow, NS_PER_MS};
use crate::notice::Notice;
use crate::ports::{Disk, DiskError};
use crate::spool::{AppendError, Appended};
use crate::windows::Windows;
use crate::windows::close::{Closed, Position};
use crate::windows::edge::Edge;

/// Why a window could not be closed.
#[derive(Debug, thiserror::Error)]
enum CloseError {
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] DiskError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("signing: {0}")]
    Frame(#[from] FrameError),
}

impl CloseError {
    fn is_about_room(&self) -> bool {
        matches!(
            self,
            Self::Append(AppendError::NoRoom { .. } | AppendError::Disk(DiskError::Full))
                | Self::Checkpoint(DiskError::Full)
        )
    }
}

impl Agent {
    /// Closes the open window. On failure that is told once, and tried again at the next minute.
    pub(super) fn close(&mut self, end: Edge, clean_stop: bool, disk: &mut dyn Disk) -> Option<ClosedWindow> {
        self.notices.append(&mut self.windows.take_notices());
        match self.try_close(end, clean_stop, disk) {
            Ok((closed, appended)) => {
                let spool = self.spool.current();
                if self.close_fault.take().is_some() {
                    let text = "windows become durable again".to_owned();
                    self.notices.push(Notice::info("window-closed-again", text));
                }
                self.last_window = Some(closed.window);
                self.is_saved = true;
                self.retain(disk);
                self.tell_filling();
                Some(ClosedWindow {
                    window: closed.window,
                    spool,
                    first_seq: appended.first,
                    last_seq: appended.last,
                })
            }
            Err(fault) => {
                self.not_closed(&fault, disk);
                None
            }
        }
    }

    /// Says when windows get longer for want of room, and when they are minutes again.
    fn tell_filling(&mut self) {
        let minutes = self.spool.window_minutes();
        let before = std::mem::replace(&mut self.window_minutes, minutes);
        if minutes > before {
            let (used, limit) = (self.spool.used_bytes(), self.spool.limit_bytes());
            let text = format!(
                "{used} of {limit} bytes of the spool are used and most of it is not acknowledged: windows are of {minutes} \
                 minutes now, and nothing is lost; is the aggregator reachable? `spool_limit_mib` gives more room"
            );
            self.notices.push(Notice::warning("spool-filling", text));
        } else if minutes < before {
            let text = format!("the spool has room again: windows are of {minutes} minutes");
            self.notices.push(Notice::info("spool-drained", text));
        }
    }

    fn try_close(
        &mut self,
        end: Edge,
        clean_stop: bool,
        disk: &mut dyn Disk,
    ) -> Result<(Closed, Appended), CloseError> {
        let mut next = self.windows.clone();
        let position = Position {
            spool: self.spool.current(),
            next_seq: self.spool.last_seq() + 1,
        };
        let spool = &self.spool;
        let acked = |of: SpoolId, seq: Seq| spool.was_acked(of, seq);
        let closed = next.close(end, position, &self.identity.inventory, &acked);
        next.apply_mapping(self.now.wall.0, &self.directory);
        let frames = self.seal(&closed, position, clean_stop)?;
        let bytes: usize = frames.iter().map(|(_, frame)| frame.len() + 64).sum();
        self.spool.make_room(bytes as u64, disk)?;
        let last = frames
            .last()
            .map_or_else(Digest::default, |(header, _)| header.digest());
        let last_seq = position.next_seq + frames.len() as u64 - 1;
        let named = Named::new(self.identity.node, position.spool, last_seq, last, &self.spool);
        let slot = self.slots.write(named, &next.snapshot(), disk)?;
        let durable = self.spool.append(&frames, disk)?;
        self.slots.keep(&slot);
        self.windows = next;
        Ok((closed, *durable.get()))
    }

    fn seal(
        &self,
        closed: &Closed,
        position: Position,
        clean_stop: bool,
    ) -> Result<Vec<(Header, Vec<u8>)>, FrameError> {
        let parts = u16::try_from(closed.parts.len()).expect("windows have few parts");
        let mut prev_digest = self.spool.last_digest();
        let mut frames = Vec::with_capacity(closed.parts.len());
        for ((part, seq), records) in (0..parts).zip(position.next_seq..).zip(&closed.parts) {
            let is_last = part + 1 == parts;
            let stop = if clean_stop && is_last { FLAG_CLEAN_STOP } else { 0 };
            let carried = if closed.carried { FLAG_CARRIED } else { 0 };
            let step = if closed.stepped { FLAG_CLOCK_STEP } else { 0 };
            let draft = Header {
                version: wire::VERSION,
                node: self.identity.node,
                spool: position.spool,
                partition: 0,
                seq,
                prev_digest,
                boot: self.windows.boot(),
                boot_start: closed.window.boot_start,
                boot_end: closed.window.boot_end,
                wall_start: closed.window.wall_start,
                wall_end: closed.window.wall_end,
                part,
                parts,
                flags: stop | step | carried,
                mapping_revision: closed.mapping_revision,
                cpus: self.identity.inventory.cpus.max(1),
                leaves: 0,
                root: Digest::default(),
                raw_bytes: 0,
                codec: 0,
            };
            let (header, frame) = wire::seal(draft, records, &self.identity.key)?;
            prev_digest = header.digest();
            frames.push((header, frame));
        }
        Ok(frames)
    }

    fn not_closed(&mut self, fault: &CloseError, disk: &mut dyn Disk) {
        let to_minute_ms = MINUTE_MS - self.now.wall.0 % MINUTE_MS;
        self.close_not_before_ns = self.now.boot_ns + to_minute_ms * NS_PER_MS;
        let text = fault.to_string();
        if self.close_fault.as_ref() != Some(&text) {
            let told = format!(
                "the window stays open and nothing is lost, but nothing is shipped either: {text}; \
                 make room, or let the aggregator acknowledge"
            );
            self.notices.push(Notice::error("window-not-closed", told));
        }
        self.close_fault = Some(text);
        if fault.is_about_room() {
            self.save(disk);
        }
    }

    /// Writes a checkpoint beside windows: it carries on what is not in any frame yet.
    pub(super) fn save(&mut self, disk: &mut dyn Disk) {
        let mut outcome = self.try_save(disk);
        if outcome == Err(DiskError::Full) && self.spool.remove_oldest_acked(disk) == Ok(true) {
            outcome = self.try_save(disk);
        }
        match outcome {
            Ok(()) => self.is_saved = true,
            Err(fault) => {
                let text = format!(
                    "no checkpoint could be written: {fault}; a crash now would cost time resolution"
                );
                self.notices.push(Notice::error("checkpoint-failed", text));
            }
        }
    }

    fn try_save(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let (seq, digest) = (self.spool.last_seq(), self.spool.last_digest());
        let named = Named::new(self.identity.node, self.spool.current(), seq, digest, &self.spool);
        let slot = self.slots.write(named, &Windows::snapshot(&self.windows), disk)?;
        self.slots.keep(&slot);
        Ok(())
    }

    fn retain(&mut self, disk: &mut dyn Disk) {
        let kept = self.spool.retain(self.now.wall, self.config.retention_ms, disk);
        if let Err(fault) = kept {
            let text = format!("an old acknowledged segment could not be deleted: {fault}");
            self.notices.push(Notice::warning("segment-not-deleted", text));
        }
    }
}
