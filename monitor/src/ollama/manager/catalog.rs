//! What the server says about installed models.

use std::collections::BTreeMap;

use crate::ollama::client::Client;
use crate::ollama::client::error::OllamaError;
use crate::ollama::client::wire::InstalledModel;
use crate::ollama::outcome::ManagerError;
use crate::ollama::plan::shape::ModelShape;
use crate::ollama::state::{ModelId, full_name};

/// Most models whose description is kept.
const DESCRIPTIONS_MAX: usize = 64;

/// The description of an installed model. It changes only when the model is pulled again, which
/// also changes the digest.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) id: ModelId,
    pub(super) shape: ModelShape,
}

impl Description {
    /// Requests the description of an installed model.
    pub(super) fn fetch(
        client: &Client,
        name: &str,
        installed: &InstalledModel,
    ) -> Result<Self, ManagerError> {
        let mut show = client.show(name, false)?;
        if ModelShape::wants_verbose(&show) {
            show.model_info = client.show(name, true)?.model_info;
        }
        let shape = ModelShape::new(&show, installed.size_bytes);
        Ok(Self {
            id: ModelId {
                name: name.to_owned(),
                digest: installed.digest.clone(),
                blob: show.blob_path().map(str::to_owned),
            },
            shape: shape.map_err(|source| ManagerError::Unplannable {
                model: name.to_owned(),
                source,
            })?,
        })
    }
}

/// The descriptions that were fetched, by full name.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    known: BTreeMap<String, Description>,
}

impl Catalog {
    pub(super) fn get(&self, name: &str) -> Option<&Description> {
        self.known.get(name)
    }

    pub(super) fn insert(&mut self, description: Description) {
        // Descriptions are cheap to fetch again, so dropping all of them is simpler than ranking.
        if self.known.len() >= DESCRIPTIONS_MAX {
            self.known.clear();
        }
        self.known.insert(description.id.name.clone(), description);
    }

    /// Returns the name of the model with these weights, if it is known.
    pub(super) fn name_of(&self, blob: &str) -> Option<&str> {
        let mut known = self.known.values();
        let known = known.find(|known| known.id.blob.as_deref() == Some(blob))?;
        Some(&known.id.name)
    }

    /// Returns the paths of known weights, each with a name.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let known = self.known.values();
        known
            .filter_map(|known| Some((known.id.blob.clone()?, known.id.name.clone())))
            .collect()
    }
}

/// Finds an installed model by its full name.
pub(super) fn find_installed<'a>(
    installed: &'a [InstalledModel],
    name: &str,
) -> Result<&'a InstalledModel, OllamaError> {
    let found = installed
        .iter()
        .find(|model| full_name(&model.name) == name);
    found.ok_or_else(|| OllamaError::NotInstalled {
        model: name.to_owned(),
    })
}
