//! `backup` and `restore`: the data folder as of one moment, in files with checksums or in one encrypted file. The
//! aggregator goes on meanwhile.
//!
//! A backup holds the authority's secret key: who can read it can speak for every node. It is written for its owner
//! alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use tallyman_aggregator_core::api::text::instant_text;
use tallyman_aggregator_core::registry::Command;
use tallyman_aggregator_core::restart::newest_position;

use super::archive::{Packer, Unpacker, read_identities, read_recipients};
use super::copy::StoreCopy;
use super::desk::{Desk, Stopped};
use super::files::{
    Copied, Listed, Manifest, create, is_plain, make_folder, names_in, pump, remove_failed, sync, write_new,
};
use super::{Place, print};
use crate::config::{Config, DEFAULT_DATA, DEFAULT_PATH};
use crate::io::clock;
use crate::io::rocks::{Create, RocksStore};

/// What a backup's manifest calls itself.
const FORMAT: &str = "tallyman-backup/1";
const MANIFEST: &str = "backup.json";
const STORE: &str = "store";
const KEYS: &str = "keys";
const SETTINGS: &str = "aggregator.toml";
/// Files from outside the data folder, in a backup.
const ETC: &str = "etc";
/// The public keys that the backup was made for.
const RECIPIENTS: &str = "backup.key.pub";
/// The same, restored: whoever restores puts them in their place.
const RESTORED_ETC: &str = "restored-etc";
/// The settings of the data folder among them, where it has others already.
const IN_DATA: &str = "data-aggregator.toml";

/// Copy everything, with checksums; also while the aggregator runs.
#[derive(Debug, Args)]
pub struct Backup {
    /// The folder, or the file when it is encrypted; it must not exist.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Encrypt into one file, for the public keys (age1…) in this file; `backup-key` makes one.
    #[arg(long, value_name = "FILE")]
    recipient_file: Option<PathBuf>,
}

/// Make the data folder out of a backup; or say that what was decided since it was made is here again.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup's folder or encrypted file.
    #[arg(
        required_unless_present = "settle",
        conflicts_with = "settle",
        value_name = "PATH"
    )]
    path: Option<PathBuf>,
    /// The secret key (AGE-SECRET-KEY-1…) of an encrypted backup is in this file.
    #[arg(long, value_name = "FILE", requires = "path")]
    identity_file: Option<PathBuf>,
    /// The decisions made between backup and restore were entered again, or are given up.
    #[arg(long, requires = "reason")]
    settle: bool,
    /// Why.
    #[arg(long, value_name = "WHY")]
    reason: Option<String>,
}

/// Every file of a backup: where it is now, and its name in the backup.
type Sources = Vec<(PathBuf, PathBuf)>;

impl Backup {
    /// Copies and prints what was copied.
    pub fn run(&self, place: &Place, as_json: bool) -> anyhow::Result<()> {
        let (made, config) = (clock::now(), &place.load()?);
        let recipients = self.recipient_file.as_deref().map(read_recipients).transpose()?;
        let copy = StoreCopy::make(config)?;
        let position = {
            let store = RocksStore::open(copy.path(), Create::No)?;
            newest_position(&store)?
        };
        let mut sources = sources(config, copy.path())?;
        sources.extend(self.outside(&place.settings(), config)?);
        let manifest = |copied: &Copied| Manifest {
            format: FORMAT.to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            made,
            position,
            files: copied.files.clone(),
        };
        let (manifest, bytes) = match &recipients {
            Some(recipients) => {
                let mut packer = Packer::create(&self.path, recipients)?;
                for (from, name) in &sources {
                    packer.add(from, name)?;
                }
                let (manifest, bytes) = (manifest(packer.copied()), packer.copied().bytes);
                packer.finish(&manifest)?;
                (manifest, bytes)
            }
            None => {
                let copied = copy_into(&self.path, &sources)?;
                let manifest = manifest(&copied);
                // Last: a folder without it is no backup.
                write_new(&self.path.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?)?;
                sync(&self.path)?;
                (manifest, copied.bytes)
            }
        };
        let text = self.text(&manifest, bytes, recipients.map(|r| r.len()));
        print(as_json, &serde_json::to_value(&manifest)?, &text)
    }

    /// What is needed to start again and lies outside the data folder: the settings, and for whom backups are made. None of
    /// it is secret; prices, terms and tenants are in the store.
    fn outside(&self, settings: &Path, config: &Config) -> anyhow::Result<Sources> {
        let named = || settings.display().to_string();
        let real = settings.canonicalize().with_context(named)?;
        let is_outside = config
            .data
            .join(SETTINGS)
            .canonicalize()
            .map_or(true, |it| it != real);
        let settings = is_outside.then_some((real, SETTINGS));
        let recipients = self.recipient_file.clone().map(|file| (file, RECIPIENTS));
        let found = settings.into_iter().chain(recipients);
        Ok(found
            .map(|(file, name)| (file, Path::new(ETC).join(name)))
            .collect())
    }

    fn text(&self, manifest: &Manifest, bytes: u64, keys: Option<usize>) -> String {
        let secret: Vec<_> = manifest
            .files
            .iter()
            .filter(|f| f.path.starts_with(KEYS))
            .collect();
        let secret: Vec<_> = secret.iter().map(|f| f.path.display().to_string()).collect();
        let (secret, position, made) = (secret.join(", "), manifest.position, instant_text(manifest.made));
        let kept = match keys {
            Some(keys) => {
                format!("encrypted for {keys} key(s); nobody reads it without the secret key of one")
            }
            None => format!(
                "warning: it is not encrypted and holds the authority's secret key ({secret}): keep it as safe as the \
                 aggregator, or use --recipient-file"
            ),
        };
        format!(
            "{} files, {bytes} bytes in {}: everything up to position {position}, as of {made}\n{kept}\n",
            manifest.files.len(),
            self.path.display()
        )
    }
}

fn sources(config: &Config, store: &Path) -> anyhow::Result<Sources> {
    let mut sources = Vec::new();
    for (folder, name) in [(store, STORE), (&config.keys(), KEYS)] {
        let names = names_in(folder)?.into_iter();
        sources.extend(names.map(|file| (folder.join(&file), Path::new(name).join(&file))));
    }
    let settings = config.data.join(SETTINGS);
    if settings.exists() {
        sources.push((settings, SETTINGS.into()));
    }
    Ok(sources)
}

fn copy_into(folder: &Path, sources: &Sources) -> anyhow::Result<Copied> {
    make_folder(folder, false)?;
    let mut copied = Copied::default();
    for name in [STORE, KEYS, ETC] {
        make_folder(&folder.join(name), false)?;
    }
    for (from, name) in sources {
        copy(from, folder, name, &mut copied)?;
    }
    for name in [STORE, KEYS, ETC] {
        sync(&folder.join(name))?;
    }
    Ok(copied)
}

impl Restore {
    /// Restores, or settles a restore.
    pub fn run(&self, place: &Place, as_json: bool) -> anyhow::Result<()> {
        match (&self.path, &self.reason) {
            (Some(path), _) => self.restore(path, &place.data_folder()?, as_json),
            (None, Some(reason)) => {
                let command = Command::SettleRestore {
                    reason: reason.clone(),
                };
                let position = Desk::open(&place.load()?)?.command(command)?;
                let value = serde_json::json!({ "position": position });
                print(as_json, &value, &format!("settled at position {position}\n"))
            }
            (None, None) => bail!("a backup, or --settle with its --reason"),
        }
    }

    fn restore(&self, path: &Path, data: &Path, as_json: bool) -> anyhow::Result<()> {
        // Before anything is touched: the right key, the right format, room for the result.
        let archive = match (&self.identity_file, path.is_file()) {
            (Some(keys), true) => Some(Unpacker::open(path, &read_identities(keys)?)?),
            (None, true) => bail!(
                "{} is a file: --identity-file says where its key is",
                path.display()
            ),
            (Some(_), false) => bail!("{} is no file: only those are encrypted", path.display()),
            (None, false) => None,
        };
        for name in [STORE, KEYS, RESTORED_ETC] {
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
        let (manifest, bytes) = match archive {
            Some(archive) => archive.unpack(&beside)?,
            None => {
                let manifest = read_manifest(path)?;
                make_folder(&beside, true)?;
                let bytes = copy_checked(&manifest, path, &beside).inspect_err(|_| remove_failed(&beside))?;
                (manifest, bytes)
            }
        };
        check_format(&manifest, path)?;
        let settings = move_in(&beside, data)?;
        finish(&manifest, bytes, (data, &settings), as_json)
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

fn check_format(manifest: &Manifest, path: &Path) -> anyhow::Result<()> {
    ensure!(
        manifest.format == FORMAT,
        "{} is of format {}, this release reads {FORMAT}",
        path.display(),
        manifest.format
    );
    Ok(())
}

fn read_manifest(folder: &Path) -> anyhow::Result<Manifest> {
    let named = || folder.join(MANIFEST).display().to_string();
    let text = fs::read(folder.join(MANIFEST)).with_context(named)?;
    let manifest: Manifest = serde_json::from_slice(&text).with_context(named)?;
    check_format(&manifest, &folder.join(MANIFEST))?;
    Ok(manifest)
}

/// The files of a folder that is a backup, each if it is still as it was written; the bytes of all.
fn copy_checked(manifest: &Manifest, folder: &Path, into: &Path) -> anyhow::Result<u64> {
    let mut copied = Copied::default();
    for file in &manifest.files {
        ensure!(
            is_plain(&file.path),
            "the manifest names {}, outside the backup",
            file.path.display()
        );
        if let Some(parent) = file.path.parent() {
            make_folder(&into.join(parent), true)?;
        }
        let found = copy(&folder.join(&file.path), into, &file.path, &mut copied)?;
        ensure!(
            found == *file,
            "{} is not what was backed up: nothing was restored",
            folder.join(&file.path).display()
        );
    }
    Ok(copied.bytes)
}

/// Puts everything in its place; the settings for which that is not ours to choose.
fn move_in(beside: &Path, data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let named = || data.display().to_string();
    // First: with store and keys the folder counts as restored.
    let (etc, restored) = (beside.join(ETC), data.join(RESTORED_ETC));
    make_folder(&etc, true)?;
    let settings = beside.join(SETTINGS);
    match (settings.exists(), data.join(SETTINGS).exists()) {
        (true, false) => fs::rename(&settings, data.join(SETTINGS)).with_context(named)?,
        (true, true) => fs::rename(&settings, etc.join(IN_DATA)).with_context(named)?,
        (false, _) => {}
    }
    let names = names_in(&etc)?;
    if !names.is_empty() {
        fs::rename(&etc, &restored).with_context(named)?;
    }
    for name in [STORE, KEYS] {
        fs::rename(beside.join(name), data.join(name)).with_context(named)?;
    }
    fs::remove_dir_all(beside).with_context(|| beside.display().to_string())?;
    sync(data)?;
    Ok(names.into_iter().map(|name| restored.join(name)).collect())
}

/// Notes the restore in the log, and says what is to be done.
fn finish(
    manifest: &Manifest,
    bytes: u64,
    (data, settings): (&Path, &[PathBuf]),
    as_json: bool,
) -> anyhow::Result<()> {
    let store = RocksStore::open(&data.join(STORE), Create::No)?;
    let noted = Stopped::open(store)?.command(Command::NoteRestore {
        made: manifest.made,
        position: manifest.position,
    })?;
    let mut text = format!(
        "{bytes} bytes restored into {}: everything up to position {}, as of {}\n\
         agents send again what they still keep. What was decided since is not here: enter it again, then say so with\n\
         `tallyman-aggregator restore --settle --reason WHY` (noted at position {noted})\n",
        data.display(),
        manifest.position,
        instant_text(manifest.made)
    );
    for file in settings {
        let file = file.display();
        text.push_str(&format!(
            "{file}: look it through, and put it where it belongs ({DEFAULT_PATH} or --config for settings)\n"
        ));
    }
    print(as_json, &serde_json::to_value(manifest)?, &text)
}

/// Copies a file into a folder, durable, under a name.
fn copy(from: &Path, into: &Path, name: &Path, copied: &mut Copied) -> anyhow::Result<Listed> {
    let named = || from.display().to_string();
    let mut source = File::open(from).with_context(named)?;
    let mut target = create(&into.join(name))?;
    let listed = pump(&mut source, &mut target, name, copied).with_context(named)?;
    target.sync_all().with_context(named)?;
    Ok(listed)
}
