//! The example program as people run it: its output, its files and its exit codes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const FIRST_LINE: &str =
    "We need to check their main supplier for support in eight days.";

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// The program, which `cargo test` builds beside this test.
pub(crate) fn program() -> Command {
    let mut program = example("transcribe");
    // As people start it: the program sets it for itself.
    program.env_remove("OMP_WAIT_POLICY");
    program
}

/// A program of the examples.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let program = profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is missing: cargo build --examples",
        program.display()
    );
    Command::new(program)
}

/// Runs the program with `words` and then `paths` as arguments.
fn run(words: &str, paths: &[&Path]) -> Output {
    program()
        .args(words.split_whitespace())
        .args(paths)
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Runs the program, and checks its exit code and the reason on standard error.
fn check_exit(words: &str, paths: &[&Path], code: i32, why: &str) -> Output {
    let output = run(words, paths);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words}: {said}");
    assert!(said.contains(why), "{words}: {said}");
    output
}

/// Names of the files in a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| name(entry.unwrap()))
        .collect();
    names.sort();
    names
}

#[test]
fn text_is_on_standard_output_and_all_else_on_standard_error() {
    let output = run("--duration 10", &[&fixture("standup.opus")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().next(), Some(FIRST_LINE));
    let said = text(&output.stderr);
    assert!(
        said.contains("fixture model") && said.contains("real time"),
        "{said}"
    );
    // No bar and no colours where there is no terminal.
    assert!(!said.contains(['\r', '\u{1b}']), "{said:?}");
}

#[test]
fn quiet_prints_only_the_text() {
    let output = run("--quiet --duration 3.8", &[&fixture("standup.opus")]);
    assert_eq!(text(&output.stdout), format!("{FIRST_LINE}\n"));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn verbose_logs_each_decision_and_its_reason() {
    let output = run("--verbose --duration 75", &[&fixture("sparse.ogg")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said: Vec<&str> = text(&output.stderr).lines().collect();
    let times = |line: &&&str| line.starts_with("0:0") && line.contains(" to 0:0");
    let windows: Vec<&&str> = said.iter().filter(times).collect();
    let any = |part: &str| windows.iter().any(|line| line.contains(part));
    assert!(any(": silence, skipped"), "{said:#?}");
    assert!(any("segment") && any("(log-probability -0."), "{said:#?}");
    assert!(
        any(", ends in a pause: ") || any(", ends with the input: "),
        "{said:#?}"
    );
    // Sentences and no fields, levels or names of modules.
    assert!(
        !text(&output.stderr).contains("steadyscribe::"),
        "{said:#?}"
    );
    // What was said is on standard output alone.
    let spoken = text(&output.stdout).lines().next().unwrap();
    assert!(!text(&output.stderr).contains(spoken));
}

#[test]
fn several_files_and_formats_make_whole_files() {
    let folder = TempDir::new().unwrap();
    let transcripts = folder.path().join("transcripts");
    let report = folder.path().join("report.json");
    let inputs = [fixture("standup.opus"), fixture("room_tone.flac")];
    let words = "--duration 20 --format json --format srt --format csv";
    let output = program()
        .args(words.split_whitespace())
        .arg("--output")
        .arg(transcripts.join(""))
        .arg("--report")
        .arg(&report)
        .args(&inputs)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    let expected = [
        "room_tone.csv",
        "room_tone.json",
        "room_tone.srt",
        "standup.csv",
        "standup.json",
        "standup.srt",
    ];
    assert_eq!(names(&transcripts), expected);

    let spoken = json(&transcripts.join("standup.json"));
    assert_eq!(spoken["file"], inputs[0].display().to_string());
    assert_eq!(
        (&spoken["language"], &spoken["duration_s"]),
        (&"en".into(), &20.0.into())
    );
    let segments = spoken["segments"].as_array().unwrap();
    assert_eq!(segments[0]["text"], FIRST_LINE);
    assert!(!segments[0]["tokens"].as_array().unwrap().is_empty());
    assert!(spoken["uncovered"].is_array());
    let srt = fs::read_to_string(transcripts.join("standup.srt")).unwrap();
    assert!(srt.starts_with("1\n00:00:00,"), "{srt}");
    assert!(srt.matches(" --> ").count() >= segments.len());
    let csv = fs::read_to_string(transcripts.join("standup.csv")).unwrap();
    assert_eq!(csv.lines().count(), segments.len() + 1);
    let said = text(&output.stderr);
    assert_eq!(
        said.matches("room_tone.flac: no speech found\n").count(),
        1,
        "{said}"
    );
    assert_eq!(said.matches("no speech found").count(), 1, "{said}");
    let silent = json(&transcripts.join("room_tone.json"));
    assert_eq!(silent["segments"].as_array().unwrap().len(), 0);
    assert_eq!(json(&report).as_array().unwrap().len(), 2);
}

#[test]
fn a_report_has_every_figure() {
    let folder = TempDir::new().unwrap();
    let report = folder.path().join("report.json");
    let words = format!("--duration 10 --report {}", report.display());
    check_exit(&words, &[&fixture("standup.opus")], 0, "");
    let report = json(&report);
    for key in [
        "audio_s",
        "speech_s",
        "processing_s",
        "rtf",
        "waited_s",
        "windows",
        "encodes",
        "decode_steps",
        "fallbacks",
        "skipped_silence_s",
        "uncovered_s",
    ] {
        assert!(report[key].is_number(), "{key}: {report}");
    }
    for key in [
        "plan_bytes",
        "model_bytes",
        "state_bytes",
        "pool_bytes",
        "pool_blocks_peak",
        "peak_private_bytes",
        "peak_rss_bytes",
        "over_model_and_state_bytes",
    ] {
        assert!(report["memory"][key].is_u64(), "{key}: {report}");
    }
    assert_eq!(report["audio_s"], 10.0);
    assert_eq!(report["blocks"]["acquired"], report["blocks"]["released"]);
    assert_ne!(report["blocks"]["acquired"], 0);
}

#[test]
fn start_and_duration_bound_the_transcript() {
    let output = run(
        "--quiet --format json --start 0:20 --duration 15",
        &[&fixture("standup.opus")],
    );
    let transcript: Value = serde_json::from_slice(&output.stdout).unwrap();
    let segments = transcript["segments"].as_array().unwrap();
    assert!(!segments.is_empty());
    for segment in segments {
        assert!(segment["start_s"].as_f64() >= Some(20.0), "{segment}");
        assert!(segment["end_s"].as_f64() <= Some(35.0), "{segment}");
    }
}

#[test]
fn a_plan_needs_no_input() {
    let output = check_exit("--plan", &[], 0, "");
    assert!(!output.stdout.is_empty());
}

#[test]
fn wrong_usage_is_2() {
    let input = fixture("standup.opus");
    check_exit("--no-such-flag", &[&input], 2, "--no-such-flag");
    check_exit("", &[], 2, "FILE");
    check_exit("--format docx", &[&input], 2, "expected one of txt, srt");
    check_exit("--format srt --format vtt", &[&input], 2, "--output DIR");
    check_exit("--window-seconds 3", &[&input], 2, "set 5 to 30");
    check_exit(
        "--language xx",
        &[&input],
        2,
        "knows English only, so use a model without .en",
    );
    check_exit(
        "--language de",
        &[&input],
        2,
        "knows English only, so use a model without .en",
    );
    check_exit(
        "--translate",
        &[&input],
        2,
        "cannot translate; use a model without .en",
    );
}

#[test]
fn an_unreadable_input_is_3() {
    let folder = TempDir::new().unwrap();
    let no_audio = folder.path().join("notes.wav");
    fs::write(&no_audio, "no audio at all").unwrap();
    check_exit("", &[&folder.path().join("missing.wav")], 3, "missing.wav");
    check_exit("", &[folder.path()], 3, "cannot read");
    let output = check_exit("", &[&no_audio], 3, "notes.wav");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_bad_model_is_4() {
    let folder = TempDir::new().unwrap();
    let model = fs::read_to_string(fixture("standup.json")).unwrap();
    let no_model = folder.path().join("model.bin");
    fs::write(&no_model, model).unwrap();
    let input = fixture("standup.opus");
    for path in [&no_model, &folder.path().join("missing.bin")] {
        let words = format!("--model {}", path.display());
        check_exit(&words, &[&input], 4, &path.display().to_string());
    }
}

#[test]
fn a_budget_that_is_too_small_is_5() {
    let output = check_exit(
        "--memory-budget 20M",
        &[&fixture("standup.opus")],
        5,
        "the budget is 20 MB",
    );
    assert_eq!(text(&output.stdout), "");
    check_exit("--memory-budget 20M --plan", &[], 5, "the budget is 20 MB");
}

/// Writes a copy of the one-minute fixture, changed by `change`, as `damaged.opus` in `folder`.
#[expect(clippy::disallowed_methods, reason = "a fixture of known size")]
fn damaged(folder: &TempDir, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(fixture("standup.opus")).unwrap();
    change(&mut bytes);
    let path = folder.path().join("damaged.opus");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_damaged_input_is_6_and_its_rest_is_transcribed() {
    let folder = TempDir::new().unwrap();
    let damaged = damaged(&folder, |bytes| bytes.truncate(bytes.len() / 3));
    let output = check_exit("--quiet", &[&damaged], 6, "cut off");
    assert_eq!(text(&output.stdout).lines().next(), Some(FIRST_LINE));
}

#[test]
fn damage_inside_an_input_is_reported_with_its_times() {
    let folder = TempDir::new().unwrap();
    let damaged = damaged(&folder, |bytes| {
        let hit = bytes.len() / 10;
        bytes[hit..hit + 2_000].fill(0x55);
    });
    let target = folder.path().join("damaged.json");
    let words = format!("--duration 20 --output {}", target.display());
    check_exit(&words, &[&damaged], 6, "missing: 0:00:0");
    // Damage is no reason to withhold the transcript.
    assert!(!json(&target)["segments"].as_array().unwrap().is_empty());
}

#[test]
fn a_failure_does_not_stop_the_files_after_it() {
    let folder = TempDir::new().unwrap();
    let report = folder.path().join("report.json");
    let words = format!("--duration 3.8 --report {}", report.display());
    let (missing, good) = (folder.path().join("missing.wav"), fixture("standup.opus"));
    let output = check_exit(&words, &[&missing, &good], 3, "missing.wav");
    assert_eq!(text(&output.stdout), format!("{FIRST_LINE}\n"));
    let report = json(&report);
    assert_eq!(
        (&report[0]["ended"], &report[1]["ended"]),
        (&"failed".into(), &"complete".into())
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_1() {
    check_exit(
        "--output /dev/full",
        &[&fixture("standup.opus")],
        1,
        "cannot write",
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = start("--quiet", &[&fixture("monologue.mp3")]);
    first_line(&mut child);
    // The pipe is closed by now.
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn start(words: &str, paths: &[&Path]) -> Child {
    let mut command = program();
    command.args(words.split_whitespace()).args(paths);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the first line on standard output, and closes it.
fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    line
}

/// Begins to transcribe ten minutes into `talk.json` in `folder` and waits until a segment is
/// written.
#[cfg(unix)]
fn start_into(folder: &Path) -> Child {
    let target = folder.join("talk.json");
    let child = start(
        &format!("--output {}", target.display()),
        &[&fixture("meeting.m4a")],
    );
    let deadline = Instant::now() + Duration::from_secs(120);
    while written(folder).matches('\n').count() < 3 {
        assert!(Instant::now() < deadline, "no segment after two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Returns the content of the only file in `folder`.
#[cfg(unix)]
fn written(folder: &Path) -> String {
    let name = names(folder).into_iter().next();
    name.map_or_else(String::new, |name| {
        fs::read_to_string(folder.join(name)).unwrap_or_default()
    })
}

#[cfg(unix)]
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

#[cfg(unix)]
#[test]
fn cancelled_is_130_and_keeps_a_whole_transcript() {
    for name in ["INT", "TERM"] {
        let folder = TempDir::new().unwrap();
        let child = start_into(folder.path());
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        assert!(
            text(&output.stderr).contains("talk.json.part"),
            "{}",
            text(&output.stderr)
        );
        assert_eq!(names(folder.path()), ["talk.json.part"]);
        let kept = json(&folder.path().join("talk.json.part"));
        assert!(kept["segments"].as_array().unwrap().len() >= 2);
        assert!(
            kept["duration_s"].as_f64() < Some(360.0),
            "{}",
            kept["duration_s"]
        );
    }
}

#[cfg(unix)]
#[test]
fn a_second_interrupt_ends_at_once() {
    let folder = TempDir::new().unwrap();
    let child = start_into(folder.path());
    signal(&child, "INT");
    signal(&child, "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert!(written(folder.path()).contains("\"id\":0,"));
}

#[cfg(unix)]
#[test]
fn a_killed_program_leaves_a_readable_prefix() {
    let folder = TempDir::new().unwrap();
    let mut child = start_into(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let prefix = written(folder.path());
    let whole: Value = serde_json::from_str(&format!("{prefix}]}}")).unwrap();
    assert!(whole["segments"].as_array().unwrap().len() >= 2);
    assert!(names(folder.path())[0].ends_with(".part"));
}
