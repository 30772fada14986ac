//! How the bytes divide among model, state, window and pool, before any of them is allocated.
//!
//! A [`Plan`] counts what the process will hold privately (anonymous and shared memory, swapped or not) once
//! everything was used for the first time. Nothing is loaded to make one. After that the pipeline holds no
//! more at any length of input, but for [`Plan::window_bytes`] while a window is prepared, and what a
//! container makes a demuxer keep (an mp4: 1.1 MB per hour).

use std::fmt;

use crate::config::{BLOCK_SAMPLES, Config, LOOK_AHEAD_SAMPLES, Vad};
use crate::error::ConfigError;
use crate::time::Time;

mod together;

pub use together::Together;

/// Demuxer, decoder, resampler and detector, and what they leave in the allocator's heap. Measured: 0.3 MB
/// (wav) to 2.0 MB (Vorbis) of heap, 0.7 MB for most.
const DECODING_BYTES: u64 = 1_500_000;

/// What the Silero detector holds besides, if it is chosen: weights and buffers of whisper.cpp, and two seconds of audio. Measured: 3.3 MB.
#[cfg(feature = "whisper")]
pub const SILERO_BYTES: u64 = 3_500_000;

/// What three threads touch of their stacks and of the allocator's arenas that they open, and the segments
/// that wait.
const THREADS_BYTES: u64 = 500_000;

/// What a program holds before it does anything: relocated data, the runtime, arguments. Measured: 0.34 to
/// 0.43 MB.
const PROGRAM_BYTES: u64 = 500_000;

/// Parts that an error names.
const LARGEST_PARTS: usize = 3;

/// What an engine will hold in one way of running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// Bytes of the loaded model: weights, vocabulary, what describes them.
    pub model_bytes: u64,
    /// Bytes of working memory that our use of the engine makes private.
    pub state_bytes: u64,
    /// Bytes of working memory that the engine reserves for its caches and results, touched or not.
    pub reserved_bytes: u64,
    /// Bytes that are held besides for a moment of every window.
    pub window_bytes: u64,
    /// Attention is computed in pieces: less memory, more time.
    pub flash_attention: bool,
    /// Models that could be loaded instead, the best first: what to name where the budget is too small.
    pub smaller: &'static [Alternative],
}

impl Footprint {
    /// Returns the bytes that are held between windows: model and state.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.model_bytes + self.state_bytes
    }
}

/// A model that could be loaded, and what it holds in its most frugal way of running.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alternative {
    /// The model's name.
    pub name: String,
    /// Bytes of model and state.
    pub held_bytes: u64,
}

impl Alternative {
    /// Names a model and what it holds.
    #[must_use]
    pub fn new(name: String, held_bytes: u64) -> Self {
        Self { name, held_bytes }
    }
}

/// How the bytes divide.
///
/// Its `Display` is the table that `--plan` prints.
///
/// # Examples
///
/// ```
/// use steadyscribe::Config;
/// use steadyscribe::budget::{Footprint, Plan};
///
/// let plan = Plan::new(&Config::default(), &[Footprint::default()])?;
/// let sum: u64 = plan.parts().iter().map(|(_, bytes)| bytes).sum();
/// assert_eq!(plan.total_bytes(), sum);
/// # Ok::<(), steadyscribe::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    chosen: Footprint,
    parts: [(&'static str, u64); 7],
    budget_bytes: Option<u64>,
}

impl Plan {
    /// Takes the first of `footprints` with which everything fits the budget, which is the first if there is
    /// none.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Budget`] if none fits: it says what would. [`ConfigError::OutOfRange`] as
    /// [`Config::validate`].
    pub fn new(config: &Config, footprints: &[Footprint]) -> Result<Self, ConfigError> {
        config.validate()?;
        let plans = footprints
            .iter()
            .map(|footprint| Self::with(config, *footprint));
        let Some(smallest) = plans.clone().min_by_key(Self::peak_bytes) else {
            return Ok(Self::with(config, Footprint::default()));
        };
        let Some(budget) = config.memory_budget_bytes else {
            return Ok(Self::with(config, footprints[0]));
        };
        plans
            .into_iter()
            .find(|plan| plan.peak_bytes() <= budget)
            .ok_or_else(|| smallest.refusal(config, budget))
    }

    fn with(config: &Config, chosen: Footprint) -> Self {
        let sample_bytes = size_of::<f32>() as u64;
        let window = Time::from_seconds(f64::from(config.window_s)).samples();
        let window = (window + LOOK_AHEAD_SAMPLES as u64) * sample_bytes;
        let pool = (config.pool_blocks * BLOCK_SAMPLES) as u64 * sample_bytes;
        let parts = [
            ("model", chosen.model_bytes),
            ("engine state", chosen.state_bytes),
            ("window", window),
            ("pool", pool),
            ("decoding", DECODING_BYTES + detector_bytes(&config.vad)),
            ("threads and queues", THREADS_BYTES),
            ("program", PROGRAM_BYTES),
        ];
        Self {
            chosen,
            parts,
            budget_bytes: config.memory_budget_bytes,
        }
    }

    /// Returns what is held, by name, in bytes.
    #[must_use]
    pub fn parts(&self) -> &[(&'static str, u64)] {
        &self.parts
    }

    /// Returns the sum of the parts: what the process holds privately once everything was used for the first
    /// time.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Returns what is held besides for a moment of every window, in bytes.
    #[must_use]
    pub fn window_bytes(&self) -> u64 {
        self.chosen.window_bytes
    }

    /// Returns the most that is held at once, in bytes: this is what the budget must cover.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.total_bytes() + self.window_bytes()
    }

    /// Returns what the engine reserves for its caches and results, touched or not, in bytes.
    #[must_use]
    pub fn reserved_bytes(&self) -> u64 {
        self.chosen.reserved_bytes
    }

    /// Returns the engine's way of running that was chosen.
    #[must_use]
    pub fn chosen(&self) -> &Footprint {
        &self.chosen
    }

    fn refusal(&self, config: &Config, budget_bytes: u64) -> ConfigError {
        let mut parts = self.parts;
        parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let largest: Vec<String> = parts[..LARGEST_PARTS]
            .iter()
            .map(|(name, bytes)| format!("{name} {}", Megabytes(*bytes)))
            .collect();
        ConfigError::Budget {
            needed_bytes: self.peak_bytes(),
            budget_bytes,
            largest_parts: largest.join(", "),
            remedy: self.remedy(config, budget_bytes),
        }
    }

    /// Says what would fit: shorter buffers if they suffice, else another model, else nothing.
    fn remedy(&self, config: &Config, budget_bytes: u64) -> String {
        let shortest = Config {
            window_s: crate::config::WINDOW_S_MIN,
            pool_blocks: crate::config::POOL_BLOCKS_MIN,
            ..config.clone()
        };
        let shortest = Self::with(&shortest, self.chosen);
        if shortest.peak_bytes() <= budget_bytes {
            let over = self.peak_bytes() - budget_bytes;
            return format!(
                "a shorter window or a smaller pool would fit: save {}",
                Megabytes(over)
            );
        }
        let others = self.peak_bytes() - self.chosen.held_bytes();
        let fits = |other: &&Alternative| others + other.held_bytes <= budget_bytes;
        match self.chosen.smaller.iter().find(fits) {
            Some(other) => {
                let needed = Megabytes(others + other.held_bytes);
                format!("the model {} would fit with {needed}", other.name)
            }
            None => match self
                .chosen
                .smaller
                .iter()
                .map(|other| other.held_bytes)
                .min()
            {
                Some(least) => {
                    let needed = Megabytes(others + least.min(self.chosen.held_bytes()));
                    format!("no model fits, give at least {needed}")
                }
                None => "raise the budget".into(),
            },
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, bytes: u64| writeln!(f, "{name:<24}{:>12}", Megabytes(bytes));
        for (name, bytes) in self.parts {
            line(name, bytes)?;
        }
        line("held", self.total_bytes())?;
        line("at most, in a window", self.peak_bytes())?;
        if let Some(budget) = self.budget_bytes {
            line("budget", budget)?;
        }
        line("reserved by the engine", self.reserved_bytes())?;
        let attention = if self.chosen.flash_attention {
            "flash"
        } else {
            "whole"
        };
        write!(f, "{:<24}{attention:>12}", "attention")
    }
}

/// Bytes, written as megabytes (10^6) with one digit, rounded up.
struct Megabytes(u64);

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.div_ceil(100_000);
        f.pad(&format!("{}.{} MB", tenths / 10, tenths % 10))
    }
}

/// What a detector holds over the built-in one.
fn detector_bytes(vad: &Vad) -> u64 {
    match vad {
        #[cfg(feature = "whisper")]
        Vad::Silero(_) => SILERO_BYTES,
        Vad::Auto | Vad::Off => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(model_mb: u64, state_mb: u64, flash_attention: bool) -> Footprint {
        Footprint {
            model_bytes: model_mb * 1_000_000,
            state_bytes: state_mb * 1_000_000,
            window_bytes: 4_000_000,
            flash_attention,
            ..Footprint::default()
        }
    }

    fn plan(config: &Config, engine: &[Footprint]) -> Result<Plan, ConfigError> {
        Plan::new(config, engine)
    }

    fn with_budget(bytes: u64) -> Config {
        Config {
            memory_budget_bytes: Some(bytes),
            ..Config::default()
        }
    }

    #[test]
    fn buffers_follow_the_configuration() {
        let part = |config: &Config, name| {
            let plan = plan(config, &[engine(10, 20, false)]).expect("no budget");
            plan.parts()
                .iter()
                .find(|part| part.0 == name)
                .expect("a part")
                .1
        };
        let mut config = Config::default();
        assert_eq!(part(&config, "window"), 31 * 16_000 * 4);
        assert_eq!(part(&config, "pool"), 16 * 32_000);
        assert_eq!(part(&config, "model"), 10_000_000);
        config.window_s = 5.0;
        config.pool_blocks = 2;
        assert_eq!(part(&config, "window"), 6 * 16_000 * 4);
        assert_eq!(part(&config, "pool"), 64_000);
    }

    #[test]
    fn the_first_footprint_that_fits_is_chosen() {
        let ways = [engine(100, 80, false), engine(100, 30, true)];
        let peak = |way| {
            plan(&Config::default(), &[way])
                .expect("no budget")
                .peak_bytes()
        };
        let (whole, flash) = (peak(ways[0]), peak(ways[1]));
        let chosen =
            |config: &Config| plan(config, &ways).map(|plan| plan.chosen().flash_attention);
        assert_eq!(chosen(&Config::default()), Ok(false));
        assert_eq!(chosen(&with_budget(whole)), Ok(false));
        assert_eq!(chosen(&with_budget(whole - 1)), Ok(true));
        assert_eq!(chosen(&with_budget(flash)), Ok(true));
        let Err(ConfigError::Budget {
            needed_bytes,
            budget_bytes,
            ..
        }) = chosen(&with_budget(flash - 1))
        else {
            panic!("fits")
        };
        assert_eq!((needed_bytes, budget_bytes), (flash, flash - 1));
    }

    #[test]
    fn a_refusal_names_what_would_fit() {
        static SMALLER: std::sync::LazyLock<Vec<Alternative>> = std::sync::LazyLock::new(|| {
            [("large", 3_000), ("base-q5_1", 60), ("tiny-q5_1", 40)]
                .map(|(name, mb)| Alternative::new(name.into(), mb * 1_000_000))
                .into()
        });
        let way = Footprint {
            smaller: &SMALLER,
            ..engine(100, 30, true)
        };
        let needed = plan(&Config::default(), &[way])
            .expect("no budget")
            .peak_bytes();
        for (budget_mb, says) in [
            (
                needed / 1_000_000,
                "a shorter window or a smaller pool would fit: save ",
            ),
            (100, "the model base-q5_1 would fit with 69.0 MB"),
            (60, "the model tiny-q5_1 would fit with 49.0 MB"),
            (5, "no model fits, give at least 49.0 MB"),
        ] {
            let error = plan(&with_budget(budget_mb * 1_000_000), &[way]).expect_err("too small");
            let message = error.to_string();
            assert!(message.contains(says), "{message}");
            assert!(
                message.contains(&format!("the budget is {budget_mb} MB")),
                "{message}"
            );
            let parts = "largest parts: model 100.0 MB, engine state 30.0 MB, window 2.0 MB";
            assert!(message.contains(parts), "{message}");
        }
    }

    #[test]
    fn a_budget_of_nothing_and_of_everything_are_answered() {
        let way = engine(100, 30, true);
        assert!(plan(&with_budget(0), &[way]).is_err());
        assert!(plan(&with_budget(u64::MAX), &[way]).is_ok());
        let invalid = Config {
            pool_blocks: 0,
            ..Config::default()
        };
        assert!(matches!(
            plan(&invalid, &[way]),
            Err(ConfigError::OutOfRange { .. })
        ));
    }

    #[test]
    fn the_table_sums_up() {
        let table = plan(&with_budget(200_000_000), &[engine(100, 30, true)])
            .expect("fits")
            .to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "model                       100.0 MB");
        assert_eq!(lines[7], "held                        135.0 MB");
        assert_eq!(lines[8], "at most, in a window        139.0 MB");
        assert_eq!(lines[9], "budget                      200.0 MB");
        assert_eq!(lines[11], "attention                      flash");
    }
}
