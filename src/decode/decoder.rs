//! The decoder: packets in, chunks of one time line out.

use std::sync::Arc;

use symphonia::core::packet::Packet;

use super::clock::Timing;
use super::codec::{Codec, Fault};
use super::container::{Container, Next};
use super::input::Handle;
use super::open::{self, Opened};
use super::tail::Tail;
use super::timeline::{Placement, Timeline};
use super::{Chunk, DecodeStats, MediaInfo};
use crate::audio::Format;
use crate::config::SPANS_MAX;
use crate::error::InputError;
use crate::source::{Access, Source};
use crate::time::{Span, Time};

/// Frames of silence in one chunk at most.
const SILENCE_FRAMES_MAX: u64 = 4_096;

/// Packets in a row that may be undecodable before the rest of the input is given up: more than half an hour of the
/// shortest. A table may claim four thousand million empty packets.
const FAILURES_MAX: u32 = 100_000;

/// Longest packet for which silence stands in, in seconds: 65,535 frames of FLAC at 8 kHz. Tables claim years.
const LOST_PACKET_S_MAX: u64 = 9;

/// Part of a second by which an input may be shorter than it declares, and still be whole: counts of frames are off by
/// some packets.
const SLACK_PART: u64 = 4;

/// Packets that are tried for the first sound before an input counts as undecodable.
const FIRST_FAILURES_MAX: u32 = 2_000;

/// Decodes an input from its start to its end.
///
/// # Memory
///
/// The samples of the largest packet, silence of 4,096 frames when there is damage, and what the
/// [module](super#memory) says of demuxers.
pub struct Decoder {
    info: MediaInfo,
    input: Arc<Handle>,
    container: Container,
    codec: Codec,
    timeline: Timeline,
    /// Absent where the declared end was found wrong.
    tail: Option<Tail>,
    stats: DecodeStats,
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
    /// Checksum of the packets that were read.
    checksum: crc32fast::Hasher,
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

impl Decoder {
    /// Opens an input and decodes its first packet.
    ///
    /// # Errors
    ///
    /// [`InputError::Unreadable`] when the input cannot be read, [`InputError::Unsupported`] with the codec's name and a remedy
    /// when it is of a kind that is not decoded, [`InputError::Undecodable`] when no audio can be decoded from it.
    pub fn open(source: &mut dyn Source) -> Result<Self, InputError> {
        open::forward_if_need_be(source, Self::open_with)
    }

    fn open_with(source: &mut dyn Source, access: Access) -> Result<Self, InputError> {
        let Opened {
            info,
            container,
            codec,
            input,
        } = open::headers(source, access)?;
        let mut decoder = Self {
            input,
            container,
            codec,
            timeline: Timeline::new(info.format.rate_hz),
            tail: Some(Tail::default()),
            stats: DecodeStats::default(),
            format: info.format,
            info,
            silence_frames: 0,
            zeros: Vec::new(),
            samples: Vec::new(),
            ready: 0,
            packet_frames: 0,
            failures: 0,
            checksum: crc32fast::Hasher::new(),
            ended: false,
        };
        let first = decoder.first().and_then(|()| open::check(decoder.format));
        first.map_err(|fault| open::explain(source.name(), &decoder.input, fault))?;
        decoder.info.format = decoder.format;
        Ok(decoder)
    }

    /// Reads on to the first sound.
    fn first(&mut self) -> Result<(), Fault> {
        while self.ready == self.samples.len() {
            self.step();
            if self.ended || self.failures >= FIRST_FAILURES_MAX {
                let reason = self.stats.stopped_early.take();
                return Err(Fault::Damaged(
                    reason.unwrap_or_else(|| "it holds no audio".into()),
                ));
            }
        }
        Ok(())
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

    /// Returns the time of the next frame after the packet that was decoded last.
    #[must_use]
    pub fn position(&self) -> Time {
        self.timeline.now()
    }

    /// Returns the CRC-32 of all packets that were read. It depends on the input's bytes alone and not
    /// on the processor, unlike decoded samples.
    pub(crate) fn checksum(&self) -> u32 {
        self.checksum.clone().finalize()
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
    pub fn next(&mut self) -> Result<Option<Chunk<'_>>, InputError> {
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

    /// Reads one packet, or the end. Called only when everything before was given out.
    fn step(&mut self) {
        match self.container.next() {
            Next::Packet(packet, timing) => {
                self.checksum.update(&packet.data);
                self.take(packet, &timing);
            }
            Next::Changed => match self.container.select() {
                Ok(codec) => {
                    self.codec = codec;
                    self.timeline.restart_stamps();
                }
                Err(fault) => self.stop(format!("what follows cannot be decoded: {fault}")),
            },
            Next::End => self.end(),
            Next::Broken(fault) => self.stop(fault.to_string()),
        }
    }

    /// Ends where the input ends, which may be earlier than its headers say.
    fn end(&mut self) {
        self.ended = true;
        let rate_hz = self.format.rate_hz;
        let declared = self
            .container
            .clock
            .audio_frames(rate_hz)
            .filter(|_| self.tail.is_some());
        let slack = u64::from(rate_hz) / SLACK_PART;
        if declared.is_some_and(|end| self.timeline.next_frame() + slack < end) {
            self.stop(Fault::CutOff.to_string());
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
}

/// What becomes of one packet.
impl Decoder {
    /// Decodes a packet and puts it in its place.
    fn take(&mut self, mut packet: Packet, timing: &Timing) {
        self.stats.packets += 1;
        let audio = match self.codec.decode(&mut packet) {
            Ok(audio) => audio,
            Err(fault) => return self.lose(timing, &fault),
        };
        let spec = audio.spec();
        let format = Format {
            rate_hz: spec.rate(),
            channels: spec.channels().count(),
        };
        let frames = audio.frames();
        audio.copy_to_vec_interleaved(&mut self.samples);
        self.failures = 0;
        self.packet_frames = frames as u64;
        if format != self.format {
            self.follow(format);
        }
        if !self.ended {
            self.pass(timing);
            self.place(timing, frames);
        }
    }

    /// Goes over to the format of what was just decoded.
    fn follow(&mut self, format: Format) {
        if self.timeline.is_started() {
            if let Err(fault) = open::check(format) {
                self.samples.clear();
                return self.stop(format!("it goes on as {fault}"));
            }
            self.tail = None;
        }
        self.timeline.set_rate(format.rate_hz);
        self.format = format;
    }

    /// Puts the frames in `samples` in their place.
    fn place(&mut self, timing: &Timing, frames: usize) {
        let (rate_hz, channels) = (self.format.rate_hz, self.format.channels);
        let (trim_start, trim_end) = self.container.clock.trims(timing, rate_hz, frames as u64);
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
            self.damage(before, self.timeline.before(kept), placement.silence);
        }
        self.hold_back(kept);
    }

    /// Puts silence where a packet could not be decoded.
    fn lose(&mut self, timing: &Timing, fault: &Fault) {
        self.failures += 1;
        self.ready = 0;
        self.samples.clear();
        if self.failures >= FAILURES_MAX {
            self.stop(format!(
                "{FAILURES_MAX} packets in a row are damaged: {fault}"
            ));
        }
        let rate_hz = self.format.rate_hz;
        if rate_hz == 0 || self.format.channels == 0 || self.is_behind_end() {
            self.stats.damaged_packets += 1;
            return;
        }
        self.pass(timing);
        let told = self.container.clock.length(timing, rate_hz);
        let longest = u64::from(rate_hz) * LOST_PACKET_S_MAX;
        let frames = told.unwrap_or(self.packet_frames).min(longest);
        let before = self.timeline.now();
        let placement = self.placement(timing, 0, frames);
        self.silence_frames += placement.silence + frames - placement.skip;
        self.damage(before, self.timeline.now(), placement.silence);
        self.stats.damaged_packets += 1;
    }

    /// Puts silence where the demuxer passed over packets that it did not know.
    fn pass(&mut self, timing: &Timing) {
        let lost = u128::from(timing.passed_thousandths) * u128::from(self.packet_frames) / 1_000;
        if lost > 0 && self.timeline.is_started() && !self.is_behind_end() {
            let before = self.timeline.now();
            let frames = self.timeline.pass(u64::try_from(lost).unwrap_or(u64::MAX));
            self.silence_frames += frames;
            self.damage(before, self.timeline.now(), frames);
        }
    }

    /// Finds the place of a packet, whose first `skipped` frames are no audio.
    fn placement(&mut self, timing: &Timing, skipped: u64, frames: u64) -> Placement {
        let (clock, rate_hz) = (&self.container.clock, self.format.rate_hz);
        // Where the demuxer only counts, its first stamp is to be believed: it is below zero by the delay.
        let is_told = !self.timeline.is_started() || (clock.is_stamped() && !self.is_behind_end());
        let stamp = is_told.then(|| clock.stamp(timing, rate_hz, skipped));
        self.timeline.place(stamp, clock.origin(rate_hz), frames)
    }

    /// Returns whether the declared end was passed and may be the end: what comes is padding, and holes in it are nothing.
    fn is_behind_end(&self) -> bool {
        self.tail.as_ref().is_some_and(Tail::is_passed)
    }

    /// Holds back what lies behind the declared end.
    fn hold_back(&mut self, frames: u64) {
        let end = self.container.clock.audio_frames(self.format.rate_hz);
        let (Some(tail), Some(end)) = (&mut self.tail, end) else {
            return;
        };
        let behind = self.timeline.next_frame();
        if behind <= end {
            return;
        }
        self.samples.drain(..self.ready);
        self.ready = 0;
        let at = behind - frames;
        if !tail.take(&mut self.samples, self.format.channels, at, end) {
            self.tail = None;
        }
    }

    /// Notes a span that is silence in place of audio, and the packets that should have filled `frames` of it.
    fn damage(&mut self, start: Time, end: Time, frames: u64) {
        self.stats.damaged_packets += frames.div_ceil(self.packet_frames.max(1));
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
