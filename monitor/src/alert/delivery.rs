//! Sends notices: to the journal first, then through every channel in a thread of its own, and
//! again until one acknowledges.
//!
//! ```text
//! sampling ──submit (never waits)──▶ inbox ──▶ dispatcher ──▶ journal, then ──▶ queue ──▶ channel
//!                                                  ▲                                        │
//!                                                  └──────────── acknowledged ──────────────┘
//! ```

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::channel::Channel;
use super::journal::Journal;
use super::key::Key;
use super::notice::{Event, Notice};
use super::outbox::Outbox;

/// Notices that wait for one channel. In a full queue the oldest that is not critical is dropped. A
/// newer critical notice replaces an older of the same alert, so there are never more than there
/// are alerts.
const QUEUE_MAX: usize = 64;

/// Longest sleep of the dispatcher.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Notices on their way, and acknowledgements on their way back.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<Held>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    notices: VecDeque<Notice>,
    acknowledged: Vec<u64>,
    /// Alerts that the user has seen.
    seen: Vec<Key>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Held> {
        // Every change leaves the lists whole, so a poisoned lock does no harm.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn push(&self, notice: Notice) {
        let mut held = self.lock();
        if Outbox::must_arrive(&notice) {
            held.notices
                .retain(|n| n.key != notice.key || !Outbox::must_arrive(n));
        }
        if held.notices.len() >= QUEUE_MAX
            && let Some(at) = held.notices.iter().position(|n| !Outbox::must_arrive(n))
        {
            held.notices.remove(at);
        }
        held.notices.push_back(notice);
        self.wake.notify_one();
    }

    fn acknowledge(&self, id: u64) {
        let mut held = self.lock();
        if !held.acknowledged.contains(&id) {
            held.acknowledged.push(id);
        }
        self.wake.notify_one();
    }

    fn see(&self, key: Key) {
        let mut held = self.lock();
        if !held.seen.contains(&key) {
            held.seen.push(key);
        }
        self.wake.notify_one();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits for something to do. Returns whether the queue is still open.
    fn wait(&self, longest: Duration, batch: &mut Held) -> bool {
        let idle = |held: &mut Held| {
            held.notices.is_empty()
                && held.acknowledged.is_empty()
                && held.seen.is_empty()
                && !held.closed
        };
        let (mut held, _) = self
            .wake
            .wait_timeout_while(self.lock(), longest, idle)
            .unwrap_or_else(|e| e.into_inner());
        batch.notices.append(&mut held.notices);
        batch.acknowledged.append(&mut held.acknowledged);
        batch.seen.append(&mut held.seen);
        !held.closed
    }
}

/// Sends notices.
///
/// Dropping it ends the dispatcher; a channel that hangs is left behind. A critical notice that was
/// not acknowledged by then is in the journal and is sent again at the next start.
#[derive(Debug)]
pub struct Delivery {
    inbox: Arc<Queue>,
    dispatcher: Option<JoinHandle<()>>,
}

impl Delivery {
    /// Starts the dispatcher and a thread for each channel, and sends the notices that the journal
    /// holds from the last run.
    ///
    /// # Errors
    ///
    /// An [`std::io::Error`] where a thread cannot be started.
    pub fn start(
        channels: Vec<Box<dyn Channel>>,
        journal: Option<Journal>,
    ) -> std::io::Result<Self> {
        let inbox = Arc::new(Queue::default());
        for notice in journal.iter().flat_map(|j| j.unacknowledged()) {
            inbox.push(Notice {
                event: Event::Recovered,
                loud: true,
                ..notice.clone()
            });
        }
        let mut outlets = Vec::with_capacity(channels.len());
        for channel in channels {
            let outlet = Outlet {
                queue: Arc::new(Queue::default()),
                is_last_resort: channel.is_last_resort(),
                wants_quiet: channel.wants_quiet(),
            };
            let (queue, back) = (Arc::clone(&outlet.queue), Arc::clone(&inbox));
            let name = format!("alert-{}", channel.name());
            std::thread::Builder::new()
                .name(name)
                .spawn(move || serve(channel, &queue, &back))?;
            outlets.push(outlet);
        }
        let queue = Arc::clone(&inbox);
        let dispatcher = Dispatcher {
            outlets,
            journal,
            outbox: Outbox::default(),
        };
        let thread = std::thread::Builder::new().name("alert-dispatch".to_owned());
        let dispatcher = Some(thread.spawn(move || dispatcher.run(&queue))?);
        Ok(Self { inbox, dispatcher })
    }

    /// Sends a notice. Never waits, neither for a channel nor for the disk.
    pub fn submit(&self, notice: Notice) {
        self.inbox.push(notice);
    }

    /// Records that the user has seen a notice through no channel.
    pub fn acknowledge(&self, id: u64) {
        self.inbox.acknowledge(id);
    }

    /// Records that the user has seen an alert, through whichever of its notices.
    pub fn acknowledge_alert(&self, key: Key) {
        self.inbox.see(key);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.inbox.close();
        if let Some(dispatcher) = self.dispatcher.take()
            && dispatcher.join().is_err()
        {
            tracing::error!("the alert dispatcher panicked");
        }
    }
}

struct Outlet {
    queue: Arc<Queue>,
    is_last_resort: bool,
    wants_quiet: bool,
}

struct Dispatcher {
    outlets: Vec<Outlet>,
    journal: Option<Journal>,
    outbox: Outbox,
}

impl Dispatcher {
    fn run(mut self, inbox: &Queue) {
        let started = Instant::now();
        let now_ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut batch = Held::default();
        let mut next_ms: Option<u64> = None;
        loop {
            let sleep = next_ms.map_or(SLEEP_MAX, |at| {
                Duration::from_millis(at.saturating_sub(now_ms())).min(SLEEP_MAX)
            });
            let open = inbox.wait(sleep, &mut batch);
            for notice in batch.notices.drain(..) {
                self.take(&notice, now_ms());
            }
            for id in batch.acknowledged.drain(..) {
                if self.outbox.acknowledge(id) {
                    self.write(|journal| journal.acknowledged(id));
                }
            }
            for key in batch.seen.drain(..) {
                if let Some(id) = self.outbox.acknowledge_alert(key) {
                    self.write(|journal| journal.acknowledged(id));
                }
            }
            let due;
            (due, next_ms) = self.outbox.due(now_ms());
            due.iter().for_each(|notice| self.send(notice, true));
            if !open {
                self.outlets.iter().for_each(|outlet| outlet.queue.close());
                return;
            }
        }
    }

    fn take(&mut self, notice: &Notice, now_ms: u64) {
        let replaced = self.outbox.submit(notice, now_ms);
        // A recovered notice is in the journal already.
        if Outbox::must_arrive(notice) && notice.event != Event::Recovered {
            self.write(|journal| journal.critical(notice));
        }
        if let Some(id) = replaced {
            self.write(|journal| journal.acknowledged(id));
        }
        self.send(notice, false);
    }

    fn write(&mut self, f: impl Fn(&mut Journal) -> Result<(), super::journal::JournalError>) {
        if let Some(Err(error)) = self.journal.as_mut().map(f) {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "an alert may not outlive the program");
        }
    }

    fn send(&self, notice: &Notice, again: bool) {
        for outlet in &self.outlets {
            if (outlet.wants_quiet || notice.loud) && (again || !outlet.is_last_resort) {
                outlet.queue.push(notice.clone());
            }
        }
    }
}

/// Runs one channel until its queue is closed.
fn serve(mut channel: Box<dyn Channel>, queue: &Queue, back: &Queue) {
    let mut batch = Held::default();
    loop {
        let open = queue.wait(SLEEP_MAX, &mut batch);
        for notice in batch.notices.drain(..) {
            // A channel that panics has failed; it keeps its thread and is tried again.
            match catch_unwind(AssertUnwindSafe(|| channel.deliver(&notice))) {
                Ok(Ok(())) if channel.acknowledges() => back.acknowledge(notice.id),
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(channel = channel.name(), %error, "not delivered")
                }
                Err(_) => tracing::error!(channel = channel.name(), "the channel panicked"),
            }
        }
        if !open {
            return;
        }
    }
}
