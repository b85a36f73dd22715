//! Which sealed hours are packed next, and until when (docs/adr/0012-packed-days.md).

use tallyman_common::time::Hour;

use crate::ports::Read;
use crate::registry::Registry;
use crate::rollup::cache::FoldError;
use crate::rollup::day::UtcDay;
use crate::rollup::pack::{Piece, pack, packed_hours};

/// Where the piece behind another begins, and until when.
pub type Cursor = (Hour, Vec<u8>);

/// Until when is packed next: the end of the day that is not packed yet, or before it the end of a month in the zone of
/// some account, so that its months are billed from packed days as soon as they are final. None while the hours before
/// are not sealed. Begins with the day of the first seal.
pub fn next_until(store: &dyn Read, registry: &Registry) -> Result<Option<Hour>, FoldError> {
    let (Some(first), Some(newest)) = (registry.seals.iter().next(), registry.seals.newest()) else {
        return Ok(None);
    };
    let packed = packed_hours(store)?;
    let behind = if packed.is_empty() {
        UtcDay::of(first.hour).0.start()
    } else {
        packed.end
    };
    if newest < behind {
        return Ok(None);
    }
    let day_end = UtcDay::of(behind).0.next().start();
    let month_end = registry.payers.first_end_of_month(behind.next()..day_end);
    let until = month_end.map_or(day_end, |end| end);
    Ok((until <= newest.next()).then_some(until))
}

/// The piece that is packed next, after the one that was packed last; none while there is nothing to pack.
pub fn next_piece(
    store: &dyn Read,
    registry: &Registry,
    last: Option<&Cursor>,
) -> Result<Option<Piece>, FoldError> {
    let Some(until) = next_until(store, registry)? else {
        return Ok(None);
    };
    let from = last
        .filter(|(of, _)| *of == until)
        .map_or(&[][..], |(_, from)| from);
    pack(store, until, from).map(Some)
}
