//! Names of interfaces and disks, stored inline: the sampled files are read without allocation.
//!
//! A name is bytes, as the kernel gives it. Knows nothing of which names are metered.

use std::fmt;

/// A name of at most `MAX` bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InlineName<const MAX: usize> {
    bytes: [u8; MAX],
    len: u8,
}

/// The name of a network interface (the kernel's IFNAMSIZ is 16 with the closing NUL).
pub type InterfaceName = InlineName<15>;

/// The name of a block device (the kernel's DISK_NAME_LEN is 32 with the closing NUL).
pub type DiskName = InlineName<31>;

impl<const MAX: usize> InlineName<MAX> {
    /// Takes a name of 1 to `MAX` bytes; anything else is no name.
    pub fn new(name: &[u8]) -> Option<InlineName<MAX>> {
        let len = u8::try_from(name.len()).ok().filter(|len| *len > 0)?;
        let mut bytes = [0; MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(InlineName { bytes, len })
    }

    /// The name as the kernel gives it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl<const MAX: usize> fmt::Display for InlineName<MAX> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.as_bytes().escape_ascii())
    }
}

impl<const MAX: usize> fmt::Debug for InlineName<MAX> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_or_is_refused() {
        assert_eq!(
            InterfaceName::new(b"eth0").map(|name| name.to_string()),
            Some("eth0".to_string())
        );
        assert_eq!(
            InterfaceName::new(b"123456789012345").map(|name| name.as_bytes().len()),
            Some(15)
        );
        assert_eq!(InterfaceName::new(b"1234567890123456"), None);
        assert_eq!(InterfaceName::new(b""), None);
        assert_eq!(DiskName::new(&[b'x'; 300]), None);
    }
}
