//! The Silero detector, which whisper.cpp runs in blocks.
//!
//! Silero is a recurrent network: its score of 32 ms depends on the audio before them. The linked
//! whisper.cpp 1.8.3 discards that state at every call, so each call gets the end of the audio that
//! has scores as a warm-up, and only the scores of the new block count.

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

/// Samples that are scored at once: 0.99 s.
const BLOCK_SAMPLES: usize = 31 * WINDOW_SAMPLES;

/// Samples before a block that the network runs over again: 0.99 s, which halves its speed.
///
/// Source: measured on 620 s of the four scenes in fixtures/. Against one call for a whole scene,
/// 0.4 to 1.0 % of the decisions at 0.5 differ, with 2 s 0.4 to 0.6 %, with 4 s 0.2 to 0.3 %, with
/// none 7 %. Against what is really said (all 840 s), 1 s, 2 s and 4 s are equally good.
const WARM_UP_SAMPLES: usize = 31 * WINDOW_SAMPLES;

/// Score from which a hop counts as speech. Silero's own 0.5 comes up to 0.24 s late where an
/// utterance begins softly. That is more than the windows' lead, so such utterances were lost.
///
/// Source: the same 840 s. At 0.5 the spans hold 97.9 to 99.1 % of the speech and 1 to 13 % of the
/// silence (43 % of the monologue's short pauses); at 0.2 they hold 99.2 to 99.8 % and 1 to 20 %
/// (53 %) and begin at most 0.09 s late. Room tone scores at most 0.14.
const SPEECH_SCORE: f32 = 0.2;

const _: () = assert!(BLOCK_SAMPLES <= LAG_SAMPLES_MAX);

/// Name of a file of this kind, for error messages.
const EXAMPLE: &str = "ggml-silero-v6.2.0.bin";

/// The kind of model, which follows the magic number.
const KIND: &[u8; 10] = b"silero-16k";

/// The dimensions that follow the version, in order. whisper.cpp's graph has all of them built in.
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
    /// The warm-up, and behind it the samples that have no score yet.
    audio: Box<[f32]>,
    filled: usize,
    /// Samples of the warm-up.
    scored: usize,
    /// Scores of a block's hops.
    scores: [f32; BLOCK_SAMPLES / HOP_SAMPLES],
    has_warned: bool,
    identity: String,
}

impl Silero {
    /// Checks the model file and loads it.
    pub(super) fn load(path: &Path) -> Result<Self, ModelError> {
        let identity = check(path)?;
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
                source: Box::new(source),
            })?;
        Ok(Self {
            network,
            audio: vec![0.0; WARM_UP_SAMPLES + BLOCK_SAMPLES].into_boxed_slice(),
            filled: 0,
            scored: 0,
            scores: [0.0; BLOCK_SAMPLES / HOP_SAMPLES],
            has_warned: false,
            identity,
        })
    }

    /// Scores every hop that has no score, and keeps the end of the audio as the warm-up of the
    /// next block.
    fn score_block(&mut self) -> &[f32] {
        let hops = (self.filled - self.scored) / HOP_SAMPLES;
        let scores = &mut self.scores[..hops];
        let audio = &self.audio[..self.filled];
        if let Err(error) = run(&mut self.network, audio, self.scored, scores) {
            // Speech that counts as silence would be lost.
            scores.fill(1.0);
            if !self.has_warned {
                tracing::warn!(
                    %error,
                    "the speech detector failed; audio that it cannot score counts as speech"
                );
                self.has_warned = true;
            }
        }
        let kept = self.filled.min(WARM_UP_SAMPLES);
        self.audio.copy_within(self.filled - kept..self.filled, 0);
        (self.filled, self.scored) = (kept, kept);
        &self.scores[..hops]
    }
}

/// Runs the network over `audio`, and writes the scores of all hops from the sample `scored` on.
fn run(
    network: &mut WhisperVadContext,
    audio: &[f32],
    scored: usize,
    scores: &mut [f32],
) -> Result<(), WhisperError> {
    // whisper.cpp logs four lines at level info in each call, that is in each second.
    dispatcher::with_default(&Dispatch::none(), || network.detect_speech(audio))?;
    let found = network
        .probabilities()
        .get(scored / WINDOW_SAMPLES..)
        .unwrap_or_default();
    let hops = scores.chunks_mut(WINDOW_HOPS);
    // Damaged weights give scores that are no numbers.
    if found.len() != hops.len() || !found.iter().all(|score| score.is_finite()) {
        return Err(WhisperError::GenericError(-1));
    }
    for (hops, score) in hops.zip(found) {
        hops.fill(*score);
    }
    Ok(())
}

impl HopDetector for Silero {
    fn score(&mut self, hop: &[f32; HOP_SAMPLES]) -> &[f32] {
        self.audio[self.filled..][..HOP_SAMPLES].copy_from_slice(hop);
        self.filled += HOP_SAMPLES;
        if self.filled - self.scored < BLOCK_SAMPLES {
            return &[];
        }
        self.score_block()
    }

    fn finish(&mut self) -> &[f32] {
        if self.filled == self.scored {
            return &[];
        }
        let hops = self.score_block().len();
        self.reset();
        &self.scores[..hops]
    }

    fn reset(&mut self) {
        (self.filled, self.scored) = (0, 0);
    }

    fn speech_score(&self) -> f32 {
        SPEECH_SCORE
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }
}

/// Checks a model file, which whisper.cpp trusts: it ends the process where the file is wrong.
/// Returns what distinguishes the model from others: its size, and a hash of everything but most of
/// the weights.
///
/// Source: whisper.cpp 1.8.3, `whisper_vad_init_with_params` in src/whisper.cpp.
fn check(path: &Path) -> Result<String, ModelError> {
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
    Ok(format!("silero {:x}-{:016x}", file.len(), file.hash()))
}

/// Returns every tensor of the model, by name.
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
