//! The threads in the background: one samples, and on Linux another sleeps until the kernel reports
//! that tasks wait for memory.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::alert::Delivery;
use crate::history::{History, Record};
use crate::pressure::Level;
use crate::sample::Moment;
use crate::sampler::Sampler;
use crate::tracker::Tracker;

/// Shortest interval: the finest series shows no shorter one.
pub const INTERVAL_MS_MIN: u64 = 100;

/// Interval while the pressure is High or Critical, if the set one is longer.
pub(super) const INTERVAL_HIGH: Duration = Duration::from_secs(1);

/// Least time between two records of the history.
const RECORD_MS: u64 = 10_000;

/// The steady clock starts here, so that a week of history lies before it.
const STEADY_START_MS: u64 = 8 * 24 * 3_600_000;

/// State of the handle and of the threads.
#[derive(Debug)]
pub(super) struct Shared {
    started: Instant,
    // Two locks, so that reports do not wait for the reading of files. Taken in this order.
    pub(super) sampling: Mutex<Sampling>,
    pub(super) tracker: Mutex<Tracker>,
    pub(super) delivery: Delivery,
    pub(super) pace: Mutex<Pace>,
    pub(super) wake: Condvar,
}

/// Reading and recording.
#[derive(Debug)]
pub(super) struct Sampling {
    pub(super) sampler: Sampler,
    history: Option<History>,
    recorded_ms: Option<u64>,
}

/// The pace of sampling.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// `None`: stopped.
    pub(super) interval: Option<Duration>,
    pub(super) ticks: u64,
    /// A sample is requested before the interval is over.
    soon: bool,
}

impl Shared {
    pub(super) fn new(
        started: Instant,
        sampler: Sampler,
        history: Option<History>,
        tracker: Tracker,
        delivery: Delivery,
    ) -> Self {
        Self {
            started,
            sampling: Mutex::new(Sampling {
                sampler,
                history,
                recorded_ms: None,
            }),
            tracker: Mutex::new(tracker),
            delivery,
            pace: Mutex::new(Pace::default()),
            wake: Condvar::new(),
        }
    }

    fn run(&self) {
        loop {
            // A statement of its own: in the head of a loop the lock would be held through its
            // body.
            let interval = lock(&self.pace).interval;
            let Some(set) = interval else { return };
            self.tick();
            let high = lock(&self.tracker).pressure().level() >= Level::High;
            let interval = if high { set.min(INTERVAL_HIGH) } else { set };
            // Woken when the interval changes, which may be to none. A requested sample waits for
            // the least interval, so that many requests cause one sample.
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
        // Walking pages holds a lock of that process, which must not stall while memory is
        // critical.
        let calm = lock(&self.tracker).pressure().level() < Level::Critical;
        sampling.sampler.set_reads_shares(calm);
        let at = self.now();
        let sample = sampling.sampler.sample(at);
        let (notices, record) = {
            let mut tracker = lock(&self.tracker);
            let notices = tracker.observe(sample);
            let level = tracker.pressure().level();
            let record = Record::new(tracker.last(), tracker.capacity(), level);
            (notices, record)
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

/// Fills the series with the records of the last week.
pub(super) fn backfill(tracker: &mut Tracker, records: impl Iterator<Item = Record>) {
    let now = unix_ms();
    for record in records {
        let age_ms = now.checked_sub(record.unix_ms);
        // A record that the system's clock dated into the future cannot be placed.
        if let Some(at) = age_ms.and_then(|age| STEADY_START_MS.checked_sub(age)) {
            tracker.backfill(&record.to_sample(at));
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
        let stalls = wait_for_stalls(shared)?;
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("memory-monitor".to_owned());
        Ok(Self {
            sampling: thread.spawn(move || shared.run())?,
            #[cfg(target_os = "linux")]
            stalls,
        })
    }

    /// Waits until the threads have ended. The pace must be stopped before.
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

/// Takes a sample when tasks begin to wait for memory. `None`: the kernel does not report it, and
/// samples are taken at the interval alone.
#[cfg(target_os = "linux")]
fn wait_for_stalls(
    shared: &Arc<Shared>,
) -> std::io::Result<Option<(std::io::PipeWriter, JoinHandle<()>)>> {
    let trigger = match lock(&shared.sampling).sampler.system().stall_trigger() {
        Ok(trigger) => trigger,
        Err(error) => {
            tracing::debug!(%error, "stalls are not reported between samples");
            return Ok(None);
        }
    };
    let (stop, stopper) = std::io::pipe()?;
    let shared = Arc::clone(shared);
    let wait = move || {
        while trigger.wait(&stop) {
            shared.sample_soon();
        }
    };
    let thread = std::thread::Builder::new().name("memory-stalls".to_owned());
    Ok(Some((stopper, thread.spawn(wait)?)))
}
