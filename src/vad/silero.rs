//! The Silero detector, run by whisper.cpp in blocks.
//!
//! Silero is a recurrent network: what it says of 32 ms depends on what it heard before. The linked whisper.cpp 1.8.3 forgets that
//! at every call, so each call gets the end of what was judged before as a warm-up, and only the scores of the new block count.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use tracing::dispatcher::{self, Dispatch};
use whisper_rs::{WhisperError, WhisperVadContext, WhisperVadContextParams};

use super::{HOP_SAMPLES, HopDetector, LAG_SAMPLES_MAX};
use crate::ggml::{F16, F32, ModelError, Reader, Tensor, quiet_logs, read_magic, read_tensors};

/// Samples that get one score: 32 ms.
const WINDOW_SAMPLES: usize = 512;

const WINDOW_HOPS: usize = WINDOW_SAMPLES / HOP_SAMPLES;

/// Samples that are judged at once: 0.99 s.
const BLOCK_SAMPLES: usize = 31 * WINDOW_SAMPLES;

/// Samples before a block that the network hears again: 0.99 s, so that it runs at half its speed.
///
/// Source: measured on the four scenes in fixtures/ (620 s of them). Against one call for a whole scene 0.4 to 1.0 % of the decisions
/// at 0.5 differ, with 2 s 0.4 to 0.6 %, with 4 s 0.2 to 0.3 %, without any 7 %; against what was really said (all 840 s) 1 s, 2 s
/// and 4 s are equally good.
const WARM_UP_SAMPLES: usize = 31 * WINDOW_SAMPLES;

/// Score from which a hop counts as speech. Silero's own 0.5 comes up to 0.24 s late where an utterance begins softly, which is more
/// than the windows' lead: such utterances were lost.
///
/// Source: the same 840 s. At 0.5 the spans hold 97.9 to 99.1 % of the speech and 1 to 13 % of the silence (43 % of the monologue's
/// short pauses); at 0.2 they hold 99.2 to 99.8 % and 1 to 20 % (53 %) and begin at most 0.09 s late. Room tone scores 0.14 at most.
const SPEECH_SCORE: f32 = 0.2;

const _: () = assert!(BLOCK_SAMPLES <= LAG_SAMPLES_MAX);

/// What a file of this kind is called.
const EXAMPLE: &str = "ggml-silero-v6.2.0.bin";

/// The kind of model, as it stands behind the magic number.
const KIND: &[u8; 10] = b"silero-16k";

/// What stands behind the version, in order. whisper.cpp's graph has all of it built in.
const DIMENSIONS: [(&str, u32); 19] = [
    ("n_window", 512),
    ("n_context", 64),
    ("n_encoder_layers", 4),
    ("encoder_in_channels[0]", 129),
    ("encoder_out_channels[0]", 128),
    ("kernel_sizes[0]", 3),
    ("encoder_in_channels[1]", 128),
    ("encoder_out_channels[1]", 64),
    ("kernel_sizes[1]", 3),
    ("encoder_in_channels[2]", 64),
    ("encoder_out_channels[2]", 64),
    ("kernel_sizes[2]", 3),
    ("encoder_in_channels[3]", 64),
    ("encoder_out_channels[3]", 128),
    ("kernel_sizes[3]", 3),
    ("lstm_input_size", 128),
    ("lstm_hidden_size", 128),
    ("final_conv_in", 128),
    ("final_conv_out", 1),
];

/// The Silero detector.
pub(super) struct Silero {
    network: WhisperVadContext,
    /// The warm-up, and behind it what has no score yet.
    heard: Box<[f32]>,
    filled: usize,
    /// Samples of the warm-up.
    judged: usize,
    /// Scores of a block's hops.
    scores: [f32; BLOCK_SAMPLES / HOP_SAMPLES],
    has_warned: bool,
}

impl Silero {
    /// Checks the model file and loads it.
    pub(super) fn load(path: &Path) -> Result<Self, ModelError> {
        check(path)?;
        let name = path.to_str().ok_or_else(|| ModelError::Unreadable {
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "its path is not valid UTF-8"),
        })?;
        quiet_logs();
        let mut parameters = WhisperVadContextParams::default();
        // The network is so small that a second thread costs more than it gains.
        parameters.set_n_threads(1);
        let network =
            WhisperVadContext::new(name, parameters).map_err(|source| ModelError::Refused {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            network,
            heard: vec![0.0; WARM_UP_SAMPLES + BLOCK_SAMPLES].into_boxed_slice(),
            filled: 0,
            judged: 0,
            scores: [0.0; BLOCK_SAMPLES / HOP_SAMPLES],
            has_warned: false,
        })
    }

    /// Gives every hop that has no score one, and keeps the end of what was heard as warm-up of the next block.
    fn judge(&mut self) -> &[f32] {
        let hops = (self.filled - self.judged) / HOP_SAMPLES;
        let scores = &mut self.scores[..hops];
        if let Err(error) = score(
            &mut self.network,
            &self.heard[..self.filled],
            self.judged,
            scores,
        ) {
            // Speech that is taken for silence would be lost.
            scores.fill(1.0);
            if !self.has_warned {
                tracing::warn!(%error, "the speech detector failed: what it could not judge counts as speech");
                self.has_warned = true;
            }
        }
        let kept = self.filled.min(WARM_UP_SAMPLES);
        self.heard.copy_within(self.filled - kept..self.filled, 0);
        (self.filled, self.judged) = (kept, kept);
        &self.scores[..hops]
    }
}

/// Runs the network over `heard`, and writes the scores of all hops from the sample `judged` on.
fn score(
    network: &mut WhisperVadContext,
    heard: &[f32],
    judged: usize,
    scores: &mut [f32],
) -> Result<(), WhisperError> {
    // whisper.cpp says four lines at level info in each call, that is in each second.
    dispatcher::with_default(&Dispatch::none(), || network.detect_speech(heard))?;
    let found = network
        .probabilities()
        .get(judged / WINDOW_SAMPLES..)
        .unwrap_or_default();
    let hops = scores.chunks_mut(WINDOW_HOPS);
    // Damaged weights make it say what is no number.
    if found.len() != hops.len() || !found.iter().all(|score| score.is_finite()) {
        return Err(WhisperError::GenericError(-1));
    }
    for (hops, score) in hops.zip(found) {
        hops.fill(*score);
    }
    Ok(())
}

impl HopDetector for Silero {
    fn hear(&mut self, hop: &[f32; HOP_SAMPLES]) -> &[f32] {
        self.heard[self.filled..][..HOP_SAMPLES].copy_from_slice(hop);
        self.filled += HOP_SAMPLES;
        if self.filled - self.judged < BLOCK_SAMPLES {
            return &[];
        }
        self.judge()
    }

    fn finish(&mut self) -> &[f32] {
        if self.filled == self.judged {
            return &[];
        }
        let hops = self.judge().len();
        self.reset();
        &self.scores[..hops]
    }

    fn reset(&mut self) {
        (self.filled, self.judged) = (0, 0);
    }

    fn speech_score(&self) -> f32 {
        SPEECH_SCORE
    }
}

/// Checks a model file: whisper.cpp trusts it, and ends the process where it is wrong.
///
/// Source: whisper.cpp 1.8.3, `whisper_vad_init_with_params` in src/whisper.cpp.
fn check(path: &Path) -> Result<(), ModelError> {
    let mut file = Reader::open(path, EXAMPLE)?;
    read_magic(&mut file)?;
    let other = "is a model for another purpose";
    if usize::try_from(file.number()?) != Ok(KIND.len()) || file.bytes()? != *KIND {
        return Err(file.not_a_model(other));
    }
    let _version: [u8; 12] = file.bytes()?;
    for (what, must) in DIMENSIONS {
        file.dimension(what, |n| n == must, &must.to_string())?;
    }
    read_tensors(&mut file, tensors())?;
    Ok(())
}

/// Every tensor that the model has, by name.
fn tensors() -> HashMap<String, Tensor> {
    let tensor =
        |name: &str, extents, format| (format!("_model.{name}"), Tensor { extents, format });
    let vector = |n| [n, 1, 1, 1];
    let mut tensors = HashMap::from([
        tensor("stft.forward_basis_buffer", [256, 1, 258, 1], F16),
        tensor("decoder.rnn.weight_ih", [128, 512, 1, 1], F32),
        tensor("decoder.rnn.weight_hh", [128, 512, 1, 1], F32),
        tensor("decoder.rnn.bias_ih", vector(512), F32),
        tensor("decoder.rnn.bias_hh", vector(512), F32),
        tensor("decoder.decoder.2.weight", vector(128), F16),
        tensor("decoder.decoder.2.bias", vector(1), F32),
    ]);
    for (layer, (inputs, outputs)) in [(129, 128), (128, 64), (64, 64), (64, 128)]
        .into_iter()
        .enumerate()
    {
        let name = format!("encoder.{layer}.reparam_conv");
        tensors.extend([
            tensor(&format!("{name}.weight"), [3, inputs, outputs, 1], F16),
            tensor(&format!("{name}.bias"), vector(outputs), F32),
        ]);
    }
    tensors
}
