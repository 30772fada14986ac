//! What the models cost: what the server claims beside what the system shows.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::advice::{difference, opportunities};
use super::sight::Runner;
use super::state::{Evidence, ModelState, find_listed};
use super::unload::Target;
use super::{Estimate, LoadProfile, ModelShape, QuantizationAdvice, RunningModel, ServerTraits};

/// Models and their memory, in the document's names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ModelMemoryReport {
    /// Every model that the server lists or a process holds, ours or not.
    pub loaded_models: Vec<LoadedModel>,
    /// Sum of their `memory_usage`, in bytes.
    pub total_model_memory: u64,
    /// The part of it that nobody uses now: kept for the next job.
    pub cache_memory_usage: u64,
    /// Whether weights are mapped at the next load.
    pub memory_mapping_enabled: bool,
    /// Largest context that is asked for, in tokens.
    pub context_window_size: u32,
    /// What would save memory, with figures.
    pub optimization_opportunities: Vec<String>,
}

/// A model in memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LoadedModel {
    /// Its name; of a model that is not listed, the file of its weights.
    pub name: String,
    /// Bytes: private bytes of its process, or the server's claim where the process cannot be seen.
    pub memory_usage: u64,
    /// When a job of ours ended with it, RFC 3339. `None`: another program's.
    pub last_used: Option<String>,
    /// Whether its weights are mapped, read from the process: at least half of them are file pages. A request for
    /// mapping may have been ignored.
    pub is_memory_mapped: bool,
    /// Context in tokens; 0 where an old server does not tell.
    pub context_size: u64,
    /// Its state.
    pub state: ModelState,
    /// Whether we loaded it.
    pub is_ours: bool,
    /// Jobs that use it.
    pub users: usize,
    /// Bytes that the server claims for it.
    pub claimed_bytes: Option<u64>,
    /// Private bytes of its process.
    pub private_bytes: Option<u64>,
    /// File pages of its process, which the system takes back at need: needed for every token all the same.
    pub reclaimable_bytes: Option<u64>,
    /// Private bytes beyond what the server claims and a process needs: mostly its hidden cache of prompts.
    pub unclaimed_bytes: Option<u64>,
    /// Why the server's claim and the process differ, in one sentence. `None`: there is only one of them.
    pub difference: Option<String>,
    /// Number of its process.
    pub pid: Option<u32>,
}

/// What we know of a model that we loaded.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) blob: Option<String>,
    pub(super) profile: LoadProfile,
    pub(super) estimate: Estimate,
    pub(super) server: ServerTraits,
    pub(super) shape: Option<ModelShape>,
    pub(super) users: usize,
    pub(super) last_used: OffsetDateTime,
}

/// Everything a report is made of.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) list: &'a [RunningModel],
    pub(super) runners: Option<&'a [Runner]>,
    pub(super) ours: &'a [Ours],
    /// Smaller models than those that are loaded, by the loaded ones' names.
    pub(super) smaller: &'a [(String, QuantizationAdvice)],
    /// Models that were asked to go and are still there.
    pub(super) stopping: &'a [Target],
    /// Names of models by the files of their weights.
    pub(super) names: &'a [(String, String)],
    /// Files of models that are not ours, by digest.
    pub(super) blobs: &'a [(String, String)],
    pub(super) memory_mapping: bool,
    pub(super) ctx_max: u32,
}

impl Facts<'_> {
    pub(super) fn report(&self) -> ModelMemoryReport {
        let mut models: Vec<LoadedModel> =
            self.list.iter().map(|model| self.listed(model)).collect();
        let listed_pids: Vec<u32> = models.iter().filter_map(|model| model.pid).collect();
        let runners = self.runners.unwrap_or_default().iter();
        models.extend(
            runners
                .filter(|runner| !listed_pids.contains(&runner.id.pid))
                .map(|runner| self.unlisted(runner)),
        );
        let sum = |models: &mut dyn Iterator<Item = &LoadedModel>| {
            models.fold(0u64, |sum, model| sum.saturating_add(model.memory_usage))
        };
        ModelMemoryReport {
            total_model_memory: sum(&mut models.iter()),
            cache_memory_usage: sum(&mut models
                .iter()
                .filter(|model| model.is_ours && model.users == 0)),
            memory_mapping_enabled: self.memory_mapping,
            context_window_size: self.ctx_max,
            optimization_opportunities: opportunities(&models, self.ours, self.smaller),
            loaded_models: models,
        }
    }

    fn listed(&self, model: &RunningModel) -> LoadedModel {
        let ours = self.ours.iter().find(|ours| {
            find_listed(std::slice::from_ref(model), &ours.name, &ours.digest).is_some()
        });
        let blob = ours.and_then(|ours| ours.blob.as_deref()).or_else(|| {
            let mut blobs = self.blobs.iter();
            blobs
                .find(|(digest, _)| *digest == model.digest)
                .map(|(_, blob)| blob.as_str())
        });
        let runner = blob.and_then(|blob| {
            let mut runners = self.runners?.iter();
            runners.find(|runner| runner.model_path == blob && !runner.is_orphan)
        });
        let evidence = Evidence {
            listed: Some(model),
            runner,
            sees_runners: self.runners.is_some() && blob.is_some(),
            our_ctx: ours.map(|ours| ours.profile.num_ctx),
            unload_asked: self.stopping.iter().any(|target| {
                find_listed(std::slice::from_ref(model), &target.name, &target.digest).is_some()
            }),
        };
        let memory = runner.and_then(|runner| runner.memory);
        let private_bytes = memory.map(|memory| memory.private_bytes);
        let reclaimable_bytes = memory.and_then(|memory| memory.reclaimable_bytes);
        let weights = ours.map_or(model.size_bytes, |ours| ours.estimate.weights_bytes);
        let overhead = ours.map_or(0, |ours| ours.estimate.overhead_bytes);
        LoadedModel {
            name: model.name.clone(),
            memory_usage: private_bytes.unwrap_or(model.host_bytes()),
            last_used: ours.and_then(|ours| ours.last_used.format(&Rfc3339).ok()),
            is_memory_mapped: reclaimable_bytes
                .is_some_and(|bytes| bytes >= weights / 2 && weights > 0),
            context_size: model.context_length.unwrap_or(0),
            state: evidence.state(),
            is_ours: ours.is_some(),
            users: ours.map_or(0, |ours| ours.users),
            claimed_bytes: Some(model.host_bytes()),
            private_bytes,
            reclaimable_bytes,
            unclaimed_bytes: private_bytes.map(|bytes| {
                bytes
                    .saturating_sub(model.host_bytes())
                    .saturating_sub(overhead)
            }),
            difference: private_bytes.map(|bytes| {
                let overhead = ours.map(|ours| ours.estimate.overhead_bytes);
                difference(model.host_bytes(), bytes, reclaimable_bytes, overhead)
            }),
            pid: runner.map(|runner| runner.id.pid),
        }
    }

    /// A process whose model is not listed: it loads, or its server has ended.
    fn unlisted(&self, runner: &Runner) -> LoadedModel {
        let is_stopping = |target: &Target| target.blob.as_ref() == Some(&runner.model_path);
        let evidence = Evidence {
            runner: Some(runner),
            sees_runners: true,
            unload_asked: self.stopping.iter().any(is_stopping),
            ..Evidence::default()
        };
        let of_blob = |(blob, _): &&(String, String)| *blob == runner.model_path;
        let name = self.names.iter().find(of_blob).map(|(_, name)| name);
        LoadedModel {
            name: name.unwrap_or(&runner.model_path).clone(),
            memory_usage: runner.private_bytes(),
            last_used: None,
            is_memory_mapped: false,
            context_size: 0,
            state: evidence.state(),
            is_ours: false,
            users: 0,
            claimed_bytes: None,
            private_bytes: Some(runner.private_bytes()),
            reclaimable_bytes: runner.memory.and_then(|memory| memory.reclaimable_bytes),
            unclaimed_bytes: None,
            difference: None,
            pid: Some(runner.id.pid),
        }
    }
}
