//! Number formats of model files, and their conversion from and to f32.

use std::io::{self, Write};

use half::f16;

/// Number formats of the matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    F32,
    F16,
    Q8_0,
    Q5_0,
}

impl Format {
    pub(super) fn file_type(self) -> usize {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 2_007,
            Self::Q5_0 => 2_008,
        }
    }

    pub(super) fn tensor_type(self) -> usize {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q5_0 => 6,
            Self::Q8_0 => 8,
        }
    }

    pub(super) fn of_tensor_type(number: usize) -> io::Result<Self> {
        let all = [Self::F32, Self::F16, Self::Q8_0, Self::Q5_0];
        let known = all
            .into_iter()
            .find(|format| format.tensor_type() == number);
        known.ok_or_else(|| io::Error::other(format!("unknown tensor type {number}")))
    }

    pub(super) fn bytes(self, elements: usize) -> usize {
        match self {
            Self::F32 => elements * 4,
            Self::F16 => elements * 2,
            Self::Q8_0 => elements / 32 * 34,
            Self::Q5_0 => elements / 32 * 22,
        }
    }

    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let half = |b: &[u8]| f16::from_le_bytes([b[0], b[1]]).to_f32();
        match self {
            Self::F32 => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Self::F16 => bytes.chunks_exact(2).map(half).collect(),
            Self::Q8_0 => bytes
                .chunks_exact(34)
                .flat_map(|b| {
                    b[2..]
                        .iter()
                        .map(move |q| half(b) * f32::from(q.cast_signed()))
                })
                .collect(),
            Self::Q5_0 => bytes.chunks_exact(22).flat_map(decode_q5_0).collect(),
        }
    }

    pub(super) fn encode(self, row: &[f32], out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::F32 => row.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())),
            Self::F16 => row
                .iter()
                .try_for_each(|x| out.write_all(&f16::from_f32(*x).to_le_bytes())),
            Self::Q8_0 => row
                .chunks_exact(32)
                .try_for_each(|block| out.write_all(&q8_0(block))),
            Self::Q5_0 => row
                .chunks_exact(32)
                .try_for_each(|block| out.write_all(&q5_0(block))),
        }
    }
}

fn q8_0(block: &[f32]) -> [u8; 34] {
    let scale = block.iter().fold(0.0_f32, |max, x| max.max(x.abs())) / 127.0;
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (byte, x) in bytes[2..].iter_mut().zip(block) {
        let q = if scale > 0.0 {
            (x / scale).round()
        } else {
            0.0
        };
        #[expect(clippy::cast_possible_truncation, reason = "-127 to 127")]
        let q = q as i8;
        *byte = q.cast_unsigned();
    }
    bytes
}

/// Encodes 32 numbers of 5 bits: the high bits first, then the low four bits, of which the first
/// and the second half share bytes.
fn q5_0(block: &[f32]) -> [u8; 22] {
    let largest = block
        .iter()
        .fold(0.0_f32, |max, x| if x.abs() > max.abs() { *x } else { max });
    let scale = largest / -16.0;
    let quantized = |x: f32| {
        let q = if scale == 0.0 { 16.5 } else { x / scale + 16.5 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 31"
        )]
        let q = q.clamp(0.0, 31.0) as u8;
        q
    };
    let mut bytes = [0; 22];
    bytes[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    let mut high = 0_u32;
    for i in 0..16 {
        let (first, second) = (quantized(block[i]), quantized(block[i + 16]));
        bytes[6 + i] = (first & 15) | (second & 15) << 4;
        high |= u32::from(first >> 4) << i | u32::from(second >> 4) << (i + 16);
    }
    bytes[2..6].copy_from_slice(&high.to_le_bytes());
    bytes
}

fn decode_q5_0(block: &[u8]) -> [f32; 32] {
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    std::array::from_fn(|i| {
        let byte = block[6 + i % 16];
        let low = if i < 16 { byte & 15 } else { byte >> 4 };
        scale * (f32::from(low) + if high >> i & 1 == 1 { 16.0 } else { 0.0 } - 16.0)
    })
}
