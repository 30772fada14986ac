//! The highest private memory of this process, by stage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use steadyscribe::monitor::reader;

/// How often the memory is read. A buffer of a whole file lives for longer.
const EVERY: Duration = Duration::from_millis(2);

/// What a process is doing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    Start,
    Decode,
    Resample,
    Vad,
    Transcribe,
}

impl Stage {
    pub(crate) const ALL: [(Self, &'static str); 5] = [
        (Self::Start, "start"),
        (Self::Decode, "decode"),
        (Self::Resample, "resample"),
        (Self::Vad, "vad"),
        (Self::Transcribe, "transcribe"),
    ];
}

#[derive(Default)]
struct Seen {
    stage: AtomicUsize,
    peaks: [AtomicU64; Stage::ALL.len()],
    ended: AtomicBool,
}

impl Seen {
    fn read(&self) {
        let memory = reader::own().unwrap();
        let stage = self.stage.load(Ordering::Relaxed);
        self.peaks[stage].fetch_max(memory.private_bytes, Ordering::Relaxed);
    }
}

/// Reads the memory until it is dropped.
pub(crate) struct Meter {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Meter {
    pub(crate) fn start() -> Self {
        let seen = Arc::new(Seen::default());
        let reading = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            while !reading.ended.load(Ordering::Relaxed) {
                reading.read();
                std::thread::sleep(EVERY);
            }
        });
        Self {
            seen,
            thread: Some(thread),
        }
    }

    /// Says that a stage begins.
    pub(crate) fn stage(&self, stage: Stage) {
        self.seen.read();
        self.seen.stage.store(stage as usize, Ordering::Relaxed);
    }

    /// Reads the memory now.
    pub(crate) fn read(&self) {
        self.seen.read();
    }

    /// Returns the highest private memory of a stage in bytes, zero if it was not entered.
    pub(crate) fn peak_bytes(&self, stage: Stage) -> u64 {
        self.seen.peaks[stage as usize].load(Ordering::Relaxed)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.seen.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
