//! Every format: its length, and the times of its sounds.

use steadyscribe::audio::Format;
use steadyscribe::decode::probe;

use crate::support::input::{Pieces, decode_all, fixture};
use crate::support::signal::check_bursts;

/// The facts about a fixture.
struct Known {
    file: &'static str,
    container: &'static str,
    codec: &'static str,
    rate_hz: u32,
    channels: usize,
    /// Samples at 16 kHz beyond 1.5 s. Not zero if the file does not declare its padding.
    padding: usize,
    /// Delay of the bursts against the signal, in seconds.
    later_s: f64,
}

const fn known(
    file: &'static str,
    container: &'static str,
    codec: &'static str,
    rate_hz: u32,
    channels: usize,
) -> Known {
    Known {
        file,
        container,
        codec,
        rate_hz,
        channels,
        padding: 0,
        later_s: 0.0,
    }
}

impl Known {
    const fn padded(mut self, samples: usize) -> Self {
        self.padding = samples;
        self
    }

    const fn later(mut self, seconds: f64) -> Self {
        self.later_s = seconds;
        self
    }
}

/// Delay of the encoder's core that no header declares, beyond the assumed one: 1,024 frames of 24
/// kHz.
const HE_AAC_DELAY_S: f64 = 0.042_667;

const KNOWN: &[Known] = &[
    known("mp3-cbr.mp3", "mp3", "mp3", 44_100, 1),
    known("mp3-vbr.mp3", "mp3", "mp3", 44_100, 2),
    known("mp3-untagged-32k.mp3", "mp3", "mp3", 44_100, 1).padded(259),
    known("mp3-untagged-128k.mp3", "mp3", "mp3", 44_100, 1).padded(259),
    known("mp3-untagged-16khz.mp3", "mp3", "mp3", 16_000, 1).padded(239),
    known("mp3-8khz.mp3", "mp3", "mp3", 8_000, 1),
    known("mp2.mp2", "mp2", "mp2", 48_000, 1).padded(32),
    known("aac-index-last.m4a", "isomp4", "aac", 48_000, 1),
    known("aac-index-first.m4a", "isomp4", "aac", 44_100, 2),
    known("aac-fragments.mp4", "isomp4", "aac", 48_000, 1),
    known("aac-dash.mp4", "isomp4", "aac", 48_000, 1),
    known("aac.mov", "isomp4", "aac", 48_000, 1),
    known("aac-48khz.aac", "aac", "aac", 48_000, 1).padded(235),
    known("aac-24khz.aac", "aac", "aac", 24_000, 1).padded(576),
    known("he-aac.aac", "aac", "aac", 24_000, 1)
        .padded(1_259)
        .later(HE_AAC_DELAY_S),
    known("he-aac-implicit.m4a", "isomp4", "aac", 24_000, 1)
        .padded(1_259)
        .later(HE_AAC_DELAY_S),
    known("he-aac-announced.m4a", "isomp4", "aac", 24_000, 1)
        .padded(1_259)
        .later(HE_AAC_DELAY_S),
    known("he-aac-v2-announced.m4a", "isomp4", "aac", 24_000, 1)
        .padded(1_259)
        .later(HE_AAC_DELAY_S),
    known("alac.m4a", "isomp4", "alac", 22_050, 1),
    known("alac-51.m4a", "isomp4", "alac", 8_000, 6),
    known("flac-in.mp4", "isomp4", "flac", 16_000, 1),
    known("opus-in.mp4", "isomp4", "opus", 16_000, 1),
    known("mp3-in.mp4", "isomp4", "mp3", 44_100, 1),
    known("pcm.mov", "isomp4", "pcm_s16le", 8_000, 1),
    known("flac-16.flac", "flac", "flac", 44_100, 1),
    known("flac-24.flac", "flac", "flac", 96_000, 1),
    known("flac-51.flac", "flac", "flac", 16_000, 6),
    known("flac-in.ogg", "ogg", "flac", 44_100, 1),
    known("vorbis.ogg", "ogg", "vorbis", 44_100, 1),
    known("opus.ogg", "ogg", "opus", 16_000, 1),
    known("opus-60ms.opus", "ogg", "opus", 16_000, 1),
    known("opus-stereo.opus", "ogg", "opus", 16_000, 2),
    known("opus.webm", "matroska", "opus", 16_000, 1).padded(216),
    known("opus-live.webm", "matroska", "opus", 16_000, 1).padded(216),
    known("vorbis.webm", "matroska", "vorbis", 48_000, 1).padded(86),
    known("aac.mkv", "matroska", "aac", 48_000, 1).padded(235),
    known("mp3.mkv", "matroska", "mp3", 44_100, 1).padded(259),
    known("flac.mkv", "matroska", "flac", 44_100, 1),
    known("pcm.mkv", "matroska", "pcm_s16le", 8_000, 1),
    known("adpcm-ms.wav", "wave", "adpcm_ms", 16_000, 1).padded(432),
    known("adpcm-ima.wav", "wave", "adpcm_ima_wav", 16_000, 1).padded(492),
    known("two-tracks.m4a", "isomp4", "aac", 48_000, 2),
    known("film.mp4", "isomp4", "aac", 48_000, 1),
    known("film.mov", "isomp4", "aac", 48_000, 1),
    known("film.mkv", "matroska", "aac", 48_000, 1).padded(235),
    known("film.webm", "matroska", "opus", 16_000, 1).padded(216),
];

#[test]
fn length_and_times_are_right_in_every_format() {
    for known in KNOWN {
        let Known {
            file,
            container,
            codec,
            rate_hz,
            channels,
            padding,
            later_s,
        } = *known;
        let decoded = decode_all(&mut Pieces::file(fixture(file))).unwrap();
        assert_eq!(
            (decoded.info.container, decoded.info.codec),
            (container, codec),
            "{file}"
        );
        assert_eq!(decoded.info.format, Format { rate_hz, channels }, "{file}");
        assert_eq!(decoded.samples.len(), 24_000 + padding, "{file}");
        assert_eq!(decoded.stats.damaged_packets, 0, "{file}");
        assert!(
            decoded.stats.damage.is_empty(),
            "{file}: {:?}",
            decoded.stats.damage
        );
        assert_eq!(decoded.stats.stopped_early, None, "{file}");
        check_bursts(&decoded.samples, later_s, file);
    }
}

#[test]
fn pipe_decodes_to_the_samples_of_the_file() {
    // The index follows the audio, which is gone by the time the index is read.
    let needs_seek = [
        "aac-index-last.m4a",
        "aac.mov",
        "alac.m4a",
        "alac-51.m4a",
        "two-tracks.m4a",
        "film.mp4",
        "film.mov",
        "flac-in.mp4",
        "opus-in.mp4",
        "mp3-in.mp4",
        "pcm.mov",
    ];
    for known in KNOWN
        .iter()
        .filter(|known| !known.file.starts_with("he-aac-"))
    {
        let piped = decode_all(&mut Pieces::file(fixture(known.file)).piped());
        if needs_seek.contains(&known.file) {
            let error = piped.err().unwrap().to_string();
            assert!(error.contains("moov"), "{}: {error}", known.file);
            continue;
        }
        let piped = piped.unwrap_or_else(|error| panic!("{}: {error}", known.file));
        let file = decode_all(&mut Pieces::file(fixture(known.file))).unwrap();
        assert_eq!(piped.samples.len(), file.samples.len(), "{}", known.file);
        assert!(
            piped.samples == file.samples,
            "{} differs from a pipe",
            known.file
        );
        assert_eq!(piped.stats, file.stats, "{}", known.file);
    }
}

#[test]
fn sound_that_starts_after_the_picture_keeps_its_time() {
    // The files round the 0.4 s, and the first one also its start, to the units of their tables.
    for (file, later_s) in [("film-late.mp4", 0.4), ("film-late.webm", 0.4)] {
        let decoded = decode_all(&mut Pieces::file(fixture(file))).unwrap();
        check_bursts(&decoded.samples, later_s, file);
        assert!(
            decoded.stats.damage.is_empty(),
            "{file}: {:?}",
            decoded.stats.damage
        );
    }
    // The muxer put the delay of the picture into the first packet of sound.
    let decoded = decode_all(&mut Pieces::file(fixture("film-fragments.mp4"))).unwrap();
    check_bursts(&decoded.samples, 8_576.0 / 48_000.0, "film-fragments.mp4");
    assert!(decoded.stats.damage.is_empty());
}

#[test]
fn probe_reads_headers_only() {
    for known in KNOWN {
        let path = format!(
            "{}/fixtures/formats/{}",
            env!("CARGO_MANIFEST_DIR"),
            known.file
        );
        let info = probe(&path).unwrap();
        assert_eq!(
            (info.container, info.codec),
            (known.container, known.codec),
            "{path}"
        );
        assert_eq!(info.format.rate_hz, known.rate_hz, "{path}");
        assert_eq!(
            info.byte_len,
            Some(std::fs::metadata(&path).unwrap().len()),
            "{path}"
        );
    }
    let error = probe("no/such/file.mp3").unwrap_err();
    assert_eq!(error.to_string(), "cannot read no/such/file.mp3");
}

#[test]
fn chained_ogg_is_one_time_line() {
    // Each part has its own clock and delay, and the last one its own rate.
    for (parts, seconds) in [
        (&["opus.ogg", "opus.ogg", "opus.ogg"][..], 4.5),
        (&["vorbis.ogg", "opus-stereo.opus", "flac-in.ogg"], 4.5),
    ] {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| fixture(part)).collect();
        let decoded = decode_all(&mut Pieces::file(bytes)).unwrap();
        assert!(
            (decoded.seconds() - seconds).abs() < 0.0002,
            "{parts:?}: {} s",
            decoded.seconds()
        );
        for part in 0..parts.len() {
            check_bursts(
                &decoded.samples,
                1.5 * part as f64,
                &format!("{parts:?} {part}"),
            );
        }
        assert!(
            decoded.stats.damage.is_empty(),
            "{parts:?}: {:?}",
            decoded.stats.damage
        );
    }
}
