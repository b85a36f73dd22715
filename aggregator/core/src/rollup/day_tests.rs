//! Packed days: what is packed comes back, and what needs a closer look is marked.

use std::collections::BTreeMap;

use tallyman_common::ids::SpoolId;

use super::*;
use crate::rollup::cell::{HoleNote, KIND_INFERRED, KIND_SUM, OwnerHour};
use crate::rollup::packer::Packer;
use tallyman_common::time::WallMs;

type Name = Vec<(String, String)>;

/// Meter, dimensions, sum.
type Sum<'a> = (u16, &'a [(&'a str, &'a str)], u128);

fn value(sums: &[Sum<'_>]) -> OwnerHour {
    let mut value = OwnerHour::default();
    value.trace(NodeId([1; 16]), SpoolId([2; 16]), 1, 1);
    for (meter, dims, sum) in sums {
        let dims: Vec<(String, String)> = dims.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let cell = value
            .set_mut(&"g".into(), &dims)
            .cell_mut(Meter(*meter), KIND_SUM);
        cell.value = *sum;
    }
    value
}

/// Every value of a day, by hour, meter and dimensions.
fn read(bytes: &[u8]) -> BTreeMap<(usize, u16, Name), u128> {
    let (day, mut found) = (PackedDay::parse(bytes).unwrap(), BTreeMap::new());
    day.columns(|column| {
        let dims = column.dims()?.into_iter();
        let dims: Name = dims.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        assert_eq!(column.is_plain(), dims.is_empty());
        for at in (0..DAY_HOURS).filter(|at| column.hours & (1 << at) != 0) {
            let mut sums = [0; DAY_HOURS];
            column.add_to(&mut sums, 1 << at).unwrap();
            assert!(sums.iter().enumerate().all(|(it, sum)| it == at || *sum == 0));
            found.insert((at, column.meter.0, dims.clone()), sums[at]);
        }
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn what_is_packed_comes_back_whatever_its_size() {
    for bits in 0..=124 {
        let mut packer = Packer::default();
        let mut wanted = BTreeMap::new();
        let east = [("region", "east")];
        for at in [0, 3, 4, 23] {
            let sum = (1u128 << bits) + (at as u128) * ((1 << bits) / 7) - 1;
            packer.add(at, &value(&[(1, &[], sum), (50, &east, 5), (50, &[], sum / 3)]));
            wanted.insert((at, 1, Name::new()), sum);
            wanted.insert((at, 50, vec![("region".to_owned(), "east".to_owned())]), 5);
            wanted.insert((at, 50, Name::new()), sum / 3);
        }
        let bytes = packer.finish();
        assert_eq!(read(&bytes), wanted, "{bits} bits");
        let day = PackedDay::parse(&bytes).unwrap();
        let hours = 1 | 1 << 3 | 1 << 4 | 1 << 23;
        assert_eq!((day.hours, day.apart, day.flawed), (hours, 0, 0));
        assert_eq!(day.nodes().collect::<Vec<_>>(), [(NodeId([1; 16]), hours)]);
        for cut in 0..bytes.len() {
            let broken = PackedDay::parse(&bytes[..cut]).and_then(|day| day.columns(|_| Ok(())));
            assert!(broken.is_err(), "cut at {cut}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(PackedDay::parse(&longer).unwrap().columns(|_| Ok(())).is_err());
    }
}

/// Protects: what needs a closer look is read from its cells, and nothing of it is in the packed sums.
#[test]
fn inferred_hours_stand_apart() {
    let mut packer = Packer::default();
    packer.add(0, &value(&[(1, &[], 7)]));
    let mut inferred = value(&[(1, &[], 8)]);
    inferred
        .set_mut(&"g".into(), &[])
        .cell_mut(Meter(1), KIND_INFERRED)
        .value = 1;
    packer.add(1, &inferred);
    let mut flawed = value(&[(1, &[], 9)]);
    flawed.holes.push(HoleNote {
        node: NodeId([1; 16]),
        meter: 0,
        cause: 1,
        start: WallMs(0),
        end: WallMs(1),
        workload: String::new(),
    });
    packer.add(2, &flawed);
    let mut huge = value(&[(1, &[], u128::MAX)]);
    huge.set_mut(&"h".into(), &[]).cell_mut(Meter(1), KIND_SUM).value = 1;
    packer.add(3, &huge);
    let bytes = packer.finish();
    let day = PackedDay::parse(&bytes).unwrap();
    assert_eq!((day.hours, day.apart, day.flawed), (0b1111, 0b1010, 0b100));
    assert_eq!(day.nodes().next(), Some((NodeId([1; 16]), 0b101)));
    let sums = [((0, 1, Name::new()), 7), ((2, 1, Name::new()), 9)];
    assert_eq!(read(&bytes), BTreeMap::from(sums));
}

#[test]
fn keys_come_back() {
    let owner = Owner::claim("华东").unwrap();
    let prefix = owner_prefix(&owner);
    let key = day_key(&prefix, UtcDay(20_000));
    assert!(matches!(
        row_of(&key[prefix.len()..]),
        Ok(Row::Day(UtcDay(20_000)))
    ));
    let note = note_key(&owner, Hour(20_000 * 24 + 5));
    assert!(note.starts_with(&key));
    assert!(matches!(
        row_of(&note[prefix.len()..]),
        Ok(Row::Note(Hour(480_005)))
    ));
    assert!(row_of(&key[prefix.len() + 1..]).is_err());
}
