//! Files of a backup: copied with their sums, made for their owner alone, synced.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tallyman_common::ids::Digest;
use tallyman_common::time::WallMs;

/// Bytes copied between two lines of progress.
const TOLD_BYTES: u64 = 1 << 30;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name and version of the format.
    pub format: String,
    /// Version of the program that wrote it.
    pub program: String,
    /// When.
    pub made: WallMs,
    /// Position of the newest entry in it.
    pub position: u64,
    /// Its files, in order.
    pub files: Vec<Listed>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name within the backup.
    pub path: PathBuf,
    /// Length.
    pub bytes: u64,
    /// Sum of its content.
    pub sha256: Digest,
}

/// What was copied.
#[derive(Debug, Default)]
pub struct Copied {
    /// Files, in order.
    pub files: Vec<Listed>,
    /// Bytes of all.
    pub bytes: u64,
}

/// Copies one file to its end, and notes it.
pub fn pump(
    source: &mut dyn Read,
    target: &mut dyn Write,
    name: &Path,
    copied: &mut Copied,
) -> std::io::Result<Listed> {
    let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 20], 0u64);
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hash.update(&buffer[..read]);
        target.write_all(&buffer[..read])?;
        bytes += read as u64;
        let told = copied.bytes / TOLD_BYTES;
        copied.bytes += read as u64;
        if copied.bytes / TOLD_BYTES > told {
            eprintln!("{} MiB copied", copied.bytes >> 20);
        }
    }
    let listed = Listed {
        path: name.to_owned(),
        bytes,
        sha256: Digest(hash.finalize().into()),
    };
    copied.files.push(listed.clone());
    Ok(listed)
}

/// Whether a name leads nowhere outside its folder.
pub fn is_plain(name: &Path) -> bool {
    name.components().all(|c| matches!(c, Component::Normal(_)))
}

/// Names of the files of a folder, sorted; none of ours has folders inside.
pub fn names_in(folder: &Path) -> anyhow::Result<Vec<std::ffi::OsString>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut names: Vec<_> = entries
        .map(|e| e.map(|e| e.file_name()))
        .collect::<Result<_, _>>()?;
    names.sort();
    Ok(names)
}

/// Makes a folder that only its owner may enter.
pub fn make_folder(path: &Path, may_exist: bool) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new()
        .recursive(may_exist)
        .mode(0o700)
        .create(path);
    made.with_context(|| format!("{} can't be made", path.display()))
}

/// Makes a file that only its owner may read; it must not exist.
pub fn create(path: &Path) -> anyhow::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).with_context(|| path.display().to_string())
}

/// Makes a file with this content, durable.
pub fn write_new(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut file = create(path)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .with_context(|| path.display().to_string())
}

/// Removes what was begun and can't be ended; what is left is told.
pub fn remove_failed(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        eprintln!("{} could not be removed: {error}", folder.display());
    }
}

/// Makes a folder's names durable.
pub fn sync(folder: &Path) -> anyhow::Result<()> {
    let synced = File::open(folder).and_then(|f| f.sync_all());
    synced.with_context(|| folder.display().to_string())
}
