//! Makes a model ready. Everything here happens in a single flight.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::catalog::Description;
use super::residency::{Admission, Demand, Resident};
use super::shared::Inner;
use crate::ollama::client::Client;
use crate::ollama::client::error::OllamaError;
use crate::ollama::client::profile::LoadProfile;
use crate::ollama::client::server::Version;
use crate::ollama::client::transport::StallPolicy;
use crate::ollama::client::wire::RunningModel;
use crate::ollama::outcome::{ManagerError, ModelEvent, UnloadReason};
use crate::ollama::plan::{CTX_STEPS, Plan};
use crate::ollama::probe::Probe;
use crate::ollama::state::ModelId;

/// Interval between two looks at the process of a load.
const GROWTH_TURN: Duration = Duration::from_secs(1);

impl Inner {
    /// Makes a model ready, and adds a lease. Returns the name under which it is resident, and its
    /// profile.
    pub(super) fn make_ready(
        &self,
        name: &str,
        client: &Client,
    ) -> Result<(String, LoadProfile), ManagerError> {
        let list = client.running()?;
        self.reconcile(&list);
        let mut description = self.describe(client, name)?;
        let (key, leases) = self.state().resident_name(name);
        if key != name {
            description = self.describe(client, &key)?;
        }
        let name = key.as_str();
        // A lease, under any name, pins the model as it is.
        if leases == 0
            && let Some(reason) = self.reason_to_reload(name, &description)
        {
            self.unload_or_fail(name, reason)?;
        }
        let acquired = {
            let mut state = self.state();
            state.unmark_stopping(name);
            let resident = state.residency.acquire(name);
            resident.map(|resident| resident.profile.clone())
        };
        if let Some(profile) = acquired {
            // The server's timer runs since the last request, so the next tick may be too late.
            if let Err(error) = self.touch(&list) {
                let (now, utc_now) = (self.probe.now(), self.probe.utc_now());
                self.state().residency.release(name, now, utc_now);
                return Err(error.into());
            }
            return Ok((key, profile));
        }
        self.state().loading = Some(description.id.clone());
        let loaded = self.load(client, name, &description);
        self.state().loading = None;
        Ok((key, loaded?))
    }

    fn unload_or_fail(&self, name: &str, reason: UnloadReason) -> Result<(), ManagerError> {
        let unloaded = self.unload(name, reason)?;
        if unloaded.is_gone() {
            return Ok(());
        }
        Err(ManagerError::Stuck {
            model: Box::new(unloaded),
        })
    }

    /// Plans and loads a model, with a retry for each known failure. The loop ends because mapping
    /// fails at most once, and every other retry uses a smaller context.
    fn load(
        &self,
        client: &Client,
        name: &str,
        description: &Description,
    ) -> Result<LoadProfile, ManagerError> {
        let (mut ctx_max, keep_alive) = {
            let settings = &self.state().settings;
            (settings.ctx_max, settings.keep_alive())
        };
        // The server may have been updated since the last load.
        let version = client.version()?;
        loop {
            let planned = self.admit(client, name, &version, description, ctx_max)?;
            let progress = Arc::new(LoadProgress::new(self, &description.id));
            match client.load(name, &planned.profile, keep_alive, Some(progress)) {
                Ok(()) => return Ok(self.add_resident(name, &version, description, planned)),
                Err(OllamaError::MapFailed { .. }) if planned.profile.use_mmap == Some(true) => {
                    let model = name.to_owned();
                    let mut state = self.state();
                    state.unmappable.insert(model.clone());
                    state.note(ModelEvent::MapFailed { model });
                }
                Err(error @ OllamaError::OutOfMemory { .. }) => {
                    let smaller = self.step_down(name, planned.profile.num_ctx);
                    ctx_max = smaller.ok_or(error)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns the next smaller context that is useful.
    fn step_down(&self, name: &str, from_ctx: u32) -> Option<u32> {
        let mut state = self.state();
        let ctx_min = state.settings.ctx_min;
        let mut steps = CTX_STEPS.into_iter().rev();
        let ctx_max = steps.find(|step| (ctx_min..from_ctx).contains(step))?;
        state.note(ModelEvent::SteppedDown {
            model: name.to_owned(),
            from_ctx,
        });
        Some(ctx_max)
    }

    /// Finds a context that fits, and unloads the least recently used models until one does.
    fn admit(
        &self,
        client: &Client,
        name: &str,
        version: &Version,
        description: &Description,
        ctx_max: u32,
    ) -> Result<Plan, ManagerError> {
        // If another program has loaded the model, our load replaces that one.
        let list = client.running()?;
        let replaced = description.id.find_listed(&list);
        let replaced_bytes = replaced.map_or(0, RunningModel::host_bytes);
        let (lost, lost_bytes) = self.state().residency.lost_in_use(&list);
        let mut others = list.len() - usize::from(replaced.is_some()) + lost;
        loop {
            let capacity = self.capacity().map(|mut capacity| {
                let bytes = capacity.available_bytes.saturating_add(replaced_bytes);
                capacity.available_bytes = bytes.saturating_sub(lost_bytes);
                capacity
            });
            let admission = {
                let state = self.state();
                let demand = Demand {
                    name,
                    version,
                    shape: &description.shape,
                    ctx_max,
                    is_mapped: state.settings.memory_mapping && !state.unmappable.contains(name),
                    others,
                };
                state.residency.admit(&state.settings, &demand, capacity)?
            };
            match admission {
                Admission::Load(planned) => return Ok(planned),
                Admission::Unload(victim) => {
                    self.unload_or_fail(&victim, UnloadReason::LeastRecentlyUsed)?;
                    others = others.saturating_sub(1);
                }
            }
        }
    }

    /// Adds a loaded model with its first lease.
    fn add_resident(
        &self,
        name: &str,
        version: &Version,
        description: &Description,
        planned: Plan,
    ) -> LoadProfile {
        let id = description.id.clone();
        let runner = id.runner(self.probe.as_ref()).map(|runner| runner.id);
        let (last_used, last_used_utc) = (self.probe.now(), self.probe.utc_now());
        let mut state = self.state();
        let resident = Resident {
            id,
            profile: planned.profile.clone(),
            estimate: planned.estimate,
            server: state.settings.server_traits(version),
            runner,
            leases: 1,
            last_used,
            last_used_utc,
            touched: last_used,
            is_bloated: false,
        };
        state.unmark_stopping(name);
        state.residency.models.insert(name.to_owned(), resident);
        state.note(ModelEvent::Loaded {
            model: name.to_owned(),
            profile: planned.profile.clone(),
        });
        planned.profile
    }
}

/// Keeps waiting for a load as long as its process grows.
#[derive(Debug)]
struct LoadProgress {
    probe: Arc<dyn Probe>,
    id: ModelId,
    stall_max: Duration,
    growth: Mutex<Growth>,
}

#[derive(Debug, Default)]
struct Growth {
    looked_at: Duration,
    resident_bytes: u64,
    grew_at: Duration,
}

impl LoadProgress {
    fn new(inner: &Inner, id: &ModelId) -> Self {
        Self {
            probe: Arc::clone(&inner.probe),
            id: id.clone(),
            stall_max: inner.state().settings.load_stall_max,
            growth: Mutex::default(),
        }
    }
}

impl StallPolicy for LoadProgress {
    fn keep_waiting(&self, silent: Duration) -> bool {
        let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        if silent < growth.looked_at + GROWTH_TURN {
            return true;
        }
        growth.looked_at = silent;
        let runner = self.id.runner(self.probe.as_ref());
        let resident = runner.and_then(|runner| Some(runner.memory?.resident_bytes));
        if let Some(resident) = resident
            && resident > growth.resident_bytes
        {
            growth.resident_bytes = resident;
            growth.grew_at = silent;
        }
        silent.saturating_sub(growth.grew_at) <= self.stall_max
    }
}
