//! I1 where a series ends and another begins: the tenant that is away for a day comes back with series that begin at 0
//! under new births.

use std::collections::{BTreeMap, BTreeSet};

use tallyman_common::ids::{NodeId, Owner, SpoolId};
use tallyman_common::meter::Meter;
use tallyman_common::record::Birth;
use tallyman_common::time::HOUR_MS;

use super::check::Stored;
use super::ledger::{canonical, records_of};
use super::population::{SEASON_BACK_MS, SEASON_ENDS_MS, SEASONAL};
use super::world::World;

/// Requires it of what is counted around the seasonal tenant's two stays.
pub(super) fn retired(world: &mut World, stored: &[Stored]) -> Result<(), String> {
    let guest = Owner::claim(&format!("t{SEASONAL}")).expect("a good name");
    let mut births: BTreeMap<(NodeId, SpoolId, Owner, Meter), BTreeSet<Birth>> = BTreeMap::new();
    for batch in stored.iter().filter(|b| b.is_counted) {
        let (header, end) = (&batch.header, batch.header.wall_end.0);
        if (SEASON_ENDS_MS + 2 * HOUR_MS..SEASON_BACK_MS).contains(&end) {
            continue;
        }
        let (frame, key) = batch.frame(world)?;
        let records = records_of(&frame, &key).into_iter();
        for record in records.filter(|r| canonical(&r.owner) == guest) {
            for group in &record.groups {
                let birth = group.birth;
                let begins = (birth.spool, birth.seq) == (header.spool, header.seq);
                if let Some(row) = group.rows.iter().find(|row| begins && row.from > 0) {
                    return Err(format!("I1: a series of {} begins at {}", record.owner, row.from));
                }
                for row in &group.rows {
                    let series = (header.node, birth.spool, record.owner.clone(), row.meter);
                    births.entry(series).or_default().insert(birth);
                }
            }
        }
    }
    // All series of a node begin anew in a new spool only.
    if births.values().any(|births| births.len() > 1) {
        world.hit("series retired and back");
    }
    Ok(())
}
