//! The store as of one moment, for whoever reads it beside the running aggregator. Changes nothing in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tallyman_common::ids::hex;

use super::desk::Desk;
use crate::config::Config;
use crate::tokens;

/// A copy that shares the store's files, with every cell written; removed with its value.
pub struct StoreCopy(PathBuf);

impl StoreCopy {
    /// Makes it. Files can be shared within one file system only, and the running program may write nowhere else: it
    /// lies within the data folder.
    pub fn make(config: &Config) -> anyhow::Result<Self> {
        let copy = Self(config.data.join(format!("copy-{}", hex(&tokens::random::<4>()))));
        Desk::open(config)?
            .checkpoint(&copy.0)
            .context("the store could not be copied")?;
        Ok(copy)
    }

    /// The copy for the daily comparison, which there is once; what an earlier process left of it is removed.
    pub fn reserve(data: &Path) -> std::io::Result<Self> {
        let path = data.join("copy-reconcile");
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => Ok(Self(path)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for StoreCopy {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                eprintln!("{} could not be removed: {e}", self.0.display());
            }
            _ => {}
        }
    }
}
