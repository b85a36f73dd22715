//! What one owner used in one hour, and from which batches. Values of two tables; absolute, never merged.

use std::sync::Arc;

use bincode::{Decode, Encode};
use tallyman_common::codec::{self, CodecError};
use tallyman_common::ids::{NodeId, Seq, SpoolId};
use tallyman_common::meter::Meter;
use tallyman_common::record::State;
use tallyman_common::time::{Hour, WallMs};

use super::short::Short;

/// Some rows were partial.
pub const FLAG_PARTIAL: u8 = 1;
/// Some rows were unmeasured.
pub const FLAG_UNMEASURED: u8 = 2;
/// Some usage was split at the hour's edge by time.
pub const FLAG_SPREAD: u8 = 4;

/// How a cell's value comes about.
pub const KIND_SUM: u8 = 0;
/// The largest level instead of a sum.
pub const KIND_MAXIMUM: u8 = 1;
/// Usage that a hole's far side shows: the next reading without the last one before it.
pub const KIND_INFERRED: u8 = 2;
/// Inferred usage that was taken back, because what was missing came after all.
pub const KIND_WITHDRAWN: u8 = 3;

/// One meter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Cell {
    /// What.
    pub meter: Meter,
    /// [`KIND_SUM`], [`KIND_MAXIMUM`], [`KIND_INFERRED`] or [`KIND_WITHDRAWN`].
    pub kind: u8,
    /// Sum in base units, or the largest level.
    pub value: u128,
    /// Covered time of all series, milliseconds.
    pub covered_ms: u64,
    /// Bits: [`FLAG_PARTIAL`], [`FLAG_UNMEASURED`], [`FLAG_SPREAD`].
    pub flags: u8,
    /// Bit n: cause n occurred.
    pub causes: u32,
}

/// Cells of one group of nodes and one set of dimensions. All meters of an owner mostly share these, so that they stand
/// there once: on disk, and in memory, where every further line that a fold touches costs as much as the sum itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CellSet {
    /// Group of the nodes; sets of one group share one string while they are in memory.
    pub group: Arc<str>,
    /// Dimensions, sorted.
    pub dims: Vec<(String, String)>,
    /// Cells, sorted by (meter, kind).
    pub cells: Vec<Cell>,
}

/// A hole that a node knows, put on the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct HoleNote {
    /// On which node.
    pub node: NodeId,
    /// Which meter; 0 for all.
    pub meter: u16,
    /// Number of the cause.
    pub cause: u8,
    /// Start.
    pub start: WallMs,
    /// End.
    pub end: WallMs,
    /// Which workload; empty for all.
    pub workload: String,
}

/// Which batches of one node have rows of the owner in the hour.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Trace {
    /// The node.
    pub node: NodeId,
    /// Bit n: minute n is in some batch.
    pub minutes: u64,
    /// Batches by spool, closed ranges in order of arrival.
    pub batches: Short<(SpoolId, Seq, Seq)>,
}

/// Everything of one owner in one hour.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct OwnerHour {
    /// Position of the last entry in here.
    pub upto: u64,
    /// Cells, sorted by (group, dims).
    pub sets: Short<CellSet>,
    /// Nodes, sorted.
    pub traces: Short<Trace>,
    /// Holes, in order of arrival, up to a limit.
    pub holes: Vec<HoleNote>,
    /// Holes beyond the limit.
    pub more_holes: u64,
}

/// One node's hour.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct NodeHour {
    /// Position of the last entry in here.
    pub upto: u64,
    /// Bit n: minute n is in some batch.
    pub minutes: u64,
    /// Batches that touch the hour.
    pub batches: u64,
    /// Ends of windows behind which the agent stopped in order.
    pub stops: Vec<WallMs>,
}

/// What is added to a cell.
#[derive(Debug, Clone, Copy)]
pub struct Addition {
    /// Usage or level.
    pub value: u128,
    /// Covered time, milliseconds.
    pub covered_ms: u64,
    /// State of the row.
    pub state: State,
    /// Split at the hour's edge.
    pub spread: bool,
}

impl OwnerHour {
    /// The cells of a group and dimensions; empty if they are new.
    pub fn set_mut(&mut self, group: &Arc<str>, dims: &[(String, String)]) -> &mut CellSet {
        // The same string is told by its address: its bytes lie elsewhere in memory.
        let is_first = |s: &CellSet| Arc::ptr_eq(&s.group, group) && s.dims == dims;
        if self.sets.first().is_some_and(is_first) {
            return &mut self.sets[0];
        }
        let key = (&**group, dims);
        let at = self.sets.binary_search_by(|s| (&*s.group, &*s.dims).cmp(&key));
        let at = at.unwrap_or_else(|at| {
            let (group, dims, cells) = (group.clone(), dims.to_vec(), Vec::new());
            self.sets.insert(at, CellSet { group, dims, cells });
            at
        });
        &mut self.sets[at]
    }

    /// All cells, each with its set.
    pub fn cells(&self) -> impl Iterator<Item = (&CellSet, &Cell)> {
        self.sets
            .iter()
            .flat_map(|set| set.cells.iter().map(move |cell| (set, cell)))
    }

    /// Notes that a batch of a node has rows in these minutes.
    pub fn trace(&mut self, node: NodeId, spool: SpoolId, seq: Seq, minutes: u64) {
        let at = match self.traces.binary_search_by_key(&node, |t| t.node) {
            Ok(at) => at,
            Err(at) => {
                self.traces.insert(
                    at,
                    Trace {
                        node,
                        minutes: 0,
                        batches: Short::default(),
                    },
                );
                at
            }
        };
        let trace = &mut self.traces[at];
        trace.minutes |= minutes;
        match trace.batches.last_mut() {
            Some((s, _, last)) if *s == spool && (*last == seq || *last + 1 == seq) => *last = seq,
            _ => trace.batches.push((spool, seq, seq)),
        }
    }

    /// Makes the newest range of a node's batches end with `last`.
    pub(super) fn extend_trace(&mut self, node: NodeId, last: Seq) {
        if let Ok(at) = self.traces.binary_search_by_key(&node, |t| t.node)
            && let Some((_, _, end)) = self.traces[at].batches.last_mut()
        {
            *end = last;
        }
    }

    /// What was used of a meter, over all groups and dimensions: measured and inferred. `None` if it does not fit, or
    /// more was taken back than was inferred.
    pub fn sum(&self, meter: Meter) -> Option<u128> {
        let of = |kind| {
            let cells = self.cells().map(|(_, c)| c);
            let cells = cells.filter(move |c| c.meter == meter && c.kind == kind);
            cells.map(|c| c.value).try_fold(0u128, u128::checked_add)
        };
        let all = of(KIND_SUM)?.checked_add(of(KIND_INFERRED)?)?;
        all.checked_sub(of(KIND_WITHDRAWN)?)
    }
}

impl CellSet {
    /// The cell of a meter and kind, made at zero if it is new.
    pub fn cell_mut(&mut self, meter: Meter, kind: u8) -> &mut Cell {
        let at = self.cell_at(0, meter, kind);
        &mut self.cells[at]
    }

    /// Place of that cell. `hint` is where it probably is: rows and cells rise alike, so the next row's cell mostly
    /// follows the last one's.
    pub fn cell_at(&mut self, hint: usize, meter: Meter, kind: u8) -> usize {
        let key = (meter, kind);
        if self.cells.get(hint).is_some_and(|c| (c.meter, c.kind) == key) {
            return hint;
        }
        match self.cells.binary_search_by_key(&key, |c| (c.meter, c.kind)) {
            Ok(at) => at,
            Err(at) => {
                let (value, covered_ms, flags, causes) = (0, 0, 0, 0);
                let cell = Cell {
                    meter,
                    kind,
                    value,
                    covered_ms,
                    flags,
                    causes,
                };
                self.cells.insert(at, cell);
                at
            }
        }
    }
}

impl Cell {
    /// Adds a row; `None` if the sum would not fit, which no honest usage reaches.
    pub fn add(&mut self, addition: Addition) -> Option<()> {
        self.value = match self.kind {
            KIND_MAXIMUM => self.value.max(addition.value),
            _ => self.value.checked_add(addition.value)?,
        };
        self.covered_ms = self.covered_ms.checked_add(addition.covered_ms)?;
        let (flag, cause) = match addition.state {
            State::Measured => (0, 0),
            State::Partial(cause) => (FLAG_PARTIAL, 1 << cause.number()),
            State::Unmeasured(cause) => (FLAG_UNMEASURED, 1 << cause.number()),
        };
        self.flags |= flag | if addition.spread { FLAG_SPREAD } else { 0 };
        self.causes |= cause;
        Some(())
    }
}

impl OwnerHour {
    /// The value of its bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode("owner hour", bytes)
    }
}

impl NodeHour {
    /// The value of its bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode("node hour", bytes)
    }
}

/// Bits of the minutes of `hour` that `[from, to)` touches.
pub fn minute_bits(hour: Hour, from: WallMs, to: WallMs) -> u64 {
    let (from, to) = (from.max(hour.start()), to.min(hour.end()));
    if from >= to {
        return 0;
    }
    let (first, last) = (from.minute_of_hour(), WallMs(to.0 - 1).minute_of_hour());
    let below = |n: u32| (1u64 << n) - 1;
    below(last + 1) & !below(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_of_windows() {
        let hour = Hour(100);
        let at = |minute: u64, s: u64| WallMs(hour.start().0 + minute * 60_000 + s * 1_000);
        assert_eq!(minute_bits(hour, at(0, 0), at(1, 0)), 1);
        assert_eq!(minute_bits(hour, at(0, 30), at(2, 1)), 0b111);
        assert_eq!(minute_bits(hour, WallMs(0), hour.end()), (1 << 60) - 1);
        assert_eq!(minute_bits(hour, hour.end(), hour.end()), 0);
    }

    #[test]
    fn neighbouring_batches_are_one_range() {
        let (node, spool) = (NodeId([1; 16]), SpoolId([2; 16]));
        let mut hour = OwnerHour::default();
        for seq in [5, 6, 7, 9, 10] {
            hour.trace(node, spool, seq, 1);
        }
        assert_eq!(hour.traces[0].batches[..], [(spool, 5, 7), (spool, 9, 10)]);
    }
}
