//! Signed frames in a file, for hosts with no way out: `tallyman-agent spool export` writes it, `tallyman-aggregator
//! import` reads it. The frames are as they lie in the spool; their signatures are what is believed.
//!
//! `TLYX` ‖ version (u16), then entries of length (u32) ‖ frame, then length 0 ‖ number of frames (u64) ‖ SHA-256 of all
//! before it, so that a file that was cut or changed on its way is told. Bytes only: which frames is the callers'.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::ids::Digest;
use crate::wire::FRAME_BYTES_MAX;

/// The version that this release writes and reads.
pub const VERSION: u16 = 1;
const MAGIC: &[u8; 4] = b"TLYX";

/// Why a file ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file can't be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not one of ours.
    #[error("not an export: it does not begin with `TLYX`")]
    Magic,
    /// Of another release.
    #[error("version {0} of an export is not read by this release (it reads {VERSION})")]
    Version(u16),
    /// A length that no frame has; what follows can't be found.
    #[error("behind {frames} frames stands a length of {bytes} bytes: the file is damaged from there on")]
    Length {
        /// Sound lengths before it.
        frames: u64,
        /// The length.
        bytes: u32,
    },
    /// Cut.
    #[error("the file ends in the middle, behind {frames} whole frames: was it copied to its end?")]
    Cut {
        /// Whole frames before the end.
        frames: u64,
    },
    /// Changed.
    #[error("the file is whole, but not as it was written: its checksum or its number of frames differs")]
    Changed,
}

/// Writes an export.
pub struct ExportWriter<W: Write> {
    to: W,
    hash: Sha256,
    frames: u64,
}

impl<W: Write> ExportWriter<W> {
    /// Writes the head.
    pub fn begin(to: W) -> io::Result<Self> {
        let hash = Sha256::new();
        let mut writer = Self { to, hash, frames: 0 };
        writer.put(MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        Ok(writer)
    }

    /// Adds a frame.
    pub fn frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).expect("frames are bounded");
        self.put(&length.to_le_bytes())?;
        self.put(frame)?;
        self.frames += 1;
        Ok(())
    }

    /// Writes the end; the caller makes it durable.
    pub fn end(mut self) -> io::Result<W> {
        self.put(&0u32.to_le_bytes())?;
        self.put(&self.frames.to_le_bytes())?;
        let digest = self.hash.clone().finalize();
        self.to.write_all(&digest)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes)
    }
}

/// Reads an export, frame by frame.
pub struct ExportReader<R: Read> {
    from: R,
    hash: Sha256,
    frames: u64,
}

impl<R: Read> ExportReader<R> {
    /// Reads the head.
    pub fn begin(from: R) -> Result<Self, ExportError> {
        let hash = Sha256::new();
        let mut reader = Self {
            from,
            hash,
            frames: 0,
        };
        let magic: [u8; 4] = reader.take().map_err(|e| match e {
            ExportError::Cut { .. } => ExportError::Magic,
            other => other,
        })?;
        if magic != *MAGIC {
            return Err(ExportError::Magic);
        }
        match u16::from_le_bytes(reader.take()?) {
            VERSION => Ok(reader),
            other => Err(ExportError::Version(other)),
        }
    }

    /// The next frame, unchecked; `None` behind the last, once the whole file is known to be as it was written.
    pub fn frame(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        let bytes = u32::from_le_bytes(self.take()?);
        if bytes == 0 {
            return self.check_end().map(|()| None);
        }
        if bytes as usize > FRAME_BYTES_MAX {
            let frames = self.frames;
            return Err(ExportError::Length { frames, bytes });
        }
        let mut frame = vec![0; bytes as usize];
        self.fill(&mut frame)?;
        self.frames += 1;
        Ok(Some(frame))
    }

    fn check_end(&mut self) -> Result<(), ExportError> {
        let count = u64::from_le_bytes(self.take()?);
        let found = Digest(self.hash.clone().finalize().into());
        let written = Digest(self.take()?);
        let more = self.from.read(&mut [0])? > 0;
        if count == self.frames && found == written && !more {
            Ok(())
        } else {
            Err(ExportError::Changed)
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ExportError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ExportError> {
        let frames = self.frames;
        self.from.read_exact(bytes).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => ExportError::Cut { frames },
            _ => ExportError::Io(e),
        })?;
        self.hash.update(&*bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(frames: &[&[u8]]) -> Vec<u8> {
        let mut writer = ExportWriter::begin(Vec::new()).unwrap();
        frames.iter().for_each(|frame| writer.frame(frame).unwrap());
        writer.end().unwrap()
    }

    fn read(bytes: &[u8]) -> (usize, Option<String>) {
        let mut count = 0;
        let mut reader = match ExportReader::begin(bytes) {
            Ok(reader) => reader,
            Err(error) => return (0, Some(error.to_string())),
        };
        loop {
            match reader.frame() {
                Ok(Some(_)) => count += 1,
                Ok(None) => return (count, None),
                Err(error) => return (count, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn frames_come_back() {
        assert_eq!(read(&written(&[])), (0, None));
        let bytes = written(&[b"one", b"three"]);
        let mut reader = ExportReader::begin(&bytes[..]).unwrap();
        assert_eq!(reader.frame().unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(reader.frame().unwrap().as_deref(), Some(&b"three"[..]));
        assert_eq!(reader.frame().unwrap(), None);
    }

    #[test]
    fn whatever_is_cut_or_changed_is_told_and_what_is_before_it_is_read() {
        let bytes = written(&[b"one", b"three"]);
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).1.is_some(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed).1.is_some(), "changed at {at}");
        }
        assert!(read(&[&bytes[..], b"x"].concat()).1.is_some());
        let (count, told) = read(&bytes[..bytes.len() - 50]);
        assert_eq!(count, 1);
        assert!(told.unwrap().contains("behind 1 whole frames"));
    }
}
