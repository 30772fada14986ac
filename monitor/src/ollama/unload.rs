//! Out of memory, and how we know.
//!
//! The server answers an unload at once and does it later; `/api/ps` proves less than it seems; so three things are
//! looked at: the list, the process (by number and start time), and the machine's free memory.

use std::time::Duration;

use serde::Serialize;

use super::sight::{Runner, Sight};
use super::state::find_listed;
use super::{Client, OllamaError};
use crate::reader::ProcessId;

/// How often the server and the processes are looked at.
const POLL: Duration = Duration::from_millis(100);

/// A reaped process of 0.5 GB took 190 ms; what is not back after this time was taken by somebody else.
const MEMORY_BACK_MAX: Duration = Duration::from_secs(2);

/// Share of the private bytes, in percent, that must be free again for the memory to count as back: other programs
/// take and give at the same time.
const MEMORY_BACK_PERCENT: u64 = 80;

/// A killed process has ended by then, or hangs in the kernel.
const KILL_MAX: Duration = Duration::from_secs(5);

/// What is done about a model that does not go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// How long it is waited for.
    pub(super) time_max: Duration,
    /// Whether its process may then be killed.
    pub(super) may_kill: bool,
}

/// A model that was asked to go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) blob: Option<String>,
}

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
    /// The process that is still there, and what can be done: only where it is stuck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck>,
}

impl UnloadedModel {
    /// Returns whether the model is out of memory as far as can be seen.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.stuck.is_none()
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

/// Asks for an unload and waits, at most the time of `limit`, until it has happened.
pub(super) fn unload(
    client: &Client,
    sight: &dyn Sight,
    target: &Target,
    limit: Limit,
) -> Result<UnloadedModel, OllamaError> {
    let list = client.running()?;
    let listed = find_listed(&list, &target.name, &target.digest);
    let runner = runner_of(sight, target).flatten();
    let available_before = sight.available_bytes();
    let mut unloaded = UnloadedModel {
        name: target.name.clone(),
        claimed_bytes: listed.map(super::RunningModel::host_bytes),
        private_bytes: runner
            .as_ref()
            .and_then(|runner| Some(runner.memory?.private_bytes)),
        available_change_bytes: None,
        gone_from_list: listed.is_none(),
        process_ended: None,
        killed: false,
        memory_back: None,
        waited_ms: 0,
        stuck: None,
    };
    let asked_at = sight.now();
    let mut deadline = asked_at.saturating_add(limit.time_max);
    client.request_unload(&target.name)?;
    loop {
        let list = client.running()?;
        unloaded.gone_from_list = find_listed(&list, &target.name, &target.digest).is_none();
        unloaded.process_ended = runner.as_ref().map(|runner| !lives(sight, runner.id));
        // The server does not notice by itself that a process was killed, and goes on listing it.
        let is_unlisted = unloaded.gone_from_list || unloaded.killed;
        if is_unlisted && unloaded.process_ended != Some(false) {
            break;
        }
        if sight.now() >= deadline {
            let kill = limit.may_kill && !unloaded.killed;
            if let Err(stuck) = last_resort(sight, &mut unloaded, runner.as_ref(), kill) {
                unloaded.stuck = Some(stuck);
                break;
            }
            deadline = sight.now().saturating_add(KILL_MAX);
        }
        sight.sleep(POLL);
    }
    let waited = sight.now().saturating_sub(asked_at);
    unloaded.waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    if unloaded.is_gone() {
        wait_for_memory(sight, available_before, &mut unloaded);
    }
    Ok(unloaded)
}

/// Kills the process where that is allowed and it is still there.
fn last_resort(
    sight: &dyn Sight,
    unloaded: &mut UnloadedModel,
    runner: Option<&Runner>,
    may_kill: bool,
) -> Result<(), Stuck> {
    let mut stuck = stuck(unloaded, runner);
    let is_there = unloaded.process_ended == Some(false);
    let Some(id) = stuck.process.filter(|_| may_kill && is_there) else {
        return Err(stuck);
    };
    if let Err(error) = sight.kill(id) {
        stuck.remedy = format!("{}; it could not be killed: {error}", stuck.remedy);
        return Err(stuck);
    }
    unloaded.killed = true;
    Ok(())
}

/// The process that holds the model: `None` where processes cannot be seen, `Some(None)` where there is none.
pub(super) fn runner_of(sight: &dyn Sight, target: &Target) -> Option<Option<Runner>> {
    let blob = target.blob.as_deref()?;
    let runners = sight.runners()?;
    Some(
        runners
            .into_iter()
            .find(|runner| runner.model_path == blob && !runner.is_orphan),
    )
}

fn lives(sight: &dyn Sight, id: ProcessId) -> bool {
    sight
        .runners()
        .is_some_and(|runners| runners.iter().any(|runner| runner.id == id))
}

fn wait_for_memory(sight: &dyn Sight, before: Option<u64>, unloaded: &mut UnloadedModel) {
    let Some(before) = before else { return };
    let since = sight.now();
    loop {
        let Some(available) = sight.available_bytes() else {
            return;
        };
        let change = i128::from(available) - i128::from(before);
        unloaded.available_change_bytes = i64::try_from(change).ok();
        let Some(private) = unloaded.private_bytes else {
            return;
        };
        let is_back = change * 100 >= i128::from(private) * i128::from(MEMORY_BACK_PERCENT);
        unloaded.memory_back = Some(is_back);
        if is_back || sight.now().saturating_sub(since) >= MEMORY_BACK_MAX {
            return;
        }
        sight.sleep(POLL);
    }
}

fn stuck(unloaded: &UnloadedModel, runner: Option<&Runner>) -> Stuck {
    let remedy = match runner {
        Some(runner) if unloaded.gone_from_list => format!(
            "the server has let go of {}, but process {} still runs: end it",
            unloaded.name, runner.id.pid
        ),
        Some(runner) => format!(
            "a request of another program may still use {}: wait for it, restart Ollama, or end process {}",
            unloaded.name, runner.id.pid
        ),
        None => format!(
            "a request of another program may still use {}: wait for it, or restart Ollama",
            unloaded.name
        ),
    };
    Stuck {
        process: runner.map(|runner| runner.id),
        remedy,
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
