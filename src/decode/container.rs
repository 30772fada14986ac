//! From bytes to packets: which of a file's tracks is the audio, and when its packets are heard.

use std::sync::Arc;

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3, CODEC_ID_OPUS,
};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{
    FORMAT_ID_ADTS, FORMAT_ID_AIFF, FORMAT_ID_ISOMP4, FORMAT_ID_MKV, FORMAT_ID_MP1, FORMAT_ID_MP2,
    FORMAT_ID_MP3, FORMAT_ID_OGG, FORMAT_ID_WAVE,
};
use symphonia::core::formats::{FormatId, FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

use super::codec::{Codec, Fault, contained};
use super::layout::{Layout, Parts};
use super::passed::Passed;
use super::view::{Handle, View};
use crate::time::Time;

/// Delay of an AAC stream that tells none, in frames: the first block has nothing to overlap with, so no encoder can
/// start with less.
const AAC_DELAY: i64 = 1_024;

/// Delay of an MP3 stream that tells none, in frames: 576 of LAME, and 529 of every decoder.
/// Source: LAME's technical FAQ.
const MP3_DELAY: i64 = 1_105;

/// Delay of a layer I or II stream, in frames: the two filter banks.
const MP2_DELAY: i64 = 481;

/// Bytes of an ADTS frame that are not in its packet. Those of MPEG audio all are.
const ADTS_HEADER_BYTES: usize = 7;

/// Damaged headers in a row that are passed over in streams where the next one can be found.
const RETRIES_MAX: u32 = 10_000;

/// Bytes that the demuxer has read at most and not yet used.
const READ_AHEAD_BYTES: u64 = 64 << 10;

/// Times that reading is started again behind damage.
const RESTARTS_MAX: u32 = 1_000;

/// When a packet is heard, in ticks of the container's time base.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    stamp: i64,
    /// Frames that the packet should have; zero where the container does not tell.
    length: u64,
    trim_start: u64,
    trim_end: u64,
    is_last: bool,
    /// Packets that were passed over before this one where there are no stamps, in thousandths of a packet.
    pub(super) passed_thousandths: u64,
}

/// What comes next from a container.
pub(super) enum Next {
    /// A packet of the audio track.
    Packet(Packet, Timing),
    /// The tracks changed: [`Container::select`] again.
    Changed,
    /// Nothing any more.
    End,
    /// Nothing any more, and that is not how it should end.
    Broken(String),
}

/// An open container and its audio track.
pub(super) struct Container {
    input: Arc<Handle>,
    /// Absent when nothing is left to read.
    demuxer: Option<Box<dyn FormatReader>>,
    format: FormatId,
    name: &'static str,
    parts: Parts,
    data_end: Option<u64>,
    restarts: u32,
    retries: u32,
    passed: Passed,
    /// How far the input was read when the last packet came.
    packet_position: u64,
    /// The last packet's stamp.
    last_ticks: i64,
    /// Packets up to this stamp came before reading was started again.
    heard_ticks: i64,
    /// One packet is read ahead, because only the last one's length says where its padding begins.
    ahead: Option<Next>,
    track_id: u32,
    time_base: Option<TimeBase>,
    /// Added to stamps: those of a batch of fragments start at zero.
    base_ticks: i64,
    /// The stamp that stands for the start of the time line.
    origin_ticks: Option<i64>,
    /// Frames of delay that are assumed or told by the codec, where the container tells none.
    codec_delay: i64,
    /// Frames before the encoder's padding, in ticks.
    end_ticks: Option<u64>,
    /// Length of the track as the container declares it. It lies often.
    pub(super) declared: Option<Time>,
}

/// Opening.
impl Container {
    /// Reads headers up to the first packet.
    pub(super) fn open(input: &Arc<Handle>) -> Result<(Self, Codec), Fault> {
        let mut layout = Layout::of(input)?;
        let mut base_ticks = 0;
        if let Parts::Fragments(fragments) = &mut layout.parts {
            if let Some(batch) = fragments.next(input)? {
                layout.view = batch.view;
                base_ticks = batch.first_ticks.unwrap_or(0).cast_signed();
            }
        }
        let demuxer = probe(layout.view)?;
        let info = demuxer.format_info();
        let mut container = Self {
            input: Arc::clone(input),
            format: info.format,
            name: layout.container.unwrap_or(info.short_name),
            demuxer: Some(demuxer),
            parts: layout.parts,
            data_end: layout.data_end,
            restarts: 0,
            retries: 0,
            passed: Passed::default(),
            packet_position: 0,
            last_ticks: i64::MIN,
            heard_ticks: i64::MIN,
            ahead: None,
            track_id: 0,
            time_base: None,
            base_ticks,
            origin_ticks: layout.origin_ticks,
            codec_delay: 0,
            end_ticks: layout.end_ticks,
            declared: layout.declared,
        };
        let codec = container.select()?;
        Ok((container, codec))
    }

    /// Chooses the first audio track that can be decoded, the default one before others.
    pub(super) fn select(&mut self) -> Result<Codec, Fault> {
        let Some(demuxer) = &self.demuxer else {
            return Err(Fault::CutOff);
        };
        let default = demuxer.default_track(TrackType::Audio);
        let mut fault = None;
        for track in default.into_iter().chain(demuxer.tracks()) {
            let params = track
                .codec_params
                .as_ref()
                .and_then(|params| params.audio());
            let Some(params) = params else { continue };
            match Codec::new(params.clone()) {
                Ok(codec) => {
                    let (track, params) = (track.clone(), params.clone());
                    self.take(&track, &params);
                    return Ok(codec);
                }
                Err(reason) => fault = Some(reason),
            }
        }
        Err(fault.unwrap_or_else(|| self.no_track()))
    }

    /// Says why there is no audio track.
    fn no_track(&self) -> Fault {
        Fault::Unsupported(match &self.parts {
            Parts::Clusters(clusters) if !clusters.tracks.is_empty() => {
                let names: Vec<_> = clusters.tracks.iter().map(|track| &*track.codec).collect();
                format!("audio of the codec {}", names.join(", "))
            }
            _ => "a file without an audio track that is known".into(),
        })
    }

    fn take(&mut self, track: &Track, params: &AudioCodecParameters) {
        self.track_id = track.id;
        self.time_base = track.time_base;
        let told = self.origin_ticks.is_some() || track.delay.is_some_and(|_| !self.is_ogg());
        let delay_ns = self.matroska_delay_ns();
        self.codec_delay = match params.codec {
            CODEC_ID_OPUS => self.pre_skip(params, track),
            CODEC_ID_AAC => AAC_DELAY,
            CODEC_ID_MP3 => MP3_DELAY,
            CODEC_ID_MP1 | CODEC_ID_MP2 => MP2_DELAY,
            _ => 0,
        };
        if told {
            self.codec_delay = 0;
        } else if delay_ns > 0 {
            self.codec_delay = self.rounded_off(delay_ns, params.sample_rate.unwrap_or(0));
        }
        if self.format == FORMAT_ID_MP3 && track.padding.is_some() {
            self.end_ticks = track.num_frames;
        }
        self.declared = self.declared.or_else(|| {
            let (base, duration) = track.time_base.zip(track.duration)?;
            let seconds = base.calc_duration(duration)?.as_secs_f64();
            Some(Time::from_seconds(seconds)).filter(|time| *time > Time::ZERO)
        });
    }

    /// Returns Opus' delay in frames of 48 kHz. Source: RFC 7845, section 5.1; of mp4 the same fields in the other
    /// byte order: Xiph, "Encapsulation of Opus in ISO Base Media File Format", section 4.3.2.
    fn pre_skip(&self, params: &AudioCodecParameters, track: &Track) -> i64 {
        if let (true, Some(delay)) = (self.is_ogg(), track.delay) {
            return delay.into();
        }
        let Some([_, _, _, _, _, _, _, _, _, _, a, b, ..]) = params.extra_data.as_deref() else {
            return 0;
        };
        match self.format {
            FORMAT_ID_ISOMP4 => u16::from_be_bytes([*a, *b]).into(),
            _ => u16::from_le_bytes([*a, *b]).into(),
        }
    }

    /// Returns the delay that a Matroska file tells of the track.
    fn matroska_delay_ns(&self) -> u64 {
        let Parts::Clusters(clusters) = &self.parts else {
            return 0;
        };
        let track = clusters
            .tracks
            .iter()
            .find(|track| track.number == u64::from(self.track_id));
        track.map_or(0, |track| track.delay_ns)
    }

    /// Returns in frames what the demuxer does not take off stamps of a delay, because it takes off whole ticks.
    fn rounded_off(&self, delay_ns: u64, rate_hz: u32) -> i64 {
        let Some(base) = self.time_base else { return 0 };
        let tick_ns = 1_000_000_000 * u64::from(base.numer.get()) / u64::from(base.denom.get());
        let left_ns = delay_ns % tick_ns.max(1);
        i64::try_from((left_ns * u64::from(rate_hz) + 500_000_000) / 1_000_000_000).unwrap_or(0)
    }

    fn is_ogg(&self) -> bool {
        self.format == FORMAT_ID_OGG
    }

    /// Returns the container's name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

/// Lets the demuxer read headers.
fn probe(view: View) -> Result<Box<dyn FormatReader>, Fault> {
    let stream = MediaSourceStream::new(Box::new(view), MediaSourceStreamOptions::default());
    contained(|| {
        symphonia::default::get_probe().probe(
            &Hint::new(),
            stream,
            FormatOptions::default(),
            MetadataOptions::default(),
        )
    })
    .map_err(|fault| match fault {
        Fault::Unsupported(what) if what.contains("no suitable format reader") => {
            Fault::Unsupported("this kind of file".into())
        }
        fault => fault,
    })
}

/// Reading.
impl Container {
    /// Reads the next packet of the audio track.
    ///
    /// # Memory
    ///
    /// The demuxer allocates each packet: one to three allocations of a few hundred bytes to a few kilobytes. For
    /// each batch of mp4 fragments it is made anew.
    pub(super) fn next(&mut self) -> Next {
        let mut next = self.ahead.take().unwrap_or_else(|| self.read());
        if let Next::Packet(_, timing) = &mut next {
            let ahead = self.read();
            timing.is_last = matches!(ahead, Next::End);
            self.ahead = Some(ahead);
        }
        next
    }

    fn read(&mut self) -> Next {
        loop {
            let Some(demuxer) = &mut self.demuxer else {
                return Next::End;
            };
            // `ResetRequired` is news, not an error.
            let result = contained(|| match demuxer.next_packet() {
                Err(Symphonia::ResetRequired) => Ok(None),
                Ok(packet) => Ok(Some(packet)),
                Err(error) => Err(error),
            });
            match result {
                Ok(Some(Some(packet))) if packet.track_id != self.track_id => {}
                Ok(Some(Some(packet))) if packet.pts.get() <= self.heard_ticks => {}
                Ok(Some(Some(packet))) => {
                    self.retries = 0;
                    self.heard_ticks = i64::MIN;
                    self.last_ticks = packet.pts.get();
                    self.packet_position = self.input.position();
                    let mut timing = self.timing(&packet);
                    if self.is_stream() {
                        let header = if self.format == FORMAT_ID_ADTS {
                            ADTS_HEADER_BYTES
                        } else {
                            0
                        };
                        let len = packet.data.len() + header;
                        timing.passed_thousandths = self.passed.packet(len, &self.input);
                    }
                    return Next::Packet(packet, timing);
                }
                Ok(None) => {
                    // Of a chain of a thousand songs, the demuxer keeps a thousand titles.
                    demuxer.metadata().skip_to_latest();
                    return Next::Changed;
                }
                Ok(Some(None)) => match self.go_on() {
                    Ok(true) => {}
                    Ok(false) => return self.finish(),
                    Err(fault) => return broken(fault),
                },
                Err(fault) => match self.recover(&fault) {
                    Ok(true) => {}
                    Ok(false) if matches!(fault, Fault::CutOff) => return self.cut_off(),
                    Ok(false) => return broken(fault),
                    Err(fault) => return broken(fault),
                },
            }
        }
    }

    /// Goes on with the next part of the input, if there is one.
    fn go_on(&mut self) -> Result<bool, Fault> {
        let Parts::Fragments(fragments) = &mut self.parts else {
            return Ok(false);
        };
        while let Some(batch) = fragments.next(&self.input)? {
            // One batch that cannot be opened is a hole in the time line, not the end of it.
            if let Ok(demuxer) = probe(batch.view) {
                self.demuxer = Some(demuxer);
                self.base_ticks = batch.first_ticks.map_or(self.base_ticks, u64::cast_signed);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds a place behind damage from which reading can go on.
    fn recover(&mut self, fault: &Fault) -> Result<bool, Fault> {
        // These streams have a mark at each packet, for which the demuxer searches when it is asked again.
        if [FORMAT_ID_ADTS, FORMAT_ID_OGG].contains(&self.format) {
            self.retries += 1;
            return Ok(!matches!(fault, Fault::CutOff) && self.retries < RETRIES_MAX);
        }
        self.restarts += 1;
        if self.restarts > RESTARTS_MAX {
            return Ok(false);
        }
        match &mut self.parts {
            Parts::One => Ok(false),
            Parts::Fragments(_) => self.go_on(),
            Parts::Clusters(clusters) => {
                // An element that claims to be long is read to the end of the file before it is found out.
                let from = match self.input.is_seekable() {
                    true => self.packet_position.saturating_sub(READ_AHEAD_BYTES),
                    false => self.input.position(),
                };
                let Some(view) = clusters.resume(&self.input, from)? else {
                    return Ok(false);
                };
                self.demuxer = Some(probe(view)?);
                self.heard_ticks = self.last_ticks;
                Ok(true)
            }
        }
    }

    /// The end, if the headers do not say that there should be more.
    fn finish(&self) -> Next {
        let len = self.input.byte_len();
        let len = len.unwrap_or_else(|| self.input.position());
        let data_end = match &self.parts {
            Parts::Fragments(fragments) => Some(fragments.data_end),
            _ => self.data_end,
        };
        match data_end {
            Some(end) if len < end => broken(Fault::CutOff),
            _ => Next::End,
        }
    }

    /// The end in the middle of something. A live recording has no other.
    fn cut_off(&self) -> Next {
        match self.format {
            FORMAT_ID_MKV | FORMAT_ID_WAVE => self.finish(),
            _ => broken(Fault::CutOff),
        }
    }
}

fn broken(fault: Fault) -> Next {
    Next::Broken(match fault {
        Fault::CutOff => "the file is cut off".into(),
        Fault::Damaged(reason) | Fault::Unsupported(reason) => reason,
    })
}

/// Time.
impl Container {
    /// Returns whether the file stamps its packets. Where it does not, the demuxer counts packets, which is wrong
    /// after the first loss.
    pub(super) fn is_stamped(&self) -> bool {
        !self.is_stream() && ![FORMAT_ID_WAVE, FORMAT_ID_AIFF].contains(&self.format)
    }

    /// Returns whether packets follow each other without a container.
    fn is_stream(&self) -> bool {
        [FORMAT_ID_MP1, FORMAT_ID_MP2, FORMAT_ID_MP3, FORMAT_ID_ADTS].contains(&self.format)
    }

    fn timing(&self, packet: &Packet) -> Timing {
        // The trims of an MP3 follow from a count of frames that covers only the first of joined files.
        let (trim_start, trim_end) = match self.format {
            FORMAT_ID_OGG => (packet.trim_start.get(), packet.trim_end.get()),
            _ => (0, 0),
        };
        Timing {
            stamp: packet.pts.get().saturating_add(self.base_ticks),
            length: packet.block_dur().get(),
            trim_start,
            trim_end,
            is_last: false,
            passed_thousandths: 0,
        }
    }

    /// Converts ticks of the time base to frames, to the nearest.
    fn frames(&self, ticks: i64, rate_hz: u32) -> i64 {
        let Some(base) = self.time_base else {
            return ticks;
        };
        let denominator = i128::from(base.denom.get());
        let scaled = i128::from(ticks) * i128::from(base.numer.get()) * i128::from(rate_hz);
        let frames = (scaled + denominator / 2).div_euclid(denominator);
        i64::try_from(frames).unwrap_or(0)
    }

    fn length_frames(&self, ticks: u64, rate_hz: u32) -> u64 {
        self.frames(i64::try_from(ticks).unwrap_or(i64::MAX), rate_hz)
            .unsigned_abs()
    }

    /// Returns the stamp of a packet's frame `skipped` in frames.
    pub(super) fn stamp(&self, timing: &Timing, rate_hz: u32, skipped: u64) -> i64 {
        self.frames(timing.stamp, rate_hz)
            .saturating_add_unsigned(skipped)
    }

    /// Returns the stamp that stands for the start of the time line, in frames.
    pub(super) fn origin(&self, rate_hz: u32) -> i64 {
        self.frames(self.origin_ticks.unwrap_or(0), rate_hz) + self.codec_delay
    }

    /// Returns how many frames a packet should have, or `None` where the container does not tell.
    pub(super) fn length(&self, timing: &Timing, rate_hz: u32) -> Option<u64> {
        (timing.length > 0).then(|| self.length_frames(timing.length, rate_hz))
    }

    /// Returns how many of a packet's frames are no audio, at its start and at its end.
    pub(super) fn trims(&self, timing: &Timing, rate_hz: u32, frames: u64) -> (u64, u64) {
        let start = self.length_frames(timing.trim_start, rate_hz);
        let end = self.length_frames(timing.trim_end, rate_hz);
        if !timing.is_last || self.is_ogg() {
            return (start, end);
        }
        // The last packet of an mp4 or Matroska file is shorter than it decodes to, by the encoder's padding.
        let padding = frames.saturating_sub(self.length(timing, rate_hz).unwrap_or(frames));
        let is_rounding = self.format == FORMAT_ID_MKV && padding <= u64::from(rate_hz / 1_000);
        (start, if is_rounding { 0 } else { padding })
    }

    /// Returns how many frames there are before the encoder's padding, as the headers say.
    pub(super) fn audio_frames(&self, rate_hz: u32) -> Option<u64> {
        self.end_ticks
            .map(|ticks| self.length_frames(ticks, rate_hz))
    }
}
