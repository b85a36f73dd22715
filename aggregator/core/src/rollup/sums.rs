//! The sums of an owner's hour straight from its bytes, for who adds up all cells of a month: no value is made, no text is
//! copied. The layout is that of [`super::cell::OwnerHour`]; what is behind the sums is not looked at.

use tallyman_common::codec::CodecError;
use tallyman_common::meter::Meter;

/// Meter, kind, value, covered time, flags, causes.
const CELL_BYTES: usize = 2 + 1 + 16 + 8 + 1 + 4;

/// Names and values of dimensions, rising by name.
pub type DimPairs<'b> = [(&'b str, &'b str)];

/// Cells of one group and one set of dimensions.
#[derive(Debug, Clone, Copy)]
pub struct Cells<'b>(&'b [[u8; CELL_BYTES]]);

impl Cells<'_> {
    /// Meter, kind and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (Meter, u8, u128)> {
        self.0.iter().map(|cell| {
            let (meter, rest) = cell.split_first_chunk().expect("cells of one length");
            let value = rest[1..].first_chunk().expect("cells of one length");
            (
                Meter(u16::from_le_bytes(*meter)),
                rest[0],
                u128::from_le_bytes(*value),
            )
        })
    }
}

/// Visits the cells of an owner's hour, set by set.
///
/// # Errors
/// When the bytes are none of an owner's hour, or `visit` fails.
pub fn each_set<'b, E: From<CodecError>>(
    bytes: &'b [u8],
    mut visit: impl FnMut(&DimPairs<'b>, Cells<'b>) -> Result<(), E>,
) -> Result<(), E> {
    let mut rest = bytes;
    let mut dims: Vec<(&str, &str)> = Vec::new();
    take(&mut rest, 8)?;
    for _ in 0..count(&mut rest)? {
        text(&mut rest)?;
        dims.clear();
        for _ in 0..count(&mut rest)? {
            dims.push((text(&mut rest)?, text(&mut rest)?));
        }
        let length = count(&mut rest)?.checked_mul(CELL_BYTES);
        let cells = take(&mut rest, length.ok_or_else(|| malformed("too many cells"))?)?;
        visit(&dims, Cells(cells.as_chunks().0))?;
    }
    Ok(())
}

fn count(rest: &mut &[u8]) -> Result<usize, CodecError> {
    let bytes = take(rest, 8)?.try_into().expect("eight bytes");
    usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| malformed("a list of impossible length"))
}

fn text<'b>(rest: &mut &'b [u8]) -> Result<&'b str, CodecError> {
    let length = count(rest)?;
    std::str::from_utf8(take(rest, length)?).map_err(|_| malformed("no text where one belongs"))
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Result<&'b [u8], CodecError> {
    let (taken, left) = rest
        .split_at_checked(length)
        .ok_or_else(|| malformed("it ends early"))?;
    *rest = left;
    Ok(taken)
}

fn malformed(reason: &str) -> CodecError {
    CodecError::Malformed {
        what: "owner hour",
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tallyman_common::codec;
    use tallyman_common::ids::{NodeId, SpoolId};

    use super::*;
    use crate::rollup::OwnerHour;
    use crate::rollup::cell::{KIND_MAXIMUM, KIND_SUM};
    use crate::rollup::part::inferred;

    /// Protects: what is read straight from the bytes is what the value has, and bytes that end early are refused.
    #[test]
    fn sums_are_those_of_the_value() {
        let mut value = OwnerHour::default();
        value.trace(NodeId([1; 16]), SpoolId([2; 16]), 1, 1);
        let tier = |name: &str| {
            vec![
                ("region".to_owned(), "华东".to_owned()),
                ("tier".to_owned(), name.into()),
            ]
        };
        for (group, dims) in [("g", vec![]), ("g", tier("high")), ("h", tier("low"))] {
            let set = value.set_mut(&group.into(), &dims);
            for (meter, kind, amount) in [
                (7, KIND_SUM, u128::MAX >> 1),
                (7, KIND_MAXIMUM, 3),
                (300, KIND_SUM, 0),
            ] {
                set.cell_mut(Meter(meter), kind)
                    .add(inferred(amount, false))
                    .unwrap();
            }
        }
        let bytes = codec::encode(&value);
        let mut found = Vec::new();
        each_set::<CodecError>(&bytes, |dims, cells| {
            let dims: Vec<(String, String)> = dims.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
            found.extend(cells.iter().map(|it| (dims.clone(), it)));
            Ok(())
        })
        .unwrap();
        let wanted = value
            .cells()
            .map(|(set, it)| (set.dims.clone(), (it.meter, it.kind, it.value)));
        assert_eq!(found, wanted.collect::<Vec<_>>());
        for short in [0, 7, 8, 30, 100] {
            assert!(
                each_set::<CodecError>(&bytes[..short], |_, _| Ok(())).is_err(),
                "{short}"
            );
        }
    }
}
