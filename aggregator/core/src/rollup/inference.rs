//! Usage over a hole. Readings only grow, so the first reading behind a hole, without the last one before it, is what
//! was used in between. It stands in the log as it was judged, so that a rebuild needs no second judgement (I5).

use std::sync::Arc;

use bincode::{Decode, Encode};
use tallyman_common::codec::{self, CodecError};
use tallyman_common::ids::{NodeId, Owner};
use tallyman_common::meter::Meter;
use tallyman_common::time::{BootMs, Hour, WallMs, Window, split_by_weight};

use super::cell::OwnerHour;
use super::fold::Overflow;
use super::part::inferred;

/// What is inferred of one group of series of an owner.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InferredSet {
    /// Kind of the owner.
    pub owner_kind: u8,
    /// Name of the owner; empty unless it is a claim.
    pub owner_name: String,
    /// Dimensions, sorted.
    pub dims: Vec<(String, String)>,
    /// Usage in base units by meter, rising meters.
    pub usage: Vec<(Meter, u128)>,
}

/// Usage that fell somewhere between two instants.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Span {
    /// Start of the hole on the wall clock.
    pub start: WallMs,
    /// End of the hole; when it is not after the start, all is booked at the end.
    pub end: WallMs,
    /// Usage, sorted by (owner, dims).
    pub sets: Vec<InferredSet>,
}

/// Usage over one hole of a node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Inference {
    /// On which node.
    pub node: NodeId,
    /// Group of the node then.
    pub group: String,
    /// Usage by the time in which it can have happened.
    pub spans: Vec<Span>,
}

impl Inference {
    /// The value of its bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode("inference", bytes)
    }

    /// How many values there are.
    pub fn values(&self) -> u64 {
        let sets = self.spans.iter().flat_map(|s| &s.sets);
        sets.map(|s| s.usage.len() as u64).sum()
    }
}

impl Span {
    /// Hours and weights, oldest first.
    pub fn pieces(&self) -> Vec<(Hour, u64)> {
        let length = self.end.0.checked_sub(self.start.0).filter(|ms| *ms > 0);
        let window = length.map(|ms| Window {
            boot_start: BootMs(0),
            boot_end: BootMs(ms),
            wall_start: self.start,
            wall_end: self.end,
        });
        let pieces = window.and_then(|w| w.by_hour());
        pieces.unwrap_or_else(|| vec![(self.end.hour(), 1)])
    }
}

impl InferredSet {
    /// Whose; `None` for what this release does not know.
    pub fn owner(&self) -> Option<Owner> {
        Owner::from_parts(self.owner_kind, &self.owner_name).ok()
    }

    /// Adds the share of piece `at` to the owner's hour, as `kind`.
    pub(super) fn fold(
        &self,
        target: &mut OwnerHour,
        group: &Arc<str>,
        pieces: &[(Hour, u64)],
        at: usize,
        kind: u8,
    ) -> Option<()> {
        let weights: Vec<u64> = pieces.iter().map(|(_, weight)| *weight).collect();
        let set = target.set_mut(group, &self.dims);
        for (meter, total) in &self.usage {
            let share = split_by_weight(*total, &weights)?[at];
            set.cell_mut(*meter, kind)
                .add(inferred(share, pieces.len() > 1))?;
        }
        Some(())
    }

    pub(super) fn overflow(&self, owner: &Owner, hour: Hour) -> Overflow {
        let owner = owner.clone();
        Overflow { owner, hour }
    }
}
