//! The path that takes the whole file: import of a recording in Meetily 0.3.0, up to where its
//! model begins.
//!
//! Rewritten from a description of its buffers: what is allocated, how large, and until when it
//! lives. Decoder, resampler, thread pool and their versions are those that it uses. Its speech
//! detector, Silero by ONNX Runtime, comes from a repository and not from a registry; earshot gives
//! the probabilities here, and what is kept of the audio is the same. Whisper itself is left out.

mod decode;
mod resample;
mod split;
mod vad;

use std::hint::black_box;
use std::path::Path;

use crate::Took;
use crate::meter::{Meter, Stage};

/// Segments of fewer samples are not transcribed: 0.1 s.
const SEGMENT_SAMPLES_MIN: usize = 1_600;

const RATE_HZ: f64 = 16_000.0;

/// Decodes, resamples, finds speech, splits, and does what is done with each segment before the
/// model sees it.
pub(crate) fn transcribe(path: &Path, meter: &Meter) -> Took {
    meter.stage(Stage::Decode);
    let decoded = decode::decode(path);
    meter.stage(Stage::Resample);
    // The decoded file lives until this is done.
    let samples = resample::to_whisper_format(&decoded);
    drop(decoded);
    meter.stage(Stage::Vad);
    let audio_s = samples.len() as f64 / RATE_HZ;
    let segments = vad::segments(&samples);
    drop(samples);
    let processable = split::processable(&segments);
    // Both live to the end of the transcription, which takes hours where the file does.
    meter.stage(Stage::Transcribe);
    for segment in &processable {
        if segment.len() >= SEGMENT_SAMPLES_MIN {
            let given = black_box(segment.clone());
            meter.read();
            drop(given);
        }
    }
    let speech: usize = segments.iter().map(Vec::len).sum();
    Took {
        audio_s,
        speech_s: speech as f64 / RATE_HZ,
    }
}
