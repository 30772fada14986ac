//! Runner processes that exist only in a table.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use steadyscribe_monitor::ollama::Runner;
use steadyscribe_monitor::reader::{Basis, ProcessId, ProcessMemory};

/// Starts processes for the fake server.
pub trait Processes: Debug + Send + Sync {
    /// Starts a process with this many private bytes. With `mapped`, its weights are mapped too.
    fn start(&self, blob: &str, private_bytes: u64, mapped: bool) -> u32;
    /// Ends a process, and waits until it has ended.
    fn end(&self, pid: u32);
    /// Increases the private bytes of a process.
    fn grow(&self, pid: u32, bytes: u64);
}

/// Processes that exist only in a table.
#[derive(Clone, Debug, Default)]
pub struct Counted(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    last_pid: u32,
    runners: BTreeMap<u32, (String, u64)>,
    /// Processes whose server has ended.
    orphans: BTreeMap<u32, (String, u64)>,
    most_at_once: BTreeMap<String, usize>,
}

impl Counted {
    pub fn runners(&self) -> Vec<Runner> {
        let table = self.0.lock().unwrap();
        let runner = |pid: &u32, (blob, bytes): &(String, u64), is_orphan| {
            let mut runner = Runner::new(ProcessId::new(*pid, 1), blob, Some(memory(*bytes)));
            runner.is_orphan = is_orphan;
            runner
        };
        let alive = table.runners.iter();
        let alive = alive.map(|(pid, held)| runner(pid, held, false));
        let orphans = table.orphans.iter();
        let orphans = orphans.map(|(pid, held)| runner(pid, held, true));
        // Orphans come first, so that a caller that takes the first process of a file fails.
        orphans.chain(alive).collect()
    }

    /// Adds a process whose server has ended.
    pub fn leave_orphan(&self, blob: &str, bytes: u64) -> u32 {
        let mut table = self.0.lock().unwrap();
        table.last_pid += 1;
        let pid = table.last_pid;
        table.orphans.insert(pid, (blob.to_owned(), bytes));
        pid
    }

    /// Ends a process without its server's knowledge. Returns whether it existed.
    pub fn kill(&self, pid: u32) -> bool {
        let mut table = self.0.lock().unwrap();
        table.orphans.remove(&pid).is_some() || table.runners.remove(&pid).is_some()
    }

    pub fn bytes(&self) -> u64 {
        self.0.lock().unwrap().held().map(|held| held.1).sum()
    }

    /// Returns the highest number of processes that held the same weights at the same time.
    pub fn most_at_once(&self) -> usize {
        let table = self.0.lock().unwrap();
        table.most_at_once.values().copied().max().unwrap_or(0)
    }
}

impl Table {
    fn held(&self) -> impl Iterator<Item = &(String, u64)> {
        self.runners.values().chain(self.orphans.values())
    }
}

fn memory(private_bytes: u64) -> ProcessMemory {
    // Only the reader can create this struct, so the test overwrites the figures of a real one.
    let mut memory = steadyscribe_monitor::reader::own().unwrap();
    memory.private_bytes = private_bytes;
    memory.resident_bytes = private_bytes;
    memory.reclaimable_bytes = Some(0);
    memory.swap_bytes = Some(0);
    memory.basis = Basis::AnonShmemSwap;
    memory
}

impl Processes for Counted {
    fn start(&self, blob: &str, private_bytes: u64, _mapped: bool) -> u32 {
        let mut table = self.0.lock().unwrap();
        table.last_pid += 1;
        let pid = table.last_pid;
        table.runners.insert(pid, (blob.to_owned(), private_bytes));
        let now = table
            .runners
            .values()
            .filter(|runner| runner.0 == blob)
            .count();
        let most = table.most_at_once.entry(blob.to_owned()).or_default();
        *most = now.max(*most);
        pid
    }

    fn end(&self, pid: u32) {
        self.0.lock().unwrap().runners.remove(&pid);
    }

    fn grow(&self, pid: u32, bytes: u64) {
        if let Some(runner) = self.0.lock().unwrap().runners.get_mut(&pid) {
            runner.1 += bytes;
        }
    }
}
