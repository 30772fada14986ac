//! The queue between the thread that fills it and the transcription that reads it: who waits for
//! whom, and what others can see of it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use steadyscribe_monitor::gauge::Unit;
use steadyscribe_monitor::{Component, Gauge, Gauges};

use super::queue::Queue;
use crate::time::{Span, Time};

/// Longest single wait, of which a longer deadline takes several: some systems cannot count to the
/// longest `Duration`.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// A queue that several threads share.
#[derive(Debug)]
pub(super) struct Backlog {
    state: Mutex<State>,
    changed: Condvar,
    gauges: LiveGauges,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// No more audio comes in.
    is_ended: bool,
    /// The [`Live`](super::Live) has gone, so that no transcription can begin.
    is_closed: bool,
    reader: Reader,
}

/// Whether a transcription reads the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    NotYet,
    Active,
    Gone,
}

/// The state of a live input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Length of everything that was pushed, with the silence that stands for dropped audio.
    pub pushed: Time,
    /// How far the transcription has read. It reads ahead of what it commits by a window and the
    /// pool.
    pub read: Time,
    /// How far the input was transcribed, or skipped as silence. A transcription that begins later
    /// starts here.
    pub committed: Time,
    /// Bytes of audio in the spill file.
    pub spilled_bytes: u64,
    /// Length of the audio that was dropped because memory and spill file were full. Silence stands
    /// for it.
    pub dropped: Time,
}

impl Status {
    /// Returns how much audio is not transcribed yet. In silence this may be ten seconds although
    /// nothing waits.
    #[must_use]
    pub fn lag(&self) -> Time {
        self.pushed - self.committed
    }
}

/// Shows the state of a live input to any thread. Clones show the same input.
///
/// Each call takes a lock that others hold for microseconds, or for one write to the disk while a
/// backlog is spilled. Do not call it in an audio callback.
#[derive(Clone, Debug)]
pub struct Watch(pub(super) Arc<Backlog>);

impl Watch {
    /// Returns the state of the input now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.lock().status()
    }

    /// Returns where audio was dropped, in order: at most [`SPANS_MAX`](crate::SPANS_MAX) spans.
    #[must_use]
    pub fn dropped(&self) -> Vec<Span> {
        self.0.lock().queue.lost().spans().to_vec()
    }

    /// Returns the gauges that the input publishes for the monitor: bytes held, bytes spilled, lag
    /// and dropped audio in milliseconds.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.0.gauges.registry.clone()
    }

    /// Frees the audio before `time`: its text is written.
    pub(crate) fn commit(&self, time: Time) {
        self.0.commit(time);
    }

    /// Ends the transcription that reads the input, which then finds the input's end.
    pub(crate) fn end(&self) {
        self.0.end_reading();
    }
}

impl Backlog {
    pub(super) fn new(queue: Queue, held_bytes: usize) -> Self {
        let state = State {
            queue,
            is_ended: false,
            is_closed: false,
            reader: Reader::NotYet,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            gauges: LiveGauges::new(held_bytes),
        }
    }

    /// After a panic of the thread that fills the queue, what it had stored is still valid.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds something to the queue.
    pub(super) fn fill(&self, work: impl FnOnce(&mut Queue)) {
        let mut state = self.lock();
        work(&mut state.queue);
        self.gauges.set(&state);
        self.changed.notify_all();
    }

    /// Ends the input: no more audio comes in.
    pub(super) fn end_input(&self) {
        self.lock().is_ended = true;
        self.changed.notify_all();
    }

    /// Ends everything: no transcription can begin any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.reader = Reader::Gone;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Begins a transcription at the committed position, which it returns.
    pub(super) fn begin_reading(&self) -> Time {
        let mut state = self.lock();
        state.queue.rewind();
        state.reader = Reader::Active;
        state.queue.timeline().committed()
    }

    /// Ends the transcription. Another may begin.
    pub(super) fn end_reading(&self) {
        self.lock().reader = Reader::Gone;
        self.changed.notify_all();
    }

    /// Reads the oldest audio that was not read, and waits at most for `patience` if there is none.
    /// Returns `None` at the end of the input, and when the transcription was ended.
    pub(super) fn read(&self, out: &mut [f32], patience: Duration) -> Option<usize> {
        let mut state = self.lock();
        let began = Instant::now();
        loop {
            if state.reader != Reader::Active {
                return None;
            }
            let count = state.queue.read(out);
            if count > 0 {
                return Some(count);
            }
            if state.is_ended {
                return None;
            }
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Some(0);
            }
            state = self.wait(state, left);
        }
    }

    fn commit(&self, time: Time) {
        let mut state = self.lock();
        state.queue.commit(time);
        // Piece by piece, so that no other thread waits for a window's worth of the disk.
        while state.queue.refill() {
            drop(state);
            state = self.lock();
        }
        self.gauges.set(&state);
    }

    /// Waits until the input is transcribed to its end, the transcription has ended for another
    /// reason, or `deadline` has passed.
    pub(super) fn drain(&self, deadline: Duration) -> Status {
        let mut state = self.lock();
        let began = Instant::now();
        while !(state.is_ended && state.reader == Reader::Gone) {
            let left = deadline.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left.min(WAIT_MAX));
        }
        state.status()
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, patience: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, patience);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    fn status(&self) -> Status {
        let timeline = self.queue.timeline();
        Status {
            pushed: timeline.end(),
            read: timeline.read(),
            committed: timeline.committed(),
            spilled_bytes: self.queue.spilled() * size_of::<f32>() as u64,
            dropped: self.queue.lost().length(),
        }
    }
}

/// The gauges of a live input.
#[derive(Debug)]
struct LiveGauges {
    registry: Gauges,
    spilled: Gauge,
    lag: Gauge,
    dropped: Gauge,
}

impl LiveGauges {
    fn new(held_bytes: usize) -> Self {
        let registry = Gauges::new(Component::Audio);
        let gauge = |name, unit| {
            registry
                .gauge(name, unit)
                .expect("a new registry takes its gauges")
        };
        gauge("live_buffers", Unit::HeldBytes).set(held_bytes as u64);
        Self {
            spilled: gauge("live_spilled", Unit::Bytes),
            lag: gauge("live_lag_ms", Unit::Count),
            dropped: gauge("live_dropped_ms", Unit::Count),
            registry,
        }
    }

    fn set(&self, state: &State) {
        let status = state.status();
        self.spilled.set(status.spilled_bytes);
        self.lag.set(status.lag().milliseconds());
        self.dropped.set(status.dropped.milliseconds());
    }
}
