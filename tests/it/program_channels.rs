//! The example program's `--channels`.

use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use crate::program::{fixture, json, program, text};

fn run(words: &str, input: &Path) -> Output {
    program()
        .args(words.split_whitespace())
        .arg(input)
        .output()
        .unwrap()
}

/// A recording whose left channel is silent and whose right one is 8 s of the standup.
fn one_sided(folder: &TempDir) -> PathBuf {
    let said = folder.path().join("said.raw");
    let mut source = steadyscribe::FileSource::open(fixture("standup.opus")).unwrap();
    let samples = crate::support::input::decode_all(&mut source)
        .unwrap()
        .samples;
    let frames = samples[..8 * 16_000].iter();
    let bytes: Vec<u8> = frames
        .flat_map(|sample| [[0; 4], sample.to_le_bytes()].concat())
        .collect();
    std::fs::write(&said, bytes).unwrap();
    said
}

#[test]
fn channels_are_mixed_or_marked() {
    let folder = tempfile::tempdir().unwrap();
    let input = one_sided(&folder);
    let report = folder.path().join("report.json");
    let raw = "--quiet --raw f32le:16000:2";
    let mixed = run(raw, &input);
    assert!(text(&mixed.stdout).starts_with("We need"), "{mixed:?}");

    let words = format!(
        "{raw} --channels split --format jsonl --report {}",
        report.display()
    );
    let split = run(&words, &input);
    assert_eq!(split.status.code(), Some(0), "{}", text(&split.stderr));
    let mut segments = 0;
    for line in text(&split.stdout).lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line.get("text").is_some() {
            assert_eq!(line["channel"], 1, "{line}");
            segments += 1;
        }
    }
    assert_eq!(segments, text(&mixed.stdout).lines().count());
    let entries = json(&report);
    for (channel, said) in [(0, 0), (1, segments)] {
        assert_eq!(entries[channel]["channel"], channel);
        assert_eq!(entries[channel]["segments"], said);
        assert_eq!(entries[channel]["ended"], "complete");
    }
}

#[test]
fn inputs_that_cannot_be_split_are_refused() {
    let standup = fixture("standup.opus");
    for (words, input, code, why) in [
        ("--channels split", Path::new("-"), 2, "give it as a file"),
        (
            "--channels split --journal j",
            &*standup,
            2,
            "use only one of them",
        ),
        (
            "--channels split --memory-budget 50M",
            &*standup,
            5,
            "the budget is 50 MB",
        ),
    ] {
        let output = run(words, input);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}: {said}");
        assert!(said.contains(why), "{words}: {said}");
    }
}

#[test]
fn a_plan_states_the_memory_of_each_further_channel() {
    let output = run("--quiet --plan --channels split", &fixture("standup.opus"));
    let said = text(&output.stdout);
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("each further channel") && last.ends_with(" MB"),
        "{said}"
    );
}
