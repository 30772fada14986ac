//! What a manager sees of a machine that is made up.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use steadyscribe_monitor::ollama::{Runner, Sight};
use steadyscribe_monitor::reader::ProcessId;
use time::OffsetDateTime;

use super::clock::Clock;
use super::process::Counted;

#[derive(Debug)]
pub struct MadeUp {
    pub clock: Clock,
    pub processes: Counted,
    pub total_bytes: Mutex<u64>,
}

impl MadeUp {
    pub fn set_total(&self, bytes: u64) {
        *self.total_bytes.lock().unwrap() = bytes;
    }
}

impl Sight for MadeUp {
    fn available_bytes(&self) -> Option<u64> {
        let total = *self.total_bytes.lock().unwrap();
        Some(total.saturating_sub(self.processes.bytes()))
    }

    fn runners(&self) -> Option<Vec<Runner>> {
        Some(self.processes.runners())
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wall(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + self.clock.now()
    }

    fn kill(&self, id: ProcessId) -> io::Result<()> {
        if id.start_time == 1 && self.processes.kill(id.pid) {
            return Ok(());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn sleep(&self, time: Duration) {
        self.clock.advance(time);
        // The server's threads run in real time.
        std::thread::sleep(Duration::from_millis(1));
    }
}
