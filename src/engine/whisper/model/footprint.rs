//! What a model will hold in memory, computed from its dimensions before anything is loaded.
//!
//! Everything here follows from the code of whisper.cpp 1.8.3 and its ggml, for the CPU:
//! `whisper_init_state`, the
//! `whisper_build_graph_*` functions, the graph allocator (ggml-alloc.c) and `ggml_graph_plan` (ggml-cpu.c).
//!
//! # How the compute buffers come about
//!
//! The allocator walks a graph once and gives each result a place, the best-fitting one that is free; a
//! result takes its operand's place where the operation allows it (addition, scaling, softmax; not matrix
//! products, and not where the operand is a reshaped view). The buffer is as large as the farthest end. Of
//! every graph one moment decides:
//!
//! | graph | the moment | bytes |
//! |---|---|---|
//! | conv | bias is added to the first convolution: both results, behind spectrogram and unrolled kernel input | 2 x 2C·S·4 + 2C·M·4 + 2C·3M·2 |
//! | encode | MLP: input, norm, a free place that is too narrow, and the result, four times as wide | 7 x C·S·4 |
//! | encode, whole attention | product of queries and keys, with four results of the layer | C·C·H·4 + 4 x C·S·4 |
//! | cross | one projection | C·S·4 |
//! | decode | logits of every text position, with the last norm and its operand | T·V·4 + 2 x T·S·4 |
//!
//! The process holds what is touched, which is all of it but for the decoder's buffer: it is made for logits
//! of the whole text context, and pieces of 16 tokens touch a 28th.
//!
//! (C audio positions, T text positions, S width, H heads, M mel bands, V tokens.)

use std::sync::LazyLock;

use super::tensors;
use super::{AUDIO_CTX, Dimensions, HEAD_WIDTH, ModelHeader, TEXT_CTX, VOCABULARIES};
use crate::audio::WINDOW_SAMPLES_MAX;
use crate::budget::{Alternative, Footprint};
use crate::ggml::{F16, MATRIX_FORMATS, NumberFormat, weight_bytes};
use crate::models::{self, Model};

/// Positions of the key-value caches are rounded up to this. Source: `GGML_PAD(n, 256)` in
/// `whisper_init_state`.
const CACHE_POSITIONS_STEP: u64 = 256;

/// What describes a graph, for each of the four: room for 4,096 tensors (`WHISPER_MAX_NODES`) of 368 bytes
/// (`ggml_tensor_overhead`) and for the graph itself (`ggml_graph_overhead`).
const GRAPH_META_BYTES: u64 = 4_096 * 368 + GRAPH_BYTES;

/// An empty graph for 2,048 nodes: 2 x 2,048 pointers, a hash table of 4,099 pointers and counts, the rest.
/// Source:
/// `ggml_graph_nbytes`.
const GRAPH_BYTES: u64 = 2 * 2_048 * 8 + 4_099 * (8 + 4) + 520 + 80 + 32;

/// Tokens that are decoded at once at most: prompts go in pieces of this size.
const PIECE_TOKENS: u64 = 16;

/// A token's entries in `token_to_id` and `id_to_token`, as glibc rounds them: 2 x (32 bytes of tree node, 32
/// of string, 4 of number). The 130 spellings that are longer than 15 bytes take 10 KB more.
const TOKEN_BYTES: u64 = 2 * 80;

/// A tensor's description and its entry in the model's table of names.
const TENSOR_BYTES: u64 = 368 + 144;

/// ggml's tables for f16 numbers and activations (`ggml_cpu_init`, 512 KiB), relocated data of the C++
/// library, the rest of the context. Measured: 0.7 MB with the fixture, tiny, base and small.
const CONTEXT_BYTES: u64 = 720_000;

/// What the schedulers and their allocators keep for their own use: tables of 4,096 nodes each, and for
/// every layer of the model the places of its results. Measured with and without flash attention: 0.87 MB
/// (fixture) to 1.37 MB (small); on medium 32 KB per layer left 0.05 % of the plan to spare.
const SCHEDULER_BYTES: u64 = 660_000;
const SCHEDULER_BYTES_PER_LAYER: u64 = 48_000;

/// Of each token of a piece, the decoder's results besides logits: about twelve rows that do not lie where
/// logits lie. Measured: 0.10 MB on the fixture to 0.41 MB on small.
const DECODED_ROWS: u64 = 12;

/// Our side of the engine besides one window and two rows of logits: zlib's state and its text, drafts, lists
/// of tokens.
const OWN_BYTES: u64 = 400_000;

/// Half a frame of the spectrogram, in front of the window and behind it.
const SPECTROGRAM_PAD_SAMPLES: u64 = 200;

impl ModelHeader {
    /// Says what the model will hold in memory on the CPU: with whole attention, which is faster, and with
    /// flash attention, which is smaller.
    ///
    /// `reserved_bytes` are the caches and compute buffers that whisper.cpp announces in its log; beside them it reserves
    /// 93 MB of address space for logits, of which a 28th is touched. `state_bytes` are the memory that
    /// becomes private when windows are padded to 30 s, prompts go in pieces of at most 16 tokens and
    /// `whisper_full` is not used. It is an upper bound on processors whose kernels need no converted
    /// operands (64-bit ARM), and where a GPU does the work.
    #[must_use]
    pub fn footprints(&self) -> [Footprint; 2] {
        let footprints = footprints(&self.dimensions, self.format, self.weight_bytes);
        footprints.map(|footprint| Footprint {
            smaller: ALTERNATIVES.as_slice(),
            ..footprint
        })
    }

    /// Says the same of a published model whose file need not be here.
    #[must_use]
    pub fn footprints_of(model: &Model) -> [Footprint; 2] {
        let (d, format) = published(model);
        footprints(&d, format, weight_bytes(&tensors::expected(&d, format)))
    }
}

fn footprints(d: &Dimensions, format: NumberFormat, weight_bytes: u64) -> [Footprint; 2] {
    let vocabulary = u64::from(d.n_vocab);
    let tensors = 11 + 15 * u64::from(d.n_audio_layer) + 24 * u64::from(d.n_text_layer);
    [false, true].map(|flash_attention| {
        let buffers = Buffers::of(d, flash_attention);
        Footprint {
            model_bytes: weight_bytes
                + vocabulary * TOKEN_BYTES
                + tensors * TENSOR_BYTES
                + CONTEXT_BYTES,
            state_bytes: buffers.private(d)
                + work_bytes(d, format, flash_attention)
                + host_bytes(d)
                + own_bytes(d),
            reserved_bytes: buffers.total(),
            // The spectrogram is made from a copy of the window with as much silence behind it.
            window_bytes: (2 * WINDOW_SAMPLES_MAX as u64 + 2 * SPECTROGRAM_PAD_SAMPLES) * 4,
            flash_attention,
            smaller: &[],
        }
    })
}

/// What whisper.cpp announces when it makes a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Buffers {
    kv_self: u64,
    kv_cross: u64,
    kv_pad: u64,
    conv: u64,
    encode: u64,
    cross: u64,
    decode: u64,
}

impl Buffers {
    fn of(d: &Dimensions, flash_attention: bool) -> Self {
        let [audio, text] = [d.n_audio_ctx, d.n_text_ctx].map(u64::from);
        let [layers, width, heads] =
            [d.n_text_layer, d.n_audio_state, d.n_audio_head].map(u64::from);
        let [mels, vocabulary] = [d.n_mels, d.n_vocab].map(u64::from);
        // Keys and values, two bytes each.
        let cache = |positions: u64, layers: u64| {
            2 * 2 * width * layers * positions.next_multiple_of(CACHE_POSITIONS_STEP)
        };
        let result = audio * width * 4;
        let spectrogram = 2 * audio * mels * 4;
        let unrolled = 2 * audio * 3 * mels * 2;
        // In a narrow model the sum fits into the place of what is no longer needed.
        let first = 2 * result;
        let convolved = if first <= spectrogram + unrolled {
            first
        } else {
            2 * first
        };
        let whole_attention = audio * audio * heads * 4 + 4 * result;
        let attention = if flash_attention { 0 } else { whole_attention };
        Self {
            kv_self: cache(text, layers),
            kv_cross: cache(audio, layers),
            kv_pad: cache(audio, 1),
            conv: GRAPH_META_BYTES + spectrogram + unrolled + convolved,
            encode: GRAPH_META_BYTES + attention.max(7 * result),
            cross: GRAPH_META_BYTES + result,
            decode: GRAPH_META_BYTES + text * vocabulary * 4 + 2 * text * width * 4,
        }
    }

    fn total(&self) -> u64 {
        self.without_decode() + self.decode
    }

    fn without_decode(&self) -> u64 {
        self.kv_self + self.kv_cross + self.kv_pad + self.conv + self.encode + self.cross
    }

    /// What of them is touched. The caches are, because they are filled with zeros.
    fn private(&self, d: &Dimensions) -> u64 {
        let row = u64::from(d.n_vocab) + DECODED_ROWS * u64::from(d.n_text_state);
        self.without_decode() + GRAPH_META_BYTES + PIECE_TOKENS * row * 4
    }
}

/// The largest operand of a matrix product, converted to the format that the product wants: the wide result
/// of a layer's MLP, or whole attention. Source: `GGML_OP_MUL_MAT` in `ggml_graph_plan`; x86 kernels use all
/// of it.
fn work_bytes(d: &Dimensions, format: NumberFormat, flash_attention: bool) -> u64 {
    let [audio, width, heads] = [d.n_audio_ctx, d.n_audio_state, d.n_audio_head].map(u64::from);
    let mlp = format.operand_bytes(audio * 4 * width);
    let attention = F16.operand_bytes(audio * audio * heads);
    if flash_attention {
        mlp
    } else {
        mlp.max(attention)
    }
}

/// What the state holds outside of ggml's buffers.
fn host_bytes(d: &Dimensions) -> u64 {
    let [audio, mels, vocabulary] = [d.n_audio_ctx, d.n_mels, d.n_vocab].map(u64::from);
    // Of the window and the silence behind it, and of the window alone.
    let spectrograms = (4 * audio + 2 * audio) * mels * 4;
    let logits = PIECE_TOKENS * vocabulary * 4;
    let layers = u64::from(d.n_audio_layer + d.n_text_layer);
    spectrograms + logits + SCHEDULER_BYTES + SCHEDULER_BYTES_PER_LAYER * layers
}

/// What our decoding loop holds: a window padded to its full length, two rows of logits.
fn own_bytes(d: &Dimensions) -> u64 {
    (WINDOW_SAMPLES_MAX as u64 + 2 * u64::from(d.n_vocab)) * 4 + OWN_BYTES
}

/// Sizes in which models are published, the most accurate first: heads, layers of the encoder and of the decoder.
const SHAPES: [(&str, u32, u32, u32); 8] = [
    ("large-v3", 20, 32, 32),
    ("large-v3-turbo", 20, 32, 4),
    ("large-v2", 20, 32, 32),
    ("large-v1", 20, 32, 32),
    ("medium", 16, 24, 24),
    ("small", 12, 12, 12),
    ("base", 8, 6, 6),
    ("tiny", 6, 4, 4),
];

/// What to name where the budget is too small, the most accurate first: all that is published but the versions that
/// have been superseded.
static ALTERNATIVES: LazyLock<Vec<Alternative>> = LazyLock::new(|| {
    let is_newest = |name: &str| !matches!(name, "large-v1" | "large-v2");
    let names = SHAPES
        .iter()
        .map(|shape| shape.0)
        .filter(|name| is_newest(name));
    let forms =
        names.flat_map(|name| ["", "-q8_0", "-q5_0", "-q5_1"].map(|form| format!("{name}{form}")));
    let known = forms.filter_map(|name| models::find(&name).ok());
    let held = |model: &'static Model| {
        let [_, flash] = ModelHeader::footprints_of(model);
        Alternative::new(model.name.into(), flash.held_bytes())
    };
    known.map(held).collect()
});

/// Dimensions and number format of a published model. Its name says both.
fn published(model: &Model) -> (Dimensions, NumberFormat) {
    let (shape, format) = match model.name.rsplit_once("-q") {
        Some((shape, _)) => (shape, &model.name[shape.len() + 1..]),
        None => (model.name, F16.name),
    };
    let shape = shape.trim_end_matches(".en");
    let format = MATRIX_FORMATS.iter().find(|known| known.name == format);
    let shape = SHAPES.iter().find(|known| known.0 == shape);
    // A test finds every name here.
    let (_, heads, audio_layers, text_layers) = *shape.unwrap_or(&SHAPES[0]);
    let version = match model.languages() {
        1 => 0,
        99 => 1,
        _ => 2,
    };
    let d = Dimensions {
        n_vocab: VOCABULARIES[version],
        n_audio_ctx: AUDIO_CTX,
        n_audio_state: heads * HEAD_WIDTH,
        n_audio_head: heads,
        n_audio_layer: audio_layers,
        n_text_ctx: TEXT_CTX,
        n_text_state: heads * HEAD_WIDTH,
        n_text_head: heads,
        n_text_layer: text_layers,
        n_mels: if version == 2 { 128 } else { 80 },
    };
    (d, format.copied().unwrap_or(F16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimensions(heads: u32, layers: (u32, u32), version: usize) -> Dimensions {
        Dimensions {
            n_vocab: VOCABULARIES[version],
            n_audio_ctx: AUDIO_CTX,
            n_audio_state: heads * HEAD_WIDTH,
            n_audio_head: heads,
            n_audio_layer: layers.0,
            n_text_ctx: TEXT_CTX,
            n_text_state: heads * HEAD_WIDTH,
            n_text_head: heads,
            n_text_layer: layers.1,
            n_mels: if version == 2 { 128 } else { 80 },
        }
    }

    /// Bytes in hundredths of a megabyte, as whisper.cpp's log has them.
    fn hundredths(bytes: u64) -> u64 {
        (bytes + 5_000) / 10_000
    }

    /// Source: the log of whisper.cpp 1.8.3 for models of these shapes.
    #[test]
    fn buffers_are_those_that_whisper_cpp_announces() {
        // Heads, layers, version; caches self, cross, pad; conv, encode whole and flash, cross, decode.
        let announced = [
            ((2, (4, 3), 0), [79, 236, 79, 553, 2_266, 697, 236, 9_499]),
            (
                (6, (4, 4), 0),
                [315, 944, 236, 1_321, 6_481, 1_772, 389, 9_591],
            ),
            (
                (8, (6, 6), 0),
                [629, 1_887, 315, 1_628, 8_588, 2_309, 466, 9_637],
            ),
            (
                (12, (12, 12), 0),
                [1_887, 5_662, 472, 2_242, 12_802, 3_385, 620, 9_728],
            ),
            (
                (16, (24, 24), 1),
                [5_033, 15_099, 629, 2_857, 17_017, 4_460, 773, 9_820],
            ),
            (
                (20, (32, 32), 2),
                [8_389, 25_166, 786, 3_615, 21_231, 5_535, 927, 9_912],
            ),
            (
                (20, (32, 4), 2),
                [1_049, 3_146, 786, 3_615, 21_231, 5_535, 927, 9_912],
            ),
        ];
        for ((heads, layers, version), sizes) in announced {
            let d = dimensions(heads, layers, version);
            let [whole, flash] = [false, true].map(|flash| Buffers::of(&d, flash));
            let ours = [
                whole.kv_self,
                whole.kv_cross,
                whole.kv_pad,
                whole.conv,
                whole.encode,
                flash.encode,
                whole.cross,
                whole.decode,
            ];
            assert_eq!(
                ours.map(hundredths),
                sizes,
                "{heads} heads, {layers:?} layers"
            );
        }
    }

    #[test]
    fn smaller_models_hold_less() {
        let held = |name: &str| {
            let found = ALTERNATIVES.iter().find(|model| model.name == name);
            found.expect(name).held_bytes / 1_000_000
        };
        assert_eq!(ALTERNATIVES.len(), 17);
        assert_eq!(ALTERNATIVES[0].name, "large-v3");
        let falling = [
            "large-v3",
            "large-v3-q5_0",
            "medium-q8_0",
            "small",
            "small-q5_1",
            "tiny-q5_1",
        ];
        assert!(
            falling.map(held).is_sorted_by(|a, b| a > b),
            "{:?}",
            falling.map(held)
        );
    }

    /// What a file has besides weights is its vocabulary, its mel filters, and names: 0.6 to 0.7 MB.
    #[test]
    fn files_of_published_models_are_as_large_as_their_weights() {
        for model in models::all() {
            let (d, format) = published(model);
            let weights = weight_bytes(&tensors::expected(&d, format));
            let rest = model.bytes - weights;
            assert!((570_000..720_000).contains(&rest), "{}: {rest}", model.name);
            assert!(model.name.contains('-') || format == F16, "{}", model.name);
        }
    }
}
