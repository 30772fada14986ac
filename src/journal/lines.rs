//! Lines of a checksum and a record in JSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};

use serde::{Deserialize, Serialize};

/// Longest line that is read: a window of 30 s has some 20 KB.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Returns the line of a record.
pub(super) fn line(record: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(record)?;
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// Reads records until one is not whole.
pub(super) struct Lines<'a> {
    file: io::Take<BufReader<&'a File>>,
    line: Vec<u8>,
    /// End of the last whole record.
    pub(super) end: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn of(mut file: &'a File) -> io::Result<Self> {
        file.rewind()?;
        Ok(Self {
            file: BufReader::new(file).take(0),
            line: Vec::new(),
            end: 0,
        })
    }

    pub(super) fn next<R: for<'de> Deserialize<'de>>(&mut self) -> io::Result<Option<R>> {
        self.line.clear();
        self.file.set_limit(LINE_BYTES_MAX);
        self.file.read_until(b'\n', &mut self.line)?;
        let record = whole(&self.line).and_then(|json| serde_json::from_slice(json).ok());
        if record.is_some() {
            self.end += self.line.len() as u64;
        }
        Ok(record)
    }
}

/// Returns the JSON of a line that was written to its end.
fn whole(line: &[u8]) -> Option<&[u8]> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    (sum == crc32fast::hash(json)).then_some(json)
}
