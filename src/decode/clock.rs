//! Converts a container's time stamps to frames: when a packet is played, and what is cut from it.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3, CODEC_ID_OPUS,
};
use symphonia::core::formats::well_known::{
    FORMAT_ID_ADTS, FORMAT_ID_AIFF, FORMAT_ID_ISOMP4, FORMAT_ID_MKV, FORMAT_ID_MP1, FORMAT_ID_MP2,
    FORMAT_ID_MP3, FORMAT_ID_OGG, FORMAT_ID_WAVE,
};
use symphonia::core::formats::{FormatId, Track};
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

use super::codec::OPUS_RATE_HZ;

/// Delay of an AAC stream that declares none, in frames: the first block overlaps nothing, so every
/// encoder starts with at least one.
const AAC_DELAY: i64 = 1_024;

/// Delay of an MP3 stream that declares none, in frames: 576 of LAME, and 529 of every decoder.
/// Source: LAME's technical FAQ.
const MP3_DELAY: i64 = 1_105;

/// Delay of a layer I or II stream, in frames: that of the two filter banks.
const MP2_DELAY: i64 = 481;

/// The rate at which Opus headers count, whatever the decoder's rate. Source: RFC 7845, section 4.
const OPUS_TICKS_HZ: u32 = 48_000;

/// When a packet is played, in ticks of the container's time base.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) stamp: i64,
    /// Length that the container declares for the packet; zero if it declares none.
    length: u64,
    trim_start: u64,
    trim_end: u64,
    pub(super) is_last: bool,
    /// Packets that were skipped before this one in a stream without stamps, in thousandths.
    pub(super) skipped_thousandths: u64,
}

impl Timing {
    /// Returns the stamp of the next packet, if the container declares lengths.
    pub(super) fn end(&self) -> i64 {
        self.stamp.saturating_add_unsigned(self.length)
    }
}

/// The time base of a track, its delay and its declared end.
#[derive(Debug)]
pub(super) struct TrackClock {
    format: FormatId,
    time_base: Option<TimeBase>,
    /// Added to stamps, because those of each mp4 fragment start at zero.
    pub(super) base_ticks: i64,
    /// The stamp at which the time line starts, if an edit list declares it.
    origin_ticks: Option<i64>,
    /// Frames of delay after that.
    delay: i64,
    /// Declared length without the encoder's padding, in ticks.
    end_ticks: Option<u64>,
}

impl TrackClock {
    /// Makes the clock of a container. `origin_ticks` and `end_ticks` are the audio's declared
    /// start and length.
    pub(super) fn new(format: FormatId, origin_ticks: Option<i64>, end_ticks: Option<u64>) -> Self {
        Self {
            format,
            time_base: None,
            base_ticks: 0,
            origin_ticks,
            delay: 0,
            end_ticks,
        }
    }

    /// Reads a track's time base and delay. `delay_ns` is the delay that Matroska declares.
    pub(super) fn set(&mut self, track: &Track, params: &AudioCodecParameters, delay_ns: u64) {
        self.time_base = track.time_base;
        // The Ogg demuxer has taken its delay off the stamps, except for Opus.
        let is_ogg = self.format == FORMAT_ID_OGG;
        let is_declared = self.origin_ticks.is_some() || (track.delay.is_some() && !is_ogg);
        self.delay = if is_declared {
            // The edit list contains it, or the stamps start below zero.
            0
        } else if delay_ns > 0 {
            let rate_hz = match params.codec {
                CODEC_ID_OPUS => OPUS_RATE_HZ,
                _ => params.sample_rate.unwrap_or(0),
            };
            self.rounded_off(delay_ns, rate_hz)
        } else {
            self.undeclared_delay(params)
        };
        if self.format == FORMAT_ID_MP3 && track.padding.is_some() {
            self.end_ticks = track.num_frames;
        }
    }

    /// Returns the delay of a stream whose container declares none.
    fn undeclared_delay(&self, params: &AudioCodecParameters) -> i64 {
        match params.codec {
            CODEC_ID_OPUS => self.pre_skip(params.extra_data.as_deref().unwrap_or_default()),
            CODEC_ID_AAC => AAC_DELAY,
            CODEC_ID_MP3 => MP3_DELAY,
            CODEC_ID_MP1 | CODEC_ID_MP2 => MP2_DELAY,
            _ => 0,
        }
    }

    /// Returns the delay of Opus in frames, rounded. Headers declare it in frames of 48 kHz.
    ///
    /// Sources: RFC 7845, section 5.1. For mp4, which has the same fields in the other byte order:
    /// Xiph, "Encapsulation of Opus in ISO Base Media File Format", section 4.3.2.
    fn pre_skip(&self, header: &[u8]) -> i64 {
        let Some(&[low, high]) = header.get(10..).and_then(|bytes| bytes.first_chunk()) else {
            return 0;
        };
        let declared = match self.format {
            FORMAT_ID_ISOMP4 => u16::from_be_bytes([low, high]),
            _ => u16::from_le_bytes([low, high]),
        };
        let scaled = i64::from(declared) * i64::from(OPUS_RATE_HZ);
        (scaled + i64::from(OPUS_TICKS_HZ / 2)) / i64::from(OPUS_TICKS_HZ)
    }

    /// Returns the part of a delay, in frames, that the demuxer leaves on the stamps because it
    /// takes off whole ticks.
    fn rounded_off(&self, delay_ns: u64, rate_hz: u32) -> i64 {
        let Some(base) = self.time_base else { return 0 };
        let tick_ns = 1_000_000_000 * u64::from(base.numer.get()) / u64::from(base.denom.get());
        let left_ns = delay_ns % tick_ns.max(1);
        i64::try_from((left_ns * u64::from(rate_hz) + 500_000_000) / 1_000_000_000).unwrap_or(0)
    }

    /// Returns whether the file stamps its packets. If not, the demuxer counts packets, which is
    /// wrong after the first loss.
    pub(super) fn is_stamped(&self) -> bool {
        !self.is_stream() && ![FORMAT_ID_WAVE, FORMAT_ID_AIFF].contains(&self.format)
    }

    /// Returns whether this is a bare stream: packets without a container.
    pub(super) fn is_stream(&self) -> bool {
        [FORMAT_ID_MP1, FORMAT_ID_MP2, FORMAT_ID_MP3, FORMAT_ID_ADTS].contains(&self.format)
    }

    /// Returns when a packet is played.
    pub(super) fn timing(&self, packet: &Packet) -> Timing {
        // The demuxer derives trims of MP3 from a count of frames that covers the first of joined
        // files alone.
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
            skipped_thousandths: 0,
        }
    }

    /// Converts ticks of the time base to frames, rounded.
    fn frames(&self, ticks: i64, rate_hz: u32) -> i64 {
        let Some(base) = self.time_base else {
            return ticks;
        };
        let denominator = i128::from(base.denom.get());
        let scaled = i128::from(ticks) * i128::from(base.numer.get()) * i128::from(rate_hz);
        let frames = (scaled + denominator / 2).div_euclid(denominator);
        i64::try_from(frames).unwrap_or(0)
    }

    fn count(&self, ticks: u64, rate_hz: u32) -> u64 {
        self.frames(i64::try_from(ticks).unwrap_or(i64::MAX), rate_hz)
            .unsigned_abs()
    }

    /// Returns the stamp of a packet's frame `index`, in frames.
    pub(super) fn stamp(&self, timing: &Timing, rate_hz: u32, index: u64) -> i64 {
        self.frames(timing.stamp, rate_hz)
            .saturating_add_unsigned(index)
    }

    /// Returns the stamp at which the time line starts, in frames.
    pub(super) fn origin(&self, rate_hz: u32) -> i64 {
        self.frames(self.origin_ticks.unwrap_or(0), rate_hz) + self.delay
    }

    /// Returns the declared length of a packet in frames, if the container declares one.
    pub(super) fn length(&self, timing: &Timing, rate_hz: u32) -> Option<u64> {
        (timing.length > 0).then(|| self.count(timing.length, rate_hz))
    }

    /// Returns how many of a packet's `frames` are not audio, at its start and at its end.
    pub(super) fn trims(&self, timing: &Timing, rate_hz: u32, frames: u64) -> (u64, u64) {
        let start = self.count(timing.trim_start, rate_hz);
        if !timing.is_last || self.format == FORMAT_ID_OGG {
            return (start, self.count(timing.trim_end, rate_hz));
        }
        // The declared length of the last packet of an mp4 or Matroska file lacks the padding.
        let padding = frames.saturating_sub(self.length(timing, rate_hz).unwrap_or(frames));
        let is_rounding = self.format == FORMAT_ID_MKV && padding <= u64::from(rate_hz / 1_000);
        (start, if is_rounding { 0 } else { padding })
    }

    /// Returns the declared length without the encoder's padding, in frames.
    pub(super) fn audio_frames(&self, rate_hz: u32) -> Option<u64> {
        self.end_ticks.map(|ticks| self.count(ticks, rate_hz))
    }
}
