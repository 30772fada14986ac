//! How the bytes divide among model, state, window and pool, before any of them is allocated.
//!
//! A [`Plan`] counts what the process will hold privately (anonymous and shared memory, swapped or
//! not) once everything was used for the first time. Nothing is loaded to make one. After that the
//! pipeline holds no more at any length of input, except for [`Plan::window_bytes`] while a window
//! is prepared, and what a container makes a demuxer keep (an mp4: 1.1 MB per hour).

use std::fmt;

use crate::config::{BLOCK_SAMPLES, Config, Vad};
use crate::error::ConfigError;

/// Demuxer, decoder, resampler and detector, and what they leave in the allocator's heap. Measured:
/// 0.3 MB (wav) to 2.0 MB (Vorbis) of heap, 0.7 MB for most.
const DECODING_BYTES: u64 = 1_500_000;

/// What the Silero detector holds in addition, if it is chosen: weights and buffers of whisper.cpp,
/// and two seconds of audio. Measured: 3.3 MB.
#[cfg(feature = "whisper")]
pub const SILERO_BYTES: u64 = 3_500_000;

/// What three threads touch of their stacks and of the allocator's arenas that they open, and the
/// segments that wait.
const THREADS_BYTES: u64 = 500_000;

/// What a program holds before it does anything: relocated data, the runtime, arguments. Measured:
/// 0.34 to 0.43 MB.
const PROGRAM_BYTES: u64 = 500_000;

/// Parts that an error names.
const LARGEST_PARTS: usize = 3;

/// What an engine will hold in one way of running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// Bytes of the loaded model: weights, vocabulary, what describes them.
    pub model_bytes: u64,
    /// Bytes of working memory that one state makes private.
    pub state_bytes: u64,
    /// Bytes of address space that a state reserves for its caches and results, touched or not.
    pub reserved_bytes: u64,
    /// Bytes that a state holds in addition for a moment of every window.
    pub window_bytes: u64,
}

impl Footprint {
    /// Returns the bytes that are held between windows with one state: model and state.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.model_bytes + self.state_bytes
    }
}

/// One way in which an engine can run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variant {
    /// The engine's name for it, such as `flash attention`. Empty for an engine that has only one.
    pub id: String,
    /// What the engine holds when it runs so.
    pub footprint: Footprint,
    /// Models that could be loaded instead, the best first, to name where the budget is too small.
    pub alternatives: &'static [Alternative],
}

impl Variant {
    /// Makes a variant without alternatives.
    #[must_use]
    pub fn new(id: impl Into<String>, footprint: Footprint) -> Self {
        Self {
            id: id.into(),
            footprint,
            alternatives: &[],
        }
    }
}

/// A model that could be loaded, and what it holds in its most frugal variant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alternative {
    /// The model's name.
    pub name: String,
    /// Bytes of model and state.
    pub held_bytes: u64,
}

impl Alternative {
    /// Makes an alternative of a name and the bytes of model and state.
    #[must_use]
    pub fn new(name: String, held_bytes: u64) -> Self {
        Self { name, held_bytes }
    }
}

/// How the bytes divide, for one transcriber or for several on one copy of the weights.
///
/// Its `Display` is the table that `transcribe --plan` prints.
///
/// # Examples
///
/// ```
/// use steadyscribe::Config;
/// use steadyscribe::budget::{Footprint, Plan, Variant};
///
/// let mut footprint = Footprint::default();
/// footprint.state_bytes = 100_000_000;
/// let variant = Variant::new("only", footprint);
/// let mut config = Config::default();
/// config.memory_budget_bytes = Some(400_000_000);
///
/// let plan = Plan::new(&config, std::slice::from_ref(&variant), 1)?;
/// let sum: u64 = plan.parts().iter().map(|(_, bytes)| bytes).sum();
/// assert_eq!(plan.total_bytes(), sum);
///
/// // Ten transcribers take turns on the three states that fit.
/// assert_eq!(Plan::new(&config, &[variant], 10)?.states(), 3);
/// # Ok::<(), steadyscribe::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    variant: Variant,
    transcribers: u64,
    states: u64,
    parts: [(&'static str, u64); 7],
    budget_bytes: Option<u64>,
}

impl Plan {
    /// Plans for `transcribers` of one process, at least one.
    ///
    /// Takes the first of `variants` with which the weights, one state and the buffers of all
    /// transcribers fit the budget, and then as many states as fit, at most one for each
    /// transcriber.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Budget`] if no variant fits: it says what would.
    /// [`ConfigError::OutOfRange`] as [`Config::validate`].
    pub fn new(
        config: &Config,
        variants: &[Variant],
        transcribers: usize,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let transcribers = transcribers.max(1) as u64;
        let only = [Variant::default()];
        let variants = if variants.is_empty() { &only } else { variants };
        let plan = |variant: &Variant, states| Self::with(config, variant, transcribers, states);
        let Some(budget) = config.memory_budget_bytes else {
            return Ok(plan(&variants[0], transcribers));
        };
        let plans = variants.iter().map(|variant| plan(variant, 1));
        let Some(chosen) = plans.clone().find(|plan| plan.peak_bytes() <= budget) else {
            let smallest = plans.min_by_key(Self::peak_bytes);
            let smallest = smallest.unwrap_or_else(|| plan(&variants[0], 1));
            return Err(smallest.refusal(config, budget));
        };
        // A state that takes nothing fits as often as it is wanted.
        let room = budget - chosen.peak_bytes();
        let more = room
            .checked_div(chosen.peak_of_a_state())
            .unwrap_or(u64::MAX);
        let states = more.saturating_add(1).min(transcribers);
        Ok(plan(&chosen.variant, states))
    }

    fn with(config: &Config, variant: &Variant, transcribers: u64, states: u64) -> Self {
        let sample_bytes = size_of::<f32>() as u64;
        let window = config.window_bytes();
        let pool = (config.pool_blocks * BLOCK_SAMPLES) as u64 * sample_bytes;
        let decoding = DECODING_BYTES + detector_bytes(&config.vad);
        let parts = [
            ("model", variant.footprint.model_bytes),
            ("engine state", states * variant.footprint.state_bytes),
            ("window", transcribers * window),
            ("pool", transcribers * pool),
            ("decoding", transcribers * decoding),
            ("threads and queues", transcribers * THREADS_BYTES),
            ("program", PROGRAM_BYTES),
        ];
        Self {
            variant: variant.clone(),
            transcribers,
            states,
            parts,
            budget_bytes: config.memory_budget_bytes,
        }
    }

    /// Returns what is held, by name, in bytes.
    #[must_use]
    pub fn parts(&self) -> &[(&'static str, u64)] {
        &self.parts
    }

    /// Returns the sum of the parts: what the process holds privately once everything was used for
    /// the first time.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Returns the bytes that are held in addition for a moment of every window.
    #[must_use]
    pub fn window_bytes(&self) -> u64 {
        self.states * self.variant.footprint.window_bytes
    }

    /// Returns the most bytes that are held at once: this is what the budget must cover.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.total_bytes() + self.window_bytes()
    }

    /// Returns the bytes that the engine reserves for its caches and results, touched or not.
    #[must_use]
    pub fn reserved_bytes(&self) -> u64 {
        self.states * self.variant.footprint.reserved_bytes
    }

    /// Returns the variant of the engine that was chosen.
    #[must_use]
    pub fn variant(&self) -> &Variant {
        &self.variant
    }

    /// Returns for how many transcribers this is the plan.
    #[must_use]
    pub fn transcribers(&self) -> usize {
        usize::try_from(self.transcribers).unwrap_or(usize::MAX)
    }

    /// Returns how many states there are: as many as transcribers, or fewer, and then transcribers
    /// take turns.
    #[must_use]
    pub fn states(&self) -> usize {
        usize::try_from(self.states).unwrap_or(usize::MAX)
    }

    /// Returns the bytes of everything that belongs to the transcribers and not to the engine.
    fn buffer_bytes(&self) -> u64 {
        self.parts[2..6].iter().map(|(_, bytes)| bytes).sum()
    }

    /// A state, and what it holds in addition for a moment of each window.
    fn peak_of_a_state(&self) -> u64 {
        self.variant.footprint.state_bytes + self.variant.footprint.window_bytes
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

    /// Returns what would fit: fewer transcribers, else shorter buffers, else another model.
    fn remedy(&self, config: &Config, budget_bytes: u64) -> String {
        let engine = self.peak_bytes() - self.buffer_bytes();
        let each = (self.buffer_bytes() / self.transcribers).max(1);
        match budget_bytes.saturating_sub(engine) / each {
            0 => {}
            1 => return "one transcriber would fit".into(),
            fit => return format!("{fit} transcribers would fit"),
        }
        let shortest = Config {
            window_s: crate::config::WINDOW_S_MIN,
            pool_blocks: crate::config::POOL_BLOCKS_MIN,
            ..config.clone()
        };
        let shortest = Self::with(&shortest, &self.variant, self.transcribers, 1);
        if shortest.peak_bytes() <= budget_bytes {
            let over = self.peak_bytes() - budget_bytes;
            return format!(
                "a shorter window or a smaller pool would fit: save {}",
                Megabytes(over)
            );
        }
        let held = self.variant.footprint.held_bytes();
        let others = self.peak_bytes() - held;
        let alternatives = self.variant.alternatives;
        let fits = |other: &&Alternative| others + other.held_bytes <= budget_bytes;
        if let Some(other) = alternatives.iter().find(fits) {
            let needed = Megabytes(others + other.held_bytes);
            return format!("the model {} would fit with {needed}", other.name);
        }
        match alternatives.iter().map(|other| other.held_bytes).min() {
            Some(least) => {
                let needed = Megabytes(others + least.min(held));
                format!("no model fits: set a budget of at least {needed}")
            }
            None => format!("set a budget of at least {}", Megabytes(self.peak_bytes())),
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
        if self.transcribers > 1 {
            writeln!(f, "{:<24}{:>12}", "transcribers", self.transcribers)?;
            writeln!(f, "{:<24}{:>12}", "engine states", self.states)?;
        }
        write!(f, "{:<20}{:>16}", "variant", self.variant.id)
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
mod tests;
