//! The network's words, and which batches go next (I3).

use tallyman_common::ids::SpoolId;
use tallyman_common::message::{Nack, Verdict, Welcome};

use super::Agent;
use crate::event::{BatchRange, Effects, NetEvent, Outgoing};
use crate::notice::Notice;
use crate::ports::Disk;
use crate::ship::Pace;
use crate::spool::{FrameKey, ReadBack};

/// Why a batch was held: the aggregator has another one under its number (docs/FORMATS.md).
const REASON_CONFLICT: u16 = 22;

impl Agent {
    pub(super) fn hear(&mut self, event: NetEvent, effects: &mut Effects, disk: &mut dyn Disk) {
        match event {
            NetEvent::Connected { welcome, fresh } => match self.contradiction(&welcome, disk) {
                Some(reason) => effects.disconnect = Some(self.leave_spool(&reason, fresh, disk)),
                None => {
                    self.next_spool = Some(fresh);
                    self.ship.connected();
                    self.spool
                        .aggregator_has(welcome.watermark, &welcome.above, welcome.restored);
                }
            },
            NetEvent::Disconnected => {
                self.next_spool = None;
                self.ship.disconnected();
            }
            NetEvent::Ack(ack) => {
                self.spool.ack(ack.spool, ack.seq);
                if let Some(key) = self.spool.key(ack.spool, ack.seq) {
                    self.ship.acked(key, ack.known);
                }
                self.ship.forget_acked(self.spool.unacked());
            }
            NetEvent::Nack(nack) => {
                self.not_taken(&nack);
                self.doubt_spool(&nack, effects, disk);
            }
        }
    }

    /// Another batch under a number of the open spool: a copy of this folder speaks at the same time, and would
    /// contradict every further one. It ends with the spool: what it still has is held, and moves nothing any more.
    fn doubt_spool(&mut self, nack: &Nack, effects: &mut Effects, disk: &mut dyn Disk) {
        if nack.reason != REASON_CONFLICT || nack.spool != self.spool.current() {
            return;
        }
        if let Some(fresh) = self.next_spool.take() {
            let reason = format!("the aggregator has another batch {} than this folder", nack.seq);
            effects.disconnect = Some(self.leave_spool(&reason, fresh, disk));
        }
    }

    /// What of the aggregator's answer can't be true of this spool: then it is a copy's, or was set back.
    fn contradiction(&mut self, welcome: &Welcome, disk: &mut dyn Disk) -> Option<String> {
        let (watermark, last) = (welcome.watermark, self.spool.last_seq());
        if watermark > last {
            return Some(format!(
                "the aggregator has batch {watermark}, this folder ends at {last}"
            ));
        }
        let key = self.spool.key(self.spool.current(), watermark)?;
        let digest = self.spool.digest(key, disk)?;
        (watermark > 0 && digest != welcome.watermark_digest)
            .then(|| format!("the aggregator has another batch {watermark} than this folder"))
    }

    /// Goes on in a new spool in which all series start at 0.
    fn leave_spool(&mut self, reason: &str, fresh: SpoolId, disk: &mut dyn Disk) -> String {
        let old = self.spool.current();
        self.spool.doubt_acks();
        self.spool.draw(fresh);
        self.windows.rebirth();
        self.ship.disconnected();
        self.save(disk);
        let text = format!(
            "spool {old}: {reason}; was this folder restored or copied? Metering goes on in spool {fresh}, in which all \
             series start at 0"
        );
        self.notices.push(Notice::error("spool-contradicted", text));
        reason.to_owned()
    }

    fn not_taken(&mut self, nack: &Nack) {
        let Some(key) = self.spool.key(nack.spool, nack.seq) else {
            return;
        };
        let (verdict, then) = match nack.verdict {
            Verdict::Retry => ("not taken now", "it is sent again later"),
            Verdict::Hold => ("held", "it is kept until an operator at the aggregator decides"),
        };
        let text = format!(
            "batch {} of spool {} was {verdict} (reason {}): {}; {then}",
            nack.seq, nack.spool, nack.reason, nack.text
        );
        self.notices.push(Notice::warning("batch-not-taken", text));
        match nack.verdict {
            Verdict::Retry => self.ship.retry(key, self.now.boot_ns),
            Verdict::Hold => self.ship.hold(key),
        }
    }

    /// Sends batches again, whether acknowledged or not: those of `ranges` that are still here.
    pub(super) fn resend(&mut self, ranges: &[BatchRange]) {
        let keys: Vec<FrameKey> = ranges
            .iter()
            .flat_map(|r| self.spool.held_in(r.spool, &(r.first..=r.last)))
            .collect();
        let acked = keys.into_iter().filter(|key| !self.spool.unacked().contains(key));
        self.ship.resend(acked.collect::<Vec<_>>());
    }

    /// Fills the room on the way with batches.
    pub(super) fn send(&mut self, effects: &mut Effects, disk: &mut dyn Disk) {
        let now_ns = self.now.boot_ns;
        if self.ship.is_stuck(now_ns) {
            self.ship.disconnected();
            let reason = "the aggregator does not answer batches";
            effects.disconnect.get_or_insert_with(|| reason.to_owned());
        }
        let pace = Pace {
            newest: self.spool.key(self.spool.current(), self.spool.last_seq()),
            bytes_per_s: self.config.backlog_bytes_per_s,
            ahead_ns: self.config.interval_ns * 2,
        };
        while let Some(key) = self.ship.next_batch(self.spool.unacked(), now_ns, pace) {
            match self.spool.read(key, disk) {
                Ok(frame) => {
                    self.ship.sent(key, frame.len(), now_ns, pace);
                    effects.send.push(Outgoing {
                        spool: self.spool.spool_of(key),
                        seq: key.seq,
                        frame,
                    });
                }
                Err(fault) => self.not_read(key, fault),
            }
        }
    }

    fn not_read(&mut self, key: FrameKey, fault: ReadBack) {
        let spool = self.spool.spool_of(key);
        match fault {
            ReadBack::Disk(e) => {
                let text = format!(
                    "batch {} of spool {spool} can't be read: {e}; it is tried again",
                    key.seq
                );
                self.notices.push(Notice::error("batch-unreadable", text));
                self.ship.retry(key, self.now.boot_ns);
            }
            ReadBack::Damaged { file } => {
                let text = format!(
                    "batch {} of spool {spool} is damaged in {file}: it is lost, a copy of the file is kept aside, and \
                     the next batch tells all readings again",
                    key.seq
                );
                self.notices.push(Notice::error("spool-damaged", text));
                let start = self.windows.start().boot;
                self.windows.frames_lost(start, start);
                self.ship.forget_acked(self.spool.unacked());
            }
            // It was acknowledged and deleted between two looks; there is nothing to send.
            ReadBack::Unknown => self.ship.gone(key),
        }
    }
}
