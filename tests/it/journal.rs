//! Journals: what was transcribed is not lost, and going on gives the same as never stopping.

#![expect(
    clippy::disallowed_methods,
    reason = "the files of these tests are small"
)]

use std::fs;
use std::io;
use std::path::Path;

use proptest::prelude::*;
use steadyscribe::engine::{Scripted, ScriptedUtterance};
use steadyscribe::sink::Sink;
use steadyscribe::{
    Cancel, Config, Ended, Error, FileSource, InputOptions, Journal, JournalError, Segment, Span,
    Summary, Time, Transcriber,
};
use tempfile::TempDir;

const SPEECH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/standup.opus");

/// Says something every two seconds of the minute.
fn engine() -> Scripted {
    let say = |n: u32| {
        let start = Time::from_seconds(f64::from(n) * 2.0 + 0.2);
        let span = Span::new(start, start + Time::from_seconds(1.7));
        ScriptedUtterance::new(span, format!("utterance {n}"))
    };
    Scripted::new((0..30).map(say).collect())
}

fn config() -> Config {
    let mut config = Config::default();
    config.window_s = 6.0;
    config
}

/// Takes segments and cancels behind one of them.
struct Stops {
    segments: Vec<Segment>,
    at: usize,
    cancel: Cancel,
}

impl Sink for Stops {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.segments.push(segment.clone());
        if self.segments.len() == self.at {
            self.cancel.cancel();
        }
        Ok(true)
    }
}

fn run(config: Config, journal: &mut Journal, at: usize) -> (Summary, Vec<Segment>) {
    let mut scribe = Transcriber::new(config, engine()).unwrap();
    let mut sink = Stops {
        segments: Vec::new(),
        at,
        cancel: scribe.cancel(),
    };
    let source = FileSource::open(SPEECH).unwrap();
    let summary = scribe.resume(source, &InputOptions::default(), journal, &mut sink);
    (summary.unwrap(), sink.segments)
}

/// Resumes with `config` and `path`, and returns the error.
fn refused(config: Config, input: &Path, path: &Path) -> JournalError {
    let mut journal = Journal::open(path).unwrap();
    let mut scribe = Transcriber::new(config, engine()).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    let source = FileSource::open(input).unwrap();
    match scribe.resume(
        source,
        &InputOptions::default(),
        &mut journal,
        &mut segments,
    ) {
        Err(Error::Journal(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn uninterrupted() -> (Summary, Vec<Segment>) {
    let mut scribe = Transcriber::new(config(), engine()).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    let source = FileSource::open(SPEECH).unwrap();
    let summary = scribe.transcribe(source, &mut segments).unwrap();
    (summary, segments)
}

/// Stopped and gone on with, by one transcriber that keeps its engine.
#[test]
fn one_journal_goes_on_in_the_same_process() {
    let folder = TempDir::new().unwrap();
    let mut journal = Journal::create(folder.path().join("journal")).unwrap();
    let mut scribe = Transcriber::new(config(), engine()).unwrap();
    let mut run_to = |at: usize| {
        scribe.set_cancel(&Cancel::new());
        let mut sink = Stops {
            segments: Vec::new(),
            at,
            cancel: scribe.cancel(),
        };
        let source = FileSource::open(SPEECH).unwrap();
        let summary = scribe.resume(source, &InputOptions::default(), &mut journal, &mut sink);
        (summary.unwrap(), sink.segments, journal.position())
    };
    let (summary, first, position) = run_to(5);
    assert_eq!(summary.ended, Ended::Cancelled);
    assert!(position > Time::ZERO && first.len() < 30);
    let (summary, segments, _) = run_to(0);
    assert_eq!(summary.ended, Ended::Complete);
    assert_eq!(segments, uninterrupted().1);
    // All of it is in the journal now, and no window is transcribed again.
    let (summary, segments, _) = run_to(0);
    assert_eq!(segments, uninterrupted().1);
    assert_eq!(summary.windows, uninterrupted().0.windows);
}

#[test]
fn what_differs_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    run(config(), &mut Journal::create(&path).unwrap(), 9);
    let mut other = config();
    other.window_s = 7.0;
    let error = refused(other, Path::new(SPEECH), &path).to_string();
    assert!(error.contains("window_s was \"6\" and is \"7\""), "{error}");
    let changed = folder.path().join("changed.opus");
    let mut bytes = fs::read(SPEECH).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&changed, bytes).unwrap();
    let error = refused(config(), &changed, &path).to_string();
    assert!(
        error.starts_with("cannot resume, because input was"),
        "{error}"
    );
    // Nothing was written: the right input goes on.
    let (_, segments) = run(config(), &mut Journal::open(&path).unwrap(), 0);
    assert_eq!(segments, uninterrupted().1);
}

#[test]
fn audio_of_a_stream_is_checked_where_the_journal_ends() {
    use steadyscribe::source::PipeSource;

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    let bytes = fs::read(SPEECH).unwrap();
    let resume = |bytes: Vec<u8>, at: usize| {
        let mut journal = Journal::open(&path).unwrap();
        let mut scribe = Transcriber::new(config(), engine()).unwrap();
        let mut sink = Stops {
            segments: Vec::new(),
            at,
            cancel: scribe.cancel(),
        };
        let source = PipeSource::new("stream", io::Cursor::new(bytes));
        let ended = scribe.resume(source, &InputOptions::default(), &mut journal, &mut sink);
        ended.map(|_| sink.segments)
    };
    resume(bytes.clone(), 9).unwrap();
    let other = fs::read(SPEECH.replace("standup.opus", "room_tone.flac")).unwrap();
    let error = resume(other, 0).unwrap_err().to_string();
    assert!(
        error.contains("the audio before the journal's end"),
        "{error}"
    );
    let short = bytes[..20_000].to_vec();
    let error = resume(short, 0).unwrap_err().to_string();
    assert!(
        error.contains("the audio before the journal's end"),
        "{error}"
    );
    assert_eq!(resume(bytes, 0).unwrap(), uninterrupted().1);
}

/// JSON has no infinite numbers: an engine that answers with one loses nothing by it.
#[test]
fn figures_that_are_not_numbers_do_not_tear_the_journal() {
    use steadyscribe::engine::{Transcription, from_fn};

    let folder = TempDir::new().unwrap();
    let mut journal = Journal::create(folder.path().join("journal")).unwrap();
    let engine = from_fn("infinite", |window, _| {
        let end = Time::from_samples(window.len() as u64);
        let mut segment = Segment::new(Time::ZERO, end, "text");
        segment.quality.avg_logprob = Some(f32::NEG_INFINITY);
        segment.quality.no_speech_prob = Some(f32::NAN);
        Ok(Transcription::new(vec![segment]))
    });
    let mut scribe = Transcriber::new(config(), engine).unwrap();
    let mut resume = |segments: &mut Vec<Segment>| {
        let source = FileSource::open(SPEECH).unwrap();
        scribe.resume(source, &InputOptions::default(), &mut journal, segments)
    };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let windows = resume(&mut first).unwrap().windows;
    // All of it is read back, and no window is transcribed again.
    assert_eq!(resume(&mut second).unwrap().windows, windows);
    assert_eq!(first, second);
    assert!(!first.is_empty());
}

#[test]
fn what_is_no_journal_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    for bytes in [
        &b"my diary\n"[..],
        b"1234567",
        b"deadbeef",
        b"deadbeef {\"other\":1}\n",
        b"my diary {\"steadyscribe_journal\":",
        &[0xff; 9_000],
    ] {
        fs::write(&path, bytes).unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert!(matches!(error, JournalError::NotAJournal(_)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    assert!(matches!(
        Journal::create(&path),
        Err(JournalError::Exists(_))
    ));
    fs::remove_file(&path).unwrap();
    let _writer = Journal::create(&path).unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::InUse(_))));
    let folder = Journal::open(folder.path());
    assert!(matches!(folder, Err(JournalError::Io { .. })));
}

/// Killed while the first line was written: it starts from scratch.
#[test]
fn a_torn_first_line_is_no_loss() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    run(config(), &mut Journal::create(&path).unwrap(), 1);
    let whole = fs::read(&path).unwrap();
    for length in [0, 9, 20, 60] {
        fs::write(&path, &whole[..length]).unwrap();
        let (_, segments) = run(config(), &mut Journal::open(&path).unwrap(), 0);
        assert_eq!(segments, uninterrupted().1, "{length} bytes");
    }
}

/// A record of numbers that no transcription comes to is as good as none, though its checksum is
/// right.
#[test]
fn impossible_records_are_left_out() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    run(config(), &mut Journal::create(&path).unwrap(), 9);
    let whole = fs::read_to_string(&path).unwrap();
    let (before, last) = whole.trim_end().rsplit_once('\n').unwrap();
    // More windows than there can be, and another number of segments than are in the file.
    for (field, value) in [("windows", u64::MAX), ("next_id", 7_000)] {
        let number = last.split(&format!("\"{field}\":")).nth(1).unwrap();
        let number = number.split(',').next().unwrap();
        let was = format!("\"{field}\":{number}");
        let absurd = last[9..].replace(&was, &format!("\"{field}\":{value}"));
        assert_ne!(absurd, last[9..]);
        let sum = crc32fast::hash(absurd.as_bytes());
        fs::write(&path, format!("{before}\n{sum:08x} {absurd}\n")).unwrap();
        let (summary, segments) = run(config(), &mut Journal::open(&path).unwrap(), 0);
        assert_eq!(segments, uninterrupted().1);
        assert_eq!(summary.windows, uninterrupted().0.windows);
        assert_eq!(summary.segments, uninterrupted().0.segments);
    }
}

mod slow {
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Cancelled anywhere, several times, with a last record torn anywhere: the same segments
        /// and the same counts.
        #[test]
        #[ignore = "slow: make test-all"]
        fn a_resumed_transcript_is_the_whole_one(
            stops in prop::collection::vec(1_usize..30, 0..4),
            torn in 0_u64..4_000,
        ) {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("journal");
            let (whole, expected) = uninterrupted();
            for at in stops {
                let mut journal = Journal::open(&path).unwrap();
                let before = journal.segment_count();
                let (_, segments) = run(config(), &mut journal, at);
                prop_assert_eq!(&segments[..], &expected[..segments.len()]);
                prop_assert!(journal.segment_count() >= before);
                drop(journal);
                let length = fs::metadata(&path).unwrap().len();
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(length.saturating_sub(torn)).unwrap();
            }
            let mut journal = Journal::open(&path).unwrap();
            let (summary, segments) = run(config(), &mut journal, 0);
            prop_assert_eq!(segments, expected);
            prop_assert_eq!(summary.ended, Ended::Complete);
            prop_assert_eq!(summary.windows, whole.windows);
            prop_assert_eq!(summary.encodes, whole.encodes);
            prop_assert_eq!(summary.segments, whole.segments);
            prop_assert_eq!(summary.audio_s, whole.audio_s);
            prop_assert_eq!(summary.skipped_silence_s, whole.skipped_silence_s);
        }
    }
}

#[cfg(all(unix, feature = "whisper", feature = "download"))]
mod program {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    const MODEL: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/model/fixture-q8_0.bin"
    );

    /// Times that the program is killed at work.
    const KILLS: u32 = 50;

    /// Transcribes 18 s in windows of 5 s, with previous text and the temperature ladder, into
    /// `folder`.
    fn command(folder: &Path, name: &str) -> Command {
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().unwrap().parent().unwrap();
        let mut command = Command::new(profile.join("examples/transcribe"));
        command
            .args("--quiet --threads 1 --window-seconds 5 --duration 18 --format json".split(' '))
            .args([
                "--report",
                &format!("{name}.report"),
                "--output",
                &format!("{name}.json"),
            ])
            .arg(SPEECH)
            .current_dir(folder)
            .stdout(Stdio::null());
        command
    }

    fn report(folder: &Path, name: &str) -> serde_json::Value {
        let text = fs::read_to_string(folder.join(format!("{name}.report"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_journal_is_never_replaced_unasked() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("journal"), "").unwrap();
        let mut again = command(folder.path(), "a");
        let output = again.args(["--journal", "journal"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("journal exists; resume it"), "{said}");
        let mut other = command(folder.path(), "a");
        let output = other
            .args(["--journal", "j", SPEECH, "--output", "."])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
    }

    mod slow {
        use super::*;

        /// Another option, model or input: nothing is written, and what differs is said.
        #[test]
        #[ignore = "slow: make test-all"]
        fn what_differs_is_said_with_2() {
            let folder = TempDir::new().unwrap();
            let folder = folder.path();
            let journal = ["--journal", "journal", "--resume"];
            let first = command(folder, "a").args(journal).status().unwrap();
            assert!(first.success());
            let kept = fs::read(folder.join("journal")).unwrap();
            let refuses = |what: &str, other: &mut Command| {
                let output = other.args(journal).output().unwrap();
                let said = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(2), "{what}: {said}");
                assert!(
                    said.contains(&format!("cannot resume, because {what} was ")),
                    "{said}"
                );
                assert!(fs::read(folder.join("journal")).unwrap() == kept, "{what}");
            };
            refuses("prompt", command(folder, "a").args(["--prompt", "Anna"]));
            refuses("vad", command(folder, "a").args(["--vad", "off"]));
            // The first number of one tensor is another, in the last digit.
            let mut model = fs::read(MODEL).unwrap();
            let name = b"encoder.positional_embedding";
            let at = model.windows(name.len()).position(|found| found == name);
            model[at.unwrap() + name.len()] ^= 1;
            let changed = folder.join("changed.bin");
            fs::write(&changed, model).unwrap();
            refuses("model", command(folder, "a").arg("--model").arg(&changed));
            let mut other = Command::new(command(folder, "a").get_program());
            let words = "--quiet --threads 1 --window-seconds 5 --duration 18 --format json \
                         --output b.json";
            other.args(words.split(' ')).current_dir(folder);
            let input = SPEECH.replace("standup.opus", "monologue.mp3");
            refuses("input", other.arg(input));
        }

        /// Killed at 50 random moments: the same bytes, and no window that was done is
        /// transcribed again.
        #[test]
        #[ignore = "slow: make test-all"]
        fn killed_and_resumed_it_writes_the_same_bytes() {
            let folder = TempDir::new().unwrap();
            let folder = folder.path();
            let began = Instant::now();
            assert!(command(folder, "whole").status().unwrap().success());
            let mut takes_ms = began.elapsed().as_millis() as u32;
            let whole = fs::read(folder.join("whole.json")).unwrap();
            let mut state = 20_261_123_u32;
            let (mut kills, mut too_late) = (0, 0);
            while kills < KILLS {
                let _ = fs::remove_file(folder.join("journal"));
                // Killed up to three times before it may end.
                for _ in 0..3 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let mut child = command(folder, "resumed")
                        .args(["--journal", "journal", "--resume"])
                        .spawn()
                        .unwrap();
                    let delay_ms = u64::from(state >> 8) % u64::from(takes_ms);
                    std::thread::sleep(Duration::from_millis(delay_ms));
                    let at_work = child.try_wait().unwrap().is_none();
                    child.kill().unwrap();
                    child.wait().unwrap();
                    if at_work {
                        kills += 1;
                    } else {
                        // The machine was busier when the whole run was timed, or little was left.
                        too_late += 1;
                        takes_ms = (takes_ms - takes_ms / 16).max(100);
                    }
                }
                let mut last = command(folder, "resumed");
                last.args(["--journal", "journal", "--resume"]);
                assert!(last.status().unwrap().success());
                assert!(
                    fs::read(folder.join("resumed.json")).unwrap() == whole,
                    "after {kills}"
                );
                let (resumed, expected) = (report(folder, "resumed"), report(folder, "whole"));
                for count in [
                    "windows",
                    "encodes",
                    "decode_steps",
                    "fallbacks",
                    "segments",
                ] {
                    assert_eq!(resumed[count], expected[count], "{count} after {kills}");
                }
            }
            println!("killed {kills} times at work, {too_late} times too late");
        }
    }
}
