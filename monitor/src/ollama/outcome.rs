//! What became of models that were unloaded.

use serde::Serialize;

use super::RunningModel;
use super::plan::gib;
use super::sight::Runner;
use crate::reader::ProcessId;

/// What became of one model that was unloaded. Both figures of its size are given: what the server claimed, and what
/// the system showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct UnloadedModel {
    /// Its name.
    pub name: String,
    /// Bytes of main memory that the server claimed for it. `None`: it was not listed.
    pub claimed_bytes: Option<u64>,
    /// Private bytes of its process before. `None`: the process could not be seen.
    pub private_bytes: Option<u64>,
    /// Bytes that became available on the whole machine meanwhile; negative where others took more. File pages of the
    /// weights stay in the page cache and count as available both times.
    pub available_change_bytes: Option<i64>,
    /// Whether the server lists it no more.
    pub gone_from_list: bool,
    /// Whether its process has ended. `None`: it could not be seen.
    pub process_ended: Option<bool>,
    /// Whether its process did not go and was killed, which [`Settings::kill_stuck`](super::Settings::kill_stuck) allowed.
    /// The server may list it until the next request for it.
    pub killed: bool,
    /// Whether at least 80 % of the private bytes became available within two seconds of the end. `None`: unknown.
    pub memory_back: Option<bool>,
    /// Time from the request to the end of the process, or to giving up.
    pub waited_ms: u64,
    /// Why the figures differ, in one sentence. `None`: there is only one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// Whether its process had been left behind by a server that has ended, so that no server could be asked.
    pub was_orphan: bool,
    /// The process that is still there, and what can be done: only where it is stuck.
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

    /// Returns whether the model is out of memory as far as can be seen.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.stuck.is_none()
    }

    /// Returns whether anything held it before.
    #[must_use]
    pub fn was_in_memory(&self) -> bool {
        self.claimed_bytes.is_some() || self.private_bytes.is_some()
    }

    /// Bytes that its process gave back.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        if self.is_gone() {
            self.private_bytes.or(self.claimed_bytes).unwrap_or(0)
        } else {
            0
        }
    }
}

/// A model that did not go within the time, and whose process was not killed, or could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stuck {
    /// The process that holds it, where it can be seen.
    pub process: Option<ProcessId>,
    /// What a user can do.
    pub remedy: String,
}

impl Stuck {
    pub(super) fn of_server(unloaded: &UnloadedModel, runner: Option<&Runner>) -> Self {
        let name = &unloaded.name;
        let remedy = match runner.map(|runner| runner.id.pid) {
            Some(pid) if unloaded.gone_from_list => {
                format!("the server has let go of {name}, but process {pid} still runs: end it")
            }
            Some(pid) => format!(
                "a request of another program may still use {name}: wait for it, restart Ollama, or end process {pid}"
            ),
            None => format!(
                "a request of another program may still use {name}: wait for it, or restart Ollama"
            ),
        };
        Self {
            process: runner.map(|runner| runner.id),
            remedy,
        }
    }

    pub(super) fn of_nobody(name: &str, runner: &Runner) -> Self {
        Self {
            process: Some(runner.id),
            remedy: format!(
                "process {} holds {} of {name} for a server that has ended, and no server will end it: end it yourself, or \
                 allow that (Settings::kill_stuck, --allow-kill)",
                runner.id.pid,
                gib(runner.private_bytes())
            ),
        }
    }

    pub(super) fn loaded_again(name: &str, process: ProcessId) -> Self {
        let pid = process.pid;
        Self {
            process: Some(process),
            remedy: format!(
                "{name} was unloaded, and another program has loaded it again, into process {pid}: end that program"
            ),
        }
    }
}

/// What became of several models that were unloaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ModelUnloadResult {
    /// The models that were asked to go, stuck ones among them.
    pub unloaded: Vec<UnloadedModel>,
    /// The models that stay, and why.
    pub kept: Vec<KeptModel>,
    /// Private bytes that the ended processes gave back; the server's claim where a process could not be seen.
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
            let is_known = self.unloaded.iter().any(|known| {
                known.was_orphan && known.stuck == unloaded.stuck && known.stuck.is_some()
            });
            if !is_known {
                self.add(unloaded);
            }
        }
        self.kept.extend(other.kept);
    }

    /// Returns whether nothing is stuck.
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
