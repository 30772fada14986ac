//! Several engines on one copy of the weights.

use super::Whisper;
use crate::budget::{Footprint, Together};
use crate::config::Config;
use crate::engine::{Engine, Shared};
use crate::error::ConfigError;

/// Engines for several transcribers of one process.
///
/// See [`Whisper::crew`].
#[derive(Debug)]
pub struct Crew {
    engines: Vec<Shared<Whisper>>,
    together: Together,
}

impl Whisper {
    /// Makes an engine that works with the same weights and has a state of its own: both can be at work at once.
    ///
    /// The weights are loaded once, by whichever engine wants them first, and freed when the last one gives them up. The new engine
    /// runs as this one was [prepared](Engine::prepare) to run, and its footprint is that of the state alone: a plan for it says what
    /// it adds. It has the options of this one.
    ///
    /// Threads of engines that work at once add up: [`WhisperOptions::threads`](super::WhisperOptions::threads) times the engines should not exceed
    /// the cores. Where memory matters more than the wait for each other, use [`Shared`], which takes turns on one state, or
    /// [`crew`](Self::crew), which does what the budget allows.
    ///
    /// # Memory
    ///
    /// A state from the first window on, and about 3 MB of our own at once.
    #[must_use]
    pub fn another(&self) -> Self {
        let flash_attention = self.chosen.flash_attention;
        let ways = self.footprints();
        let is_chosen = |way: &&Footprint| way.flash_attention == flash_attention;
        let way = ways.iter().find(is_chosen).unwrap_or(&self.chosen);
        Self {
            only: Some(Footprint {
                model_bytes: 0,
                ..*way
            }),
            chosen: *way,
            shelf: self.shelf.clone(),
            ..Self::new(&self.path, self.header.clone(), self.options.clone())
        }
    }

    /// Makes engines for `transcribers` of one process out of this one: the weights once, and a state for each as far as the budget
    /// goes, else they take turns.
    ///
    /// [`Config::memory_budget_bytes`] is that of all of them together, and `config` that which each [`Transcriber`](crate::Transcriber)
    /// is made with.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Budget`] when not even one state fits; [`ConfigError::OutOfRange`] as [`Config::validate`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use steadyscribe::{Config, Transcriber, Whisper, WhisperOptions};
    ///
    /// let mut config = Config::default();
    /// config.memory_budget_bytes = Some(1_000_000_000);
    /// let mut options = WhisperOptions::default();
    /// options.threads = 1;
    /// let crew = Whisper::open("ggml-base.en-q5_1.bin", options)?.crew(&config, 4)?;
    /// println!("{} states, {} bytes at most", crew.states(), crew.peak_bytes());
    /// for engine in crew {
    ///     let scribe = Transcriber::new(config.clone(), engine)?;
    ///     // Each in a thread of its own.
    ///     # let _ = scribe;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn crew(mut self, config: &Config, transcribers: usize) -> Result<Crew, ConfigError> {
        let together = Together::plan(config, &self.footprints(), transcribers)?;
        self.chosen = *together.chosen();
        self.only = Some(self.chosen);
        let others: Vec<Self> = (1..together.states()).map(|_| self.another()).collect();
        let states = std::iter::once(self).chain(others);
        let states: Vec<Shared<Self>> = states.map(Shared::new).collect();
        let engines = states.iter().cycle().take(transcribers).cloned().collect();
        Ok(Crew { engines, together })
    }
}

impl Crew {
    /// Returns how many states there are: as many as transcribers, or fewer, and then some take turns.
    #[must_use]
    pub fn states(&self) -> usize {
        self.together.states()
    }

    /// Returns the most that the process holds at once with all of them, in bytes.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.together.peak_bytes()
    }
}

impl IntoIterator for Crew {
    type Item = Shared<Whisper>;
    type IntoIter = std::vec::IntoIter<Shared<Whisper>>;

    fn into_iter(self) -> Self::IntoIter {
        self.engines.into_iter()
    }
}
