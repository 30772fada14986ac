//! One token that stops everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Mutex;

/// Stops a transcription from any thread, also from a signal handler's.
///
/// Clones share one state. It is looked at for each packet, each decoding step and each wait on a queue, so a
/// transcription ends within one encoding of a window.
///
/// # Examples
///
/// ```
/// use steadyscribe::Cancel;
///
/// let cancel = Cancel::new();
/// let seen = cancel.clone();
/// cancel.cancel();
/// assert!(seen.is_cancelled());
/// ```
#[derive(Clone, Debug)]
pub struct Cancel {
    shared: Arc<Shared>,
    /// Disconnects when the transcription is cancelled, which wakes whoever waits on it.
    raised: Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    cancelled: AtomicBool,
    alive: Mutex<Option<Sender<()>>>,
}

impl Cancel {
    /// Makes a token that is not raised.
    #[must_use]
    pub fn new() -> Self {
        // Room for one, which stays empty: see `Pool::acquire`.
        let (alive, raised) = bounded(1);
        let shared = Shared {
            cancelled: AtomicBool::new(false),
            alive: Mutex::new(Some(alive)),
        };
        Self {
            shared: Arc::new(shared),
            raised,
        }
    }

    /// Raises the token, for good.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Release);
        // A poisoned lock holds the same sender: drop it all the same.
        self.shared
            .alive
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .take();
    }

    /// Returns whether the token was raised.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Acquire)
    }

    /// Returns a channel that carries nothing and disconnects when the token is raised, for `select!`.
    pub(crate) fn raised(&self) -> &Receiver<()> {
        &self.raised
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_who_waits() {
        let cancel = Cancel::new();
        let waits = cancel.clone();
        let thread = std::thread::spawn(move || waits.raised().recv().is_err());
        cancel.cancel();
        assert!(thread.join().expect("the waiting thread ends"));
    }
}
