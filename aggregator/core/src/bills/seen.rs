//! Which nodes had rows of an account in which hours, as bits; and the node-hours of a month that are whole, looked up
//! once for many accounts.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use tallyman_common::codec::CodecError;
use tallyman_common::ids::NodeId;
use tallyman_common::time::{Hour, WallMs};

use super::usage::TenantHour;
use crate::ports::{Read, Table, try_scan};
use crate::rollup::cache::FoldError;
use crate::rollup::cell::NodeHour;
use crate::rollup::day::{Hours, UtcDay};

/// All minutes of an hour.
const WHOLE_HOUR: u64 = (1 << 60) - 1;

/// The UTC days that a month touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    hours: Range<Hour>,
    first: UtcDay,
}

impl Days {
    /// Of a month that is not empty.
    pub fn of(hours: &Range<Hour>) -> Self {
        Self {
            hours: hours.clone(),
            first: UtcDay::of(hours.start).0,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        let end = UtcDay::of(Hour(self.hours.end.0 - 1)).0.next();
        (end.0 - self.first.0) as usize
    }

    /// The first one and the one behind the last.
    pub fn range(&self) -> Range<UtcDay> {
        self.first..UtcDay(self.first.0 + u32::try_from(self.count()).expect("days of a month"))
    }

    /// Place of a day; those before the first have none.
    pub fn place(&self, day: UtcDay) -> Option<usize> {
        let at = day.0.checked_sub(self.first.0)? as usize;
        (at < self.count()).then_some(at)
    }

    /// The day in a place.
    pub fn day(&self, place: usize) -> UtcDay {
        UtcDay(self.first.0 + u32::try_from(place).expect("days of a month"))
    }

    /// Hours of the day in a place that lie in a span and in the month.
    pub fn within(&self, place: usize, span: &Range<Hour>) -> Hours {
        let start = self.day(place).start();
        let end = Hour(start.0 + 24);
        let (from, to) = (
            span.start.max(self.hours.start).max(start),
            span.end.min(self.hours.end).min(end),
        );
        if from >= to {
            return 0;
        }
        let below = |hour: Hour| (1u32 << (hour.0 - start.0)) - 1;
        below(to) & !below(from)
    }

    /// How far an hour of the month is behind the first day's start.
    pub fn offset(&self, hour: Hour) -> usize {
        (hour.0 - self.first.start().0) as usize
    }
}

/// Nodes, with the hours in which they had rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    days: Days,
    nodes: BTreeMap<NodeId, Vec<Hours>>,
}

impl Seen {
    /// None yet.
    pub fn new(days: Days) -> Self {
        let nodes = BTreeMap::new();
        Self { days, nodes }
    }

    /// Adds hours of a node in the day in a place.
    pub fn add(&mut self, node: NodeId, place: usize, hours: Hours) {
        if hours == 0 {
            return;
        }
        let count = self.days.count();
        self.nodes.entry(node).or_insert_with(|| vec![0; count])[place] |= hours;
    }

    /// Adds a tenant's hour.
    pub fn add_hour(&mut self, hour: &TenantHour) {
        let (day, at) = UtcDay::of(hour.hour);
        let Some(place) = self.days.place(day) else { return };
        for trace in hour.owners.iter().flat_map(|(_, value)| &value.traces) {
            self.add(trace.node, place, 1 << at);
        }
    }

    /// Forgets an hour of the day in a place.
    pub fn forget(&mut self, place: usize, hours: Hours) {
        for days in self.nodes.values_mut() {
            days[place] &= !hours;
        }
    }

    /// Adds all of another one of the same month.
    pub fn join(&mut self, other: Self) {
        for (node, days) in other.nodes {
            for (place, hours) in days.into_iter().enumerate() {
                self.add(node, place, hours);
            }
        }
    }

    /// For each node with any row the hours to look at: those with rows and the ones just before and after, in the month
    /// and not in the future; by place of the day.
    pub fn wanted(&self, now: WallMs) -> impl Iterator<Item = (NodeId, Vec<Hours>)> {
        let until = Hour(now.hour().0 + u32::from(now.hour().start() < now));
        let past = self.days.hours.start..until;
        let nodes = self
            .nodes
            .iter()
            .filter(|(_, days)| days.iter().any(|it| *it != 0));
        nodes.map(move |(node, days)| {
            let around = |place: usize| {
                let own = days[place];
                let before = place.checked_sub(1).map_or(0, |it| days[it] >> 23);
                let after = days.get(place + 1).map_or(0, |it| (it & 1) << 23);
                let around = own | own << 1 | own >> 1 | before | after;
                around & self.days.within(place, &past)
            };
            (*node, (0..days.len()).map(around).collect())
        })
    }

    /// The hours of a day's bits, in order.
    pub fn hours_of(&self, place: usize, bits: Hours) -> impl Iterator<Item = Hour> {
        let start = self.days.day(place).start();
        (0..24)
            .filter(move |at| bits & (1 << at) != 0)
            .map(move |at| Hour(start.0 + at))
    }

    /// The first hours of the month's days, by place.
    pub fn days(&self) -> &Days {
        &self.days
    }
}

/// Node-hours of a month of which every minute came.
#[derive(Debug, Clone)]
pub struct WholeHours {
    days: Days,
    nodes: BTreeMap<NodeId, Vec<Hours>>,
}

impl WholeHours {
    /// Reads the hours of all nodes, with the late parts that were there when the newest sealed hour was `sealed`.
    pub fn read(store: &dyn Read, sealed: Option<Hour>, month: &Range<Hour>) -> Result<Self, FoldError> {
        let days = Days::of(month);
        let mut nodes: BTreeMap<NodeId, Vec<Hours>> = BTreeMap::new();
        let mut minutes: Option<(Hour, NodeId, u64)> = None;
        let (from, to) = (month.start.0.to_be_bytes(), month.end.0.to_be_bytes());
        try_scan(store, Table::NodeHours, (&from, &to), |key, value| {
            let (hour, node, late) = node_key(key)?;
            let is_seen =
                late.is_none_or(|late| sealed.is_some_and(|sealed| hour <= sealed && late <= sealed));
            if !is_seen {
                return Ok(ControlFlow::Continue(()));
            }
            // A late part stands behind its hour.
            let before = minutes.filter(|(h, n, _)| (*h, *n) == (hour, node));
            let all = before.map_or(0, |(.., all)| all) | NodeHour::decode(value)?.minutes;
            minutes = Some((hour, node, all));
            let (day, at) = UtcDay::of(hour);
            if all == WHOLE_HOUR
                && let Some(place) = days.place(day)
            {
                nodes.entry(node).or_insert_with(|| vec![0; days.count()])[place] |= 1 << at;
            }
            Ok::<_, FoldError>(ControlFlow::Continue(()))
        })?;
        Ok(Self { days, nodes })
    }

    /// Whether it is of this month.
    pub fn is_of(&self, days: &Days) -> bool {
        self.days == *days
    }

    /// Whole hours of a node in the day in a place of the same month.
    pub fn of(&self, node: NodeId, days: &Days) -> Option<&[Hours]> {
        self.nodes
            .get(&node)
            .filter(|_| self.is_of(days))
            .map(Vec::as_slice)
    }
}

fn node_key(key: &[u8]) -> Result<(Hour, NodeId, Option<Hour>), FoldError> {
    let malformed = || CodecError::Malformed {
        what: "key of a node's hour",
        reason: "of another length".to_owned(),
    };
    let (hour, rest) = key.split_first_chunk().ok_or_else(malformed)?;
    let (node, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
    let late = match rest {
        [] => None,
        [_, late @ ..] => {
            let late = late.try_into().map_err(|_| malformed())?;
            Some(Hour(u32::from_be_bytes(late)))
        }
    };
    Ok((Hour(u32::from_be_bytes(*hour)), NodeId(*node), late))
}
