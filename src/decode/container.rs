//! From bytes to packets: what container it is, which of its tracks is the audio, and when its packets are heard.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3, CODEC_ID_OPUS,
};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::well_known::{
    FORMAT_ID_ADTS, FORMAT_ID_AIFF, FORMAT_ID_MP1, FORMAT_ID_MP2, FORMAT_ID_MP3, FORMAT_ID_OGG,
    FORMAT_ID_WAVE,
};
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

use super::codec::{Codec, Fault, contained};
use super::view::View;
use crate::time::Time;

/// Delay of an AAC stream that tells none, in frames: the first block has nothing to overlap with, so no encoder can
/// start with less.
const AAC_DELAY: i64 = 1_024;

/// Delay of an MP3 stream that tells none, in frames: 576 of LAME, and 529 of every decoder.
/// Source: LAME's technical FAQ.
const MP3_DELAY: i64 = 1_105;

/// Delay of a layer I or II stream, in frames: the two filter banks.
const MP2_DELAY: i64 = 481;

/// The demuxer's name for mkv and webm.
const MATROSKA: &str = "matroska";

/// When a packet is heard, in ticks of the container's time base.
pub(super) struct Timing {
    stamp: i64,
    length: u64,
    trim_start: u64,
    trim_end: u64,
}

/// An open container and its audio track.
pub(super) struct Container {
    format: Box<dyn FormatReader>,
    track_id: u32,
    time_base: Option<TimeBase>,
    /// Packets are stamped by the file. Where they are not (MP3, ADTS, WAV, AIFF), the demuxer counts packets, which
    /// is wrong after the first loss.
    pub(super) stamped: bool,
    /// The stamp that stands for the start of the time line, in ticks of the time base.
    origin_ticks: i64,
    /// Length of the track as the container declares it. It lies often.
    pub(super) declared: Option<Time>,
}

/// What comes next from a container.
pub(super) enum Next {
    /// A packet of the audio track.
    Packet(Packet),
    /// The tracks changed: [`Container::select`] again.
    Changed,
    /// Nothing any more.
    End,
    /// Nothing any more, and that is not how it should end.
    Broken(String),
}

impl Container {
    /// Reads headers up to the first packet.
    pub(super) fn open(view: View) -> Result<(Self, Codec), Fault> {
        let stream = MediaSourceStream::new(Box::new(view), MediaSourceStreamOptions::default());
        let format = contained(|| {
            symphonia::default::get_probe().probe(
                &Default::default(),
                stream,
                FormatOptions::default(),
                MetadataOptions::default(),
            )
        })?;
        let mut container = Self {
            format,
            track_id: 0,
            time_base: None,
            stamped: true,
            origin_ticks: 0,
            declared: None,
        };
        let codec = container.select()?;
        Ok((container, codec))
    }

    /// Chooses the first audio track that can be decoded, the default one before others.
    pub(super) fn select(&mut self) -> Result<Codec, Fault> {
        let default = self.format.default_track(TrackType::Audio);
        let tracks = default.into_iter().chain(self.format.tracks());
        let mut fault = Fault::Unsupported("a file without an audio track");
        for track in tracks {
            let Some(params) = track.codec_params.as_ref().and_then(|p| p.audio()) else {
                continue;
            };
            match Codec::new(params.clone()) {
                Ok(codec) => {
                    let (track, params) = (track.clone(), params.clone());
                    self.take(&track, &params);
                    return Ok(codec);
                }
                Err(reason) => fault = reason,
            }
        }
        Err(fault)
    }

    fn take(&mut self, track: &Track, params: &AudioCodecParameters) {
        let format = self.format.format_info().format;
        self.track_id = track.id;
        self.time_base = track.time_base;
        let counted = [
            FORMAT_ID_MP1,
            FORMAT_ID_MP2,
            FORMAT_ID_MP3,
            FORMAT_ID_ADTS,
            FORMAT_ID_WAVE,
            FORMAT_ID_AIFF,
        ];
        self.stamped = !counted.contains(&format);
        self.origin_ticks = match (format, params.codec) {
            (FORMAT_ID_OGG, CODEC_ID_OPUS) => track.delay.map_or(0, i64::from),
            (FORMAT_ID_ADTS, CODEC_ID_AAC) => AAC_DELAY,
            // With a delay in its tag, an MP3's stamps start below zero.
            (FORMAT_ID_MP3, CODEC_ID_MP3) if track.delay.is_none() => MP3_DELAY,
            (FORMAT_ID_MP1 | FORMAT_ID_MP2, CODEC_ID_MP1 | CODEC_ID_MP2) => MP2_DELAY,
            _ => 0,
        };
        self.declared = track
            .duration
            .zip(track.time_base)
            .and_then(|(duration, base)| base.calc_duration(duration))
            .map(|time| Time::from_seconds(time.as_secs_f64()))
            .filter(|time| *time > Time::ZERO);
    }

    /// Returns the container's name.
    pub(super) fn name(&self) -> &'static str {
        self.format.format_info().short_name
    }

    /// Reads the next packet of the audio track.
    ///
    /// # Memory
    ///
    /// The demuxer allocates each packet: one to three allocations of a few hundred bytes to a few kilobytes.
    pub(super) fn next(&mut self) -> Next {
        loop {
            let format = &mut self.format;
            // `ResetRequired` is news, not an error.
            let next = contained(|| match format.next_packet() {
                Err(Symphonia::ResetRequired) => Ok(Next::Changed),
                Ok(Some(packet)) => Ok(Next::Packet(packet)),
                Ok(None) => Ok(Next::End),
                Err(error) => Err(error),
            });
            match next {
                Ok(Next::Packet(packet)) if packet.track_id != self.track_id => {}
                Ok(next) => return next,
                // A Matroska file that was read forward ends with its index, in the middle of the last cluster.
                Err(Fault::CutOff) if self.name() == MATROSKA => return Next::End,
                Err(Fault::CutOff) => {
                    return Next::Broken("it ends in the middle of a packet".into());
                }
                Err(Fault::Damaged(reason)) => return Next::Broken(reason),
                Err(Fault::Unsupported(reason)) => return Next::Broken(reason.into()),
            }
        }
    }

    /// Returns when a packet is heard. To be asked before decoding, which drops its trims.
    pub(super) fn timing(&self, packet: &Packet) -> Timing {
        // The trims of an MP3 follow from a count of frames that covers only the first of joined files.
        let (trim_start, trim_end) = match self.stamped {
            true => (packet.trim_start.get(), packet.trim_end.get()),
            false => (0, 0),
        };
        Timing {
            stamp: packet.pts.get(),
            length: packet.block_dur().get(),
            trim_start,
            trim_end,
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

    /// Returns the stamp of a packet's frame `skipped` in frames.
    pub(super) fn stamp(&self, timing: &Timing, rate_hz: u32, skipped: usize) -> i64 {
        self.frames(timing.stamp, rate_hz)
            .saturating_add_unsigned(skipped as u64)
    }

    /// Returns how many frames a packet should have, or `None` where the container does not tell.
    pub(super) fn length(&self, timing: &Timing, rate_hz: u32) -> Option<u64> {
        let ticks = i64::try_from(timing.length)
            .ok()
            .filter(|ticks| *ticks > 0)?;
        Some(self.frames(ticks, rate_hz).unsigned_abs())
    }

    /// Returns how many frames of a packet are no audio, at its start and at its end.
    pub(super) fn trims(&self, timing: &Timing, rate_hz: u32) -> (usize, usize) {
        let frames = |ticks| {
            let frames = self.frames(i64::try_from(ticks).unwrap_or(i64::MAX), rate_hz);
            usize::try_from(frames).unwrap_or(usize::MAX)
        };
        (frames(timing.trim_start), frames(timing.trim_end))
    }

    /// Returns the stamp that stands for the start of the time line, in frames.
    pub(super) fn origin(&self, rate_hz: u32) -> i64 {
        self.frames(self.origin_ticks, rate_hz)
    }
}
