//! The token that stops a transcription from any thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

/// Stops a transcription from any thread, such as that of a handler of Ctrl-C.
///
/// Clones share one state. It is checked for each packet, each decoding step and each wait on a
/// queue, so a transcription ends within one encoding of a window.
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
    flag: Arc<Flag>,
    /// Disconnects when the token is raised, which wakes waiters.
    raised: Receiver<()>,
}

#[derive(Debug)]
struct Flag {
    is_raised: AtomicBool,
    /// Dropped when the token is raised.
    alive: Mutex<Option<Sender<()>>>,
}

impl Cancel {
    /// Makes a token that is not raised.
    #[must_use]
    pub fn new() -> Self {
        // Nothing is ever sent: only the end of the channel is observed.
        let (alive, raised) = bounded(1);
        let flag = Flag {
            is_raised: AtomicBool::new(false),
            alive: Mutex::new(Some(alive)),
        };
        Self {
            flag: Arc::new(flag),
            raised,
        }
    }

    /// Raises the token. It cannot be lowered.
    pub fn cancel(&self) {
        self.flag.is_raised.store(true, Ordering::Release);
        // A poisoned lock holds the same sender.
        let alive = self.flag.alive.lock();
        alive.unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Returns whether the token was raised.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.flag.is_raised.load(Ordering::Acquire)
    }

    /// Returns a channel that carries nothing and disconnects when the token is raised, for
    /// `select!`.
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
    fn raising_wakes_a_waiter() {
        let cancel = Cancel::new();
        let waits = cancel.clone();
        let thread = std::thread::spawn(move || waits.raised().recv().is_err());
        cancel.cancel();
        assert!(thread.join().expect("the waiting thread ends"));
    }
}
