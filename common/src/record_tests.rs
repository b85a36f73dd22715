//! Records: one byte string per value, and everything else is refused.

use super::*;
use crate::codec::CodecError;

fn birth() -> Birth {
    Birth {
        spool: SpoolId([7; 16]),
        seq: 3,
    }
}

fn row(meter: u16, from: u128, to: u128) -> Row {
    Row {
        meter: Meter(meter),
        state: State::Measured,
        covered_ms: 60_000,
        from,
        to,
    }
}

pub(crate) fn sample() -> Record {
    let mut record = Record::new(Owner::claim("acme").unwrap());
    record.groups.push(Group {
        dims: Dims::new(),
        birth: birth(),
        rows: vec![row(1, 5, 9), row(10, 0, u128::MAX)],
    });
    record.groups.push(Group {
        dims: [("tier".to_owned(), "high".to_owned())].into(),
        birth: birth(),
        rows: vec![Row {
            state: State::Unmeasured(Cause::NotAvailable),
            ..row(20, 4, 4)
        }],
    });
    record.workloads.push(WorkloadUse {
        id: "c0ffee".into(),
        life: 42,
        name: "web".into(),
        is_final: true,
        usage: vec![(Meter(1), 4)],
    });
    record.peaks.push(Peak {
        meter: Meter(10),
        dims: vec![],
        level: 4096,
    });
    record.holes.push(Hole {
        meter: None,
        cause: Cause::AgentDown,
        boot_start: BootMs(1),
        boot_end: BootMs(2),
        workload: String::new(),
    });
    record.unknown.push((99, vec![1, 2, 3]));
    record
}

#[test]
fn a_record_comes_back_whole_with_sections_nobody_knows() {
    let record = sample();
    assert_eq!(Record::decode(&record.encode()), Ok(record));
}

#[test]
fn the_order_of_making_does_not_matter() {
    let mut other = sample();
    other.groups.reverse();
    other.groups[1].rows.reverse();
    assert_eq!(other.encode(), sample().encode());
}

#[test]
fn a_counter_that_goes_back_is_refused() {
    let mut record = sample();
    record.groups[0].rows[0].to = 4;
    assert!(
        Record::decode(&record.encode())
            .unwrap_err()
            .to_string()
            .contains("goes back")
    );
}

#[test]
fn two_rows_of_one_series_are_refused() {
    let mut record = sample();
    record.groups[0].rows[1].meter = Meter(1);
    assert!(matches!(
        Record::decode(&record.encode()),
        Err(CodecError::NotCanonical { .. })
    ));
}

#[test]
fn every_changed_byte_gives_another_value_or_a_refusal() {
    let bytes = sample().encode();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if let Ok(record) = Record::decode(&changed) {
            assert_eq!(record.encode(), changed, "byte {at} has two encodings");
        }
    }
}

#[test]
fn states_only_get_worse() {
    let (m, p, u) = (
        State::Measured,
        State::Partial(Cause::AgentDown),
        State::Unmeasured(Cause::Unreadable),
    );
    assert_eq!(m.worse(p), p);
    assert_eq!(p.worse(m), p);
    assert_eq!(m.worse(m), m);
    assert_eq!(u.worse(p), State::Partial(Cause::Unreadable));
}
