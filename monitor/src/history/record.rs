//! One sample in a fixed number of bytes, with a checksum.

use crate::component::Component;
use crate::pressure::Level;
use crate::reader::Machine;
use crate::sample::{Moment, Sample};

/// Bytes of a record: time, the machine, the parts, level, checksum; little endian.
pub(super) const RECORD_BYTES: usize = 8 * (NUMBERS + PARTS) + 4 + 4;

/// Time, available memory, the memory there is, swap and its free part.
const NUMBERS: usize = 5;

const PARTS: usize = Component::ALL.len();

/// Stands for "not known".
const UNKNOWN: u64 = u64::MAX;

/// One sample as the history keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// Available bytes, where known.
    pub available_bytes: Option<u64>,
    /// Bytes of the machine or of its control group, where known.
    pub limit_bytes: Option<u64>,
    /// Bytes of swap; 0 where there is none or it is not known.
    pub swap_total_bytes: u64,
    /// Free bytes of it.
    pub swap_free_bytes: u64,
    /// Private bytes by component, in the order of [`Component::ALL`].
    pub parts_bytes: [u64; PARTS],
    /// Pressure.
    pub level: Level,
}

impl Record {
    /// Keeps a sample.
    #[must_use]
    pub fn new(sample: &Sample, level: Level) -> Self {
        Self {
            unix_ms: sample.at.unix_ms,
            available_bytes: sample.available_bytes(),
            limit_bytes: sample.limit_bytes(),
            swap_total_bytes: sample.machine.map_or(0, |m| m.swap_total_bytes),
            swap_free_bytes: sample.machine.map_or(0, |m| m.swap_free_bytes),
            parts_bytes: sample.parts.map(|part| part.private_bytes),
            level,
        }
    }

    /// Returns a sample with what the record kept.
    #[must_use]
    pub fn to_sample(&self, steady_ms: u64) -> Sample {
        let mut sample = Sample {
            at: Moment::new(steady_ms, self.unix_ms),
            ..Sample::default()
        };
        for (part, bytes) in sample.parts.iter_mut().zip(self.parts_bytes) {
            part.private_bytes = bytes;
            sample.total_bytes = sample.total_bytes.saturating_add(bytes);
        }
        let (swap, free) = (self.swap_total_bytes, self.swap_free_bytes);
        let known = self.limit_bytes.zip(self.available_bytes);
        sample.machine = known.map(|(limit, room)| Machine::new(limit, room, swap, free));
        sample
    }

    pub(super) fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let numbers: [u64; NUMBERS] = [
            self.unix_ms,
            self.available_bytes.unwrap_or(UNKNOWN),
            self.limit_bytes.unwrap_or(UNKNOWN),
            self.swap_total_bytes,
            self.swap_free_bytes,
        ];
        for (at, number) in numbers.iter().chain(&self.parts_bytes).enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[RECORD_BYTES - 8] = self.level as u8;
        let sum = crc32fast::hash(&bytes[..RECORD_BYTES - 4]);
        bytes[RECORD_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let sum = u32::from_le_bytes(bytes[RECORD_BYTES - 4..].try_into().ok()?);
        if sum != crc32fast::hash(&bytes[..RECORD_BYTES - 4]) {
            return None;
        }
        let number = |at: usize| {
            Some(u64::from_le_bytes(
                bytes[at * 8..at * 8 + 8].try_into().ok()?,
            ))
        };
        let mut parts_bytes = [0; PARTS];
        for (at, part) in parts_bytes.iter_mut().enumerate() {
            *part = number(at + NUMBERS)?;
        }
        Some(Self {
            unix_ms: number(0)?,
            available_bytes: Some(number(1)?).filter(|n| *n != UNKNOWN),
            limit_bytes: Some(number(2)?).filter(|n| *n != UNKNOWN),
            swap_total_bytes: number(3)?,
            swap_free_bytes: number(4)?,
            parts_bytes,
            level: *Level::ALL.get(usize::from(bytes[RECORD_BYTES - 8]))?,
        })
    }
}
