//! What the aggregator has: frames leave the list of those to be sent only by its own word (I3, I4).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tallyman_common::ids::{Seq, SpoolId};
use tallyman_common::time::WallMs;

use super::{FrameKey, Place, Spool};

impl Spool {
    /// Durable at the aggregator: this frame, and no other. A number alone says nothing of our frame: a copy of this
    /// folder may have sent another one under it (I3).
    pub fn ack(&mut self, spool: SpoolId, seq: Seq) {
        if let Some(key) = self.key(spool, seq) {
            self.unacked.remove(&key);
        }
    }

    /// Whether a frame was acknowledged, or is not there any more.
    pub fn was_acked(&self, spool: SpoolId, seq: Seq) -> bool {
        self.key(spool, seq)
            .is_none_or(|key| !self.unacked.contains(&key))
    }

    /// Frames of a range that are still here, acknowledged or not.
    pub fn held_in(&self, spool: SpoolId, seqs: &RangeInclusive<Seq>) -> Vec<FrameKey> {
        let of_spool = self.segments.iter().filter(|s| s.name.spool == spool);
        let keys = of_spool.flat_map(|s| {
            let wanted = s.places.iter().filter(|p| seqs.contains(&p.seq));
            wanted.map(|p| FrameKey {
                age: s.age,
                seq: p.seq,
            })
        });
        keys.collect()
    }

    /// All frames of the open spool up to this one were acknowledged.
    pub fn acked_upto(&self) -> Seq {
        let age = self.age();
        let first = self.unacked.range(FrameKey { age, seq: 0 }..).next();
        first.map_or(self.last_seq, |key| key.seq - 1)
    }

    /// What the aggregator has of the open spool, and when it was last restored from a backup. It tells numbers, and
    /// behind any of them may be a copy's batch: they take nothing off the list, so that what lost its answer is sent
    /// again. When it was restored since its acknowledgements, or something lacks that was acknowledged, it was set
    /// back: what is behind its watermark is sent again, and so is all that is still here of older spools.
    pub fn aggregator_has(&mut self, watermark: Seq, above: &[(Seq, Seq)], restored: WallMs) {
        let has = |seq: Seq| seq <= watermark || above.iter().any(|(from, to)| (*from..*to).contains(&seq));
        let newest = self.age();
        let of_newest = self.segments.iter().filter(|s| s.age == newest);
        let mut of_newest = of_newest.flat_map(|s| &s.places);
        let was_set_back = of_newest.any(|place| {
            let seq = place.seq;
            !has(seq) && !self.unacked.contains(&FrameKey { age: newest, seq })
        });
        let is_same = restored == self.acked_since;
        self.acked_since = restored;
        if is_same && !was_set_back {
            return;
        }
        for segment in &self.segments {
            let age = segment.age;
            let places = segment.places.iter();
            let again = places.filter(|p| age != newest || p.seq > watermark);
            self.unacked.extend(again.map(|p| FrameKey { age, seq: p.seq }));
        }
    }

    /// The aggregator has other batches under the numbers of the open spool: no acknowledgement of it can be believed
    /// to be of our batches, so that all that is still here is sent again.
    pub fn doubt_acks(&mut self) {
        let newest = self.age();
        let of_newest = self.segments.iter().filter(|s| s.age == newest);
        let again = of_newest.flat_map(|s| &s.places).map(|p| FrameKey {
            age: newest,
            seq: p.seq,
        });
        self.unacked.extend(again);
    }

    /// Whether a spool was ever open here, as far as its frames are still here.
    pub fn knows(&self, spool: SpoolId) -> bool {
        self.ages.contains(&spool)
    }

    /// Whether one spool was drawn behind another one, which is here. Of one that is not here no frame is left.
    pub fn is_newer(&self, spool: SpoolId, than: SpoolId) -> bool {
        let age = |of: SpoolId| self.ages.iter().position(|known| *known == of);
        age(spool).is_none_or(|at| Some(at) > age(than))
    }

    /// The aggregator's newest restore when it gave the acknowledgements; 0 for none.
    pub fn acked_since(&self) -> WallMs {
        self.acked_since
    }

    /// Acknowledged frames by spool, as half-open ranges, for the checkpoint.
    pub fn acked_ranges(&self) -> BTreeMap<SpoolId, Vec<(Seq, Seq)>> {
        let mut ranges: BTreeMap<SpoolId, Vec<(Seq, Seq)>> = BTreeMap::new();
        for segment in &self.segments {
            let age = segment.age;
            let acked = |p: &&Place| !self.unacked.contains(&FrameKey { age, seq: p.seq });
            let list = ranges.entry(segment.name.spool).or_default();
            for place in segment.places.iter().filter(acked) {
                match list.last_mut() {
                    Some(last) if last.1 == place.seq => last.1 += 1,
                    _ => list.push((place.seq, place.seq + 1)),
                }
            }
        }
        ranges
    }

    /// What a checkpoint says was acknowledged, and since which restore of the aggregator.
    pub fn restore_acks(&mut self, ranges: &BTreeMap<SpoolId, Vec<(Seq, Seq)>>, since: WallMs) {
        self.acked_since = since;
        for (spool, list) in ranges {
            let Some(key) = self.key(*spool, 0) else { continue };
            for (from, to) in list {
                let range = FrameKey {
                    age: key.age,
                    seq: *from,
                }..FrameKey {
                    age: key.age,
                    seq: *to,
                };
                for key in self.unacked.range(range).copied().collect::<Vec<_>>() {
                    self.unacked.remove(&key);
                }
            }
        }
    }
}
