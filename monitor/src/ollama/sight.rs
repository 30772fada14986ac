//! What the machine itself shows of the models: its free memory, and the processes that hold them.

use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;
use time::OffsetDateTime;

use super::Host;
use crate::reader::table::Entry;
use crate::reader::{ProcessId, ProcessMemory, System};

/// Names of processes that hold a model, as the kernel cuts them: since 0.30, up to 0.24 (with `runner` as first
/// argument), up to 0.4.
const RUNNER_NAMES: [&str; 5] = [
    "llama-server",
    "llama-server.exe",
    "ollama",
    "ollama.exe",
    "ollama_llama_se",
];

/// Names of the server's process.
const SERVER_NAMES: [&str; 2] = ["ollama", "ollama.exe"];

/// A process that holds a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Runner {
    /// Which process.
    pub id: ProcessId,
    /// The file of its weights.
    pub model_path: String,
    /// Its memory; `None` where it ended meanwhile.
    pub memory: Option<ProcessMemory>,
    /// Whether the server that started it has ended: nobody will end it any more.
    pub is_orphan: bool,
}

impl Runner {
    /// Describes a runner.
    #[must_use]
    pub fn new(id: ProcessId, model_path: &str, memory: Option<ProcessMemory>) -> Self {
        Self {
            id,
            model_path: model_path.to_owned(),
            memory,
            is_orphan: false,
        }
    }

    /// Its private bytes, as far as they are known.
    #[must_use]
    pub fn private_bytes(&self) -> u64 {
        self.memory.map_or(0, |memory| memory.private_bytes)
    }
}

/// What a [`Manager`](super::Manager) knows of the machine and of time. [`Local`] is the real one; tests have others.
pub trait Sight: Debug + Send + Sync {
    /// Bytes that a program can still have without swapping. `None`: unknown, as for a server on another machine.
    fn available_bytes(&self) -> Option<u64>;

    /// The processes that hold a model. `None`: they cannot be seen.
    fn runners(&self) -> Option<Vec<Runner>>;

    /// Time since some moment; it may jump forward when the machine slept.
    fn now(&self) -> Duration;

    /// The time of day.
    fn wall(&self) -> OffsetDateTime;

    /// Waits.
    fn sleep(&self, time: Duration);

    /// Kills exactly this process, not a later one with its number. Asked only where
    /// [`Settings::kill_stuck`](super::Settings::kill_stuck) is on.
    ///
    /// # Errors
    ///
    /// Why it was not killed: always, where this is not implemented.
    fn kill(&self, id: ProcessId) -> io::Result<()> {
        let _ = id;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// This machine, as far as the server runs on it: of a server elsewhere nothing is seen.
#[derive(Debug)]
pub struct Local {
    /// `None`: the server is elsewhere.
    system: Option<System>,
    port: u16,
    since: Instant,
}

impl Local {
    /// Watches the machine on which a server listens on `port`.
    #[must_use]
    pub fn new(system: System, port: u16) -> Self {
        Self {
            system: Some(system),
            port,
            since: Instant::now(),
        }
    }

    /// Watches the machine of a server, where that is this one.
    #[must_use]
    pub fn of_host(host: &Host) -> Self {
        Self {
            system: host.is_local().then(System::host),
            port: host.port(),
            since: Instant::now(),
        }
    }
}

impl Sight for Local {
    fn available_bytes(&self) -> Option<u64> {
        Some(self.system.as_ref()?.machine().ok()?.available_bytes)
    }

    fn runners(&self) -> Option<Vec<Runner>> {
        let system = self.system.as_ref()?;
        let mut entries = Vec::new();
        system.processes(&mut entries).ok()?;
        // The arguments of processes cannot be read everywhere; better nothing than half.
        let own = system.identify(std::process::id()).ok()?;
        system.arguments(own).ok()?;
        let listener = system.listener(self.port, &entries).ok().flatten();
        let is = |entry: &Entry, names: &[&str]| names.iter().any(|name| entry.is_named(name));
        let servers: Vec<ProcessId> = entries
            .iter()
            .filter(|entry| is(entry, &SERVER_NAMES) || Some(entry.id) == listener)
            .map(|entry| entry.id)
            .collect();
        let runners = || entries.iter().filter(|entry| is(entry, &RUNNER_NAMES));
        // A tunnel or a container's proxy may listen in the server's place.
        let listener = listener.filter(|id| {
            let mut children = runners().filter(|entry| entry.parent_pid == id.pid);
            let named = entries.iter().find(|entry| entry.id == *id);
            children.next().is_some() || named.is_some_and(|entry| is(entry, &SERVER_NAMES))
        });
        Some(
            runners()
                .filter_map(|entry| runner(system, entry, owner(entry, &servers, listener)?))
                .collect(),
        )
    }

    fn now(&self) -> Duration {
        self.since.elapsed()
    }

    fn wall(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn kill(&self, id: ProcessId) -> io::Result<()> {
        let system = self.system.as_ref();
        system.ok_or(io::ErrorKind::Unsupported)?.kill(id)
    }
}

/// Who will end a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// The server that we speak to, or one that cannot be told from it.
    Server,
    /// Nobody: its server has ended.
    Nobody,
}

/// Tells whose a runner is. `None`: another server's, which is not asked and must not lose it. Which server is ours is
/// known by the port it listens on, where that can be read: of a service of another user it cannot.
fn owner(entry: &Entry, servers: &[ProcessId], listener: Option<ProcessId>) -> Option<Owner> {
    let parent = servers.iter().find(|id| id.pid == entry.parent_pid);
    match (parent, listener) {
        (None, _) => Some(Owner::Nobody),
        (Some(parent), Some(listener)) if *parent != listener => None,
        (Some(_), _) => Some(Owner::Server),
    }
}

fn runner(system: &System, entry: &Entry, owner: Owner) -> Option<Runner> {
    let arguments = system.arguments(entry.id).ok()?;
    Some(Runner {
        id: entry.id,
        model_path: blob_argument(entry.name(), &arguments)?.to_owned(),
        memory: system.memory_of(entry.id).ok(),
        is_orphan: owner == Owner::Nobody,
    })
}

/// The file of weights that a runner was started with. A `llama-server` that the user runs with a file of his own is
/// none of the server's.
fn blob_argument<'a>(name: &str, arguments: &'a [String]) -> Option<&'a str> {
    if SERVER_NAMES.contains(&name) && arguments.get(1).map(String::as_str) != Some("runner") {
        return None;
    }
    let at = arguments
        .iter()
        .position(|argument| argument == "--model")?;
    let path = arguments.get(at + 1)?;
    path.rsplit(['/', '\\'])
        .next()?
        .starts_with("sha256-")
        .then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, arguments: &str, expected: Option<&str>) {
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        assert_eq!(blob_argument(name, &arguments), expected);
    }

    #[test]
    fn runners_of_every_version_are_known() {
        let blob = Some("/m/blobs/sha256-ab");
        check(
            "llama-server",
            "/l/llama-server --port 1 --model /m/blobs/sha256-ab -c 4096",
            blob,
        );
        check(
            "ollama",
            "ollama runner --model /m/blobs/sha256-ab --port 1",
            blob,
        );
        check(
            "ollama_llama_se",
            "/t/ollama_llama_server --model /m/blobs/sha256-ab",
            blob,
        );
    }

    #[test]
    fn runner_belongs_to_the_server_that_started_it() {
        let id = |pid| ProcessId::new(pid, 1);
        let servers = [id(10), id(20)];
        let check = |parent_pid, listener: Option<u32>, expected| {
            let entry = Entry::new(id(30), parent_pid, "llama-server");
            assert_eq!(owner(&entry, &servers, listener.map(id)), expected);
        };
        check(10, Some(10), Some(Owner::Server));
        check(20, Some(10), None);
        check(20, None, Some(Owner::Server));
        check(1, Some(10), Some(Owner::Nobody));
        check(1, None, Some(Owner::Nobody));
    }

    #[test]
    fn what_is_no_runner_of_the_server_is_left_alone() {
        check("ollama", "ollama serve", None);
        check("ollama", "ollama run --model /m/blobs/sha256-ab", None);
        check("llama-server", "llama-server --list-devices", None);
        check(
            "llama-server",
            "llama-server --model /home/me/mine.gguf",
            None,
        );
        check("llama-server", "llama-server --model", None);
    }
}
