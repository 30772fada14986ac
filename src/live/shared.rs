//! What the mover, the transcriber and whoever watches share.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use steadyscribe_monitor::gauge::Unit;
use steadyscribe_monitor::{Component, Gauge, Gauges};

use super::queue::Queue;
use crate::time::{Span, Time};

/// One wait, of those that a deadline is made of: some systems cannot count to the longest `Duration`.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// The queue and who works at its ends.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    gauges: Figures,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// Nothing more comes in.
    ended: bool,
    /// Nobody can read any more.
    closed: bool,
    listening: Listening,
    /// Up to where it was transcribed.
    reached: Time,
}

/// Whether somebody transcribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listening {
    NotYet,
    Now,
    Over,
}

/// How a live input stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Length of everything that was pushed, silence for what was dropped included.
    pub pushed: Time,
    /// Up to where the transcriber has read. It reads ahead of what is transcribed by a window and the pool.
    pub read: Time,
    /// Up to where it was transcribed, or skipped as silence.
    pub transcribed: Time,
    /// Bytes in the spill file now.
    pub spilled_bytes: u64,
    /// Audio that was dropped: there was no room up to the spill limit. Silence stands for it.
    pub dropped: Time,
}

impl Status {
    /// Returns how much audio is not transcribed yet. In silence this is up to ten seconds without anything waiting.
    #[must_use]
    pub fn lag(&self) -> Time {
        self.pushed - self.transcribed
    }
}

/// Looks at a live input from any thread. Clones look at the same one.
///
/// It takes a lock that is held for less than a millisecond at a time: not for audio callbacks.
#[derive(Clone, Debug)]
pub struct Watch(pub(super) Arc<Shared>);

impl Watch {
    /// Returns how the input stands now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// Returns what was dropped, in order; at most [`SPANS_MAX`](crate::SPANS_MAX) spans.
    #[must_use]
    pub fn dropped(&self) -> Vec<Span> {
        let mut lost = self.0.lock().queue.lost().to_vec();
        lost.sort_by_key(|span| span.start);
        lost
    }

    /// Returns the gauges that the input publishes for the monitor: bytes held, bytes spilled, lag and dropped audio in
    /// milliseconds.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.0.gauges.registry.clone()
    }

    /// Has the reader find the end of the input.
    pub(crate) fn leave(&self) {
        self.0.leave();
    }

    /// Tells up to where the input was transcribed.
    pub(crate) fn reached(&self, time: Time) {
        let mut state = self.0.lock();
        state.reached = time;
        self.0.gauges.set(&state);
    }
}

impl Shared {
    pub(super) fn new(queue: Queue, held_bytes: usize) -> Self {
        let state = State {
            queue,
            ended: false,
            closed: false,
            listening: Listening::NotYet,
            reached: Time::ZERO,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            gauges: Figures::new(held_bytes),
        }
    }

    /// A panic of the mover while it held the lock ended the input; what it had stored stands.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something into the queue.
    pub(super) fn fill(&self, work: impl FnOnce(&mut Queue)) {
        let mut state = self.lock();
        work(&mut state.queue);
        self.gauges.set(&state);
        self.changed.notify_all();
    }

    /// Nothing more comes in.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Nobody reads any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.listening = Listening::Over;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Reads the oldest audio; waits for some, at most for `patience`. `None` at the end of the input, or when nobody
    /// transcribes any more.
    pub(super) fn read(&self, out: &mut [f32], patience: Duration) -> Option<usize> {
        let mut state = self.lock();
        let began = Instant::now();
        loop {
            if state.listening != Listening::Now {
                return None;
            }
            let count = state.queue.read(out);
            if count > 0 {
                self.gauges.set(&state);
                return Some(count);
            }
            if state.ended {
                return None;
            }
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Some(0);
            }
            state = self.wait(state, left);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, patience: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, patience);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Somebody transcribes from here on. Returns from which time on.
    pub(super) fn listen(&self) -> Time {
        let mut state = self.lock();
        let position = state.queue.position();
        let given_up = Span::new(state.reached, position);
        state.queue.give_up(given_up);
        state.reached = position;
        state.listening = Listening::Now;
        position
    }

    /// Nobody transcribes any more, for now.
    pub(super) fn leave(&self) {
        self.lock().listening = Listening::Over;
        self.changed.notify_all();
    }

    /// Waits until the input is transcribed to its end, nobody transcribes any more, or `deadline` has passed.
    pub(super) fn drain(&self, deadline: Duration) -> Status {
        let mut state = self.lock();
        let began = Instant::now();
        while !(state.ended && state.listening == Listening::Over) {
            let left = deadline.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left.min(WAIT_MAX));
        }
        state.status()
    }

    fn status(&self) -> Status {
        self.lock().status()
    }
}

impl State {
    fn status(&self) -> Status {
        Status {
            pushed: self.queue.end(),
            read: self.queue.position(),
            transcribed: self.reached,
            spilled_bytes: self.queue.spilled() * size_of::<f32>() as u64,
            dropped: self.queue.dropped(),
        }
    }
}

/// The gauges of a live input.
#[derive(Debug)]
struct Figures {
    registry: Gauges,
    spilled: Gauge,
    lag: Gauge,
    dropped: Gauge,
}

impl Figures {
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
