//! Looking batches up by their place: what is kept of them for good, counted or held.

use std::ops::{ControlFlow, RangeInclusive};

use tallyman_common::codec;
use tallyman_common::ids::{NodeId, Seq, SpoolId};
use tallyman_common::sign::SIGNATURE_BYTES;
use tallyman_common::wire::Header;

use crate::log::{Kept, header_prefix, prefix_end};
use crate::ports::{Read, Table, try_scan};
use crate::rollup::cache::FoldError;

/// Batches of one spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub node: NodeId,
    /// In which spool.
    pub spool: SpoolId,
    /// Partition of tenants; 0 until there are several.
    pub partition: u16,
    /// Their numbers.
    pub seqs: RangeInclusive<Seq>,
}

impl Place {
    /// The place of some numbers in the one partition that there is.
    pub fn of(node: NodeId, spool: SpoolId, seqs: RangeInclusive<Seq>) -> Self {
        let partition = 0;
        Self {
            node,
            spool,
            partition,
            seqs,
        }
    }

    /// First key, and the first behind them.
    pub fn keys(&self) -> (Vec<u8>, Vec<u8>) {
        let key = |seq| header_prefix(self.node, self.spool, self.partition, seq);
        (key(*self.seqs.start()), prefix_end(&key(*self.seqs.end())))
    }
}

/// Everything kept in a place, by number; several batches of one number stand side by side.
pub fn kept(store: &dyn Read, place: &Place) -> Result<Vec<Kept>, FoldError> {
    let mut all = Vec::new();
    each(store, place, |kept| {
        all.push(kept);
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

/// Whether anything is kept in a place that came behind a position of the log.
pub fn any_behind(store: &dyn Read, place: &Place, position: u64) -> Result<bool, FoldError> {
    let mut found = false;
    each(store, place, |kept| {
        found = kept.position > position;
        if found {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(found)
}

/// The batch that counts, or of those that do not the first.
pub fn foremost(mut all: Vec<Kept>) -> Option<Kept> {
    all.sort_by_key(|k| (k.fate, k.position));
    all.into_iter().next()
}

/// The header of a kept batch.
pub fn header_of(kept: &Kept) -> Result<Option<Header>, FoldError> {
    let end = kept.signed.len().checked_sub(SIGNATURE_BYTES);
    let header = end.map(|end| codec::decode("kept header", &kept.signed[..end]));
    Ok(header.transpose()?)
}

fn each(
    store: &dyn Read,
    place: &Place,
    mut visit: impl FnMut(Kept) -> ControlFlow<()>,
) -> Result<(), FoldError> {
    let (from, to) = place.keys();
    try_scan(store, Table::Headers, (&from, &to), |_, value| {
        Ok(visit(Kept::decode(value)?))
    })
}
