//! `recompute --check`: folds the whole log again and compares every cell byte for byte with the stored ones (I5).
//! It works on a copy of the store that shares its files, so that a running aggregator goes on.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use tallyman_aggregator_core::ports::{Read, StoreError, Table, Visit};
use tallyman_aggregator_core::restart::{read_registry, replay};
use tallyman_aggregator_core::rollup::Rollup;
use tallyman_aggregator_core::rollup::cache::FoldError;
use tallyman_common::ids::hex;

use super::desk::Desk;
use super::print;
use crate::config::Config;
use crate::io::clock;
use crate::io::rocks::{Create, RocksStore};
use crate::tokens;

/// What is recomputed.
#[derive(Debug, Args)]
pub struct Recompute {
    /// Compare the stored cells with a new fold of the log; changes nothing.
    #[arg(long, required = true)]
    check: bool,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Comparison {
    /// Values that are the same.
    pub same: u64,
    /// Values that differ, as table and key.
    pub different: Vec<String>,
    /// Values that the fold gives and the store lacks.
    pub missing: Vec<String>,
    /// Values that the store has and the fold does not give.
    pub surplus: Vec<String>,
}

impl Comparison {
    /// True when cells are the fold of the log.
    pub fn holds(&self) -> bool {
        self.different.is_empty() && self.missing.is_empty() && self.surplus.is_empty()
    }
}

/// Tables that a fold of the log gives.
const FOLDED: [Table; 2] = [Table::Cells, Table::NodeHours];

impl Recompute {
    /// Compares and prints; an error when something differs.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let copy = Copy::make(config)?;
        let store = RocksStore::open(&copy.0, Create::No)?;
        let found = compare(&store)?;
        drop(store);
        let text = format!(
            "{} values are the fold of the log; {} differ, {} are missing, {} are surplus\n",
            found.same,
            found.different.len(),
            found.missing.len(),
            found.surplus.len()
        );
        print(as_json, &serde_json::to_value(&found)?, &text)?;
        if !found.holds() {
            bail!("the cells are not what the log says; keep the data folder and report this");
        }
        Ok(())
    }
}

/// A copy of the store, removed with its value.
struct Copy(PathBuf);

impl Copy {
    fn make(config: &Config) -> anyhow::Result<Self> {
        // Files can be shared within one file system only, so within the data folder.
        let path = config
            .data
            .join(format!("recompute-{}", hex(&tokens::random::<4>())));
        let copy = Self(path);
        Desk::open(config)?
            .checkpoint(&copy.0)
            .context("the store could not be copied")?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            eprintln!("{} could not be removed: {e}", path.display());
        }
        _ => {}
    }
}

/// Folds the log without the stored cells and compares.
pub fn compare(store: &dyn Read) -> Result<Comparison, FoldError> {
    let mut rollup = Rollup::default();
    let registry = read_registry(store)?;
    replay(&WithoutCells(store), &registry, 0, clock::now(), &mut rollup)?;
    let mut fresh: BTreeMap<(Table, Vec<u8>), Vec<u8>> = BTreeMap::new();
    for (table, key, value) in rollup.values() {
        fresh.insert((table, key), value);
    }
    let mut found = Comparison::default();
    for table in FOLDED {
        store.scan(table, &[], &[], &mut |key, value| {
            match fresh.remove(&(table, key.to_vec())) {
                Some(same) if same == value => found.same += 1,
                Some(_) => found.different.push(place(table, key)),
                None => found.surplus.push(place(table, key)),
            }
            ControlFlow::Continue(())
        })?;
    }
    found.missing = fresh.keys().map(|(table, key)| place(*table, key)).collect();
    Ok(found)
}

fn place(table: Table, key: &[u8]) -> String {
    format!("{}/{}", table.name(), hex(key))
}

/// A store whose cells were never written.
struct WithoutCells<'a>(&'a dyn Read);

impl Read for WithoutCells<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if FOLDED.contains(&table) {
            return Ok(None);
        }
        self.0.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if FOLDED.contains(&table) {
            return Ok(());
        }
        self.0.scan(table, from, to, visit)
    }
}
