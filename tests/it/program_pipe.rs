//! The example program between two pipes: text while the writer still writes, and every way in
//! which one end goes.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{FIRST_LINE, fixture, json, names, program, text};
use crate::support::input::{Pieces, decode_all};

/// Longest wait for a line: the first window takes seconds on a busy machine.
const LINE_WITHIN: Duration = Duration::from_secs(120);

#[expect(clippy::disallowed_methods, reason = "a fixture of known size")]
fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

fn start(words: &str) -> (Child, ChildStdin) {
    let mut command = program();
    command.args(words.split_whitespace());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

/// Runs the program with `input` on standard input, closed after.
fn run(words: &str, input: Vec<u8>) -> Output {
    let (child, mut stdin) = start(words);
    // The program may end before it has read all.
    let writer = thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The lines of a child's standard output, as they come.
fn lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::sync_channel(1_000);
    let out = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || {
        for line in out.lines() {
            let Ok(()) = send.send(line.unwrap()) else {
                return;
            };
        }
    });
    receive
}

#[test]
fn text_comes_while_the_writer_still_writes() {
    let input = bytes("standup.opus");
    let (mut child, mut stdin) = start("--quiet -");
    let lines = lines(&mut child);
    // 45 of its 60 seconds.
    let (before, behind) = input.split_at(input.len() * 3 / 4);
    stdin.write_all(before).unwrap();
    assert_eq!(lines.recv_timeout(LINE_WITHIN).unwrap(), FIRST_LINE);
    stdin.write_all(behind).unwrap();
    drop(stdin);
    let streamed: Vec<String> = lines.iter().collect();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let whole = program()
        .arg("--quiet")
        .arg(fixture("standup.opus"))
        .output()
        .unwrap();
    let whole: Vec<&str> = text(&whole.stdout).lines().skip(1).collect();
    assert_eq!(streamed, whole);
}

#[test]
fn a_flag_gives_the_format_of_raw_samples() {
    let decoded = decode_all(&mut Pieces::file(bytes("standup.opus"))).unwrap();
    let samples = decoded.samples.iter().take(16_000 * 4);
    let raw: Vec<u8> = samples
        .flat_map(|sample| ((sample * 32_767.0) as i16).to_be_bytes())
        .collect();
    let output = run("--quiet --raw s16be:16000:1 -", raw.clone());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), format!("{FIRST_LINE}\n"));

    let folder = TempDir::new().unwrap();
    let file = folder.path().join("talk.pcm");
    fs::write(&file, raw).unwrap();
    let words = ["--quiet", "--raw", "s16be:16000:1"];
    let output = program().args(words).arg(&file).output().unwrap();
    assert_eq!(text(&output.stdout), format!("{FIRST_LINE}\n"));

    let output = run("--raw s16le:16000:99 -", Vec::new());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("99 channels are out of range"));
}

#[test]
fn standard_input_has_a_name_in_a_folder() {
    let folder = TempDir::new().unwrap();
    let words = format!(
        "--quiet -f json -f srt --duration 4 -o {}/ -",
        folder.path().display()
    );
    let output = run(&words, bytes("standup.opus"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(names(folder.path()), ["stdin.json", "stdin.srt"]);
    let transcript = json(&folder.path().join("stdin.json"));
    assert_eq!(transcript["file"], "<stdin>");
    assert_eq!(transcript["segments"][0]["text"], FIRST_LINE);
}

/// If the writer is killed, its audio is transcribed, and the missing rest is reported.
#[test]
fn a_killed_writer_leaves_a_damaged_input() {
    let index_first = crate::support::files::index_first(&bytes("meeting.m4a"));
    for (what, mut input) in [("opus", bytes("standup.opus")), ("m4a", index_first)] {
        input.truncate(80_000);
        let output = run("--quiet -", input);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{what}: {said}");
        assert!(
            said.contains("<stdin>: damaged: the file is cut off"),
            "{what}: {said}"
        );
        assert!(!output.stdout.is_empty(), "{what}");
    }
}

/// One file of each kind with its end cut off or its middle overwritten, as file and as pipe.
#[test]
fn damage_of_every_kind_is_6_and_no_panic() {
    let folder = TempDir::new().unwrap();
    for (name, is_cut) in [
        ("mp3-cbr.mp3", true),
        ("aac-index-first.m4a", true),
        ("aac-fragments.mp4", false),
        ("aac-clusters.mkv", false),
        ("opus.webm", true),
        ("adpcm-ms.wav", true),
    ] {
        let mut input = bytes(&format!("formats/{name}"));
        let middle = input.len() / 2;
        if is_cut {
            input.truncate(middle);
        } else {
            let overwritten = input.len() / 4;
            input[middle..middle + overwritten].fill(0x55);
        }
        let file = folder.path().join(name);
        fs::write(&file, &input).unwrap();
        let of_file = program().arg("--quiet").arg(&file).output().unwrap();
        for output in [of_file, run("--quiet -", input)] {
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(6), "{name}: {said}");
            assert!(
                said.contains("damaged: ") && !said.contains("panicked"),
                "{name}: {said}"
            );
        }
    }
}

#[test]
fn an_index_that_comes_too_late_is_3_with_a_remedy() {
    let output = run("-", bytes("meeting.m4a"));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("-movflags +faststart"), "{said}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn nothing_on_standard_input_is_3() {
    let output = run("--quiet -", Vec::new());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Reads a line of both outputs, and closes them.
fn read_a_line(mut from: PipeReader) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while from.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

/// As in `transcribe - 2>&1 | head -1`: the lines at the end have no reader either.
#[test]
fn a_reader_that_leaves_both_outputs_is_no_failure() {
    for words in ["--quiet", "--verbose", "--plan"] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = program();
        command
            .args(words.split_whitespace())
            .arg(fixture("monologue.mp3"));
        command.stderr(writer.try_clone().unwrap()).stdout(writer);
        let mut child = command.spawn().unwrap();
        // It holds the ends for writing.
        drop(command);
        assert!(!read_a_line(reader).is_empty(), "{words}");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{words}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_does_not_wait_for_the_writer() {
    let (mut child, mut stdin) = start("--format jsonl -");
    let lines = lines(&mut child);
    let input = bytes("standup.opus");
    stdin.write_all(&input[..input.len() * 3 / 4]).unwrap();
    let first = lines.recv_timeout(LINE_WITHIN).unwrap();
    assert!(first.contains(FIRST_LINE));
    // The program has transcribed all input and waits for more.
    thread::sleep(Duration::from_secs(1));
    crate::program::signal(&child, "INT");
    // The writer is this test, so waiting for it would never end.
    let patience = Instant::now() + LINE_WITHIN;
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < patience, "it waits for the writer");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(stdin);
}

/// A named pipe as FILE is opened only once.
#[cfg(target_os = "linux")]
#[test]
fn a_named_pipe_is_a_pipe() {
    let folder = TempDir::new().unwrap();
    let fifo = folder.path().join("talk");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let mut command = program();
    command.args(["--quiet", "--duration", "4"]).arg(&fifo);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    write_to(&fifo, bytes("standup.opus"));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), format!("{FIRST_LINE}\n"));
}

#[cfg(target_os = "linux")]
fn write_to(fifo: &Path, bytes: Vec<u8>) {
    let mut writer = fs::OpenOptions::new().write(true).open(fifo).unwrap();
    // The program reads only what it needs.
    let _ = writer.write_all(&bytes);
}
