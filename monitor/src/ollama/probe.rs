//! Reads the machine: its free memory, and the processes that hold models.

use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;
use time::OffsetDateTime;

use super::client::server::Host;
use crate::reader::table::Entry;
use crate::reader::{ProcessId, ProcessMemory, System};

/// Names of runner processes, as the kernel truncates them: since 0.30, up to 0.24 (with `runner`
/// as the first argument), and up to 0.4.
const RUNNER_NAMES: [&str; 5] = [
    "llama-server",
    "llama-server.exe",
    "ollama",
    "ollama.exe",
    "ollama_llama_se",
];

/// Names of the server process.
const SERVER_NAMES: [&str; 2] = ["ollama", "ollama.exe"];

/// The memory that the machine can give to models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelMemory {
    /// Bytes that programs can allocate without swapping, within machine and control group.
    pub available_bytes: u64,
    /// Bytes of it that must stay free after a load, so that the load does not cause
    /// [high pressure](crate::pressure::Level::High).
    pub reserve_bytes: u64,
}

impl ModelMemory {
    /// Creates a capacity from its two figures.
    #[must_use]
    pub fn new(available_bytes: u64, reserve_bytes: u64) -> Self {
        Self {
            available_bytes,
            reserve_bytes,
        }
    }

    /// Returns the bytes that a load may take.
    #[must_use]
    pub fn room_bytes(&self) -> u64 {
        self.available_bytes.saturating_sub(self.reserve_bytes)
    }
}

/// A process that holds a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Runner {
    /// Number and start time.
    pub id: ProcessId,
    /// Path of its weights.
    pub model_path: String,
    /// Its memory. `None` if it has ended since.
    pub memory: Option<ProcessMemory>,
    /// Whether its server has ended, so that no server will end this process.
    pub is_orphan: bool,
    /// Whether it may belong to another server than the one that is managed.
    #[serde(skip)]
    pub(super) may_be_foreign: bool,
}

impl Runner {
    /// Describes a runner whose server is running.
    #[must_use]
    pub fn new(id: ProcessId, model_path: &str, memory: Option<ProcessMemory>) -> Self {
        Self {
            id,
            model_path: model_path.to_owned(),
            memory,
            is_orphan: false,
            may_be_foreign: false,
        }
    }

    /// Returns its private bytes, or 0 if they are unknown.
    #[must_use]
    pub fn private_bytes(&self) -> u64 {
        self.memory.map_or(0, |memory| memory.private_bytes)
    }
}

/// What a [`Manager`](super::Manager) knows about the machine and the time.
///
/// [`LocalProbe`] reads this machine; tests substitute their own. An implementation may call the
/// manager, for instance to unload a model when memory is short. During a load such a call returns
/// [`OllamaError::InFlight`](super::OllamaError::InFlight). An implementation must not wait for a
/// [`lease`](super::Manager::lease) on another thread.
pub trait Probe: Debug + Send + Sync {
    /// Returns the memory that models may take. `None` if it is unknown, as for a server on
    /// another machine.
    fn capacity(&self) -> Option<ModelMemory>;

    /// Returns the processes that hold a model. `None` if processes are not visible.
    fn runners(&self) -> Option<Vec<Runner>>;

    /// Returns the time since an arbitrary moment. It may jump forward after a suspend.
    fn now(&self) -> Duration;

    /// Returns the date and time.
    fn utc_now(&self) -> OffsetDateTime;

    /// Blocks for this long.
    fn sleep(&self, time: Duration);

    /// Kills exactly this process, and no later process with the same number. It is called only if
    /// [`Settings::kill_stuck`](super::Settings::kill_stuck) is on.
    ///
    /// # Errors
    ///
    /// Why the process was not killed. The default implementation always fails.
    fn kill(&self, id: ProcessId) -> io::Result<()> {
        let _ = id;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Reads this machine, if the server runs on it. Of a remote server, nothing is visible.
#[derive(Debug)]
pub struct LocalProbe {
    /// `None` if the server is remote.
    system: Option<System>,
    port: u16,
    since: Instant,
}

impl LocalProbe {
    /// Creates a probe of a system on which a server listens on `port`.
    #[must_use]
    pub fn new(system: System, port: u16) -> Self {
        Self {
            system: Some(system),
            port,
            since: Instant::now(),
        }
    }

    /// Creates a probe of the server at this address.
    #[must_use]
    pub fn of_host(host: &Host) -> Self {
        Self {
            system: host.is_local().then(System::host),
            port: host.port(),
            since: Instant::now(),
        }
    }
}

impl Probe for LocalProbe {
    fn capacity(&self) -> Option<ModelMemory> {
        read_capacity(self.system.as_ref()?)
    }

    fn runners(&self) -> Option<Vec<Runner>> {
        let system = self.system.as_ref()?;
        let mut entries = Vec::new();
        system.processes(&mut entries).ok()?;
        // Where the arguments of processes are unreadable, an incomplete list would mislead.
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
        // The listener may be a tunnel or a container's proxy instead of the server.
        let listener = listener.filter(|id| {
            let mut children = runners().filter(|entry| entry.parent_pid == id.pid);
            let named = entries.iter().find(|entry| entry.id == *id);
            children.next().is_some() || named.is_some_and(|entry| is(entry, &SERVER_NAMES))
        });
        let may_be_foreign = listener.is_none() && servers.len() > 1;
        Some(
            runners()
                .filter_map(|entry| {
                    let owner = owner(entry, &servers, listener)?;
                    let runner = runner(system, entry, owner)?;
                    Some(Runner {
                        may_be_foreign,
                        ..runner
                    })
                })
                .collect(),
        )
    }

    fn now(&self) -> Duration {
        self.since.elapsed()
    }

    fn utc_now(&self) -> OffsetDateTime {
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

/// Reads the memory for models. The control group is that of this process, because in a container
/// the server shares it.
fn read_capacity(system: &System) -> Option<ModelMemory> {
    let capacity = crate::capacity::Capacity::read(system);
    Some(ModelMemory {
        available_bytes: capacity.available_bytes.get()?,
        reserve_bytes: capacity.reserve_bytes.get()?,
    })
}

/// The server of a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// The server that listens on our port, or one that cannot be distinguished from it.
    Server,
    /// None: the server has ended.
    Nobody,
}

/// Finds the owner of a runner. Returns `None` if it belongs to another server, which is not
/// queried and must not lose it.
///
/// Our server is the one that listens on our port. Of a service of another user this cannot be
/// read.
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
    let model_path = blob_argument(entry.name(), &arguments)?;
    let memory = system.memory_of(entry.id).ok();
    Some(Runner {
        is_orphan: owner == Owner::Nobody,
        ..Runner::new(entry.id, model_path, memory)
    })
}

/// Returns the weights that a runner was started with. A `llama-server` that the user runs with
/// another file does not belong to the server.
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
    fn runners_of_every_version_are_recognized() {
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
    fn other_processes_are_not_runners() {
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

    /// Writes the files of a machine, optionally with the limit and usage of a control group, and
    /// returns its capacity. Amounts are in MiB.
    fn capacity(total: u64, available: u64, swap: u64, group: Option<(u64, u64)>) -> ModelMemory {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: String| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let kib = |mib: u64| mib << 10;
        let meminfo = format!(
            "MemTotal: {} kB\nMemAvailable: {} kB\nSwapTotal: {} kB\nSwapFree: {} kB\n",
            kib(total),
            kib(available),
            kib(swap),
            kib(swap)
        );
        write("proc/meminfo", meminfo);
        if let Some((limit, usage)) = group {
            write("proc/self/cgroup", "0::/app\n".to_owned());
            write("cgroup/app/memory.max", format!("{}\n", limit << 20));
            write("cgroup/app/memory.current", format!("{}\n", usage << 20));
        }
        let system = System::at(folder.path().join("proc"), folder.path().join("cgroup"));
        let probe = LocalProbe::new(system, 11434);
        probe.capacity().unwrap()
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_load_never_causes_critical_pressure() {
        use crate::capacity::Thresholds;

        for total_gib in [2, 4, 8, 16, 64] {
            for swap in [0, 4096] {
                let reserve_bytes = capacity(total_gib << 10, 1024, swap, None).reserve_bytes;
                let thresholds = Thresholds::for_machine(total_gib << 30, swap > 0);
                assert!(
                    reserve_bytes >= thresholds.critical_bytes,
                    "{total_gib} GiB, {swap} MiB swap: {reserve_bytes} of {thresholds:?}"
                );
            }
        }
    }

    #[test]
    fn small_machine_keeps_most_of_its_memory_for_loads() {
        let capacity = capacity(1024, 900, 0, None);
        assert!(capacity.room_bytes() >= 500 * MIB, "{capacity:?}");
    }

    #[test]
    fn control_group_bounds_what_is_available() {
        let limited = capacity(16_384, 12_288, 0, Some((4096, 1024)));
        assert_eq!(limited.available_bytes, 3072 * MIB);
        let unlimited = capacity(16_384, 12_288, 0, None);
        assert_eq!(unlimited.available_bytes, 12_288 * MIB);
        assert!(limited.reserve_bytes < unlimited.reserve_bytes);
        let wider_than_the_machine = capacity(4096, 2048, 0, Some((65_536, 1024)));
        assert_eq!(wider_than_the_machine.available_bytes, 2048 * MIB);
    }
}
