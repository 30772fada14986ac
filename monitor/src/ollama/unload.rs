//! Unloads one model, and verifies it three ways.
//!
//! The server acknowledges an unload at once and performs it later, and `/api/ps` alone proves
//! little. So an unload is verified against the server's list, the process (by number and start
//! time), and the available memory of the machine.

use std::time::Duration;

use super::client::Client;
use super::client::error::OllamaError;
use super::figures::claim_difference;
use super::outcome::{Stuck, UnloadedModel};
use super::probe::{Probe, Runner};
use super::state::ModelId;
use crate::reader::ProcessId;

/// Interval between two looks at the server and the processes.
const POLL: Duration = Duration::from_millis(100);

/// Interval between two requests for a model that stays listed. The server ignores a request for a
/// model that is still loading.
const REQUEST_AGAIN: Duration = Duration::from_secs(2);

/// Longest time until the memory of an ended process is available again. Reaping a process of
/// 0.5 GB took 190 ms.
const MEMORY_BACK_MAX: Duration = Duration::from_secs(2);

/// Percentage of the private bytes that must become available. Other programs allocate and free
/// memory at the same time.
const MEMORY_BACK_PERCENT: u64 = 80;

/// Longest time until a killed process has ended.
const KILL_MAX: Duration = Duration::from_secs(5);

/// The limits of one unload.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnloadLimits {
    /// How long to wait.
    pub(super) time_max: Duration,
    /// Whether to kill the process after that time.
    pub(super) may_kill: bool,
    /// Whether to send requests. The server rejects them if it does not know the model's name.
    pub(super) may_request: bool,
}

/// Requests an unload, and waits until it is verified or the model is stuck.
pub(super) fn unload(
    client: &Client,
    probe: &dyn Probe,
    model: &ModelId,
    limits: UnloadLimits,
) -> Result<UnloadedModel, OllamaError> {
    let list = client.running()?;
    let runner = model.runner(probe);
    let before = Before::look(probe);
    let listed = model.find_listed(&list);
    let mut unloaded = UnloadedModel::new(&model.name, listed, runner.as_ref());
    let reclaimable_bytes = runner
        .as_ref()
        .and_then(|runner| runner.memory?.reclaimable_bytes);
    let mut unload = Unload {
        client,
        probe,
        model,
        limits,
        runner: runner.as_ref(),
    };
    unload.run(&mut unloaded)?;
    before.compare(probe, &mut unloaded);
    unloaded.difference = match (unloaded.claimed_bytes, unloaded.private_bytes) {
        (Some(claimed), Some(private)) => {
            Some(claim_difference(claimed, private, reclaimable_bytes, None))
        }
        _ => None,
    };
    Ok(unloaded)
}

/// An unload in progress.
struct Unload<'a> {
    client: &'a Client,
    probe: &'a dyn Probe,
    model: &'a ModelId,
    limits: UnloadLimits,
    runner: Option<&'a Runner>,
}

impl Unload<'_> {
    /// Requests the unload, and polls until the model is gone or stuck.
    fn run(&mut self, unloaded: &mut UnloadedModel) -> Result<(), OllamaError> {
        let probe = self.probe;
        let mut requested_at = probe.now();
        let mut deadline = requested_at.saturating_add(self.limits.time_max);
        self.request()?;
        loop {
            let list = self.client.running()?;
            unloaded.gone_from_list = self.model.find_listed(&list).is_none();
            unloaded.process_ended = self.runner.map(|runner| !is_alive(probe, runner.id));
            // A server does not notice that its process was killed, and still lists the model.
            let is_unlisted = unloaded.gone_from_list || unloaded.killed;
            let has_ended = unloaded.process_ended != Some(false);
            if is_unlisted && has_ended {
                return Ok(());
            }
            if self.runner.is_some()
                && has_ended
                && let Some(other) = self.model.runner(probe)
            {
                unloaded.stuck = Some(Stuck::loaded_again(&self.model.name, other.id));
                return Ok(());
            }
            let now = probe.now();
            if now >= deadline {
                if let Err(stuck) = self.kill_stuck(unloaded) {
                    unloaded.stuck = Some(stuck);
                    return Ok(());
                }
                deadline = probe.now().saturating_add(KILL_MAX);
            } else if !unloaded.gone_from_list && now.saturating_sub(requested_at) >= REQUEST_AGAIN
            {
                self.request()?;
                requested_at = now;
            }
            probe.sleep(POLL);
        }
    }

    fn request(&self) -> Result<(), OllamaError> {
        if self.limits.may_request {
            self.client.request_unload(&self.model.name)?;
        }
        Ok(())
    }

    /// Kills the process once, if that is allowed and the process is still there.
    fn kill_stuck(&self, unloaded: &mut UnloadedModel) -> Result<(), Stuck> {
        let stuck = Stuck::with_server(unloaded, self.runner);
        let may_kill = self.limits.may_kill && !unloaded.killed;
        let is_there = unloaded.process_ended == Some(false);
        match stuck.process.filter(|_| may_kill && is_there) {
            Some(id) => kill(self.probe, id, unloaded, &stuck),
            None => Err(stuck),
        }
    }
}

/// Kills a process, or adds to the remedy why that failed.
fn kill(
    probe: &dyn Probe,
    id: ProcessId,
    unloaded: &mut UnloadedModel,
    stuck: &Stuck,
) -> Result<(), Stuck> {
    probe.kill(id).map_err(|error| Stuck {
        process: stuck.process,
        remedy: format!("{}; the process could not be killed: {error}", stuck.remedy),
    })?;
    unloaded.killed = true;
    Ok(())
}

fn is_alive(probe: &dyn Probe, id: ProcessId) -> bool {
    probe
        .runners()
        .is_some_and(|runners| runners.iter().any(|runner| runner.id == id))
}

fn available_bytes(probe: &dyn Probe) -> Option<u64> {
    Some(probe.capacity()?.available_bytes)
}

/// The situation at the start of an unload.
struct Before {
    at: Duration,
    available_bytes: Option<u64>,
}

impl Before {
    fn look(probe: &dyn Probe) -> Self {
        Self {
            at: probe.now(),
            available_bytes: available_bytes(probe),
        }
    }

    /// Records the duration of the unload, and the memory that became available.
    fn compare(&self, probe: &dyn Probe, unloaded: &mut UnloadedModel) {
        let waited = probe.now().saturating_sub(self.at);
        unloaded.waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        if unloaded.is_gone()
            && let Some(before) = self.available_bytes
        {
            wait_for_memory(probe, before, unloaded);
        }
    }
}

fn wait_for_memory(probe: &dyn Probe, before: u64, unloaded: &mut UnloadedModel) {
    let since = probe.now();
    loop {
        let Some(available) = available_bytes(probe) else {
            return;
        };
        let change = i128::from(available) - i128::from(before);
        unloaded.available_change_bytes = i64::try_from(change).ok();
        let Some(private) = unloaded.private_bytes else {
            return;
        };
        let is_back = change * 100 >= i128::from(private) * i128::from(MEMORY_BACK_PERCENT);
        unloaded.memory_back = Some(is_back);
        if is_back || probe.now().saturating_sub(since) >= MEMORY_BACK_MAX {
            return;
        }
        probe.sleep(POLL);
    }
}

/// Ends a process whose server has ended, if that is allowed. There is no server to ask.
pub(super) fn end_orphan(
    probe: &dyn Probe,
    name: &str,
    orphan: &Runner,
    may_kill: bool,
) -> UnloadedModel {
    let before = Before::look(probe);
    let mut unloaded = UnloadedModel::new(name, None, Some(orphan));
    unloaded.process_ended = Some(!is_orphan(probe, orphan.id));
    if unloaded.process_ended == Some(false)
        && let Err(stuck) = kill_orphan(probe, &mut unloaded, orphan, may_kill)
    {
        unloaded.stuck = Some(stuck);
    }
    before.compare(probe, &mut unloaded);
    unloaded
}

fn kill_orphan(
    probe: &dyn Probe,
    unloaded: &mut UnloadedModel,
    orphan: &Runner,
    may_kill: bool,
) -> Result<(), Stuck> {
    let stuck = Stuck::orphan(&unloaded.name, orphan);
    if !may_kill {
        return Err(stuck);
    }
    kill(probe, orphan.id, unloaded, &stuck)?;
    let deadline = probe.now().saturating_add(KILL_MAX);
    while is_alive(probe, orphan.id) {
        if probe.now() >= deadline {
            return Err(stuck);
        }
        probe.sleep(POLL);
    }
    unloaded.process_ended = Some(true);
    Ok(())
}

/// Returns whether the process is alive and still an orphan.
fn is_orphan(probe: &dyn Probe, id: ProcessId) -> bool {
    probe.runners().is_some_and(|runners| {
        let mut same = runners.iter().filter(|runner| runner.id == id);
        same.any(|runner| runner.is_orphan)
    })
}
