//! Reads the packets of the audio track, and finds where reading goes on behind damage.

use std::sync::Arc;

use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{
    FORMAT_ID_AIFF, FORMAT_ID_MKV, FORMAT_ID_OGG, FORMAT_ID_WAVE,
};
use symphonia::core::formats::{FormatId, FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use super::clock::{Timing, TrackClock};
use super::codec::Codec;
use super::fault::{Fault, guard};
use super::headers::{self, FragmentIndex, Parts};
use super::resync::SkipMeter;
use super::shared_input::SharedInput;
use super::view::DemuxerView;
use crate::time::Time;

/// Bytes that the demuxer may read for one packet. With a damaged length it would read the rest of
/// the file into memory.
const PACKET_BYTES_MAX: u64 = 16 << 20;

/// Most damaged headers in a row that are skipped, in formats where the demuxer finds the next one.
const RETRIES_MAX: u32 = 10_000;

/// Most times that reading is restarted behind damage.
const RESTARTS_MAX: u32 = 1_000;

/// Most bytes that the demuxer has read and not yet used.
const READ_AHEAD_BYTES: u64 = 64 << 10;

/// The next step of a container.
pub(super) enum Next {
    /// A packet of the audio track.
    Packet(Packet, Timing),
    /// The tracks changed: call [`Container::select`] again.
    Changed,
    /// The regular end.
    End,
    /// An end that should not be one.
    Broken(Fault),
}

/// An open container and its audio track.
pub(super) struct Container {
    input: Arc<SharedInput>,
    /// Absent when nothing is left to read.
    demuxer: Option<Box<dyn FormatReader>>,
    format: FormatId,
    name: &'static str,
    track_id: u32,
    pub(super) clock: TrackClock,
    /// Length of the track as the container declares it. It is often wrong.
    pub(super) declared: Option<Time>,
    parts: Parts,
    data_end: Option<u64>,
    /// One packet is read ahead, because only the last one's declared length shows its padding.
    ahead: Option<Next>,
    restarts: u32,
    retries: u32,
    /// There was damage behind the last packet, or another packet is missing.
    is_damaged: bool,
    skip_meter: SkipMeter,
    /// Position of the demuxer after the last packet.
    packet_position: u64,
    /// The last packet's stamp.
    last_ticks: i64,
    /// The stamp that should follow, over all parts.
    next_ticks: i64,
    /// Packets up to this stamp were returned before reading was restarted.
    returned_ticks: i64,
}

/// Opening.
impl Container {
    /// Reads headers up to the first packet.
    pub(super) fn open(input: &Arc<SharedInput>) -> Result<(Self, Codec), Fault> {
        let (container, codec, is_ambiguous) = Self::open_track(input, None)?;
        if !is_ambiguous {
            return Ok((container, codec));
        }
        let chosen = Some(container.track_id);
        drop(container);
        Self::open_track(input, chosen).map(|(container, codec, _)| (container, codec))
    }

    /// Reads headers and shows the demuxer the audio track that was `chosen` of several. Returns
    /// also whether one must still be chosen.
    fn open_track(
        input: &Arc<SharedInput>,
        chosen: Option<u32>,
    ) -> Result<(Self, Codec, bool), Fault> {
        let mut layout = headers::read(input, chosen)?;
        let mut index = FragmentIndex::default();
        if let Parts::Fragments(fragments) = &mut layout.parts {
            let fragment = fragments.next(input)?.ok_or(Fault::CutOff)?;
            layout.view = fragment.view;
            index = fragment.index;
        }
        let demuxer = probe(layout.view)?;
        let info = demuxer.format_info();
        let skip_meter = SkipMeter::new(info.format);
        let mut clock = TrackClock::new(info.format, layout.origin_ticks, layout.end_ticks);
        clock.base_ticks = index.first_ticks.unwrap_or(0).cast_signed();
        let mut container = Self {
            input: Arc::clone(input),
            format: info.format,
            name: layout.container.unwrap_or(info.short_name),
            demuxer: Some(demuxer),
            track_id: 0,
            clock,
            declared: layout.declared,
            parts: layout.parts,
            data_end: layout.data_end,
            ahead: None,
            restarts: 0,
            retries: 0,
            is_damaged: index.has_packets,
            skip_meter,
            packet_position: 0,
            last_ticks: i64::MIN,
            next_ticks: 0,
            returned_ticks: i64::MIN,
        };
        let codec = container.select()?;
        Ok((container, codec, layout.is_ambiguous))
    }

    /// Selects the default audio track or, if that cannot be decoded, the first one that can.
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
                    self.track_id = track.id;
                    self.clock.set(track, params, delay_ns(&self.parts, track));
                    self.declared = self.declared.or_else(|| declared(track));
                    return Ok(codec);
                }
                Err(reason) => fault = Some(reason),
            }
        }
        Err(fault.unwrap_or_else(|| self.no_track()))
    }

    /// Returns the reason why there is no audio track.
    fn no_track(&self) -> Fault {
        Fault::Unsupported(match &self.parts {
            Parts::Clusters(clusters) if !clusters.tracks.is_empty() => {
                let names: Vec<_> = clusters.tracks.iter().map(|track| &*track.codec).collect();
                format!("audio of the codec {}", names.join(", "))
            }
            _ => "a file without a known audio track".into(),
        })
    }

    /// Returns the container's name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

/// Returns the delay that a Matroska file declares for a track, in nanoseconds.
fn delay_ns(parts: &Parts, track: &Track) -> u64 {
    let Parts::Clusters(clusters) = parts else {
        return 0;
    };
    let declared = clusters
        .tracks
        .iter()
        .find(|declared| declared.number == u64::from(track.id));
    declared.map_or(0, |declared| declared.delay_ns)
}

/// Returns the declared length of a track.
fn declared(track: &Track) -> Option<Time> {
    let (base, duration) = track.time_base.zip(track.duration)?;
    let seconds = base.calc_duration(duration)?.as_secs_f64();
    Some(Time::from_seconds(seconds)).filter(|time| *time > Time::ZERO)
}

/// Makes the demuxer of a view, which reads the headers.
fn probe(view: DemuxerView) -> Result<Box<dyn FormatReader>, Fault> {
    let stream = MediaSourceStream::new(Box::new(view), MediaSourceStreamOptions::default());
    let (formats, metadata) = (FormatOptions::default(), MetadataOptions::default());
    guard(|| symphonia::default::get_probe().probe(&Hint::new(), stream, formats, metadata))
        .map_err(|fault| match fault {
            Fault::Unsupported(what) if what.contains("no suitable format reader") => {
                Fault::Unsupported("this file format".into())
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
    /// The demuxer allocates each packet: one to three allocations of a few hundred bytes to a few
    /// kilobytes. For each fragment of an mp4 a new demuxer is made.
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
            self.input.allow(PACKET_BYTES_MAX);
            // `ResetRequired` announces new tracks and is not an error.
            let result = guard(|| match demuxer.next_packet() {
                Err(SymphoniaError::ResetRequired) => Ok(None),
                Ok(packet) => Ok(Some(packet)),
                Err(error) => Err(error),
            });
            self.input.allow(u64::MAX);
            match result {
                Ok(Some(Some(packet))) => {
                    if let Some(timing) = self.account(&packet) {
                        return Next::Packet(packet, timing);
                    }
                }
                Ok(None) => {
                    // The demuxer would keep a thousand titles of a chain of a thousand songs.
                    demuxer.metadata().skip_to_latest();
                    return Next::Changed;
                }
                Ok(Some(None)) => match self.next_part() {
                    Ok(true) => {}
                    Ok(false) => return self.finish(),
                    Err(fault) => return Next::Broken(fault),
                },
                Err(fault) => match self.recover(&fault) {
                    Ok(true) => {}
                    Ok(false) if matches!(fault, Fault::CutOff) => return self.cut_off(),
                    Ok(false) | Err(_) => return Next::Broken(fault),
                },
            }
        }
    }

    /// Counts a packet, and returns when it is played. Returns `None` for a packet of another
    /// track, or one that was returned before.
    fn account(&mut self, packet: &Packet) -> Option<Timing> {
        let ticks = packet.pts.get();
        if packet.track_id != self.track_id || ticks <= self.returned_ticks {
            return None;
        }
        self.retries = 0;
        self.is_damaged = false;
        self.returned_ticks = i64::MIN;
        self.last_ticks = ticks;
        self.packet_position = self.input.position();
        let mut timing = self.clock.timing(packet);
        self.next_ticks = timing.end();
        if self.clock.is_stream() {
            timing.skipped_thousandths = self.skip_meter.count(packet.data.len(), &self.input);
        }
        Some(timing)
    }

    /// Goes on with the next part of the input. Returns whether there is one.
    fn next_part(&mut self) -> Result<bool, Fault> {
        let Parts::Fragments(fragments) = &mut self.parts else {
            return Ok(false);
        };
        while let Some(fragment) = fragments.next(&self.input)? {
            self.is_damaged |= fragment.index.has_packets;
            // A fragment that cannot be opened is a hole in the time line, not its end.
            if let Ok(demuxer) = probe(fragment.view) {
                self.demuxer = Some(demuxer);
                let ticks = fragment.index.first_ticks.map(u64::cast_signed);
                self.clock.base_ticks = ticks.unwrap_or(self.next_ticks);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds a place behind damage from which reading can go on. Returns whether there is one.
    fn recover(&mut self, fault: &Fault) -> Result<bool, Fault> {
        let is_cut = matches!(fault, Fault::CutOff);
        self.is_damaged |= !is_cut;
        // Every packet of these formats starts with a mark, which the demuxer searches for by
        // itself.
        if self.clock.is_stream() || self.format == FORMAT_ID_OGG {
            self.retries += 1;
            return Ok(!is_cut && self.retries < RETRIES_MAX);
        }
        // When the demuxer reports a Matroska block that holds nonsense, it has passed it: one more
        // call may return the next block.
        let is_matroska = matches!(self.parts, Parts::Clusters(_));
        if is_matroska && self.retries == 0 && !matches!(fault, Fault::TooLong) {
            self.retries = 1;
            return Ok(true);
        }
        self.restarts += 1;
        if self.restarts > RESTARTS_MAX {
            return Ok(false);
        }
        match &mut self.parts {
            Parts::One => Ok(false),
            Parts::Fragments(_) => self.next_part(),
            Parts::Clusters(clusters) => {
                // An element that claims to be long is read far before the damage shows, so the
                // search starts at the last good packet.
                let from = match self.input.is_seekable() {
                    true => self.packet_position.saturating_sub(READ_AHEAD_BYTES),
                    false => self.input.position(),
                };
                let Some(view) = clusters.resume(&self.input, from)? else {
                    return Ok(false);
                };
                self.demuxer = Some(probe(view)?);
                self.returned_ticks = self.last_ticks;
                Ok(true)
            }
        }
    }

    /// Returns the regular end, unless the headers declare more.
    fn finish(&self) -> Next {
        let len = self.input.end();
        let data_end = match &self.parts {
            Parts::Fragments(fragments) => Some(fragments.data_end()),
            _ => self.data_end,
        };
        let is_damaged = self.is_damaged && !matches!(self.parts, Parts::One);
        match data_end {
            Some(end) if len < end => Next::Broken(Fault::CutOff),
            _ if is_damaged => Next::Broken(Fault::Damaged("its end is damaged".into())),
            _ => Next::End,
        }
    }

    /// Returns the end where the demuxer reports one in the middle of something. For some formats
    /// it reports every end so.
    fn cut_off(&self) -> Next {
        match (self.format, &self.parts) {
            (FORMAT_ID_MKV, Parts::Clusters(clusters)) if !clusters.is_cut_off() => self.finish(),
            (FORMAT_ID_WAVE | FORMAT_ID_AIFF, _) => self.finish(),
            _ => Next::Broken(Fault::CutOff),
        }
    }
}
