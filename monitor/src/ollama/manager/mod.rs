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
mod error;
mod event;
mod gate;
mod lease;
mod load;
mod settings;
mod unloading;
mod usage;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::outcome::ModelUnloadResult;
use super::sight::{Runner, Sight};
use super::state::{find_listed, whole_name};
use super::unload;
use super::{Cancel, Client, ModelShape, OllamaError, RunningModel};
use books::Books;
pub use error::ManagerError;
pub use event::{Event, UnloadReason};
use gate::Gate;
pub use lease::Lease;
pub use settings::Settings;

/// Events that are kept for a report; older ones are dropped.
const EVENTS_MAX: usize = 64;

/// Models that are remembered as asked to go; a server holds fewer.
const STOPPING_MAX: usize = 64;

/// Models whose description is kept.
const DESCRIPTIONS_MAX: usize = 64;

/// The server's own timer unloads a model this long after ours would have: it is there for the case that this process
/// ends first.
pub(super) const KEEP_ALIVE_SLACK: Duration = Duration::from_secs(30);

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
    /// Models that were asked to go and are still there, for all we know.
    stopping: Vec<unload::Target>,
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
            stopping: Vec::new(),
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
}

impl State {
    fn note(&mut self, event: Event) {
        tracing::info!(?event, "ollama");
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The name by which a model is held, its file, and its users: an alias of the same weights shares their process.
    fn user_count(&self, name: &str) -> (String, Option<String>, usize) {
        let known = self.descriptions.get(name);
        let blob = known.and_then(|known| known.blob.clone());
        let key = self.books.key_of(name, blob.as_deref());
        let held = key.and_then(|key| self.books.held.get(key));
        let users = held.map_or(0, |held| held.users);
        (key.unwrap_or(name).to_owned(), blob, users)
    }

    /// The name of the model in a file, or the file where it is not known.
    fn name_of(&self, blob: &str) -> String {
        let mut known = self.descriptions.iter();
        let known = known.find(|(_, known)| known.blob.as_deref() == Some(blob));
        known.map_or(blob, |(name, _)| name).to_owned()
    }

    /// Remembers that a model was asked to go.
    fn asked_to_go(&mut self, target: &unload::Target) {
        self.stopping
            .retain(|stopping| stopping.name != target.name);
        if self.stopping.len() == STOPPING_MAX {
            self.stopping.remove(0);
        }
        self.stopping.push(target.clone());
    }

    /// Forgets the models that have gone since they were asked to.
    fn forget_gone(&mut self, list: &[RunningModel], runners: Option<&[Runner]>) {
        self.stopping.retain(|target| {
            let holds = |runner: &Runner| {
                !runner.is_orphan && Some(&runner.model_path) == target.blob.as_ref()
            };
            find_listed(list, &target.name, &target.digest).is_some()
                || runners.is_some_and(|runners| runners.iter().any(holds))
        });
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
