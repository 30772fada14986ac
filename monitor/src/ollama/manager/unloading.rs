//! Out of memory, by name, by age, and what a server has left behind.

use super::super::outcome::{KeptModel, ModelUnloadResult, UnloadedModel};
use super::super::sight::Runner;
use super::super::state::whole_name;
use super::super::unload;
use super::super::{Cancel, OllamaError};
use super::{Event, Inner, Manager, UnloadReason};

impl Manager {
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
        self.inner.describe_for_unload(&name)?;
        let (key, blob, users) = self.inner.state().user_count(&name);
        if users == 0 {
            let unloaded = self.inner.unload(&key, UnloadReason::Asked)?;
            let is_gone = unloaded.is_gone();
            result.add(unloaded);
            if let Some(blob) = blob.filter(|_| is_gone) {
                let runners = self.inner.sight.runners().unwrap_or_default();
                let same = |runner: &&Runner| runner.is_orphan && runner.model_path == blob;
                self.inner
                    .end_orphans(runners.iter().filter(same), &mut result);
            }
        }
        result.kept = self.inner.kept();
        Ok(result)
    }

    /// Returns the processes that hold a model for a server that has ended; the server need not run.
    #[must_use]
    pub fn orphans(&self) -> Vec<Runner> {
        let mut runners = self.inner.sight.runners().unwrap_or_default();
        runners.retain(|runner| runner.is_orphan);
        runners
    }

    /// Ends every process that a server has left behind, where [`Settings::kill_stuck`](super::Settings::kill_stuck)
    /// allows that; otherwise reports each as stuck, with what can be done. The server need not run.
    ///
    /// A process whose model the server lists and that has no other is left alone and kept in the result: its server may
    /// run under another name.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] where a server answers, but not as one.
    pub fn unload_orphans(&self) -> Result<ModelUnloadResult, OllamaError> {
        let _passage = self.inner.enter(&Cancel::new())?;
        let list = match self.inner.client.running() {
            Err(OllamaError::NotRunning { .. }) => Vec::new(),
            list => list?,
        };
        let listed = self.inner.foreign_blobs(&list, &[]);
        let runners = self.inner.sight.runners().unwrap_or_default();
        let is_claimed = |orphan: &Runner| {
            let same = |runner: &&Runner| runner.model_path == orphan.model_path;
            listed.iter().any(|(_, blob)| *blob == orphan.model_path)
                && runners.iter().filter(same).all(|runner| runner.is_orphan)
        };
        let (claimed, orphans): (Vec<&Runner>, Vec<&Runner>) = runners
            .iter()
            .filter(|runner| runner.is_orphan)
            .partition(|runner| is_claimed(runner));
        let mut result = ModelUnloadResult::default();
        self.inner.end_orphans(orphans.into_iter(), &mut result);
        result.kept = self.inner.kept();
        result
            .kept
            .extend(claimed.into_iter().map(|runner| KeptModel {
                name: self.inner.state().name_of(&runner.model_path),
                reason: "the server lists it",
            }));
        Ok(result)
    }
}

impl Inner {
    /// Unloads one model after another. The gate must be held, so that nobody begins to use one of them.
    pub(super) fn unload_all(
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
    pub(super) fn unload(
        &self,
        name: &str,
        reason: UnloadReason,
    ) -> Result<UnloadedModel, OllamaError> {
        let (target, limit) = {
            let state = self.state();
            let limit = unload::Limit {
                time_max: state.settings.unload_max,
                may_kill: state.settings.kill_stuck,
            };
            (state.target(name), limit)
        };
        self.state().asked_to_go(&target);
        let unloaded = unload::unload(&self.client, self.sight.as_ref(), &target, limit)?;
        let mut state = self.state();
        if unloaded.is_gone() {
            state.books.held.remove(name);
            state.stopping.retain(|stopping| stopping.name != name);
            state.note(Event::Unloaded {
                model: name.to_owned(),
                reason,
            });
        }
        Ok(unloaded)
    }

    /// Ends processes that no server will end, as far as that is allowed.
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
            result.add(unload::end_orphan(
                self.sight.as_ref(),
                &name,
                orphan,
                may_kill,
            ));
        }
    }

    /// The models that are in use.
    pub(super) fn kept(&self) -> Vec<KeptModel> {
        let state = self.state();
        let held = state.books.held.iter();
        held.map(|(name, held)| KeptModel {
            name: name.clone(),
            reason: if held.users > 0 { "in use" } else { "not due" },
        })
        .collect()
    }
}
