//! Settings that may change while a transcription runs. They take effect at its next window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::cancel::Cancel;
use crate::config::{BLOCK_SAMPLES, Config, WINDOW_S_MIN};
use crate::error::ConfigError;
use crate::pool::Resizer;

/// How often a transcription that is paused looks whether it may go on. It sees at once that it is cancelled.
const PAUSE_TICK: Duration = Duration::from_millis(100);

/// Changes a transcriber from any thread. Clones change the same one.
///
/// These are the operations that a memory governor uses: shorter windows finish sooner, a smaller pool holds less, and a
/// reclaimed engine holds only its weights.
#[derive(Clone, Debug)]
pub struct Controls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    window_samples: AtomicUsize,
    window_samples_max: usize,
    pool: Resizer,
    reclaim: AtomicBool,
    paused: AtomicBool,
}

impl Controls {
    pub(super) fn new(config: &Config, pool: Resizer) -> Self {
        let window_samples_max = super::window_samples(config.window_s);
        Self(Arc::new(Shared {
            window_samples: AtomicUsize::new(window_samples_max),
            window_samples_max,
            pool,
            reclaim: AtomicBool::new(false),
            paused: AtomicBool::new(false),
        }))
    }

    /// Sets the length of the windows that follow, in seconds: 5 to the [`Config::window_s`] that memory was planned for.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`]; nothing changes then.
    pub fn set_window_seconds(&self, window_s: f32) -> Result<(), ConfigError> {
        let asked = super::window_samples(window_s);
        let max = self.0.window_samples_max;
        if !(super::window_samples(WINDOW_S_MIN)..=max).contains(&asked) {
            return Err(ConfigError::OutOfRange {
                what: "window_s (seconds)",
                asked: f64::from(window_s),
                min: f64::from(WINDOW_S_MIN),
                max: crate::Time::from_samples(max as u64).seconds(),
            });
        }
        self.0.window_samples.store(asked, Ordering::Relaxed);
        Ok(())
    }

    /// Sets how many bytes of decoded audio may wait for the engine: 64,000 to what [`Config::pool_blocks`] planned for.
    /// Blocks above the limit are freed as they come back.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`]; nothing changes then.
    pub fn set_buffer_limit(&self, bytes: usize) -> Result<(), ConfigError> {
        self.0
            .pool
            .resize(bytes / (BLOCK_SAMPLES * size_of::<f32>()))
    }

    /// Asks for the engine's working memory back before the next window, which allocates what it needs again.
    pub fn reclaim(&self) {
        self.0.reclaim.store(true, Ordering::Relaxed);
    }

    /// Holds the transcription in front of its next window, until [`go_on`](Self::go_on); the window that is heard is finished. One that
    /// starts while it holds waits at once.
    ///
    /// It keeps what it has: the model, and up to a window and the pool of audio. [`reclaim`](Self::reclaim) acts meanwhile. A
    /// live input goes on recording. Cancelling ends the wait. To pause across a restart, cancel a transcription that has a
    /// [`Journal`](crate::Journal).
    pub fn pause(&self) {
        self.0.paused.store(true, Ordering::Relaxed);
    }

    /// Lets the transcription go on.
    pub fn go_on(&self) {
        self.0.paused.store(false, Ordering::Relaxed);
    }

    /// Returns whether [`pause`](Self::pause) holds.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Relaxed)
    }

    /// Waits a while if it is paused, and returns whether it is.
    pub(super) fn wait(&self, cancel: &Cancel) -> bool {
        let paused = self.is_paused() && !cancel.is_cancelled();
        if paused {
            // It carries nothing: either the time is over, or it is cancelled.
            let _ = cancel.raised().recv_timeout(PAUSE_TICK);
        }
        paused
    }

    pub(super) fn window_samples(&self) -> usize {
        self.0.window_samples.load(Ordering::Relaxed)
    }

    pub(super) fn take_reclaim(&self) -> bool {
        self.0.reclaim.swap(false, Ordering::Relaxed)
    }
}
