//! Unloads models on request, by age, by limit, and after their server has ended.

use super::shared::{Inner, Manager};
use crate::ollama::client::error::OllamaError;
use crate::ollama::outcome::{
    KeptModel, ModelEvent, ModelUnloadResult, UnloadReason, UnloadedModel,
};
use crate::ollama::probe::Runner;
use crate::ollama::state::{ModelId, full_name};
use crate::ollama::unload::{self, UnloadLimits};

impl Manager {
    /// Performs the regular work: it unloads models that were unused for the idle time or whose
    /// process has grown too large, and resets the server's timer of leased models.
    ///
    /// Call it at least twice in an idle time. It sends nothing if no model is managed, and does
    /// nothing during a load.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] if the server does not answer. The next call tries again.
    pub fn tick(&self) -> Result<ModelUnloadResult, OllamaError> {
        if self.inner.state().residency.models.is_empty() {
            return Ok(ModelUnloadResult::default());
        }
        let Some(_flight) = self.inner.flights.try_enter() else {
            return Ok(ModelUnloadResult::default());
        };
        let list = self.inner.client.running()?;
        self.inner.reconcile(&list);
        self.inner.mark_bloated(&list);
        self.inner.touch(&list)?;
        let now = self.inner.probe.now();
        let due = {
            let state = self.inner.state();
            state.residency.due(now, state.settings.idle_timeout)
        };
        self.inner.unload_each(due, UnloadReason::Idle)
    }

    /// Sets the limit for the sum of all estimates, in MiB, and unloads unused models until it is
    /// kept, the least recently used first.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] if the server does not answer or another load is in flight. The limit is
    /// set anyway, and applies to the next load.
    pub fn set_model_cache_size(
        &self,
        max_memory_mb: u64,
    ) -> Result<ModelUnloadResult, OllamaError> {
        let limit = max_memory_mb.saturating_mul(1 << 20);
        self.inner.state().settings.models_bytes_max = limit;
        let _flight = self.inner.enter_to_unload()?;
        let mut result = ModelUnloadResult::default();
        loop {
            let victim = {
                let state = self.inner.state();
                if state.residency.total_bytes() <= limit {
                    break;
                }
                state.residency.least_recently_used().map(str::to_owned)
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

    /// Unloads every managed model that is not leased, and verifies that. Models of other programs
    /// stay.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] if the server does not answer or another load is in flight. Models that were
    /// already unloaded stay unloaded.
    pub fn unload_unused_models(&self) -> Result<ModelUnloadResult, OllamaError> {
        let _flight = self.inner.enter_to_unload()?;
        let unused = self.inner.state().residency.unused();
        self.inner.unload_each(unused, UnloadReason::Asked)
    }

    /// Unloads one model, of any program, and verifies that. A leased model stays.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotInstalled`] if no model has this name. [`OllamaError::InFlight`] if
    /// another load is in flight: try again.
    pub fn unload(&self, model: &str) -> Result<ModelUnloadResult, OllamaError> {
        let name = full_name(model);
        let _flight = self.inner.enter_to_unload()?;
        let mut result = ModelUnloadResult::default();
        let id = self.inner.identify(&name)?;
        let (key, leases) = self.inner.state().resident_name(&name);
        if leases == 0 {
            let unloaded = self.inner.unload(&key, UnloadReason::Asked)?;
            let is_gone = unloaded.is_gone();
            result.add(unloaded);
            if let Some(blob) = id.blob.filter(|_| is_gone) {
                let runners = self.inner.probe.runners().unwrap_or_default();
                let is_same = |runner: &&Runner| runner.is_orphan && runner.model_path == blob;
                let orphans = runners.iter().filter(is_same);
                self.inner.end_orphans(orphans, &mut result);
            }
        }
        result.kept = self.inner.kept();
        Ok(result)
    }

    /// Unloads the models whose process runs although the server does not list them, and verifies
    /// that. Each process may still end or finish a load within
    /// [`Settings::unload_max`](crate::ollama::Settings::unload_max); then it is stuck.
    ///
    /// A process is kept if it may belong to another server, or if the server lists a model whose
    /// process is unknown.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] if a server answers with an error, or another load is in flight.
    pub fn unload_unlisted(&self) -> Result<ModelUnloadResult, OllamaError> {
        let _flight = self.inner.enter_to_unload()?;
        let look = match self.inner.look() {
            Err(OllamaError::NotRunning { .. }) => return Ok(ModelUnloadResult::default()),
            look => look?,
        };
        let is_complete = look.blobs.len() == look.list.len();
        let mut result = ModelUnloadResult::default();
        for runner in look.unlisted() {
            let id = self.inner.identify_blob(&runner.model_path);
            let name = || match &id {
                Some(id) => id.name.clone(),
                None => runner.model_path.clone(),
            };
            let reason = match (runner.may_be_foreign, is_complete) {
                (true, _) => "it may belong to another server",
                (false, false) => "the server may list it under another name",
                (false, true) => {
                    let unnamed = ModelId {
                        name: name(),
                        digest: String::new(),
                        blob: Some(runner.model_path.clone()),
                    };
                    let may_request = id.is_some();
                    let id = id.unwrap_or(unnamed);
                    result.add(self.inner.unload_id(&id, may_request)?);
                    continue;
                }
            };
            result.kept.push(KeptModel {
                name: name(),
                reason,
            });
        }
        Ok(result)
    }

    /// Returns the processes that hold a model although their server has ended. The server need
    /// not run.
    #[must_use]
    pub fn orphans(&self) -> Vec<Runner> {
        let mut runners = self.inner.probe.runners().unwrap_or_default();
        runners.retain(|runner| runner.is_orphan);
        runners
    }

    /// Ends every process whose server has ended, if
    /// [`Settings::kill_stuck`](crate::ollama::Settings::kill_stuck) allows it. Otherwise it
    /// reports each one as stuck, with the remedy. The server need not run.
    ///
    /// A process whose model the server lists, and that has no other process, is kept: its server
    /// may run under another name.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] if a server answers with an error, or another load is in flight.
    pub fn unload_orphans(&self) -> Result<ModelUnloadResult, OllamaError> {
        let _flight = self.inner.enter_to_unload()?;
        let list = match self.inner.client.running() {
            Err(OllamaError::NotRunning { .. }) => Vec::new(),
            list => list?,
        };
        let listed = self.inner.blobs_of(&list);
        let runners = self.inner.probe.runners().unwrap_or_default();
        let is_claimed = |orphan: &Runner| {
            let is_same = |runner: &&Runner| runner.model_path == orphan.model_path;
            listed.iter().any(|(_, blob)| *blob == orphan.model_path)
                && runners
                    .iter()
                    .filter(is_same)
                    .all(|runner| runner.is_orphan)
        };
        let (claimed, orphans): (Vec<&Runner>, Vec<&Runner>) = runners
            .iter()
            .filter(|runner| runner.is_orphan)
            .partition(|runner| is_claimed(runner));
        let mut result = ModelUnloadResult::default();
        self.inner.end_orphans(orphans.into_iter(), &mut result);
        result.kept = self.inner.kept();
        let state = self.inner.state();
        result
            .kept
            .extend(claimed.into_iter().map(|runner| KeptModel {
                name: state.name_of(&runner.model_path),
                reason: "the server lists it",
            }));
        Ok(result)
    }
}

impl Inner {
    /// Unloads several models. The caller holds the flight, so no new lease can begin.
    fn unload_each(
        &self,
        names: Vec<String>,
        reason: UnloadReason,
    ) -> Result<ModelUnloadResult, OllamaError> {
        let mut result = ModelUnloadResult::default();
        for name in names {
            let is_bloated = {
                let state = self.state();
                let resident = state.residency.models.get(&name);
                resident.is_some_and(|resident| resident.is_bloated)
            };
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

    /// Unloads an unused model. The caller holds the flight.
    pub(super) fn unload(
        &self,
        name: &str,
        reason: UnloadReason,
    ) -> Result<UnloadedModel, OllamaError> {
        let id = self.state().id(name);
        let unloaded = self.unload_id(&id, true)?;
        if unloaded.is_gone() {
            let mut state = self.state();
            state.residency.models.remove(name);
            state.note(ModelEvent::Unloaded {
                model: name.to_owned(),
                reason,
            });
        }
        Ok(unloaded)
    }

    /// Unloads a model that may not be managed. The caller holds the flight.
    fn unload_id(&self, id: &ModelId, may_request: bool) -> Result<UnloadedModel, OllamaError> {
        let limits = {
            let mut state = self.state();
            state.mark_stopping(id);
            UnloadLimits {
                time_max: state.settings.unload_max,
                may_kill: state.settings.kill_stuck,
                may_request,
            }
        };
        let unloaded = unload::unload(&self.client, self.probe.as_ref(), id, limits)?;
        if unloaded.is_gone() {
            self.state().unmark_stopping(&id.name);
        }
        Ok(unloaded)
    }

    /// Ends processes without a server, as far as the settings allow.
    fn end_orphans<'a>(
        &self,
        orphans: impl Iterator<Item = &'a Runner>,
        result: &mut ModelUnloadResult,
    ) {
        for orphan in orphans {
            let (name, may_kill) = {
                let state = self.state();
                (state.name_of(&orphan.model_path), state.settings.kill_stuck)
            };
            let probe = self.probe.as_ref();
            result.add(unload::end_orphan(probe, &name, orphan, may_kill));
        }
    }
}
