//! One load or unload at a time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::ollama::client::error::OllamaError;
use crate::ollama::client::transport::Cancel;

/// Longest delay until a waiter notices that it was cancelled.
const TURN: Duration = Duration::from_millis(50);

/// Lets one caller load or unload at a time. The server itself loads one model at a time.
///
/// A load calls the [`Probe`](crate::ollama::Probe), and a probe may call the manager. Such a call
/// must fail instead of waiting for its own caller: at once on the same thread, and after
/// `wait_max` on another thread, which cannot be distinguished from an unrelated caller.
#[derive(Debug, Default)]
pub(super) struct SingleFlight {
    holder: Mutex<Option<ThreadId>>,
    released: Condvar,
}

/// The right to load and unload, until it is dropped.
#[derive(Debug)]
pub(super) struct Flight<'a>(&'a SingleFlight);

impl SingleFlight {
    /// Waits until no other caller is in flight, at most for `wait_max`.
    ///
    /// # Errors
    ///
    /// [`OllamaError::Cancelled`], or [`OllamaError::InFlight`]: try again later.
    pub(super) fn enter(
        &self,
        cancel: &Cancel,
        wait_max: Option<Duration>,
    ) -> Result<Flight<'_>, OllamaError> {
        let since = Instant::now();
        let own = std::thread::current().id();
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(other) = *holder {
            if cancel.is_cancelled() {
                return Err(OllamaError::Cancelled);
            }
            let waited = since.elapsed();
            if other == own || wait_max.is_some_and(|wait_max| waited >= wait_max) {
                return Err(OllamaError::InFlight { waited });
            }
            let woken = self.released.wait_timeout(holder, TURN);
            holder = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        *holder = Some(own);
        Ok(Flight(self))
    }

    /// Enters if no other caller is in flight.
    pub(super) fn try_enter(&self) -> Option<Flight<'_>> {
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if holder.is_some() {
            return None;
        }
        *holder = Some(std::thread::current().id());
        Some(Flight(self))
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        *self.0.holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: Option<Duration> = None;

    #[test]
    fn same_thread_never_waits_for_itself() {
        let flights = SingleFlight::default();
        let flight = flights.enter(&Cancel::new(), FOREVER).unwrap();
        let error = flights.enter(&Cancel::new(), FOREVER).unwrap_err();
        assert!(matches!(error, OllamaError::InFlight { .. }), "{error}");
        assert!(flights.try_enter().is_none());
        drop(flight);
        flights.enter(&Cancel::new(), FOREVER).unwrap();
    }

    #[test]
    fn other_thread_waits_no_longer_than_allowed() {
        let flights = SingleFlight::default();
        let flight = flights.enter(&Cancel::new(), FOREVER).unwrap();
        let enter = |wait_max| flights.enter(&Cancel::new(), wait_max).map(drop);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| enter(Some(Duration::ZERO)));
            let error = waiting.join().unwrap().unwrap_err();
            assert!(matches!(error, OllamaError::InFlight { .. }), "{error}");
            let waiting = scope.spawn(|| enter(FOREVER));
            drop(flight);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn cancelled_caller_stops_waiting() {
        let flights = SingleFlight::default();
        let _flight = flights.enter(&Cancel::new(), FOREVER).unwrap();
        let cancel = Cancel::new();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| flights.enter(&cancel, FOREVER).map(drop));
            cancel.cancel();
            let error = waiting.join().unwrap().unwrap_err();
            assert!(matches!(error, OllamaError::Cancelled), "{error}");
        });
    }
}
