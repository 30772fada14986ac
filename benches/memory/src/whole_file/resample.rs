//! A whole file as 16 kHz mono.

use rayon::prelude::*;
use rubato::{
    Resampler, SincFixedIn, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use super::decode::Decoded;

const TARGET_HZ: u32 = 16_000;

/// Longer mono audio is cut into chunks that threads work on: five minutes at 48 kHz.
const SINGLE_SHOT_SAMPLES_MAX: usize = 14_400_000;

/// Length of a chunk, in seconds of input.
const CHUNK_S: usize = 60;

/// Chunks overlap by this part of a second.
const OVERLAP_PART: usize = 10;

pub(super) fn to_whisper_format(decoded: &Decoded) -> Vec<f32> {
    let mut mono = if decoded.channels > 1 {
        to_mono(&decoded.samples, decoded.channels)
    } else {
        decoded.samples.clone()
    };
    normalize(&mut mono);
    if decoded.rate_hz == TARGET_HZ {
        return mono;
    }
    let mut out = if mono.len() > SINGLE_SHOT_SAMPLES_MAX {
        in_chunks(&mono, decoded.rate_hz)
    } else {
        resampled(&mono, decoded.rate_hz)
    };
    out.iter_mut()
        .for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
    out
}

/// The mean of the first two channels.
fn to_mono(interleaved: &[f32], channels: usize) -> Vec<f32> {
    let used = channels.min(2);
    let mut mono = Vec::with_capacity(interleaved.len() / channels);
    let frames = interleaved.chunks_exact(channels);
    mono.extend(frames.map(|frame| frame[..used].iter().sum::<f32>() / used as f32));
    mono
}

/// Makes the file's peak 1 if it is above.
fn normalize(mono: &mut [f32]) {
    let finite = mono.iter().filter(|sample| sample.is_finite());
    let peak = finite.fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    let gain = if peak > 1.0 { 1.0 / peak } else { 1.0 };
    for sample in mono {
        *sample = if sample.is_finite() {
            (*sample * gain).clamp(-1.0, 1.0)
        } else {
            0.0
        };
    }
}

fn in_chunks(mono: &[f32], rate_hz: u32) -> Vec<f32> {
    let rate = rate_hz as usize;
    let overlap = rate / OVERLAP_PART;
    let starts: Vec<usize> = (0..mono.len()).step_by(CHUNK_S * rate).collect();
    // All chunks, before the first is merged.
    let chunks: Vec<Vec<f32>> = starts
        .par_iter()
        .map(|start| {
            let end = (start + CHUNK_S * rate + overlap).min(mono.len());
            resampled(&mono[*start..end], rate_hz)
        })
        .collect();
    let expected = mono.len() as f64 * f64::from(TARGET_HZ) / f64::from(rate_hz);
    let mut out: Vec<f32> = Vec::with_capacity(expected as usize + 1);
    let fade = overlap * TARGET_HZ as usize / rate;
    for chunk in chunks {
        let fade = fade.min(out.len()).min(chunk.len());
        let from = out.len() - fade;
        for (n, (old, new)) in out[from..].iter_mut().zip(&chunk).enumerate() {
            let share = n as f32 / fade as f32;
            *old = *old * (1.0 - share) + new * share;
        }
        out.extend_from_slice(&chunk[fade..]);
    }
    out
}

/// Resamples in one call, without flushing.
fn resampled(input: &[f32], rate_hz: u32) -> Vec<f32> {
    let ratio = f64::from(TARGET_HZ) / f64::from(rate_hz);
    let (sinc_len, interpolation) = match ratio {
        r if r >= 2.0 || r <= 0.5 => (512, SincInterpolationType::Cubic),
        r if r >= 1.5 => (384, SincInterpolationType::Cubic),
        r if r > 1.0 => (256, SincInterpolationType::Linear),
        _ => (384, SincInterpolationType::Linear),
    };
    let parameters = SincInterpolationParameters {
        sinc_len,
        f_cutoff: 0.95,
        interpolation,
        oversampling_factor: sinc_len,
        window: WindowFunction::BlackmanHarris2,
    };
    let mut resampler = SincFixedIn::<f32>::new(ratio, 2.0, parameters, input.len(), 1).unwrap();
    let channels = vec![input.to_vec()];
    resampler.process(&channels, None).unwrap().swap_remove(0)
}
