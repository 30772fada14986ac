//! Every fixture, cut off at many places and with bytes changed at many more: no panic, no hang, no
//! unbounded memory. Readable audio is decoded, and missing audio is reported.
//!
//! `make test` takes a few places of the small files, `make sweep` 20 cuts and 200 changes of every
//! file.

use std::time::{Duration, Instant};

use steadyscribe::InputError;
use steadyscribe::decode::{DecodeStats, Decoder};

use super::processor_time;
use crate::support::heap::measure;
use crate::support::input::{Pieces, fixture};

/// Most bytes that decoding any file holds at once. Surround Vorbis takes 4.4 MB undamaged; the
/// rest is for damaged lengths of packets.
const PEAK_BYTES_MAX: u64 = 20 << 20;

/// Most processor time beyond the length of the audio.
const RUN_MAX: Duration = Duration::from_secs(5);

/// Longest end of a cut file that may be missing without a report, in seconds: declared counts of
/// packets are not exact.
const CUT_UNREPORTED_S_MAX: f64 = 0.3;

/// Cuts and changes of one file.
struct Places {
    cuts: usize,
    changes: usize,
}

/// A fixed sequence of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}

/// The result of decoding a file.
#[derive(Debug)]
struct Outcome {
    seconds: f64,
    stats: DecodeStats,
}

impl Outcome {
    /// Returns whether nothing is reported as missing.
    fn is_clean(&self) -> bool {
        self.stats.stopped_early.is_none()
            && self.stats.damaged_packets == 0
            && self.stats.damage.is_empty()
    }
}

fn decode(mut input: Pieces) -> Result<Outcome, InputError> {
    let mut decoder = Decoder::open(&mut input)?;
    let mut seconds = 0.0;
    while let Some(chunk) = decoder.next()? {
        let frames = chunk.samples.len() / chunk.format.channels;
        seconds += frames as f64 / f64::from(chunk.format.rate_hz);
    }
    let stats = decoder.stats().clone();
    Ok(Outcome { seconds, stats })
}

/// Decodes within the bounds of processor time and memory.
fn bounded(bytes: &[u8], piped: bool, what: &str) -> Result<Outcome, InputError> {
    let file = Pieces::file(bytes);
    let input = if piped { file.piped() } else { file };
    let began = processor_time();
    let (outcome, heap) = measure(|| decode(input));
    let seconds = outcome.as_ref().map_or(0.0, |outcome| outcome.seconds);
    let took = processor_time() - began;
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
        Ok(decoded) => {
            let spans = &decoded.stats.damage;
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
        Err(InputError::Undecodable { .. } | InputError::Unsupported { .. }) => {}
        Err(error) => panic!("{what}: {error:?}"),
    }
    outcome
}

/// Returns whether a file is a bare stream, without a container that counts or stamps its packets.
/// A loss in such a stream cannot be known, unless it is longer than one read of the demuxer.
fn is_stream(file: &str) -> bool {
    file.ends_with(".aac") || file.ends_with(".mp2") || file.contains("untagged")
}

/// Decodes a file that was cut off, and checks that the missing end is reported.
fn cut(file: &str, bytes: &[u8], whole: &Outcome, share: f64, piped: bool) {
    let len = (bytes.len() as f64 * share) as usize;
    let what = format!("{file} cut at byte {len}, pipe: {piped}");
    let Ok(decoded) = bounded(&bytes[..len], piped, &what) else {
        return;
    };
    let missing = whole.seconds - decoded.seconds;
    assert!(
        missing > -0.1,
        "{what}: {} s of {} s",
        decoded.seconds,
        whole.seconds
    );
    if missing > CUT_UNREPORTED_S_MAX && !is_stream(file) {
        assert!(
            !decoded.is_clean(),
            "{what}: {missing} s are missing and not reported"
        );
    }
}

/// Decodes a file with changed bytes. Returns whether audio is missing and not reported.
fn loses_unreported(bytes: &[u8], whole: &Outcome, piped: bool, what: &str) -> bool {
    let what = format!("{what}, pipe: {piped}");
    let Ok(decoded) = bounded(bytes, piped, &what) else {
        return false;
    };
    let is_lost = decoded.is_clean() && whole.seconds - decoded.seconds > 0.3;
    if is_lost {
        println!(
            "{what}: {} s of {} s, and the loss is not reported",
            decoded.seconds, whole.seconds
        );
    }
    is_lost
}

/// Tests one file with all its cuts and changes.
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
    let mut lost = 0;
    for n in 0..places.changes {
        let at = random.below(bytes.len());
        let flipped = 1 + random.below(255) as u8;
        let piped = random.below(2) == 1;
        let mut one = bytes.clone();
        one[at] ^= flipped;
        all[at] ^= flipped;
        let what = format!("{file} with byte {at} ^ {flipped}");
        lost += usize::from(loses_unreported(&one, &whole, piped, &what));
        // All changes so far together.
        if n % 20 == 19 {
            let what = format!("{file} with {} changes", n + 1);
            lost += usize::from(loses_unreported(&all, &whole, piped, &what));
        }
    }
    // These changes lose nothing unreported. About one in ten thousand would: those of fields that
    // no other field contradicts, such as the length of an encoder's delay.
    let allowed = if is_stream(file) { places.changes } else { 0 };
    assert!(
        lost <= allowed,
        "{file}: {lost} of {} changes lose audio that is not reported",
        places.changes
    );
}

/// Returns the names of all small fixtures, in order.
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
