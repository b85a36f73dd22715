//! `recompute --check`: folds the whole log again and compares every cell byte for byte with the stored ones (I5).
//! It works on a copy of the store that shares its files, so that a running aggregator goes on. The comparison itself is
//! the core's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use tallyman_aggregator_core::restart::{Comparison, recompute};
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

impl Recompute {
    /// Compares and prints; an error when something differs.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let copy = Copy::make(config)?;
        let store = RocksStore::open(&copy.0, Create::No)?;
        let found = recompute(&store, clock::now())?;
        drop(store);
        print(as_json, &serde_json::to_value(&found)?, &text(&found))?;
        if !found.holds() {
            bail!("the cells are not what the log says; keep the data folder and report this");
        }
        Ok(())
    }
}

/// The comparison for people: how much is the same, and what differs, a line each.
fn text(found: &Comparison) -> String {
    let mut text = format!("{} values are the fold of the log\n", found.same);
    for difference in &found.differences {
        text.push_str(&format!("differs: {difference}\n"));
    }
    if found.more > 0 {
        text.push_str(&format!("and {} more differ\n", found.more));
    }
    text
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
