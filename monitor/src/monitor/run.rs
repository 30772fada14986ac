//! What runs in the background: one thread that samples, and on Linux one that sleeps until the kernel says that tasks
//! stall.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{INTERVAL_HIGH, INTERVAL_MS_MIN, RECORD_MS, STEADY_START_MS};
use crate::alert::Delivery;
use crate::history::{History, Record};
use crate::pressure::Level;
use crate::sample::{Moment, Sampler};
use crate::watcher::Watcher;

/// What the handle and the threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) started: Instant,
    // Two locks, so that reports do not wait for the reading of files. Taken in this order.
    pub(super) sampling: Mutex<Sampling>,
    pub(super) watcher: Mutex<Watcher>,
    pub(super) delivery: Delivery,
    pub(super) pace: Mutex<Pace>,
    pub(super) wake: Condvar,
}

/// Reading and recording.
#[derive(Debug)]
pub(super) struct Sampling {
    pub(super) sampler: Sampler,
    pub(super) history: Option<History>,
    pub(super) recorded_ms: Option<u64>,
}

/// How often samples are taken.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// `None`: stopped.
    pub(super) interval: Option<Duration>,
    pub(super) ticks: u64,
    /// A sample is wanted before the interval is over.
    pub(super) soon: bool,
}

impl Shared {
    pub(super) fn run(&self) {
        loop {
            // A statement of its own: in the head of a loop the lock would be held through its body.
            let interval = lock(&self.pace).interval;
            let Some(set) = interval else { return };
            self.tick();
            let high = lock(&self.watcher).pressure().level() >= Level::High;
            let interval = if high { set.min(INTERVAL_HIGH) } else { set };
            // Woken when the interval changes, which may be to none, and when a sample is wanted; that however only after a
            // while, so that whoever wants many does not get them all.
            let least = Duration::from_millis(INTERVAL_MS_MIN);
            let pace = self.wait(lock(&self.pace), least, |pace| pace.interval == Some(set));
            let waits = |pace: &mut Pace| pace.interval == Some(set) && !pace.soon;
            self.wait(pace, interval.saturating_sub(least), waits).soon = false;
        }
    }

    fn wait<'a>(
        &self,
        pace: MutexGuard<'a, Pace>,
        longest: Duration,
        waits: impl FnMut(&mut Pace) -> bool,
    ) -> MutexGuard<'a, Pace> {
        let waited = self.wake.wait_timeout_while(pace, longest, waits);
        waited.unwrap_or_else(|e| e.into_inner()).0
    }

    pub(super) fn sample_soon(&self) {
        lock(&self.pace).soon = true;
        self.wake.notify_all();
    }

    pub(super) fn tick(&self) {
        let mut sampling = lock(&self.sampling);
        // Walking pages holds a lock of the process that is looked at: not when every allocation counts.
        let calm = lock(&self.watcher).pressure().level() < Level::Critical;
        sampling.sampler.set_reads_shares(calm);
        let at = self.now();
        let sample = sampling.sampler.sample(at);
        let (notices, record) = {
            let mut watcher = lock(&self.watcher);
            let notices = watcher.observe(sample);
            (
                notices,
                Record::new(watcher.last(), watcher.pressure().level()),
            )
        };
        sampling.record(&record, at.steady_ms);
        drop(sampling);
        notices
            .into_iter()
            .for_each(|notice| self.delivery.submit(notice));
        lock(&self.pace).ticks += 1;
    }

    pub(super) fn now(&self) -> Moment {
        let steady_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment::new(STEADY_START_MS.saturating_add(steady_ms), unix_ms())
    }
}

impl Sampling {
    fn record(&mut self, record: &Record, now_ms: u64) {
        let fresh = self
            .recorded_ms
            .is_some_and(|then| now_ms.saturating_sub(then) < RECORD_MS);
        let Some(history) = self.history.as_mut().filter(|_| !fresh) else {
            return;
        };
        self.recorded_ms = Some(now_ms);
        if let Err(error) = history.append(record) {
            tracing::warn!(%error, "a sample is missing from the history");
        }
    }
}

/// Fills the series with what was recorded in the last week.
pub(super) fn recall(watcher: &mut Watcher, records: impl Iterator<Item = Record>) {
    let now = unix_ms();
    for record in records {
        let age_ms = now.checked_sub(record.unix_ms);
        // What the clock of the system dates into the future cannot be placed.
        if let Some(at) = age_ms.and_then(|age| STEADY_START_MS.checked_sub(age)) {
            watcher.recall(&record.to_sample(at));
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held leaves figures that the next sample overwrites.
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// The threads of continuous monitoring.
#[derive(Debug)]
pub(super) struct Background {
    sampling: JoinHandle<()>,
    /// Closed, it ends the thread that waits for stalls.
    #[cfg(target_os = "linux")]
    stalls: Option<(std::io::PipeWriter, JoinHandle<()>)>,
}

impl Background {
    pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        #[cfg(target_os = "linux")]
        let stalls = watch_stalls(shared)?;
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("memory-monitor".to_owned());
        Ok(Self {
            sampling: thread.spawn(move || shared.run())?,
            #[cfg(target_os = "linux")]
            stalls,
        })
    }

    /// Waits until the threads have ended, which the pace has told to.
    pub(super) fn join(self) {
        #[cfg(target_os = "linux")]
        if let Some((stop, thread)) = self.stalls {
            drop(stop);
            end(thread);
        }
        end(self.sampling);
    }
}

fn end(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("the memory monitor panicked");
    }
}

/// Takes a sample when tasks begin to wait for memory. `None`: the kernel does not tell, so the interval is all there is.
#[cfg(target_os = "linux")]
fn watch_stalls(
    shared: &Arc<Shared>,
) -> std::io::Result<Option<(std::io::PipeWriter, JoinHandle<()>)>> {
    let trigger = match lock(&shared.sampling).sampler.system().stall_trigger() {
        Ok(trigger) => trigger,
        Err(error) => {
            tracing::debug!(%error, "stalls are seen at the next sample only");
            return Ok(None);
        }
    };
    let (stop, stopper) = std::io::pipe()?;
    let shared = Arc::clone(shared);
    let watch = move || {
        while trigger.wait(&stop) {
            shared.sample_soon();
        }
    };
    let thread = std::thread::Builder::new().name("memory-stalls".to_owned());
    Ok(Some((stopper, thread.spawn(watch)?)))
}
