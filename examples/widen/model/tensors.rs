//! The tensors of a Whisper model.

use super::{AUDIO_CTX, Format, Shape, TEXT_CTX};

/// A tensor of the wide model, as rows.
pub(super) struct Tensor {
    pub(super) name: String,
    /// In the order of the file, the contiguous one first.
    pub(super) extents: Vec<usize>,
    pub(super) rows: usize,
    /// Numbers in a row.
    pub(super) row: usize,
    /// Whether it has the number format of the matrices, or else `other_format`.
    pub(super) matrix: bool,
    pub(super) other_format: Format,
    /// Whether its inputs are repeated, so that each must count less.
    pub(super) divide: bool,
    /// Whether its rows are as long as in the narrow model.
    narrow_rows: bool,
}

impl Tensor {
    /// Returns how often a row of the narrow model is repeated.
    pub(super) fn repeat(&self, times: usize) -> usize {
        if self.narrow_rows { 1 } else { times }
    }
}

/// Returns all tensors of a model of this shape, in the order of the file.
#[expect(clippy::too_many_lines, reason = "a table, one line for each tensor")]
pub(super) fn tensors(s: &Shape) -> Vec<Tensor> {
    let width = s.width;
    let vector = |name: String, row: usize| Tensor {
        extents: vec![row],
        rows: 1,
        row,
        matrix: false,
        other_format: Format::F32,
        // The output embedding adds up the features of the decoder's last norm.
        divide: name.starts_with("decoder.ln."),
        narrow_rows: false,
        name,
    };
    let bias = |name: &str| Tensor {
        extents: vec![1, width],
        ..vector(name.into(), width)
    };
    let matrix = |name: String, row: usize, rows: usize| Tensor {
        extents: vec![row, rows],
        rows,
        matrix: true,
        divide: true,
        ..vector(name, row)
    };
    let table = |name: &str, rows| Tensor {
        matrix: false,
        divide: false,
        ..matrix(name.into(), width, rows)
    };
    let kernel = |name: &str, inputs: usize, first: bool| Tensor {
        extents: vec![3, inputs, width],
        matrix: false,
        other_format: Format::F16,
        divide: !first,
        narrow_rows: first,
        ..matrix(name.into(), 3 * inputs, width)
    };
    let embedding = "decoder.token_embedding.weight";
    let mut all = vec![
        table("encoder.positional_embedding", AUDIO_CTX),
        kernel("encoder.conv1.weight", s.mels, true),
        bias("encoder.conv1.bias"),
        kernel("encoder.conv2.weight", width, false),
        bias("encoder.conv2.bias"),
        vector("encoder.ln_post.weight".into(), width),
        vector("encoder.ln_post.bias".into(), width),
        table("decoder.positional_embedding", TEXT_CTX),
        Tensor {
            divide: false,
            ..matrix(embedding.into(), width, s.vocabulary)
        },
        vector("decoder.ln.weight".into(), width),
        vector("decoder.ln.bias".into(), width),
    ];
    let sides = [
        ("encoder", s.encoder_layers, &["attn"][..]),
        ("decoder", s.decoder_layers, &["attn", "cross_attn"]),
    ];
    for (side, layers, attentions) in sides {
        for layer in 0..layers {
            let part = |part: &str| format!("{side}.blocks.{layer}.{part}");
            all.push(vector(part("mlp_ln.weight"), width));
            all.push(vector(part("mlp_ln.bias"), width));
            all.push(matrix(part("mlp.0.weight"), width, 4 * width));
            all.push(vector(part("mlp.0.bias"), 4 * width));
            all.push(matrix(part("mlp.2.weight"), 4 * width, width));
            all.push(vector(part("mlp.2.bias"), width));
            for attention in attentions {
                for norm in ["weight", "bias"] {
                    all.push(vector(part(&format!("{attention}_ln.{norm}")), width));
                }
                for projection in ["query", "key", "value", "out"] {
                    let name = |kind: &str| part(&format!("{attention}.{projection}.{kind}"));
                    all.push(matrix(name("weight"), width, width));
                    if projection != "key" {
                        all.push(vector(name("bias"), width));
                    }
                }
            }
        }
    }
    all
}
