//! A model for the time of a job.

use std::sync::Arc;

use super::super::outcome::UnloadedModel;
use super::super::{Answers, Cancel, KeepAlive, LoadProfile, OllamaError, Piece, Prompt};
use super::{Inner, KEEP_ALIVE_SLACK, Manager, ManagerError, UnloadReason};

/// A loaded model that stays loaded, as it is, until this is dropped.
#[derive(Debug)]
pub struct Lease {
    pub(super) inner: Arc<Inner>,
    pub(super) model: String,
    /// The name by which the books hold it: an alias shares the process of the name that came first.
    pub(super) key: String,
    pub(super) profile: LoadProfile,
}

impl Lease {
    /// Returns the whole name of the model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns what it is loaded with: its context is what a prompt with its answer must fit into.
    #[must_use]
    pub fn profile(&self) -> &LoadProfile {
        &self.profile
    }

    /// Lets the model answer; the answer comes piece by piece and stops when `cancel` says so.
    ///
    /// Where the server has lost the model, by a restart for instance, it loads it again by itself: its place and its
    /// memory were kept free of our other models, but not of those that other programs loaded meanwhile.
    ///
    /// # Errors
    ///
    /// [`OllamaError::PromptTooLong`]: shorten it. [`OllamaError::RunnerEnded`]: drop the lease, take another, repeat.
    pub fn generate(
        &self,
        prompt: &Prompt,
        cancel: &Cancel,
    ) -> Result<Answers<Piece>, OllamaError> {
        let keep_alive = self.inner.keep_alive();
        self.inner.client.with_cancel(cancel.clone()).generate(
            &self.model,
            &self.profile,
            keep_alive,
            prompt,
        )
    }

    /// Gives the model back, and frees at once what the job left behind: where the process now holds more beyond its
    /// model than the settings allow and nobody else uses it, it is unloaded.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] where the server does not answer; the lease is given back all the same.
    pub fn finish(self) -> Result<Option<UnloadedModel>, OllamaError> {
        let (inner, key) = (Arc::clone(&self.inner), self.key.clone());
        drop(self);
        let _passage = inner.enter(&Cancel::new())?;
        inner.mark_bloated(&inner.client.running()?);
        let is_due = inner
            .state()
            .books
            .held
            .get(&key)
            .is_some_and(|held| held.users == 0 && held.is_bloated);
        if is_due {
            return inner.unload(&key, UnloadReason::Bloated).map(Some);
        }
        Ok(None)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (now, wall) = (self.inner.sight.now(), self.inner.sight.wall());
        self.inner.state().books.give_back(&self.key, now, wall);
    }
}

impl Manager {
    /// Returns a model, loading it first where it is not in memory. Callers that ask for the same model at the same time
    /// share one load. Blocks until the model is ready.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NoRoom`] with the figures, before anything is loaded; [`ManagerError::Ollama`] otherwise, and
    /// [`OllamaError::Cancelled`] inside it when `cancel` says so.
    pub fn lease(&self, model: &str, cancel: &Cancel) -> Result<Lease, ManagerError> {
        let name = super::whole_name(model);
        // Whoever uses a model pins it: it cannot change under a second user, so there is nothing to look at.
        if let Some(lease) = self.share(&name) {
            return Ok(lease);
        }
        let _passage = self.inner.enter(cancel)?;
        if let Some(lease) = self.share(&name) {
            return Ok(lease);
        }
        let client = self.inner.client.with_cancel(cancel.clone());
        let (key, profile) = self.inner.make_ready(&name, &client)?;
        Ok(self.lease_of(name, key, profile))
    }

    /// A lease of a model that somebody uses already.
    fn share(&self, name: &str) -> Option<Lease> {
        let profile = {
            let mut state = self.inner.state();
            if state.books.held.get(name)?.users == 0 {
                return None;
            }
            state.books.take(name)?.profile.clone()
        };
        Some(self.lease_of(name.to_owned(), name.to_owned(), profile))
    }

    fn lease_of(&self, model: String, key: String, profile: LoadProfile) -> Lease {
        Lease {
            inner: Arc::clone(&self.inner),
            model,
            key,
            profile,
        }
    }
}

impl Inner {
    /// What the server is told: a little more than our own idle time, since only our unload is verified.
    pub(super) fn keep_alive(&self) -> KeepAlive {
        match self.state().settings.idle_timeout {
            Some(timeout) => KeepAlive::For(timeout.saturating_add(KEEP_ALIVE_SLACK)),
            None => KeepAlive::Forever,
        }
    }
}
