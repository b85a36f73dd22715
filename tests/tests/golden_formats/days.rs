//! Packed days, with their keys and the note beside them.

use tallyman_aggregator_core::memory::MemoryStore;
use tallyman_aggregator_core::ports::{Changes, Read, Store, Table};
use tallyman_aggregator_core::rollup::cell::{KIND_INFERRED, KIND_SUM, OwnerHour};
use tallyman_aggregator_core::rollup::day::{
    PackedDay, Row, UtcDay, day_key, note_key, owner_prefix, row_of,
};
use tallyman_aggregator_core::rollup::pack::{META_PACKED, Piece, packed_hours, put};
use tallyman_aggregator_core::rollup::packer::Packer;
use tallyman_common::ids::NodeId;
use tallyman_common::meter::Meter;
use tallyman_common::record::Cause;
use tallyman_common::time::Hour;

use crate::layout::{Layout, frozen};
use crate::sample;

pub const FILES: &[&str] = &["packed-day-v1.hex"];

/// Hours 0, 1 and 23 plain, the last with a cause; hour 5 with something inferred.
fn day() -> Vec<u8> {
    let mut packer = Packer::default();
    for (at, cpu, held) in [(0, 7_000, 1 << 70), (1, 7_256, 1 << 70), (23, 7_001, 1 << 70)] {
        let mut value = OwnerHour::default();
        let east = [("region".to_owned(), "east".to_owned())];
        value.trace(sample::node(), sample::SPOOL, 1, 1);
        value
            .set_mut(&"default".into(), &[])
            .cell_mut(Meter::CPU_TIME, KIND_SUM)
            .value = cpu;
        let cell = value
            .set_mut(&"default".into(), &east)
            .cell_mut(Meter(50), KIND_SUM);
        cell.value = held;
        if at == 23 {
            cell.causes = 1 << Cause::ALL[0].number();
        }
        packer.add(at, &value);
        if at == 1 {
            let mut inferred = OwnerHour::default();
            inferred.trace(NodeId([9; 16]), sample::SPOOL, 1, 1);
            inferred
                .set_mut(&"default".into(), &[])
                .cell_mut(Meter::CPU_TIME, KIND_INFERRED)
                .value = 5;
            packer.add(5, &inferred);
        }
    }
    packer.finish()
}

fn hours(layout: Layout, name: &str, hours: u32) -> Layout {
    layout.raw(name, &hours.to_le_bytes()[..3])
}

/// Hours with plain sums, and all with anything.
const PLAIN: u32 = 1 | 1 << 1 | 1 << 23;
const ALL: u32 = PLAIN | 1 << 5;

fn layout_of_a_day() -> Layout {
    let mut layout = Layout::new().u8("version", 1);
    layout = hours(layout, "hours: 0, 1, 5, 23", ALL);
    layout = hours(layout, "apart: 5", 1 << 5);
    layout = hours(layout, "flawed: 23", 1 << 23);
    layout = layout.u32("nodes", 1).raw("node0", &sample::node().0);
    layout = hours(layout, "node0.hours", PLAIN);
    layout = layout
        .u32("columns", 2)
        .u16("column0.meter", 1)
        .u8("column0.dims", 0);
    layout = hours(layout, "column0.hours", PLAIN)
        .u8("column0.least: bytes", 2)
        .raw("column0.least", &7_000u16.to_le_bytes())
        .u8("column0.width", 2)
        .raw("column0.steps: 0, 256, 1", &[0, 0, 0, 1, 1, 0])
        .u16("column1.meter", 50)
        .u8("column1.dims", 1)
        .u16("column1.dim0.name: bytes", 6)
        .word("column1.dim0.name", "region")
        .u16("column1.dim0.value: bytes", 4)
        .word("column1.dim0.value", "east");
    hours(layout, "column1.hours", PLAIN)
        .u8("column1.least: bytes", 9)
        .raw("column1.least", &(1u128 << 70).to_le_bytes()[..9])
        .u8("column1.width: all the same", 0)
}

#[test]
fn packed_day() {
    let layout = layout_of_a_day();
    let (at, owner) = (UtcDay::of(sample::HOUR).0, sample::claim());
    let prefix = Layout::new()
        .u8("owner kind", 2)
        .word("owner name", owner.name())
        .u8("0", 0);
    assert_eq!(owner_prefix(&owner), prefix.bytes());
    let key = prefix.be32("day", at.0);
    assert_eq!(day_key(&owner_prefix(&owner), at), key.bytes());
    let day_bytes = layout.bytes();
    let note = Layout::new().be32("a note, behind the key: hour", sample::HOUR.0);
    assert_eq!(
        note_key(&owner, sample::HOUR),
        [key.bytes(), note.bytes()].concat()
    );
    let mut changes = Changes::default();
    let (until, rows, next) = (Hour(at.start().0 + 24), Vec::new(), None);
    put(Piece { until, rows, next }, Hour(0)..Hour(0), &mut changes);
    let mut store = MemoryStore::default();
    store.commit(&changes).unwrap();
    let meta = Layout::new()
        .be32("meta, packed-hours: first", at.start().0)
        .be32("meta, packed-hours: behind the last", at.start().0 + 24);
    assert_eq!(store.get(Table::Meta, META_PACKED), Ok(Some(meta.bytes())));
    assert_eq!(packed_hours(&store), Ok(at.start()..until));
    let keys = key.then(note).bytes();
    let whole = Layout::new()
        .u8("owner kind", 2)
        .word("owner name", owner.name())
        .u8("0", 0)
        .be32("day", at.0)
        .be32("a note, behind the key: hour", sample::HOUR.0);
    assert_eq!(whole.bytes(), keys);
    let title = "Key of a packed day and of a note, which hours are packed, and a day.";
    let written = [keys, store.get(Table::Meta, META_PACKED).unwrap().unwrap(), day()].concat();
    let kept = frozen(
        "packed-day-v1.hex",
        title,
        &whole.then(meta).then(layout),
        &written,
    );
    let kept = &kept[kept.len() - day_bytes.len()..];
    let read = PackedDay::parse(kept).unwrap();
    assert_eq!((read.hours, read.apart, read.flawed), (ALL, 1 << 5, 1 << 23));
    let mut sums = [0u128; 24];
    read.columns(|column| {
        column.add_to(&mut sums, column.hours).expect("fits");
        Ok(())
    })
    .unwrap();
    assert_eq!((sums[1], sums[5]), (7_256 + (1 << 70), 0));
    assert!(matches!(row_of(&at.0.to_be_bytes()), Ok(Row::Day(day)) if day == at));
}
