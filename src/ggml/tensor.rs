//! Number formats and tensors of ggml, with their sizes in files and in memory.

use std::collections::HashMap;

/// A number format of ggml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumberFormat {
    pub(crate) name: &'static str,
    /// The file's `ftype`. Quantized formats add their version, 2 × 1,000. Version 1 had other
    /// layouts of the same sizes, which whisper.cpp would read as version 2.
    pub(crate) file_type: i32,
    /// `ggml_type` of a tensor of this format.
    pub(crate) tensor_type: i32,
    /// Elements that share a scale. A row is a whole number of blocks.
    pub(crate) block: u64,
    /// Bytes of one block.
    pub(crate) block_bytes: u64,
    /// Bytes of one block of the format into which ggml converts the other operand of a product.
    pub(crate) operand_block_bytes: u64,
}

impl NumberFormat {
    /// Returns the bytes of `elements` numbers, which are a whole number of blocks.
    fn bytes(&self, elements: u64) -> u64 {
        elements / self.block * self.block_bytes
    }

    /// Returns the bytes of `elements` numbers that are converted for a product.
    pub(crate) fn operand_bytes(&self, elements: u64) -> u64 {
        elements / self.block * self.operand_block_bytes
    }
}

const fn format(
    name: &'static str,
    (file_type, tensor_type): (i32, i32),
    block: u64,
    (block_bytes, operand_block_bytes): (u64, u64),
) -> NumberFormat {
    NumberFormat {
        name,
        file_type,
        tensor_type,
        block,
        block_bytes,
        operand_block_bytes,
    }
}

pub(crate) const F32: NumberFormat = format("f32", (0, 0), 1, (4, 4));
pub(crate) const F16: NumberFormat = format("f16", (1, 1), 1, (2, 2));
const Q5_0: NumberFormat = format("q5_0", (2_008, 6), 32, (22, 34));
const Q5_1: NumberFormat = format("q5_1", (2_009, 7), 32, (24, 36));
const Q8_0: NumberFormat = format("q8_0", (2_007, 8), 32, (34, 34));

/// The formats that a model's matrices may have: those that whisper.cpp's own tools write, except
/// f32, with which the linked version aborts at the first window (`ggml_compute_forward_im2col_f16`
/// needs f16 kernels).
///
/// Source: `enum ggml_ftype` and `enum ggml_type` in ggml.h, block sizes in ggml-common.h, operands
/// from `vec_dot_type` in ggml-cpu.c (`q8_0`, `q8_1` and `q8_K`).
pub(crate) const MATRIX_FORMATS: [NumberFormat; 11] = [
    F16,
    format("q4_0", (2_002, 2), 32, (18, 34)),
    format("q4_1", (2_003, 3), 32, (20, 36)),
    Q5_0,
    Q5_1,
    Q8_0,
    format("q2_k", (2_010, 10), 256, (84, 292)),
    format("q3_k", (2_011, 11), 256, (110, 292)),
    format("q4_k", (2_012, 12), 256, (144, 292)),
    format("q5_k", (2_013, 13), 256, (176, 292)),
    format("q6_k", (2_014, 14), 256, (210, 292)),
];

/// Alignment of each tensor's numbers in memory. Source: `TENSOR_ALIGNMENT` in ggml-impl.h.
const ALIGNMENT_BYTES: u64 = 32;

/// The expected extents and format of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tensor {
    /// Extents, the contiguous one first; 1 for unused dimensions.
    pub(crate) extents: [u64; 4],
    pub(crate) format: NumberFormat,
}

impl Tensor {
    pub(crate) fn bytes(&self) -> u64 {
        self.format.bytes(self.extents.iter().product())
    }
}

/// Returns the bytes of memory that these tensors take.
pub(crate) fn weight_bytes(tensors: &HashMap<String, Tensor>) -> u64 {
    let in_memory = |tensor: &Tensor| tensor.bytes().next_multiple_of(ALIGNMENT_BYTES);
    tensors.values().map(in_memory).sum()
}
