//! A file of exported frames. Must not know what a frame holds.

use tallyman_common::export::{ExportReader, ExportWriter};
use tallyman_common::ids::Digest;

use super::layout::{Layout, frozen};

pub const FILES: &[&str] = &["export-v1.hex"];

#[test]
fn export() {
    let mut writer = ExportWriter::begin(Vec::new()).unwrap();
    writer.frame(b"frame").unwrap();
    writer.frame(b"other").unwrap();
    let written = writer.end().unwrap();
    let before = Layout::new()
        .raw("magic", b"TLYX")
        .u16("version", 1)
        .u32("entry0.length", 5)
        .raw("entry0.frame", b"frame")
        .u32("entry1.length", 5)
        .raw("entry1.frame", b"other")
        .u32("end", 0)
        .u64("number of frames", 2);
    let digest = Digest::of(&[&written[..written.len() - 32]]);
    let layout = before.raw("SHA-256 of all before it", &digest.0);
    let bytes = frozen("export-v1.hex", "Exported frames.", &layout, &written);
    let mut reader = ExportReader::begin(&bytes[..]).unwrap();
    assert_eq!(reader.frame().unwrap().as_deref(), Some(&b"frame"[..]));
    assert_eq!(reader.frame().unwrap().as_deref(), Some(&b"other"[..]));
    assert_eq!(reader.frame().unwrap(), None);
}
