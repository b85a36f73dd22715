//! Results of daily comparisons: a file of JSON for each day beside the store, written whole or not at all. The newest
//! one says from where to go on after a stop.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tallyman_aggregator_core::reconcile::{Day, Reconciliation};

use crate::limits::RECONCILE_KEPT_MAX;

/// The folder of the results.
#[derive(Debug, Clone)]
pub struct Reconciliations(PathBuf);

impl Reconciliations {
    /// Beside the store's folder.
    pub fn beside(store: &Path) -> Self {
        Self(store.with_file_name("reconciliations"))
    }

    /// The days that have a result, rising.
    pub fn days(&self) -> io::Result<Vec<Day>> {
        let entries = match fs::read_dir(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut days = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let day = name.to_str().and_then(|n| n.strip_suffix(".json"));
            days.extend(day.and_then(|day| Day::parse(day).ok()));
        }
        days.sort();
        Ok(days)
    }

    /// A day's result, if there is one.
    pub fn read(&self, day: Day) -> io::Result<Option<Reconciliation>> {
        match fs::read(self.path(day)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Keeps a day's result, durable; the oldest make room beyond a number.
    pub fn write(&self, day: Day, result: &Reconciliation) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let unfinished = self.0.join("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec_pretty(result)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.path(day))?;
        File::open(&self.0)?.sync_all()?;
        let days = self.days()?;
        for old in days.iter().rev().skip(RECONCILE_KEPT_MAX) {
            fs::remove_file(self.path(*old))?;
        }
        Ok(())
    }

    fn path(&self, day: Day) -> PathBuf {
        self.0.join(format!("{}.json", day.text()))
    }
}
