//! Measures the plan: what a process privately holds once everything was used is at most what was
//! planned, and at least 95 % of it; what whisper.cpp reserves is what was planned, within 3 %.
//!
//! Each measurement runs in a process of its own, so that no other test's memory counts.

use std::path::{Path, PathBuf};
use std::process::Command;

use steadyscribe::budget::{Plan, Variant};
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

/// Several windows of speech, and a short one for the large models, which take minutes for it.
const SPEECH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/standup.opus");
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/model/clips/000.flac");

/// Heap that the allocator may keep when the state is freed.
const HEAP_SLACK_BYTES: u64 = 1_000_000;

/// Runs `test` of this file alone in a new process. Returns what it wrote to standard output and
/// standard error.
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

/// Returns the model, the kind of attention and the audio that the parent process asks for.
fn asked() -> Option<(PathBuf, bool, PathBuf)> {
    let model = std::env::var_os("STEADYSCRIBE_TEST_MODEL")?;
    let flash_attention = std::env::var_os("STEADYSCRIBE_TEST_FLASH")? == "1";
    let audio = std::env::var_os("STEADYSCRIBE_TEST_AUDIO")?;
    Some((model.into(), flash_attention, audio.into()))
}

/// Returns the variant, and a configuration whose budget just admits it.
fn config_for(header: &ModelHeader, flash_attention: bool) -> (Variant, Config) {
    let mut config = Config::default();
    let variants = header.variants();
    let variant = &variants[usize::from(flash_attention)];
    let plan = Plan::new(&config, std::slice::from_ref(variant), 1).unwrap();
    config.memory_budget_bytes = Some(plan.peak_bytes());
    (variant.clone(), config)
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
    let (variant, config) = config_for(whisper.header(), flash_attention);
    let mut scribe = Transcriber::new(config, whisper).unwrap();
    assert_eq!(scribe.plan().variant(), &variant);
    let held = || monitor::reader::own().unwrap().private_bytes;
    println!("opened {}", held());
    assert_eq!(scribe.engines().held().total_bytes(), 0);
    scribe.engines().load().unwrap();
    println!("loaded {}", held());
    scribe.warm_up().unwrap();
    println!("warm {}", held());
    let mut segments: Vec<Segment> = Vec::new();
    scribe
        .transcribe(FileSource::open(audio).unwrap(), &mut segments)
        .unwrap();
    println!("used {}", held());
    println!("segments {}", segments.len());
    let released = scribe.engines().reclaim();
    assert_eq!(released.freed_bytes, variant.footprint.state_bytes);
    assert_eq!(released.pending_bytes, 0);
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

/// Returns the number behind a word at the start of a line.
fn number(text: &str, word: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(word))
        .expect(word);
    line.trim().parse().unwrap()
}

/// Sums the sizes that whisper.cpp logs for its caches and compute buffers, in bytes. Its megabytes
/// have two digits.
fn logged_bytes(log: &str) -> u64 {
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
    let (_, config) = config_for(&header, flash_attention);
    let plan = Plan::new(&config, &header.variants(), 1).unwrap();

    let (_, log) = child("state_is_made", model, flash_attention, audio);
    let (planned, logged) = (plan.reserved_bytes(), logged_bytes(&log));
    assert!(
        planned.abs_diff(logged) <= logged * 3 / 100,
        "{header}, flash {flash_attention}: planned {planned} reserved, whisper.cpp logs {logged}"
    );

    let (out, _) = child("held_by_a_process", model, flash_attention, audio);
    let table = format!("{header}, flash {flash_attention}: {out}{plan}");
    for when in ["warm ", "used "] {
        let held = number(&out, when);
        let share = held * 1_000 / plan.total_bytes();
        eprintln_if_asked(&format!("{when}{share} of 1,000: {table}"));
        assert!(
            held <= plan.total_bytes(),
            "{when}and more than planned: {table}"
        );
        assert!(share >= 950, "{when}and much less than planned: {table}");
    }
    assert!(number(&out, "segments ") > 0, "{table}");
    let footprint = plan.variant().footprint;
    let opened = number(&out, "opened ");
    assert!(
        opened <= plan.total_bytes() - footprint.held_bytes(),
        "the engine holds memory before it is loaded: {table}"
    );
    // The model stays, and what does not belong to the engine.
    let left = plan.total_bytes() - footprint.state_bytes;
    let released = number(&out, "released ");
    assert!(
        released <= left + HEAP_SLACK_BYTES,
        "the state was not freed: {table}"
    );
}

/// Prints what was measured if `STEADYSCRIBE_SHOW` is set.
#[expect(clippy::print_stderr, reason = "figures for people")]
fn eprintln_if_asked(text: &str) {
    if std::env::var_os("STEADYSCRIBE_SHOW").is_some() {
        eprintln!("{text}\n");
    }
}

/// Checks every published shape as f16 and q5_0, with full and flash attention: `cargo test
/// --release --test it -- --ignored published_shapes`. It needs 4 GB of disk under target/, 5 GB of
/// memory, and most of an hour. `STEADYSCRIBE_SHAPES=tiny,base` limits it to these.
#[test]
#[ignore = "needs gigabytes and minutes"]
fn published_shapes_hold_what_was_planned() {
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
    fn a_process_holds_what_was_planned() {
        for flash_attention in [false, true] {
            check(FIXTURE.as_ref(), flash_attention, SPEECH);
        }
    }
}
