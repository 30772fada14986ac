//! The memory of decoding does not depend on the length.

use proptest::prelude::*;
use steadyscribe::audio::Format;
use steadyscribe::decode::Decoder;
use steadyscribe::internals::Resampler;
use steadyscribe::source::Source;

use crate::support::files::{Sample, Wave, repeat_fragments};
use crate::support::heap::{Heap, measure};
use crate::support::input::{Piece, Pieces, fixture};

/// Decodes and resamples all of an input and keeps nothing. Returns its seconds and the heap it
/// took.
fn pass(source: &mut dyn Source) -> (f64, Heap) {
    measure(|| {
        let mut decoder = Decoder::open(source).unwrap();
        let mut resampler = Resampler::new();
        let mut samples = 0;
        while let Some(chunk) = decoder.next().unwrap() {
            resampler.push(chunk.format, chunk.samples, &mut |out| samples += out.len());
        }
        resampler.finish(&mut |out| samples += out.len());
        samples as f64 / 16_000.0
    })
}

fn repeated(file: &str, times: usize) -> Pieces {
    let bytes: std::sync::Arc<[u8]> = fixture(file).into();
    Pieces::of(
        (0..times)
            .map(|_| Piece::Bytes(std::sync::Arc::clone(&bytes)))
            .collect(),
    )
}

#[test]
fn memory_of_ten_times_the_length_is_the_same() {
    for file in [
        "mp3-untagged-32k.mp3",
        "aac-48khz.aac",
        "opus.ogg",
        "vorbis.ogg",
        "mp2.mp2",
    ] {
        let (short_s, short) = pass(&mut repeated(file, 20));
        let (long_s, long) = pass(&mut repeated(file, 200));
        assert!(long_s > 9.5 * short_s, "{file}: {short_s} s and {long_s} s");
        let more = long.peak_bytes.saturating_sub(short.peak_bytes);
        assert!(
            more < 16 << 10,
            "{file}: {} and {} bytes",
            short.peak_bytes,
            long.peak_bytes
        );
        assert!(
            long.peak_bytes < 4 << 20,
            "{file}: {} bytes",
            long.peak_bytes
        );
    }
}

/// T12. The demuxer keeps the index of every fragment, 4.4 MB per hour, so it is shown one at a
/// time.
#[test]
fn fragments_are_not_kept() {
    let file = fixture("aac-fragments.mp4");
    let (short_s, short) = pass(&mut Pieces::file(repeat_fragments(&file, 20)));
    let (long_s, long) = pass(&mut Pieces::file(repeat_fragments(&file, 600)));
    assert!(
        short_s > 29.0 && long_s > 880.0,
        "{short_s} s and {long_s} s"
    );
    let more = long.peak_bytes.saturating_sub(short.peak_bytes);
    assert!(
        more < 16 << 10,
        "{} and {} bytes",
        short.peak_bytes,
        long.peak_bytes
    );
}

#[test]
fn resampler_allocates_nothing_per_push() {
    for (rate_hz, channels) in [
        (48_000, 2),
        (44_100, 1),
        (16_000, 1),
        (16_000, 2),
        (96_000, 6),
    ] {
        let format = Format { rate_hz, channels };
        let mut resampler = Resampler::new();
        let frame = vec![0.25; 1_024 * channels];
        resampler.push(format, &frame, &mut |_| {});
        let ((), heap) = measure(|| {
            for _ in 0..500 {
                resampler.push(format, &frame, &mut |_| {});
            }
        });
        assert_eq!(heap.allocations, 0, "{format:?}");
    }
}

/// T13. The demuxer would read covers and attachments into memory, twice.
#[test]
fn covers_are_not_read() {
    const COVER: u64 = 60 << 20;
    let zeros = || Piece::Zeros(COVER);
    let bytes = |bytes: &[u8]| Piece::Bytes(bytes.into());
    let size = [COVER >> 21, COVER >> 14, COVER >> 7, COVER].map(|byte| (byte & 0x7f) as u8);
    let id3 = [b"ID3\x04\x00\x00", &size[..]].concat();

    let mp3 = vec![bytes(&id3), zeros(), bytes(&fixture("mp3-cbr.mp3"))];

    let flac = fixture("flac-16.flac");
    let mut flac_pieces = vec![bytes(&flac[..42])];
    for _ in 0..4 {
        flac_pieces.extend([bytes(b"\x06\xff\xff\xff"), Piece::Zeros(0xff_ffff)]);
    }
    flac_pieces.push(bytes(&flac[42..]));

    let aac = fixture("aac-index-last.m4a");
    let (before, index) = crate::support::files::split_at_box(&aac, b"moov");
    let cover_box = |name: &[u8; 4], len: u64| [&(len as u32 + 8).to_be_bytes()[..], name].concat();
    let movie = [
        &cover_box(b"moov", index.len() as u64 - 8 + COVER + 8)[..],
        &index[8..],
    ]
    .concat();
    let mp4 = vec![
        bytes(before),
        bytes(&movie),
        bytes(&cover_box(b"udta", COVER)),
        zeros(),
    ];

    let webm = fixture("opus-live.webm");
    let cluster = webm
        .windows(4)
        .position(|id| id == b"\x1f\x43\xb6\x75")
        .unwrap();
    let mut attachments = b"\x19\x41\xa4\x69\x01".to_vec();
    attachments.extend(&COVER.to_be_bytes()[1..]);
    let mkv = vec![
        bytes(&webm[..cluster]),
        bytes(&attachments),
        zeros(),
        bytes(&webm[cluster..]),
    ];

    let wave = Wave::mono(44_100);
    let wav = vec![
        bytes(b"RIFF\xff\xff\xff\xffWAVEid3 "),
        bytes(&(COVER as u32).to_le_bytes()),
        zeros(),
        bytes(&wave.riff(&vec![0.1; 66_150])[12..]),
    ];

    for (what, pieces) in [
        ("mp3", mp3),
        ("flac", flac_pieces),
        ("mp4", mp4),
        ("mkv", mkv),
        ("wave", wav),
    ] {
        let (decoded_s, heap) = pass(&mut Pieces::of(pieces));
        assert!((1.4..1.6).contains(&decoded_s), "{what}: {decoded_s} s");
        assert!(
            heap.peak_bytes < 2 << 20,
            "{what}: {} bytes",
            heap.peak_bytes
        );
    }
}

/// Run by `make test-all`.
mod slow {
    use super::*;

    /// Feature: meetily-memory-optimization, Property 3: Audio Memory Streaming Efficiency
    ///
    /// For any recording of any length, rate, type of samples and number of channels, and for any
    /// sizes of chunks, decoding and resampling hold a fixed amount of memory, allocate per packet
    /// only what the demuxer allocates, and return every sample exactly once.
    #[test]
    #[ignore = "slow: make test-all"]
    fn any_recording_streams_in_fixed_memory() {
        const RATES: [u32; 9] = [
            8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
        ];
        let config = ProptestConfig {
            cases: 128,
            failure_persistence: None,
            ..Default::default()
        };
        let any = (
            prop::sample::select(&Sample::ALL[..]),
            prop::sample::select(&RATES[..]),
            1..=8_u16,
            0..2_000_000_u64,
        );
        proptest!(config, |((sample, rate_hz, channels, frames) in any)| {
            let wave = Wave { sample, rate_hz, channels };
            let len = frames * u64::from(channels) * sample.bytes() as u64;
            let header = Piece::Bytes(wave.riff_header(len as u32).into());
            let mut file = Pieces::of(vec![header, Piece::Zeros(len), Piece::Zeros(64)]);
            prop_assume!(frames > 0);
            let (decoded_s, heap) = pass(&mut file);
            let samples = (frames * 16_000).div_ceil(u64::from(rate_hz));
            prop_assert_eq!((decoded_s * 16_000.0).round() as u64, samples);
            prop_assert!(heap.peak_bytes < 1 << 20, "{} bytes", heap.peak_bytes);
            let packets = frames.div_ceil(1_152);
            prop_assert!(heap.allocations <= packets + 600, "{} for {packets}", heap.allocations);
        });
    }
}
