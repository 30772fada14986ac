//! The same memory for a minute and for hours: allocations on our side, and the whole process.
//!
//! Each measurement runs in a process of its own, so that no other test's memory counts.

use std::io;
use std::process::Command;
use std::sync::Arc;

use steadyscribe::engine::{Scripted, ScriptedUtterance};
use steadyscribe::sink::Sink;
use steadyscribe::{Config, Segment, Span, Time, Transcriber};

use crate::support::heap;
use crate::support::input::{Piece, Pieces};

/// Three minutes of speech as mp3, so many times in a row, without taking memory for it. Its header
/// would say that the rest is to be left out, so the stream starts behind it.
fn speech(minutes: usize) -> Pieces {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/monologue.mp3");
    let mut file = io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut bytes = Vec::new();
    io::copy(&mut file, &mut bytes).unwrap();
    let syncs = bytes
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| *pair == [0xFF, 0xFB]);
    let second = syncs.map(|(at, _)| at).nth(1).unwrap();
    let frames: Arc<[u8]> = bytes[second..].into();
    Pieces::of(vec![Piece::Bytes(frames); minutes.div_ceil(3)]).piped()
}

/// Runs one test of this file, which is ignored otherwise, in a process of its own, and returns
/// what it printed.
fn child(test: &str, minutes: usize) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("memory::{test}"),
            "--ignored",
            "--nocapture",
        ])
        .env("STEADYSCRIBE_TEST_MINUTES", minutes.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

fn minutes() -> usize {
    std::env::var("STEADYSCRIBE_TEST_MINUTES").map_or(3, |minutes| minutes.parse().unwrap())
}

/// The number behind `name=` in what a child printed.
fn number(said: &str, name: &str) -> u64 {
    let (_, after) = said
        .split_once(&format!("{name}="))
        .unwrap_or_else(|| panic!("{name}: {said}"));
    after.split_whitespace().next().unwrap().parse().unwrap()
}

/// Reads the bytes that are live whenever a segment comes, which is once a minute.
struct Live(Vec<u64>);

impl Sink for Live {
    fn segment(&mut self, _: &Segment) -> io::Result<bool> {
        self.0.push(heap::process().1);
        Ok(true)
    }
}

#[test]
#[ignore = "a process of its own: see allocations_do_not_grow_with_the_input"]
fn allocations() {
    let said: Vec<ScriptedUtterance> = (1..minutes())
        .map(|minute| {
            let start = Time::from_seconds(60.0 * minute as f64);
            ScriptedUtterance::new(
                Span::new(start, start + Time::from_seconds(1.0)),
                "a minute",
            )
        })
        .collect();
    let mut live = Live(Vec::with_capacity(1_000));
    let mut config = Config::default();
    config.window_s = 10.0;
    let mut scribe = Transcriber::new(config, Scripted::new(said)).unwrap();
    let summary = scribe.transcribe(speech(minutes()), &mut live).unwrap();
    // Read when all threads have ended, not on the way, when the decoder may be any number of
    // packets ahead.
    let (allocations, _) = heap::process();
    assert!(summary.audio_s > 59.0 * minutes() as f64);
    assert!(
        summary.speech_s > 0.9 * summary.audio_s,
        "the detector was at work"
    );
    assert_eq!(live.0.len(), minutes() - 1);
    // From the fifth minute on all is warm.
    let warm = live.0.get(5..).unwrap_or_default();
    println!(
        "allocations={allocations} least={} most={}",
        warm.iter().min().unwrap_or(&0),
        warm.iter().max().unwrap_or(&0)
    );
}

#[test]
fn allocations_do_not_grow_with_the_input() {
    let [short, middle, long] = [6, 33, 60].map(|minutes| child("allocations", minutes));
    let (least, most) = (number(&long, "least"), number(&long, "most"));
    assert!(most - least < 64 << 10, "live bytes from {least} to {most}");
    // mp3 at 44.1 kHz has 38.28 packets a second, each one allocation of the demuxer. Windows and
    // segments of a minute are some ten allocations each, of text and lists of spans.
    let allocations = |said: &str| number(said, "allocations") as f64;
    let rate = |from: &str, to: &str| (allocations(to) - allocations(from)) / (27.0 * 60.0);
    let (early, late) = (rate(&short, &middle), rate(&middle, &long));
    println!(
        "{early:.2} allocations a second of audio, later {late:.2}, {} KB live",
        most >> 10
    );
    assert!((38.0..40.0).contains(&late), "{late} allocations a second");
    assert!((early / late - 1.0).abs() < 0.01, "{early}, later {late}");
}

#[cfg(feature = "whisper")]
#[test]
#[ignore = "a process of its own: see hours_take_no_more_than_minutes"]
fn whole_process() {
    use steadyscribe::{Whisper, WhisperOptions, memory};

    memory::return_large_blocks();
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/model/fixture-q8_0.bin"
    );
    let engine = Whisper::open(model, WhisperOptions::default()).unwrap();
    let mut config = Config::default();
    // A third of the time for the same memory: the warm-up has used the longest prompt.
    config.previous_text = false;
    let mut scribe = Transcriber::new(config, engine).unwrap();
    scribe.warm_up().unwrap();
    let mut count = Count(0);
    let summary = scribe.transcribe(speech(minutes()), &mut count).unwrap();
    assert!(summary.audio_s > 59.0 * minutes() as f64);
    assert!(count.0 as usize > 15 * minutes(), "{} segments", count.0);
    let memory = summary.memory;
    println!(
        "peak={} over={} plan={} rtf_milli={}",
        memory.peak_private_bytes,
        memory.over_model_and_state_bytes,
        memory.plan_bytes,
        (1e3 * summary.rtf) as u64,
    );
}

/// Counts segments and keeps none.
#[cfg(feature = "whisper")]
struct Count(u64);

#[cfg(feature = "whisper")]
impl Sink for Count {
    fn segment(&mut self, _: &Segment) -> io::Result<bool> {
        self.0 += 1;
        Ok(true)
    }
}

#[cfg(feature = "whisper")]
mod slow {
    use super::*;

    #[test]
    #[ignore = "slow: make test-all"]
    fn hours_take_no_more_than_minutes() {
        let (short, long) = (child("whole_process", 10), child("whole_process", 180));
        for (length, said) in [("10 minutes", &short), ("3 hours", &long)] {
            let (peak, over) = (number(said, "peak"), number(said, "over"));
            let rtf = number(said, "rtf_milli") as f64 / 1e3;
            println!("{length}: peak {peak}, over the warm engine {over} bytes, RTF {rtf}");
            assert!(
                over <= 16_000_000,
                "{length}: {over} bytes over the warm engine"
            );
            assert!(peak <= number(said, "plan"), "{length}: {said}");
        }
        let grown = number(&long, "peak").saturating_sub(number(&short, "peak"));
        assert!(
            grown < 2_000_000,
            "3 hours take {grown} bytes more than 10 minutes"
        );
    }
}
