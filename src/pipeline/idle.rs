//! Gives the engine's memory back when nothing was transcribed for a while.

use std::sync::{Arc, Mutex, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::engine::Engine;

/// Waits in a thread of its own for the end of each transcription, and then for nothing to happen.
#[derive(Debug)]
pub(super) struct IdleRelease {
    ended: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl IdleRelease {
    /// Starts the timers; `None` where neither is wanted or no thread can be had.
    pub(super) fn start<E: Engine + 'static>(
        engine: &Arc<Mutex<E>>,
        release_after: Option<Duration>,
        unload_after: Option<Duration>,
    ) -> Option<Self> {
        if release_after.is_none() && unload_after.is_none() {
            return None;
        }
        let (ended, wait) = bounded(1);
        let engine = Arc::clone(engine);
        let work = move || watch(&wait, &engine, release_after, unload_after);
        let thread = thread::Builder::new()
            .name("scribe-idle".into())
            .spawn(work)
            .ok()?;
        Some(Self {
            ended: Some(ended),
            thread: Some(thread),
        })
    }

    /// A transcription has ended: the timers start anew.
    pub(super) fn ended(&self) {
        if let Some(ended) = &self.ended {
            // Full: the thread has not yet seen the last one, and will start anew all the same.
            let _ = ended.try_send(());
        }
    }
}

impl Drop for IdleRelease {
    fn drop(&mut self) {
        self.ended = None;
        if let Some(thread) = self.thread.take() {
            // It can only have panicked in the engine, whose owner goes as well.
            let _ = thread.join();
        }
    }
}

fn watch<E: Engine>(
    ended: &Receiver<()>,
    engine: &Mutex<E>,
    release_after: Option<Duration>,
    unload_after: Option<Duration>,
) {
    let mut steps = [(release_after, false), (unload_after, true)];
    steps.sort_by_key(|(after, _)| after.unwrap_or(Duration::MAX));
    while ended.recv().is_ok() {
        'idle: loop {
            let mut waited = Duration::ZERO;
            for (after, unload) in steps {
                let Some(after) = after else { break };
                match ended.recv_timeout(after.saturating_sub(waited)) {
                    Ok(()) => continue 'idle,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => give_back(engine, unload),
                }
                waited = after;
            }
            break;
        }
    }
}

/// Gives back the state, or the model with it. An engine that is at work keeps them: the end of that work starts the timers
/// anew.
fn give_back<E: Engine>(engine: &Mutex<E>, unload: bool) {
    let mut engine = match engine.try_lock() {
        Ok(engine) => engine,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    let freed = if unload {
        engine.unload()
    } else {
        engine.release_state()
    };
    if freed {
        crate::memory::trim();
    }
}
