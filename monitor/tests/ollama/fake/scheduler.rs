//! Decides which models are loaded, by the rules of the real server.

use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::clock::Clock;
use super::http::{Response, is_closed};
use super::model::{FOR_EVER, Model, Options};
use super::process::Processes;
use super::{Fault, Setup};

const KEEP_ALIVE_DEFAULT: Duration = Duration::from_secs(300);
const LOADED_MAX: usize = 3;

#[derive(Debug)]
struct Loaded {
    id: u64,
    model: Model,
    options: Options,
    pid: u32,
    bytes: u64,
    keep_alive: Duration,
    /// Set when a request ends.
    expires_at: Option<Duration>,
    users: usize,
    /// Whether an unload was requested. It cannot be undone.
    is_dying: bool,
    is_loading: bool,
    has_crashed: bool,
}

#[derive(Debug, Default)]
struct State {
    loaded: Vec<Loaded>,
    last_id: u64,
    loads: usize,
    restarts: usize,
    never_ends: bool,
}

#[derive(Debug)]
pub struct Scheduler {
    clock: Clock,
    /// Date and time when the clock started.
    began: OffsetDateTime,
    processes: Arc<dyn Processes>,
    state: Arc<Mutex<State>>,
    /// One load at a time.
    loader: Mutex<()>,
}

impl Scheduler {
    pub(super) fn new(clock: Clock, processes: Arc<dyn Processes>) -> Self {
        Self {
            began: OffsetDateTime::now_utc() - clock.now(),
            clock,
            processes,
            state: Arc::default(),
            loader: Mutex::default(),
        }
    }

    /// Returns how often a process was started.
    pub fn loads(&self) -> usize {
        self.state.lock().unwrap().loads
    }

    /// Returns the names of loaded models whose process is alive.
    pub fn names(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let alive = state.loaded.iter().filter(|loaded| !loaded.has_crashed);
        alive.map(|loaded| loaded.model.name.clone()).collect()
    }

    /// Prevents every unload from now on.
    pub fn never_end(&self) {
        self.state.lock().unwrap().never_ends = true;
    }

    /// Ends a process by itself, without an effect on the list.
    pub fn crash(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        for loaded in &mut state.loaded {
            if loaded.model.name == name {
                loaded.has_crashed = true;
                self.processes.end(loaded.pid);
            }
        }
    }

    /// Forgets a model whose process is alive.
    pub fn lose(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        state.loaded.retain(|loaded| loaded.model.name != name);
    }

    pub(super) fn restart(&self) {
        let mut state = self.state.lock().unwrap();
        state.restarts += 1;
        for loaded in state.loaded.drain(..) {
            self.processes.end(loaded.pid);
        }
    }

    pub(super) fn grow(&self, id: u64, bytes: u64) {
        let state = self.state.lock().unwrap();
        if bytes > 0
            && let Some(loaded) = state.loaded.iter().find(|loaded| loaded.id == id)
        {
            self.processes.grow(loaded.pid, bytes);
        }
    }

    pub(super) fn ps(&self, minor: u32) -> Value {
        let mut state = self.state.lock().unwrap();
        self.sweep(&mut state);
        let now = self.clock.now();
        let mut listed: Vec<(Duration, Value)> = state
            .loaded
            .iter()
            .filter(|loaded| !loaded.is_loading || minor < 30)
            .map(|loaded| {
                let expires_at = loaded.expires_at.unwrap_or(now + loaded.keep_alive);
                let model = &loaded.model;
                let mut entry = json!({
                    "name": model.name, "model": model.name, "size": loaded.bytes, "size_vram": 0,
                    "digest": model.digest, "details": model.details(minor),
                    "expires_at": rfc3339(self.began + expires_at)
                });
                if minor >= 10 {
                    entry["context_length"] = json!(loaded.options.ctx(model));
                }
                (expires_at, entry)
            })
            .collect();
        listed.sort_by_key(|(expires_at, _)| std::cmp::Reverse(*expires_at));
        json!({ "models": listed.into_iter().map(|entry| entry.1).collect::<Vec<_>>() })
    }

    /// Ends the expired models that are unused.
    fn sweep(&self, state: &mut State) {
        let now = self.clock.now();
        let never_ends = state.never_ends;
        state.loaded.retain(|loaded| {
            // A thread already waits to end a model that is dying.
            let expires = !loaded.is_dying
                && loaded.expires_at.is_some_and(|at| at <= now)
                && loaded.users == 0
                && !loaded.is_loading
                && !never_ends;
            if expires {
                self.processes.end(loaded.pid);
            }
            !expires
        });
    }

    /// Requests an unload. The process ends later, and the request is lost during a load.
    pub(super) fn unload(&self, model: &Model, unload_ms: u64) {
        let mut state = self.state.lock().unwrap();
        let of_model = |loaded: &&mut Loaded| loaded.model.blob == model.blob && !loaded.is_loading;
        let Some(loaded) = state.loaded.iter_mut().find(of_model) else {
            return;
        };
        loaded.is_dying = true;
        loaded.expires_at = Some(self.clock.now());
        let id = loaded.id;
        let (state, processes) = (Arc::clone(&self.state), Arc::clone(&self.processes));
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(unload_ms));
            loop {
                let mut state = state.lock().unwrap();
                let Some(at) = state.loaded.iter().position(|loaded| loaded.id == id) else {
                    return; // a restart has ended it
                };
                if state.loaded[at].users == 0 && !state.never_ends {
                    // The list stays locked until the process has ended, so absence proves it.
                    processes.end(state.loaded[at].pid);
                    state.loaded.remove(at);
                    return;
                }
                drop(state);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
    }

    /// Finds or loads a model for a request. Returns `Err(None)` if the client has gone.
    pub(super) fn acquire(
        &self,
        model: &Model,
        options: &Options,
        keep_alive: Option<Duration>,
        setup: &Setup,
        fault: Option<Fault>,
        stream: &TcpStream,
    ) -> Result<u64, Option<Response>> {
        if fault == Some(Fault::QueueFull) {
            let message = "server busy, please try again.  maximum pending requests exceeded";
            return Err(Some(Response::error(503, message)));
        }
        if let Some(id) = self.reuse(model, options, keep_alive) {
            return Ok(id);
        }
        let _loader = self.loader.lock().unwrap();
        loop {
            if let Some(id) = self.reuse(model, options, keep_alive) {
                return Ok(id);
            }
            if is_closed(stream) {
                return Err(None);
            }
            if self.make_room(model) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let bytes = model.bytes(options, if setup.minor < 10 { 4 } else { 1 });
        let in_use: u64 = self
            .state
            .lock()
            .unwrap()
            .loaded
            .iter()
            .map(|loaded| loaded.bytes)
            .sum();
        if setup.minor < 30 && in_use + bytes > setup.system_bytes {
            let message =
                "model requires more system memory (17.7 GiB) than is available (13.6 GiB)";
            return Err(Some(Response::error(500, message)));
        }
        self.load(model, options, keep_alive, setup, bytes, stream)
            .and_then(|id| {
                self.spoil(id, fault, setup.minor)
                    .map_or(Ok(id), |response| Err(Some(response)))
            })
    }

    /// Fails a load according to the fault.
    fn spoil(&self, id: u64, fault: Option<Fault>, minor: u32) -> Option<Response> {
        let runner = if minor < 30 {
            "llama runner"
        } else {
            "llama-server"
        };
        let ended = |how: &str| format!("{runner} process has terminated: {how}");
        let message = match fault? {
            Fault::LoadKilled => ended("signal: killed"),
            Fault::LoadFailed => ended("exit status 1: error loading model: missing tensor"),
            Fault::MapFailed => ended("exit status 1: mmap failed: Cannot allocate memory"),
            Fault::LoadStalled => format!("timed out waiting for {runner} to start - "),
            _ => return None,
        };
        let mut state = self.state.lock().unwrap();
        if let Some(at) = state.loaded.iter().position(|loaded| loaded.id == id) {
            self.processes.end(state.loaded.remove(at).pid);
        }
        Some(Response::error(500, &message))
    }

    fn reuse(&self, model: &Model, options: &Options, keep_alive: Option<Duration>) -> Option<u64> {
        let mut state = self.state.lock().unwrap();
        self.sweep(&mut state);
        let of_model = |loaded: &&mut Loaded| loaded.model.blob == model.blob;
        let loaded = state.loaded.iter_mut().find(of_model)?;
        let is_usable = !loaded.is_dying && !loaded.is_loading && !loaded.has_crashed;
        if !is_usable || options.needs_reload(&loaded.options, model) {
            return None;
        }
        loaded.users += 1;
        loaded.keep_alive = keep_alive.unwrap_or(loaded.keep_alive);
        Some(loaded.id)
    }

    /// Ends the process that stands in the way. Returns `false` if it is in use.
    fn make_room(&self, model: &Model) -> bool {
        let mut state = self.state.lock().unwrap();
        let same = state
            .loaded
            .iter()
            .position(|loaded| loaded.model.blob == model.blob);
        let victim = match same {
            Some(at) if state.loaded[at].users == 0 && !state.never_ends => at,
            Some(_) => return false,
            None if state.loaded.len() < LOADED_MAX => return true,
            // Not the least recently used model: the one with the shortest keep-alive time, then by
            // path.
            None => {
                let mut idle: Vec<usize> = (0..state.loaded.len())
                    .filter(|at| state.loaded[*at].users == 0)
                    .collect();
                idle.sort_by_key(|at| {
                    let loaded = &state.loaded[*at];
                    (loaded.keep_alive, loaded.model.blob.clone())
                });
                match idle.first() {
                    Some(at) => *at,
                    None => return false,
                }
            }
        };
        self.processes.end(state.loaded.remove(victim).pid);
        true
    }

    fn load(
        &self,
        model: &Model,
        options: &Options,
        keep_alive: Option<Duration>,
        setup: &Setup,
        bytes: u64,
        stream: &TcpStream,
    ) -> Result<u64, Option<Response>> {
        let pid = self
            .processes
            .start(&model.blob, bytes, options.use_mmap == Some(true));
        let (id, restarts) = {
            let mut state = self.state.lock().unwrap();
            state.loads += 1;
            state.last_id += 1;
            let id = state.last_id;
            state.loaded.push(Loaded {
                id,
                model: model.clone(),
                options: options.clone(),
                pid,
                bytes,
                keep_alive: keep_alive.unwrap_or(KEEP_ALIVE_DEFAULT),
                expires_at: None,
                users: 1,
                is_dying: false,
                is_loading: true,
                has_crashed: false,
            });
            (id, state.restarts)
        };
        for _ in 0..setup.load_ms.div_ceil(2) {
            std::thread::sleep(Duration::from_millis(2));
            let mut state = self.state.lock().unwrap();
            if state.restarts != restarts {
                return Err(None);
            }
            if is_closed(stream) {
                state.loaded.retain(|loaded| loaded.id != id);
                self.processes.end(pid);
                return Err(None);
            }
        }
        let mut state = self.state.lock().unwrap();
        let loaded = state.loaded.iter_mut().find(|loaded| loaded.id == id);
        loaded.ok_or(None)?.is_loading = false;
        Ok(id)
    }

    pub(super) fn release(&self, id: u64, keep_alive: Option<Duration>) {
        let mut state = self.state.lock().unwrap();
        let now = self.clock.now();
        if let Some(loaded) = state.loaded.iter_mut().find(|loaded| loaded.id == id) {
            loaded.users -= 1;
            loaded.keep_alive = keep_alive.unwrap_or(loaded.keep_alive);
            loaded.expires_at = Some(now + loaded.keep_alive.min(FOR_EVER));
        }
        self.sweep(&mut state);
    }
}

/// Formats a time with the server's offset, to the nanosecond.
fn rfc3339(at: OffsetDateTime) -> String {
    let offset = time::UtcOffset::from_hms(2, 0, 0).unwrap();
    let at = at.replace_nanosecond(123_456_789).unwrap();
    at.to_offset(offset).format(&Rfc3339).unwrap()
}
