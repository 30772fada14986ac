//! The end of a live input that an audio callback holds: a ring without locks.

use std::sync::Arc;
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use super::backlog::{Backlog, Status, Watch};
use crate::audio::{INPUT_CHANNELS_MAX, INPUT_RATE_HZ_MAX, INPUT_RATE_HZ_MIN};

/// Frames between the callback and the thread that empties the ring every 20 ms: ten seconds at
/// 48 kHz, 1.9 MB. Disks have been seen to block a writer for seconds.
pub(super) const RING_FRAMES: usize = 480_000;

/// Changes of rate and gaps that may wait in the ring at once.
const MARKERS_MAX: usize = 256;

/// Bytes of memory that the ring holds.
pub(super) const RING_BYTES: usize =
    RING_FRAMES * size_of::<f32>() + MARKERS_MAX * size_of::<Marker>();

/// Takes audio of any rate and any number of channels in an audio callback.
///
/// It has one owner, as a stream has one callback. Dropping it ends the input; what was pushed by
/// then is still transcribed.
///
/// # Realtime safety
///
/// [`push`](Self::push) takes no lock, allocates nothing, makes no system call and never waits. It
/// takes as long as averaging the channels and copying the result. The ring (`rtrb`) is wait-free,
/// so that a slow engine or disk makes no difference.
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
    markers: Producer<Marker>,
    /// Frames that were ever written.
    written: u64,
    /// The rate of the last marker.
    rate_hz: u32,
    /// What precedes the next frame and has no marker yet.
    gap: Gap,
    backlog: Arc<Backlog>,
}

/// The rate from a frame on, and what is missing before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marker {
    /// The frame, counted from the first.
    pub(super) at: u64,
    /// The rate of it and of those that follow; zero while none is known.
    pub(super) rate_hz: u32,
    pub(super) gap: Gap,
}

/// Time without frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gap {
    /// Audio that was not taken.
    pub(super) lost: Duration,
    /// Silence.
    pub(super) silence: Duration,
}

/// The other end of the ring.
#[derive(Debug)]
pub(super) struct RingReader {
    pub(super) samples: Consumer<f32>,
    pub(super) markers: Consumer<Marker>,
}

/// Makes both ends.
pub(super) fn ring(backlog: &Arc<Backlog>) -> (Feed, RingReader) {
    let (mut samples, mut samples_out) = RingBuffer::new(RING_FRAMES);
    let (mut markers, mut markers_out) = RingBuffer::new(MARKERS_MAX);
    // Everything is written once, so that no push is the first to touch a page.
    let none = Marker {
        at: 0,
        rate_hz: 0,
        gap: Gap::default(),
    };
    while markers.push(none).is_ok() {}
    while markers_out.pop().is_ok() {}
    if let Ok(all) = samples.write_chunk_uninit(RING_FRAMES) {
        all.fill_from_iter(std::iter::repeat(0.0));
    }
    if let Ok(all) = samples_out.read_chunk(RING_FRAMES) {
        all.commit_all();
    }
    let feed = Feed {
        samples,
        markers,
        written: 0,
        rate_hz: 0,
        gap: Gap::default(),
        backlog: Arc::clone(backlog),
    };
    let reader = RingReader {
        samples: samples_out,
        markers: markers_out,
    };
    (feed, reader)
}

impl Feed {
    /// Takes interleaved samples, nominally in −1.0..=1.0, of 4 to 384 kHz and 1 to 32 channels.
    /// Both may change with every push. Channels are mixed to mono: push a microphone and the
    /// system's sound into two feeds.
    ///
    /// Returns how many frames were taken. The others were dropped, because the transcriber's end
    /// is gone, because the format lies outside these ranges, or because the ring is full (no
    /// thread of this process got to run for seconds). Silence of the same length stands for them,
    /// and they are reported. An incomplete last frame is ignored.
    pub fn push(&mut self, interleaved: &[f32], rate_hz: u32, channels: usize) -> usize {
        if rate_hz == 0 || channels == 0 {
            // Its length is unknown.
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
        self.gap.lost += Duration::from_nanos(lost_ns);
        taken
    }

    /// Appends silence of a length for which the device gave nothing, which takes no room. Some
    /// systems call back only while a sound is played.
    ///
    /// As safe in a callback as [`push`](Self::push).
    pub fn silence(&mut self, length: Duration) {
        self.gap.silence += length;
        self.mark(self.rate_hz);
    }

    /// Ends the input, and waits until all of it is transcribed and written, at most for
    /// `deadline`.
    ///
    /// Returns the state of the input then: [`Status::lag`] is what is left. Its transcription
    /// continues; cancel it to end it. Returns early if the transcription ends for another reason.
    /// Do not call it in an audio callback.
    pub fn finish(self, deadline: Duration) -> Status {
        let backlog = Arc::clone(&self.backlog);
        drop(self);
        backlog.drain(deadline)
    }

    /// Returns a handle that shows the state of the input.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.backlog))
    }

    /// Writes whole frames, as many as there is room for, mixed to mono.
    fn write(&mut self, interleaved: &[f32], rate_hz: u32, channels: usize) -> usize {
        let frames = (interleaved.len() / channels).min(self.samples.slots());
        let is_new = rate_hz != self.rate_hz || !self.gap.is_empty();
        if frames == 0 || self.samples.is_abandoned() || (is_new && !self.mark(rate_hz)) {
            return 0;
        }
        let Ok(room) = self.samples.write_chunk_uninit(frames) else {
            return 0;
        };
        let written = if channels == 1 {
            room.fill_from_iter(interleaved.iter().copied())
        } else {
            #[expect(clippy::cast_precision_loss, reason = "at most 32 channels")]
            let share = 1.0 / channels as f32;
            let mix = |frame: &[f32]| frame.iter().sum::<f32>() * share;
            room.fill_from_iter(interleaved.chunks_exact(channels).map(mix))
        };
        self.written += written as u64;
        written
    }

    /// Writes a marker before the next frame. Returns whether there was room for it; if not, the
    /// gap waits for the next attempt.
    fn mark(&mut self, rate_hz: u32) -> bool {
        let marker = Marker {
            at: self.written,
            rate_hz,
            gap: self.gap,
        };
        let is_written = self.markers.push(marker).is_ok();
        if is_written {
            self.rate_hz = rate_hz;
            self.gap = Gap::default();
        }
        is_written
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if !self.gap.is_empty() {
            self.mark(self.rate_hz);
        }
    }
}

impl Gap {
    fn is_empty(&self) -> bool {
        self.lost.is_zero() && self.silence.is_zero()
    }
}
