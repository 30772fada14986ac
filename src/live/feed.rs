//! The audio callback's end: a ring without locks.

use std::sync::Arc;
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use super::shared::{Shared, Status, Watch};
use crate::audio::{INPUT_CHANNELS_MAX, INPUT_RATE_HZ_MAX, INPUT_RATE_HZ_MIN};

/// Frames between the callback and the mover, which looks for them every 20 ms: ten seconds at 48 kHz, 1.9 MB. Disks have
/// been seen to keep a writer waiting for seconds.
pub(super) const RING_FRAMES: usize = 480_000;

/// Changes of rate and holes that may wait for the mover at once.
const MARKS_MAX: usize = 256;

/// Takes audio of any rate and any number of channels, in an audio callback.
///
/// It has one owner, as a stream has one callback. Dropping it ends the input: what was pushed is still transcribed.
///
/// # Realtime safety
///
/// [`push`](Self::push) takes no lock, allocates nothing, makes no system call and never waits; its time is that of averaging
/// the channels and copying one. The ring (`rtrb`) is wait-free. How slow the engine or the disk is makes no difference.
///
/// # Examples
///
/// ```
/// use steadyscribe::live::{Live, LiveOptions};
///
/// let mut options = LiveOptions::default();
/// options.spill_bytes = 64_000 * 600; // ten minutes
/// let (mut feed, _live) = Live::start(options)?;
/// // In the callback of the device:
/// let taken = feed.push(&[0.0; 2 * 480], 48_000, 2);
/// assert_eq!(taken, 480);
/// # Ok::<(), steadyscribe::live::LiveError>(())
/// ```
#[derive(Debug)]
pub struct Feed {
    samples: Producer<f32>,
    marks: Producer<Mark>,
    /// Frames that were ever written.
    written: u64,
    /// The rate of the last mark.
    rate_hz: u32,
    /// What comes before the next frame and was not told yet.
    hole: Hole,
    shared: Arc<Shared>,
}

/// What holds from a frame on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// The frame, counted from the first.
    pub(super) at: u64,
    /// The rate of it and of those that follow; zero while none is known.
    pub(super) rate_hz: u32,
    /// What is missing before it.
    pub(super) hole: Hole,
}

/// Time without samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hole {
    /// Audio that had no room.
    pub(super) lost: Duration,
    /// Silence.
    pub(super) silence: Duration,
}

/// The mover's end.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) samples: Consumer<f32>,
    pub(super) marks: Consumer<Mark>,
}

/// Makes both ends.
pub(super) fn ring(shared: &Arc<Shared>) -> (Feed, Ring) {
    let (mut samples, mut from) = RingBuffer::new(RING_FRAMES);
    let (mut marks, mut marks_from) = RingBuffer::new(MARKS_MAX);
    // Written once, so that no push is the first to touch a page.
    let none = Mark {
        at: 0,
        rate_hz: 0,
        hole: Hole::default(),
    };
    while marks.push(none).is_ok() {}
    while marks_from.pop().is_ok() {}
    if let Ok(all) = samples.write_chunk_uninit(RING_FRAMES) {
        all.fill_from_iter(std::iter::repeat(0.0));
    }
    if let Ok(all) = from.read_chunk(RING_FRAMES) {
        all.commit_all();
    }
    let feed = Feed {
        samples,
        marks,
        written: 0,
        rate_hz: 0,
        hole: Hole::default(),
        shared: Arc::clone(shared),
    };
    let ring = Ring {
        samples: from,
        marks: marks_from,
    };
    (feed, ring)
}

impl Feed {
    /// Takes interleaved samples, nominally in −1.0..=1.0, of 4 to 384 kHz and 1 to 32 channels. Both may differ from those of
    /// the push before. Channels are mixed down to one: push a microphone and the system's sound into two feeds.
    ///
    /// Returns how many frames were taken. The others (the reader has gone, the ring is full because no thread of this
    /// process gets to run, or the format is none of the above) were dropped: silence of the same length stands for them, and
    /// they are reported. A last frame that is not whole is left out.
    pub fn push(&mut self, interleaved: &[f32], rate_hz: u32, channels: usize) -> usize {
        if rate_hz == 0 || channels == 0 {
            // No time can be told.
            return 0;
        }
        let frames = interleaved.len() / channels;
        let fits = (INPUT_RATE_HZ_MIN..=INPUT_RATE_HZ_MAX).contains(&rate_hz)
            && channels <= INPUT_CHANNELS_MAX;
        let taken = if fits {
            self.write(&interleaved[..frames * channels], rate_hz, channels)
        } else {
            0
        };
        let lost_ns = (frames - taken) as u64 * 1_000_000_000 / u64::from(rate_hz);
        self.hole.lost += Duration::from_nanos(lost_ns);
        taken
    }

    /// Passes over time in which the device gave nothing: silence of that length, which takes no room. Some systems call back
    /// only while something is played.
    ///
    /// As safe in a callback as [`push`](Self::push).
    pub fn silence(&mut self, length: Duration) {
        self.hole.silence += length;
        self.mark(self.rate_hz);
    }

    /// Ends the input, and waits until all of it is transcribed and written, but no longer than `deadline`.
    ///
    /// Returns how it stands then: [`Status::lag`] is what is left. The transcription of that goes on; to end it, raise its
    /// [`Cancel`](crate::Cancel). Returns early if the transcription has ended for another reason. Not for audio callbacks.
    pub fn finish(self, deadline: Duration) -> Status {
        let shared = Arc::clone(&self.shared);
        drop(self);
        shared.drain(deadline)
    }

    /// Returns a handle that shows how the input stands.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.shared))
    }

    /// Writes whole frames, as many as there is room for, mixed down.
    fn write(&mut self, interleaved: &[f32], rate_hz: u32, channels: usize) -> usize {
        let frames = (interleaved.len() / channels).min(self.samples.slots());
        let is_new = rate_hz != self.rate_hz || !self.hole.is_empty();
        if frames == 0 || self.samples.is_abandoned() || (is_new && !self.mark(rate_hz)) {
            return 0;
        }
        let Ok(room) = self.samples.write_chunk_uninit(frames) else {
            return 0;
        };
        let written = if channels == 1 {
            room.fill_from_iter(interleaved.iter().copied())
        } else {
            #[expect(clippy::cast_precision_loss, reason = "channels are few")]
            let share = 1.0 / channels as f32;
            let mix = |frame: &[f32]| frame.iter().sum::<f32>() * share;
            room.fill_from_iter(interleaved.chunks_exact(channels).map(mix))
        };
        self.written += written as u64;
        written
    }

    /// Tells the mover what holds from the next frame on, before it sees that frame. Returns whether there was room to.
    fn mark(&mut self, rate_hz: u32) -> bool {
        let mark = Mark {
            at: self.written,
            rate_hz,
            hole: self.hole,
        };
        let told = self.marks.push(mark).is_ok();
        if told {
            self.rate_hz = rate_hz;
            self.hole = Hole::default();
        }
        told
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if !self.hole.is_empty() {
            self.mark(self.rate_hz);
        }
    }
}

impl Hole {
    pub(super) fn is_empty(&self) -> bool {
        self.lost.is_zero() && self.silence.is_zero()
    }
}
