//! Reads a kernel's text file into a fixed buffer and finds figures in it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::error::ReadError;

/// Longest prefix of a kernel file that is looked at. `/proc/pid/status` takes 1.5 KB and
/// `memory.stat` 3 KB; what is longer only grows at the end.
pub(crate) const TEXT_BYTES_MAX: usize = 8 << 10;

/// Smallest page of any system.
const PAGE_BYTES_MIN: usize = 4 << 10;

/// The beginning of a file, on the stack.
pub(crate) struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl Text {
    /// Reads the beginning of a file. Allocates nothing for paths up to some 380 bytes.
    pub(crate) fn read(path: &Path) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let mut text = Self {
            bytes: [0; TEXT_BYTES_MAX],
            len: 0,
        };
        while text.len < TEXT_BYTES_MAX {
            match file.read(&mut text.bytes[text.len..]) {
                Ok(0) => break,
                Ok(n) => {
                    text.len += n;
                    // The kernel gives such files a page at a time, so less than a page is the end:
                    // this saves a call.
                    if n < PAGE_BYTES_MIN {
                        break;
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(text)
    }

    /// Returns the bytes that were read.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Returns the rest of the first line that starts with `key`, without blanks around it.
    pub(crate) fn field(&self, key: &str) -> Option<&[u8]> {
        self.lines()
            .find_map(|line| line.strip_prefix(key.as_bytes()))
            .map(<[u8]>::trim_ascii)
    }

    /// Returns the number that follows `key`.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        leading_number(self.field(key)?)
    }

    /// Returns the bytes that follow `key` as `123 kB`. The kernel means KiB.
    pub(crate) fn kib(&self, key: &str) -> Option<u64> {
        self.number(key)?.checked_mul(1024)
    }

    /// Returns the lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes().split(|&b| b == b'\n')
    }
}

/// Reads a file that belongs to no process.
pub(super) fn read(path: &Path) -> Result<Text, ReadError> {
    Text::read(path).map_err(|source| ReadError::Unreadable {
        path: path.to_path_buf(),
        source,
    })
}

/// Parses the digits at the start; `None` where there are none or too many.
pub(crate) fn leading_number(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_digits_end() {
        for (text, expected) in [
            ("12 kB", Some(12)),
            ("0", Some(0)),
            ("", None),
            ("max", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
        ] {
            assert_eq!(leading_number(text.as_bytes()), expected, "{text}");
        }
    }
}
