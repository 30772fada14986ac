//! Compares what the manager remembers with what the server and the processes show.

use super::catalog::Description;
use super::residency::Resident;
use super::shared::Inner;
use crate::ollama::client::error::OllamaError;
use crate::ollama::client::profile::LoadProfile;
use crate::ollama::client::wire::RunningModel;
use crate::ollama::outcome::{ModelEvent, UnloadReason};
use crate::ollama::plan::{PlanOptions, plan};

/// How often the server's timer of a leased model is reset within an idle time. With two ticks in
/// an idle time, it is reset after three quarters at the latest.
const TOUCHES_PER_IDLE_TIME: u32 = 4;

impl Inner {
    /// Drops the models that the server no longer holds, and notices foreign reloads.
    pub(super) fn reconcile(&self, list: &[RunningModel]) {
        let runners = self.probe.runners();
        // The process was seen, and now none holds the weights: the model is gone even if it is
        // listed. Another process with the same weights is a reload by another program.
        let has_ended = |model: &Resident| match (&runners, &model.id.blob, model.runner) {
            (Some(runners), Some(_), Some(_)) => {
                !runners.iter().any(|runner| model.id.is_held_by(runner))
            }
            _ => false,
        };
        let mut state = self.state();
        state.forget_gone(list, runners.as_deref());
        let vanished: Vec<String> = state
            .residency
            .models
            .iter()
            .filter(|(_, model)| {
                let is_gone = model.id.find_listed(list).is_none() || has_ended(model);
                // A leased model stays: the lease reloads it at its next request.
                model.leases == 0 && is_gone
            })
            .map(|(name, _)| name.clone())
            .collect();
        for model in vanished {
            state.residency.models.remove(&model);
            state.note(ModelEvent::Vanished { model });
        }
        let state = &mut *state;
        let ctx_max = state.settings.ctx_max;
        let events = state
            .residency
            .adopt_or_forget(list, &state.catalog, ctx_max);
        for event in events {
            state.note(event);
        }
    }

    /// Resets the server's timer of leased models. A lease may send nothing for longer than the
    /// server keeps a model, while its caller prepares a prompt.
    pub(super) fn touch(&self, list: &[RunningModel]) -> Result<(), OllamaError> {
        let now = self.probe.now();
        let (keep_alive, due) = {
            let mut state = self.state();
            let Some(timeout) = state.settings.idle_timeout else {
                return Ok(());
            };
            let interval = timeout / TOUCHES_PER_IDLE_TIME;
            let is_due = |model: &Resident| {
                model.leases > 0 && now.saturating_sub(model.touched) >= interval
            };
            let models = state.residency.models.iter_mut();
            let due: Vec<(String, LoadProfile)> = models
                .filter(|(_, model)| is_due(model) && model.id.find_listed(list).is_some())
                .map(|(name, model)| {
                    model.touched = now;
                    (name.clone(), model.profile.clone())
                })
                .collect();
            (state.settings.keep_alive(), due)
        };
        for (name, profile) in due {
            // A request without a prompt only resets the timer.
            self.client.load(&name, &profile, keep_alive, None)?;
        }
        Ok(())
    }

    /// Marks the models whose process holds much more than the server claims.
    pub(super) fn mark_bloated(&self, list: &[RunningModel]) {
        let Some(runners) = self.probe.runners() else {
            return;
        };
        let mut state = self.state();
        let limit = state.settings.unclaimed_bytes_max;
        for model in state.residency.models.values_mut() {
            let runner = runners.iter().find(|runner| model.id.is_held_by(runner));
            let (Some(listed), Some(runner)) = (model.id.find_listed(list), runner) else {
                continue;
            };
            model.runner = Some(runner.id);
            let expected = listed
                .host_bytes()
                .saturating_add(model.estimate.overhead_bytes);
            model.is_bloated = runner.private_bytes().saturating_sub(expected) > limit;
        }
    }

    /// Returns why an unused model must be reloaded for the next lease, if it must.
    pub(super) fn reason_to_reload(
        &self,
        name: &str,
        description: &Description,
    ) -> Option<UnloadReason> {
        let capacity = self.capacity();
        let state = self.state();
        let model = state.residency.models.get(name)?;
        let settings = &state.settings;
        if model.id.digest != description.id.digest {
            return Some(UnloadReason::Asked); // pulled again: the weights have changed
        }
        if model.profile.num_ctx > settings.ctx_max {
            return Some(UnloadReason::Shrunk);
        }
        let mut capacity = capacity?;
        if capacity.available_bytes >= capacity.reserve_bytes {
            return None;
        }
        // What the model frees is available to its smaller successor.
        let freed = model.estimate.total_bytes;
        capacity.available_bytes = capacity.available_bytes.saturating_add(freed);
        let options = PlanOptions {
            ctx_max: settings.ctx_max,
            ctx_min: settings.ctx_min,
            use_mmap: model.profile.use_mmap,
            server: model.server,
        };
        let smaller = plan(&description.shape, capacity.room_bytes(), &options).ok()?;
        (smaller.profile.num_ctx < model.profile.num_ctx).then_some(UnloadReason::Shrunk)
    }
}
