//! The tensors that whisper.cpp expects of a model, by name, and the number formats that they may have.
//!
//! Source: whisper.cpp 1.8.3, `whisper_model_load` in src/whisper.cpp and the names in src/whisper-arch.h.

use std::collections::HashMap;

use super::Dimensions;

/// A number format of ggml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NumberFormat {
    pub(super) name: &'static str,
    /// The file's `ftype`: for the quantized formats with their version, 2 x 1,000. Version 1 had other
    /// layouts of the same sizes, which whisper.cpp would take for version 2.
    pub(super) file_type: i32,
    /// `ggml_type` of a tensor of this format.
    pub(super) tensor_type: i32,
    /// Elements that share a scale. A row is a whole number of blocks.
    pub(super) block: u64,
    /// Bytes of one block.
    pub(super) block_bytes: u64,
    /// Bytes of one block of the format into which ggml converts what such a matrix is multiplied with.
    pub(super) operand_block_bytes: u64,
}

impl NumberFormat {
    /// Bytes of `elements` numbers, a whole number of blocks.
    fn bytes(&self, elements: u64) -> u64 {
        elements / self.block * self.block_bytes
    }

    /// Bytes of `elements` numbers that are converted for a product.
    pub(super) fn operand_bytes(&self, elements: u64) -> u64 {
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

const F32: NumberFormat = format("f32", (0, 0), 1, (4, 4));
pub(super) const F16: NumberFormat = format("f16", (1, 1), 1, (2, 2));
pub(super) const Q5_0: NumberFormat = format("q5_0", (2_008, 6), 32, (22, 34));
pub(super) const Q5_1: NumberFormat = format("q5_1", (2_009, 7), 32, (24, 36));
pub(super) const Q8_0: NumberFormat = format("q8_0", (2_007, 8), 32, (34, 34));

/// The formats that a model's matrices may have: those that whisper.cpp's own tools write, without f32, with
/// which the linked version ends the process at the first window (`ggml_compute_forward_im2col_f16` wants f16
/// kernels).
///
/// Source: `enum ggml_ftype` and `enum ggml_type` in ggml.h, block sizes in ggml-common.h, operands from
/// `vec_dot_type` in ggml-cpu.c (`q8_0`, `q8_1` and `q8_K`).
pub(super) const MATRIX_FORMATS: [NumberFormat; 11] = [
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

/// Each tensor's numbers start at a multiple of this in memory. Source: `TENSOR_ALIGNMENT` in ggml-impl.h.
const ALIGNMENT_BYTES: u64 = 32;

/// What one tensor must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    /// Extents, the fastest running one first, 1 where there is none.
    pub(super) extents: [u64; 4],
    pub(super) format: NumberFormat,
}

impl Tensor {
    pub(super) fn bytes(&self) -> u64 {
        self.format.bytes(self.extents.iter().product())
    }
}

/// The parts of an attention, after its name.
const ATTENTION: [(&str, Part); 9] = [
    ("_ln.weight", Part::Vector),
    ("_ln.bias", Part::Vector),
    (".query.weight", Part::Square),
    (".query.bias", Part::Vector),
    (".key.weight", Part::Square),
    (".value.weight", Part::Square),
    (".value.bias", Part::Vector),
    (".out.weight", Part::Square),
    (".out.bias", Part::Vector),
];

/// The parts of a layer besides its attentions.
const MLP: [(&str, Part); 6] = [
    ("mlp_ln.weight", Part::Vector),
    ("mlp_ln.bias", Part::Vector),
    ("mlp.0.weight", Part::Widening),
    ("mlp.0.bias", Part::Wide),
    ("mlp.2.weight", Part::Narrowing),
    ("mlp.2.bias", Part::Vector),
];

/// Shapes of a layer's parts, for a layer that is `width` wide.
#[derive(Clone, Copy)]
enum Part {
    /// width
    Vector,
    /// 4 width
    Wide,
    /// width x width
    Square,
    /// width -> 4 width
    Widening,
    /// 4 width -> width
    Narrowing,
}

impl Part {
    fn of(self, width: u64, matrix: NumberFormat) -> Tensor {
        match self {
            Self::Vector => vector(width),
            Self::Wide => vector(4 * width),
            Self::Square => Tensor {
                extents: [width, width, 1, 1],
                format: matrix,
            },
            Self::Widening => Tensor {
                extents: [width, 4 * width, 1, 1],
                format: matrix,
            },
            Self::Narrowing => Tensor {
                extents: [4 * width, width, 1, 1],
                format: matrix,
            },
        }
    }
}

fn vector(width: u64) -> Tensor {
    Tensor {
        extents: [width, 1, 1, 1],
        format: F32,
    }
}

/// Returns the bytes of memory that these tensors take.
pub(super) fn weight_bytes(tensors: &HashMap<String, Tensor>) -> u64 {
    let in_memory = |tensor: &Tensor| tensor.bytes().next_multiple_of(ALIGNMENT_BYTES);
    tensors.values().map(in_memory).sum()
}

/// Returns every tensor that a model of these dimensions has, by name.
///
/// # Memory
///
/// At most 1,259 entries (32 + 32 layers), about 150 KB.
pub(super) fn expected(d: &Dimensions, matrix: NumberFormat) -> HashMap<String, Tensor> {
    let (audio, text, mels) = (
        d.n_audio_state.into(),
        d.n_text_state.into(),
        d.n_mels.into(),
    );
    let table = |width, rows| Tensor {
        extents: [width, rows, 1, 1],
        format: F32,
    };
    let kernel = |inputs| Tensor {
        extents: [3, inputs, audio, 1],
        format: F16,
    };
    let mut tensors: HashMap<String, Tensor> = [
        (
            "encoder.positional_embedding",
            table(audio, d.n_audio_ctx.into()),
        ),
        ("encoder.conv1.weight", kernel(mels)),
        ("encoder.conv1.bias", table(1, audio)),
        ("encoder.conv2.weight", kernel(audio)),
        ("encoder.conv2.bias", table(1, audio)),
        ("encoder.ln_post.weight", vector(audio)),
        ("encoder.ln_post.bias", vector(audio)),
        (
            "decoder.positional_embedding",
            table(text, d.n_text_ctx.into()),
        ),
        (
            "decoder.token_embedding.weight",
            Tensor {
                extents: [text, d.n_vocab.into(), 1, 1],
                format: matrix,
            },
        ),
        ("decoder.ln.weight", vector(text)),
        ("decoder.ln.bias", vector(text)),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .into();

    let mut layers = |side: &str, count: u32, width: u64, attentions: &[&str]| {
        for layer in 0..count {
            for (part, shape) in MLP {
                tensors.insert(
                    format!("{side}.blocks.{layer}.{part}"),
                    shape.of(width, matrix),
                );
            }
            for attention in attentions {
                for (part, shape) in ATTENTION {
                    let name = format!("{side}.blocks.{layer}.{attention}{part}");
                    tensors.insert(name, shape.of(width, matrix));
                }
            }
        }
    };
    layers("encoder", d.n_audio_layer, audio, &["attn"]);
    layers("decoder", d.n_text_layer, text, &["attn", "cross_attn"]);
    tensors
}
