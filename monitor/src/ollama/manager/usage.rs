//! The manager's part of a report.

use super::super::report::{Facts, ModelMemoryReport, Ours};
use super::super::{ModelShape, OllamaError, RunningModel};
use super::{Inner, Manager, ManagerError, whole_name};

impl Manager {
    /// Looks at the server and the processes, and reports what every model costs, ours or not.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] where the server does not answer.
    pub fn model_memory_usage(&self) -> Result<ModelMemoryReport, OllamaError> {
        let list = self.inner.client.running()?;
        let runners = self.inner.sight.runners();
        let ours = self.inner.ours();
        let blobs = self.inner.foreign_blobs(&list, &ours);
        let settings = self.settings();
        let facts = Facts {
            list: &list,
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

    /// Files of models that other programs loaded, so that their processes are found. A model that cannot be shown, such
    /// as one that was just removed, stays without a process.
    fn foreign_blobs(&self, list: &[RunningModel], ours: &[Ours]) -> Vec<(String, String)> {
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
