//! The one owner of what an engine holds: loads, lends, accounts for and frees model and states.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use steadyscribe_monitor::Gauges;

use self::account::Account;
use self::idle::IdleTimer;
use self::slots::{ModelSlot, Slot, Slots};
use super::{Engine, EngineError, Limits, Model, Request, State, Transcription};
use crate::budget::Plan;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::error::ConfigError;
use crate::memory;

mod account;
mod idle;
mod slots;
#[cfg(test)]
mod tests;

pub use account::{Held, Released};

/// How often a wait for a state checks whether it was cancelled.
const CANCEL_TICK: Duration = Duration::from_millis(50);

/// Owns the memory of an engine, for one transcriber or for several: one copy of the weights, and
/// as many states as the budget allows. Clones are handles to the same pool.
///
/// Every operation may be called at any time and from any thread, also while transcriptions run or
/// a live input is silent. A transcriber borrows a state for one window at a time, in the order of
/// asking, so it waits for at most one window of each of the others. Their texts are the same with
/// one state as with many.
///
/// # Memory
///
/// What [`plan`](Self::plan) states. Nothing is held before the first window,
/// [`load`](Self::load) or [`warm_up`](Self::warm_up). The states are freed after
/// [`Config::release_state_after`] without a window, the model after [`Config::unload_after`]; the
/// next window loads them again.
///
/// # Examples
///
/// ```
/// use steadyscribe::engine::Scripted;
/// use steadyscribe::{Config, EnginePool};
///
/// let pool = EnginePool::new(&Config::default(), Scripted::default(), 2)?;
/// let microphone = pool.transcriber()?;
/// let system = pool.transcriber()?;
/// let governor = pool.clone();
/// governor.unload();
/// # let _ = (microphone, system);
/// # Ok::<(), steadyscribe::Error>(())
/// ```
#[derive(Clone)]
pub struct EnginePool(Arc<Inner>);

struct Inner {
    engine: Box<dyn Engine>,
    config: Config,
    plan: Plan,
    limits: Limits,
    slots: Mutex<Slots>,
    /// A slot came back, a model was loaded or freed.
    changed: Condvar,
    account: Account,
    next_audio_id: AtomicU64,
    next_user: AtomicU64,
    /// Transcribers that exist.
    transcribers: AtomicUsize,
    idle: Option<IdleTimer>,
}

impl EnginePool {
    /// Plans the memory of `engine` for `transcribers`, which work side by side. Loads nothing.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Budget`] if the budget is too small, with what would fit;
    /// [`ConfigError::OutOfRange`] as [`Config::validate`], and for a window that is longer than
    /// the engine accepts.
    pub fn new(
        config: &Config,
        engine: impl Engine + 'static,
        transcribers: usize,
    ) -> Result<Self, ConfigError> {
        let limits = engine.limits();
        config.validate()?;
        config.check_window_within(limits.window_samples_max)?;
        let plan = Plan::new(config, &engine.variants(), transcribers)?;
        let account = Account::new(plan.variant().footprint);
        let inner = Arc::new_cyclic(|inner| Inner {
            engine: Box::new(engine),
            config: config.clone(),
            limits,
            slots: Mutex::new(Slots::new(plan.states())),
            plan,
            changed: Condvar::new(),
            account,
            next_audio_id: AtomicU64::new(0),
            next_user: AtomicU64::new(0),
            transcribers: AtomicUsize::new(0),
            idle: IdleTimer::start(inner.clone(), config),
        });
        Ok(Self(inner))
    }

    /// Returns what was planned.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Returns the configuration of the pool and of its transcribers.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Returns the engine's name and model.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.engine.name()
    }

    /// Loads the model, if it is not there, so that the first window need not wait for it.
    ///
    /// # Errors
    ///
    /// [`EngineError::Failed`] when the model cannot be loaded.
    pub fn load(&self) -> Result<(), EngineError> {
        let (model, generation) = self.0.model(&Cancel::new())?;
        drop(model);
        let mut slots = self.0.lock();
        slots.end_use(generation);
        slots.last_used = Instant::now();
        self.0.account.update(&slots);
        self.0.changed.notify_all();
        drop(slots);
        self.0.wake_timer();
        Ok(())
    }

    /// Loads the model, allocates every state and touches all memory that windows will use, so
    /// that a machine that cannot hold it shows it now. Waits for windows in progress.
    ///
    /// # Errors
    ///
    /// [`EngineError::Failed`] when the engine cannot run.
    pub fn warm_up(&self) -> Result<(), EngineError> {
        let never = Cancel::new();
        let mut leases = self.0.lease(self.0.plan.states(), None, &never)?;
        for lease in &mut leases {
            lease.state(&never)?.warm_up()?;
        }
        Ok(())
    }

    /// Frees all working memory that no window is using, and the working memory of windows in
    /// progress when they end. Later windows allocate what they need: to keep it free, pause the
    /// transcribers first ([`Controls::pause`](crate::Controls::pause)).
    pub fn reclaim(&self) -> Released {
        self.0.release(false)
    }

    /// Frees the model as well. While windows are in progress their states keep it; it is freed
    /// when the last of them ends. Later windows load it again.
    pub fn unload(&self) -> Released {
        self.0.release(true)
    }

    /// Returns what the engine holds now. Takes no lock.
    #[must_use]
    pub fn held(&self) -> Held {
        self.0.account.held()
    }

    /// Returns the gauges of the engine and of all transcribers of this pool, for the monitor:
    /// bytes of model, states, windows and block pools, depth of the queues, real-time factor.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.0.account.gauges()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }

    pub(crate) fn identity(&self) -> Vec<(String, String)> {
        self.0.engine.identity(self.0.plan.variant())
    }

    /// Counts one more transcriber. Returns its number.
    pub(crate) fn join(&self) -> Result<u64, ConfigError> {
        let planned = self.0.plan.transcribers();
        let count = self.0.transcribers.fetch_add(1, Ordering::Relaxed) + 1;
        if count > planned {
            self.leave();
            #[expect(clippy::cast_precision_loss, reason = "shown, not computed with")]
            let [asked, max] = [count, planned].map(|count| count as f64);
            return Err(ConfigError::out_of_range(
                "transcribers of this engine pool",
                asked,
                1.0,
                max,
            ));
        }
        Ok(self.0.next_user.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts one transcriber less.
    pub(crate) fn leave(&self) {
        self.0.transcribers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns a number for a window's audio that no other window of this pool has.
    pub(crate) fn next_audio_id(&self) -> u64 {
        self.0.next_audio_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Transcribes one window with a state that is free, the one that `user` used last if possible.
    pub(crate) fn transcribe(
        &self,
        user: u64,
        window: &[f32],
        request: &Request<'_>,
    ) -> Result<Transcription, EngineError> {
        let mut leases = self.0.lease(1, Some(user), request.cancel)?;
        let Some(lease) = leases.first_mut() else {
            return Err(EngineError::Cancelled);
        };
        lease.state(request.cancel)?.transcribe(window, request)
    }
}

impl Inner {
    /// A panic of an engine poisons nothing: the lock is never held while one runs.
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, or for long enough to check whether it was cancelled.
    fn wait<'a>(&self, slots: MutexGuard<'a, Slots>) -> MutexGuard<'a, Slots> {
        let waited = self.changed.wait_timeout(slots, CANCEL_TICK);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Borrows `count` slots, after everybody who asked before.
    fn lease(
        &self,
        count: usize,
        user: Option<u64>,
        cancel: &Cancel,
    ) -> Result<Vec<Lease<'_>>, EngineError> {
        let mut slots = self.lock();
        let ticket = slots.next_ticket;
        slots.next_ticket += 1;
        slots.waiting.push_back(ticket);
        while slots.waiting.front() != Some(&ticket) || slots.free.len() < count {
            if cancel.is_cancelled() {
                slots.waiting.retain(|waiting| *waiting != ticket);
                self.changed.notify_all();
                return Err(EngineError::Cancelled);
            }
            slots = self.wait(slots);
        }
        slots.waiting.pop_front();
        let mut leases = Vec::with_capacity(count);
        for _ in 0..count {
            let slot = slots.take(user);
            leases.push(Lease {
                pool: self,
                state_generation: slots.state_generation,
                in_use: slot.state.as_ref().map(|_| slots.model_generation),
                slot,
            });
        }
        self.changed.notify_all();
        Ok(leases)
    }

    /// Returns the model, loaded if it was absent, and its generation. The caller counts as a user
    /// of it until it calls `end_use`.
    fn model(&self, cancel: &Cancel) -> Result<(Arc<dyn Model>, u64), EngineError> {
        let mut slots = self.lock();
        loop {
            match &slots.model {
                ModelSlot::Loaded(model) => {
                    let model = Arc::clone(model);
                    slots.users += 1;
                    return Ok((model, slots.model_generation));
                }
                ModelSlot::Absent if slots.retired == 0 => break,
                ModelSlot::Absent | ModelSlot::Loading => {}
            }
            if cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            slots = self.wait(slots);
        }
        slots.model = ModelSlot::Loading;
        let generation = slots.model_generation;
        self.account.update(&slots);
        drop(slots);
        let loading = Loading(self);
        let model = self.engine.load(self.plan.variant())?;
        let mut slots = self.lock();
        slots.users += 1;
        if slots.model_generation == generation {
            slots.model = ModelSlot::Loaded(Arc::clone(&model));
        } else {
            // Unloaded while it was loaded: it serves this window and is freed then.
            slots.retired += 1;
        }
        drop(slots);
        drop(loading);
        Ok((model, generation))
    }

    /// Frees the states that are not in use, and the model with them if `unload`.
    fn release(&self, unload: bool) -> Released {
        let mut slots = self.lock();
        let before = self.account.update(&slots);
        slots.state_generation += 1;
        for slot in &mut slots.free {
            // Freed with the lock held: a window that starts meanwhile would allocate beside it.
            slot.state = None;
        }
        if unload {
            slots.model_generation += 1;
            slots.retired = slots.users;
            if matches!(slots.model, ModelSlot::Loaded(_)) {
                slots.model = ModelSlot::Absent;
            }
        }
        let held = self.account.update(&slots);
        self.changed.notify_all();
        drop(slots);
        let freed_bytes = before.total_bytes() - held.total_bytes();
        if freed_bytes > 0 {
            memory::trim();
        }
        Released {
            freed_bytes,
            pending_bytes: held.state_bytes + u64::from(unload) * held.model_bytes,
        }
    }

    /// Something was used: the idle timers start from now.
    fn wake_timer(&self) {
        if let Some(idle) = &self.idle {
            idle.wake();
        }
    }

    /// Frees what was not used for long enough. Returns how long to wait before the next check;
    /// `None` until something is used again.
    fn release_idle(&self) -> Option<Duration> {
        let slots = self.lock();
        if slots.lent > 0 {
            return None;
        }
        let idle_for = slots.last_used.elapsed();
        let has_states = slots.free.iter().any(|slot| slot.state.is_some());
        let has_model = matches!(slots.model, ModelSlot::Loaded(_));
        drop(slots);
        let left = |after: Option<Duration>, has: bool| {
            after
                .filter(|_| has)
                .map(|after| after.saturating_sub(idle_for))
        };
        let state_left = left(self.config.release_state_after, has_states);
        let model_left = left(self.config.unload_after, has_model);
        if model_left == Some(Duration::ZERO) {
            self.release(true);
            return None;
        }
        if state_left == Some(Duration::ZERO) {
            self.release(false);
            return model_left;
        }
        [state_left, model_left].into_iter().flatten().min()
    }
}

/// A borrowed slot. It goes back when the lease is dropped, without its state if that was asked for
/// meanwhile or if the engine panicked.
struct Lease<'a> {
    pool: &'a Inner,
    state_generation: u64,
    /// Generation of the model that is in use; `None` while there is no state.
    in_use: Option<u64>,
    slot: Slot,
}

impl Lease<'_> {
    /// Returns the slot's state, and makes one if there is none.
    fn state(&mut self, cancel: &Cancel) -> Result<&mut (dyn State + 'static), EngineError> {
        if self.in_use.is_none() {
            let (model, generation) = self.pool.model(cancel)?;
            self.in_use = Some(generation);
            self.slot.state = Some(model.new_state()?);
            self.pool.account.update(&self.pool.lock());
        }
        match &mut self.slot.state {
            Some(state) => Ok(state.as_mut()),
            None => Err(EngineError::Cancelled),
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut slot = std::mem::take(&mut self.slot);
        let mut slots = self.pool.lock();
        let is_current = self.state_generation == slots.state_generation;
        let freed = slot.state.is_some() && (!is_current || std::thread::panicking());
        if freed {
            slot.state = None;
        }
        if let Some(generation) = self.in_use {
            slots.end_use(generation);
        }
        slots.lent -= 1;
        slots.free.push(slot);
        slots.last_used = Instant::now();
        self.pool.account.update(&slots);
        self.pool.changed.notify_all();
        drop(slots);
        if freed {
            memory::trim();
        }
        self.pool.wake_timer();
    }
}

/// Marks the model as absent again if loading failed or panicked, and wakes the waiters.
struct Loading<'a>(&'a Inner);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut slots = self.0.lock();
        if matches!(slots.model, ModelSlot::Loading) {
            slots.model = ModelSlot::Absent;
        }
        self.0.account.update(&slots);
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for EnginePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnginePool")
            .field("engine", &self.name())
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}
