//! The way from an input to its frames: open it, then packet by packet.
//!
//! [`Decoder::open`] reads the headers and decodes up to the first sound. [`Decoder::next`] returns
//! frames; when it has none left it takes one `step`: the container's next packet goes to
//! `decode_packet`, which decodes it and places its frames on the time line. A packet that cannot
//! be decoded goes to `replace_packet`, which puts silence of the same length in its place.

use std::fmt;
use std::sync::Arc;

use symphonia::core::packet::Packet;

use super::clock::Timing;
use super::codec::Codec;
use super::container::{Container, Next};
use super::fault::Fault;
use super::output::{Chunk, DecodeStats, MediaInfo};
use super::shared_input::SharedInput;
use super::tail::Tail;
use super::timeline::{Placement, Timeline};
use crate::audio::{Format, INPUT_CHANNELS_MAX, INPUT_RATE_HZ_MAX, INPUT_RATE_HZ_MIN};
use crate::error::InputError;
use crate::source::{Access, Input, Source};
use crate::time::Time;

/// Most frames of silence in one chunk.
const SILENCE_FRAMES_MAX: u64 = 4_096;

/// Undecodable packets in a row after which the rest of the input is given up: more than half an
/// hour of the shortest packets. A damaged table may claim four billion empty packets.
const FAILURES_MAX: u32 = 100_000;

/// Longest packet that silence replaces, in seconds: 65,535 frames of FLAC at 8 kHz take 8.2 s.
/// Damaged tables claim years.
const LOST_PACKET_S_MAX: u64 = 9;

/// Fraction of a second (one in so many) by which a whole input may be shorter than it declares:
/// declared counts of frames are off by some packets.
const SLACK_PART: u64 = 4;

/// Undecodable packets before the first sound after which an input counts as undecodable.
const FIRST_FAILURES_MAX: u32 = 2_000;

/// An input whose headers were read.
struct Opened {
    info: MediaInfo,
    container: Container,
    codec: Codec,
    input: Arc<SharedInput>,
}

/// Decodes an input from its start to its end.
///
/// # Memory
///
/// The samples of the largest packet, 4,096 frames of silence once there is damage, and what the
/// [module](super#memory) says about demuxers.
///
/// # Examples
///
/// ```
/// use steadyscribe::FileSource;
/// use steadyscribe::decode::Decoder;
///
/// let mut decoder = Decoder::open(&mut FileSource::open("fixtures/formats/opus.ogg")?)?;
/// let mut frames = 0;
/// while let Some(chunk) = decoder.next()? {
///     frames += chunk.samples.len() / chunk.format.channels;
/// }
/// assert_eq!(frames, 24_000);
/// assert_eq!(decoder.stats().damaged_packets, 0);
/// # Ok::<(), steadyscribe::InputError>(())
/// ```
pub struct Decoder {
    info: MediaInfo,
    input: Arc<SharedInput>,
    container: Container,
    codec: Codec,
    timeline: Timeline,
    /// Absent once the declared end turned out to be wrong.
    tail: Option<Tail>,
    stats: DecodeStats,
    format: Format,
    /// Frames of silence to return before `samples[ready..]`.
    silence_frames: u64,
    zeros: Vec<f32>,
    /// Decoded samples of one packet.
    samples: Vec<f32>,
    /// Index of the first sample that was neither returned nor dropped.
    ready: usize,
    /// Frames of the last packet that could be decoded.
    packet_frames: u64,
    /// Undecodable packets in a row.
    failures: u32,
    /// Checksum of the packets that were read.
    checksum: crc32fast::Hasher,
    ended: bool,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("info", &self.info)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// Opening.
impl Decoder {
    /// Opens an input and decodes its first packet.
    ///
    /// # Errors
    ///
    /// [`InputError::Unreadable`] when the input cannot be read, [`InputError::Unsupported`] with
    /// the codec's name and a remedy when nothing here decodes it, [`InputError::Undecodable`] when
    /// no audio can be decoded from it.
    pub fn open(source: &mut dyn Source) -> Result<Self, InputError> {
        open_either_way(source, Self::open_with)
    }

    /// Reads the headers of an input, without decoding.
    pub(super) fn probe(source: &mut dyn Source) -> Result<MediaInfo, InputError> {
        open_either_way(source, open_headers).map(|opened| opened.info)
    }

    fn open_with(source: &mut dyn Source, access: Access) -> Result<Self, InputError> {
        let Opened {
            info,
            container,
            codec,
            input,
        } = open_headers(source, access)?;
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
        let first = decoder.decode_first();
        let first = first.and_then(|()| check_format(decoder.format));
        first.map_err(|fault| explain(source.name(), &decoder.input, fault))?;
        decoder.info.format = decoder.format;
        Ok(decoder)
    }

    /// Reads on to the first sound.
    fn decode_first(&mut self) -> Result<(), Fault> {
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
}

/// Opens an input, and once more for reading forward if it cannot be read with seeking: a demuxer
/// that may seek looks at the end first, and gives up where that is damaged.
fn open_either_way<T>(
    source: &mut dyn Source,
    open: fn(&mut dyn Source, Access) -> Result<T, InputError>,
) -> Result<T, InputError> {
    open(source, Access::Seek).or_else(|error| open(source, Access::Forward).map_err(|_| error))
}

fn open_headers(source: &mut dyn Source, access: Access) -> Result<Opened, InputError> {
    let Input::Encoded(bytes) = source.open(access)?;
    let byte_len = bytes.byte_len();
    let input = SharedInput::new(bytes, access == Access::Seek);
    let (container, codec) =
        Container::open(&input).map_err(|fault| explain(source.name(), &input, fault))?;
    let params = codec.params();
    let channels = params.channels.as_ref();
    let info = MediaInfo {
        container: container.name(),
        codec: codec.name(),
        format: Format {
            rate_hz: params.sample_rate.unwrap_or(0),
            channels: channels.map_or(0, |channels| channels.count()),
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

/// Converts a fault of opening to an error. A failing disk and an empty input come first: they are
/// the reason for whatever the demuxer made of them.
fn explain(name: String, input: &SharedInput, fault: Fault) -> InputError {
    if let Some(source) = input.take_error() {
        return InputError::Unreadable { name, source };
    }
    let fault = match (input.end(), input.byte_len()) {
        (0, Some(_)) => Fault::EmptyFile,
        (0, None) => Fault::EmptyPipe,
        _ => fault,
    };
    fault.into_input_error(name)
}

/// Checks that the resampler takes a format.
fn check_format(Format { rate_hz, channels }: Format) -> Result<(), Fault> {
    if !(INPUT_RATE_HZ_MIN..=INPUT_RATE_HZ_MAX).contains(&rate_hz) {
        return Err(Fault::Unsupported(format!(
            "a sample rate of {rate_hz} Hz (not {INPUT_RATE_HZ_MIN} to {INPUT_RATE_HZ_MAX})"
        )));
    }
    if !(1..=INPUT_CHANNELS_MAX).contains(&channels) {
        return Err(Fault::Unsupported(format!(
            "audio of {channels} channels (not 1 to {INPUT_CHANNELS_MAX})"
        )));
    }
    Ok(())
}

/// Reading.
impl Decoder {
    /// Returns what the headers state, with the format of the first packet.
    #[must_use]
    pub fn info(&self) -> &MediaInfo {
        &self.info
    }

    /// Returns the account of the decoding so far.
    #[must_use]
    pub fn stats(&self) -> &DecodeStats {
        &self.stats
    }

    /// Returns how many bytes of the input were read: at most 64 KiB more than were decoded.
    #[must_use]
    pub fn position_bytes(&self) -> u64 {
        self.input.position()
    }

    /// Returns the time of the frame that follows the last decoded packet.
    #[must_use]
    pub fn position(&self) -> Time {
        self.timeline.now()
    }

    /// Returns the CRC-32 of all packets that were read. It depends on the input's bytes alone and
    /// not on the processor, unlike decoded samples.
    pub(crate) fn checksum(&self) -> u32 {
        self.checksum.clone().finalize()
    }

    /// Returns the next frames, or `None` at the end.
    ///
    /// # Errors
    ///
    /// None at present: [`Decoder::stats`] lists what went wrong after the first sound.
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

    /// Reads one packet, or the end. Called only after everything before was returned.
    fn step(&mut self) {
        match self.container.next() {
            Next::Packet(packet, timing) => {
                self.checksum.update(&packet.data);
                self.decode_packet(packet, &timing);
            }
            Next::Changed => match self.container.select() {
                Ok(codec) => {
                    self.codec = codec;
                    self.timeline.restart_stamps();
                }
                Err(fault) => self.stop(format!("the rest cannot be decoded: {fault}")),
            },
            Next::End => self.end(),
            Next::Broken(fault) => self.stop(fault.to_string()),
        }
    }

    /// Ends where the input ends, which may be before the end that its headers declare.
    fn end(&mut self) {
        self.ended = true;
        let rate_hz = self.format.rate_hz;
        let declared = self.container.clock.audio_frames(rate_hz);
        let declared = declared.filter(|_| self.tail.is_some());
        let slack = u64::from(rate_hz) / SLACK_PART;
        if declared.is_some_and(|end| self.timeline.next_frame() + slack < end) {
            self.stop(Fault::CutOff.to_string());
        }
    }

    fn stop(&mut self, reason: String) {
        self.ended = true;
        // Before the first sound, opening reports the input's own error.
        let is_started = self.timeline.is_started();
        let error = is_started.then(|| self.input.take_error()).flatten();
        let reason = error.map_or(reason, |error| format!("cannot read on: {error}"));
        self.stats.stopped_early.get_or_insert(reason);
    }
}

/// One packet.
impl Decoder {
    /// Decodes a packet and places its frames on the time line.
    fn decode_packet(&mut self, mut packet: Packet, timing: &Timing) {
        self.stats.packets += 1;
        let audio = match self.codec.decode(&mut packet) {
            Ok(audio) => audio,
            Err(fault) => return self.replace_packet(timing, &fault),
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
            self.change_format(format);
        }
        if !self.ended {
            self.replace_skipped(timing);
            self.place(timing, frames);
        }
    }

    /// Switches to the format of the packet that was just decoded.
    fn change_format(&mut self, format: Format) {
        if self.timeline.is_started() {
            if let Err(fault) = check_format(format) {
                self.samples.clear();
                return self.stop(format!("the rest cannot be decoded: {fault}"));
            }
            self.tail = None;
        }
        self.timeline.set_rate(format.rate_hz);
        self.format = format;
    }

    /// Places the frames in `samples`: trims them, and puts silence before them where a hole is.
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
            self.add_damage(before, self.timeline.before(kept), placement.silence);
        }
        self.hold_back(kept);
    }

    /// Puts silence in the place of a packet that could not be decoded.
    fn replace_packet(&mut self, timing: &Timing, fault: &Fault) {
        self.failures += 1;
        self.ready = 0;
        self.samples.clear();
        if self.failures >= FAILURES_MAX {
            self.stop(format!(
                "{FAILURES_MAX} packets in a row are damaged: {fault}"
            ));
        }
        let rate_hz = self.format.rate_hz;
        if rate_hz == 0 || self.format.channels == 0 || self.is_past_end() {
            self.stats.damaged_packets += 1;
            return;
        }
        self.replace_skipped(timing);
        let declared = self.container.clock.length(timing, rate_hz);
        let longest = u64::from(rate_hz) * LOST_PACKET_S_MAX;
        let frames = declared.unwrap_or(self.packet_frames).min(longest);
        let before = self.timeline.now();
        let placement = self.placement(timing, 0, frames);
        self.silence_frames += placement.silence + frames - placement.skip;
        self.add_damage(before, self.timeline.now(), placement.silence);
        self.stats.damaged_packets += 1;
    }

    /// Puts silence in the place of packets that the demuxer skipped in search of the next one.
    fn replace_skipped(&mut self, timing: &Timing) {
        let packets = u128::from(timing.skipped_thousandths);
        let lost = packets * u128::from(self.packet_frames) / 1_000;
        if lost > 0 && self.timeline.is_started() && !self.is_past_end() {
            let before = self.timeline.now();
            let frames = u64::try_from(lost).unwrap_or(u64::MAX);
            let frames = self.timeline.skip(frames);
            self.silence_frames += frames;
            self.add_damage(before, self.timeline.now(), frames);
        }
    }

    /// Finds the place of a packet whose first `trimmed` frames are not audio.
    fn placement(&mut self, timing: &Timing, trimmed: u64, frames: u64) -> Placement {
        let (clock, rate_hz) = (&self.container.clock, self.format.rate_hz);
        // A demuxer that only counts is right about its first stamp: that is minus the delay.
        let is_reliable =
            !self.timeline.is_started() || (clock.is_stamped() && !self.is_past_end());
        let stamp = is_reliable.then(|| clock.stamp(timing, rate_hz, trimmed));
        self.timeline.place(stamp, clock.origin(rate_hz), frames)
    }

    /// Returns whether the declared end has passed. If that is the true end, the rest is padding,
    /// and a hole in padding is not damage.
    fn is_past_end(&self) -> bool {
        self.tail.as_ref().is_some_and(Tail::is_past_end)
    }

    /// Holds back the frames behind the declared end.
    fn hold_back(&mut self, frames: u64) {
        let end = self.container.clock.audio_frames(self.format.rate_hz);
        let (Some(tail), Some(end)) = (&mut self.tail, end) else {
            return;
        };
        let next = self.timeline.next_frame();
        if next <= end {
            return;
        }
        self.samples.drain(..self.ready);
        self.ready = 0;
        let at = next - frames;
        if !tail.hold(&mut self.samples, self.format.channels, at, end) {
            self.tail = None;
        }
    }

    /// Records a span of silence in place of audio, and the packets that `frames` of it replace.
    fn add_damage(&mut self, start: Time, end: Time, frames: u64) {
        self.stats.damaged_packets += frames.div_ceil(self.packet_frames.max(1));
        self.stats.add_damage(start, end);
    }
}
