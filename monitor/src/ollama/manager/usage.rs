//! The manager's part of a report.

use super::super::report::{Facts, ModelMemoryReport, Ours};
use super::super::sight::Runner;
use super::super::state::{Evidence, ModelState, find_listed, whole_name};
use super::super::{
    InstalledModel, ModelShape, OllamaError, Quantization, QuantizationAdvice, RunningModel,
    recommend,
};
use super::{Description, Inner, Manager, ManagerError, State};

impl Manager {
    /// Looks at the server and the processes, and reports what every model costs, ours or not.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] where the server does not answer.
    pub fn get_model_memory_usage(&self) -> Result<ModelMemoryReport, OllamaError> {
        let list = self.inner.client.running()?;
        let runners = self.inner.sight.runners();
        self.inner.state().forget_gone(&list, runners.as_deref());
        let ours = self.inner.ours();
        let blobs = self.inner.foreign_blobs(&list, &ours);
        let (settings, stopping, names) = {
            let state = self.inner.state();
            (
                state.settings.clone(),
                state.stopping.clone(),
                state.names(),
            )
        };
        let smaller = self.inner.smaller_models(&list, settings.quantization)?;
        let facts = Facts {
            smaller: &smaller,
            list: &list,
            stopping: &stopping,
            names: &names,
            runners: runners.as_deref(),
            ours: &ours,
            blobs: &blobs,
            memory_mapping: settings.memory_mapping,
            ctx_max: settings.ctx_max,
        };
        Ok(facts.report())
    }
}

impl Manager {
    /// Returns what an installed model's memory follows from, to [`plan`](super::super::plan()) with.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Unplannable`] where its description lacks a figure.
    pub fn shape(&self, model: &str) -> Result<ModelShape, ManagerError> {
        self.inner.shape(&whole_name(model))
    }
}

impl Manager {
    /// Recommends a model of the level of [`Settings::quantization`](super::Settings::quantization) in place of an
    /// installed one. `None`: it has that level already, its level is not known, or nothing is wished for.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotInstalled`] where no model has this name.
    pub fn quantization_advice(
        &self,
        model: &str,
    ) -> Result<Option<QuantizationAdvice>, OllamaError> {
        let Some(wanted) = self.settings().quantization else {
            return Ok(None);
        };
        let name = whole_name(model);
        let installed = self.inner.client.installed()?;
        let of_name = |model: &&InstalledModel| whole_name(&model.name) == name;
        let model = installed.iter().find(of_name);
        let model = model.ok_or(OllamaError::NotInstalled { model: name })?;
        Ok(recommend(model, wanted, &installed))
    }

    /// Looks at the server and the processes, and tells in which state a model is, ours or not.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotInstalled`] where no model has this name.
    pub fn model_state(&self, model: &str) -> Result<ModelState, OllamaError> {
        let name = whole_name(model);
        self.inner.describe_for_unload(&name)?;
        let list = self.inner.client.running()?;
        let runners = self.inner.sight.runners();
        let mut state = self.inner.state();
        state.forget_gone(&list, runners.as_deref());
        let target = state.target(&name);
        let of_model = |runner: &&Runner| Some(&runner.model_path) == target.blob.as_ref();
        let seen = runners.as_deref().unwrap_or_default();
        let listed = find_listed(&list, &name, &target.digest);
        // An orphan does not answer for a model that is listed.
        let runner = seen
            .iter()
            .filter(of_model)
            .min_by_key(|runner| runner.is_orphan)
            .filter(|runner| listed.is_none() || !runner.is_orphan);
        let (key, _, _) = state.user_count(&name);
        let evidence = Evidence {
            listed,
            runner,
            sees_runners: runners.is_some() && target.blob.is_some(),
            our_ctx: state.books.held.get(&key).map(|held| held.profile.num_ctx),
            unload_asked: state.stopping.iter().any(|stopping| stopping.name == name),
        };
        Ok(evidence.state())
    }
}

impl State {
    /// Files of models, and the names that they were described under.
    fn names(&self) -> Vec<(String, String)> {
        let known = self.descriptions.iter();
        let file = |known: &Description| known.blob.clone();
        known
            .filter_map(|(name, known)| Some((file(known)?, name.clone())))
            .collect()
    }
}

impl Inner {
    fn ours(&self) -> Vec<Ours> {
        let state = self.state();
        let held = state.books.held.iter();
        held.map(|(name, held)| Ours {
            name: name.clone(),
            digest: held.digest.clone(),
            blob: held.blob.clone(),
            profile: held.profile.clone(),
            estimate: held.estimate,
            server: held.server,
            shape: state
                .descriptions
                .get(name)
                .map(|known| known.shape.clone()),
            users: held.users,
            last_used: held.last_used_wall,
        })
        .collect()
    }

    /// Smaller models than those that are loaded, by the loaded ones' names.
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
            let same = |other: &&InstalledModel| other.digest == model.digest;
            let advice = recommend(installed.iter().find(same)?, wanted, &installed)?;
            Some((model.name.clone(), advice))
        });
        Ok(loaded.collect())
    }

    /// Files of models that other programs loaded, so that their processes are found. A model that cannot be shown, such
    /// as one that was just removed, stays without a process.
    pub(super) fn foreign_blobs(
        &self,
        list: &[RunningModel],
        ours: &[Ours],
    ) -> Vec<(String, String)> {
        let is_ours = |digest: &str| ours.iter().any(|ours| ours.digest == digest);
        let foreign = list.iter().filter(|model| !is_ours(&model.digest));
        foreign
            .filter_map(|model| {
                let show = self.client.show(&model.name, false).ok()?;
                Some((model.digest.clone(), show.blob_path()?.to_owned()))
            })
            .collect()
    }
}
