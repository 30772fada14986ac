//! From "somebody wants it" to "it is ready". Everything here happens inside the gate.

use std::sync::Arc;

use super::super::plan::{CTX_STEPS, Plan, PlanOptions, plan};
use super::super::state::find_listed;
use super::super::unload::{Target, runner_of};
use super::super::{Client, LoadProfile, ModelShape, OllamaError, RunningModel, Version};
use super::admit::{Admission, Wish};
use super::books::Held;
use super::watch::LoadWatch;
use super::{DESCRIPTIONS_MAX, Description, Event, Inner, ManagerError, UnloadReason};

/// A model in use is touched after this part of the idle time: with two ticks in an idle time the server hears of it
/// after three quarters at the latest.
const TOUCHES_PER_IDLE_TIME: u32 = 4;

impl Inner {
    /// Makes a model ready and counts its user in. Returns the name by which it is held, and what it is loaded with.
    pub(super) fn make_ready(
        &self,
        name: &str,
        client: &Client,
    ) -> Result<(String, LoadProfile), ManagerError> {
        let list = client.running()?;
        self.settle(&list);
        let mut description = self.describe(client, name)?;
        let (key, _, users) = self.state().user_count(name);
        if key != name {
            description = self.describe(client, &key)?;
        }
        let name = key.as_str();
        // Whoever uses it, under whichever name, pins it.
        if users == 0
            && let Some(reason) = self.reason_to_reload(name, &description)
        {
            self.unload_or_fail(name, reason)?;
        }
        let taken = {
            let mut state = self.state();
            state.stopping.retain(|stopping| stopping.name != name);
            state.books.take(name).map(|held| held.profile.clone())
        };
        if let Some(profile) = taken {
            // The server's timer runs since the last request, which may be an idle time ago: the next tick comes too late.
            if let Err(error) = self.touch(&list) {
                let (now, wall) = (self.sight.now(), self.sight.wall());
                self.state().books.give_back(name, now, wall);
                return Err(error.into());
            }
            return Ok((key, profile));
        }
        let profile = self.load(client, name, &description)?;
        Ok((key, profile))
    }

    /// Compares the books with what the server holds, and drops what it does not hold any more.
    pub(super) fn settle(&self, list: &[RunningModel]) {
        let runners = self.sight.runners();
        // A process was seen, and now none holds the file: listed or not, the model is gone. Another process with the
        // same file is a reload by somebody else.
        let ended = |held: &Held| match (&runners, &held.blob, held.runner) {
            (Some(runners), Some(blob), Some(_)) => !runners
                .iter()
                .any(|runner| runner.model_path == *blob && !runner.is_orphan),
            _ => false,
        };
        let mut state = self.state();
        state.forget_gone(list, runners.as_deref());
        let mut vanished = Vec::new();
        for (name, held) in &state.books.held {
            let listed = find_listed(list, name, &held.digest);
            // A model in use stays in the books: its user finds out by himself, and his lease counts.
            if held.users == 0 && (listed.is_none() || ended(held)) {
                vanished.push(name.clone());
            }
        }
        for model in vanished {
            state.books.held.remove(&model);
            state.note(Event::Vanished { model });
        }
        state.take_over_or_leave(list);
    }

    /// Tells the server that models which somebody uses are still wanted: a lease may be silent for longer than the
    /// server keeps a model, while a host prepares its prompt. A request without a prompt only sets the timer anew.
    pub(super) fn touch(&self, list: &[RunningModel]) -> Result<(), OllamaError> {
        let now = self.sight.now();
        let wanted: Vec<(String, LoadProfile)> = {
            let mut state = self.state();
            let Some(timeout) = state.settings.idle_timeout else {
                return Ok(());
            };
            let is_due = |held: &Held| {
                held.users > 0
                    && now.saturating_sub(held.touched) >= timeout / TOUCHES_PER_IDLE_TIME
            };
            let in_use = state.books.held.iter_mut().filter(|(_, held)| is_due(held));
            in_use
                .filter(|(name, held)| find_listed(list, name, &held.digest).is_some())
                .map(|(name, held)| {
                    held.touched = now;
                    (name.clone(), held.profile.clone())
                })
                .collect()
        };
        for (name, profile) in wanted {
            self.client.load(&name, &profile, self.keep_alive(), None)?;
        }
        Ok(())
    }

    /// Looks whether the processes of our models hold much more than the server claims for them.
    pub(super) fn mark_bloated(&self, list: &[RunningModel]) {
        let Some(runners) = self.sight.runners() else {
            return;
        };
        let mut state = self.state();
        let limit = state.settings.unclaimed_bytes_max;
        for (name, held) in &mut state.books.held {
            let listed = find_listed(list, name, &held.digest);
            let runner = runners
                .iter()
                .find(|runner| Some(&runner.model_path) == held.blob.as_ref() && !runner.is_orphan);
            let (Some(listed), Some(runner)) = (listed, runner) else {
                continue;
            };
            held.runner = Some(runner.id);
            let expected = listed
                .host_bytes()
                .saturating_add(held.estimate.overhead_bytes);
            held.is_bloated = runner.private_bytes().saturating_sub(expected) > limit;
        }
    }

    /// Whether a model that is in memory and unused must be loaded anew for the next job.
    fn reason_to_reload(&self, name: &str, description: &Description) -> Option<UnloadReason> {
        let available = self.sight.available_bytes();
        let state = self.state();
        let held = state.books.held.get(name)?;
        let settings = &state.settings;
        if held.digest != description.digest {
            return Some(UnloadReason::Asked); // pulled again meanwhile: the weights are others
        }
        if held.profile.num_ctx > settings.ctx_max {
            return Some(UnloadReason::Shrunk);
        }
        let is_short = available.is_some_and(|bytes| bytes < settings.reserve_bytes);
        if !is_short {
            return None;
        }
        // What it would give back counts as available for its smaller self.
        let after = available.map(|bytes| bytes.saturating_add(held.estimate.total_bytes));
        let room = after?.saturating_sub(settings.reserve_bytes);
        let options = PlanOptions {
            ctx_max: settings.ctx_max,
            ctx_min: settings.ctx_min,
            use_mmap: held.profile.use_mmap,
            server: held.server,
        };
        let smaller = plan(&description.shape, room, &options).ok()?;
        (smaller.profile.num_ctx < held.profile.num_ctx).then_some(UnloadReason::Shrunk)
    }

    fn unload_or_fail(&self, name: &str, reason: UnloadReason) -> Result<(), ManagerError> {
        let unloaded = self.unload(name, reason)?;
        if unloaded.is_gone() {
            return Ok(());
        }
        Err(ManagerError::Stuck {
            model: Box::new(unloaded),
        })
    }

    /// Plans and loads; what goes wrong in a known way is tried otherwise. That ends: a failed mapping is not tried
    /// again, and each further context is smaller.
    fn load(
        &self,
        client: &Client,
        name: &str,
        description: &Description,
    ) -> Result<LoadProfile, ManagerError> {
        let mut ctx_max = self.state().settings.ctx_max;
        let version = client.version()?;
        loop {
            let planned = self.admit(client, name, &version, description, ctx_max)?;
            let patience = Arc::new(LoadWatch::new(self, name, description));
            match client.load(name, &planned.profile, self.keep_alive(), Some(patience)) {
                Ok(()) => return Ok(self.enter_in_books(name, &version, description, planned)),
                Err(OllamaError::MapFailed { .. }) if planned.profile.use_mmap == Some(true) => {
                    let model = name.to_owned();
                    let mut state = self.state();
                    state.unmappable.insert(model.clone());
                    state.note(Event::MapFailed { model });
                }
                Err(error @ OllamaError::OutOfMemory { .. }) => {
                    ctx_max = self.step_down(name, planned.profile.num_ctx).ok_or(error)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next smaller context that is of use.
    fn step_down(&self, name: &str, from_ctx: u32) -> Option<u32> {
        let mut state = self.state();
        let ctx_min = state.settings.ctx_min;
        let mut steps = CTX_STEPS.into_iter().rev();
        let ctx_max = steps.find(|step| (ctx_min..from_ctx).contains(step))?;
        state.note(Event::SteppedDown {
            model: name.to_owned(),
            from_ctx,
        });
        Some(ctx_max)
    }

    /// Finds a context that fits, unloading what is unused longest where none does, but nothing where that would not
    /// help.
    fn admit(
        &self,
        client: &Client,
        name: &str,
        version: &Version,
        description: &Description,
        ctx_max: u32,
    ) -> Result<Plan, ManagerError> {
        // Where another program has loaded it, our load takes that one's place.
        let list = client.running()?;
        let replaced = find_listed(&list, name, &description.digest);
        let replaced_bytes = replaced.map_or(0, RunningModel::host_bytes);
        let (lost, lost_bytes) = self.state().books.lost_in_use(&list);
        let mut others = list.len() - usize::from(replaced.is_some()) + lost;
        loop {
            let available = self.sight.available_bytes().map(|bytes| {
                let bytes = bytes.saturating_add(replaced_bytes);
                bytes.saturating_sub(lost_bytes)
            });
            let victim = {
                let state = self.state();
                let wish = Wish {
                    version,
                    shape: &description.shape,
                    ctx_max,
                    is_mapped: state.settings.memory_mapping && !state.unmappable.contains(name),
                    others,
                };
                match state.admit(name, &wish, available)? {
                    Admission::Load(planned) => return Ok(planned),
                    Admission::Unload(victim) => victim,
                }
            };
            self.unload_or_fail(&victim, UnloadReason::LeastRecentlyUsed)?;
            others = others.saturating_sub(1);
        }
    }

    /// Enters a loaded model with its first user.
    fn enter_in_books(
        &self,
        name: &str,
        version: &Version,
        description: &Description,
        planned: Plan,
    ) -> LoadProfile {
        let target = description.target(name);
        let runner = runner_of(self.sight.as_ref(), &target).flatten();
        let (last_used, last_used_wall) = (self.sight.now(), self.sight.wall());
        let mut state = self.state();
        let server = state.settings.server_traits(version);
        let held = Held {
            digest: target.digest,
            blob: target.blob,
            profile: planned.profile.clone(),
            estimate: planned.estimate,
            server,
            runner: runner.map(|runner| runner.id),
            users: 1,
            last_used,
            last_used_wall,
            touched: last_used,
            is_bloated: false,
        };
        state.stopping.retain(|stopping| stopping.name != name);
        state.books.held.insert(name.to_owned(), held);
        state.note(Event::Loaded {
            model: name.to_owned(),
            profile: planned.profile.clone(),
        });
        planned.profile
    }

    /// What the server says of an installed model, remembered by digest.
    fn describe(&self, client: &Client, name: &str) -> Result<Description, ManagerError> {
        let not_installed = || OllamaError::NotInstalled {
            model: name.to_owned(),
        };
        let installed = client.installed()?;
        let installed = installed
            .iter()
            .find(|model| super::whole_name(&model.name) == name)
            .ok_or_else(not_installed)?;
        if installed.is_cloud() {
            return Err(ManagerError::Ollama(OllamaError::Cloud {
                model: name.to_owned(),
            }));
        }
        if let Some(known) = self.state().descriptions.get(name)
            && known.digest == installed.digest
        {
            return Ok(known.clone());
        }
        let mut show = client.show(name, false)?;
        if ModelShape::wants_verbose(&show) {
            show.model_info = client.show(name, true)?.model_info;
        }
        let shape = ModelShape::new(&show, installed.size_bytes);
        let description = Description {
            digest: installed.digest.clone(),
            blob: show.blob_path().map(str::to_owned),
            shape: shape.map_err(|source| ManagerError::Unplannable {
                model: name.to_owned(),
                source,
            })?,
        };
        let mut state = self.state();
        if state.descriptions.len() >= DESCRIPTIONS_MAX {
            state.descriptions.clear();
        }
        let known = description.clone();
        state.descriptions.insert(name.to_owned(), known);
        Ok(description)
    }

    pub(super) fn shape(&self, name: &str) -> Result<ModelShape, ManagerError> {
        Ok(self.describe(&self.client, name)?.shape)
    }

    /// Learns digest and file of a model that is to be unloaded, ours or not.
    pub(super) fn describe_for_unload(&self, name: &str) -> Result<(), OllamaError> {
        match self.describe(&self.client, name) {
            Err(ManagerError::Ollama(error)) => Err(error),
            // A model whose memory cannot be told can go all the same.
            _ => Ok(()),
        }
    }
}

impl Description {
    pub(super) fn target(&self, name: &str) -> Target {
        Target {
            name: name.to_owned(),
            digest: self.digest.clone(),
            blob: self.blob.clone(),
        }
    }
}
