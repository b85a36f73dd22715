//! One owner's sealed day, packed: the sums of its 24 hours by meter and dimensions, and the nodes that they come from.
//! A pure function of the day's cells on time, which never change (docs/adr/0012-packed-days.md).
//!
//! Bytes, integers little-endian: version ‖ hours ‖ apart ‖ flawed (24 bits each) ‖ number of nodes (u32) ‖ for each node
//! its identity and its hours ‖ number of columns (u32) ‖ for each column meter (u16), number of dimensions (u8), their
//! names and values (u16 and bytes each), its hours, and its values: bytes of the least (u8), the least, bytes of a step
//! (u8), for each hour its value less the least. Nodes and columns rise; every number has its fewest bytes, so that a day
//! has one byte string. It must not know tenants or prices.

use tallyman_common::codec::CodecError;
use tallyman_common::ids::{NodeId, Owner};
use tallyman_common::meter::Meter;
use tallyman_common::time::Hour;

/// The layout that is written now.
pub(super) const FORMAT: u8 = 1;
/// Hours of a UTC day.
pub const DAY_HOURS: usize = 24;
const WHAT: &str = "packed day";
/// Between an owner's name, which has no control characters, and the day.
const END_OF_NAME: u8 = 0;

/// Hours of a day: bit n is hour n.
pub type Hours = u32;

/// All of them.
pub const WHOLE_DAY: Hours = (1 << DAY_HOURS) - 1;

/// A UTC day, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtcDay(pub u32);

impl UtcDay {
    /// The day that an hour lies in, and which of its hours it is.
    pub fn of(hour: Hour) -> (Self, usize) {
        let (day, at) = (hour.0 / 24, hour.0 % 24);
        (Self(day), at as usize)
    }

    /// First hour.
    pub fn start(self) -> Hour {
        Hour(self.0 * 24)
    }

    /// The day after it.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What the keys of an owner's days begin with: owner kind ‖ owner name ‖ 0.
pub fn owner_prefix(owner: &Owner) -> Vec<u8> {
    [&[owner.kind()], owner.name().as_bytes(), &[END_OF_NAME]].concat()
}

/// Key of an owner's day: owner kind ‖ owner name ‖ 0 ‖ day, big-endian.
pub fn day_key(prefix: &[u8], day: UtcDay) -> Vec<u8> {
    [prefix, &day.0.to_be_bytes()].concat()
}

/// Key of the note that an hour of an owner is to be read from its cells, for something came behind its seal, or a cell
/// was replaced: the day's key ‖ the hour, big-endian.
pub fn note_key(owner: &Owner, hour: Hour) -> Vec<u8> {
    let day = UtcDay::of(hour).0;
    [&day_key(&owner_prefix(owner), day)[..], &hour.0.to_be_bytes()].concat()
}

/// What lies behind an owner's prefix: a day, or a note.
pub enum Row {
    /// Of this day.
    Day(UtcDay),
    /// Of this hour.
    Note(Hour),
}

/// Reads what lies behind an owner's prefix in a key.
pub fn row_of(rest: &[u8]) -> Result<Row, CodecError> {
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes);
    match (rest.len(), rest.first_chunk(), rest.last_chunk::<4>()) {
        (4, Some(day), _) => Ok(Row::Day(UtcDay(u32::from_be_bytes(*day)))),
        (8, _, Some(hour)) => Ok(Row::Note(Hour(number(hour).expect("four bytes")))),
        _ => Err(malformed("a key of another length")),
    }
}

fn malformed(reason: &str) -> CodecError {
    CodecError::Malformed {
        what: WHAT,
        reason: reason.to_owned(),
    }
}

/// A packed day, borrowed from its bytes.
#[derive(Debug, Clone, Copy)]
pub struct PackedDay<'b> {
    /// Hours that have anything.
    pub hours: Hours,
    /// Of these, the ones that are read from their cells; nothing else here is about them.
    pub apart: Hours,
    /// Hours with causes or holes, which stand in their cells.
    pub flawed: Hours,
    nodes: &'b [u8],
    columns: &'b [u8],
    count: u32,
}

const NODE_BYTES: usize = 16 + 3;

impl<'b> PackedDay<'b> {
    /// Reads the head; nodes and columns are read as they are asked for.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, CodecError> {
        let mut rest = bytes;
        if take(&mut rest, 1)? != [FORMAT] {
            return Err(malformed("written by a later release"));
        }
        let (hours, apart, flawed) = (
            take_hours(&mut rest)?,
            take_hours(&mut rest)?,
            take_hours(&mut rest)?,
        );
        let nodes = usize::try_from(take_u32(&mut rest)?).ok();
        let nodes = nodes.and_then(|it| it.checked_mul(NODE_BYTES));
        let nodes = take(&mut rest, nodes.ok_or_else(|| malformed("too many nodes"))?)?;
        let count = take_u32(&mut rest)?;
        Ok(Self {
            hours,
            apart,
            flawed,
            nodes,
            columns: rest,
            count,
        })
    }

    /// Nodes, with the hours in which they have rows of the owner.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, Hours)> {
        self.nodes.chunks_exact(NODE_BYTES).map(|row| {
            let (node, hours) = row.split_first_chunk().expect("rows of one length");
            (NodeId(*node), hours_of(hours))
        })
    }

    /// Visits the columns, in order.
    pub fn columns(
        &self,
        mut visit: impl FnMut(Column<'b>) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        let mut rest = self.columns;
        for _ in 0..self.count {
            visit(Column::take(&mut rest)?)?;
        }
        match rest.len() {
            0 => Ok(()),
            extra => Err(CodecError::Trailing { what: WHAT, extra }),
        }
    }
}

/// The sums of one meter and dimensions.
#[derive(Debug, Clone, Copy)]
pub struct Column<'b> {
    /// What.
    pub meter: Meter,
    /// Hours that have a value.
    pub hours: Hours,
    dims: &'b [u8],
    dims_count: u8,
    least: u128,
    width: usize,
    steps: &'b [u8],
}

impl<'b> Column<'b> {
    fn take(rest: &mut &'b [u8]) -> Result<Self, CodecError> {
        let meter = Meter(take_u16(rest)?);
        let dims_count = take(rest, 1)?[0];
        let from = *rest;
        for _ in 0..u16::from(dims_count) * 2 {
            let length = take_u16(rest)?;
            take(rest, usize::from(length))?;
        }
        let dims = &from[..from.len() - rest.len()];
        let hours = take_hours(rest)?;
        let least = take_number(rest)?;
        let width = usize::from(take(rest, 1)?[0]);
        if width > 16 {
            return Err(malformed("a number of more than 16 bytes"));
        }
        let steps = take(rest, width * hours.count_ones() as usize)?;
        Ok(Self {
            meter,
            hours,
            dims,
            dims_count,
            least,
            width,
            steps,
        })
    }

    /// Whether it has no dimensions.
    pub fn is_plain(&self) -> bool {
        self.dims_count == 0
    }

    /// Its dimensions: names and values, rising.
    pub fn dims(&self) -> Result<Vec<(&'b str, &'b str)>, CodecError> {
        let (mut rest, mut dims) = (self.dims, Vec::with_capacity(usize::from(self.dims_count)));
        let text = |rest: &mut &'b [u8]| {
            let length = take_u16(rest)?;
            let bytes = take(rest, usize::from(length))?;
            std::str::from_utf8(bytes).map_err(|_| malformed("a dimension is no text"))
        };
        for _ in 0..self.dims_count {
            dims.push((text(&mut rest)?, text(&mut rest)?));
        }
        Ok(dims)
    }

    /// Adds the values of `hours` to the sums in their places; `None` if one would not fit.
    pub fn add_to(&self, sums: &mut [u128; DAY_HOURS], hours: Hours) -> Option<()> {
        match self.width {
            0 => self.add_each(sums, hours, |_| 0),
            1 => self.add_steps::<1>(sums, hours),
            2 => self.add_steps::<2>(sums, hours),
            3 => self.add_steps::<3>(sums, hours),
            4 => self.add_steps::<4>(sums, hours),
            5 => self.add_steps::<5>(sums, hours),
            6 => self.add_steps::<6>(sums, hours),
            7 => self.add_steps::<7>(sums, hours),
            8 => self.add_steps::<8>(sums, hours),
            width => self.add_each(sums, hours, |at| {
                let mut bytes = [0; 16];
                bytes[..width].copy_from_slice(&self.steps[at * width..][..width]);
                u128::from_le_bytes(bytes)
            }),
        }
    }

    /// Steps of a width that is known to the compiler: a load each.
    fn add_steps<const WIDTH: usize>(&self, sums: &mut [u128; DAY_HOURS], hours: Hours) -> Option<()> {
        let (steps, _) = self.steps.as_chunks::<WIDTH>();
        self.add_each(sums, hours, |at| {
            let mut bytes = [0; 8];
            bytes[..WIDTH].copy_from_slice(&steps[at]);
            u128::from(u64::from_le_bytes(bytes))
        })
    }

    fn add_each(
        &self,
        sums: &mut [u128; DAY_HOURS],
        hours: Hours,
        step: impl Fn(usize) -> u128,
    ) -> Option<()> {
        if self.hours & hours == WHOLE_DAY {
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum = sum.checked_add(self.least.checked_add(step(at))?)?;
            }
            return Some(());
        }
        let (mut left, mut at) = (self.hours, 0);
        while left != 0 {
            let place = left.trailing_zeros();
            if hours & (1 << place) != 0 {
                let sum = &mut sums[place as usize];
                *sum = sum.checked_add(self.least.checked_add(step(at))?)?;
            }
            left &= left - 1;
            at += 1;
        }
        Some(())
    }
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Result<&'b [u8], CodecError> {
    let (taken, left) = rest
        .split_at_checked(length)
        .ok_or_else(|| malformed("it ends early"))?;
    *rest = left;
    Ok(taken)
}

fn take_u16(rest: &mut &[u8]) -> Result<u16, CodecError> {
    take(rest, 2).map(|it| u16::from_le_bytes([it[0], it[1]]))
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, CodecError> {
    take(rest, 4).map(|it| u32::from_le_bytes([it[0], it[1], it[2], it[3]]))
}

fn take_hours(rest: &mut &[u8]) -> Result<Hours, CodecError> {
    take(rest, 3).map(hours_of)
}

fn hours_of(bytes: &[u8]) -> Hours {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

fn take_number(rest: &mut &[u8]) -> Result<u128, CodecError> {
    let width = usize::from(take(rest, 1)?[0]);
    if width > 16 {
        return Err(malformed("a number of more than 16 bytes"));
    }
    let mut bytes = [0; 16];
    bytes[..width].copy_from_slice(take(rest, width)?);
    Ok(u128::from_le_bytes(bytes))
}

#[cfg(test)]
#[path = "day_tests.rs"]
mod tests;
