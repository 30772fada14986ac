//! How the bytes divide among several transcribers of one process.

use super::{Footprint, Megabytes, PROGRAM_BYTES, Plan};
use crate::config::Config;
use crate::error::ConfigError;

/// What several transcribers hold together, on one copy of the model's weights: a state each as far as the budget goes, else
/// some take turns on one.
///
/// # Examples
///
/// ```
/// use steadyscribe::Config;
/// use steadyscribe::budget::{Footprint, Together};
///
/// let mut way = Footprint::default();
/// way.state_bytes = 100_000_000;
/// let mut config = Config::default();
/// config.memory_budget_bytes = Some(400_000_000);
/// let together = Together::plan(&config, &[way], 10)?;
/// assert_eq!(together.states(), 3);
/// # Ok::<(), steadyscribe::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Together {
    chosen: Footprint,
    transcribers: u64,
    states: u64,
    /// What each transcriber holds besides model and state.
    each_bytes: u64,
}

impl Together {
    /// Takes the first of `footprints` with which the weights, one state and all `transcribers` fit the budget, and then as many states
    /// as fit, at most one for each transcriber.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Budget`] if not even one state fits; [`ConfigError::OutOfRange`] as [`Config::validate`].
    pub fn plan(
        config: &Config,
        footprints: &[Footprint],
        transcribers: usize,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let budget = config.memory_budget_bytes.unwrap_or(u64::MAX);
        let ways = footprints
            .iter()
            .map(|way| Self::on_one_state(config, *way, transcribers as u64));
        let Some(smallest) = ways.clone().min_by_key(Self::peak_bytes) else {
            return Ok(Self::on_one_state(
                config,
                Footprint::default(),
                transcribers as u64,
            ));
        };
        let mut chosen = ways
            .into_iter()
            .find(|way| way.peak_bytes() <= budget)
            .ok_or_else(|| smallest.refusal(budget))?;
        let room = budget - chosen.peak_bytes();
        // A state that takes nothing fits as often as it is wanted.
        let more = room.checked_div(chosen.state_bytes()).unwrap_or(u64::MAX);
        chosen.states = more.saturating_add(1).min(chosen.transcribers.max(1));
        Ok(chosen)
    }

    fn on_one_state(config: &Config, chosen: Footprint, transcribers: u64) -> Self {
        let alone = Plan::with(config, chosen).total_bytes();
        Self {
            chosen,
            transcribers,
            states: 1,
            each_bytes: alone - chosen.held_bytes() - PROGRAM_BYTES,
        }
    }

    /// Returns how many states there are, at least one: as many as transcribers, or fewer, and then some take turns.
    #[must_use]
    pub fn states(&self) -> usize {
        usize::try_from(self.states).unwrap_or(usize::MAX)
    }

    /// Returns the engine's way of running that was chosen.
    #[must_use]
    pub fn chosen(&self) -> &Footprint {
        &self.chosen
    }

    /// Returns the most that the process holds at once with all transcribers at work, in bytes.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        let engines = self.chosen.model_bytes + self.states * self.state_bytes();
        PROGRAM_BYTES + engines + self.transcribers * self.each_bytes
    }

    /// Returns what each transcriber holds besides model and state, in bytes.
    #[must_use]
    pub fn transcriber_bytes(&self) -> u64 {
        self.each_bytes
    }

    /// A state, and what is held besides for a moment of each of its windows.
    fn state_bytes(&self) -> u64 {
        self.chosen.state_bytes + self.chosen.window_bytes
    }

    fn refusal(&self, budget_bytes: u64) -> ConfigError {
        let buffers = self.transcribers * self.each_bytes;
        let needed_bytes = self.peak_bytes();
        let alone = needed_bytes - buffers;
        let fit = budget_bytes.saturating_sub(alone) / self.each_bytes;
        ConfigError::Budget {
            needed_bytes,
            budget_bytes,
            largest_parts: format!(
                "model {}, one engine state {}, {} transcribers {}",
                Megabytes(self.chosen.model_bytes),
                Megabytes(self.state_bytes()),
                self.transcribers,
                Megabytes(buffers)
            ),
            remedy: match fit {
                0 => "a smaller model, or more budget".into(),
                1 => "one transcriber would fit".into(),
                fit => format!("{fit} transcribers would fit"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn way(state_mb: u64, flash_attention: bool) -> Footprint {
        Footprint {
            model_bytes: 100 * MB,
            state_bytes: state_mb * MB,
            window_bytes: 4 * MB,
            flash_attention,
            ..Footprint::default()
        }
    }

    fn plan(budget_bytes: Option<u64>, transcribers: usize) -> Result<Together, ConfigError> {
        let config = Config {
            memory_budget_bytes: budget_bytes,
            ..Config::default()
        };
        Together::plan(&config, &[way(96, false), way(46, true)], transcribers)
    }

    #[test]
    fn one_transcriber_holds_what_its_plan_says() {
        let alone = Plan::new(&Config::default(), &[way(96, false)]).expect("no budget");
        let together = plan(None, 1).expect("no budget");
        assert_eq!(together.peak_bytes(), alone.peak_bytes());
        assert_eq!(together.states(), 1);
        assert_eq!(plan(None, 10).expect("no budget").states(), 10);
        assert_eq!(plan(None, 0).expect("no budget").states(), 1);
    }

    /// With every budget that admits anything: never more than it, and no state more would fit.
    #[test]
    fn states_go_as_far_as_the_budget() {
        let mut seen = std::collections::BTreeSet::new();
        for budget in (150..1_300).map(|mb| mb * MB) {
            let Ok(together) = plan(Some(budget), 10) else {
                assert!(budget < 196 * MB, "{budget}");
                continue;
            };
            assert!(together.peak_bytes() <= budget, "{together:?}");
            let one_more = together.peak_bytes() + together.state_bytes();
            assert!(one_more > budget || together.states() == 10, "{together:?}");
            seen.insert((together.chosen().flash_attention, together.states()));
        }
        // The frugal way only where the other one does not fit at all.
        let whole = (1..=10).map(|states| (false, states));
        assert_eq!(seen, whole.chain([(true, 1)]).collect());
    }

    #[test]
    fn a_refusal_says_how_many_would_fit() {
        let says = |budget: u64, transcribers| {
            plan(Some(budget), transcribers)
                .expect_err("too small")
                .to_string()
        };
        let said = says(170 * MB, 10);
        assert!(said.contains("the budget is 170 MB"), "{said}");
        assert!(said.contains("10 transcribers 45.0 MB"), "{said}");
        assert!(said.ends_with("4 transcribers would fit"), "{said}");
        let said = says(100 * MB, 2);
        assert!(said.ends_with("a smaller model, or more budget"), "{said}");
    }
}
