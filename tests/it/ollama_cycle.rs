//! Runs the example `ollama_cycle` against the fake server of the monitor's tests with real
//! processes.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{FIRST_LINE, example, fixture, text};
use fake::clock::Clock;
use fake::model::Model;
use fake::real::Real;
use fake::{Fake, Setup};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the monitor's tests use the rest, and a test program has no outside"
)]
#[path = "../../monitor/tests/ollama/fake/mod.rs"]
mod fake;
#[path = "../../monitor/tests/ollama/helper.rs"]
mod helper;

const WEIGHTS_BYTES: u64 = 24 << 20;

/// Starts a server with one model that fits no machine, and one that fits every machine.
fn serve(folder: &Path) -> Fake {
    let mut small = Model::small("small:1b", WEIGHTS_BYTES);
    let blob = folder.join(format!("sha256-{}", small.digest));
    std::fs::File::create(&blob).unwrap();
    small.blob = blob.to_str().unwrap().to_owned();
    let huge = Model::small("huge:400b", 1 << 50);
    let processes = Arc::new(Real::new(folder));
    Fake::start(Setup::of([huge, small]), Clock::default(), processes)
}

fn run(host: &str, words: &str) -> Output {
    example("ollama_cycle")
        .arg(fixture("standup.opus"))
        .args(["--host", host])
        .args(words.split_whitespace())
        .output()
        .unwrap()
}

/// Returns the megabytes of the program and the server in a row of the table.
fn figures(errors: &str, moment: &str) -> (u64, Option<u64>) {
    let line = errors.lines().find(|line| line.ends_with(moment)).unwrap();
    let numbers = line.trim_end_matches(moment).replace(" MB", "");
    let mut numbers = numbers.split_whitespace().skip(1);
    let own = numbers.next().unwrap().parse().unwrap();
    (own, numbers.next().unwrap().parse().ok())
}

#[test]
fn transcript_is_printed_without_a_server() {
    // Nothing can listen on port 1 without being root.
    let output = run("127.0.0.1:1", "--llm small:1b");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with(FIRST_LINE));
    let errors = text(&output.stderr);
    assert!(errors.contains("start it with `ollama serve`"), "{errors}");
}

#[test]
fn error_contains_the_remedy_if_no_model_fits() {
    let folder = TempDir::new().unwrap();
    let fake = serve(folder.path());
    let output = run(&fake.host().to_string(), "--llm huge:400b");
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(errors.contains("use a smaller model"), "{errors}");
    assert_eq!(fake.bodies("/api/generate"), Vec::<Value>::new());
}

/// Run by `make test-all`.
mod slow {
    use super::*;

    #[test]
    #[ignore = "slow: make test-all"]
    fn transcript_is_summarized_and_every_model_is_unloaded() {
        let folder = TempDir::new().unwrap();
        let fake = serve(folder.path());
        let words = "--llm none:1b --llm huge:400b --llm small:1b --question Shorten:";
        let output = run(&fake.host().to_string(), words);
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{errors}");

        // The transcript, then the answer of the model.
        assert!(out.starts_with(FIRST_LINE), "{out}");
        assert!(out.ends_with("\none two three\n"), "{out}");
        let bodies = fake.bodies("/api/generate");
        let asked: Vec<&str> = bodies
            .iter()
            .filter_map(|body| body["prompt"].as_str())
            .collect();
        assert_eq!(asked.len(), 1);
        assert!(
            asked[0].starts_with(&format!("Shorten:\n\n{FIRST_LINE}")),
            "{asked:?}"
        );
        assert!(
            asked[0].lines().count() > 10,
            "the whole transcript, {asked:?}"
        );
        assert_eq!(
            bodies.iter().filter(|body| body["keep_alive"] == 0).count(),
            1
        );
        assert_eq!(
            fake.shared.scheduler.loads(),
            1,
            "neither of the others was tried"
        );

        // The table.
        let moments = [
            "start",
            "speech model loaded",
            "transcribed",
            "speech model unloaded",
            "small:1b loaded, 8192 tokens",
            "answered",
            "model unloaded",
        ];
        let mut lines = errors.lines();
        for moment in moments {
            assert!(
                lines.any(|line| line.ends_with(moment)),
                "{moment} in {errors}"
            );
        }
        let held = |moment: &str| figures(errors, moment);
        let (own, _) = held("speech model loaded");
        let (own_after, none) = held("speech model unloaded");
        assert!(own_after < own, "{own_after} after {own} MB");
        assert_eq!(none, None, "the server was not contacted before");
        let (_, theirs) = held("small:1b loaded, 8192 tokens");
        assert!(theirs >= Some(WEIGHTS_BYTES / 1_000_000), "{theirs:?} MB");
        assert!(errors.contains("huge:400b does not fit"), "{errors}");
        assert!(errors.contains("none:1b is not installed"), "{errors}");
        assert!(errors.contains("small:1b was unloaded in"), "{errors}");
        assert!(errors.contains("and its process has ended"), "{errors}");
        assert!(fake.shared.scheduler.names().is_empty());
    }
}
