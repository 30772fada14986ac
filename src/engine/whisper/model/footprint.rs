//! What a model will hold in memory, computed from its dimensions before anything is loaded.
//!
//! Everything here follows from the code of whisper.cpp 1.8.3 and its ggml, for the CPU:
//! `whisper_init_state`, the `whisper_build_graph_*` functions, the graph allocator (ggml-alloc.c)
//! and `ggml_graph_plan` (ggml-cpu.c).
//!
//! # How large the compute buffers are
//!
//! The allocator walks a graph once and gives each result the best-fitting free place. A result
//! takes its operand's place where the operation allows it: addition, scaling and softmax do;
//! matrix products do not, nor operations on a reshaped view. The buffer is as large as the
//! farthest end. One moment of each graph decides:
//!
//! | graph | bytes | the moment |
//! |---|---|---|
//! | conv | 2 x 2C·S·4 + 2C·M·4 + 2C·3M·2 | first convolution, its sum, spectrogram, kernels |
//! | encode | 7 x C·S·4 | MLP: input, norm, a place too narrow, the result of 4 times the width |
//! | full attention | C·C·H·4 + 4 x C·S·4 | product of queries and keys, 4 results of the layer |
//! | cross | C·S·4 | one projection |
//! | decode | T·V·4 + 2 x T·S·4 | logits of all text positions, the last norm and its operand |
//!
//! (C audio positions, T text positions, S width, H heads, M mel bands, V tokens.)
//!
//! The process holds what is touched. That is all of every buffer but the decoder's, which has room
//! for logits of the whole text context: pieces of 16 tokens touch a 28th of it.

use super::published::{ALTERNATIVES, published};
use super::tensors;
use super::{Dimensions, FLASH_ATTENTION, FULL_ATTENTION, ModelHeader};
use crate::audio::WINDOW_SAMPLES_MAX;
use crate::budget::{Footprint, Variant};
use crate::engine::whisper::decoder;
use crate::ggml::{F16, NumberFormat, weight_bytes};
use crate::models::Model;

/// Positions of the key-value caches are rounded up to this. Source: `GGML_PAD(n, 256)` in
/// `whisper_init_state`.
const CACHE_POSITIONS_STEP: u64 = 256;

/// The description of each of the four graphs: room for 4,096 tensors (`WHISPER_MAX_NODES`) of 368
/// bytes (`ggml_tensor_overhead`) and for the graph itself (`ggml_graph_overhead`).
const GRAPH_META_BYTES: u64 = 4_096 * 368 + GRAPH_BYTES;

/// An empty graph for 2,048 nodes: 2 x 2,048 pointers, a hash table of 4,099 pointers and counts,
/// the rest. Source: `ggml_graph_nbytes`.
const GRAPH_BYTES: u64 = 2 * 2_048 * 8 + 4_099 * (8 + 4) + 520 + 80 + 32;

/// Most tokens that are decoded at once.
const PIECE_TOKENS: u64 = decoder::PIECE_TOKENS as u64;

/// A token's entries in `token_to_id` and `id_to_token`, as glibc rounds them: 2 x (32 bytes of
/// tree node, 32 of string, 4 of number). The 130 spellings of more than 15 bytes take 10 KB more.
const TOKEN_BYTES: u64 = 2 * 80;

/// A tensor's description and its entry in the model's table of names.
const TENSOR_BYTES: u64 = 368 + 144;

/// ggml's tables for f16 numbers and activations (`ggml_cpu_init`, 512 KiB), relocated data of the
/// C++ library, the rest of the context. Measured: 0.7 MB with the fixture, tiny, base and small.
const CONTEXT_BYTES: u64 = 720_000;

/// What the schedulers and their allocators hold: tables of 4,096 nodes each, and for every layer
/// of the model the places of its results. Measured with and without flash attention: 0.87 MB
/// (fixture) to 1.37 MB (small); on medium 32 KB per layer left 0.05 % of the plan to spare.
const SCHEDULER_BYTES: u64 = 660_000;
const SCHEDULER_BYTES_PER_LAYER: u64 = 48_000;

/// Results of the decoder besides logits, for each token of a piece: about twelve rows that do not
/// lie where logits lie. Measured: 0.10 MB on the fixture to 0.41 MB on small.
const DECODED_ROWS: u64 = 12;

/// The Rust side of a state besides one window and two rows of logits: zlib's state and its text,
/// candidates, lists of tokens.
const OWN_BYTES: u64 = 400_000;

/// Half a frame of the spectrogram, before the window and behind it.
const SPECTROGRAM_PAD_SAMPLES: u64 = 200;

impl ModelHeader {
    /// Returns the ways in which the model can run, with what each will hold on the CPU: with full
    /// attention, which is faster, and with flash attention, which is smaller.
    ///
    /// `state_bytes` is the memory that becomes private when windows are padded to 30 s, prompts
    /// are fed in pieces of at most 16 tokens, and `whisper_full` is not used. It is an upper bound
    /// on processors whose kernels need no converted operands (64-bit ARM), and where a GPU does
    /// the work.
    ///
    /// `reserved_bytes` is the sum of the caches and compute buffers that whisper.cpp reports in
    /// its log. It does not include another 93 MB of address space for logits, of which a 28th is
    /// touched.
    #[must_use]
    pub fn variants(&self) -> [Variant; 2] {
        let mut variants = variants(&self.dimensions, self.format, self.weight_bytes);
        for variant in &mut variants {
            variant.alternatives = ALTERNATIVES.as_slice();
        }
        variants
    }

    /// Returns the same for a published model, whose file need not be there. No alternatives are
    /// named.
    #[must_use]
    pub fn variants_of(model: &Model) -> [Variant; 2] {
        let (d, format) = published(model);
        variants(&d, format, weight_bytes(&tensors::expected(&d, format)))
    }
}

fn variants(d: &Dimensions, format: NumberFormat, weight_bytes: u64) -> [Variant; 2] {
    [(FULL_ATTENTION, false), (FLASH_ATTENTION, true)].map(|(id, flash_attention)| {
        Variant::new(id, footprint(d, format, weight_bytes, flash_attention))
    })
}

fn footprint(
    d: &Dimensions,
    format: NumberFormat,
    weight_bytes: u64,
    flash_attention: bool,
) -> Footprint {
    let vocabulary = u64::from(d.n_vocab);
    let tensors = 11 + 15 * u64::from(d.n_audio_layer) + 24 * u64::from(d.n_text_layer);
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
    }
}

/// The caches and compute buffers that whisper.cpp reports when it makes a state, in bytes.
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
        let full_attention = audio * audio * heads * 4 + 4 * result;
        let attention = if flash_attention { 0 } else { full_attention };
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

    /// Returns how many bytes of them are touched. The caches are, because they are zeroed.
    fn private(&self, d: &Dimensions) -> u64 {
        let row = u64::from(d.n_vocab) + DECODED_ROWS * u64::from(d.n_text_state);
        self.without_decode() + GRAPH_META_BYTES + PIECE_TOKENS * row * 4
    }
}

/// Returns the bytes of the largest operand of a matrix product, converted to the product's format:
/// the wide result of a layer's MLP, or full attention. Source: `GGML_OP_MUL_MAT` in
/// `ggml_graph_plan`; x86 kernels use all of it.
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

/// Returns the bytes that whisper.cpp's state holds outside of ggml's buffers.
fn host_bytes(d: &Dimensions) -> u64 {
    let [audio, mels, vocabulary] = [d.n_audio_ctx, d.n_mels, d.n_vocab].map(u64::from);
    // One of the window and the silence behind it, and one of the window alone.
    let spectrograms = (4 * audio + 2 * audio) * mels * 4;
    let logits = PIECE_TOKENS * vocabulary * 4;
    let layers = u64::from(d.n_audio_layer + d.n_text_layer);
    spectrograms + logits + SCHEDULER_BYTES + SCHEDULER_BYTES_PER_LAYER * layers
}

/// Returns the bytes of our decoding loop: a window padded to its full length, two rows of logits.
fn own_bytes(d: &Dimensions) -> u64 {
    (WINDOW_SAMPLES_MAX as u64 + 2 * u64::from(d.n_vocab)) * 4 + OWN_BYTES
}

#[cfg(test)]
mod tests {
    use super::super::published::shaped;
    use super::*;

    /// Bytes in hundredths of a megabyte, as whisper.cpp's log has them.
    fn hundredths(bytes: u64) -> u64 {
        (bytes + 5_000) / 10_000
    }

    /// Source: the log of whisper.cpp 1.8.3 for models of these shapes.
    #[test]
    fn buffers_are_those_that_whisper_cpp_announces() {
        // Heads, layers, version; caches self, cross, pad; conv, encode with full and with flash
        // attention, cross, decode.
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
            let d = shaped(heads, layers, version);
            let [full, flash] = [false, true].map(|flash| Buffers::of(&d, flash));
            let ours = [
                full.kv_self,
                full.kv_cross,
                full.kv_pad,
                full.conv,
                full.encode,
                flash.encode,
                full.cross,
                full.decode,
            ];
            assert_eq!(
                ours.map(hundredths),
                sizes,
                "{heads} heads, {layers:?} layers"
            );
        }
    }
}
