//! A probe of a simulated machine.

use std::fmt;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use steadyscribe_monitor::ollama::{ModelMemory, Probe, Runner};
use steadyscribe_monitor::reader::ProcessId;
use time::OffsetDateTime;

use super::clock::Clock;
use super::process::Counted;

/// Memory that a load leaves free.
const RESERVE_BYTES: u64 = 512 << 20;

/// A callback that runs once.
#[derive(Default)]
struct Hook(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Hook {
    fn set(&self, callback: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(callback));
    }

    fn run(&self) {
        // Taken first: a callback may come back here.
        let callback = self.0.lock().unwrap().take();
        if let Some(callback) = callback {
            callback();
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

#[derive(Debug)]
pub struct FakeProbe {
    pub clock: Clock,
    pub processes: Counted,
    pub total_bytes: Mutex<u64>,
    on_sleep: Hook,
    on_capacity: Hook,
}

impl FakeProbe {
    pub fn new(clock: Clock, processes: Counted, total_bytes: u64) -> Self {
        Self {
            clock,
            processes,
            total_bytes: Mutex::new(total_bytes),
            on_sleep: Hook::default(),
            on_capacity: Hook::default(),
        }
    }

    pub fn set_total(&self, bytes: u64) {
        *self.total_bytes.lock().unwrap() = bytes;
    }

    /// Runs a callback in the next `sleep`.
    pub fn on_sleep(&self, callback: impl FnOnce() + Send + 'static) {
        self.on_sleep.set(callback);
    }

    /// Runs a callback in the next `capacity`.
    pub fn on_capacity(&self, callback: impl FnOnce() + Send + 'static) {
        self.on_capacity.set(callback);
    }
}

impl Probe for FakeProbe {
    fn capacity(&self) -> Option<ModelMemory> {
        self.on_capacity.run();
        let total = *self.total_bytes.lock().unwrap();
        let available = total.saturating_sub(self.processes.bytes());
        Some(ModelMemory::new(available, RESERVE_BYTES))
    }

    fn runners(&self) -> Option<Vec<Runner>> {
        Some(self.processes.runners())
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn utc_now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + self.clock.now()
    }

    fn kill(&self, id: ProcessId) -> io::Result<()> {
        if id.start_time == 1 && self.processes.kill(id.pid) {
            return Ok(());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn sleep(&self, time: Duration) {
        self.on_sleep.run();
        self.clock.advance(time);
        // The fake server's threads run in real time.
        std::thread::sleep(Duration::from_millis(1));
    }
}
