//! Writes a `newc` archive, the form in which the kernel takes an initramfs.
//!
//! Must not know where the files come from: it takes guest paths and bytes.

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_755;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_600;
const NO_DEVICE: (u32, u32) = (0, 0);
const CONSOLE: (u32, u32) = (5, 1);

/// An archive under construction; folders are added as files need them.
pub struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    inode: u32,
}

impl Archive {
    /// An archive with `/dev/console` alone, without which the first process has no output.
    pub fn new() -> Self {
        let mut archive = Self {
            bytes: Vec::new(),
            folders: BTreeSet::new(),
            inode: 0,
        };
        archive.folders_of("dev/console");
        archive.entry("dev/console", CHARACTER_DEVICE, CONSOLE, &[]);
        archive
    }

    /// Adds a regular file under an absolute guest path, with its folders.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        let path = path.trim_start_matches('/');
        self.folders_of(path);
        self.entry(path, REGULAR | mode, NO_DEVICE, content);
    }

    /// The archive's bytes, closed by its trailer.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, NO_DEVICE, &[]);
        self.bytes
    }

    fn folders_of(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            let folder = &path[..end];
            if self.folders.insert(folder.to_owned()) {
                self.entry(folder, DIRECTORY, NO_DEVICE, &[]);
            }
        }
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let size = u32::try_from(content.len()).expect("a file in the machine is below 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("a path is short");
        let (owner, group, links, modified) = (0, 0, 1, 0);
        let (device_major, device_minor, checksum) = (0, 0, 0);
        let fields = [
            self.inode,
            mode,
            owner,
            group,
            links,
            modified,
            size,
            device_major,
            device_minor,
            device.0,
            device.1,
            name_size,
            checksum,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        let aligned = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(aligned, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_folders_come_first_and_once() {
        let mut archive = Archive::new();
        archive.file("/a/b/one", 0o644, b"123");
        archive.file("/a/b/two", 0o755, b"12345");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        let names: Vec<&str> = text
            .split('\0')
            .filter_map(|part| part.rsplit("00000000").next())
            .collect();
        let order: Vec<&str> = names
            .into_iter()
            .filter(|name| name.starts_with('a') || name.starts_with('d'))
            .collect();
        assert_eq!(order, ["dev", "dev/console", "a", "a/b", "a/b/one", "a/b/two"]);
    }
}
