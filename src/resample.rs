//! Converts any rate and any number of channels to 16 kHz mono.
//!
//! Channels are averaged first, which costs 2.4 times less than resampling each and gives the same
//! result, because both are linear. Then rubato's FFT resampler converts blocks of 20 ms: −0.95 dB
//! at 7.8 kHz, aliases below −143 dB, 6,500 times real time at 48 kHz. Its delay is cut and its end
//! is flushed, so that frame n of the input becomes sample n · 16000 / rate, and none is missing.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _, WindowFunction};

use crate::audio::{Format, SAMPLE_RATE_HZ};

/// Resamples a stream whose format may change.
///
/// The output of each stretch of equal format has ⌈frames · 16000 / rate⌉ samples. Samples that are
/// not finite become 0. The output is clamped to −1.0..=1.0, because a steep filter overshoots the
/// peaks of a loud recording by up to 20 percent, and the speech detector accepts nothing above 1.
///
/// # Memory
///
/// 60 KB for an input of 48 kHz, 0.4 MB for 384 kHz, allocated at the start of a stretch; nothing
/// per push. A rate without a common factor with 16,000 needs a filter of one second: 3 MB for
/// 47,999 Hz, 24 MB for 191,999 Hz. No device is known to have such a rate.
///
/// # Examples
///
/// ```
/// use steadyscribe::audio::Format;
/// use steadyscribe::internals::Resampler;
///
/// let mut resampler = Resampler::new();
/// let mut out = Vec::new();
/// resampler.push(Format { rate_hz: 48_000, channels: 2 }, &[0.25; 2 * 4_801], &mut |samples| {
///     out.extend_from_slice(samples);
/// });
/// resampler.finish(&mut |samples| out.extend_from_slice(samples));
/// assert_eq!(out.len(), 1_601);
/// ```
#[derive(Debug, Default)]
pub struct Resampler {
    /// The channel to keep, or `None` for the average of all.
    channel: Option<usize>,
    stretch: Option<Stretch>,
}

impl Resampler {
    /// Makes a resampler that averages all channels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a resampler that keeps one channel, counted from 0. The output is silent while the
    /// input has no such channel.
    #[must_use]
    pub(crate) fn of_channel(channel: usize) -> Self {
        Self {
            channel: Some(channel),
            stretch: None,
        }
    }

    /// Resamples whole frames, and calls `out` with each piece of the output that is ready.
    ///
    /// A new format ends the stretch before it: the last samples of that stretch come first.
    ///
    /// # Panics
    ///
    /// When the rate or the number of channels is zero. The decoder returns neither.
    pub fn push(&mut self, format: Format, interleaved: &[f32], out: &mut dyn FnMut(&[f32])) {
        if self
            .stretch
            .as_ref()
            .is_none_or(|stretch| stretch.format != format)
        {
            self.finish(out);
            self.stretch = Some(Stretch::new(format));
        }
        if let Some(stretch) = &mut self.stretch {
            stretch.push(interleaved, self.channel, out);
        }
    }

    /// Ends the stretch: calls `out` with the samples that were waiting for more input. The next
    /// push starts a new stretch.
    pub fn finish(&mut self, out: &mut dyn FnMut(&[f32])) {
        if let Some(mut stretch) = self.stretch.take() {
            stretch.finish(out);
        }
    }
}

/// Consecutive frames of equal format.
#[derive(Debug)]
struct Stretch {
    format: Format,
    /// Mono frames that do not fill a block yet.
    block: Vec<f32>,
    /// Frames in a block.
    block_len: usize,
    /// Absent if the input has the output's rate.
    filter: Option<Filter>,
}

impl Stretch {
    fn new(format: Format) -> Self {
        assert!(
            format.rate_hz > 0 && format.channels > 0,
            "the format {format:?} has no rate or no channels"
        );
        let filter = (format.rate_hz != SAMPLE_RATE_HZ).then(|| Filter::new(format.rate_hz));
        let block_len = filter
            .as_ref()
            .map_or(PASSED_FRAMES, |f| f.inner.input_frames_next());
        Self {
            format,
            block: Vec::with_capacity(block_len),
            block_len,
            filter,
        }
    }

    fn push(&mut self, interleaved: &[f32], channel: Option<usize>, out: &mut dyn FnMut(&[f32])) {
        let channels = self.format.channels;
        let mut rest = interleaved;
        while !rest.is_empty() {
            let free = (self.block_len - self.block.len()) * channels;
            let (now, later) = rest.split_at(free.min(rest.len()));
            match channel {
                Some(channel) => pick(now, channels, channel, &mut self.block),
                None => mix(now, channels, &mut self.block),
            }
            rest = later;
            if self.block.len() == self.block_len {
                self.flush_block(out);
            }
        }
    }

    fn flush_block(&mut self, out: &mut dyn FnMut(&[f32])) {
        match &mut self.filter {
            Some(filter) => filter.push(&mut self.block, out),
            None => {
                self.block
                    .iter_mut()
                    .for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
                out(&self.block);
            }
        }
        self.block.clear();
    }

    fn finish(&mut self, out: &mut dyn FnMut(&[f32])) {
        if !self.block.is_empty() {
            self.flush_block(out);
        }
        if let Some(filter) = &mut self.filter {
            filter.finish(&mut self.block, out);
        }
    }
}

/// Frames in a block of input that has the output's rate: 20 ms.
const PASSED_FRAMES: usize = 320;

/// Samples are clamped to this magnitude, 30 dB above full scale: the filter panics on sums that
/// are not finite.
const LEVEL_MAX: f32 = 32.0;

/// Appends the average of the channels of whole frames to `mono`.
fn mix(interleaved: &[f32], channels: usize, mono: &mut Vec<f32>) {
    // Most files have one or two. With a constant count the compiler adds eight frames at a time.
    match channels {
        1 => mono.extend(interleaved.iter().copied().map(sane)),
        2 => {
            let (frames, _) = interleaved.as_chunks::<2>();
            mono.extend(
                frames
                    .iter()
                    .map(|&[left, right]| (sane(left) + sane(right)) * 0.5),
            );
        }
        _ => {
            #[expect(clippy::cast_precision_loss, reason = "channels are few")]
            let share = 1.0 / channels as f32;
            let frames = interleaved.chunks_exact(channels);
            mono.extend(frames.map(|frame| frame.iter().copied().map(sane).sum::<f32>() * share));
        }
    }
}

/// Copies one channel of whole frames to `mono`.
fn pick(interleaved: &[f32], channels: usize, channel: usize, mono: &mut Vec<f32>) {
    let frames = interleaved.chunks_exact(channels);
    mono.extend(frames.map(|frame| frame.get(channel).map_or(0.0, |sample| sane(*sample))));
}

/// Returns the sample, clamped to what the filter accepts.
fn sane(sample: f32) -> f32 {
    if sample.is_finite() {
        sample.clamp(-LEVEL_MAX, LEVEL_MAX)
    } else {
        0.0
    }
}

/// The rate converter. It cuts the filter's delay and keeps the exact length.
struct Filter {
    inner: Fft<f32>,
    rate_hz: u64,
    out: Vec<f32>,
    /// Output samples that are still to be cut as delay.
    delay: usize,
    taken: u64,
    given: u64,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            rate_hz,
            taken,
            given,
            ..
        } = self;
        f.debug_struct("Filter")
            .field("rate_hz", rate_hz)
            .field("taken", taken)
            .field("given", given)
            .finish_non_exhaustive()
    }
}

/// Returns how many frames of input are converted at once: 20 ms, as nearly as the common factor of
/// the rates allows. FFT sizes need small factors: 960 to 320 frames is five times faster than 2049
/// to 683.
fn block_frames(rate_hz: usize, target_hz: usize) -> usize {
    let (mut unit, mut rest) = (rate_hz, target_hz);
    while rest > 0 {
        (unit, rest) = (rest, unit % rest);
    }
    let unit = rate_hz / unit;
    let block = (rate_hz / 50).div_ceil(unit) * unit;
    // The delay is half a block and is cut in whole frames, so an even block is exact. A longer
    // block is worth that half frame only if it stays short.
    if block % 2 == 1 && block < rate_hz / 10 {
        block + unit
    } else {
        block
    }
}

impl Filter {
    fn new(rate_hz: u32) -> Self {
        let rate = rate_hz as usize;
        let target = SAMPLE_RATE_HZ as usize;
        let block = block_frames(rate, target);
        let window = WindowFunction::Hann2;
        let inner = Fft::new_custom(rate, target, block, 1, 1, window, FixedSync::Both)
            .unwrap_or_else(|error| panic!("{rate} Hz to {target} Hz: {error}"));
        Self {
            out: vec![0.0; inner.output_frames_max()],
            delay: inner.output_delay(),
            inner,
            rate_hz: u64::from(rate_hz),
            taken: 0,
            given: 0,
        }
    }

    /// Converts a block. Only the last one may be shorter than a whole block.
    fn push(&mut self, block: &mut Vec<f32>, out: &mut dyn FnMut(&[f32])) {
        self.taken += block.len() as u64;
        self.convert(block, out);
    }

    /// Pushes silence until every sample of the input is converted.
    fn finish(&mut self, block: &mut Vec<f32>, out: &mut dyn FnMut(&[f32])) {
        let due = (self.taken * u64::from(SAMPLE_RATE_HZ)).div_ceil(self.rate_hz);
        while self.given < due {
            block.clear();
            self.convert(block, out);
        }
    }

    fn convert(&mut self, block: &mut Vec<f32>, out: &mut dyn FnMut(&[f32])) {
        let len = self.inner.input_frames_next();
        let indexing = Indexing {
            partial_len: Some(block.len()),
            ..Indexing::default()
        };
        block.resize(len, 0.0);
        let room = self.out.len();
        let converted = InterleavedSlice::new(block, 1, len)
            .and_then(|input| Ok((input, InterleavedSlice::new_mut(&mut self.out, 1, room)?)))
            .map(|(input, mut output)| {
                self.inner
                    .process_into_buffer(&input, &mut output, Some(&indexing))
            });
        let Ok(Ok((_, written))) = converted else {
            unreachable!("both buffers have the sizes that the converter requires")
        };
        let skip = self.delay.min(written);
        self.delay -= skip;
        let due = (self.taken * u64::from(SAMPLE_RATE_HZ)).div_ceil(self.rate_hz);
        let left = usize::try_from(due - self.given).unwrap_or(usize::MAX);
        let end = written.min(skip.saturating_add(left));
        let ready = &mut self.out[skip..end];
        ready
            .iter_mut()
            .for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        self.given += ready.len() as u64;
        if !ready.is_empty() {
            out(ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use proptest::prelude::*;

    use super::*;

    fn resampled(format: Format, interleaved: &[f32], piece_frames: usize) -> Vec<f32> {
        let mut resampler = Resampler::new();
        let mut out = Vec::new();
        for piece in interleaved.chunks(piece_frames * format.channels) {
            resampler.push(format, piece, &mut |samples| out.extend_from_slice(samples));
        }
        resampler.finish(&mut |samples| out.extend_from_slice(samples));
        out
    }

    #[expect(clippy::cast_possible_truncation, reason = "samples")]
    fn tone(hz: f64, rate_hz: u32, frames: usize) -> Vec<f32> {
        let sample =
            |n: usize| (0.5 * (2.0 * PI * hz * n as f64 / f64::from(rate_hz)).sin()) as f32;
        (0..frames).map(sample).collect()
    }

    /// Level relative to a tone of half amplitude, in dB, away from both ends.
    fn level_db(samples: &[f32]) -> f64 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let power: f64 = middle.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        10.0 * (power / middle.len() as f64 / 0.125).log10()
    }

    #[test]
    fn tone_keeps_its_time_and_level() {
        for rate_hz in [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000] {
            let frames = rate_hz as usize * 2;
            let format = Format {
                rate_hz,
                channels: 1,
            };
            let out = resampled(format, &tone(1_000.0, rate_hz, frames), 1_000);
            let expected = tone(1_000.0, SAMPLE_RATE_HZ, out.len());
            // No filter leaves the ends of a cut tone unchanged.
            let error = (500..out.len() - 500)
                .map(|n| (out[n] - expected[n]).abs())
                .fold(0.0, f32::max);
            assert!(error < 0.000_3, "{rate_hz} Hz: {error}");
        }
    }

    #[test]
    fn speech_band_passes_and_aliases_do_not() {
        for rate_hz in [44_100, 48_000, 96_000] {
            let level = |hz| {
                let input = tone(hz, rate_hz, rate_hz as usize * 2);
                level_db(&resampled(
                    Format {
                        rate_hz,
                        channels: 1,
                    },
                    &input,
                    1_152,
                ))
            };
            for hz in [100.0, 1_000.0, 4_000.0, 7_000.0, 7_400.0] {
                assert!(
                    level(hz).abs() < 0.1,
                    "{rate_hz} Hz: {hz} Hz at {} dB",
                    level(hz)
                );
            }
            assert!(level(7_800.0) > -1.5, "{} dB", level(7_800.0));
            for hz in [8_200.0, 9_000.0, 12_000.0, 20_000.0] {
                assert!(
                    level(hz) < -90.0,
                    "{rate_hz} Hz: {hz} Hz at {} dB",
                    level(hz)
                );
            }
        }
    }

    #[test]
    fn input_at_16_khz_is_unchanged() {
        let format = Format {
            rate_hz: 16_000,
            channels: 1,
        };
        let input = tone(440.0, 16_000, 5_001);
        assert_eq!(resampled(format, &input, 77), input);
    }

    #[test]
    fn channels_are_averaged() {
        let format = Format {
            rate_hz: 16_000,
            channels: 4,
        };
        let out = resampled(format, &[1.0, 0.5, 0.0, -0.5].repeat(1_000), 13);
        assert_eq!(out, vec![0.25; 1_000]);
    }

    #[test]
    fn output_is_finite_and_within_bounds() {
        let odd = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            9.0,
            -9.0,
            f32::MAX,
            f32::MIN,
            0.1,
        ];
        for rate_hz in [16_000, 48_000] {
            let out = resampled(
                Format {
                    rate_hz,
                    channels: 1,
                },
                &odd.repeat(2_000),
                100,
            );
            assert!(
                out.iter().all(|sample| (-1.0..=1.0).contains(sample)),
                "{rate_hz} Hz"
            );
        }
        let zero = resampled(
            Format {
                rate_hz: 16_000,
                channels: 1,
            },
            &odd[..3],
            1,
        );
        assert_eq!(zero, [0.0; 3]);
    }

    #[test]
    fn new_format_ends_the_stretch_before() {
        let mut resampler = Resampler::new();
        let mut out = Vec::new();
        for (rate_hz, channels, frames) in [(48_000, 2, 4_801), (44_100, 1, 441), (16_000, 3, 7)] {
            let format = Format { rate_hz, channels };
            let input = vec![0.5; frames * channels];
            resampler.push(format, &input, &mut |samples| {
                out.extend_from_slice(samples)
            });
        }
        assert_eq!(out.len(), 1_601 + 160);
        resampler.finish(&mut |samples| out.extend_from_slice(samples));
        assert_eq!(out.len(), 1_601 + 160 + 7);
        // A second end has no samples left.
        resampler.finish(&mut |_| panic!("there is no more"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Whatever the pieces, a stretch has the same ⌈frames · 16000 / rate⌉ samples.
        #[test]
        fn pieces_make_no_difference(
            rate_hz in prop::sample::select(vec![8_000, 11_025, 16_000, 44_100, 48_000, 96_000]),
            channels in 1_usize..4,
            frames in 0_usize..6_000,
            piece in 1_usize..3_000,
        ) {
            let format = Format { rate_hz, channels };
            let input = tone(700.0, rate_hz, frames * channels);
            let out = resampled(format, &input, piece);
            prop_assert_eq!(out.len(), (frames * 16_000).div_ceil(rate_hz as usize));
            prop_assert!(out == resampled(format, &input, frames.max(1)));
        }
    }
}
