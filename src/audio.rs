//! The audio format inside the pipeline, the format of decoded audio, and the limits of inputs.

/// Sample rate of everything after the resampler, in Hz: that of Whisper.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Longest window that an engine transcribes at once, in seconds. Source: Whisper's encoder takes
/// 1,500 positions of 20 ms.
pub const WINDOW_S_MAX: f32 = 30.0;

/// Longest window in samples.
pub const WINDOW_SAMPLES_MAX: usize = 30 * SAMPLE_RATE_HZ as usize;

/// Lowest sample rate of input that is accepted, in Hz.
pub const INPUT_RATE_HZ_MIN: u32 = 4_000;

/// Highest sample rate of input that is accepted, in Hz.
pub const INPUT_RATE_HZ_MAX: u32 = 384_000;

/// Most channels of input that are accepted.
pub const INPUT_CHANNELS_MAX: usize = 32;

/// Rate and channel count of decoded audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a plain pair that callers build")]
pub struct Format {
    /// Frames per second, in Hz.
    pub rate_hz: u32,
    /// Number of interleaved channels.
    pub channels: usize,
}
