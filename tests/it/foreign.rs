//! Reads transcripts with other programs: subtitles with ffmpeg, tables and documents with Python.
//!
//! A test is skipped, with a line that says so, where its program is not installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use steadyscribe::sink::{Format, Output, Sink};
use steadyscribe::{Ending, Segment, Time, Token};

/// Returns whether a program is installed.
fn is_installed(program: &str, version: &str) -> bool {
    let there = Command::new(program)
        .arg(version)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        println!("skipped: {program} is not installed");
    }
    there
}

fn time(s: f64) -> Time {
    Time::from_seconds(s)
}

/// Returns segments whose text could be mistaken for the syntax of some format.
fn segments() -> Vec<Segment> {
    let texts = [
        "Good morning, everyone.",
        "Grüße aus Köln, 你好，世界, مرحبا, 🎙️.",
        "A & B < C > D; \"quoted\", it's <i>not</i> a tag.",
        "An arrow --> in the text.",
        "[00:12.00] no time, [al: no tag]",
        "=cmd|'/c calc'!A1, a comma, and a \"quote\"",
        "NOTE no comment",
        "42",
        "This sentence is so long that it cannot stand in two lines of forty-two characters each, \
         and so it is divided into several subtitles that follow each other in time.",
    ];
    let mut segments = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let start = 10.0 * n as f64;
        let mut segment = Segment::new(time(start + 0.5), time(start + 8.25), *text);
        segment.id = n as u64;
        segment.quality.confidence = Some(0.75);
        segment.tokens = vec![Token::new(7, *text, 0.5, segment.start, segment.end)];
        segments.push(segment);
    }
    segments
}

/// Writes the segments as a file of a format.
fn write(folder: &Path, format: Format, segments: &[Segment]) -> PathBuf {
    let path = folder.join(format!("talk.{}", format.extension()));
    let mut output = Output::create(&path, format, "talk.wav").unwrap();
    for segment in segments {
        output.segment(segment).unwrap();
    }
    let mut ending = Ending::default();
    ending.duration = time(100.0);
    output.finish(&ending).unwrap();
    path
}

/// Start in milliseconds, end in milliseconds, text on one line.
type Cue = (u64, u64, String);

fn milliseconds(clock: &str) -> u64 {
    let parts: Vec<u64> = clock
        .trim()
        .split([':', ','])
        .map(|part| part.parse().unwrap())
        .collect();
    parts[0] * 3_600_000 + parts[1] * 60_000 + parts[2] * 1_000 + parts[3]
}

/// Parses SubRip.
fn cues(srt: &str) -> Vec<Cue> {
    let srt = srt.replace('\r', "");
    let blocks = srt.split("\n\n").filter(|block| !block.trim().is_empty());
    let cue = |block: &str| {
        let mut lines = block.trim_start_matches('\n').lines().skip(1);
        let (start, end) = lines.next().unwrap().split_once("-->").unwrap();
        let text = lines.collect::<Vec<_>>().join(" ");
        (milliseconds(start), milliseconds(end), text)
    };
    blocks.map(cue).collect()
}

/// Returns the subtitles that ffmpeg reads in a file.
fn by_ffmpeg(path: &Path) -> Vec<Cue> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        // As plain text, because its SubRip writer has a syntax for styles.
        .args(["-c:s", "text", "-f", "srt", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", path.display());
    cues(std::str::from_utf8(&output.stdout).unwrap())
}

#[test]
fn ffmpeg_reads_the_subtitles() {
    if !is_installed("ffmpeg", "-version") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let srt = write(folder.path(), Format::Srt, &segments());
    let ours = cues(&std::fs::read_to_string(&srt).unwrap());
    assert!(ours.len() > segments().len(), "none was divided");
    assert_eq!(by_ffmpeg(&srt), ours);

    // These formats can quote, or have no such syntax.
    let quoted = ours
        .iter()
        .map(|(start, end, text)| (*start, *end, text.replace('→', "-->").replace('‹', "<")));
    let vtt = write(folder.path(), Format::Vtt, &segments());
    assert_eq!(by_ffmpeg(&vtt), quoted.clone().collect::<Vec<_>>());

    // Lyrics have starts in hundredths of a second and no ends, and brackets at the start of a text
    // become parentheses.
    let lyrics: Vec<_> = quoted
        .map(|(start, _, text)| match text.strip_prefix('[') {
            Some(rest) => (start / 10 * 10, format!("({}", rest.replacen(']', ")", 1))),
            None => (start / 10 * 10, text),
        })
        .collect();
    let lrc = write(folder.path(), Format::Lrc, &segments());
    let theirs = by_ffmpeg(&lrc).into_iter();
    let theirs: Vec<_> = theirs.map(|(start, _, text)| (start, text)).collect();
    assert_eq!(theirs, lyrics);
}

#[test]
fn ffmpeg_shows_what_looks_like_a_style() {
    if !is_installed("ffmpeg", "-version") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = "{\\an8}Up, <b>bold</b> & </i>";
    let segment = Segment::new(time(1.0), time(4.0), text);
    let srt = write(folder.path(), Format::Srt, &[segment]);
    // ffmpeg doubles every backslash, so single words are compared.
    let shown: Vec<String> = by_ffmpeg(&srt).into_iter().map(|cue| cue.2).collect();
    assert_eq!(shown.len(), 1);
    for word in ["an8", "Up", "b>bold", "/b>", "/i>"] {
        assert!(shown[0].contains(word), "{shown:?} lacks {word}");
    }
}

#[test]
fn python_reads_tables_and_documents() {
    if !is_installed("python3", "--version") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let expected: Vec<Value> = segments()
        .iter()
        .map(|segment| {
            serde_json::json!([segment.start.seconds(), segment.end.seconds(), segment.text])
        })
        .collect();
    for (format, script) in [
        (
            Format::Csv,
            "import csv, json, sys\n\
             file = open(sys.argv[1], encoding='utf-8', newline='')\n\
             rows = csv.DictReader(file, strict=True)\n\
             rows = [[float(r['start_s']), float(r['end_s']), r['text']] for r in rows]\n\
             print(json.dumps(rows))",
        ),
        (
            Format::Json,
            "import json, sys\n\
             talk = json.load(open(sys.argv[1], encoding='utf-8'))\n\
             rows = [[s['start_s'], s['end_s'], s['text']] for s in talk['segments']]\n\
             print(json.dumps(rows))",
        ),
        (
            Format::JsonLines,
            "import json, sys\n\
             lines = [json.loads(line) for line in open(sys.argv[1], encoding='utf-8')]\n\
             lines = [s for s in lines if 'text' in s]\n\
             print(json.dumps([[s['start_s'], s['end_s'], s['text']] for s in lines]))",
        ),
    ] {
        let path = write(folder.path(), format, &segments());
        let read: Vec<Value> = serde_json::from_str(&python(script, &path)).unwrap();
        assert_eq!(read, expected, "{format}");
    }
}

fn python(script: &str, path: &Path) -> String {
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", path.display());
    String::from_utf8(output.stdout).unwrap()
}
