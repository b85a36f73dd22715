//! A window's end: rows, breakdown, peaks and holes become records, in parts; readings move on (I1, I8).
//!
//! Runs on a copy of the windows. Births name the batch in which a series is first told, so parts are made before
//! births are given. Must not know how a batch is signed or stored.

use std::collections::{BTreeMap, BTreeSet};

use tallyman_common::ids::{Owner, Seq, SpoolId};
use tallyman_common::record::{
    Birth, Cause, Dims, Group, Hole, Inventory, Peak, Record, Row, State, WorkloadUse,
};
use tallyman_common::time::{WallMs, Window};

use super::Windows;
use super::edge::{self, Edge};
use super::meters::{self, COUNT, CURRENT, METERS};
use super::parts::{self, Share};
use super::series::{OwnerId, Series};
use super::workload::Attribution;
use crate::limits::{INVENTORY_EVERY_MS, MISSING_KEPT_MS, RETIRE_AFTER_MS};

/// Where the window's first batch will lie.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// The open spool.
    pub spool: SpoolId,
    /// The next sequence number.
    pub next_seq: Seq,
}

/// A window ready to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The window.
    pub window: Window,
    /// The wall clock stepped in it.
    pub stepped: bool,
    /// It also has usage of an earlier boot.
    pub carried: bool,
    /// Rules by which owners were named.
    pub mapping_revision: u64,
    /// Records of each batch, at least one batch.
    pub parts: Vec<Vec<Record>>,
}

impl Windows {
    /// Ends the open window at `end`; the next one begins there. `acked` says whether a batch was acknowledged.
    pub fn close(
        &mut self,
        end: Edge,
        position: Position,
        inventory: &Inventory,
        acked: &dyn Fn(SpoolId, Seq) -> bool,
    ) -> Closed {
        assert!(end.boot > self.start.boot, "I8: a window has a length");
        self.settle_all();
        let window = Window {
            boot_start: self.start.boot,
            boot_end: end.boot,
            wall_start: self.start.wall,
            wall_end: end.wall,
        };
        let inventory = self.inventory_due().then(|| inventory.clone());
        let shares = self.share_out(inventory);
        let mut parts = Vec::with_capacity(shares.len());
        for (index, part) in shares.into_iter().enumerate() {
            let seq = position.next_seq + index as u64;
            let birth = Birth {
                spool: position.spool,
                seq,
            };
            let records = part.into_iter().map(|share| self.record(share, birth, &window));
            parts.push(records.filter(|record| !record.is_empty()).collect());
        }
        let closed = Closed {
            window,
            stepped: self.stepped,
            carried: self.carried,
            mapping_revision: self.mapping_revision,
            parts,
        };
        self.next_window(end, acked);
        closed
    }

    fn inventory_due(&mut self) -> bool {
        let now = self.now_ms();
        let due = self.described.is_none_or(|at| {
            now.0
                .checked_sub(at.0)
                .is_none_or(|age| age >= INVENTORY_EVERY_MS)
        });
        if due {
            self.described = Some(now);
        }
        due
    }

    /// What each owner has to say, without rows yet, in parts.
    fn share_out(&mut self, inventory: Option<Inventory>) -> Vec<Vec<Share>> {
        let host = self.owners.place(&Owner::Host);
        let mut finished: BTreeMap<OwnerId, Vec<WorkloadUse>> = BTreeMap::new();
        for (owner, row) in std::mem::take(&mut self.finished) {
            finished.entry(owner).or_default().push(row);
        }
        let mut holes: BTreeMap<OwnerId, Vec<Hole>> = BTreeMap::new();
        for (owner, hole) in std::mem::take(&mut self.holes) {
            holes.entry(owner).or_default().push(hole);
        }
        let mut whole = Vec::new();
        for id in self.owners.ids() {
            whole.push(Share {
                owner: id,
                name_bytes: self.owners.get(id).owner.name().len(),
                first: true,
                workloads: finished.remove(&id).map_or_else(Vec::new, parts::merge),
                holes: holes.remove(&id).into_iter().flatten().collect(),
                inventory: if id == host { inventory.clone() } else { None },
            });
        }
        parts::split(whole)
    }

    fn record(&mut self, share: Share, birth: Birth, window: &Window) -> Record {
        let mut record = Record::new(self.owners.get(share.owner).owner.clone());
        record.workloads = share.workloads;
        record.holes = share.holes;
        record.inventory = share.inventory.map(Box::new);
        if share.first {
            record.groups = self.groups(share.owner, birth, window).into();
            let entry = self.owners.get_mut(share.owner);
            record.peaks = entry.peak_bytes.take().map_or_else(Vec::new, |level| {
                vec![Peak {
                    meter: METERS[CURRENT],
                    dims: Vec::new(),
                    level,
                }]
            });
        }
        record
    }

    /// The rows of an owner by birth. A series is told when it was looked at, moved, or frames were lost.
    fn groups(&mut self, owner: OwnerId, birth: Birth, window: &Window) -> Vec<Group> {
        let context = RowContext {
            birth,
            wall_end: window.wall_end,
            restate: self.restate,
            was_down: self.was_down,
            covered_ms: self.covered_ms(window),
        };
        let mut groups: Vec<Group> = Vec::new();
        let entry = self.owners.get_mut(owner);
        for place in 0..COUNT {
            let Some((born, row)) = context.row(place, &mut entry.series[place]) else {
                continue;
            };
            match groups.iter_mut().find(|g| g.birth == born) {
                Some(group) => group.rows.push(row),
                None => groups.push(Group {
                    dims: Dims::new(),
                    birth: born,
                    rows: vec![row],
                }),
            }
        }
        groups
    }

    /// Time of the window in which the agent ran. An outage can end behind the window's edge; what of it lies in the
    /// window is then all of the window.
    fn covered_ms(&self, window: &Window) -> u64 {
        window.length_ms() - self.uncovered_ms.min(window.length_ms())
    }

    fn next_window(&mut self, end: Edge, acked: &dyn Fn(SpoolId, Seq) -> bool) {
        self.start = end;
        (self.uncovered_ms, self.was_down, self.stepped) = (0, false, false);
        (self.carried, self.restate) = (false, false);
        self.offset_ms = Some(edge::offset_ms(end.boot, end.wall));
        self.retire(end.wall, acked);
        let now = self.now_ms();
        self.departed.retain(|_, d| {
            now.0
                .checked_sub(d.since.0)
                .is_some_and(|age| age < MISSING_KEPT_MS)
        });
    }

    /// Series that were not told for a day, all of it acknowledged, are forgotten; so are owners without any.
    fn retire(&mut self, now: WallMs, acked: &dyn Fn(SpoolId, Seq) -> bool) {
        for id in self.owners.ids() {
            for series in &mut self.owners.get_mut(id).series {
                let Some((spool, seq, at)) = series.reported else {
                    continue;
                };
                let idle = now.0.checked_sub(at.0).is_some_and(|ms| ms >= RETIRE_AFTER_MS);
                if idle && series.pending == 0 && acked(spool, seq) {
                    *series = Series::default();
                }
            }
        }
        let used: BTreeSet<OwnerId> = self.looked_at();
        self.owners.forget(|id| used.contains(&id));
    }

    fn looked_at(&self) -> BTreeSet<OwnerId> {
        let workloads = self.workloads.iter().flatten().chain(self.missing.values());
        let workloads = workloads.chain(self.departed.values().map(|d| &d.workload));
        let owners = workloads.filter_map(|w| match w.attribution {
            Attribution::Owned(owner) => Some(owner),
            Attribution::Held { .. } => None,
        });
        owners.chain(self.holes.iter().map(|(owner, _)| *owner)).collect()
    }
}

/// What the rows of a window have in common.
struct RowContext {
    birth: Birth,
    wall_end: WallMs,
    restate: bool,
    was_down: bool,
    covered_ms: u64,
}

impl RowContext {
    /// The row of a series, whose reading moves on; nothing when there is nothing to tell.
    fn row(&self, place: usize, series: &mut Series) -> Option<(Birth, Row)> {
        let raw = series.pending + series.remainder;
        let (used, remainder) = meters::to_base(place, raw);
        let told = used > 0 || !series.mark.is_silent() || (self.restate && series.birth.is_some());
        let mark = std::mem::take(&mut series.mark);
        (series.pending, series.remainder) = (0, remainder);
        if !told {
            return None;
        }
        let mut state = mark.state(used);
        if self.was_down && !matches!(state, State::Unmeasured(_)) {
            state = state.worse(State::Partial(Cause::AgentDown));
        }
        let from = series.reading;
        series.reading += used;
        let birth = *series.birth.get_or_insert(self.birth);
        series.reported = Some((self.birth.spool, self.birth.seq, self.wall_end));
        let row = Row {
            meter: METERS[place],
            state,
            covered_ms: if matches!(state, State::Unmeasured(_)) {
                0
            } else {
                self.covered_ms
            },
            from,
            to: series.reading,
        };
        Some((birth, row))
    }
}
