//! Audio as it is recorded: pushed by a callback that must not wait, read by an engine that may be
//! slow.
//!
//! ```text
//!  callback           scribe-live                                   scribe-decode
//!  Feed::push ─▶ ring ─▶ resample ─▶ queue: memory ─▶ spill file ─▶ pool ─▶ window …
//!  any rate     no lock             16 kHz mono       on disk
//! ```
//!
//! | question | file |
//! |---|---|
//! | what may a callback do? | `feed.rs` |
//! | which thread empties the ring? | `pump.rs` |
//! | where does audio wait, and what happens when there is no room? | `queue.rs` |
//! | what was read, and what was committed? | `timeline.rs` |
//! | what was dropped? | `lost.rs` |
//! | what lies on the disk, and when is it removed? | `spill.rs` |
//! | which thread waits for which? | `backlog.rs` |
//!
//! It is a module of its own and not a [source](crate::source), because it does what no stage does:
//! it owns a thread, and it resamples before it stores, so that an hour of backlog takes 230 MB
//! whatever the rate of the device is.
//!
//! # When the engine is behind
//!
//! Nothing is lost up to the spill limit: the backlog waits on the disk, and windows are as long as
//! they can be. Beyond the limit the newest audio is dropped and counted, and silence of the same
//! length stands for it, so that later times stay right.
//!
//! # When the engine keeps up
//!
//! Text does not wait for a window to fill: what was said is transcribed as soon as the speaker
//! pauses for [`LiveOptions::pause`]. Speech without a pause is transcribed a window at a time, so
//! [`LiveOptions::window_s`] bounds the wait.
//!
//! # When a transcription ends early
//!
//! Audio is freed when its text is committed, not when it is read. After a cancel, an error of the
//! engine or a change of engine, the next transcription starts where the last one committed: no
//! audio is lost, and none is transcribed twice.
//!
//! # Two channels
//!
//! Microphone and system sound are two feeds and two transcribers, each in its own thread, which
//! take turns on one engine (see `EnginePool`). Each has its own time line, windows and previous
//! text, and waits at most for one window of the other. [`LiveOptions::channel`] marks the segments
//! of each.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::audio::WINDOW_S_MAX;
use crate::config::WINDOW_S_MIN;
use crate::error::ConfigError;
use crate::time::Time;

mod backlog;
mod feed;
mod lost;
mod pump;
mod queue;
mod spill;
mod timeline;

use backlog::Backlog;
pub use backlog::{Status, Watch};
pub use feed::Feed;
use pump::Pump;
use queue::Queue;
use spill::Spill;

/// Smallest limit of the spill file, but for none: 1 MiB, 16 s.
pub const SPILL_BYTES_MIN: u64 = 1 << 20;

/// Largest limit of the spill file: 1 TiB, half a year.
pub const SPILL_BYTES_MAX: u64 = 1 << 40;

/// Shortest pause that ends a window of a live input: 0.3 s. Shorter ones also occur within
/// utterances.
pub const PAUSE_MIN: Duration = Duration::from_millis(300);

/// Longest pause that ends a window of a live input.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Bytes of memory that a live input holds: the ring, the queue's memory and its lists, 6.6 MB in
/// all. Resampling adds up to 0.4 MB. A host that plans memory adds both to the
/// [`Plan`](crate::budget::Plan) for each live input.
pub const BUFFER_BYTES: usize = feed::RING_BYTES + queue::QUEUE_BYTES;

/// Settings of a live input.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LiveOptions {
    /// Directory of the spill file. It should be on a disk: a directory in memory (`/tmp` on many
    /// systems) spills nothing. The default is `/var/tmp` where it exists, else the system's
    /// directory for temporary files. The file is readable by this user alone and has no name, so
    /// that it is gone when the input or the process ends, however it ends.
    pub spill_dir: PathBuf,
    /// Limit of the spill file in bytes, 1 MiB to 1 TiB, or 0 for no file; 64,000 bytes hold a
    /// second. The file takes disk space only as a backlog needs it, a MiB at a time. The default
    /// is two hours, 461 MB.
    pub spill_bytes: u64,
    /// Pause of the speaker after which the speech before it is transcribed, if the engine is not
    /// behind: 0.3 to 30 s.
    pub pause: Duration,
    /// Length of a window in seconds while the engine is not behind and the speaker does not pause,
    /// 5 to 30. [`Config::window_s`](crate::Config::window_s) applies when the engine is behind, or
    /// when it is shorter.
    ///
    /// Source: word error rate and longest wait for a text, measured on the fixture scenes with
    /// pauses of 1 s (`live::text::pauses` in the tests): 8 s 3.97 %, 7.8 s; 12 s 2.71 %, 11.2 s;
    /// 30 s 3.84 %, 29.3 s. With pauses of 0.5 s, 12 s give 3.09 %.
    pub window_s: f32,
    /// Channel that segments are marked with, or `None`.
    pub channel: Option<u8>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        let disk = PathBuf::from("/var/tmp");
        let is_there = cfg!(unix) && disk.is_dir();
        Self {
            spill_dir: if is_there { disk } else { std::env::temp_dir() },
            spill_bytes: 2 * 3_600 * 64_000,
            pause: Duration::from_secs(1),
            window_s: 12.0,
            channel: None,
        }
    }
}

impl LiveOptions {
    fn validate(&self) -> Result<(), ConfigError> {
        #[expect(clippy::cast_precision_loss, reason = "shown, not computed with")]
        let spill_bytes = self.spill_bytes as f64;
        #[expect(clippy::cast_precision_loss, reason = "powers of two")]
        let (min, max) = (SPILL_BYTES_MIN as f64, SPILL_BYTES_MAX as f64);
        if self.spill_bytes > 0 {
            ConfigError::check_range("spill_bytes (0 for none)", spill_bytes, min, max)?;
        }
        let (min, max) = (f64::from(WINDOW_S_MIN), f64::from(WINDOW_S_MAX));
        ConfigError::check_range("window_s (seconds)", f64::from(self.window_s), min, max)?;
        let (min, max) = (PAUSE_MIN.as_secs_f64(), PAUSE_MAX.as_secs_f64());
        ConfigError::check_range("pause (seconds)", self.pause.as_secs_f64(), min, max)
    }
}

/// Why a live input could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// A value of [`LiveOptions`] is out of range.
    #[error(transparent)]
    Options(#[from] ConfigError),

    /// The spill file could not be created: choose another directory, or no file.
    #[error(
        "cannot create the spill file in {}; choose another directory or set spill_bytes to 0",
        dir.display()
    )]
    Spill {
        /// The directory.
        dir: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },

    /// The thread that fills the queue could not be started.
    #[error("cannot start the thread scribe-live; the system's limit of threads may be reached")]
    Thread(#[source] io::Error),
}

/// A live input, for [`Transcriber::transcribe_live`](crate::Transcriber::transcribe_live).
///
/// It keeps what is pushed from the start on, also while no transcription runs. Dropping it ends
/// the input; the feed then takes nothing more.
///
/// # Memory
///
/// [`BUFFER_BYTES`] and 0.1 to 0.4 MB for resampling, however long the input is. The plan of a
/// [`Transcriber`](crate::Transcriber) does not count them.
#[derive(Debug)]
pub struct Live {
    backlog: Arc<Backlog>,
    pump: Option<JoinHandle<()>>,
    pause: Duration,
    window: Time,
    channel: Option<u8>,
}

impl Live {
    /// Starts a live input. The feed goes to the audio callback, the live input to a transcriber.
    ///
    /// # Memory
    ///
    /// Allocates all memory that the input will hold, and 1 MiB of disk space for the spill file.
    ///
    /// # Errors
    ///
    /// [`LiveError`] says what to change.
    pub fn start(options: LiveOptions) -> Result<(Feed, Self), LiveError> {
        options.validate()?;
        let spill = match options.spill_bytes {
            0 => None,
            bytes => Some(Spill::create(&options.spill_dir, bytes)?),
        };
        let backlog = Arc::new(Backlog::new(Queue::new(spill), BUFFER_BYTES));
        let (feed, ring) = feed::ring(&backlog);
        let pump = Pump::new(ring, Arc::clone(&backlog));
        let thread = thread::Builder::new()
            .name("scribe-live".into())
            .spawn(move || pump.run())
            .map_err(LiveError::Thread)?;
        let live = Self {
            backlog,
            pump: Some(thread),
            pause: options.pause,
            window: Time::from_seconds(f64::from(options.window_s)),
            channel: options.channel,
        };
        Ok((feed, live))
    }

    /// Returns a handle that shows the state of the input.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.backlog))
    }

    /// Returns the pause that ends a window.
    pub(crate) fn pause(&self) -> Duration {
        self.pause
    }

    /// Returns the length of a window while the engine is not behind.
    pub(crate) fn window(&self) -> Time {
        self.window
    }

    /// Returns the channel that segments are marked with.
    pub(crate) fn channel(&self) -> Option<u8> {
        self.channel
    }

    /// Begins a transcription. Returns its first position on the time line: where the one before it
    /// committed last.
    pub(crate) fn begin(&mut self) -> Time {
        self.backlog.begin_reading()
    }

    /// Copies 16 kHz mono into `out` and returns how many samples. Waits at most for `patience` if
    /// there are none. Returns `None` at the end. What was read stays in the queue until
    /// [`Watch::commit`].
    pub(crate) fn read(&mut self, out: &mut [f32], patience: Duration) -> Option<usize> {
        self.backlog.read(out, patience)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.backlog.close();
        if let Some(pump) = self.pump.take() {
            pump.thread().unpark();
            // It can only have panicked, and has ended the input then.
            let _ = pump.join();
        }
    }
}
