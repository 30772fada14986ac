//! The manager, and what its clones share.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::catalog::Catalog;
use super::residency::Residency;
use super::settings::Settings;
use super::single_flight::{Flight, SingleFlight};
use crate::ollama::client::Client;
use crate::ollama::client::error::OllamaError;
use crate::ollama::client::transport::Cancel;
use crate::ollama::client::wire::RunningModel;
use crate::ollama::outcome::{KeptModel, ModelEvent};
use crate::ollama::probe::{ModelMemory, Probe, Runner};
use crate::ollama::state::ModelId;

/// Most events that are kept; older ones are dropped.
const EVENTS_MAX: usize = 64;

/// Most models whose unload request is remembered. A server holds fewer.
const STOPPING_MAX: usize = 64;

/// Loads models on request, shares them between callers, and unloads them when they are unused.
/// Clones share everything.
///
/// A manager has no thread: call [`tick`](Self::tick) regularly, for instance once a second.
///
/// One caller at a time loads or unloads. An unload waits for a load in flight for at most
/// [`Settings::unload_max`], and then fails with [`OllamaError::InFlight`]. On the thread of the
/// load, for instance from inside a [`Probe`], it fails at once.
#[derive(Clone, Debug)]
pub struct Manager {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) client: Client,
    pub(super) probe: Arc<dyn Probe>,
    pub(super) flights: SingleFlight,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) residency: Residency,
    pub(super) catalog: Catalog,
    /// Models whose file could not be mapped.
    pub(super) unmappable: BTreeSet<String>,
    /// The model that is being loaded.
    pub(super) loading: Option<ModelId>,
    /// Models whose unload was requested, and that were still there when last seen.
    pub(super) stopping: Vec<ModelId>,
    events: VecDeque<ModelEvent>,
}

impl Manager {
    /// Creates a manager without loading or sending anything.
    #[must_use]
    pub fn new(client: Client, probe: Arc<dyn Probe>, settings: Settings) -> Self {
        let state = State {
            settings,
            residency: Residency::default(),
            catalog: Catalog::default(),
            unmappable: BTreeSet::new(),
            loading: None,
            stopping: Vec::new(),
            events: VecDeque::new(),
        };
        Self {
            inner: Arc::new(Inner {
                client,
                probe,
                flights: SingleFlight::default(),
                state: Mutex::new(state),
            }),
        }
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.inner.state().settings.clone()
    }

    /// Turns mapping of weights on or off. A model in memory changes when it is next loaded.
    pub fn configure_memory_mapping(&self, enabled: bool) {
        self.inner.state().settings.memory_mapping = enabled;
    }

    /// Sets the time after which an unused model is unloaded. Loading is always lazy.
    pub fn enable_lazy_loading(&self, idle_timeout_ms: u64) {
        self.inner.state().settings.idle_timeout = Some(Duration::from_millis(idle_timeout_ms));
    }

    /// Sets the largest context, in tokens. A model in memory with a larger one is reloaded at its
    /// next lease.
    pub fn optimize_context_window(&self, max_context_size: u32) {
        let settings = &mut self.inner.state().settings;
        settings.ctx_max = max_context_size.max(1);
        settings.ctx_min = settings.ctx_min.min(settings.ctx_max);
    }

    /// Returns the most recent events, the oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<ModelEvent> {
        self.inner.state().events.iter().cloned().collect()
    }
}

impl Inner {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // No change under the lock can panic halfway, so a poisoned state is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the right to unload.
    pub(super) fn enter_to_unload(&self) -> Result<Flight<'_>, OllamaError> {
        let wait_max = self.state().settings.unload_max;
        self.flights.enter(&Cancel::new(), Some(wait_max))
    }

    /// Returns the capacity of the machine, with the reserve of the settings.
    pub(super) fn capacity(&self) -> Option<ModelMemory> {
        // The probe may call the manager, so the state must not be locked meanwhile.
        let capacity = self.probe.capacity()?;
        Some(self.state().settings.with_reserve(capacity))
    }

    /// Lists the managed models that stay in memory.
    pub(super) fn kept(&self) -> Vec<KeptModel> {
        let state = self.state();
        let models = state.residency.models.iter();
        models
            .map(|(name, model)| KeptModel {
                name: name.clone(),
                reason: if model.leases > 0 {
                    "in use"
                } else {
                    "not due"
                },
            })
            .collect()
    }
}

impl State {
    pub(super) fn note(&mut self, event: ModelEvent) {
        tracing::info!(?event, "ollama");
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Returns the name under which a model is resident, and its leases. An alias of the same
    /// weights shares the process of the first name.
    pub(super) fn resident_name(&self, name: &str) -> (String, usize) {
        let known = self.catalog.get(name);
        let blob = known.and_then(|known| known.id.blob.as_deref());
        let key = self.residency.key_of(name, blob);
        let model = key.and_then(|key| self.residency.models.get(key));
        let leases = model.map_or(0, |model| model.leases);
        (key.unwrap_or(name).to_owned(), leases)
    }

    /// Returns the identity of a model, as far as it is known.
    pub(super) fn id(&self, name: &str) -> ModelId {
        let mut id = match self.residency.models.get(name) {
            Some(model) => model.id.clone(),
            None => ModelId {
                name: name.to_owned(),
                ..ModelId::default()
            },
        };
        if let Some(description) = self.catalog.get(name) {
            id.digest.clone_from(&description.id.digest);
            id.blob = id.blob.or_else(|| description.id.blob.clone());
        }
        id
    }

    /// Returns the name of the model with these weights, or their path.
    pub(super) fn name_of(&self, blob: &str) -> String {
        self.catalog.name_of(blob).unwrap_or(blob).to_owned()
    }

    /// Remembers that an unload was requested.
    pub(super) fn mark_stopping(&mut self, id: &ModelId) {
        self.unmark_stopping(&id.name);
        if self.stopping.len() == STOPPING_MAX {
            self.stopping.remove(0);
        }
        self.stopping.push(id.clone());
    }

    pub(super) fn unmark_stopping(&mut self, name: &str) {
        self.stopping.retain(|stopping| stopping.name != name);
    }

    /// Drops the unload requests of models that are gone.
    pub(super) fn forget_gone(&mut self, list: &[RunningModel], runners: Option<&[Runner]>) {
        self.stopping.retain(|id| {
            let is_held = |runners: &[Runner]| runners.iter().any(|runner| id.is_held_by(runner));
            id.find_listed(list).is_some() || runners.is_some_and(is_held)
        });
    }
}
