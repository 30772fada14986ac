//! Settings that may change while a transcription runs. They take effect at its next window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::cancel::Cancel;
use crate::config::{BLOCK_SAMPLES, Config, WINDOW_S_MIN};
use crate::error::ConfigError;
use crate::pool::Resizer;
use crate::time::Time;

/// How often a paused transcription checks whether it was resumed. It notices a cancel at once.
const PAUSE_TICK: Duration = Duration::from_millis(100);

/// Changes a transcriber from any thread. Clones change the same one.
///
/// A memory governor uses these and the operations of [`EnginePool`](crate::EnginePool): shorter
/// windows finish sooner, a smaller pool holds less, and a paused transcriber needs neither state
/// nor model.
#[derive(Clone, Debug)]
pub struct Controls(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    window_samples: AtomicUsize,
    window_samples_max: usize,
    pool: Resizer,
    is_paused: AtomicBool,
}

impl Controls {
    pub(super) fn new(config: &Config, pool: Resizer) -> Self {
        let window_samples_max = config.window_samples();
        Self(Arc::new(Settings {
            window_samples: AtomicUsize::new(window_samples_max),
            window_samples_max,
            pool,
            is_paused: AtomicBool::new(false),
        }))
    }

    /// Sets the length of the windows that follow, in seconds: 5 to the
    /// [`Config::window_s`] that memory was planned for.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`]; nothing changes then.
    pub fn set_window_seconds(&self, window_s: f32) -> Result<(), ConfigError> {
        let max_s = Time::from_samples(self.0.window_samples_max as u64).seconds();
        let (asked, min) = (f64::from(window_s), f64::from(WINDOW_S_MIN));
        ConfigError::check_range("window_s (seconds)", asked, min, max_s)?;
        let samples = Time::from_seconds(asked).samples_since(Time::ZERO);
        self.0.window_samples.store(samples, Ordering::Relaxed);
        Ok(())
    }

    /// Sets how many bytes of decoded audio may wait for the engine: 64,000 to the bytes that
    /// [`Config::pool_blocks`] planned for. Blocks above the limit are freed as they come back.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`]; nothing changes then.
    pub fn set_buffer_limit(&self, bytes: usize) -> Result<(), ConfigError> {
        self.0
            .pool
            .resize(bytes / (BLOCK_SAMPLES * size_of::<f32>()))
    }

    /// Pauses before the next window. A transcription started while paused waits.
    ///
    /// A paused transcription keeps up to a window and the pool of audio. What the engine holds can
    /// be freed meanwhile ([`EnginePool::unload`](crate::EnginePool::unload)). A live input goes on
    /// recording. A cancel ends the pause. To pause across a restart of the program, cancel a
    /// transcription that has a [`Journal`](crate::Journal).
    pub fn pause(&self) {
        self.0.is_paused.store(true, Ordering::Relaxed);
    }

    /// Resumes after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.0.is_paused.store(false, Ordering::Relaxed);
    }

    /// Returns whether the transcriber is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.is_paused.load(Ordering::Relaxed)
    }

    /// Waits while it is paused and not cancelled.
    pub(super) fn wait(&self, cancel: &Cancel) {
        while self.is_paused() && !cancel.is_cancelled() {
            // The channel carries nothing: the tick is over, or it is cancelled.
            let _ = cancel.raised().recv_timeout(PAUSE_TICK);
        }
    }

    pub(super) fn window_samples(&self) -> usize {
        self.0.window_samples.load(Ordering::Relaxed)
    }
}
