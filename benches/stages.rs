//! The stages behind the decoder, each alone, and the whole pipeline with an engine that takes no
//! time.
//!
//! `cargo bench --bench stages --no-default-features`
//!
//! Where one element is one second of audio, elements per second are multiples of real time. The
//! pipeline is measured by the processor time of all its threads together, which is the speed of
//! one core.

#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(
    missing_docs,
    reason = "the macros of criterion make public items in some sets of features"
)]

use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_channel::{bounded, never};
use steadyscribe::audio::SAMPLE_RATE_HZ;
use steadyscribe::internals::Window;
use steadyscribe::internals::{Block, Pool};
use steadyscribe::internals::{HOP_SAMPLES, SpeechMap};
use steadyscribe::sink::Sink;
use steadyscribe::{Cancel, Config, FileSource, Segment, Time, Transcriber};

use crate::instantly::instantly;
use crate::samples::samples;

#[path = "support/clock.rs"]
mod clock;

#[path = "support/instantly.rs"]
mod instantly;

#[path = "support/samples.rs"]
mod samples;

/// Samples of a block of the pool.
const BLOCK_SAMPLES: usize = 8_000;

/// Samples that a window holds, its look-ahead included, and samples that are consumed at once.
const WINDOW_SAMPLES: usize = 31 * SAMPLE_RATE_HZ as usize;
const CONSUMED_SAMPLES: usize = 25 * SAMPLE_RATE_HZ as usize;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn pool(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool");
    let (pool, cancel, reader) = (Pool::new(16).unwrap(), Cancel::new(), never());
    group.bench_function("acquire, release", |bench| {
        bench.iter(|| black_box(pool.acquire(&cancel, &reader).unwrap()).release());
    });
    let samples = [0.25; BLOCK_SAMPLES];
    group.throughput(Throughput::Bytes(size_of_val(&samples) as u64));
    group.bench_function("acquire, fill, release", |bench| {
        bench.iter(|| {
            let mut block = pool.acquire(&cancel, &reader).unwrap();
            block.fill(black_box(&samples));
            block.release();
        });
    });
    group.bench_function("acquire, fill, another thread releases", |bench| {
        bench.iter_custom(|times| hand_over(&pool, &cancel, &samples, times));
    });
    group.finish();
}

/// Releases blocks in another thread, as the pipeline does, and returns how long `times` blocks
/// took.
fn hand_over(pool: &Pool, cancel: &Cancel, samples: &[f32], times: u64) -> Duration {
    let (filled, taken) = bounded::<Block>(pool.slots());
    let reader = never();
    std::thread::scope(|scope| {
        scope.spawn(move || taken.iter().for_each(Block::release));
        let began = Instant::now();
        for _ in 0..times {
            let mut block = pool.acquire(cancel, &reader).unwrap();
            block.fill(samples);
            filled.send(block).unwrap();
        }
        let took = began.elapsed();
        drop(filled);
        took
    })
}

fn window(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window");
    let samples = [0.25; BLOCK_SAMPLES];
    let mut window = Window::new(WINDOW_SAMPLES).unwrap();
    group.throughput(Throughput::Elements(
        (CONSUMED_SAMPLES / SAMPLE_RATE_HZ as usize) as u64,
    ));
    group.bench_function("push until full, consume 25 s", |bench| {
        bench.iter(|| {
            while window.push(black_box(&samples)) > 0 {}
            black_box(window.slice(window.span()));
            window.consume(CONSUMED_SAMPLES);
        });
    });
    group.finish();
}

fn vad(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("vad");
    let speech = samples(&fixture("standup.opus"));
    let mut map = SpeechMap::new();
    let mut hop = speech[..speech.len() / HOP_SAMPLES * HOP_SAMPLES]
        .chunks_exact(HOP_SAMPLES)
        .cycle();
    group.bench_function("a hop of 16 ms", |bench| {
        bench.iter(|| map.push(black_box(hop.next().unwrap())));
    });
    group.sample_size(20);
    group.throughput(Throughput::Elements(
        speech.len() as u64 / u64::from(SAMPLE_RATE_HZ),
    ));
    group.bench_function("a minute of speech, spans", |bench| {
        bench.iter(|| {
            map.reset(Time::ZERO);
            for block in speech.chunks(BLOCK_SAMPLES) {
                map.push(block);
            }
            map.finish();
            map.spans().count()
        });
    });
    group.finish();
}

/// A sink that discards segments.
struct Nowhere;

impl Sink for Nowhere {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        black_box(segment);
        Ok(true)
    }
}

fn pipeline(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipeline without engine, processor time");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    let mut scribe = Transcriber::new(Config::default(), instantly()).unwrap();
    for (name, file) in [
        ("mp3 44.1 kHz mono", "monologue.mp3"),
        ("m4a aac 48 kHz stereo", "meeting.m4a"),
        ("ogg opus mono", "standup.opus"),
        ("ogg vorbis 22 kHz mono", "sparse.ogg"),
    ] {
        let path = fixture(file);
        let mut pass = || {
            let source = FileSource::open(&path).unwrap();
            scribe.transcribe(source, &mut Nowhere).unwrap()
        };
        let length_s = Duration::from_secs_f64(pass().audio_s).as_secs();
        group.throughput(Throughput::Elements(length_s));
        group.bench_function(name, |bench| {
            bench.iter_custom(|times| {
                let passes = || (0..times).for_each(|_| drop(black_box(pass())));
                clock::measure(passes).1.processor
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pool, window, vad, pipeline);
criterion_main!(benches);
