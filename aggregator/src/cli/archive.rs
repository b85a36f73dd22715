//! A backup as one encrypted file: what a folder would hold, and its manifest behind it, as a stream that only the
//! holder of a key reads (docs/FORMATS.md). Never a file as a whole in memory. Knows nothing of what the files mean.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use age::stream::{StreamReader, StreamWriter};
use age::x25519::{Identity, Recipient};
use age::{DecryptError, Decryptor, Encryptor};
use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use serde_json::json;

use super::files::{
    Copied, Listed, Manifest, create, is_plain, make_folder, pump, remove_failed, sync, write_new,
};
use super::print;

/// What stands first in the stream.
const MAGIC: &[u8] = b"tallyman-backup-archive/1\n";
/// Before each file.
const FILE: u8 = 1;
/// Before the manifest, which is last.
const END: u8 = 0;
/// Longest name of a file.
const NAME_BYTES_MAX: u16 = 1 << 12;
/// Longest manifest.
const MANIFEST_BYTES_MAX: u32 = 1 << 28;
/// Longest file of keys.
const KEYS_BYTES_MAX: u64 = 1 << 16;

/// Make a key for encrypted backups.
#[derive(Debug, Args)]
pub struct BackupKey {
    /// Where the secret key goes; it must not exist. The public key goes beside it, in FILE.pub.
    file: PathBuf,
}

impl BackupKey {
    /// Makes both files; prints the public key, never the secret one.
    pub fn run(&self, as_json: bool) -> anyhow::Result<()> {
        let identity = Identity::generate();
        let public = identity.to_public().to_string();
        let beside = PathBuf::from(format!("{}.pub", self.file.display()));
        ensure!(!beside.exists(), "{} exists", beside.display());
        let secret = identity.to_string();
        let secret = format!("# public key: {public}\n{}\n", secret.expose_secret());
        write_new(&self.file, secret.as_bytes())?;
        write_new(&beside, format!("{public}\n").as_bytes())?;
        let text = format!(
            "{public}\nthe secret key is in {}: keep it away from this machine, it alone opens the backups; \
             `backup --recipient-file {}` needs the public one only\n",
            self.file.display(),
            beside.display()
        );
        let value = json!({"public_key": public, "secret_key_file": self.file, "public_key_file": beside});
        print(as_json, &value, &text)
    }
}

/// Public keys, one a line; `#` begins a remark.
pub fn read_recipients(file: &Path) -> anyhow::Result<Vec<Recipient>> {
    read_lines(file, "public key (age1…)")
}

/// Secret keys, one a line; `#` begins a remark.
pub fn read_identities(file: &Path) -> anyhow::Result<Vec<Identity>> {
    read_lines(file, "secret key (AGE-SECRET-KEY-1…)")
}

fn read_lines<T: std::str::FromStr<Err = &'static str>>(file: &Path, what: &str) -> anyhow::Result<Vec<T>> {
    let named = || file.display().to_string();
    let mut text = String::new();
    let opened = File::open(file).with_context(named)?;
    opened
        .take(KEYS_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(named)?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Result<Vec<T>, _> = lines.map(str::parse).collect();
    // What stands there may be a secret: it is not shown.
    let keys = keys.map_err(|why| anyhow!("{}: a line is no {what}: {why}", named()))?;
    ensure!(!keys.is_empty(), "{} holds no {what}", named());
    Ok(keys)
}

/// Writes a backup.
pub struct Packer {
    stream: StreamWriter<BufWriter<File>>,
    path: PathBuf,
    copied: Copied,
}

impl Packer {
    /// Begins the file, which must not exist.
    pub fn create(path: &Path, recipients: &[Recipient]) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let encryptor = Encryptor::with_recipients(recipients.iter().map(|r| r as &dyn age::Recipient))?;
        let file = BufWriter::with_capacity(1 << 20, create(path)?);
        let mut stream = encryptor.wrap_output(file).with_context(named)?;
        stream.write_all(MAGIC).with_context(named)?;
        Ok(Self {
            stream,
            path: path.to_owned(),
            copied: Copied::default(),
        })
    }

    /// Adds a file under a name.
    pub fn add(&mut self, from: &Path, name: &Path) -> anyhow::Result<()> {
        let named = || from.display().to_string();
        let mut source = File::open(from).with_context(named)?;
        let length = source.metadata().with_context(named)?.len();
        let text = name
            .to_str()
            .with_context(|| format!("{} is no text", name.display()))?;
        let name_bytes = u16::try_from(text.len())?;
        let head = [
            &[FILE][..],
            &name_bytes.to_le_bytes(),
            text.as_bytes(),
            &length.to_le_bytes(),
        ]
        .concat();
        self.stream
            .write_all(&head)
            .with_context(|| self.path.display().to_string())?;
        let listed = pump(&mut source, &mut self.stream, name, &mut self.copied).with_context(named)?;
        ensure!(
            listed.bytes == length,
            "{} changed while it was copied",
            from.display()
        );
        Ok(())
    }

    /// What was added so far.
    pub fn copied(&self) -> &Copied {
        &self.copied
    }

    /// Writes the manifest and ends the file; what has no end is no backup.
    pub fn finish(mut self, manifest: &Manifest) -> anyhow::Result<()> {
        let named = || self.path.display().to_string();
        let text = serde_json::to_vec(manifest)?;
        let length = u32::try_from(text.len())?;
        ensure!(length <= MANIFEST_BYTES_MAX, "too many files for one backup");
        let head = [&[END][..], &length.to_le_bytes()].concat();
        self.stream.write_all(&head).with_context(named)?;
        self.stream.write_all(&text).with_context(named)?;
        let file = self.stream.finish().with_context(named)?;
        let file = file.into_inner().with_context(named)?;
        file.sync_all().with_context(named)?;
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => sync(folder),
            _ => sync(Path::new(".")),
        }
    }
}

/// Reads a backup whose key fits.
pub struct Unpacker {
    stream: StreamReader<BufReader<File>>,
    path: PathBuf,
}

impl Unpacker {
    /// Opens the file; an error if none of the keys opens it, or it is no backup.
    pub fn open(path: &Path, identities: &[Identity]) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let file = BufReader::with_capacity(1 << 20, File::open(path).with_context(named)?);
        let keys = identities.iter().map(|i| i as &dyn age::Identity);
        let opened = Decryptor::new_buffered(file).and_then(|d| d.decrypt(keys));
        let stream = opened.map_err(|error| match error {
            DecryptError::NoMatchingKeys => anyhow!("{}: none of the given keys opens this backup", named()),
            other => anyhow!("{} is no whole encrypted backup: {other}", named()),
        })?;
        let mut unpacker = Self {
            stream,
            path: path.to_owned(),
        };
        let magic = unpacker.bytes(MAGIC.len())?;
        ensure!(
            magic == MAGIC,
            "{} is not of the format that this release reads",
            named()
        );
        Ok(unpacker)
    }

    /// Writes the files into a folder, which is removed again unless every one is as it was backed up.
    pub fn unpack(mut self, into: &Path) -> anyhow::Result<(Manifest, u64)> {
        make_folder(into, true)?;
        self.unpack_into(into).inspect_err(|_| remove_failed(into))
    }

    fn unpack_into(&mut self, into: &Path) -> anyhow::Result<(Manifest, u64)> {
        let mut copied = Copied::default();
        loop {
            match self.array::<1>()?[0] {
                FILE => self.file(into, &mut copied)?,
                END => break,
                _ => bail!(self.broken()),
            }
        }
        let length = u32::from_le_bytes(self.array()?);
        ensure!(length <= MANIFEST_BYTES_MAX, self.broken());
        let text = self.bytes(length as usize)?;
        let manifest: Manifest = serde_json::from_slice(&text).with_context(|| self.broken())?;
        // Only the end of the stream proves that nothing was cut off.
        let behind = self.stream.read(&mut [0]).with_context(|| self.broken())?;
        ensure!(behind == 0 && manifest.files == copied.files, self.broken());
        Ok((manifest, copied.bytes))
    }

    fn file(&mut self, into: &Path, copied: &mut Copied) -> anyhow::Result<()> {
        let name_bytes = u16::from_le_bytes(self.array()?);
        ensure!(name_bytes <= NAME_BYTES_MAX, self.broken());
        let name = String::from_utf8(self.bytes(usize::from(name_bytes))?).with_context(|| self.broken())?;
        let (name, length) = (PathBuf::from(name), u64::from_le_bytes(self.array()?));
        ensure!(
            is_plain(&name),
            "the backup names {}, outside itself",
            name.display()
        );
        let target = into.join(&name);
        if let Some(parent) = target.parent() {
            make_folder(parent, true)?;
        }
        let mut target = create(&target)?;
        let mut source = (&mut self.stream).take(length);
        let listed: Listed =
            pump(&mut source, &mut target, &name, copied).with_context(|| broken(&self.path))?;
        ensure!(listed.bytes == length, self.broken());
        target.sync_all().with_context(|| name.display().to_string())
    }

    fn array<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream
            .read_exact(&mut bytes)
            .with_context(|| self.broken())?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self.stream).take(length as u64).read_to_end(&mut bytes);
        read.with_context(|| self.broken())?;
        ensure!(bytes.len() == length, self.broken());
        Ok(bytes)
    }

    fn broken(&self) -> String {
        broken(&self.path)
    }
}

fn broken(path: &Path) -> String {
    format!(
        "{} is cut off or was changed: nothing was restored",
        path.display()
    )
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
