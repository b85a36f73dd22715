//! The bytes of a record: sections by kind, each list strictly sorted and never empty, so that one value has one byte
//! string (docs/FORMATS.md). Whatever would have been written otherwise is refused.
//!
//! It must not know what usage means: sums, billing and signatures are elsewhere.

use bincode::de::Decoder;
use bincode::de::read::Reader;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};
use smallvec::SmallVec;

use super::{Birth, Cause, Group, Hole, Record, Row, State};
use crate::codec::{self, CodecError};
use crate::ids::Owner;
use crate::meter::Meter;
use crate::time::BootMs;

/// Section kinds on the wire. 4 is kept for dated, signed amounts.
const ROWS: u16 = 1;
const WORKLOADS: u16 = 2;
const PEAKS: u16 = 3;
const HOLES: u16 = 5;
const INVENTORY: u16 = 6;

impl State {
    fn code(self) -> [u8; 2] {
        match self {
            Self::Measured => [0, 0],
            Self::Partial(cause) => [1, cause.number()],
            Self::Unmeasured(cause) => [2, cause.number()],
        }
    }

    /// State and cause of their numbers. An unknown cause is refused: a newer agent says so by its version.
    fn from_code(code: [u8; 2]) -> Option<Self> {
        match code {
            [0, 0] => Some(Self::Measured),
            [1, cause] => Cause::from_number(cause).map(Self::Partial),
            [2, cause] => Cause::from_number(cause).map(Self::Unmeasured),
            _ => None,
        }
    }
}

#[derive(Encode)]
struct RawRow(u16, [u8; 2], u64, u128, u128);

/// Bytes of a row: meter, state, covered time, two readings.
const ROW_BYTES: usize = 2 + 2 + 8 + 16 + 16;

/// Takes `N` bytes off the front of a row.
fn part<const N: usize>(row: &mut &[u8]) -> [u8; N] {
    let (part, rest) = row.split_first_chunk().expect("a row has all its parts");
    *row = rest;
    *part
}

impl Encode for Row {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        RawRow(
            self.meter.0,
            self.state.code(),
            self.covered_ms,
            self.from,
            self.to,
        )
        .encode(encoder)
    }
}

impl<C> Decode<C> for Row {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        // A row at a time, not a field at a time: half of all that is decoded are rows.
        decoder.claim_bytes_read(ROW_BYTES)?;
        let mut bytes = [0; ROW_BYTES];
        decoder.reader().read(&mut bytes)?;
        let row = &mut &bytes[..];
        let (meter, state) = (u16::from_le_bytes(part(row)), part(row));
        let covered_ms = u64::from_le_bytes(part(row));
        let (from, to) = (u128::from_le_bytes(part(row)), u128::from_le_bytes(part(row)));
        let state = State::from_code(state)
            .ok_or_else(|| DecodeError::OtherString(format!("unknown state of a row: {state:?}")))?;
        if to < from {
            return Err(DecodeError::Other("the counter goes back (`to` is below `from`)"));
        }
        if matches!(state, State::Unmeasured(_)) && to != from {
            return Err(DecodeError::Other("a row is unmeasured, yet it counts something"));
        }
        Ok(Self {
            meter: Meter(meter),
            state,
            covered_ms,
            from,
            to,
        })
    }
}

bincode::impl_borrow_decode!(Row);

#[derive(Encode, BorrowDecode)]
struct RawGroup {
    dims: Vec<(String, String)>,
    birth: Birth,
    rows: Vec<Row>,
}

#[derive(Encode, Decode)]
struct RawHole(u16, u8, u64, u64, String);

#[derive(Encode)]
struct RawRecord {
    owner_kind: u8,
    owner_name: String,
    sections: Vec<(u16, Vec<u8>)>,
}

/// The front of a [`RawRecord`], read in place; so many sections of kind and body follow.
#[derive(BorrowDecode)]
struct Front<'b> {
    owner_kind: u8,
    owner_name: &'b str,
    sections: u64,
}

impl Record {
    /// Canonical bytes. Lists are sorted here; equal keys are a mistake of the caller and refused by [`Record::decode`].
    pub fn encode(&self) -> Vec<u8> {
        let mut sections = self.unknown.clone();
        let mut put = |kind, body: Option<Vec<u8>>| sections.extend(body.map(|body| (kind, body)));
        put(
            ROWS,
            (!self.groups.is_empty()).then(|| encode_groups(&self.groups)),
        );
        put(WORKLOADS, sorted(&self.workloads, |w| (w.id.clone(), w.life)));
        put(PEAKS, sorted(&self.peaks, |p| (p.meter, p.dims.clone())));
        put(HOLES, (!self.holes.is_empty()).then(|| encode_holes(&self.holes)));
        put(INVENTORY, self.inventory.as_deref().map(codec::encode));
        sections.sort_by_key(|(kind, _)| *kind);
        codec::encode(&RawRecord {
            owner_kind: self.owner.kind(),
            owner_name: self.owner.name().to_owned(),
            sections,
        })
    }

    /// The record of exactly these bytes; refuses anything that [`Record::encode`] would have written otherwise.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut rest = bytes;
        let front: Front<'_> = codec::decode_front("record", &mut rest)?;
        let owner =
            Owner::from_parts(front.owner_kind, front.owner_name).map_err(|e| CodecError::Malformed {
                what: "record owner",
                reason: e.to_string(),
            })?;
        let (mut record, mut last) = (Self::new(owner), None);
        for _ in 0..front.sections {
            let (kind, body): (u16, &[u8]) = codec::decode_front("record", &mut rest)?;
            strictly_rising("record sections", last.into_iter().chain([kind]))?;
            last = Some(kind);
            record.take_section(kind, body)?;
        }
        codec::at_end("record", rest)?;
        Ok(record)
    }

    fn take_section(&mut self, kind: u16, body: &[u8]) -> Result<(), CodecError> {
        match kind {
            ROWS => self.groups = decode_groups(body)?,
            WORKLOADS => {
                self.workloads = not_empty("workloads", codec::decode("workloads", body)?)?;
                strictly_rising("workloads", self.workloads.iter().map(|w| (&w.id, w.life)))?;
                for w in &self.workloads {
                    strictly_rising("workload usage", w.usage.iter().map(|(meter, _)| *meter))?;
                }
            }
            PEAKS => {
                self.peaks = not_empty("peaks", codec::decode("peaks", body)?)?;
                strictly_rising("peaks", self.peaks.iter().map(|p| (p.meter, &p.dims)))?;
            }
            HOLES => self.holes = decode_holes(body)?,
            INVENTORY => self.inventory = Some(Box::new(codec::decode("inventory", body)?)),
            _ => self.unknown.push((kind, body.to_vec())),
        }
        Ok(())
    }
}

fn sorted<T: Clone + Encode, K: Ord>(items: &[T], key: impl Fn(&T) -> K) -> Option<Vec<u8>> {
    let mut items = items.to_vec();
    items.sort_by_key(key);
    (!items.is_empty()).then(|| codec::encode(&items))
}

fn encode_groups(groups: &[Group]) -> Vec<u8> {
    let mut raw: Vec<RawGroup> = groups
        .iter()
        .map(|g| {
            let mut rows = g.rows.clone();
            rows.sort_by_key(|r| r.meter);
            RawGroup {
                dims: g.dims.clone().into_iter().collect(),
                birth: g.birth,
                rows,
            }
        })
        .collect();
    raw.sort_by(|a, b| (&a.dims, a.birth).cmp(&(&b.dims, b.birth)));
    codec::encode(&raw)
}

fn decode_groups(body: &[u8]) -> Result<SmallVec<[Group; 1]>, CodecError> {
    let mut rest = body;
    let (count, mut groups) = (codec::decode_front::<u64>("rows", &mut rest)?, SmallVec::new());
    for _ in 0..count {
        groups.push(decode_group(codec::decode_front("rows", &mut rest)?)?);
    }
    codec::at_end("rows", rest)?;
    strictly_rising("row groups", groups.iter().map(|g: &Group| (&g.dims, g.birth)))?;
    if groups.is_empty() {
        return Err(empty_list("rows"));
    }
    Ok(groups)
}

fn decode_group(raw: RawGroup) -> Result<Group, CodecError> {
    strictly_rising("dimensions", raw.dims.iter().map(|(name, _)| name))?;
    let rows = not_empty("rows of a group", raw.rows)?;
    strictly_rising("rows of a group", rows.iter().map(|r| r.meter))?;
    Ok(Group {
        dims: raw.dims.into_iter().collect(),
        birth: raw.birth,
        rows,
    })
}

fn encode_holes(holes: &[Hole]) -> Vec<u8> {
    let mut raw: Vec<RawHole> = holes.iter().map(raw_hole).collect();
    raw.sort_by(|a, b| hole_key(a).cmp(&hole_key(b)));
    raw.dedup_by(|a, b| hole_key(a) == hole_key(b));
    codec::encode(&raw)
}

/// Meter 0 on the wire stands for all meters.
fn raw_hole(h: &Hole) -> RawHole {
    let meter = h.meter.map_or(0, |m| m.0);
    RawHole(
        meter,
        h.cause.number(),
        h.boot_start.0,
        h.boot_end.0,
        h.workload.clone(),
    )
}

fn hole_key(h: &RawHole) -> (u16, u8, u64, u64, &str) {
    (h.0, h.1, h.2, h.3, &h.4)
}

fn decode_holes(body: &[u8]) -> Result<Vec<Hole>, CodecError> {
    let raw: Vec<RawHole> = not_empty("holes", codec::decode("holes", body)?)?;
    strictly_rising("holes", raw.iter().map(hole_key))?;
    raw.into_iter()
        .map(|RawHole(meter, cause, start, end, workload)| {
            let unknown = || CodecError::Malformed {
                what: "hole",
                reason: format!("unknown cause {cause}"),
            };
            Ok(Hole {
                meter: (meter != 0).then_some(Meter(meter)),
                cause: Cause::from_number(cause).ok_or_else(unknown)?,
                boot_start: BootMs(start),
                boot_end: BootMs(end),
                workload,
            })
        })
        .collect()
}

fn not_empty<T>(what: &'static str, items: Vec<T>) -> Result<Vec<T>, CodecError> {
    if items.is_empty() {
        Err(empty_list(what))
    } else {
        Ok(items)
    }
}

fn empty_list(what: &'static str) -> CodecError {
    let reason = "an empty list is left out";
    CodecError::NotCanonical { what, reason }
}

pub(crate) fn strictly_rising<K: Ord>(
    what: &'static str,
    mut keys: impl Iterator<Item = K>,
) -> Result<(), CodecError> {
    let Some(mut last) = keys.next() else {
        return Ok(());
    };
    for key in keys {
        if key <= last {
            return Err(CodecError::NotCanonical {
                what,
                reason: "not strictly sorted",
            });
        }
        last = key;
    }
    Ok(())
}
