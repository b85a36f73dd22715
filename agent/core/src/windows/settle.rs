//! From workloads to owners: what was used since the last window is added to the owner's series.
//!
//! Held containers are left as they are, so that their usage lands whole with the right owner.

use tallyman_common::ids::Owner;
use tallyman_common::message::LiveRow;
use tallyman_common::record::{Cause, Hole};

use super::mark::Mark;
use super::meters::{self, COUNT, CURRENT, METERS, Totals};
use super::series::OwnerId;
use super::workload::{Attribution, Workload};
use super::{Directory, Windows, edge};
use crate::event::{Now, Slot};
use crate::limits::{CLOCK_STEP_MS, LIVE_ROWS_MAX};

impl Windows {
    /// All files of a sweep were sampled.
    pub fn sweep_done(&mut self, now: Now, directory: &Directory) {
        self.now_ns = now.boot_ns;
        if self.first_sweep.is_none() {
            self.first_sweep = Some(now.boot_ms());
            self.end_of_outage(now);
        }
        let first = self.first_sweep.unwrap_or(now.boot_ms());
        if !self.missing.is_empty() && now.boot_ms().0 >= first.0 + self.settings.hold_ms {
            self.declare_missing();
        }
        self.expire_holds(directory);
        self.peaks();
        let offset = edge::offset_ms(now.boot_ms(), now.wall);
        let before = self.offset_ms.replace(offset);
        self.stepped |= before.is_some_and(|before| before.abs_diff(offset) > CLOCK_STEP_MS);
    }

    fn end_of_outage(&mut self, now: Now) {
        let Some(since) = self.past.down_since else { return };
        let Some(missed) = now.boot_ms().0.checked_sub(since.0).filter(|ms| *ms > 0) else {
            return;
        };
        self.uncovered_ms += missed;
        self.was_down = true;
        let host = self.owners.place(&Owner::Host);
        let hole = Hole {
            meter: None,
            cause: Cause::AgentDown,
            boot_start: since,
            boot_end: now.boot_ms(),
            workload: String::new(),
        };
        self.hole(host, hole);
    }

    /// The largest sum of memory of each owner. Workloads inside others are in those.
    fn peaks(&mut self) {
        for index in 0..self.workloads.len() {
            let Some(workload) = self.workloads[index].as_ref() else {
                continue;
            };
            let level = workload.gauges[CURRENT - 1].level();
            if let (Attribution::Owned(owner), None, Some(level)) =
                (workload.attribution, workload.inside, level)
            {
                let sum = &mut self.owners.get_mut(owner).sweep_bytes;
                *sum = Some(sum.map_or(0, |sum| sum) + u128::from(level));
            }
        }
        for id in self.owners.ids() {
            let entry = self.owners.get_mut(id);
            entry.peak_bytes = entry.peak_bytes.max(entry.sweep_bytes.take());
        }
    }

    /// Adds what a workload used to an owner, and goes on from there.
    pub(super) fn take(&mut self, slot: Slot, owner: OwnerId) {
        let Some(mut workload) = self.workloads.get_mut(slot.0 as usize).and_then(Option::take) else {
            return;
        };
        self.network_marks(&mut workload);
        self.land(&mut workload, owner, false);
        self.workloads[slot.0 as usize] = Some(workload);
    }

    /// Adds what a workload used to an owner's series, breakdown and holes.
    pub(super) fn land(&mut self, workload: &mut Workload, owner: OwnerId, is_final: bool) {
        workload.mark_absent();
        let mut usage = workload.usage(&self.settings.hardware);
        if let Some(row) = workload.breakdown(&usage, is_final) {
            self.finish(owner, row);
        }
        for hole in std::mem::take(&mut workload.holes) {
            self.hole(owner, hole);
        }
        if workload.inside.is_some() || workload.was_inside {
            for place in (0..COUNT).filter(|place| !meters::is_network(*place)) {
                (usage[place], workload.marks[place]) = (0, Mark::default());
            }
        }
        self.owners.add(owner, &usage, &workload.marks);
        workload.settle();
    }

    /// Takes everything that has an owner.
    pub(super) fn settle_all(&mut self) {
        for slot in self.slots() {
            let attribution = self.get(slot).map(|w| self.attribution_of(w));
            if let Some(Attribution::Owned(owner)) = attribution {
                self.take(slot, owner);
            }
        }
    }

    /// Usage since the last window, for the view that is seconds old.
    pub fn live_rows(&self) -> Vec<LiveRow> {
        let mut sums: Vec<(OwnerId, Totals)> = Vec::new();
        for (id, entry) in self.owners.iter() {
            sums.push((id, std::array::from_fn(|place| entry.series[place].pending)));
        }
        sums.sort_by_key(|(id, _)| *id);
        for workload in self.workloads.iter().flatten() {
            let Attribution::Owned(owner) = self.attribution_of(workload) else {
                continue;
            };
            let Ok(at) = sums.binary_search_by_key(&owner, |(id, _)| *id) else {
                continue;
            };
            let usage = workload.usage(&self.settings.hardware);
            let inside = workload.inside.is_some();
            for place in (0..COUNT).filter(|place| !inside || meters::is_network(*place)) {
                sums[at].1[place] += usage[place];
            }
        }
        let rows = sums.iter().flat_map(|(id, usage)| self.live_rows_of(*id, usage));
        rows.take(LIVE_ROWS_MAX).collect()
    }

    fn live_rows_of(&self, id: OwnerId, usage: &Totals) -> Vec<LiveRow> {
        let owner = &self.owners.get(id).owner;
        let used = (0..COUNT).map(|place| (place, meters::to_base(place, usage[place]).0));
        used.filter(|(_, used)| *used > 0)
            .map(|(place, used)| LiveRow {
                owner: (owner.kind(), owner.name().to_owned()),
                meter: METERS[place],
                dims: Vec::new(),
                since_window: used,
            })
            .collect()
    }
}
