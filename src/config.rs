//! Every choice and every limit of the pipeline.

use std::time::Duration;

use crate::error::ConfigError;
use crate::time::Time;

/// Shortest window, in seconds. Below it Whisper's accuracy falls off and encoding cost dominates.
pub const WINDOW_S_MIN: f32 = 5.0;

/// Silence shorter than this is part of the speech around it (closures of plosives, short breaths); longer silence is a pause.
pub(crate) const PAUSE_SAMPLES_MIN: usize = 1_920; // 120 ms

/// Samples in one block of the pool: half a second of 16 kHz mono, 32,000 bytes.
///
/// Short enough that the engine is not kept waiting for a block to fill, long enough that the queues carry two blocks a
/// second and not hundreds.
pub(crate) const BLOCK_SAMPLES: usize = 8_000;

/// Samples behind a window that are looked at, so that the length of a pause at its end is known: one second.
pub(crate) const LOOK_AHEAD_SAMPLES: usize = 16_000;

/// Most spans of one kind that a summary lists: 4,096 × 16 bytes. Its sums count all of them.
pub const SPANS_MAX: usize = 4_096;

/// The target of the events of `tracing` that say what is decided for each window and why.
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
    /// Bytes that the whole process may hold privately, or `None` for no limit.
    pub memory_budget_bytes: Option<u64>,
    /// Length of a window in seconds, 5 to 30. Shorter windows take less time each and more time together.
    pub window_s: f32,
    /// Whether the engine is given the text before a window. It keeps names and spelling alike; it can also carry an
    /// error on, against which a doubtful window is decoded again without it.
    pub previous_text: bool,
    /// How speech is told from silence.
    pub vad: Vad,
    /// The channel of the input that is transcribed, counted from 0, or `None`: all of them, mixed. Segments are marked with it.
    /// Where the input has no such channel it is silent. [`Channels`](crate::Channels) transcribes each on its own. A live input has
    /// [`LiveOptions::channel`](crate::LiveOptions::channel) instead.
    pub channel: Option<u8>,
    /// Where the transcript starts on the input's time line.
    pub start: Time,
    /// How much of the input is transcribed, or `None` for all of it.
    pub duration: Option<Time>,
    /// After how long without work the engine's working memory is given back, or `None`: never. The next window takes some
    /// milliseconds longer.
    pub release_state_after: Option<Duration>,
    /// After how long without work the model's weights are given back as well, or `None`: never. The next transcription loads
    /// them again.
    pub unload_after: Option<Duration>,
    /// Slots of the pool of decoded audio, 2 to 1,024, half a second each.
    pub pool_blocks: usize,
}

/// How speech is told from silence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vad {
    /// The built-in detector (earshot): 8 KB of state, weights inside.
    Auto,
    /// The Silero detector, with the path of its model: a file in whisper.cpp's format such as `ggml-silero-v6.2.0.bin`. It tells
    /// speech from music, which the built-in one does not, and takes about twenty times as much time: 1 % of one core's.
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
            window_s: crate::audio::WINDOW_S_MAX,
            previous_text: true,
            vad: Vad::Auto,
            channel: None,
            start: Time::ZERO,
            duration: None,
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
        let window_max = f64::from(crate::audio::WINDOW_S_MAX);
        ConfigError::check_range(
            "window_s (seconds)",
            f64::from(self.window_s),
            f64::from(WINDOW_S_MIN),
            window_max,
        )?;
        #[expect(clippy::cast_precision_loss, reason = "slot counts are small")]
        ConfigError::check_range(
            "pool_blocks",
            self.pool_blocks as f64,
            POOL_BLOCKS_MIN as f64,
            POOL_BLOCKS_MAX as f64,
        )
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
