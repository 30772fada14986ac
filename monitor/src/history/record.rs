//! One sample in a fixed number of bytes, with a checksum.

use crate::capacity::Capacity;
use crate::component::Component;
use crate::pressure::Level;
use crate::reader::Machine;
use crate::reading::Reading;
use crate::sample::{Moment, Sample};

/// Bytes of a record: time, the machine, the parts, level, checksum; little endian.
pub(super) const RECORD_BYTES: usize = 8 * (NUMBERS + PARTS) + 4 + 4;

/// Time, available memory, the memory there is, swap and its free part.
const NUMBERS: usize = 5;

const PARTS: usize = Component::ALL.len();

/// Stands for a number that is unknown.
const UNKNOWN: u64 = u64::MAX;

/// Stands for the level Unknown.
const LEVEL_UNKNOWN: u8 = u8::MAX;

/// Why a figure of a record is unknown.
const WHY: &str = "it was unknown when it was recorded";

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
    /// Private bytes by component, in the order of [`Component::ALL`], where known.
    pub parts_bytes: [Option<u64>; PARTS],
    /// Pressure of the machine.
    pub level: Level,
}

impl Record {
    /// Keeps a sample.
    #[must_use]
    pub fn new(sample: &Sample, capacity: &Capacity, level: Level) -> Self {
        Self {
            unix_ms: sample.at.unix_ms,
            available_bytes: capacity.available_bytes.get(),
            limit_bytes: capacity.total_bytes.get(),
            swap_total_bytes: sample.machine.get().map_or(0, |m| m.swap_total_bytes),
            swap_free_bytes: sample.machine.get().map_or(0, |m| m.swap_free_bytes),
            parts_bytes: sample.parts.each_ref().map(|part| part.private_bytes.get()),
            level,
        }
    }

    /// Returns a sample with the figures of the record.
    #[must_use]
    pub fn to_sample(&self, steady_ms: u64) -> Sample {
        let mut sample = Sample {
            at: Moment::new(steady_ms, self.unix_ms),
            ..Sample::default()
        };
        for (part, bytes) in sample.parts.iter_mut().zip(self.parts_bytes) {
            part.private_bytes = known(bytes);
            for figure in [
                &mut part.resident_bytes,
                &mut part.reclaimable_bytes,
                &mut part.swap_bytes,
                &mut part.proportional_bytes,
            ] {
                *figure = Reading::unknown("it is not recorded");
            }
        }
        let (swap, free) = (self.swap_total_bytes, self.swap_free_bytes);
        let machine = self.limit_bytes.zip(self.available_bytes);
        sample.machine = known(machine.map(|(limit, room)| Machine::new(limit, room, swap, free)));
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
        let parts = self.parts_bytes.map(|bytes| bytes.unwrap_or(UNKNOWN));
        for (at, number) in numbers.iter().chain(&parts).enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[RECORD_BYTES - 8] = self.level.rank().unwrap_or(LEVEL_UNKNOWN);
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
        let bytes_at = |at: usize| Some(Some(number(at)?).filter(|n| *n != UNKNOWN));
        let mut parts_bytes = [None; PARTS];
        for (at, part) in parts_bytes.iter_mut().enumerate() {
            *part = bytes_at(at + NUMBERS)?;
        }
        let level = match bytes[RECORD_BYTES - 8] {
            LEVEL_UNKNOWN => Level::Unknown,
            rank => *Level::KNOWN.get(usize::from(rank))?,
        };
        Some(Self {
            unix_ms: number(0)?,
            available_bytes: bytes_at(1)?,
            limit_bytes: bytes_at(2)?,
            swap_total_bytes: number(3)?,
            swap_free_bytes: number(4)?,
            parts_bytes,
            level,
        })
    }
}

fn known<T>(figure: Option<T>) -> Reading<T> {
    figure.map_or_else(|| Reading::unknown(WHY), Reading::Known)
}
