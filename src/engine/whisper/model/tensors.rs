//! The tensors that whisper.cpp expects in the file of a Whisper model, by name.
//!
//! Source: whisper.cpp 1.8.3, `whisper_model_load` in src/whisper.cpp, names in
//! src/whisper-arch.h.

use std::collections::HashMap;

use super::Dimensions;
use crate::ggml::{F16, F32, NumberFormat, Tensor};

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
