//! A model in use.

use std::sync::Arc;

use super::shared::{Inner, Manager};
use crate::ollama::client::Prompt;
use crate::ollama::client::error::OllamaError;
use crate::ollama::client::profile::LoadProfile;
use crate::ollama::client::stream::ResponseStream;
use crate::ollama::client::transport::Cancel;
use crate::ollama::client::wire::Chunk;
use crate::ollama::outcome::{ManagerError, UnloadReason, UnloadedModel};
use crate::ollama::state::full_name;

/// A loaded model, which stays loaded with the same profile until the lease is dropped.
#[derive(Debug)]
pub struct Lease {
    inner: Arc<Inner>,
    model: String,
    /// The name under which the model is resident: an alias shares the process of the first name.
    key: String,
    profile: LoadProfile,
}

impl Lease {
    /// Returns the full name of the model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns the profile. Its context must hold a prompt and the response.
    #[must_use]
    pub fn profile(&self) -> &LoadProfile {
        &self.profile
    }

    /// Starts a generation, and returns the stream of its chunks. Setting `cancel` ends it.
    ///
    /// If the server has lost the model, for instance by a restart, it loads the model again. The
    /// manager reserves its memory against other leases, but not against other programs.
    ///
    /// # Errors
    ///
    /// [`OllamaError::PromptTooLong`]: shorten the prompt. [`OllamaError::RunnerEnded`]: drop the
    /// lease, acquire another one, and repeat the request.
    pub fn generate(
        &self,
        prompt: &Prompt,
        cancel: &Cancel,
    ) -> Result<ResponseStream<Chunk>, OllamaError> {
        let keep_alive = self.inner.state().settings.keep_alive();
        let client = self.inner.client.with_cancel(cancel.clone());
        client.generate(&self.model, &self.profile, keep_alive, prompt)
    }

    /// Ends the lease. If no other lease uses the model, and its process has grown beyond
    /// [`Settings::unclaimed_bytes_max`](crate::ollama::Settings::unclaimed_bytes_max), the model
    /// is unloaded.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] if the server does not answer, or if another load is in flight. The lease
    /// has ended anyway, and the next [`tick`](Manager::tick) unloads the model.
    pub fn finish(self) -> Result<Option<UnloadedModel>, OllamaError> {
        let (inner, key) = (Arc::clone(&self.inner), self.key.clone());
        drop(self);
        let _flight = inner.enter_to_unload()?;
        inner.mark_bloated(&inner.client.running()?);
        let is_due = {
            let state = inner.state();
            let resident = state.residency.models.get(&key);
            resident.is_some_and(|resident| resident.leases == 0 && resident.is_bloated)
        };
        if is_due {
            return inner.unload(&key, UnloadReason::Bloated).map(Some);
        }
        Ok(None)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (now, utc_now) = (self.inner.probe.now(), self.inner.probe.utc_now());
        let mut state = self.inner.state();
        state.residency.release(&self.key, now, utc_now);
    }
}

impl Manager {
    /// Leases a model, and loads it first if it is not in memory. Blocks until the model is ready.
    /// Callers that request the same model at the same time share one load.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NoRoom`] before anything is loaded, with the required and the available
    /// memory. [`ManagerError::Ollama`] otherwise: with [`OllamaError::Cancelled`] if `cancel` was
    /// set, and with [`OllamaError::InFlight`] if the call comes from inside another load.
    pub fn lease(&self, model: &str, cancel: &Cancel) -> Result<Lease, ManagerError> {
        let name = full_name(model);
        // A lease pins its model, so another caller can share it without looking at the server.
        if let Some(lease) = self.share(&name) {
            return Ok(lease);
        }
        let _flight = self.inner.flights.enter(cancel, None)?;
        if let Some(lease) = self.share(&name) {
            return Ok(lease);
        }
        let client = self.inner.client.with_cancel(cancel.clone());
        let (key, profile) = self.inner.make_ready(&name, &client)?;
        Ok(self.lease_of(name, key, profile))
    }

    /// Returns a lease of a model that another caller leases.
    fn share(&self, name: &str) -> Option<Lease> {
        let profile = {
            let mut state = self.inner.state();
            if state.residency.models.get(name)?.leases == 0 {
                return None;
            }
            state.residency.acquire(name)?.profile.clone()
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
