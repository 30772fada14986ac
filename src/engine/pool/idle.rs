//! Frees memory that was not used for a while.

use std::sync::Weak;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Inner;
use crate::config::Config;

/// A thread that sleeps until something can be idle for long enough.
pub(super) struct IdleTimer {
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl IdleTimer {
    /// Starts the timers of `config`; `None` if both are off or no thread can be started.
    pub(super) fn start(pool: Weak<Inner>, config: &Config) -> Option<Self> {
        if config.release_state_after.is_none() && config.unload_after.is_none() {
            return None;
        }
        let (wake, woken) = bounded(1);
        let started = thread::Builder::new()
            .name("scribe-idle".into())
            .spawn(move || watch(&pool, &woken));
        match started {
            Ok(thread) => Some(Self {
                wake: Some(wake),
                thread: Some(thread),
            }),
            Err(error) => {
                tracing::warn!(%error, "no thread for the idle timers: idle memory is kept");
                None
            }
        }
    }

    /// Something was used: the timers start from now.
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // Full: the thread has not seen the last one yet, and will look at the newest state.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for IdleTimer {
    fn drop(&mut self) {
        self.wake = None;
        let own = thread::current().id();
        // The timer's own thread drops the pool if its handle happens to be the last one.
        if let Some(thread) = self.thread.take().filter(|t| t.thread().id() != own) {
            // A panic of an engine's destructor was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// The pool exists from the first wake-up on.
fn watch(pool: &Weak<Inner>, woken: &Receiver<()>) {
    let mut wait = None;
    loop {
        let signal = match wait {
            None => woken.recv().is_ok(),
            Some(wait) => {
                let waited = woken.recv_timeout(wait);
                !matches!(waited, Err(error) if error.is_disconnected())
            }
        };
        let Some(pool) = pool.upgrade().filter(|_| signal) else {
            return;
        };
        wait = pool.release_idle();
    }
}
