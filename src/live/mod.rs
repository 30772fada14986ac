//! Audio as it is recorded: pushed by a callback that must not wait, read by an engine that may be slow.
//!
//! ```text
//!  callback           scribe-live                                  scribe-decode
//!  Feed::push ─▶ ring ─▶ resample ─▶ queue: memory ─▶ spill file ─▶ pool ─▶ window …
//!  any rate     no lock             16 kHz mono      on disk
//! ```
//!
//! | question | file |
//! |---|---|
//! | what may a callback do? | `feed.rs` |
//! | who empties the ring? | `mover.rs` |
//! | what comes first, and what when nothing has room? | `queue.rs` |
//! | what lies on the disk, and who removes it? | `spill.rs` |
//! | who waits for whom? | `shared.rs` |
//!
//! It is a module of its own and no [source](crate::source), because it is what stages are not: it has a thread, and it
//! resamples before it stores, so that an hour of backlog is 230 MB whatever the device's rate is.
//!
//! When the engine is behind, nothing is lost up to the spill limit: the backlog waits on the disk, and windows are as long as
//! they can be. Beyond the limit the newest audio is dropped, counted, and silence of the same length stands for it, so that
//! later times stay right.
//!
//! When the engine keeps up, text does not wait for a window to fill: a speaker who pauses for [`LiveOptions::pause`] is
//! transcribed at once. Somebody who talks without a pause is transcribed a window at a time, so
//! [`Config::window_s`](crate::Config) bounds the wait.
//!
//! # Two channels
//!
//! Microphone and system sound are two feeds, two lives and two transcribers, each in its thread, which take turns on one
//! engine ([`Shared`](crate::engine::Shared)): each has a time line, windows and previous text of its own, and neither waits
//! longer than for one window of the other. With [`LiveOptions::channel`] their segments say which is which.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::audio::WINDOW_S_MAX;
use crate::config::WINDOW_S_MIN;
use crate::error::ConfigError;
use crate::time::Time;

mod feed;
mod mover;
mod queue;
mod shared;
mod spill;

pub use feed::Feed;
use mover::Mover;
use queue::Queue;
use shared::Shared;
pub use shared::{Status, Watch};
use spill::Spill;

/// Smallest spill file that is no file at all: 1 MiB, 16 s.
pub const SPILL_BYTES_MIN: u64 = 1 << 20;

/// Largest spill file: 1 TiB, half a year.
pub const SPILL_BYTES_MAX: u64 = 1 << 40;

/// Shortest pause that ends a window of a live input: 0.3 s. Shorter ones also stand inside utterances.
pub const PAUSE_MIN: Duration = Duration::from_millis(300);

/// Longest.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Bytes of the ring, and of the queue's memory. A host that plans memory adds them, and up to 0.4 MB for resampling, to the
/// [`Plan`](crate::budget::Plan) for each live input.
pub const BUFFER_BYTES: usize = (feed::RING_FRAMES + queue::MEMORY_SAMPLES) * size_of::<f32>();

/// How a live input is kept.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LiveOptions {
    /// Where the spill file is: a directory on a disk, since one in memory (`/tmp` on many systems) spills nothing. By default
    /// `/var/tmp` where there is one, else the system's directory for temporary files. The file is readable by this user
    /// alone and has no name, so that it is gone when the input or the process ends, however it ends.
    pub spill_dir: PathBuf,
    /// Bytes of the spill file, taken from the disk at the start; 64,000 bytes hold a second. 0: no file. By default two hours,
    /// 461 MB.
    pub spill_bytes: u64,
    /// How long a speaker pauses before what was said is transcribed, if the engine is not behind: 0.3 to 30 s.
    pub pause: Duration,
    /// Length of a window in seconds while the engine is not behind and nobody pauses, 5 to 30. Behind, and where
    /// [`Config::window_s`](crate::Config::window_s) is less, that one counts.
    ///
    /// Source: measured on the fixture scenes with pauses of 1 s (`live::text::pauses` in the tests), WER and the longest wait for
    /// a text: 8 s 3.97 %, 7.8 s; 12 s 2.71 %, 11.2 s; 30 s 3.84 %, 29.3 s. With pauses of 0.5 s, 12 s have 3.09 %.
    pub window_s: f32,
    /// The channel that segments are marked with, or `None`.
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
            within("spill_bytes (0 for none)", spill_bytes, min, max)?;
        }
        let (min, max) = (f64::from(WINDOW_S_MIN), f64::from(WINDOW_S_MAX));
        within("window_s (seconds)", f64::from(self.window_s), min, max)?;
        let (min, max) = (PAUSE_MIN.as_secs_f64(), PAUSE_MAX.as_secs_f64());
        within("pause (seconds)", self.pause.as_secs_f64(), min, max)
    }
}

fn within(what: &'static str, asked: f64, min: f64, max: f64) -> Result<(), ConfigError> {
    if (min..=max).contains(&asked) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange {
        what,
        asked,
        min,
        max,
    })
}

/// Why a live input could not be started. Nothing is recorded then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// A value of [`LiveOptions`] lies outside its range.
    #[error(transparent)]
    Options(#[from] ConfigError),

    /// The disk is too full: make room, choose another directory, or a smaller spill file.
    #[error(
        "the spill file needs {} MB and {} has {} MB free",
        bytes.div_ceil(1_000_000), dir.display(), free_bytes / 1_000_000
    )]
    NoSpace {
        /// The directory.
        dir: PathBuf,
        /// Bytes that were asked for.
        bytes: u64,
        /// Bytes that are free.
        free_bytes: u64,
    },

    /// The spill file cannot be made: choose another directory.
    #[error("a spill file of {} MB cannot be made in {}", bytes.div_ceil(1_000_000), dir.display())]
    Spill {
        /// The directory.
        dir: PathBuf,
        /// Bytes that were asked for.
        bytes: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// No thread can be started.
    #[error("no thread can be started")]
    Thread(#[source] io::Error),
}

/// A live input, for [`Transcriber::transcribe_live`](crate::Transcriber::transcribe_live).
///
/// What is pushed is kept from the start on, also while nobody transcribes. Dropping it ends that; the feed then takes nothing
/// more.
///
/// # Memory
///
/// 3.9 MB, and 0.1 to 0.4 MB for resampling, whatever happens; besides up to 2 MiB of the spill file are mapped while it is in
/// use, which are not private. The plan of a [`Transcriber`](crate::Transcriber) does not count them.
#[derive(Debug)]
pub struct Live {
    shared: Arc<Shared>,
    mover: Option<JoinHandle<()>>,
    pause: Duration,
    window: Time,
    channel: Option<u8>,
}

impl Live {
    /// Starts a live input: its feed goes to the audio callback, itself to a transcriber.
    ///
    /// # Memory
    ///
    /// All memory and all disk space that it will use is taken here.
    ///
    /// # Errors
    ///
    /// [`LiveError`] says what to change. Writing zeros where the file system cannot reserve space takes as long as the disk
    /// needs for [`LiveOptions::spill_bytes`].
    pub fn start(options: LiveOptions) -> Result<(Feed, Self), LiveError> {
        options.validate()?;
        let spill = match options.spill_bytes {
            0 => None,
            bytes => Some(Spill::create(&options.spill_dir, bytes)?),
        };
        let shared = Arc::new(Shared::new(Queue::new(spill), BUFFER_BYTES));
        let (feed, ring) = feed::ring(&shared);
        let mover = Mover::new(ring, Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("scribe-live".into())
            .spawn(move || mover.run())
            .map_err(LiveError::Thread)?;
        let live = Self {
            shared,
            mover: Some(thread),
            pause: options.pause,
            window: Time::from_seconds(f64::from(options.window_s)),
            channel: options.channel,
        };
        Ok((feed, live))
    }

    /// Returns a handle that shows how the input stands.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.shared))
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

    /// Begins a transcription. Returns where on the time line it starts: behind what was read before.
    pub(crate) fn listen(&mut self) -> Time {
        self.shared.listen()
    }

    /// Ends a transcription.
    pub(crate) fn leave(&mut self) {
        self.shared.leave();
    }

    /// Reads 16 kHz mono into `out`, waiting for it at most for `patience`, and returns how much. `None` at the end.
    pub(crate) fn read(&mut self, out: &mut [f32], patience: Duration) -> Option<usize> {
        self.shared.read(out, patience)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(mover) = self.mover.take() {
            mover.thread().unpark();
            // It can only have panicked, and has ended the input then.
            let _ = mover.join();
        }
    }
}
