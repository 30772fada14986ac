//! Every choice and every limit of the pipeline.

use std::time::Duration;

use crate::audio::WINDOW_S_MAX;
use crate::error::ConfigError;
use crate::time::{Span, Time};

/// Shortest window, in seconds. Below it Whisper's accuracy falls off and encoding cost dominates.
pub const WINDOW_S_MIN: f32 = 5.0;

/// Silence shorter than this is part of the speech around it (closures of plosives, short breaths);
/// longer silence is a pause.
pub(crate) const PAUSE_SAMPLES_MIN: usize = 1_920; // 120 ms

/// Samples in one block of the pool: half a second of 16 kHz mono, 32,000 bytes.
///
/// Short enough that the engine rarely waits for a block to fill, long enough that the queues carry
/// two blocks a second and not hundreds.
pub(crate) const BLOCK_SAMPLES: usize = 8_000;

/// Samples behind a window that the detector has scored, so that the length of a pause at its end
/// is known: one second.
pub(crate) const LOOK_AHEAD_SAMPLES: usize = 16_000;

/// Most spans of one kind that a summary lists: 4,096 × 16 bytes. Its sums count all of them.
pub const SPANS_MAX: usize = 4_096;

/// Silence after which previous text no longer belongs to what follows: 10 s.
pub(crate) const SILENCE_ENDS_CONTEXT_SAMPLES: u64 = 160_000;

/// The target of the `tracing` events that log what is decided for each window and why.
pub(crate) const DECISIONS: &str = "steadyscribe::decisions";

/// How the pipeline works. Every field has a default that suits a meeting on a laptop.
///
/// # Examples
///
/// ```
/// use steadyscribe::Config;
///
/// let mut config = Config::default();
/// config.memory_budget_bytes = Some(600_000_000);
/// config.window_s = 20.0;
/// config.validate()?;
/// # Ok::<(), steadyscribe::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Bytes that the whole process may hold privately, or `None` for no limit. With several
    /// transcribers on one engine pool: for all of them together.
    pub memory_budget_bytes: Option<u64>,
    /// Length of a window in seconds, 5 to 30. Shorter windows take less time each and more time
    /// together.
    pub window_s: f32,
    /// Whether the engine is given the text before a window. It keeps the spelling of names
    /// consistent; it can also carry an error on, so a doubtful window is retried without it.
    pub previous_text: bool,
    /// How speech is distinguished from silence.
    pub vad: Vad,
    /// Time without a window after which the engine's working memory is freed, or `None`: never.
    /// The next window takes some milliseconds longer.
    pub release_state_after: Option<Duration>,
    /// Time without a window after which the model's weights are freed as well, or `None`: never.
    /// The next window loads them again.
    pub unload_after: Option<Duration>,
    /// Slots of the pool of decoded audio, 2 to 1,024, half a second each.
    pub pool_blocks: usize,
}

/// Which part of an input is transcribed, and how its segments are marked.
///
/// # Examples
///
/// ```
/// use steadyscribe::{InputOptions, Time};
///
/// let mut options = InputOptions::default();
/// options.start = Time::from_seconds(60.0);
/// options.duration = Some(Time::from_seconds(10.0));
/// options.channel = Some(1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputOptions {
    /// Where the transcript starts on the input's time line.
    pub start: Time,
    /// How much of the input is transcribed, or `None` for all of it.
    pub duration: Option<Time>,
    /// The channel that is transcribed, counted from 0, or `None`: all of them, mixed. Segments are
    /// marked with it. An input without such a channel is silent.
    /// [`Channels`](crate::Channels) transcribes each channel on its own.
    pub channel: Option<u8>,
}

impl InputOptions {
    /// Returns the part of the time line that is transcribed.
    pub(crate) fn span(&self) -> Span {
        let end = match self.duration {
            Some(duration) => self.start + duration,
            None => Time::from_samples(u64::MAX),
        };
        Span::new(self.start, end)
    }
}

/// How speech is distinguished from silence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vad {
    /// The built-in detector (earshot): 8 KB of state, weights inside.
    Auto,
    /// The Silero detector, with the path of its model: a file in whisper.cpp's format such as
    /// `ggml-silero-v6.2.0.bin`. It distinguishes speech from music, which the built-in one does
    /// not, and takes about twenty times as much time: 1 % of one core's.
    #[cfg(feature = "whisper")]
    Silero(std::path::PathBuf),
    /// No detector: windows are cut at full length and nothing is skipped or checked.
    Off,
}

/// Fewest slots of the pool: one that is filled while one is read.
pub const POOL_BLOCKS_MIN: usize = 2;

/// Most slots of the pool: eight and a half minutes of audio, 33 MB.
pub const POOL_BLOCKS_MAX: usize = 1_024;

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_budget_bytes: None,
            window_s: WINDOW_S_MAX,
            previous_text: true,
            vad: Vad::Auto,
            release_state_after: Some(Duration::from_secs(60)),
            unload_after: Some(Duration::from_secs(300)),
            pool_blocks: 16,
        }
    }
}

impl Config {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for the first field that lies outside its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (min, max) = (f64::from(WINDOW_S_MIN), f64::from(WINDOW_S_MAX));
        ConfigError::check_range("window_s (seconds)", f64::from(self.window_s), min, max)?;
        #[expect(clippy::cast_precision_loss, reason = "slot counts are small")]
        let [asked, min, max] =
            [self.pool_blocks, POOL_BLOCKS_MIN, POOL_BLOCKS_MAX].map(|blocks| blocks as f64);
        ConfigError::check_range("pool_blocks", asked, min, max)
    }

    /// Checks the window against the longest one that an engine accepts, in samples.
    pub(crate) fn check_window_within(&self, samples_max: usize) -> Result<(), ConfigError> {
        let max = Time::from_samples(samples_max as u64).seconds();
        let (asked, min) = (f64::from(self.window_s), f64::from(WINDOW_S_MIN));
        ConfigError::check_range("window_s (seconds)", asked, min, max)
    }

    /// Returns the length of a window in samples.
    pub(crate) fn window_samples(&self) -> usize {
        Time::from_seconds(f64::from(self.window_s)).samples_since(Time::ZERO)
    }

    /// Returns the bytes of a window with the audio behind it that the detector looks at.
    pub(crate) fn window_bytes(&self) -> u64 {
        ((self.window_samples() + LOOK_AHEAD_SAMPLES) * size_of::<f32>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_inclusive() {
        for (window_s, fits) in [
            (4.99, false),
            (5.0, true),
            (30.0, true),
            (30.01, false),
            (f32::NAN, false),
        ] {
            let config = Config {
                window_s,
                ..Config::default()
            };
            assert_eq!(config.validate().is_ok(), fits, "{window_s}");
        }
        for (pool_blocks, fits) in [
            (0, false),
            (1, false),
            (2, true),
            (1_024, true),
            (1_025, false),
        ] {
            let config = Config {
                pool_blocks,
                ..Config::default()
            };
            assert_eq!(config.validate().is_ok(), fits, "{pool_blocks}");
        }
    }
}
