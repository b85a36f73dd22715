//! The log folded again, beside the stored cells: are they what it says, byte for byte (I5)? Changes nothing by itself.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use serde::{Deserialize, Serialize};
use tallyman_common::time::{Hour, WallMs};

use crate::memory::WithoutCells;
use crate::ports::{Read, Table};
use crate::restart::{read_registry, replay};
use crate::rollup::Rollup;
use crate::rollup::cache::FoldError;

/// What a rebuild found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// Values that are the same, byte for byte.
    pub same: u64,
    /// Keys whose stored value differs, is missing or should not be there, in words; the first hundred.
    pub differences: Vec<String>,
    /// Differences beyond the first hundred.
    pub more: u64,
}

impl Comparison {
    /// True when cells are the fold of the log.
    pub fn holds(&self) -> bool {
        self.differences.is_empty() && self.more == 0
    }

    /// How many values differ.
    pub fn count(&self) -> u64 {
        self.differences.len() as u64 + self.more
    }

    fn differs(&mut self, table: Table, key: &[u8], how: &str) {
        if self.differences.len() < 100 {
            self.differences.push(format!(
                "{} {}: {how}",
                table.name(),
                tallyman_common::ids::hex(key)
            ));
        } else {
            self.more += 1;
        }
    }
}

/// A value that is not the fold of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In which table.
    pub table: Table,
    /// Its key.
    pub key: Vec<u8>,
    /// What is stored; `None`: nothing.
    pub stored: Option<Vec<u8>>,
    /// What the log makes of it; `None`: nothing.
    pub rebuilt: Option<Vec<u8>>,
}

/// Rebuilds all cells; [`recompute_hours`] without bounds.
pub fn recompute(store: &dyn Read, now: WallMs) -> Result<Comparison, FoldError> {
    recompute_hours(store, now, Hour(0)..Hour(u32::MAX)).map(|(comparison, _)| comparison)
}

/// Rebuilds the cells of some hours from the log, beside the stored ones, and compares byte for byte (I5). Everything
/// must have been flushed. Memory goes by the hours, time by the log.
pub fn recompute_hours(
    store: &dyn Read,
    now: WallMs,
    hours: Range<Hour>,
) -> Result<(Comparison, Vec<Difference>), FoldError> {
    let registry = read_registry(store)?;
    let mut rollup = Rollup::of_hours(hours.clone());
    replay(&WithoutCells(store), &registry, 0, now, &mut rollup)?;
    let mut rebuilt: BTreeMap<(Table, Vec<u8>), Vec<u8>> = rollup
        .values()
        .map(|(table, key, value)| ((table, key), value))
        .collect();
    let (mut comparison, mut differences) = (Comparison::default(), Vec::new());
    let (from, to) = (hours.start.0.to_be_bytes(), hours.end.0.to_be_bytes());
    for table in [Table::Cells, Table::NodeHours] {
        store.scan(table, &from, &to, &mut |key, value| {
            let again = rebuilt.remove(&(table, key.to_vec()));
            if again.as_deref() == Some(value) {
                comparison.same += 1;
                return ControlFlow::Continue(());
            }
            let how = match again {
                Some(_) => "stored and rebuilt values differ",
                None => "stored, but the log does not make it",
            };
            comparison.differs(table, key, how);
            differences.push(Difference {
                table,
                key: key.to_vec(),
                stored: Some(value.to_vec()),
                rebuilt: again,
            });
            ControlFlow::Continue(())
        })?;
    }
    for ((table, key), value) in rebuilt {
        comparison.differs(table, &key, "the log makes it, but it is not stored");
        differences.push(Difference {
            table,
            key,
            stored: None,
            rebuilt: Some(value),
        });
    }
    Ok((comparison, differences))
}
