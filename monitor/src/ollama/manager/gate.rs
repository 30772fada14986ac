//! One change of what is loaded at a time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::super::Cancel;

/// How soon a cancelled wait is noticed.
const TURN: Duration = Duration::from_millis(50);

/// Lets one caller through at a time; the server loads one model at a time anyway.
#[derive(Debug, Default)]
pub(super) struct Gate {
    taken: Mutex<bool>,
    freed: Condvar,
}

/// The right to change what is loaded.
#[derive(Debug)]
pub(super) struct Passage<'a>(&'a Gate);

impl Gate {
    /// Waits until nobody else is inside. `None`: cancelled meanwhile.
    pub(super) fn enter(&self, cancel: &Cancel) -> Option<Passage<'_>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            if cancel.is_cancelled() {
                return None;
            }
            let waited = self.freed.wait_timeout(taken, TURN);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken = true;
        Some(Passage(self))
    }

    /// Goes in where nobody else is inside.
    pub(super) fn try_enter(&self) -> Option<Passage<'_>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken {
            return None;
        }
        *taken = true;
        Some(Passage(self))
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.freed.notify_one();
    }
}
