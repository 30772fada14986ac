//! Opens any bytes as a journal and goes on with it: no panic, nothing of a foreign file is
//! changed, and what a transcription ends with is what its journal says.
//!
//! The first byte of an input says what the rest is: a file as it is, lines that get their
//! checksums, or lines behind the right first one, as only a journal of this very input has it.

#![no_main]

use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use libfuzzer_sys::fuzz_target;
use steadyscribe::engine::{Scripted, ScriptedUtterance};
use steadyscribe::source::{PipeSource, RawSource};
use steadyscribe::{
    Config, Error, InputOptions, Journal, JournalError, Segment, Span, Summary, Time, Transcriber,
    Vad,
};
use tempfile::TempDir;

/// Seconds of audio: three windows.
const LENGTH_S: u32 = 12;

/// One transcriber, and the folder of its journals.
struct Bench {
    scribe: Transcriber,
    folder: TempDir,
    audio: Vec<u8>,
    /// The first line of a journal of this audio.
    head: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let mut config = Config::default();
        config.vad = Vad::Off;
        config.window_s = 5.0;
        config.release_state_after = None;
        config.unload_after = None;
        let say = |n: u32| {
            let start = Time::from_seconds(f64::from(n) * 1.5);
            let span = Span::new(start, start + Time::from_seconds(1.0));
            ScriptedUtterance::new(span, format!("utterance {n}"))
        };
        let engine = Scripted::new((0..8).map(say).collect());
        let samples = (0..LENGTH_S * 16_000).map(|n| (n % 251) as i16);
        let mut bench = Self {
            scribe: Transcriber::new(config, engine).expect("no budget to exceed"),
            folder: folder(),
            audio: samples.flat_map(i16::to_le_bytes).collect(),
            head: Vec::new(),
        };
        let mut journal = Journal::create(bench.path()).expect("a new file");
        let (ended, _) = bench.run(&mut journal);
        ended.expect("nothing stands against it");
        let written = fs::read(bench.path()).expect("a journal");
        let first = written.iter().position(|byte| *byte == b'\n');
        bench.head = written[..=first.expect("a first line")].to_vec();
        // The others begin a corpus: see fuzz/run.
        if let Some(folder) = std::env::var_os("JOURNAL_SEEDS") {
            let lines = written[bench.head.len()..].split(|byte| *byte == b'\n');
            let records: Vec<&[u8]> = lines.filter_map(|line| line.get(9..)).collect();
            let seed = |name: &str, kind: u8, bytes: &[u8]| {
                let path = PathBuf::from(&folder).join(name);
                fs::write(path, [&[kind][..], bytes].concat()).expect("a seed");
            };
            seed("whole-file", 0, &written);
            seed(
                "lines",
                1,
                &[&bench.head[9..], &records.join(&b'\n')[..]].concat(),
            );
            for count in 1..=records.len() {
                seed(
                    &format!("records-{count}"),
                    2,
                    &records[..count].join(&b'\n'),
                );
            }
        }
        bench
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn run(&mut self, journal: &mut Journal) -> (Result<Summary, Error>, Vec<Segment>) {
        let pipe = PipeSource::new("samples", Cursor::new(self.audio.clone()));
        let source = RawSource::new(pipe, "s16le:16000:1".parse().expect("a raw format"));
        let mut segments: Vec<Segment> = Vec::new();
        let ended = self
            .scribe
            .resume(source, &InputOptions::default(), journal, &mut segments);
        (ended, segments)
    }
}

/// In memory where there is such a folder: each record is synced.
fn folder() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .expect("a folder for journals")
}

/// What an input stands for.
fn file(head: &[u8], input: &[u8]) -> Vec<u8> {
    let [kind, rest @ ..] = input else {
        return Vec::new();
    };
    let mut file = match kind % 3 {
        0 => return rest.to_vec(),
        1 => Vec::new(),
        _ => head.to_vec(),
    };
    for line in rest.split(|byte| *byte == b'\n') {
        write!(file, "{:08x} ", crc32fast::hash(line)).expect("memory takes everything");
        file.extend_from_slice(line);
        file.push(b'\n');
    }
    file
}

fn check(bench: &mut Bench, before: &[u8]) {
    let path = bench.path();
    fs::write(&path, before).expect("a small file");
    let now = || fs::read(bench.folder.path().join("journal")).expect("the file is there");
    let mut journal = match Journal::open(&path) {
        Ok(journal) => journal,
        Err(error) => {
            assert!(matches!(error, JournalError::NotAJournal(_)), "{error:?}");
            assert!(now() == before, "a foreign file was changed");
            return;
        }
    };
    assert!(now() == before, "opening changed the file");
    let held = journal.segment_count();
    let (ended, segments) = bench.run(&mut journal);
    drop(journal);
    match ended {
        Ok(summary) => assert_eq!(summary.segments, segments.len() as u64),
        Err(Error::Journal(JournalError::Changed { what, .. })) => {
            let is_begun = what == "the audio before the journal's end";
            let after = fs::read(&path).expect("the file is there");
            assert!(before.starts_with(&after), "it was written to");
            assert!(is_begun || after == before, "a journal of another was cut");
            return;
        }
        Err(error) => panic!("{error:?}"),
    }
    assert!(segments.len() as u64 >= held);
    // Once more: no window is transcribed, and all is in the journal.
    let mut journal = Journal::open(&path).expect("a journal that was just written");
    assert_eq!(journal.segment_count(), segments.len() as u64);
    let (ended, again) = bench.run(&mut journal);
    ended.expect("what went well goes well again");
    assert!(again == segments, "the journal says something else");
}

fuzz_target!(|input: &[u8]| {
    static BENCH: OnceLock<Mutex<Bench>> = OnceLock::new();
    let bench = BENCH.get_or_init(|| Mutex::new(Bench::new()));
    let mut bench = bench.lock().unwrap_or_else(PoisonError::into_inner);
    let file = file(&bench.head, input);
    check(&mut bench, &file);
});
