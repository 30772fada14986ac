//! Wave and AIFF in every form, in files that are made here.

use std::io::{Seek, SeekFrom, Write};

use steadyscribe::FileSource;
use steadyscribe::audio::Format;
use steadyscribe::decode::{Decoder, probe};
use steadyscribe::source::Source;

use crate::support::files::{Sample, Wave, chunk};
use crate::support::input::{Piece, Pieces, decode_all};
use crate::support::signal::{bursts, check_bursts};

/// A size that 32 bits cannot hold.
const HUGE_BYTES: u64 = (4 << 30) + (1 << 20);

fn check(bytes: Vec<u8>, frames: u64, what: &str) {
    let files = [Pieces::file(bytes.clone()), Pieces::file(bytes).piped()];
    for mut file in files {
        let decoded = decode_all(&mut file).unwrap_or_else(|error| panic!("{what}: {error}"));
        let rate_hz = u64::from(decoded.info.format.rate_hz);
        assert_eq!(decoded.frames(), frames, "{what}");
        assert_eq!(
            decoded.samples.len() as u64,
            (frames * 16_000).div_ceil(rate_hz),
            "{what}"
        );
        assert_eq!(decoded.stats.stopped_early, None, "{what}");
        check_bursts(&decoded.samples, 0.0, what);
    }
}

#[test]
fn every_sample_type() {
    for sample in Sample::ALL {
        let wave = Wave {
            sample,
            rate_hz: 44_100,
            channels: 2,
        };
        let signal = bursts(44_100);
        check(
            wave.riff(&signal),
            signal.len() as u64,
            &format!("wave {sample:?}"),
        );
        if sample != Sample::U8 {
            check(
                wave.aiff(&signal),
                signal.len() as u64,
                &format!("aiff {sample:?}"),
            );
        }
    }
}

#[test]
fn every_rate_and_number_of_channels() {
    for rate_hz in [
        4_000, 8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 96_000, 192_000, 384_000,
    ] {
        let signal = bursts(rate_hz);
        let (wave, frames) = (Wave::mono(rate_hz), signal.len() as u64);
        check(wave.riff(&signal), frames, &format!("wave {rate_hz} Hz"));
        check(wave.aiff(&signal), frames, &format!("aiff {rate_hz} Hz"));
    }
    let signal = bursts(16_000);
    for channels in 1..=26 {
        let wave = Wave {
            channels,
            ..Wave::mono(16_000)
        };
        check(
            wave.riff(&signal),
            signal.len() as u64,
            &format!("{channels} channels"),
        );
    }
}

#[test]
fn every_length_near_a_block() {
    // A block of the resampler has 960 frames at 48 kHz, a packet of the demuxer 1,152.
    for frames in [
        0_usize, 1, 2, 3, 959, 960, 961, 1_151, 1_152, 1_153, 1_919, 1_920, 1_921,
    ] {
        let file = Wave::mono(48_000).riff(&vec![0.5; frames]);
        let decoded = decode_all(&mut Pieces::file(file));
        if frames == 0 {
            assert!(decoded.is_err(), "a file without frames is an error");
            continue;
        }
        assert_eq!(
            decoded.unwrap().samples.len(),
            (frames * 16_000).div_ceil(48_000),
            "{frames}"
        );
    }
}

#[test]
fn sizes_of_64_bits() {
    let (wave, signal) = (Wave::mono(48_000), bursts(48_000));
    let data = wave.data(&signal);
    let (len, frames) = (data.len() as u64, signal.len() as u64);
    for name in [b"RF64", b"BW64"] {
        check(
            [wave.rf64_header(name, len), data.clone()].concat(),
            frames,
            "RF64",
        );
    }
    check(
        [wave.wave64_header(len), data.clone()].concat(),
        frames,
        "Wave64",
    );
    // The recorder stopped before it wrote the size.
    check(
        [wave.rf64_header(b"RF64", 0), data.clone()].concat(),
        frames,
        "RF64 without size",
    );
    let decoded = decode_all(&mut Pieces::file(
        [wave.rf64_header(b"RF64", len), data].concat(),
    ))
    .unwrap();
    assert_eq!(decoded.info.container, "rf64");
    assert_eq!(decoded.info.duration.unwrap().seconds(), 1.5);
}

#[test]
fn unknown_size() {
    let (wave, signal) = (Wave::mono(48_000), bursts(48_000));
    // Written by ffmpeg to a pipe, a recorder that was switched off, and SoX to a pipe.
    for size in [u32::MAX, u32::MAX - 36, 0, 0x7fff_f000, 0x7fff_ffdb] {
        let file = [wave.riff_header(size), wave.data(&signal)].concat();
        check(file, signal.len() as u64, &format!("size {size:#x}"));
    }
}

#[test]
fn chunks_before_and_behind_the_audio() {
    let (wave, signal) = (Wave::mono(44_100), bursts(44_100));
    let data = wave.data(&signal);
    let behind = chunk(b"LIST", &[b'x'; 5_001]);
    for before in [
        chunk(b"JUNK", &[7; 9_001]),
        chunk(b"bext", &[0; 602]),
        chunk(b"id3 ", b"ID3"),
    ] {
        let file = [
            b"RIFF\x00\x00\x01\x00WAVE",
            &before[..],
            &chunk(b"fmt ", &wave.format()),
            &chunk(b"data", &data),
            &behind,
        ]
        .concat();
        check(file, signal.len() as u64, "chunks around");
    }
}

#[test]
fn extensible_format_of_odd_width() {
    // Recorders write 20 valid bits in samples of 24.
    let wave = Wave {
        sample: Sample::S24,
        rate_hz: 48_000,
        channels: 2,
    };
    let signal = bursts(48_000);
    let mut format = wave.format();
    format[..2].copy_from_slice(&0xfffe_u16.to_le_bytes());
    format[14..16].copy_from_slice(&20_u16.to_le_bytes());
    format.extend([22, 0, 20, 0, 3, 0, 0, 0]);
    format.extend(b"\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71");
    let data = chunk(b"data", &wave.data(&signal));
    let file = [
        b"RIFF\xff\xff\xff\xffWAVE",
        &chunk(b"fmt ", &format)[..],
        &data,
    ]
    .concat();
    check(file, signal.len() as u64, "extensible");
}

#[test]
fn mp3_in_a_wave_file() {
    let mut format = Wave::mono(44_100).format();
    format[..2].copy_from_slice(&0x55_u16.to_le_bytes());
    let mp3 = crate::support::input::fixture("mp3-cbr.mp3");
    let file = [
        b"RIFF\xff\xff\xff\xffWAVE",
        &chunk(b"fmt ", &format)[..],
        &chunk(b"data", &mp3),
        &chunk(b"LIST", &[0; 100]),
    ]
    .concat();
    check(file, 66_150, "mp3 in wave");
}

/// Decodes more than four gigabytes without keeping them. Returns the count of frames, and the
/// frame of the only sound.
fn decode_huge(source: &mut dyn Source) -> (u64, u64) {
    let mut decoder = Decoder::open(source).unwrap();
    let (mut frames, mut loud_at) = (0, 0);
    while let Some(chunk) = decoder.next().unwrap() {
        let Format { channels, .. } = chunk.format;
        if let Some(index) = chunk.samples.iter().position(|sample| *sample > 0.2) {
            loud_at = frames + (index / channels) as u64;
        }
        frames += (chunk.samples.len() / channels) as u64;
    }
    assert_eq!(decoder.stats().stopped_early, None);
    (frames, loud_at)
}

/// A format with few frames for many bytes.
const WIDE: Wave = Wave {
    sample: Sample::F64,
    rate_hz: 384_000,
    channels: 8,
};
const WIDE_FRAME: u64 = 8 * 8;

#[test]
fn wave64_of_more_than_four_gigabytes() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let header = WIDE.wave64_header(HUGE_BYTES);
    file.write_all(&header).unwrap();
    file.as_file()
        .set_len(header.len() as u64 + HUGE_BYTES)
        .unwrap();
    let info = probe(file.path()).unwrap();
    let seconds = HUGE_BYTES as f64 / WIDE_FRAME as f64 / f64::from(WIDE.rate_hz);
    assert!((info.duration.unwrap().seconds() - seconds).abs() < 0.001);
}

#[test]
fn cut_file_is_decoded_to_the_cut_and_reported() {
    let signal = bursts(48_000);
    let wave = Wave::mono(48_000);
    let data = wave.data(&signal);
    let files = [
        ("riff", wave.riff(&signal)),
        (
            "rf64",
            [wave.rf64_header(b"RF64", data.len() as u64), data.clone()].concat(),
        ),
        (
            "wave64",
            [wave.wave64_header(data.len() as u64), data].concat(),
        ),
        ("aiff", wave.aiff(&signal)),
    ];
    for (what, mut bytes) in files {
        bytes.truncate(bytes.len() - 40_001);
        for mut input in [Pieces::file(bytes.clone()), Pieces::file(bytes).piped()] {
            let decoded = decode_all(&mut input).unwrap();
            let missing = signal.len() as u64 - decoded.frames();
            assert!(
                (20_000..=20_002).contains(&missing),
                "{what}: {missing} frames are missing"
            );
            assert_eq!(
                decoded.stats.stopped_early.as_deref(),
                Some("the file is cut off"),
                "{what}"
            );
        }
    }
}

/// Run by `make test-all`.
mod slow {
    use super::*;

    #[test]
    #[ignore = "slow: make test-all"]
    fn sparse_file_of_more_than_four_gigabytes() {
        let sound = WIDE.data(&[0.5, 0.0]);
        let len = HUGE_BYTES + sound.len() as u64;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&WIDE.rf64_header(b"RF64", len)).unwrap();
        file.seek(SeekFrom::Current(HUGE_BYTES as i64)).unwrap();
        file.write_all(&sound).unwrap();
        let decoded = decode_huge(&mut FileSource::open(file.path()).unwrap());
        assert_eq!(decoded, (len / WIDE_FRAME, HUGE_BYTES / WIDE_FRAME));
    }

    #[test]
    #[ignore = "slow: make test-all"]
    fn riff_of_more_than_four_gigabytes() {
        // The header holds the lower 32 bits of the true size.
        let sound = WIDE.data(&[0.0, 0.0, 0.5, 0.0]);
        let len = HUGE_BYTES + sound.len() as u64;
        let header = Piece::Bytes(WIDE.riff_header((len & u64::from(u32::MAX)) as u32).into());
        let pieces = vec![header, Piece::Zeros(HUGE_BYTES), Piece::Bytes(sound.into())];
        let decoded = decode_huge(&mut Pieces::of(pieces));
        assert_eq!(decoded, (len / WIDE_FRAME, HUGE_BYTES / WIDE_FRAME + 2));
    }
}
