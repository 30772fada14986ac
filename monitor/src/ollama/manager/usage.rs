//! Reports on models, of any program.

use super::catalog::find_installed;
use super::shared::{Inner, Manager};
use crate::ollama::client::error::OllamaError;
use crate::ollama::client::wire::{InstalledModel, RunningModel};
use crate::ollama::outcome::ManagerError;
use crate::ollama::plan::quantization::{Quantization, QuantizationAdvice, recommend};
use crate::ollama::plan::shape::ModelShape;
use crate::ollama::probe::Runner;
use crate::ollama::report::{ManagedModel, ModelMemoryReport, ReportInputs};
use crate::ollama::state::{Evidence, ModelState, full_name};

impl Manager {
    /// Queries the server and the processes, and reports what every model costs.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] if the server does not answer.
    pub fn get_model_memory_usage(&self) -> Result<ModelMemoryReport, OllamaError> {
        let look = self.inner.look()?;
        let loading = self.inner.loading(look.unlisted());
        let managed = self.inner.managed_models();
        let (settings, stopping, mut names) = {
            let state = self.inner.state();
            (
                state.settings.clone(),
                state.stopping.clone(),
                state.catalog.names(),
            )
        };
        let unlisted = look.unlisted().map(|runner| &runner.model_path);
        let unnamed = unlisted.filter(|path| names.iter().all(|(known, _)| known != *path));
        let found: Vec<_> = unnamed
            .filter_map(|path| Some((path.clone(), self.inner.identify_blob(path)?.name)))
            .collect();
        names.extend(found);
        let smaller = self
            .inner
            .smaller_models(&look.list, settings.quantization)?;
        let inputs = ReportInputs {
            list: &look.list,
            runners: look.runners.as_deref(),
            managed: &managed,
            smaller: &smaller,
            stopping: &stopping,
            names: &names,
            blobs: &look.blobs,
            loading: &loading,
            memory_mapping: settings.memory_mapping,
            ctx_max: settings.ctx_max,
        };
        Ok(inputs.report())
    }

    /// Returns the figures that determine the memory of an installed model, for
    /// [`plan`](crate::ollama::plan()).
    ///
    /// # Errors
    ///
    /// [`ManagerError::Unplannable`] if the model's description lacks a figure.
    pub fn shape(&self, model: &str) -> Result<ModelShape, ManagerError> {
        let description = self.inner.describe(&self.inner.client, &full_name(model))?;
        Ok(description.shape)
    }

    /// Recommends a replacement with the level of
    /// [`Settings::quantization`](crate::ollama::Settings::quantization) for an installed model.
    /// Returns `None` if the model already has that level, if its level is unknown, or if no level
    /// is set.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotInstalled`] if no model has this name.
    pub fn quantization_advice(
        &self,
        model: &str,
    ) -> Result<Option<QuantizationAdvice>, OllamaError> {
        let Some(wanted) = self.settings().quantization else {
            return Ok(None);
        };
        let installed = self.inner.client.installed()?;
        let model = find_installed(&installed, &full_name(model))?;
        Ok(recommend(model, wanted, &installed))
    }

    /// Queries the server and the processes, and returns the state of a model of any program.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotInstalled`] if no model has this name.
    pub fn model_state(&self, model: &str) -> Result<ModelState, OllamaError> {
        let name = full_name(model);
        let id = self.inner.identify(&name)?;
        let list = self.inner.client.running()?;
        let runners = self.inner.probe.runners();
        let listed = id.find_listed(&list);
        let of_model = |runner: &&Runner| Some(&runner.model_path) == id.blob.as_ref();
        // A process of a running server takes precedence, and an orphan counts only if the server
        // does not list the model.
        let runner = runners
            .iter()
            .flatten()
            .filter(of_model)
            .min_by_key(|runner| runner.is_orphan)
            .filter(|runner| listed.is_none() || !runner.is_orphan);
        // Only the state of an unlisted process depends on whether it grows.
        let unlisted = runner.filter(|runner| listed.is_none() && !runner.is_orphan);
        let loading = self.inner.loading(unlisted.into_iter());
        let mut state = self.inner.state();
        state.forget_gone(&list, runners.as_deref());
        let (key, _) = state.resident_name(&name);
        let resident = state.residency.models.get(&key);
        let evidence = Evidence {
            listed,
            runner,
            sees_runners: runners.is_some() && id.blob.is_some(),
            expected_ctx: resident.map(|resident| resident.profile.num_ctx),
            unload_requested: state.stopping.iter().any(|stopping| stopping.name == name),
            is_loading: !loading.is_empty(),
        };
        Ok(evidence.state())
    }
}

impl Inner {
    fn managed_models(&self) -> Vec<ManagedModel> {
        let state = self.state();
        let models = state.residency.models.iter();
        models
            .map(|(name, model)| ManagedModel {
                id: model.id.clone(),
                profile: model.profile.clone(),
                estimate: model.estimate,
                server: model.server,
                shape: state.catalog.get(name).map(|known| known.shape.clone()),
                leases: model.leases,
                last_used: model.last_used_utc,
            })
            .collect()
    }

    /// Recommends smaller models, by the names of the loaded ones.
    fn smaller_models(
        &self,
        list: &[RunningModel],
        wanted: Option<Quantization>,
    ) -> Result<Vec<(String, QuantizationAdvice)>, OllamaError> {
        let Some(wanted) = wanted.filter(|_| !list.is_empty()) else {
            return Ok(Vec::new());
        };
        let installed = self.client.installed()?;
        let loaded = list.iter().filter_map(|model| {
            let is_same = |other: &&InstalledModel| other.digest == model.digest;
            let advice = recommend(installed.iter().find(is_same)?, wanted, &installed)?;
            Some((model.name.clone(), advice))
        });
        Ok(loaded.collect())
    }
}
