//! Taking batches: count, answer again, hold, or ask for later (I2, I3).

use tallyman_common::codec;
use tallyman_common::ids::{Digest, NodeId, Seq, SpoolId};
use tallyman_common::message::{Ack, Hello, Nack, Welcome};
use tallyman_common::time::WallMs;
use tallyman_common::wire::{self, Header};

use super::{Aggregator, Answer};
use crate::headers::{self, Place};
use crate::ingest::{Checked, Mark, Reason};
use crate::limits::FUTURE_MS_MAX;
use crate::log::{Entry, Fate, HeldNote, Kept, header_key, position_key};
use crate::ports::{Read, Table};
use crate::rollup::cache::FoldError;
use crate::rollup::fold::BatchPlace;

impl Aggregator {
    pub(super) fn admit(
        &mut self,
        now: WallMs,
        checked: Checked,
        store: &dyn Read,
    ) -> Result<Answer, FoldError> {
        let header = checked.header.clone();
        let known = self.known(&header, store)?;
        if let Some(same) = known.iter().find(|k| k.digest == checked.digest) {
            return self.answer_again(&header, same);
        }
        let marks = self.marks.node_mut(header.node);
        let mark = marks.find(header.spool, header.partition);
        let has_room = mark.is_none_or(|m| m.has_room_for(header.seq));
        let is_taken = mark.is_some_and(|m| m.has(header.seq) && !m.is_lost(header.seq));
        let reason = if !known.is_empty() || is_taken {
            Some(Reason::Conflict)
        } else if marks.covered_by_another(&header) {
            Some(Reason::TimeCoveredTwice)
        } else if header.wall_end.0 > now.0 + FUTURE_MS_MAX {
            Some(Reason::Future)
        } else if checked.records.is_err() {
            Some(Reason::Unreadable)
        } else if checked.implausible {
            Some(Reason::Implausible)
        } else {
            None
        };
        match reason {
            Some(reason) => {
                // Nothing is inferred over what is held.
                self.withdraw_around(now, &header, store)?;
                Ok(self.hold(now, &checked, reason))
            }
            None if !has_room => Ok(nack(&header, Reason::TooManyGaps, "")),
            None => {
                self.withdraw_around(now, &header, store)?;
                self.count(now, checked, store)
            }
        }
    }

    /// Batches of this number: those of the group first, then the store's (I2).
    fn known(&self, header: &Header, store: &dyn Read) -> Result<Vec<Kept>, FoldError> {
        let marks = self.marks.node(header.node);
        let mark = marks.and_then(|m| m.find(header.spool, header.partition));
        if mark.is_none_or(|m| header.seq > m.kept) {
            return Ok(Vec::new());
        }
        let place = Place {
            partition: header.partition,
            ..Place::of(header.node, header.spool, header.seq..=header.seq)
        };
        self.kept_at(&place, store)
    }

    /// What is kept in a place: of the group first, then of the store.
    fn kept_at(&self, place: &Place, store: &dyn Read) -> Result<Vec<Kept>, FoldError> {
        let (from, to) = place.keys();
        let pending = self.pending_headers.range(from..to);
        let mut all: Vec<Kept> = pending.map(|(_, kept)| kept.clone()).collect();
        all.extend(headers::kept(store, place)?);
        Ok(all)
    }

    fn answer_again(&mut self, header: &Header, same: &Kept) -> Result<Answer, FoldError> {
        self.counters.duplicates += 1;
        Ok(match same.fate()? {
            Fate::Counted => self.ack(header, true),
            Fate::Held(_) if self.registry.held.contains_key(&same.position) => self.ack(header, true),
            Fate::Held(reason) => nack(header, reason, &format!("held at position {}", same.position)),
        })
    }

    fn ack(&self, header: &Header, known: bool) -> Answer {
        let marks = self.marks.node(header.node);
        let upto = marks
            .and_then(|m| m.find(header.spool, header.partition))
            .map_or(0, |m| m.watermark);
        Answer::Ack(Ack {
            spool: header.spool,
            seq: header.seq,
            upto,
            known,
        })
    }

    fn count(&mut self, now: WallMs, checked: Checked, store: &dyn Read) -> Result<Answer, FoldError> {
        let position = self.log(now, &checked, Fate::Counted);
        let records = checked.records.expect("unreadable batches are held");
        let known = self.registry.nodes.get(&checked.header.node);
        let group = self.rollup.group(known.map_or("", |n| n.group.as_str()));
        let sealed = self.registry.seals.newest();
        let place =
            BatchPlace::new(position, sealed, group, &checked.header).expect("checked with the content");
        self.rollup.fold(&place, &records, now, store)?;
        self.acknowledge(&checked.header, now);
        self.counters.counted += 1;
        self.counters.records += records.len() as u64;
        Ok(self.ack(&checked.header, false))
    }

    pub(super) fn acknowledge(&mut self, header: &Header, now: WallMs) {
        let marks = self.marks.node_mut(header.node);
        marks.add(header.spool, header.partition, header.seq);
        marks.note(header, now, self.registry.seals.newest());
        self.changed_nodes.insert(header.node);
    }

    /// Puts a batch into the log; returns its position.
    fn log(&mut self, now: WallMs, checked: &Checked, fate: Fate) -> u64 {
        self.position += 1;
        let h = &checked.header;
        self.changes.put(
            Table::Log,
            position_key(self.position),
            Entry::encode(fate, now, &checked.frame),
        );
        let kept = Kept::new(self.position, fate, checked.digest, checked.signed.clone());
        let key = header_key(h.node, h.spool, h.partition, h.seq, &checked.digest);
        self.changes
            .put(Table::Headers, key.clone(), codec::encode(&kept));
        self.pending_headers.insert(key, kept);
        self.marks.node_mut(h.node).keep(h.spool, h.partition, h.seq);
        self.changed_nodes.insert(h.node);
        self.position
    }

    fn hold(&mut self, now: WallMs, checked: &Checked, reason: Reason) -> Answer {
        let position = self.log(now, checked, Fate::Held(reason));
        let h = &checked.header;
        let note = HeldNote {
            node: h.node,
            spool: h.spool,
            partition: h.partition,
            seq: h.seq,
            reason: reason.number(),
            received: now,
            wall_start: h.wall_start,
            wall_end: h.wall_end,
            detail: checked
                .records
                .as_ref()
                .err()
                .cloned()
                .unwrap_or_else(String::new),
        };
        self.changes
            .put(Table::Held, position_key(position), codec::encode(&note));
        self.counters.held += 1;
        nack(h, reason, &format!("held at position {position}"))
    }

    pub(super) fn welcome(&self, now: WallMs, hello: &Hello, store: &dyn Read) -> Result<Welcome, FoldError> {
        let known = self.marks.node(hello.node);
        let mark = known.map_or_else(Mark::default, |m| m.mark(hello.spool, 0));
        Ok(Welcome {
            store: self.store_id,
            version: wire::VERSION,
            watermark: mark.watermark,
            watermark_digest: self.digest_at(hello.node, hello.spool, mark.watermark, store)?,
            above: mark.above,
            wall: now,
            restored: self.registry.restores.last().map_or(WallMs(0), |r| r.at),
        })
    }

    /// Digest of the batch at a watermark: the counted one, else the first that was decided about.
    fn digest_at(
        &self,
        node: NodeId,
        spool: SpoolId,
        seq: Seq,
        store: &dyn Read,
    ) -> Result<Digest, FoldError> {
        if seq == 0 {
            return Ok(Digest::default());
        }
        let all = self.kept_at(&Place::of(node, spool, seq..=seq), store)?;
        Ok(headers::foremost(all).map_or(Digest([0; 32]), |k| k.digest))
    }
}

fn nack(header: &Header, reason: Reason, detail: &str) -> Answer {
    let text = if detail.is_empty() {
        reason.text().to_owned()
    } else {
        format!("{}; {detail}", reason.text())
    };
    let (spool, seq, verdict) = (header.spool, header.seq, reason.verdict());
    Answer::Nack(
        Nack {
            spool,
            seq,
            reason: reason.number(),
            verdict,
            text,
        },
        reason,
    )
}
