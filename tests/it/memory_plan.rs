//! The plan's promise: what a process privately holds once everything was used is at most what was planned,
//! and at least 95 % of it; and what whisper.cpp reserves is what was said, within 3 %.
//!
//! Each measurement runs in a process of its own, so that no other test's memory counts.

use std::path::{Path, PathBuf};
use std::process::Command;

use steadyscribe::budget::Plan;
use steadyscribe::{
    Config, FileSource, ModelHeader, Segment, Transcriber, Whisper, WhisperOptions,
};
use steadyscribe::{memory, monitor};
use whisper_rs::{WhisperContext, WhisperContextParameters};

use crate::widened::{Format, Model, SHAPES};

const FIXTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);

/// Several windows of speech, and one short one, which is what the large models take on in bearable time.
const SPEECH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/standup.opus");
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/model/clips/000.flac");

/// Heap that may stay when the state is given back: our own buffers for one window and its logits.
const HEAP_SLACK_BYTES: u64 = 3_000_000;

/// Runs `test` of this file alone in a new process and returns what it wrote.
fn child(test: &str, model: &Path, flash_attention: bool, audio: &str) -> (String, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("memory_plan::{test}"),
            "--ignored",
            "--nocapture",
        ])
        .env("STEADYSCRIBE_TEST_MODEL", model)
        .env(
            "STEADYSCRIBE_TEST_FLASH",
            if flash_attention { "1" } else { "0" },
        )
        .env("STEADYSCRIBE_TEST_AUDIO", audio)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    (text(&output.stdout), text(&output.stderr))
}

/// The model, the kind of attention and the audio that the parent asks for, in a child.
fn asked() -> Option<(PathBuf, bool, PathBuf)> {
    let model = std::env::var_os("STEADYSCRIBE_TEST_MODEL")?;
    let flash_attention = std::env::var_os("STEADYSCRIBE_TEST_FLASH")? == "1";
    let audio = std::env::var_os("STEADYSCRIBE_TEST_AUDIO")?;
    Some((model.into(), flash_attention, audio.into()))
}

/// A configuration whose budget just admits the model in this way of running.
fn config_for(header: &ModelHeader, flash_attention: bool) -> Config {
    let mut config = Config::default();
    let way = header.footprints()[usize::from(flash_attention)];
    config.memory_budget_bytes = Some(Plan::new(&config, &[way]).unwrap().peak_bytes());
    config
}

#[test]
#[ignore = "started by other tests with a model"]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn held_by_a_process() {
    let Some((model, flash_attention, audio)) = asked() else {
        return;
    };
    memory::return_large_blocks();
    memory::keep_pages_small();
    let whisper = Whisper::open(&model, WhisperOptions::default()).unwrap();
    let config = config_for(whisper.header(), flash_attention);
    let mut scribe = Transcriber::new(config, whisper).unwrap();
    assert_eq!(scribe.plan().chosen().flash_attention, flash_attention);
    let held = || monitor::reader::own().unwrap().private_bytes;
    println!("loaded {}", held());
    scribe.warm_up().unwrap();
    println!("warm {}", held());
    let mut segments: Vec<Segment> = Vec::new();
    scribe
        .transcribe(FileSource::open(audio).unwrap(), &mut segments)
        .unwrap();
    println!("used {}", held());
    println!("segments {}", segments.len());
    assert!(scribe.release_state());
    println!("released {}", held());
}

#[test]
#[ignore = "started by other tests with a model"]
fn state_is_made() {
    let Some((model, flash_attention, _)) = asked() else {
        return;
    };
    let mut parameters = WhisperContextParameters::default();
    parameters.flash_attn(flash_attention).use_gpu(false);
    let context = WhisperContext::new_with_params(&model, parameters).unwrap();
    drop(context.create_state().unwrap());
}

/// The number that stands behind a word in a text.
fn number(text: &str, word: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(word))
        .expect(word);
    line.trim().parse().unwrap()
}

/// Sums the sizes that whisper.cpp announces for its caches and compute buffers, in bytes: its megabytes have
/// two digits.
fn announced_bytes(log: &str) -> u64 {
    let sizes = log
        .lines()
        .filter(|line| line.starts_with("whisper_init_state:"));
    let sizes = sizes.filter_map(|line| line.split_once('=')?.1.trim().strip_suffix("MB"));
    let hundredths = sizes.map(|size| size.trim().replace('.', "").parse::<u64>().unwrap());
    hundredths.sum::<u64>() * 10_000
}

/// Checks the plan for a model against whisper.cpp's log and against a process.
#[track_caller]
fn check(model: &Path, flash_attention: bool, audio: &str) {
    let header = ModelHeader::read(model).unwrap();
    let config = config_for(&header, flash_attention);
    let plan = Plan::new(&config, &header.footprints()).unwrap();

    let (_, log) = child("state_is_made", model, flash_attention, audio);
    let (planned, announced) = (plan.reserved_bytes(), announced_bytes(&log));
    assert!(
        planned.abs_diff(announced) <= announced * 3 / 100,
        "{header}, flash {flash_attention}: reserved {planned}, whisper.cpp says {announced}"
    );

    let (out, _) = child("held_by_a_process", model, flash_attention, audio);
    let table = format!("{header}, flash {flash_attention}: {out}{plan}");
    for when in ["warm ", "used "] {
        let held = number(&out, when);
        let share = held * 1_000 / plan.total_bytes();
        eprintln_if_asked(&format!("{when}{share} of 1,000: {table}"));
        assert!(
            held <= plan.total_bytes(),
            "{when}and promised too little: {table}"
        );
        assert!(share >= 950, "{when}and promised too much: {table}");
    }
    assert!(number(&out, "segments ") > 0, "{table}");
    // What is left is the model and what is not the engine's, within the heap's last pages.
    let left = plan.total_bytes() - plan.chosen().state_bytes;
    let released = number(&out, "released ");
    assert!(
        released <= left + HEAP_SLACK_BYTES,
        "the state was not given back: {table}"
    );
}

/// Shows what was measured when `STEADYSCRIBE_SHOW` is set.
#[expect(clippy::print_stderr, reason = "figures for people")]
fn eprintln_if_asked(text: &str) {
    if std::env::var_os("STEADYSCRIBE_SHOW").is_some() {
        eprintln!("{text}\n");
    }
}

/// Every published shape as f16 and q5_0, whole and flash attention: `cargo test --release --test it --
/// --ignored published_shapes`. It needs 4 GB of disk under target/ and 5 GB of memory, and most of an hour. With
/// `STEADYSCRIBE_SHAPES=tiny,base` only these are made.
#[test]
#[ignore = "needs gigabytes and minutes"]
fn published_shapes_hold_what_the_plan_promised() {
    let asked = std::env::var("STEADYSCRIBE_SHAPES").ok();
    let asked = asked
        .as_deref()
        .map(|names| names.split(',').collect::<Vec<_>>());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models");
    std::fs::create_dir_all(&folder).unwrap();
    let fixture = Model::read(FIXTURE.as_ref()).unwrap();
    let path = folder.join(format!("checked-{}.bin", std::process::id()));
    for shape in SHAPES
        .iter()
        .filter(|s| asked.as_ref().is_none_or(|a| a.contains(&s.name)))
    {
        for format in [Format::F16, Format::Q5_0] {
            fixture.widen(shape, format, &path).unwrap();
            assert_eq!(ModelHeader::read(&path).unwrap().shape(), shape.name);
            for flash_attention in [false, true] {
                check(&path, flash_attention, CLIP);
            }
        }
    }
    std::fs::remove_file(path).unwrap();
}

mod slow {
    use super::*;

    #[test]
    #[ignore = "slow: make test-all"]
    fn a_process_holds_what_the_plan_promised() {
        for flash_attention in [false, true] {
            check(FIXTURE.as_ref(), flash_attention, SPEECH);
        }
    }
}
