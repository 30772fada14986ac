//! Keeps models in memory while they pay for it.
//!
//! ```text
//! lease ──▶ used by somebody? ─yes─▶ share it
//!             │no
//!             ▼ one at a time
//!           look at list and processes ─▶ still ours, as we loaded it? ─▶ machine short? ─no─▶ lease
//!             │gone, reloaded by others, or short of memory                     │yes: smaller context
//!             ▼                                                                 ▼
//!           plan a context ─▶ fits? ─no─▶ unload what is unused longest, verified ─▶ plan again ─▶ or refuse
//!             │yes
//!             ▼
//!           load ─▶ mapping failed: without · out of memory: next smaller context ─▶ lease
//! ```

mod admit;
mod books;
mod gate;
mod lease;
mod load;
mod settings;
mod usage;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::sight::Sight;
use super::state::whole_name;
use super::unload::{self, KeptModel, ModelUnloadResult, UnloadedModel};
use super::{Cancel, Client, DoesNotFit, LoadProfile, ModelShape, OllamaError, ShapeError};
use books::Books;
use gate::Gate;
pub use lease::Lease;
pub use settings::Settings;

/// Events that are kept for a report; older ones are dropped.
const EVENTS_MAX: usize = 64;

/// Models whose description is kept.
const DESCRIPTIONS_MAX: usize = 64;

/// The server's own timer unloads a model this long after ours would have: it is there for the case that this process
/// ends first.
const KEEP_ALIVE_SLACK: Duration = Duration::from_secs(30);

/// Why a model could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// The server did not do it.
    #[error(transparent)]
    Ollama(#[from] OllamaError),
    /// Nothing was loaded, because it does not fit beside what is in use: wait for those, or take a smaller model.
    #[error("model {model} does not fit: {source}; in use: {}", in_use.join(", "))]
    NoRoom {
        /// The model.
        model: String,
        /// What it would need, and what there is.
        #[source]
        source: DoesNotFit,
        /// The models that are in use and so cannot go.
        in_use: Vec<String>,
    },
    /// The server holds as many models as it may, and none of them can go: wait for those in use, or raise
    /// `OLLAMA_MAX_LOADED_MODELS` and [`Settings::models_max`] together.
    #[error("model {model} would be one more than the {models_max} that the server holds; in use: {}", in_use.join(", "))]
    TooMany {
        /// The model.
        model: String,
        /// The limit.
        models_max: usize,
        /// Our models that are in use and so cannot go.
        in_use: Vec<String>,
    },
    /// The memory of the model cannot be told beforehand, so it is not loaded.
    #[error("the memory of model {model} cannot be told")]
    Unplannable {
        /// The model.
        model: String,
        /// What is missing.
        #[source]
        source: ShapeError,
    },
    /// A model that must go first does not go: do what the remedy says.
    #[error("model {} does not go: {}", model.name, model.stuck.as_ref().map_or("", |stuck| &stuck.remedy))]
    Stuck {
        /// The model that stays, with its process and the remedy.
        model: Box<UnloadedModel>,
    },
}

/// Something that a report mentions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum Event {
    /// A model was loaded.
    Loaded {
        /// Its name.
        model: String,
        /// Its profile.
        profile: LoadProfile,
    },
    /// A model was unloaded by us.
    Unloaded {
        /// Its name.
        model: String,
        /// Why.
        reason: UnloadReason,
    },
    /// A model of ours was gone: the server restarted, or somebody unloaded it.
    Vanished {
        /// Its name.
        model: String,
    },
    /// Another program loaded a model of ours with another context; set the same in both.
    ForeignReload {
        /// Its name.
        model: String,
        /// Our context.
        our_ctx: u32,
        /// Theirs.
        their_ctx: u64,
    },
    /// A model's file could not be mapped: it is loaded without from now on.
    MapFailed {
        /// Its name.
        model: String,
    },
    /// The server had no memory for a context that was planned: the next smaller one was taken.
    SteppedDown {
        /// Its name.
        model: String,
        /// The context that failed.
        from_ctx: u32,
    },
}

/// Why a model was unloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum UnloadReason {
    /// It was asked for.
    Asked,
    /// Nobody used it for the idle time.
    Idle,
    /// Another model needed the room, and this one was unused longest.
    LeastRecentlyUsed,
    /// Its process had grown beyond what the server claims for it.
    Bloated,
    /// The machine is short of memory: it is loaded again with a smaller context.
    Shrunk,
    /// The limit of all models was lowered.
    Limit,
}

/// Loads models when they are asked for, shares them, and unloads them when nobody does. Clones share everything.
///
/// Nothing happens by itself: whoever owns it calls [`tick`](Self::tick) now and then, for instance once a second.
#[derive(Clone, Debug)]
pub struct Manager {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    sight: Arc<dyn Sight>,
    gate: Gate,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    books: Books,
    /// Models whose file could not be mapped.
    unmappable: BTreeSet<String>,
    descriptions: BTreeMap<String, Description>,
    events: VecDeque<Event>,
}

/// What the server says of an installed model; it changes only when the model is pulled again, and then so does the digest.
#[derive(Clone, Debug)]
struct Description {
    digest: String,
    blob: Option<String>,
    shape: ModelShape,
}

impl Manager {
    /// Makes a manager; nothing is loaded and nothing sent.
    #[must_use]
    pub fn new(client: Client, sight: Arc<dyn Sight>, settings: Settings) -> Self {
        let state = State {
            settings,
            books: Books::default(),
            unmappable: BTreeSet::new(),
            descriptions: BTreeMap::new(),
            events: VecDeque::new(),
        };
        Self {
            inner: Arc::new(Inner {
                client,
                sight,
                gate: Gate::default(),
                state: Mutex::new(state),
            }),
        }
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.inner.state().settings.clone()
    }

    /// Maps the weights of models that are loaded from now on, or does not. A model in memory keeps what it has until
    /// it is loaded again.
    pub fn configure_memory_mapping(&self, enabled: bool) {
        self.inner.state().settings.memory_mapping = enabled;
    }

    /// Sets how much all models together may take, in MiB, and unloads unused ones until they do, the one that was used
    /// longest ago first.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] where the server does not answer: the limit stands, and the next load keeps to it.
    pub fn set_model_cache_size(
        &self,
        max_memory_mb: u64,
    ) -> Result<ModelUnloadResult, OllamaError> {
        let limit = max_memory_mb.saturating_mul(1 << 20);
        self.inner.state().settings.models_bytes_max = limit;
        let _passage = self.inner.enter(&Cancel::new())?;
        let mut result = ModelUnloadResult::default();
        loop {
            let victim = {
                let state = self.inner.state();
                if state.books.held_bytes() <= limit {
                    break;
                }
                state.books.least_recently_used().map(str::to_owned)
            };
            let Some(victim) = victim else { break };
            let unloaded = self.inner.unload(&victim, UnloadReason::Limit)?;
            let is_gone = unloaded.is_gone();
            result.add(unloaded);
            if !is_gone {
                break;
            }
        }
        result.kept = self.inner.kept();
        Ok(result)
    }

    /// Unloads a model when nobody has used it for so long; loads always wait until somebody asks.
    pub fn enable_lazy_loading(&self, idle_timeout_ms: u64) {
        self.inner.state().settings.idle_timeout = Some(Duration::from_millis(idle_timeout_ms));
    }

    /// Sets the largest context. A model in memory with a larger one is loaded again at its next job, not before.
    pub fn optimize_context_window(&self, max_context_size: u32) {
        let settings = &mut self.inner.state().settings;
        settings.ctx_max = max_context_size.max(1);
        settings.ctx_min = settings.ctx_min.min(settings.ctx_max);
    }

    /// Unloads every model of ours that nobody uses, and verifies it. Models of other programs stay.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] where the server does not answer; what was unloaded before stays unloaded.
    pub fn unload_unused_models(&self) -> Result<ModelUnloadResult, OllamaError> {
        let _passage = self.inner.enter(&Cancel::new())?;
        let unused = self.inner.state().books.unused();
        self.inner.unload_all(unused, UnloadReason::Asked)
    }

    /// Unloads one model, ours or not, and verifies it. A model that somebody leases stays.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotInstalled`] where no model has this name.
    pub fn unload(&self, model: &str) -> Result<ModelUnloadResult, OllamaError> {
        let name = whole_name(model);
        let _passage = self.inner.enter(&Cancel::new())?;
        let mut result = ModelUnloadResult::default();
        let users = |state: &State| state.books.held.get(&name).map_or(0, |held| held.users);
        if users(&self.inner.state()) == 0 {
            self.inner.describe_for_unload(&name)?;
            result.add(self.inner.unload(&name, UnloadReason::Asked)?);
        }
        result.kept = self.inner.kept();
        Ok(result)
    }

    /// Does what is due: unloads models that were unused for the idle time, and models whose process has grown beyond
    /// its limit; and keeps the server from unloading what is leased. Call it at least twice in an idle
    /// time. Sends nothing where nothing is held, and does nothing while a model is loading.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] where the server does not answer: the next call tries again.
    pub fn tick(&self) -> Result<ModelUnloadResult, OllamaError> {
        if self.inner.state().books.held.is_empty() {
            return Ok(ModelUnloadResult::default());
        }
        let Some(_passage) = self.inner.gate.try_enter() else {
            return Ok(ModelUnloadResult::default());
        };
        let list = self.inner.client.running()?;
        self.inner.settle(&list);
        self.inner.mark_bloated(&list);
        self.inner.touch(&list)?;
        let due = {
            let now = self.inner.sight.now();
            let state = self.inner.state();
            state.books.due(now, state.settings.idle_timeout)
        };
        self.inner.unload_all(due, UnloadReason::Idle)
    }

    /// Returns what happened of late, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.inner.state().events.iter().cloned().collect()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is whole in itself, so a panic elsewhere leaves the books right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, cancel: &Cancel) -> Result<gate::Passage<'_>, OllamaError> {
        self.gate.enter(cancel).ok_or(OllamaError::Cancelled)
    }

    /// Unloads one model after another. The gate must be held, so that nobody begins to use one of them.
    fn unload_all(
        &self,
        names: Vec<String>,
        reason: UnloadReason,
    ) -> Result<ModelUnloadResult, OllamaError> {
        let mut result = ModelUnloadResult::default();
        for name in names {
            let is_bloated = self
                .state()
                .books
                .held
                .get(&name)
                .is_some_and(|held| held.is_bloated);
            let reason = if is_bloated {
                UnloadReason::Bloated
            } else {
                reason
            };
            result.add(self.unload(&name, reason)?);
        }
        result.kept = self.kept();
        Ok(result)
    }

    /// Unloads a model that nobody uses. The gate must be held.
    fn unload(&self, name: &str, reason: UnloadReason) -> Result<UnloadedModel, OllamaError> {
        let (target, limit) = {
            let state = self.state();
            let limit = unload::Limit {
                time_max: state.settings.unload_max,
                may_kill: state.settings.kill_stuck,
            };
            (state.target(name), limit)
        };
        let unloaded = unload::unload(&self.client, self.sight.as_ref(), &target, limit)?;
        let mut state = self.state();
        if unloaded.is_gone() {
            state.books.held.remove(name);
            state.note(Event::Unloaded {
                model: name.to_owned(),
                reason,
            });
        }
        Ok(unloaded)
    }

    /// The models that are in use.
    fn kept(&self) -> Vec<KeptModel> {
        let state = self.state();
        let held = state.books.held.iter();
        held.map(|(name, held)| KeptModel {
            name: name.clone(),
            reason: if held.users > 0 { "in use" } else { "not due" },
        })
        .collect()
    }
}

impl State {
    fn note(&mut self, event: Event) {
        tracing::info!(?event, "ollama");
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn target(&self, name: &str) -> unload::Target {
        let mut target = self.books.target(name);
        if let Some(description) = self.descriptions.get(name) {
            target.digest.clone_from(&description.digest);
            target.blob = target.blob.or_else(|| description.blob.clone());
        }
        target
    }
}
