//! How much memory a recording takes by its length: this library beside a path that takes the whole
//! file.
//!
//! ```text
//! cargo bench -p steadyscribe-memory-bench [-- [--minutes 1,5,15] [--chart]]
//! ```
//!
//! Neither has a speech model: what one takes comes on top of both. Each length and path is
//! measured in a process of its own that reads its private memory (anonymous and shared pages, in
//! memory or swapped) every 2 ms. `--chart` replaces `benches/memory.svg`. For an hour it needs
//! 3 GB of memory and 0.7 GB of disk.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "samples and sizes of some hours"
)]

mod chart;
mod input;
#[path = "../../support/instantly.rs"]
mod instantly;
mod meter;
mod ours;
mod whole_file;

use std::path::{Path, PathBuf};
use std::process::Command;

use steadyscribe::monitor::reader;

use crate::meter::{Meter, Stage};

/// Lengths that are measured, in minutes.
const MINUTES: [u32; 5] = [1, 5, 15, 30, 60];

/// Threads of the path that resamples in parallel: each takes 28 MB.
const RAYON_THREADS: &str = "2";

/// What was done.
struct Took {
    audio_s: f64,
    speech_s: f64,
}

/// What a process held at most, in bytes.
#[derive(Clone, Copy)]
struct Held {
    /// Private, in all stages.
    peak: f64,
    /// Private, while segments go to the model.
    transcribing: f64,
    /// In memory, pages of files included.
    resident: f64,
    /// Share of the audio that is speech.
    speech: f64,
}

/// Both paths with a recording of one length.
struct Row {
    minutes: u32,
    whole_file: Held,
    ours: Held,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [child, path, file] = &arguments[..]
        && child == "--child"
    {
        return measure(path, file.as_ref());
    }
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let minutes: Vec<u32> = match after("--minutes") {
        Some(list) => list.split(',').map(|m| m.parse().unwrap()).collect(),
        None => MINUTES.to_vec(),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/recordings");
    std::fs::create_dir_all(&folder).unwrap();
    let scene = input::Scene::read();
    let stereo = compare(&scene, 2, &minutes, &folder);
    compare(&scene, 1, &minutes, &folder);
    if arguments.iter().any(|argument| argument == "--chart") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../memory.svg");
        std::fs::write(&path, chart::svg(&stereo)).unwrap();
        println!("benches/memory.svg is written");
    }
}

/// In a child: takes one file by one path, and prints what was held.
fn measure(path: &str, file: &Path) {
    let meter = Meter::start();
    let took = match path {
        "whole-file" => whole_file::transcribe(file, &meter),
        _ => ours::transcribe(file, &meter),
    };
    meter.read();
    for (stage, name) in Stage::ALL {
        println!("{name}={}", meter.peak_bytes(stage));
    }
    let memory = reader::own().unwrap();
    println!(
        "resident={}",
        memory.peak_resident_bytes.unwrap_or_default()
    );
    println!("audio_s={}", took.audio_s);
    println!("speech_s={}", took.speech_s);
}

/// Takes a file by one path in a process of its own.
fn child(path: &str, file: &Path) -> Held {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--child", path])
        .arg(file)
        .env("RAYON_NUM_THREADS", RAYON_THREADS)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{path}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let value = |name: &str| -> f64 {
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap().parse().unwrap()
    };
    let stages = Stage::ALL.iter().map(|(_, name)| value(name));
    Held {
        peak: stages.fold(0.0, f64::max),
        transcribing: value("transcribe"),
        resident: value("resident"),
        speech: value("speech_s") / value("audio_s"),
    }
}

/// Measures both paths with recordings of so many channels, and prints a table.
fn compare(scene: &input::Scene, channels: u16, minutes: &[u32], folder: &Path) -> Vec<Row> {
    let file: PathBuf = folder.join(format!("{}.wav", std::process::id()));
    println!(
        "48 kHz, {channels} channels, wav; MB; in brackets: in memory, pages of files included"
    );
    println!("            whole file                                           steadyscribe");
    println!("minutes     peak            while transcribing     speech        peak");
    let mut rows = Vec::new();
    for &minutes in minutes {
        scene.write(&file, minutes, channels);
        let (whole_file, ours) = (child("whole-file", &file), child("ours", &file));
        println!(
            "{minutes:7}  {:7.1} ({:7.1})  {:16.1}  {:12.0} %  {:12.1} ({:.1})",
            whole_file.peak / 1e6,
            whole_file.resident / 1e6,
            whole_file.transcribing / 1e6,
            whole_file.speech * 100.0,
            ours.peak / 1e6,
            ours.resident / 1e6,
        );
        rows.push(Row {
            minutes,
            whole_file,
            ours,
        });
    }
    std::fs::remove_file(&file).unwrap();
    if let [.., before, last] = &rows[..] {
        let seconds = f64::from(last.minutes - before.minutes) * 60.0;
        let slope = |of: fn(&Row) -> f64| (of(last) - of(before)) / seconds / 1e3;
        println!(
            "kB for each further second: {:.0}, while transcribing {:.0}; steadyscribe {:.2}\n",
            slope(|row| row.whole_file.peak),
            slope(|row| row.whole_file.transcribing),
            slope(|row| row.ours.peak),
        );
    }
    rows
}
