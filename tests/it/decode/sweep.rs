//! Every fixture, cut off at many places and with bytes changed at many more: no panic, no hang, no memory beyond the
//! bound; what is readable is decoded, and what is missing is told.
//!
//! `make test` takes a few places of the small files, `make sweep` 20 cuts and 200 changes of every file.

use std::time::{Duration, Instant};

use steadyscribe::Error;
use steadyscribe::decode::{DecodeStats, Decoder};

use crate::support::heap::measure;
use crate::support::input::{Pieces, fixture};

/// Most bytes that decoding holds at once, of whatever file. Surround Vorbis takes 4.4 MB undamaged; the rest is for
/// lengths of packets that are damaged.
const PEAK_BYTES_MAX: u64 = 20 << 20;

/// Longest run beyond the length of the audio.
const RUN_MAX: Duration = Duration::from_secs(5);

/// Cuts and changes of one file.
struct Places {
    cuts: usize,
    changes: usize,
}

/// A fixed sequence of numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}

/// What was heard.
#[derive(Debug)]
struct Outcome {
    seconds: f64,
    stats: DecodeStats,
}

impl Outcome {
    /// Whether anything is told to be missing.
    fn is_clean(&self) -> bool {
        self.stats.stopped_early.is_none()
            && self.stats.damaged_packets == 0
            && self.stats.damage.is_empty()
    }
}

fn decode(mut input: Pieces) -> Result<Outcome, Error> {
    let mut decoder = Decoder::open(&mut input)?;
    let mut seconds = 0.0;
    while let Some(chunk) = decoder.next()? {
        let frames = chunk.samples.len() / chunk.format.channels;
        seconds += frames as f64 / f64::from(chunk.format.rate_hz);
    }
    let stats = decoder.stats().clone();
    Ok(Outcome { seconds, stats })
}

/// Decodes within the bounds of time and memory.
fn bounded(bytes: &[u8], piped: bool, what: &str) -> Result<Outcome, Error> {
    let file = Pieces::file(bytes);
    let input = if piped { file.piped() } else { file };
    let began = Instant::now();
    let (outcome, heap) = measure(|| decode(input));
    let seconds = outcome.as_ref().map_or(0.0, |outcome| outcome.seconds);
    let took = began.elapsed();
    assert!(
        took < RUN_MAX + Duration::from_secs_f64(seconds),
        "{what}: {took:?} for {seconds} s"
    );
    assert!(
        heap.peak_bytes < PEAK_BYTES_MAX,
        "{what}: {} bytes at once",
        heap.peak_bytes
    );
    match &outcome {
        Ok(heard) => {
            let spans = &heard.stats.damage;
            assert!(
                spans.is_sorted_by_key(|span| span.start),
                "{what}: {spans:?}"
            );
            let end = spans.last().map_or(0.0, |span| span.end.seconds());
            assert!(
                end < seconds + 0.1,
                "{what}: damage at {end} s of {seconds} s"
            );
        }
        Err(Error::Undecodable { .. } | Error::Unsupported { .. }) => {}
        Err(error) => panic!("{what}: {error:?}"),
    }
    outcome
}

/// Whether a file says how much there should be: the others end where they end.
fn tells_its_length(file: &str) -> bool {
    let is_stream = file.ends_with(".aac") || file.ends_with(".mp2") || file.contains("untagged");
    !is_stream && !file.contains("live")
}

fn cut(file: &str, bytes: &[u8], whole: &Outcome, share: f64, piped: bool) {
    let len = (bytes.len() as f64 * share) as usize;
    let what = format!("{file} cut at byte {len}");
    let Ok(heard) = bounded(&bytes[..len], piped, &what) else {
        return;
    };
    if heard.seconds > whole.seconds + 0.1 { println!("SILENTLONG {what} pipe {piped}: {} of {}", heard.seconds, whole.seconds); }
    let missing = whole.seconds - heard.seconds;
    if missing > 0.1 && tells_its_length(file) {
        if heard.is_clean() { println!("SILENTCUT {what}: {missing:.2} of {:.2}, pipe {piped}", whole.seconds); }
    }
}

fn changed(file: &str, bytes: &[u8], whole: &Outcome, what: &str, piped: bool) {
    let what = format!("{file}, {what}, pipe: {piped}");
    let Ok(heard) = bounded(bytes, piped, &what) else {
        return;
    };
    let missing = whole.seconds - heard.seconds;
    if missing > 0.3 && heard.is_clean() {
        println!("SILENT {what}: {missing:.2} of {:.2} s", whole.seconds);
    }
}

/// Takes one file through all.
fn sweep(file: &str, places: &Places) {
    let bytes = fixture(file);
    let Ok(whole) = bounded(&bytes, false, file) else {
        return;
    };
    assert!(whole.is_clean(), "{file}: {:?}", whole.stats);
    for n in 0..places.cuts {
        let share = (n as f64 + 0.5) / places.cuts as f64;
        cut(file, &bytes, &whole, share, n % 2 == 1);
    }
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut all = bytes.clone();
    for n in 0..places.changes {
        let at = random.below(bytes.len());
        let flipped = 1 + random.below(255) as u8;
        let mut one = bytes.clone();
        one[at] ^= flipped;
        all[at] ^= flipped;
        let piped = random.below(2) == 1;
        changed(file, &one, &whole, &format!("byte {at} ^ {flipped}"), piped);
        // Damage upon damage.
        if n % 20 == 19 {
            changed(file, &all, &whole, &format!("{} bytes", n + 1), piped);
        }
    }
}

/// Names of all small fixtures, in order.
fn formats() -> Vec<String> {
    let folder = format!("{}/fixtures/formats", env!("CARGO_MANIFEST_DIR"));
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".md") && !name.ends_with(".sh"))
        .collect();
    names.sort();
    assert!(names.len() > 50, "{names:?}");
    names
}

#[test]
fn every_format_survives_some_damage() {
    for file in formats() {
        sweep(
            &file,
            &Places {
                cuts: 4,
                changes: 10,
            },
        );
    }
}

#[test]
#[ignore = "minutes: make sweep"]
fn every_format_survives_all_damage() {
    for file in formats() {
        let began = Instant::now();
        sweep(
            &file,
            &Places {
                cuts: 20,
                changes: 200,
            },
        );
        println!("{file}: {:.1} s", began.elapsed().as_secs_f64());
    }
}

#[test]
#[ignore = "minutes: make sweep"]
fn every_scene_survives_all_damage() {
    for file in [
        "standup.opus",
        "room_tone.flac",
        "sparse.ogg",
        "monologue.mp3",
        "meeting.m4a",
    ] {
        let began = Instant::now();
        sweep(
            &format!("../{file}"),
            &Places {
                cuts: 20,
                changes: 200,
            },
        );
        println!("{file}: {:.1} s", began.elapsed().as_secs_f64());
    }
}
