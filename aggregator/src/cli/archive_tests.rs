//! Tests of the encrypted backup: what comes back, and what is refused.

use super::super::files::Copied;
use super::*;
use std::fs;
use tallyman_common::time::WallMs;

struct Case {
    _folder: tempfile::TempDir,
    file: PathBuf,
    into: PathBuf,
    key: Identity,
    manifest: Manifest,
}

fn manifest(copied: &Copied) -> Manifest {
    Manifest {
        format: "tallyman-backup/1".to_owned(),
        program: "0".to_owned(),
        made: WallMs(7),
        position: 9,
        files: copied.files.clone(),
    }
}

/// Two files, one larger than several chunks of the cipher.
fn packed() -> Case {
    let folder = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..300_001u32)
        .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1])
        .collect();
    fs::write(folder.path().join("large"), large).unwrap();
    fs::write(folder.path().join("empty"), b"").unwrap();
    let (file, key) = (folder.path().join("backup.age"), Identity::generate());
    let mut packer = Packer::create(&file, &[Identity::generate().to_public(), key.to_public()]).unwrap();
    packer
        .add(&folder.path().join("large"), Path::new("store/large"))
        .unwrap();
    packer
        .add(&folder.path().join("empty"), Path::new("keys/empty"))
        .unwrap();
    let manifest = manifest(packer.copied());
    packer.finish(&manifest).unwrap();
    let into = folder.path().join("into");
    Case {
        _folder: folder,
        file,
        into,
        key,
        manifest,
    }
}

impl Case {
    fn unpack(&self) -> anyhow::Result<(Manifest, u64)> {
        Unpacker::open(&self.file, std::slice::from_ref(&self.key))?.unpack(&self.into)
    }

    /// The error, after which nothing is left.
    fn refused(&self) -> String {
        let error = format!("{:#}", self.unpack().unwrap_err());
        assert!(!self.into.exists(), "{error}");
        error
    }
}

#[test]
fn a_backup_comes_back_as_it_was() {
    let case = packed();
    assert_eq!(case.unpack().unwrap(), (case.manifest.clone(), 300_001));
    let large = fs::read(case.into.join("store/large")).unwrap();
    assert_eq!(large, fs::read(case.file.with_file_name("large")).unwrap());
    assert_eq!(fs::read(case.into.join("keys/empty")).unwrap(), b"");
    let sealed = fs::read(&case.file).unwrap();
    let shown = |needle: &[u8]| sealed.windows(needle.len()).any(|w| w == needle);
    assert!(!shown(b"store/large") && !shown(&large[..64]));
}

#[test]
fn a_wrong_key_opens_nothing() {
    let case = packed();
    let stranger = [Identity::generate()];
    let error = Unpacker::open(&case.file, &stranger).err().unwrap().to_string();
    assert!(error.contains("none of the given keys"), "{error}");
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let case = packed();
    let whole = fs::read(&case.file).unwrap();
    // In the head, in the first chunk, at a chunk's edge, in a later one, one byte before the end.
    let edge = whole.len() - (300_001 % 65_536) - 2_000;
    for length in [
        0,
        30,
        200,
        1_000,
        65_552 * 2,
        edge,
        whole.len() - 17,
        whole.len() - 1,
    ] {
        fs::write(&case.file, &whole[..length]).unwrap();
        let error = case.refused();
        let told = error.contains("cut off or was changed") || error.contains("no whole encrypted backup");
        assert!(told, "{length}: {error}");
    }
}

#[test]
fn a_flipped_byte_is_found_wherever_it_is() {
    let case = packed();
    let whole = fs::read(&case.file).unwrap();
    for at in (0..whole.len())
        .step_by(whole.len() / 23)
        .chain([whole.len() - 1])
    {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&case.file, &changed).unwrap();
        case.refused();
    }
    fs::write(&case.file, [&whole[..], b"x"].concat()).unwrap();
    case.refused();
}

#[test]
fn a_file_outside_the_backup_or_another_than_listed_is_refused() {
    let case = packed();
    for name in ["../outside", "/outside"] {
        fs::remove_file(&case.file).unwrap();
        let mut packer = Packer::create(&case.file, &[case.key.to_public()]).unwrap();
        packer
            .add(&case.file.with_file_name("large"), Path::new(name))
            .unwrap();
        let manifest = manifest(packer.copied());
        packer.finish(&manifest).unwrap();
        assert!(case.refused().contains("outside itself"));
    }
    fs::remove_file(&case.file).unwrap();
    let packer = Packer::create(&case.file, &[case.key.to_public()]).unwrap();
    packer.finish(&case.manifest).unwrap();
    assert!(case.refused().contains("was changed"));
}

#[test]
fn keys_are_made_once_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let order = BackupKey { file: file.clone() };
    order.run(true).unwrap();
    assert!(order.run(true).is_err());
    let public = read_recipients(&folder.path().join("key.pub")).unwrap();
    let secret = read_identities(&file).unwrap();
    assert_eq!(secret[0].to_public().to_string(), public[0].to_string());
    let swapped = read_recipients(&file).unwrap_err().to_string();
    assert!(
        swapped.contains("no public key") && !swapped.contains("AGE-SECRET"),
        "{swapped}"
    );
    fs::write(&file, "# nothing\n").unwrap();
    let empty = read_identities(&file).err().unwrap().to_string();
    assert!(empty.contains("holds no secret key"), "{empty}");
}
