//! `backup` and `restore`: the data folder as of one moment, in files with checksums. The aggregator goes on meanwhile.
//!
//! A backup holds the authority's secret key: who has it can speak for every node. It is written for its owner alone.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tallyman_aggregator_core::api::text::instant_text;
use tallyman_aggregator_core::registry::Command;
use tallyman_aggregator_core::restart::newest_position;
use tallyman_common::ids::Digest;
use tallyman_common::time::WallMs;

use super::copy::StoreCopy;
use super::desk::{Desk, Stopped};
use super::{Place, print};
use crate::config::{Config, DEFAULT_DATA};
use crate::io::clock;
use crate::io::rocks::{Create, RocksStore};

/// What a backup's manifest calls itself.
const FORMAT: &str = "tallyman-backup/1";
const MANIFEST: &str = "backup.json";
const STORE: &str = "store";
const KEYS: &str = "keys";
const SETTINGS: &str = "aggregator.toml";
/// Bytes copied between two lines of progress.
const TOLD_BYTES: u64 = 1 << 30;

/// Copy everything into a folder, with checksums; also while the aggregator runs.
#[derive(Debug, Args)]
pub struct Backup {
    /// The folder; it must not exist.
    folder: PathBuf,
}

/// Make the data folder out of a backup; or say that what was decided since it was made is here again.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup's folder.
    #[arg(required_unless_present = "settle", conflicts_with = "settle")]
    folder: Option<PathBuf>,
    /// The decisions made between backup and restore were entered again, or are given up.
    #[arg(long, requires = "reason")]
    settle: bool,
    /// Why.
    #[arg(long, value_name = "WHY")]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: String,
    program: String,
    made: WallMs,
    position: u64,
    files: Vec<Listed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    path: PathBuf,
    bytes: u64,
    sha256: Digest,
}

impl Backup {
    /// Copies and prints what was copied.
    pub fn run(&self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let made = clock::now();
        let copy = StoreCopy::make(config)?;
        let position = {
            let store = RocksStore::open(copy.path(), Create::No)?;
            newest_position(&store)?
        };
        make_folder(&self.folder, false)?;
        let mut copier = Copier::new(&self.folder);
        copier.folder(copy.path(), STORE)?;
        copier.folder(&config.keys(), KEYS)?;
        copier.file_if_there(&config.data.join(SETTINGS), SETTINGS)?;
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            made,
            position,
            files: copier.files,
        };
        // Last: a folder without it is no backup.
        write_new(
            &self.folder.join(MANIFEST),
            &serde_json::to_vec_pretty(&manifest)?,
        )?;
        sync(&self.folder)?;
        let text = format!(
            "{} files, {} bytes in {}: everything up to position {position}, as of {}\n\
             it holds the authority's secret key: keep it as safe as the aggregator\n",
            manifest.files.len(),
            copier.bytes,
            self.folder.display(),
            instant_text(made)
        );
        print(as_json, &serde_json::to_value(&manifest)?, &text)
    }
}

impl Restore {
    /// Restores, or settles a restore.
    pub fn run(&self, place: &Place, as_json: bool) -> anyhow::Result<()> {
        match (&self.folder, &self.reason) {
            (Some(folder), _) => restore(folder, &place.data_folder()?, as_json),
            (None, Some(reason)) => {
                let command = Command::SettleRestore {
                    reason: reason.clone(),
                };
                let position = Desk::open(&place.load()?)?.command(command)?;
                let value = serde_json::json!({ "position": position });
                print(as_json, &value, &format!("settled at position {position}\n"))
            }
            (None, None) => bail!("a folder, or --settle with its --reason"),
        }
    }
}

impl Place {
    /// Where the data are to be, also before there are any.
    fn data_folder(&self) -> anyhow::Result<PathBuf> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None if self.config.is_some() => Ok(self.load()?.data),
            None => Ok(DEFAULT_DATA.into()),
        }
    }
}

fn restore(folder: &Path, data: &Path, as_json: bool) -> anyhow::Result<()> {
    let named = || folder.join(MANIFEST).display().to_string();
    let text = fs::read(folder.join(MANIFEST)).with_context(named)?;
    let manifest: Manifest = serde_json::from_slice(&text).with_context(named)?;
    ensure!(
        manifest.format == FORMAT,
        "{} is of format {}, this release reads {FORMAT}",
        named(),
        manifest.format
    );
    for name in [STORE, KEYS] {
        let there = data.join(name);
        ensure!(
            !there.exists(),
            "{} exists: a restore never overwrites; move it aside first",
            there.display()
        );
    }
    // Beside its place, so that a restore that is cut off leaves nothing that looks whole.
    let beside = data.join("restore-unfinished");
    if beside.exists() {
        fs::remove_dir_all(&beside).with_context(|| beside.display().to_string())?;
    }
    make_folder(&beside, true)?;
    let mut copier = Copier::new(&beside);
    for file in &manifest.files {
        copier.checked(folder, file)?;
    }
    for name in [STORE, KEYS] {
        fs::rename(beside.join(name), data.join(name)).with_context(|| data.display().to_string())?;
    }
    let settings = beside.join(SETTINGS);
    if settings.exists() && !data.join(SETTINGS).exists() {
        fs::rename(&settings, data.join(SETTINGS)).with_context(|| data.display().to_string())?;
    }
    fs::remove_dir_all(&beside).with_context(|| beside.display().to_string())?;
    sync(data)?;
    let store = RocksStore::open(&data.join(STORE), Create::No)?;
    let noted = Stopped::open(store)?.command(Command::NoteRestore {
        made: manifest.made,
        position: manifest.position,
    })?;
    let text = format!(
        "{} bytes restored into {}: everything up to position {}, as of {}\n\
         agents send again what they still keep. What was decided since is not here: enter it again, then say so with\n\
         `tallyman-aggregator restore --settle --reason WHY` (noted at position {noted})\n",
        copier.bytes,
        data.display(),
        manifest.position,
        instant_text(manifest.made)
    );
    print(as_json, &serde_json::to_value(&manifest)?, &text)
}

/// Copies files into a folder, each synced, with their sums.
struct Copier<'a> {
    into: &'a Path,
    files: Vec<Listed>,
    bytes: u64,
}

impl<'a> Copier<'a> {
    fn new(into: &'a Path) -> Self {
        Self {
            into,
            files: Vec::new(),
            bytes: 0,
        }
    }

    /// The files of a folder; none of ours has folders inside.
    fn folder(&mut self, from: &Path, name: &str) -> anyhow::Result<()> {
        make_folder(&self.into.join(name), false)?;
        let entries = fs::read_dir(from).with_context(|| from.display().to_string())?;
        let mut names: Vec<_> = entries
            .map(|e| e.map(|e| e.file_name()))
            .collect::<Result<_, _>>()?;
        names.sort();
        for file in names {
            let relative = Path::new(name).join(&file);
            self.copy(&from.join(&file), relative)?;
        }
        sync(&self.into.join(name))
    }

    fn file_if_there(&mut self, from: &Path, name: &str) -> anyhow::Result<()> {
        if from.exists() {
            self.copy(from, name.into())?;
        }
        Ok(())
    }

    /// A file of a backup, if it is still as it was written.
    fn checked(&mut self, from: &Path, listed: &Listed) -> anyhow::Result<()> {
        let is_plain = listed
            .path
            .components()
            .all(|c| matches!(c, std::path::Component::Normal(_)));
        ensure!(
            is_plain,
            "the manifest names {}, outside the backup",
            listed.path.display()
        );
        if let Some(parent) = listed.path.parent() {
            make_folder(&self.into.join(parent), true)?;
        }
        self.copy(&from.join(&listed.path), listed.path.clone())?;
        let copied = self.files.last().context("just copied")?;
        ensure!(
            copied.bytes == listed.bytes && copied.sha256 == listed.sha256,
            "{} is not what was backed up: nothing was restored",
            from.join(&listed.path).display()
        );
        Ok(())
    }

    fn copy(&mut self, from: &Path, relative: PathBuf) -> anyhow::Result<()> {
        let named = || from.display().to_string();
        let mut source = File::open(from).with_context(named)?;
        let to = self.into.join(&relative);
        let mut target = create(&to)?;
        let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 20], 0u64);
        loop {
            let read = source.read(&mut buffer).with_context(named)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            target
                .write_all(&buffer[..read])
                .with_context(|| to.display().to_string())?;
            bytes += read as u64;
            let told = self.bytes / TOLD_BYTES;
            self.bytes += read as u64;
            if self.bytes / TOLD_BYTES > told {
                eprintln!("{} MiB copied", self.bytes >> 20);
            }
        }
        target.sync_all().with_context(|| to.display().to_string())?;
        self.files.push(Listed {
            path: relative,
            bytes,
            sha256: Digest(hash.finalize().into()),
        });
        Ok(())
    }
}

fn make_folder(path: &Path, may_exist: bool) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new()
        .recursive(may_exist)
        .mode(0o700)
        .create(path);
    made.with_context(|| format!("{} can't be made", path.display()))
}

fn create(path: &Path) -> anyhow::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).with_context(|| path.display().to_string())
}

fn write_new(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut file = create(path)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .with_context(|| path.display().to_string())
}

fn sync(folder: &Path) -> anyhow::Result<()> {
    let synced = File::open(folder).and_then(|f| f.sync_all());
    synced.with_context(|| folder.display().to_string())
}
