//! On-time and late parts of an hour. A sealed hour's values never change (I9): what comes behind the seal stands in
//! parts of its own, each named by the newest hour that was sealed when it came. A view takes in the parts that were
//! there at its position of the log.

use std::ops::{ControlFlow, Range};

use tallyman_common::codec::CodecError;
use tallyman_common::ids::{IdError, NodeId, Owner};
use tallyman_common::time::Hour;

use super::cache::FoldError;
use super::cell::{Addition, KIND_MAXIMUM, NodeHour, OwnerHour};
use crate::ports::{Read, Table, try_scan};

/// A part of an hour's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The hour.
    pub hour: Hour,
    /// `None` before the hour's seal; later the newest hour that was sealed when it came.
    pub late: Option<Hour>,
}

impl Part {
    /// Where an entry's share of `hour` belongs when everything up to `sealed` is sealed.
    pub fn of(hour: Hour, sealed: Option<Hour>) -> Self {
        let late = sealed.filter(|sealed| hour <= *sealed);
        Self { hour, late }
    }
}

impl From<Hour> for Part {
    fn from(hour: Hour) -> Self {
        Self { hour, late: None }
    }
}

/// Between a name, which has no control characters, and the hour that names a late part.
const LATE: u8 = 0;

/// Key of an owner's hour: hour ‖ owner kind ‖ owner name, for a late part ‖ 0 ‖ newest sealed hour; big-endian. Hours
/// are dropped whole when they are old.
pub fn owner_key(part: impl Into<Part>, owner: &Owner) -> Vec<u8> {
    let part = part.into();
    let name = owner.name().as_bytes();
    with_late(
        part,
        [&part.hour.0.to_be_bytes()[..], &[owner.kind()], name].concat(),
    )
}

/// Key of a node's hour: hour ‖ node, for a late part ‖ 0 ‖ newest sealed hour; big-endian.
pub fn node_hour_key(part: impl Into<Part>, node: NodeId) -> Vec<u8> {
    let part = part.into();
    with_late(part, [&part.hour.0.to_be_bytes()[..], &node.0].concat())
}

/// Key under which a late part is found by when it came: newest sealed hour then ‖ hour ‖ owner kind ‖ owner name;
/// big-endian. `None` for what is on time.
pub fn late_key(part: Part, owner: &Owner) -> Option<Vec<u8>> {
    let sealed = part.late?.0.to_be_bytes();
    Some([&sealed, &owner_key(part.hour, owner)[..]].concat())
}

/// Every late part that came while the newest sealed hour was in `sealed`, by when it came.
pub fn late_parts(
    store: &dyn Read,
    sealed: Range<Hour>,
    mut visit: impl FnMut(Hour, Owner),
) -> Result<(), FoldError> {
    let (from, to) = (sealed.start.0.to_be_bytes(), sealed.end.0.to_be_bytes());
    try_scan(store, Table::LateParts, (&from, &to), |key, _| {
        let (part, owner) = owner_of_key(key.get(4..).map_or(&[], |rest| rest))?;
        visit(part.hour, owner);
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })
}

fn with_late(part: Part, mut key: Vec<u8>) -> Vec<u8> {
    if let Some(sealed) = part.late {
        key.push(LATE);
        key.extend(sealed.0.to_be_bytes());
    }
    key
}

/// Kind and name of the owner, as they stand in a key of whatever part.
pub fn name_in_key(key: &[u8]) -> Result<&[u8], CodecError> {
    let short = || CodecError::Malformed {
        what: "cell key",
        reason: "too short".to_owned(),
    };
    let rest = key.get(4..).filter(|rest| !rest.is_empty()).ok_or_else(short)?;
    // The first kind is 0 too.
    let name = rest[1..].iter().position(|b| *b == LATE);
    Ok(name.map_or(rest, |end| &rest[..=end]))
}

/// Part and owner of a key.
pub fn owner_of_key(key: &[u8]) -> Result<(Part, Owner), CodecError> {
    let malformed = |reason: String| CodecError::Malformed {
        what: "cell key",
        reason,
    };
    let Some((hour, rest)) = key.split_at_checked(4) else {
        return Err(malformed("too short".into()));
    };
    let Some((kind, rest)) = rest.split_first() else {
        return Err(malformed("without an owner".into()));
    };
    let (name, late) = match rest.iter().position(|b| *b == LATE) {
        Some(end) => (&rest[..end], Some(&rest[end + 1..])),
        None => (rest, None),
    };
    let late = late.map(<[u8; 4]>::try_from).transpose();
    let late = late.map_err(|_| malformed("the hour of a late part has not four bytes".into()))?;
    let name = std::str::from_utf8(name).map_err(|e| malformed(e.to_string()))?;
    let owner = Owner::from_parts(*kind, name).map_err(|e: IdError| malformed(e.to_string()))?;
    let part = Part {
        hour: Hour(u32::from_be_bytes(hour.try_into().expect("four bytes"))),
        late: late.map(|sealed| Hour(u32::from_be_bytes(sealed))),
    };
    Ok((part, owner))
}

/// Whether a key of a node's hour is that of a late part.
pub fn is_late_node_key(key: &[u8]) -> bool {
    key.len() > 4 + 16
}

/// An owner's hour with the late parts that were there when the newest sealed hour was `sealed`. `None`: nothing came.
pub fn read_owner(
    store: &dyn Read,
    hour: Hour,
    owner: &Owner,
    sealed: Option<Hour>,
) -> Result<Option<OwnerHour>, FoldError> {
    let mut whole: Option<OwnerHour> = None;
    let key = owner_key(hour, owner);
    each_part(store, (Table::Cells, &key), hour, sealed, |_, bytes| {
        let part = OwnerHour::decode(bytes)?;
        let Some(earlier) = &mut whole else {
            whole = Some(part);
            return Ok(());
        };
        let position = part.upto;
        absorb(earlier, part).ok_or_else(|| FoldError::Entry {
            position,
            reason: format!("usage of `{owner}` does not fit into 128 bits"),
        })
    })?;
    Ok(whole)
}

/// A node's hour with the late parts that were there when the newest sealed hour was `sealed`; empty if nothing came.
pub fn read_node(
    store: &dyn Read,
    hour: Hour,
    node: NodeId,
    sealed: Option<Hour>,
) -> Result<NodeHour, FoldError> {
    let mut whole = NodeHour::default();
    let key = node_hour_key(hour, node);
    each_part(store, (Table::NodeHours, &key), hour, sealed, |is_late, bytes| {
        let part = NodeHour::decode(bytes)?;
        if !is_late {
            whole = part;
            return Ok(());
        }
        whole.upto = whole.upto.max(part.upto);
        whole.minutes |= part.minutes;
        whole.batches += part.batches;
        whole.stops.extend(part.stops);
        Ok(())
    })?;
    Ok(whole)
}

/// Shows the part on time, then late ones by when they came, and whether it is late. Behind a seal by one scan: nothing else
/// lies between them.
fn each_part(
    store: &dyn Read,
    (table, key): (Table, &[u8]),
    hour: Hour,
    sealed: Option<Hour>,
    mut visit: impl FnMut(bool, &[u8]) -> Result<(), FoldError>,
) -> Result<(), FoldError> {
    let Some(sealed) = sealed.filter(|sealed| hour <= *sealed) else {
        let on_time = store.get(table, key)?;
        return on_time.map_or(Ok(()), |bytes| visit(false, &bytes));
    };
    let to = [key, &[LATE], &(sealed.0 + 1).to_be_bytes()[..]].concat();
    try_scan(store, table, (key, &to), |found, bytes| {
        visit(found.len() > key.len(), bytes)?;
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })
}

/// Adds a late part; `None` if a sum would not fit.
fn absorb(whole: &mut OwnerHour, late: OwnerHour) -> Option<()> {
    whole.upto = whole.upto.max(late.upto);
    for set in late.sets.iter() {
        let target = whole.set_mut(&set.group, &set.dims);
        for cell in &set.cells {
            let into = target.cell_mut(cell.meter, cell.kind);
            into.value = match cell.kind {
                KIND_MAXIMUM => into.value.max(cell.value),
                _ => into.value.checked_add(cell.value)?,
            };
            into.covered_ms = into.covered_ms.checked_add(cell.covered_ms)?;
            into.flags |= cell.flags;
            into.causes |= cell.causes;
        }
    }
    for trace in late.traces.iter() {
        for (spool, first, last) in trace.batches.iter() {
            whole.trace(trace.node, *spool, *first, trace.minutes);
            whole.extend_trace(trace.node, *last);
        }
    }
    whole.holes.extend(late.holes);
    whole.more_holes += late.more_holes;
    Some(())
}

/// An addition of usage that nobody measured in a window of its own.
pub fn inferred(value: u128, spread: bool) -> Addition {
    Addition {
        value,
        covered_ms: 0,
        state: tallyman_common::record::State::Measured,
        spread,
    }
}

#[cfg(test)]
mod tests {
    use tallyman_common::codec;
    use tallyman_common::ids::SpoolId;
    use tallyman_common::meter::Meter;

    use super::*;
    use crate::memory::MemoryStore;
    use crate::ports::{Changes, Store};
    use crate::rollup::cell::KIND_SUM;

    #[test]
    fn keys_come_back() {
        let owner = Owner::claim("华东").unwrap();
        let late = Part {
            hour: Hour(9),
            late: Some(Hour(300)),
        };
        assert_eq!(
            owner_of_key(&owner_key(Hour(9), &owner)),
            Ok((Hour(9).into(), owner.clone()))
        );
        assert_eq!(owner_of_key(&owner_key(late, &owner)), Ok((late, owner.clone())));
        assert!(owner_of_key(&[owner_key(Hour(9), &owner), vec![LATE, 1]].concat()).is_err());
        assert!(!is_late_node_key(&node_hour_key(Hour(9), NodeId([1; 16]))));
        assert!(is_late_node_key(&node_hour_key(late, NodeId([1; 16]))));
    }

    #[test]
    fn a_view_takes_in_what_was_there_then() {
        let (hour, owner) = (Hour(9), Owner::claim("a").unwrap());
        let longer = Owner::claim("ab").unwrap();
        let (mut store, mut changes) = (MemoryStore::default(), Changes::default());
        let mut put = |part: Part, owner: &Owner, value: u128| {
            let mut whole = OwnerHour::default();
            whole.trace(NodeId([1; 16]), SpoolId([2; 16]), 1, 1 << value);
            let cell = whole.set_mut(&"g".into(), &[]);
            cell.cell_mut(Meter::CPU_TIME, KIND_SUM)
                .add(inferred(value, false))
                .unwrap();
            changes.put(Table::Cells, owner_key(part, owner), codec::encode(&whole));
        };
        put(hour.into(), &owner, 1);
        put(hour.into(), &longer, 50);
        for sealed in [9, 10, 300] {
            put(Part::of(hour, Some(Hour(sealed))), &owner, u128::from(sealed) / 9);
        }
        store.commit(&changes).unwrap();
        let sum = |sealed: Option<u32>| {
            let whole = read_owner(&store, hour, &owner, sealed.map(Hour))
                .unwrap()
                .unwrap();
            whole.sum(Meter::CPU_TIME)
        };
        assert_eq!(sum(None), Some(1));
        assert_eq!(sum(Some(8)), Some(1), "not sealed then, so nothing was late");
        assert_eq!(sum(Some(9)), Some(2));
        assert_eq!(sum(Some(299)), Some(3));
        assert_eq!(sum(Some(300)), Some(36));
    }
}
