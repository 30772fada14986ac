//! From the bytes of a file to frames on one time line without holes.
//!
//! ```text
//! Source ─▶ view ─▶ container ─▶ codec ─▶ timeline ─▶ Chunk
//!           what    packets      frames   silence for what is lost,
//!           is shown                      cuts for what is there twice
//! ```
//!
//! Recordings are damaged more often than one thinks: cut off when a battery died, joined without re-encoding, with
//! headers that lie. What can be decoded is decoded and stands at its right time; what cannot is silence of the same
//! length, and [`DecodeStats`] says where. An error is only for an input from which nothing at all can be decoded.
//!
//! # Memory
//!
//! Nothing of ours is allocated per packet. The demuxer (symphonia) allocates each packet, one to three times, and
//! frees it before the next; the decoders allocate nothing. What a demuxer holds beside that: the sample tables of
//! an mp4 (1.1 MB per hour), the cues of a Matroska file, a seek table.

use std::path::Path;
use std::sync::Arc;

use symphonia::core::packet::Packet;

use crate::audio::{Format, INPUT_CHANNELS_MAX, INPUT_RATE_HZ_MAX, INPUT_RATE_HZ_MIN};
use crate::error::Error;
use crate::report::SPANS_MAX;
use crate::source::{Access, FileSource, Input, Source};
use crate::time::{Span, Time};

mod codec;
mod container;
mod layout;
mod passed;
mod tail;
mod timeline;
mod view;

use codec::{Codec, Fault};
use container::{Container, Next, Timing};
use tail::Tail;
use timeline::{Placement, Timeline};
use view::Handle;

/// Frames of silence in one chunk at most.
const SILENCE_FRAMES_MAX: u64 = 4_096;

/// Packets in a row that may be undecodable before the rest of the input is given up: more than half an hour of the
/// shortest. A table may claim four thousand million empty packets.
const FAILURES_MAX: u32 = 100_000;

/// Packets that are tried for the first sound before an input counts as undecodable.
const FIRST_FAILURES_MAX: u32 = 2_000;

/// What makes an unsupported input readable.
const REMEDY: &str = "convert it first: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav";

/// What an input's headers say.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MediaInfo {
    /// Short name of the container, such as `isomp4`.
    pub container: &'static str,
    /// Short name of the codec, such as `aac`.
    pub codec: &'static str,
    /// Rate and channels of the audio, as far as the headers tell.
    pub format: Format,
    /// Length of the audio as the container declares it. It is missing or wrong for many inputs: show progress by
    /// [`Decoder::position_bytes`] instead.
    pub duration: Option<Time>,
    /// Length of the input in bytes, if it is known.
    pub byte_len: Option<u64>,
}

/// Frames in their order.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a plain pair that callers take apart"
)]
pub struct Chunk<'a> {
    /// Rate and channels, which may differ from those of the chunk before.
    pub format: Format,
    /// Interleaved samples of whole frames, nominally in −1.0..=1.0.
    pub samples: &'a [f32],
}

/// How decoding went so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DecodeStats {
    /// Packets of the audio track that were read.
    pub packets: u64,
    /// Packets that could not be decoded.
    pub damaged_packets: u64,
    /// Where audio is missing and silence stands for it, in order; at most [`SPANS_MAX`] spans.
    pub damage: Vec<Span>,
    /// Why reading stopped before the input's end, if it did.
    pub stopped_early: Option<String>,
}

/// Decodes an input from its start to its end.
pub struct Decoder {
    info: MediaInfo,
    container: Container,
    codec: Codec,
    timeline: Timeline,
    input: Arc<Handle>,
    stats: DecodeStats,
    /// Absent where no end is declared, or a wrong one.
    tail: Option<Tail>,
    format: Format,
    /// Silence that comes before `samples[ready..]`.
    silence_frames: u64,
    /// Silence to give out.
    zeros: Vec<f32>,
    /// Decoded samples of one packet.
    samples: Vec<f32>,
    /// Samples before this one were given out or are dropped.
    ready: usize,
    /// Frames of the last packet that was decoded.
    packet_frames: u64,
    /// Undecodable packets in a row.
    failures: u32,
    ended: bool,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("info", &self.info)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// Reads what an input's headers say, without decoding.
///
/// # Errors
///
/// Those of [`Decoder::open`], as far as headers show them.
pub fn probe(path: impl AsRef<Path>) -> Result<MediaInfo, Error> {
    let mut source = FileSource::open(path)?;
    let opened = open_container(&mut source, Access::Seek)
        .or_else(|error| open_container(&mut source, Access::Forward).map_err(|_| error));
    opened.map(|opened| opened.info)
}

/// An input whose headers are read.
struct Opened {
    info: MediaInfo,
    container: Container,
    codec: Codec,
    input: Arc<Handle>,
}

fn open_container(source: &mut dyn Source, access: Access) -> Result<Opened, Error> {
    let Input::Encoded(bytes) = source.open(access)?;
    let byte_len = bytes.byte_len();
    let input = Handle::new(bytes, access == Access::Seek);
    let (container, codec) =
        Container::open(&input).map_err(|fault| explain(source.name(), &input, fault))?;
    let params = codec.params();
    let info = MediaInfo {
        container: container.name(),
        codec: codec.name(),
        format: Format {
            rate_hz: params.sample_rate.unwrap_or(0),
            channels: params
                .channels
                .as_ref()
                .map_or(0, |channels| channels.count()),
        },
        duration: container.declared,
        byte_len,
    };
    Ok(Opened {
        info,
        container,
        codec,
        input,
    })
}

/// Says what a fault means for the caller.
fn explain(name: String, input: &Handle, fault: Fault) -> Error {
    if let Some(source) = input.take_error() {
        return Error::Unreadable { name, source };
    }
    match fault {
        Fault::Unsupported(what) => Error::Unsupported {
            name,
            what: what.into(),
            remedy: REMEDY,
        },
        Fault::Damaged(reason) => Error::Undecodable { name, reason },
        Fault::CutOff => Error::Undecodable {
            name,
            reason: "it ends before any audio".into(),
        },
    }
}

/// Checks that a format is one that the resampler takes.
fn check(format: Format) -> Result<(), String> {
    let Format { rate_hz, channels } = format;
    if !(INPUT_RATE_HZ_MIN..=INPUT_RATE_HZ_MAX).contains(&rate_hz) {
        return Err(format!(
            "a sample rate of {rate_hz} Hz (not {INPUT_RATE_HZ_MIN} to {INPUT_RATE_HZ_MAX})"
        ));
    }
    if !(1..=INPUT_CHANNELS_MAX).contains(&channels) {
        return Err(format!(
            "audio of {channels} channels (not 1 to {INPUT_CHANNELS_MAX})"
        ));
    }
    Ok(())
}

impl Decoder {
    /// Opens an input and decodes its first packet.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`] when the input cannot be read, [`Error::Unsupported`] with the codec's name and a remedy
    /// when it is of a kind that is not decoded, [`Error::Undecodable`] when no audio can be decoded from it.
    pub fn open(source: &mut dyn Source) -> Result<Self, Error> {
        // Where the end is damaged, a demuxer that may seek looks there and gives up. One that may not goes on.
        Self::open_with(source, Access::Seek)
            .or_else(|error| Self::open_with(source, Access::Forward).map_err(|_| error))
    }

    fn open_with(source: &mut dyn Source, access: Access) -> Result<Self, Error> {
        let name = source.name();
        let Opened {
            info,
            container,
            codec,
            input,
        } = open_container(source, access)?;
        let format = info.format;
        let mut decoder = Self {
            container,
            codec,
            timeline: Timeline::new(format.rate_hz),
            input,
            tail: Some(Tail::default()),
            stats: DecodeStats::default(),
            format,
            silence_frames: 0,
            zeros: Vec::new(),
            samples: Vec::new(),
            ready: 0,
            packet_frames: 0,
            failures: 0,
            ended: false,
            info,
        };
        while decoder.ready == decoder.samples.len() {
            decoder.step();
            if decoder.ended || decoder.failures >= FIRST_FAILURES_MAX {
                let source = decoder.input.take_error();
                let reason = decoder.stats.stopped_early.take();
                return Err(match source {
                    Some(source) => Error::Unreadable { name, source },
                    None => Error::Undecodable {
                        name,
                        reason: reason.unwrap_or_else(|| "it holds no audio".into()),
                    },
                });
            }
        }
        check(decoder.format).map_err(|what| Error::Unsupported {
            name,
            what,
            remedy: REMEDY,
        })?;
        decoder.info.format = decoder.format;
        Ok(decoder)
    }

    /// Returns what the headers say, and the format of the first packet.
    #[must_use]
    pub fn info(&self) -> &MediaInfo {
        &self.info
    }

    /// Returns how decoding went so far.
    #[must_use]
    pub fn stats(&self) -> &DecodeStats {
        &self.stats
    }

    /// Returns how far the input was read, in bytes, at most 64 KiB ahead of what was decoded.
    #[must_use]
    pub fn position_bytes(&self) -> u64 {
        self.input.position()
    }

    /// Returns the time of the next frame.
    #[must_use]
    pub fn position(&self) -> Time {
        self.timeline.now()
    }

    /// Decodes on, and returns the next frames or `None` at the end.
    ///
    /// # Errors
    ///
    /// None at present: what goes wrong after the first sound is told by [`Decoder::stats`].
    #[expect(
        clippy::should_implement_trait,
        reason = "chunks borrow from the decoder"
    )]
    pub fn next(&mut self) -> Result<Option<Chunk<'_>>, Error> {
        while self.silence_frames == 0 && self.ready == self.samples.len() {
            if self.ended {
                return Ok(None);
            }
            self.step();
        }
        let samples = if self.silence_frames > 0 {
            let frames = self.silence_frames.min(SILENCE_FRAMES_MAX);
            self.silence_frames -= frames;
            let len = usize::try_from(frames).unwrap_or(0) * self.format.channels;
            self.zeros.resize(len.max(self.zeros.len()), 0.0);
            &self.zeros[..len]
        } else {
            let ready = std::mem::replace(&mut self.ready, self.samples.len());
            &self.samples[ready..]
        };
        Ok(Some(Chunk {
            format: self.format,
            samples,
        }))
    }

    /// Reads one packet, or the end.
    fn step(&mut self) {
        match self.container.next() {
            Next::Packet(packet, timing) => self.take(packet, &timing),
            Next::Changed => match self.container.select() {
                Ok(codec) => {
                    self.codec = codec;
                    self.timeline.restart_stamps();
                }
                Err(fault) => self.stop(format!("the next part cannot be decoded: {fault:?}")),
            },
            Next::End => self.end(),
            Next::Broken(reason) => self.stop(reason),
        }
    }

    /// Ends where the input ends, which may be earlier than its headers say.
    fn end(&mut self) {
        self.ended = true;
        let rate_hz = self.format.rate_hz;
        let declared = self
            .container
            .audio_frames(rate_hz)
            .filter(|_| self.tail.is_some());
        if declared.is_some_and(|end| self.timeline.next_frame() + u64::from(rate_hz) < end) {
            self.stop("the file is cut off".into());
        }
    }

    fn stop(&mut self, reason: String) {
        self.ended = true;
        // Before the first sound it is the error of opening.
        let heard = self.timeline.is_started();
        let error = heard.then(|| self.input.take_error()).flatten();
        let reason = error.map_or(reason, |error| format!("cannot read on: {error}"));
        self.stats.stopped_early.get_or_insert(reason);
    }

    /// Decodes a packet and puts it in its place.
    fn take(&mut self, mut packet: Packet, timing: &Timing) {
        self.stats.packets += 1;
        match self.codec.decode(&mut packet) {
            Ok(audio) => {
                let format = Format {
                    rate_hz: audio.spec().rate(),
                    channels: audio.spec().channels().count(),
                };
                audio.copy_to_vec_interleaved(&mut self.samples);
                let frames = audio.frames();
                self.failures = 0;
                self.packet_frames = frames as u64;
                self.follow(format);
                if !self.ended {
                    self.pass(timing);
                    self.place(timing, frames);
                }
            }
            Err(fault) => self.lose(timing, fault),
        }
    }
}

/// The second half: what becomes of one packet.
impl Decoder {
    /// Goes over to the format of what was just decoded.
    fn follow(&mut self, format: Format) {
        if format == self.format {
            return;
        }
        if let (Err(what), false) = (check(format), self.samples.is_empty()) {
            return self.stop(format!("the input goes on with {what}"));
        }
        if self.timeline.is_started() {
            self.tail = None;
        }
        self.timeline.set_rate(format.rate_hz);
        self.format = format;
    }

    /// Puts the frames in `samples` in their place.
    fn place(&mut self, timing: &Timing, frames: usize) {
        let (rate_hz, channels) = (self.format.rate_hz, self.format.channels);
        let (trim_start, trim_end) = self.container.trims(timing, rate_hz, frames as u64);
        let count = |frames| usize::try_from(frames).unwrap_or(usize::MAX);
        let start = count(trim_start).min(frames);
        let end = frames - count(trim_end).min(frames - start);
        let before = self.timeline.now();
        let placement = self.placement(timing, trim_start, (end - start) as u64);
        let start = start + count(placement.skip).min(end - start);
        self.samples.truncate(end * channels);
        self.ready = start * channels;
        self.silence_frames += placement.silence;
        let kept = (end - start) as u64;
        if placement.lost {
            self.damage(before, self.timeline.before(kept));
        }
        self.hold_back(kept);
    }

    /// Puts silence where a packet could not be decoded.
    fn lose(&mut self, timing: &Timing, fault: Fault) {
        self.stats.damaged_packets += 1;
        self.failures += 1;
        self.ready = 0;
        self.samples.clear();
        if self.failures >= FAILURES_MAX {
            return self.stop(format!(
                "{FAILURES_MAX} packets in a row are damaged: {fault:?}"
            ));
        }
        if self.format.rate_hz == 0 || self.format.channels == 0 {
            return;
        }
        self.pass(timing);
        let rate_hz = self.format.rate_hz;
        let frames = self
            .container
            .length(timing, rate_hz)
            .unwrap_or(self.packet_frames);
        let before = self.timeline.now();
        let placement = self.placement(timing, 0, frames);
        self.silence_frames += placement.silence + frames - placement.skip;
        self.damage(before, self.timeline.now());
    }

    /// Puts silence where the demuxer passed over packets that it did not know.
    fn pass(&mut self, timing: &Timing) {
        let lost = u128::from(timing.passed_thousandths) * u128::from(self.packet_frames) / 1_000;
        if lost > 0 && self.timeline.is_started() {
            let before = self.timeline.now();
            self.silence_frames += self.timeline.pass(u64::try_from(lost).unwrap_or(u64::MAX));
            self.damage(before, self.timeline.now());
        }
    }

    /// Finds the place of a packet, whose first `skipped` frames are no audio.
    fn placement(&mut self, timing: &Timing, skipped: u64, frames: u64) -> Placement {
        let rate_hz = self.format.rate_hz;
        let is_first = !self.timeline.is_started();
        // Where the demuxer only counts, its first stamp is to be believed: it is below zero by the delay.
        let stamp = (is_first || self.container.is_stamped())
            .then(|| self.container.stamp(timing, rate_hz, skipped));
        self.timeline
            .place(stamp, self.container.origin(rate_hz), frames)
    }

    /// Holds back what lies behind the declared end.
    fn hold_back(&mut self, frames: u64) {
        let Some(end) = self.container.audio_frames(self.format.rate_hz) else {
            return;
        };
        let Some(tail) = &mut self.tail else { return };
        let behind = self.timeline.next_frame();
        if behind <= end {
            return;
        }
        self.samples.drain(..self.ready);
        self.ready = 0;
        if !tail.take(
            &mut self.samples,
            self.format.channels,
            behind - frames,
            end,
        ) {
            self.tail = None;
        }
    }

    /// Notes a span that is silence in place of audio.
    fn damage(&mut self, start: Time, end: Time) {
        let span = Span::new(start, end);
        let spans = &mut self.stats.damage;
        let is_full = spans.len() == SPANS_MAX;
        match spans.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ if is_full || span.is_empty() => {}
            _ => spans.push(span),
        }
    }
}
