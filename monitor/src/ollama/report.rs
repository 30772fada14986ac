//! Reports what models cost, as claimed and as measured, and what would save memory.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::profile::LoadProfile;
use super::client::wire::RunningModel;
use super::figures::{claim_difference, gib};
use super::plan::estimate::{Estimate, KvType, ServerTraits};
use super::plan::quantization::QuantizationAdvice;
use super::plan::shape::ModelShape;
use super::probe::Runner;
use super::state::{Evidence, ModelId, ModelState};
use crate::reader::ProcessId;

/// Savings below this are not reported.
const WORTH_BYTES: u64 = 64 << 20;

/// The memory of all models.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ModelMemoryReport {
    /// Every model that the server lists or a process holds, including those of other programs.
    pub loaded_models: Vec<LoadedModel>,
    /// Sum of their `memory_usage`, in bytes.
    pub total_model_memory: u64,
    /// The part of the sum that no lease uses, in bytes. It is kept for the next job.
    pub cache_memory_usage: u64,
    /// Whether weights are mapped at the next load.
    pub memory_mapping_enabled: bool,
    /// Largest context that the manager requests, in tokens.
    pub context_window_size: u32,
    /// What would save memory, one sentence each.
    pub optimization_opportunities: Vec<String>,
}

/// A model in memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LoadedModel {
    /// Its name, or the path of its weights if the name is unknown.
    pub name: String,
    /// Private bytes of its process, or the server's claim if the process is not visible.
    pub memory_usage: u64,
    /// When the last lease ended: RFC 3339. `None` for a model of another program.
    pub last_used: Option<String>,
    /// Whether its weights are mapped: at least half of them are file pages of the process. The
    /// server may have ignored a request for mapping.
    pub is_memory_mapped: bool,
    /// Context in tokens. 0 if an old server does not report it.
    pub context_size: u64,
    /// Its state.
    pub state: ModelState,
    /// Whether the manager loaded it.
    pub is_managed: bool,
    /// Leases that use it.
    pub leases: usize,
    /// Bytes that the server claims for it.
    pub claimed_bytes: Option<u64>,
    /// Private bytes of its process.
    pub private_bytes: Option<u64>,
    /// File pages of its process. The system can reclaim them, but every token needs them.
    pub reclaimable_bytes: Option<u64>,
    /// Private bytes beyond the server's claim and the process itself: mostly its prompt cache.
    pub unclaimed_bytes: Option<u64>,
    /// Why claim and measurement differ, in one sentence. `None` if only one of them is known.
    pub difference: Option<String>,
    /// Number of its process.
    pub pid: Option<u32>,
}

/// A model that the manager loaded.
#[derive(Clone, Debug)]
pub(super) struct ManagedModel {
    pub(super) id: ModelId,
    pub(super) profile: LoadProfile,
    pub(super) estimate: Estimate,
    pub(super) server: ServerTraits,
    pub(super) shape: Option<ModelShape>,
    pub(super) leases: usize,
    pub(super) last_used: OffsetDateTime,
}

/// Everything that a report is derived from.
#[derive(Debug)]
pub(super) struct ReportInputs<'a> {
    pub(super) list: &'a [RunningModel],
    pub(super) runners: Option<&'a [Runner]>,
    pub(super) managed: &'a [ManagedModel],
    /// Smaller models than the loaded ones, by the names of the loaded ones.
    pub(super) smaller: &'a [(String, QuantizationAdvice)],
    /// Models whose unload was requested.
    pub(super) stopping: &'a [ModelId],
    /// Names of models, by the paths of their weights.
    pub(super) names: &'a [(String, String)],
    /// Paths of the weights of listed models, by digest.
    pub(super) blobs: &'a [(String, String)],
    /// Processes that are loading a model.
    pub(super) loading: &'a [ProcessId],
    pub(super) memory_mapping: bool,
    pub(super) ctx_max: u32,
}

impl ReportInputs<'_> {
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
                .filter(|model| model.is_managed && model.leases == 0)),
            memory_mapping_enabled: self.memory_mapping,
            context_window_size: self.ctx_max,
            optimization_opportunities: self.opportunities(&models),
            loaded_models: models,
        }
    }

    /// Describes an entry of the server's list.
    fn listed(&self, model: &RunningModel) -> LoadedModel {
        let mut managed = self.managed.iter();
        let managed = managed.find(|managed| managed.id.is_listed_as(model));
        let runner = self.runner(model, managed);
        let evidence = Evidence {
            listed: Some(model),
            runner: runner.found,
            sees_runners: self.runners.is_some() && runner.is_blob_known,
            expected_ctx: managed.map(|managed| managed.profile.num_ctx),
            unload_requested: self.stopping.iter().any(|id| id.is_listed_as(model)),
            is_loading: false,
        };
        let runner = runner.found;
        let memory = runner.and_then(|runner| runner.memory);
        let private_bytes = memory.map(|memory| memory.private_bytes);
        let reclaimable_bytes = memory.and_then(|memory| memory.reclaimable_bytes);
        let estimate = managed.map(|managed| &managed.estimate);
        let weights = estimate.map_or(model.size_bytes, |estimate| estimate.weights_bytes);
        let overhead = estimate.map(|estimate| estimate.overhead_bytes);
        let claimed = model.host_bytes();
        LoadedModel {
            name: model.name.clone(),
            memory_usage: private_bytes.unwrap_or(claimed),
            last_used: managed.and_then(|managed| managed.last_used.format(&Rfc3339).ok()),
            is_memory_mapped: reclaimable_bytes
                .is_some_and(|bytes| bytes >= weights / 2 && weights > 0),
            context_size: model.context_length.unwrap_or(0),
            state: evidence.state(),
            is_managed: managed.is_some(),
            leases: managed.map_or(0, |managed| managed.leases),
            claimed_bytes: Some(claimed),
            private_bytes,
            reclaimable_bytes,
            unclaimed_bytes: private_bytes.map(|bytes| {
                let unclaimed = bytes.saturating_sub(claimed);
                unclaimed.saturating_sub(overhead.unwrap_or(0))
            }),
            difference: private_bytes
                .map(|bytes| claim_difference(claimed, bytes, reclaimable_bytes, overhead)),
            pid: runner.map(|runner| runner.id.pid),
        }
    }

    /// Finds the process of an entry of the server's list.
    fn runner(&self, model: &RunningModel, managed: Option<&ManagedModel>) -> RunnerOf<'_> {
        let mut blobs = self.blobs.iter();
        let listed_blob = || {
            let of_digest = blobs.find(|(digest, _)| *digest == model.digest);
            of_digest.map(|(_, blob)| blob.clone())
        };
        let blob = managed.and_then(|managed| managed.id.blob.clone());
        let id = ModelId {
            blob: blob.or_else(listed_blob),
            ..ModelId::default()
        };
        let mut runners = self.runners.unwrap_or_default().iter();
        RunnerOf {
            found: runners.find(|runner| id.is_held_by(runner)),
            is_blob_known: id.blob.is_some(),
        }
    }

    /// Describes a process whose model the server does not list.
    fn unlisted(&self, runner: &Runner) -> LoadedModel {
        let is_stopping = |id: &ModelId| id.blob.as_ref() == Some(&runner.model_path);
        let evidence = Evidence {
            runner: Some(runner),
            sees_runners: true,
            unload_requested: self.stopping.iter().any(is_stopping),
            is_loading: self.loading.contains(&runner.id),
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
            is_managed: false,
            leases: 0,
            claimed_bytes: None,
            private_bytes: Some(runner.private_bytes()),
            reclaimable_bytes: runner.memory.and_then(|memory| memory.reclaimable_bytes),
            unclaimed_bytes: None,
            difference: None,
            pid: Some(runner.id.pid),
        }
    }

    /// Lists what would save memory.
    fn opportunities(&self, models: &[LoadedModel]) -> Vec<String> {
        let mut found = Vec::new();
        for model in models {
            from_state(model, &mut found);
            from_figures(model, &mut found);
        }
        for managed in self.managed {
            from_profile(managed, &mut found);
        }
        for (name, advice) in self.smaller {
            let is_worth = advice.saved_bytes >= WORTH_BYTES;
            found.extend(is_worth.then(|| from_quantization(name, advice)));
        }
        found
    }
}

/// The process of a listed model, and whether the path of its weights is known at all.
struct RunnerOf<'a> {
    found: Option<&'a Runner>,
    is_blob_known: bool,
}

fn from_state(model: &LoadedModel, found: &mut Vec<String>) {
    let (name, bytes) = (&model.name, gib(model.memory_usage));
    match (model.state, model.pid) {
        (ModelState::Orphan, Some(pid)) => found.push(format!(
            "process {pid} holds {bytes} of {name}, and its server has ended; end the process, or \
             run `steadyscribe-monitor ollama unload --all --allow-kill`"
        )),
        (ModelState::Unlisted, Some(pid)) => found.push(format!(
            "process {pid} holds {bytes} of {name}, and the server does not list it; run \
             `steadyscribe-monitor ollama unload --all`, or restart Ollama"
        )),
        (ModelState::Ghost, _) => {
            found.push(format!("{name} is listed, but its process has ended"));
        }
        (ModelState::ForeignReload, _) => found.push(format!(
            "another program loads {name} with {} tokens of context; configure the same context \
             in both programs",
            model.context_size
        )),
        _ if model.is_managed && model.leases == 0 && model.memory_usage >= WORTH_BYTES => {
            found.push(format!("{name} is not in use; unloading it frees {bytes}"));
        }
        _ => {}
    }
}

fn from_figures(model: &LoadedModel, found: &mut Vec<String>) {
    let name = &model.name;
    if let Some(bytes) = model.unclaimed_bytes.filter(|bytes| *bytes >= WORTH_BYTES) {
        found.push(format!(
            "the process of {name} holds {} beyond the model, most likely cached prompts; \
             unloading frees it, and LLAMA_ARG_CACHE_RAM=0 in the server's environment prevents it",
            gib(bytes)
        ));
    }
    if let Some(bytes) = model.reclaimable_bytes.filter(|_| model.is_memory_mapped) {
        found.push(format!(
            "{} of the weights of {name} is mapped, which frees nothing while the model works; \
             without mapping, a CPU needs no second copy of the weights",
            gib(bytes)
        ));
    }
}

fn from_quantization(name: &str, advice: &QuantizationAdvice) -> String {
    let smaller = &advice.model;
    let saved = gib(advice.saved_bytes);
    if advice.is_installed {
        format!("{smaller} is installed, and saves {saved} of weights compared with {name}")
    } else {
        format!("`ollama pull {smaller}` saves {saved} of weights compared with {name}")
    }
}

fn from_profile(managed: &ManagedModel, found: &mut Vec<String>) {
    let Some(shape) = &managed.shape else { return };
    let name = &managed.id.name;
    let now = managed.estimate.total_bytes;
    let half = LoadProfile {
        num_ctx: managed.profile.num_ctx / 2,
        ..managed.profile.clone()
    };
    let saved = now.saturating_sub(Estimate::new(shape, &half, managed.server).total_bytes);
    if saved >= WORTH_BYTES {
        found.push(format!(
            "a context of {} instead of {} tokens saves {} for {name}",
            half.num_ctx,
            managed.profile.num_ctx,
            gib(saved)
        ));
    }
    if managed.server.kv_type == KvType::F16 {
        let server = ServerTraits {
            kv_type: KvType::Q8_0,
            ..managed.server
        };
        let smaller = Estimate::new(shape, &managed.profile, server).total_bytes;
        let saved = now.saturating_sub(smaller);
        if saved >= WORTH_BYTES {
            found.push(format!(
                "OLLAMA_KV_CACHE_TYPE=q8_0 with OLLAMA_FLASH_ATTENTION=1 in the server's \
                 environment saves {} for {name}",
                gib(saved)
            ));
        }
    }
}
