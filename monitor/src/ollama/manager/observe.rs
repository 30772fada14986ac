//! What the server and the processes show.

use std::time::Duration;

use super::catalog::{Description, find_installed};
use super::shared::Inner;
use crate::ollama::client::Client;
use crate::ollama::client::error::OllamaError;
use crate::ollama::client::wire::RunningModel;
use crate::ollama::outcome::ManagerError;
use crate::ollama::probe::Runner;
use crate::ollama::state::{ModelId, full_name};
use crate::reader::ProcessId;

/// Time in which a process that is loading a model grows. It reads hundreds of MB a second from an
/// SSD, and still tens from a hard disk.
const GROWTH_TIME: Duration = Duration::from_millis(500);

/// The server's list and the processes at one moment.
pub(super) struct Look {
    pub(super) list: Vec<RunningModel>,
    /// `None` if processes are not visible.
    pub(super) runners: Option<Vec<Runner>>,
    /// Paths of the weights of listed models, by digest. A model that cannot be shown, for instance
    /// because it was just removed, is missing.
    pub(super) blobs: Vec<(String, String)>,
}

impl Look {
    /// Returns the processes of the server whose model is not listed.
    pub(super) fn unlisted(&self) -> impl Iterator<Item = &Runner> {
        let is_listed = |runner: &Runner| {
            let mut blobs = self.blobs.iter();
            blobs.any(|(_, blob)| *blob == runner.model_path)
        };
        let runners = self.runners.iter().flatten();
        runners.filter(move |runner| !runner.is_orphan && !is_listed(runner))
    }
}

impl Inner {
    pub(super) fn look(&self) -> Result<Look, OllamaError> {
        let list = self.client.running()?;
        let runners = self.probe.runners();
        self.state().forget_gone(&list, runners.as_deref());
        Ok(Look {
            blobs: self.blobs_of(&list),
            runners,
            list,
        })
    }

    /// Returns the paths of the weights of listed models, by digest.
    pub(super) fn blobs_of(&self, list: &[RunningModel]) -> Vec<(String, String)> {
        let managed = |model: &RunningModel| {
            let state = self.state();
            let mut models = state.residency.models.values();
            let managed = models.find(|managed| managed.id.digest == model.digest)?;
            managed.id.blob.clone()
        };
        let show = |model: &RunningModel| {
            let show = self.client.show(&model.name, false).ok()?;
            show.blob_path().map(str::to_owned)
        };
        list.iter()
            .filter_map(|model| {
                let blob = managed(model).or_else(|| show(model))?;
                Some((model.digest.clone(), blob))
            })
            .collect()
    }

    /// Returns those of these processes that are loading a model: the manager's own load, and
    /// processes that grow. Blocks for half a second unless the manager loads all of them.
    pub(super) fn loading<'a>(&self, unlisted: impl Iterator<Item = &'a Runner>) -> Vec<ProcessId> {
        let own = self.state().loading.clone();
        let (own, other): (Vec<&Runner>, Vec<&Runner>) =
            unlisted.partition(|runner| own.as_ref().is_some_and(|id| id.is_held_by(runner)));
        let mut loading: Vec<ProcessId> = own.iter().map(|runner| runner.id).collect();
        if other.is_empty() {
            return loading;
        }
        self.probe.sleep(GROWTH_TIME);
        let resident_bytes = |runner: &Runner| Some(runner.memory?.resident_bytes);
        for later in self.probe.runners().iter().flatten() {
            let earlier = other.iter().find(|runner| runner.id == later.id);
            let earlier = earlier.and_then(|runner| resident_bytes(runner));
            if earlier.is_some_and(|earlier| resident_bytes(later) > Some(earlier)) {
                loading.push(later.id);
            }
        }
        loading
    }

    /// Returns the description of an installed model, which is cached by digest.
    pub(super) fn describe(
        &self,
        client: &Client,
        name: &str,
    ) -> Result<Description, ManagerError> {
        let installed = client.installed()?;
        let installed = find_installed(&installed, name)?;
        if installed.is_cloud() {
            return Err(ManagerError::Ollama(OllamaError::Cloud {
                model: name.to_owned(),
            }));
        }
        if let Some(known) = self.state().catalog.get(name)
            && known.id.digest == installed.digest
        {
            return Ok(known.clone());
        }
        let description = Description::fetch(client, name, installed)?;
        self.state().catalog.insert(description.clone());
        Ok(description)
    }

    /// Returns the identity of an installed model, of any program.
    pub(super) fn identify(&self, name: &str) -> Result<ModelId, OllamaError> {
        match self.describe(&self.client, name) {
            Err(ManagerError::Ollama(error)) => Err(error),
            // A model whose memory cannot be estimated can still be unloaded.
            _ => Ok(self.state().id(name)),
        }
    }

    /// Returns the identity of the installed model with these weights. `None` if no model has them,
    /// or if the server does not answer.
    pub(super) fn identify_blob(&self, blob: &str) -> Option<ModelId> {
        let known = || {
            let state = self.state();
            Some(state.id(state.catalog.name_of(blob)?))
        };
        if let Some(id) = known() {
            return Some(id);
        }
        let installed = self.client.installed().ok()?;
        for model in installed.iter().filter(|model| !model.is_cloud()) {
            let Ok(show) = self.client.show(&model.name, false) else {
                continue;
            };
            if show.blob_path() == Some(blob) {
                return Some(ModelId {
                    name: full_name(&model.name),
                    digest: model.digest.clone(),
                    blob: Some(blob.to_owned()),
                });
            }
        }
        None
    }
}
