//! Measures decoding and resampling. One element is one second of audio, so elements per second are
//! multiples of real time.
//!
//! `cargo bench --bench decode --no-default-features`
//!
//! It measures processor time: the speed of one core. First it prints how much heap each file
//! takes. `STEADYSCRIBE_AUDIO=PATH cargo bench …` measures your own file with the others.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "samples and seconds are small"
)]
#![allow(
    missing_docs,
    reason = "the macros of criterion make public items in some sets of features"
)]

use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use steadyscribe::FileSource;
use steadyscribe::audio::Format;
use steadyscribe::decode::Decoder;
use steadyscribe::internals::Resampler;

#[path = "support/clock.rs"]
mod clock;

#[path = "../tests/it/support/heap.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod heap;

/// Length of the files that are made here, in seconds.
const LENGTH_S: u32 = 60;

/// Decodes a file and, if `resampled`, resamples it. Returns its length in seconds.
fn pass(path: &Path, resampled: bool) -> f64 {
    let mut decoder = Decoder::open(&mut FileSource::open(path).unwrap()).unwrap();
    let mut resampler = Resampler::new();
    let mut out = |samples: &[f32]| {
        black_box(samples);
    };
    while let Some(chunk) = decoder.next().unwrap() {
        if resampled {
            resampler.push(chunk.format, chunk.samples, &mut out);
        } else {
            black_box(chunk.samples);
        }
    }
    resampler.finish(&mut out);
    decoder.position().seconds()
}

/// Samples that are not silence.
fn tones(rate_hz: u32) -> impl Iterator<Item = f32> {
    (0..rate_hz * LENGTH_S).map(move |n| {
        let t = f64::from(n) / f64::from(rate_hz);
        (0.2 * (t * 1_300.0).sin() + 0.1 * (t * 9_100.0 + (t * 7.0).sin()).sin()) as f32
    })
}

/// Writes a wave file of 16 bits.
fn wave(folder: &Path, rate_hz: u32, channels: u16) -> PathBuf {
    let path = folder.join(format!("{rate_hz}-{channels}.wav"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    let block = channels * 2;
    let header = [
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00",
        &channels.to_le_bytes()[..],
        &rate_hz.to_le_bytes(),
        &(rate_hz * u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        b"\x10\x00data\xff\xff\xff\xff",
    ];
    file.write_all(&header.concat()).unwrap();
    for sample in tones(rate_hz) {
        let sample = ((sample * 32_767.0) as i16).to_le_bytes();
        for _ in 0..channels {
            file.write_all(&sample).unwrap();
        }
    }
    path
}

/// Writes a stream that repeats a short one.
fn repeated(folder: &Path, fixture: &Path, times: u32) -> PathBuf {
    let path = folder.join(fixture.file_name().unwrap());
    let mut file = std::fs::File::create(&path).unwrap();
    for _ in 0..times {
        std::io::copy(&mut std::fs::File::open(fixture).unwrap(), &mut file).unwrap();
    }
    path
}

fn files(criterion: &mut Criterion) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folder = tempfile::tempdir().unwrap();
    let adts = repeated(folder.path(), &fixtures.join("formats/aac-48khz.aac"), 40);
    let mut files = vec![
        ("wav 48 kHz mono", wave(folder.path(), 48_000, 1)),
        ("wav 44.1 kHz stereo", wave(folder.path(), 44_100, 2)),
        ("mp3 44.1 kHz mono", fixtures.join("monologue.mp3")),
        ("m4a aac 48 kHz stereo", fixtures.join("meeting.m4a")),
        ("adts aac 48 kHz mono", adts),
        ("flac 16 kHz mono", fixtures.join("room_tone.flac")),
        ("ogg vorbis 22 kHz mono", fixtures.join("sparse.ogg")),
        ("ogg opus mono", fixtures.join("standup.opus")),
    ];
    let own = std::env::var_os("STEADYSCRIBE_AUDIO");
    files.extend(own.map(|path| ("STEADYSCRIBE_AUDIO", PathBuf::from(path))));
    println!("{:24} peak heap, kB   allocations for each second", "");
    for (name, path) in &files {
        let (length_s, heap) = heap::measure(|| pass(path, true));
        let (peak, rate) = (
            heap.peak_bytes as f64 / 1e3,
            heap.allocations as f64 / length_s,
        );
        println!("{name:24} {peak:13.0}   {rate:.1}");
    }
    for (group, resampled) in [("decode", false), ("decode and resample", true)] {
        let mut group = criterion.benchmark_group(group);
        group
            .sample_size(10)
            .measurement_time(Duration::from_secs(4));
        for (name, path) in &files {
            let length_s = Duration::from_secs_f64(pass(path, false)).as_secs();
            group.throughput(Throughput::Elements(length_s));
            group.bench_function(*name, |bench| {
                bench.iter_custom(|times| {
                    let mut length_s = 0.0;
                    let passes = || (0..times).for_each(|_| length_s += pass(path, resampled));
                    let spent = clock::measure(passes).1;
                    black_box(length_s);
                    spent.processor
                });
            });
        }
        group.finish();
    }
}

fn rates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resample");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(LENGTH_S.into()));
    for rate_hz in [8_000, 16_000, 22_050, 44_100, 48_000, 96_000] {
        for channels in [1, 2] {
            let format = Format { rate_hz, channels };
            let input: Vec<f32> = tones(rate_hz)
                .flat_map(|sample| std::iter::repeat_n(sample, channels))
                .collect();
            let pass = || {
                let mut resampler = Resampler::new();
                let mut out = |samples: &[f32]| {
                    black_box(samples);
                };
                for packet in input.chunks(1_024 * channels) {
                    resampler.push(format, packet, &mut out);
                }
                resampler.finish(&mut out);
            };
            group.bench_function(format!("{rate_hz} Hz, {channels} channels"), |bench| {
                bench.iter_custom(|times| {
                    let passes = || (0..times).for_each(|_| pass());
                    clock::measure(passes).1.processor
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, files, rates);
criterion_main!(benches);
