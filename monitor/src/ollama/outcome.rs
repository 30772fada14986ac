//! Results of the manager: unloaded models, events, and errors.

use serde::Serialize;

use super::client::error::OllamaError;
use super::client::profile::LoadProfile;
use super::client::wire::RunningModel;
use super::figures::gib;
use super::plan::DoesNotFit;
use super::plan::shape::ShapeError;
use super::probe::Runner;
use crate::reader::ProcessId;

/// The result of unloading one model.
///
/// Its size is given twice: as the server claimed it, and as the system measured it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct UnloadedModel {
    /// Its name.
    pub name: String,
    /// Bytes of main memory that the server claimed for it. `None` if it was not listed.
    pub claimed_bytes: Option<u64>,
    /// Private bytes of its process before the unload. `None` if the process was not visible.
    pub private_bytes: Option<u64>,
    /// Change of the available memory during the unload; negative if other programs took more.
    /// File pages of the weights stay in the page cache, and count as available both times.
    pub available_change_bytes: Option<i64>,
    /// Whether the server stopped listing it.
    pub gone_from_list: bool,
    /// Whether its process has ended. `None` if the process was not visible.
    pub process_ended: Option<bool>,
    /// Whether its process was stuck and has been killed, as
    /// [`Settings::kill_stuck`](super::Settings::kill_stuck) allows. The server may list the model
    /// until the next request for it.
    pub killed: bool,
    /// Whether at least 80 % of the private bytes became available within two seconds after the
    /// process ended. `None` if that is unknown.
    pub memory_back: Option<bool>,
    /// Time from the request to the end of the process, or until the manager gave up.
    pub waited_ms: u64,
    /// Why the two sizes differ, in one sentence. `None` if only one of them is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// Whether it was an orphan: its server had ended, so there was no server to ask.
    pub was_orphan: bool,
    /// The remaining process and the remedy. `None` unless the model is stuck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck>,
}

impl UnloadedModel {
    pub(super) fn new(name: &str, listed: Option<&RunningModel>, runner: Option<&Runner>) -> Self {
        let memory = runner.and_then(|runner| runner.memory);
        Self {
            name: name.to_owned(),
            claimed_bytes: listed.map(RunningModel::host_bytes),
            private_bytes: memory.map(|memory| memory.private_bytes),
            available_change_bytes: None,
            gone_from_list: listed.is_none(),
            process_ended: None,
            killed: false,
            memory_back: None,
            waited_ms: 0,
            difference: None,
            was_orphan: runner.is_some_and(|runner| runner.is_orphan),
            stuck: None,
        }
    }

    /// Returns whether the model has left memory, as far as that is visible.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.stuck.is_none()
    }

    /// Returns whether the model was in memory before.
    #[must_use]
    pub fn was_in_memory(&self) -> bool {
        self.claimed_bytes.is_some() || self.private_bytes.is_some()
    }

    /// Returns the bytes that were freed: the measured size, or the claimed one. A stuck model
    /// frees nothing.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        if self.is_gone() {
            self.private_bytes.or(self.claimed_bytes).unwrap_or(0)
        } else {
            0
        }
    }
}

/// A model that did not leave memory in time, and whose process was not or could not be killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stuck {
    /// The process that holds it, if it is visible.
    pub process: Option<ProcessId>,
    /// What the user can do.
    pub remedy: String,
}

impl Stuck {
    /// A model whose server still runs.
    pub(super) fn with_server(unloaded: &UnloadedModel, runner: Option<&Runner>) -> Self {
        let name = &unloaded.name;
        let remedy = match runner.map(|runner| runner.id.pid) {
            Some(pid) if unloaded.gone_from_list => {
                format!("the server no longer lists {name}, but process {pid} still runs; end it")
            }
            Some(pid) => format!(
                "a request of another program may still use {name}; wait for it, restart Ollama, \
                 or end process {pid}"
            ),
            None => format!(
                "a request of another program may still use {name}; wait for it, or restart Ollama"
            ),
        };
        Self {
            process: runner.map(|runner| runner.id),
            remedy,
        }
    }

    /// A process whose server has ended.
    pub(super) fn orphan(name: &str, runner: &Runner) -> Self {
        Self {
            process: Some(runner.id),
            remedy: format!(
                "process {} holds {} of {name}, and its server has ended; end the process, or \
                 allow the manager to kill it (Settings::kill_stuck, --allow-kill)",
                runner.id.pid,
                gib(runner.private_bytes())
            ),
        }
    }

    /// A model that another program loaded again during the unload.
    pub(super) fn loaded_again(name: &str, process: ProcessId) -> Self {
        let pid = process.pid;
        Self {
            process: Some(process),
            remedy: format!(
                "{name} was unloaded, but another program has loaded it again into process {pid}; \
                 end that program"
            ),
        }
    }
}

/// The result of unloading several models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ModelUnloadResult {
    /// The models whose unload was requested, including stuck ones.
    pub unloaded: Vec<UnloadedModel>,
    /// The models that stay in memory.
    pub kept: Vec<KeptModel>,
    /// Private bytes of the processes that ended; the server's claim for processes that were not
    /// visible.
    pub memory_freed: u64,
}

impl ModelUnloadResult {
    pub(super) fn add(&mut self, unloaded: UnloadedModel) {
        self.memory_freed = self.memory_freed.saturating_add(unloaded.freed_bytes());
        self.unloaded.push(unloaded);
    }

    /// Adds another result to this one.
    pub fn append(&mut self, other: Self) {
        for unloaded in other.unloaded {
            // The same stuck orphan may be found once by its name and once by its process.
            let is_known = self.unloaded.iter().any(|known| {
                known.was_orphan && known.stuck == unloaded.stuck && known.stuck.is_some()
            });
            if !is_known {
                self.add(unloaded);
            }
        }
        self.kept.extend(other.kept);
    }

    /// Returns whether no model is stuck.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unloaded.iter().all(UnloadedModel::is_gone)
    }
}

/// A model that stays in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct KeptModel {
    /// Its name.
    pub name: String,
    /// Why it stays.
    pub reason: &'static str,
}

/// An event in the life of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum ModelEvent {
    /// The manager loaded a model.
    Loaded {
        /// Its name.
        model: String,
        /// Its profile.
        profile: LoadProfile,
    },
    /// The manager unloaded a model.
    Unloaded {
        /// Its name.
        model: String,
        /// Why.
        reason: UnloadReason,
    },
    /// A model of the manager disappeared: the server restarted, or another program unloaded it.
    Vanished {
        /// Its name.
        model: String,
    },
    /// Another program loaded a model of the manager with a different context. Configure the same
    /// context in both programs.
    ForeignReload {
        /// Its name.
        model: String,
        /// The context that the manager loaded it with.
        expected_ctx: u32,
        /// The context that the server lists.
        actual_ctx: u64,
    },
    /// The file of a model could not be mapped. From now on the model is loaded without mapping.
    MapFailed {
        /// Its name.
        model: String,
    },
    /// The server ran out of memory with the planned context. The next smaller one was used.
    SteppedDown {
        /// Its name.
        model: String,
        /// The context that failed.
        from_ctx: u32,
    },
}

/// Why the manager unloaded a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum UnloadReason {
    /// The caller requested it.
    Asked,
    /// It was unused for the idle time.
    Idle,
    /// Another model needed the memory, and this one was unused for the longest time.
    LeastRecentlyUsed,
    /// Its process had grown beyond the server's claim.
    Bloated,
    /// Memory is short: it is loaded again with a smaller context.
    Shrunk,
    /// The limit of all models was lowered.
    Limit,
}

/// Why a model could not be leased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// The request to the server failed.
    #[error(transparent)]
    Ollama(#[from] OllamaError),
    /// The model does not fit beside the models in use, so nothing was loaded: wait for those
    /// models, or use a smaller one.
    #[error("model {model} does not fit{}", beside(in_use))]
    NoRoom {
        /// The model.
        model: String,
        /// The required and the available memory.
        #[source]
        source: DoesNotFit,
        /// The models in use, which cannot be unloaded.
        in_use: Vec<String>,
    },
    /// The server holds as many models as it may, and none of them can be unloaded: wait for those
    /// in use, or raise `OLLAMA_MAX_LOADED_MODELS` together with
    /// [`Settings::models_max`](super::Settings::models_max).
    #[error(
        "model {model} would exceed the {models_max} models that the server holds at once{}",
        beside(in_use)
    )]
    TooMany {
        /// The model.
        model: String,
        /// The limit.
        models_max: usize,
        /// The models in use, which cannot be unloaded.
        in_use: Vec<String>,
    },
    /// The memory of the model cannot be estimated, so it is not loaded.
    #[error("the memory of model {model} cannot be estimated")]
    Unplannable {
        /// The model.
        model: String,
        /// The missing figure.
        #[source]
        source: ShapeError,
    },
    /// A model that must be unloaded first is stuck: follow the remedy.
    #[error(
        "model {} cannot be unloaded: {}",
        model.name, model.stuck.as_ref().map_or("", |stuck| &stuck.remedy)
    )]
    Stuck {
        /// The stuck model, with its process and the remedy.
        model: Box<UnloadedModel>,
    },
}

/// Lists the models in use, with the remedy.
fn beside(in_use: &[String]) -> String {
    if in_use.is_empty() {
        return String::new();
    }
    format!(
        " beside the models in use ({}); wait for them",
        in_use.join(", ")
    )
}
