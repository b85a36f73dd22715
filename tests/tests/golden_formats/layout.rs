//! A byte string as a list of named fields: written field by field, kept as annotated hexadecimal text.
//!
//! A line is `hex | name type = reading`; a line without a name goes on with the field above; `#` begins a comment.
//! Must not know the codecs: it is the second opinion on what they write.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use tallyman_common::ids::hex;

/// Bytes of one line of a long field.
const BYTES_PER_LINE: usize = 16;

/// Named fields in order.
#[derive(Default)]
pub struct Layout {
    fields: Vec<(String, Vec<u8>)>,
}

impl Layout {
    pub fn new() -> Self {
        Self::default()
    }

    fn field(mut self, label: String, bytes: &[u8]) -> Self {
        self.fields.push((label, bytes.to_vec()));
        self
    }

    pub fn u8(self, name: &str, value: u8) -> Self {
        self.field(format!("{name} u8 = {value}"), &[value])
    }

    pub fn u16(self, name: &str, value: u16) -> Self {
        self.field(format!("{name} u16 = {value}"), &value.to_le_bytes())
    }

    pub fn u32(self, name: &str, value: u32) -> Self {
        self.field(format!("{name} u32 = {value}"), &value.to_le_bytes())
    }

    pub fn u64(self, name: &str, value: u64) -> Self {
        self.field(format!("{name} u64 = {value}"), &value.to_le_bytes())
    }

    pub fn u128(self, name: &str, value: u128) -> Self {
        self.field(format!("{name} u128 = {value}"), &value.to_le_bytes())
    }

    /// Big-endian, as in keys.
    pub fn be16(self, name: &str, value: u16) -> Self {
        self.field(format!("{name} u16 big-endian = {value}"), &value.to_be_bytes())
    }

    /// Big-endian, as in keys.
    pub fn be32(self, name: &str, value: u32) -> Self {
        self.field(format!("{name} u32 big-endian = {value}"), &value.to_be_bytes())
    }

    /// Big-endian, as in keys.
    pub fn be64(self, name: &str, value: u64) -> Self {
        self.field(format!("{name} u64 big-endian = {value}"), &value.to_be_bytes())
    }

    /// Bytes of a known number.
    pub fn raw(self, name: &str, bytes: &[u8]) -> Self {
        let label = format!("{name} {} bytes", bytes.len());
        self.field(label, bytes)
    }

    /// Text of a known length.
    pub fn word(self, name: &str, text: &str) -> Self {
        self.field(format!("{name} text = {text:?}"), text.as_bytes())
    }

    /// Number of bytes (u64), then text in UTF-8.
    pub fn text(self, name: &str, text: &str) -> Self {
        let length = u64::try_from(text.len()).unwrap();
        let with_length = self.u64(&format!("{name}.bytes"), length);
        if text.is_empty() {
            with_length
        } else {
            with_length.word(name, text)
        }
    }

    /// Number of items (u64); the items follow.
    pub fn count(self, name: &str, items: usize) -> Self {
        self.u64(&format!("{name}.count"), u64::try_from(items).unwrap())
    }

    /// All fields of another layout.
    pub fn then(mut self, other: Layout) -> Self {
        self.fields.extend(other.fields);
        self
    }

    /// Number of bytes (u64), then the fields.
    pub fn sized(self, name: &str, inner: Layout) -> Self {
        let length = u64::try_from(inner.bytes().len()).unwrap();
        self.u64(&format!("{name}.bytes"), length).then(inner)
    }

    /// Number of bytes (u32), then the fields.
    pub fn sized_u32(self, name: &str, inner: Layout) -> Self {
        let length = u32::try_from(inner.bytes().len()).unwrap();
        self.u32(&format!("{name}.bytes"), length).then(inner)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.fields.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    fn render(&self, title: &str) -> String {
        let mut text = format!("# {title}\n");
        for (label, bytes) in &self.fields {
            let mut chunks = bytes.chunks(BYTES_PER_LINE);
            let first = hex(chunks.next().unwrap_or_default());
            writeln!(text, "{first:32} | {label}").unwrap();
            for chunk in chunks {
                writeln!(text, "{:32} |", hex(chunk)).unwrap();
            }
        }
        text
    }
}

/// Where the golden files lie.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/formats")
}

/// True when the files are to be written anew.
pub fn updates() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// The bytes of an annotated text.
pub fn bytes_of(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| line.split('|').next().unwrap().trim().chars())
        .map(|c| c.to_digit(16).expect("hexadecimal digits before the bar"))
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

/// Compares a layout with its golden file, or writes it, and returns the bytes that the file holds.
pub fn golden(name: &str, title: &str, layout: &Layout) -> Vec<u8> {
    let (path, text) = (folder().join(name), layout.render(title));
    if updates() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept =
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}; UPDATE_GOLDEN=1 writes it"));
    for (number, (kept, made)) in kept.lines().zip(text.lines()).enumerate() {
        assert_eq!(kept, made, "{name} line {}", number + 1);
    }
    assert_eq!(kept, text, "{name} has another number of lines");
    bytes_of(&kept)
}

/// The golden file, the layout and the codec agree; returns the bytes that the file holds.
pub fn frozen(name: &str, title: &str, layout: &Layout, encoded: &[u8]) -> Vec<u8> {
    assert_eq!(
        hex(&layout.bytes()),
        hex(encoded),
        "{name}: the codec writes other bytes than described"
    );
    golden(name, title, layout)
}
