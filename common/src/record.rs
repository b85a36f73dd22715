//! What one owner used on one node in one window: readings of counters that only grow, from and to.
//!
//! A record is a list of sections, one per kind of row, so that a kind this release does not know is carried and
//! stored. Every list is strictly sorted and holds nothing empty: one byte string per value (docs/FORMATS.md).

use std::collections::BTreeMap;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};

use crate::codec::{self, CodecError};
use crate::ids::{Owner, Seq, SpoolId};
use crate::meter::Meter;
use crate::time::BootMs;

/// Dimensions of a series: name to value, from the closed list of the meter; mostly none.
pub type Dims = BTreeMap<String, String>;

/// What a row says about the time it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Measured over the whole window.
    Measured,
    /// Measured, but some of the window or of the workloads went unseen.
    Partial(Cause),
    /// Nothing could be read; `from` equals `to` and that is not a zero.
    Unmeasured(Cause),
}

/// Why something could not be measured. Numbers are on the wire and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cause {
    /// The agent was not running.
    AgentDown = 1,
    /// The workload was there before metering began; what it used before is not known.
    NoBaseline = 2,
    /// The kernel's file could not be read.
    Unreadable = 3,
    /// The kernel's file could be read but not understood.
    Malformed = 4,
    /// A counter went back without a new life of its workload.
    CounterWentBack = 5,
    /// The kernel has no such counter switched on here.
    NotAvailable = 6,
    /// The workload ended before its last counters could be read.
    EndedUnseen = 7,
    /// The spool lost frames; the readings go on.
    SpoolDamaged = 8,
    /// Several workloads share one network; it is counted once, for another.
    SharedNetwork = 9,
}

impl Cause {
    /// All causes, by number.
    pub const ALL: [Self; 9] = [
        Self::AgentDown,
        Self::NoBaseline,
        Self::Unreadable,
        Self::Malformed,
        Self::CounterWentBack,
        Self::NotAvailable,
        Self::EndedUnseen,
        Self::SpoolDamaged,
        Self::SharedNetwork,
    ];

    /// Number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The cause of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.number() == number)
    }

    /// Words for a person.
    pub fn text(self) -> &'static str {
        match self {
            Self::AgentDown => "the agent was not running",
            Self::NoBaseline => "already running when metering began",
            Self::Unreadable => "the kernel's file could not be read",
            Self::Malformed => "the kernel's file could not be understood",
            Self::CounterWentBack => "a counter went back",
            Self::NotAvailable => "not counted by this kernel or runtime",
            Self::EndedUnseen => "ended before its last counters were read",
            Self::SpoolDamaged => "frames of the spool were lost",
            Self::SharedNetwork => "shares another workload's network",
        }
    }
}

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

    /// The worse of two states of one series in one window.
    pub fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Measured, o) => o,
            (s, Self::Measured) => s,
            (Self::Unmeasured(c), Self::Unmeasured(_)) => Self::Unmeasured(c),
            (Self::Unmeasured(c), Self::Partial(_)) | (Self::Partial(c), _) => Self::Partial(c),
        }
    }
}

/// One reading pair of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What is counted.
    pub meter: Meter,
    /// What the row says about the time it stands for.
    pub state: State,
    /// Time covered by measurement in the window, milliseconds.
    pub covered_ms: u64,
    /// The series' counter at the window's start, in the meter's base unit; the last row's `to`.
    pub from: u128,
    /// The series' counter at the window's end.
    pub to: u128,
}

/// Where a series began: its counter was 0 just before batch `seq` of `spool`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Birth {
    /// Spool that was open.
    pub spool: SpoolId,
    /// First batch with a row of the series.
    pub seq: Seq,
}

/// Rows that share dimensions and birth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Dimensions of each row's series.
    pub dims: Dims,
    /// Birth of each row's series.
    pub birth: Birth,
    /// Rows by meter, strictly rising, at least one.
    pub rows: Vec<Row>,
}

/// Usage of one life of one workload in the window, for the breakdown; never billed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WorkloadUse {
    /// Container id or cgroup path.
    pub id: String,
    /// Which life: the cgroup directory's inode.
    pub life: u64,
    /// A name for people.
    pub name: String,
    /// True when this life ended in the window.
    pub is_final: bool,
    /// Usage by meter, strictly rising meters.
    pub usage: Vec<(Meter, u128)>,
}

/// The largest level seen in the window.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Peak {
    /// A gauge's meter; the level is in bytes where the meter is in byte-milliseconds.
    pub meter: Meter,
    /// Dimensions of the series.
    pub dims: Vec<(String, String)>,
    /// Largest level.
    pub level: u128,
}

/// A piece of boot time in which something went unmeasured, as the agent knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Which meter; `None` for all of the owner's.
    pub meter: Option<Meter>,
    /// Why.
    pub cause: Cause,
    /// Start of the hole; before the window when the hole is older than metering here.
    pub boot_start: BootMs,
    /// End of the hole.
    pub boot_end: BootMs,
    /// Which workload, for people; empty when it is all of them.
    pub workload: String,
}

/// What a machine is; signed along so that impossible usage can be told.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Inventory {
    /// Host name.
    pub host_name: String,
    /// Operating system and version.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Logical processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Version of the agent.
    pub agent_version: String,
}

/// All rows of one owner in one window on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose.
    pub owner: Owner,
    /// Owner rows: what is billed.
    pub groups: Vec<Group>,
    /// Workloads, for the breakdown.
    pub workloads: Vec<WorkloadUse>,
    /// Largest levels.
    pub peaks: Vec<Peak>,
    /// Holes that the agent knows.
    pub holes: Vec<Hole>,
    /// The machine; only in the host's record.
    pub inventory: Option<Inventory>,
    /// Sections of kinds that this release does not know, by kind.
    pub unknown: Vec<(u16, Vec<u8>)>,
}

/// Section kinds on the wire. 4 is kept for dated, signed amounts.
const ROWS: u16 = 1;
const WORKLOADS: u16 = 2;
const PEAKS: u16 = 3;
const HOLES: u16 = 5;
const INVENTORY: u16 = 6;

#[derive(Encode, Decode)]
struct RawRow(u16, [u8; 2], u64, u128, u128);

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
        let RawRow(meter, state, covered_ms, from, to) = RawRow::decode(decoder)?;
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

#[derive(Encode, Decode)]
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

/// [`RawRecord`] read in place: sections are copied only where they are kept.
#[derive(BorrowDecode)]
struct BorrowedRecord<'b> {
    owner_kind: u8,
    owner_name: &'b str,
    sections: Vec<(u16, &'b [u8])>,
}

impl Record {
    /// A record without rows.
    pub fn new(owner: Owner) -> Self {
        let (groups, workloads, peaks, holes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self {
            owner,
            groups,
            workloads,
            peaks,
            holes,
            inventory: None,
            unknown: Vec::new(),
        }
    }

    /// True when there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
            && self.workloads.is_empty()
            && self.peaks.is_empty()
            && self.holes.is_empty()
            && self.inventory.is_none()
            && self.unknown.is_empty()
    }

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
        put(INVENTORY, self.inventory.as_ref().map(codec::encode));
        sections.sort_by_key(|(kind, _)| *kind);
        codec::encode(&RawRecord {
            owner_kind: self.owner.kind(),
            owner_name: self.owner.name().to_owned(),
            sections,
        })
    }

    /// The record of exactly these bytes; refuses anything that [`Record::encode`] would have written otherwise.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let raw: BorrowedRecord<'_> = codec::decode_borrowed("record", bytes)?;
        let owner = Owner::from_parts(raw.owner_kind, raw.owner_name).map_err(|e| CodecError::Malformed {
            what: "record owner",
            reason: e.to_string(),
        })?;
        strictly_rising("record sections", raw.sections.iter().map(|(kind, _)| *kind))?;
        let mut record = Self::new(owner);
        for (kind, body) in raw.sections {
            record.take_section(kind, body)?;
        }
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
            INVENTORY => self.inventory = Some(codec::decode("inventory", body)?),
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

fn decode_groups(body: &[u8]) -> Result<Vec<Group>, CodecError> {
    let raw: Vec<RawGroup> = not_empty("rows", codec::decode("rows", body)?)?;
    strictly_rising("row groups", raw.iter().map(|g| (&g.dims, g.birth)))?;
    raw.into_iter().map(decode_group).collect()
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
    let reason = "an empty list is left out";
    if items.is_empty() {
        Err(CodecError::NotCanonical { what, reason })
    } else {
        Ok(items)
    }
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

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
