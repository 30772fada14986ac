//! Out of memory, and how we know.
//!
//! The server answers an unload at once and does it later; `/api/ps` proves less than it seems; so three things are
//! looked at: the list, the process (by number and start time), and the machine's free memory.

use std::time::Duration;

use super::advice::difference;
use super::outcome::{Stuck, UnloadedModel};
use super::sight::{Runner, Sight};
use super::state::find_listed;
use super::{Client, OllamaError};
use crate::reader::ProcessId;

/// How often the server and the processes are looked at.
const POLL: Duration = Duration::from_millis(100);

/// A model that is still listed after this time is asked to go again: the server does nothing to one that loads.
const ASK_AGAIN: Duration = Duration::from_secs(2);

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
    let before = Before {
        at: sight.now(),
        available_bytes: sight.available_bytes(),
    };
    let mut unloaded = UnloadedModel::new(&target.name, listed, runner.as_ref());
    let reclaimable_bytes = runner
        .as_ref()
        .and_then(|runner| runner.memory?.reclaimable_bytes);
    wait_until_gone(client, sight, target, limit, runner.as_ref(), &mut unloaded)?;
    before.compare(sight, &mut unloaded);
    unloaded.difference = match (unloaded.claimed_bytes, unloaded.private_bytes) {
        (Some(claimed), Some(private)) => {
            Some(difference(claimed, private, reclaimable_bytes, None))
        }
        _ => None,
    };
    Ok(unloaded)
}

/// Asks, and looks until the model is gone or stuck.
fn wait_until_gone(
    client: &Client,
    sight: &dyn Sight,
    target: &Target,
    limit: Limit,
    runner: Option<&Runner>,
    unloaded: &mut UnloadedModel,
) -> Result<(), OllamaError> {
    let mut asked_at = sight.now();
    let mut deadline = asked_at.saturating_add(limit.time_max);
    client.request_unload(&target.name)?;
    loop {
        let list = client.running()?;
        unloaded.gone_from_list = find_listed(&list, &target.name, &target.digest).is_none();
        unloaded.process_ended = runner.map(|runner| !lives(sight, runner.id));
        // The server does not notice by itself that a process was killed, and goes on listing it.
        let is_unlisted = unloaded.gone_from_list || unloaded.killed;
        let has_ended = unloaded.process_ended != Some(false);
        if is_unlisted && has_ended {
            return Ok(());
        }
        if runner.is_some()
            && has_ended
            && let Some(other) = runner_of(sight, target).flatten()
        {
            unloaded.stuck = Some(Stuck::loaded_again(&target.name, other.id));
            return Ok(());
        }
        let now = sight.now();
        if now >= deadline {
            let kill = limit.may_kill && !unloaded.killed;
            if let Err(stuck) = last_resort(sight, unloaded, runner, kill) {
                unloaded.stuck = Some(stuck);
                return Ok(());
            }
            deadline = sight.now().saturating_add(KILL_MAX);
        } else if !unloaded.gone_from_list && now.saturating_sub(asked_at) >= ASK_AGAIN {
            client.request_unload(&target.name)?;
            asked_at = now;
        }
        sight.sleep(POLL);
    }
}

/// Kills the process where that is allowed and it is still there.
fn last_resort(
    sight: &dyn Sight,
    unloaded: &mut UnloadedModel,
    runner: Option<&Runner>,
    may_kill: bool,
) -> Result<(), Stuck> {
    let stuck = Stuck::of_server(unloaded, runner);
    let is_there = unloaded.process_ended == Some(false);
    match stuck.process.filter(|_| may_kill && is_there) {
        Some(id) => kill(sight, id, unloaded, &stuck),
        None => Err(stuck),
    }
}

/// Kills a process, or says with the remedy why it could not be.
fn kill(
    sight: &dyn Sight,
    id: ProcessId,
    unloaded: &mut UnloadedModel,
    stuck: &Stuck,
) -> Result<(), Stuck> {
    sight.kill(id).map_err(|error| Stuck {
        process: stuck.process,
        remedy: format!("{}; it could not be killed: {error}", stuck.remedy),
    })?;
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

/// How things stood when an unload began.
struct Before {
    at: Duration,
    available_bytes: Option<u64>,
}

impl Before {
    /// Enters how long it took, and what became available since.
    fn compare(&self, sight: &dyn Sight, unloaded: &mut UnloadedModel) {
        let waited = sight.now().saturating_sub(self.at);
        unloaded.waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        if unloaded.is_gone()
            && let Some(before) = self.available_bytes
        {
            wait_for_memory(sight, before, unloaded);
        }
    }
}

fn wait_for_memory(sight: &dyn Sight, before: u64, unloaded: &mut UnloadedModel) {
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

/// Ends a process that a server has left behind, where that is allowed: there is nobody to ask.
pub(super) fn end_orphan(
    sight: &dyn Sight,
    name: &str,
    orphan: &Runner,
    may_kill: bool,
) -> UnloadedModel {
    let before = Before {
        at: sight.now(),
        available_bytes: sight.available_bytes(),
    };
    let mut unloaded = UnloadedModel::new(name, None, Some(orphan));
    unloaded.process_ended = Some(!is_orphan(sight, orphan.id));
    if unloaded.process_ended == Some(false)
        && let Err(stuck) = kill_orphan(sight, &mut unloaded, orphan, may_kill)
    {
        unloaded.stuck = Some(stuck);
    }
    before.compare(sight, &mut unloaded);
    unloaded
}

fn kill_orphan(
    sight: &dyn Sight,
    unloaded: &mut UnloadedModel,
    orphan: &Runner,
    may_kill: bool,
) -> Result<(), Stuck> {
    let stuck = Stuck::of_nobody(&unloaded.name, orphan);
    if !may_kill {
        return Err(stuck);
    }
    kill(sight, orphan.id, unloaded, &stuck)?;
    let deadline = sight.now().saturating_add(KILL_MAX);
    while lives(sight, orphan.id) {
        if sight.now() >= deadline {
            return Err(stuck);
        }
        sight.sleep(POLL);
    }
    unloaded.process_ended = Some(true);
    Ok(())
}

/// Whether the process still lives, and nobody has come to own it.
fn is_orphan(sight: &dyn Sight, id: ProcessId) -> bool {
    sight.runners().is_some_and(|runners| {
        let mut same = runners.iter().filter(|runner| runner.id == id);
        same.any(|runner| runner.is_orphan)
    })
}
