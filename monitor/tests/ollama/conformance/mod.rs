//! Compares the responses of the fake server with those of a real one.
//!
//! `OLLAMA_CONFORMANCE_URL` and `OLLAMA_CONFORMANCE_MODEL` select a real server and a small model
//! on it. Requests that load or unload models are sent only with `OLLAMA_CONFORMANCE_CHANGE=1`, and
//! only if no model is loaded before. The transcript is printed (`--nocapture`) and written to the
//! folder of the test's temporary files.

#![expect(clippy::print_stdout, reason = "a skipped test reports that")]

mod question;
#[cfg(target_os = "linux")]
mod steps;

use std::path::PathBuf;
use std::sync::Arc;

use steadyscribe_monitor::ollama::{Client, Host, ServerTraits, Version};
#[cfg(target_os = "linux")]
use steadyscribe_monitor::{ollama::LocalProbe, reader::System};

use crate::fake::clock::Clock;
use crate::fake::model::Model;
use crate::fake::process::Counted;
use crate::fake::{Fake, Setup};
use question::{changing, reading, transcript};

const MODEL: &str = "m:1b";

fn report(line: &str) {
    println!("{line}");
}

fn fake_transcripts(minor: u32, change: bool) -> Vec<String> {
    let setup = Setup {
        minor,
        ..Setup::of([Model::small(MODEL, 1 << 20)])
    };
    let fake = Fake::start(setup, Clock::default(), Arc::new(Counted::default()));
    ask(&format!("127.0.0.1:{}", fake.port()), MODEL, change)
}

fn ask(address: &str, model: &str, change: bool) -> Vec<String> {
    let mut questions = reading(model);
    if change {
        questions.extend(changing(model));
    }
    let answers = questions
        .iter()
        .map(|question| transcript(address, question));
    answers.collect()
}

const DETAILS: &str =
    r#""details":{"family":"text","parameter_size":"text","quantization_level":"text"}"#;

/// A response in JSON.
fn ok(name: &str, body: &str) -> String {
    format!("{name}: 200 application/json {body}")
}

/// An error in JSON.
fn error(name: &str, status: u16, message: &str) -> String {
    let body = serde_json::json!({ "error": message });
    format!("{name}: {status} application/json {body}")
}

/// A load or unload by `/api/generate`.
fn done(name: &str, reason: &str) -> String {
    let body = format!(r#"{{"done":true,"done_reason":"{reason}","model":"text","response":""}}"#);
    ok(name, &body)
}

/// A load or unload by `/api/chat`.
fn done_by_chat(reason: &str) -> String {
    let message = r#""message":{"content":"","role":"assistant"}"#;
    let body = format!(r#"{{"done":true,"done_reason":"{reason}",{message},"model":"text"}}"#);
    ok(&format!("{reason} by chat"), &body)
}

/// The documented responses of a version, in the order of the requests.
fn documented(minor: u32) -> Vec<String> {
    let not_found = "model 'there-is-none:1b' not found";
    let not_found_embed = "model \"there-is-none:1b\" not found, try pulling it first";
    let names = r#""model":"text","name":"text","size":"number""#;
    let context = match minor {
        0..10 => "",
        _ => r#""context_length":"number","#,
    };
    let tags = format!(r#"{{"models":[{{{DETAILS},"digest":"text",{names}}}]}}"#);
    let show = format!(
        r#"{{"capabilities":["text"],{DETAILS},"model_info":"object","modelfile":"text"}}"#
    );
    let ps = [
        format!(r#"{{"models":[{{{context}{DETAILS},"digest":"text","expires_at":"text","#),
        format!(r#"{names},"size_vram":"number"}}]}}"#),
    ];
    let stream = [
        r#"stream: 200 application/x-ndjson {"done":false,"model":"text","response":"text"} .. "#,
        r#"{"done":true,"done_reason":"length","model":"text","response":""}"#,
    ];
    let bad_time = "time: missing unit in duration \"300\"";
    let bad_option = "option \"num_ctx\" must be of type integer";
    vec![
        "root: 200 text/plain Ollama is running".to_owned(),
        ok("version", r#"{"version":"text"}"#),
        "head of version: 200 -".to_owned(),
        ok("tags", &tags),
        ok("ps", r#"{"models":[]}"#),
        ok("show", &show),
        error("show without model", 400, "model is required"),
        error("show of none", 404, not_found),
        "unknown path: 404 text/plain 404 page not found".to_owned(),
        "wrong method: 405 text/plain 405 method not allowed".to_owned(),
        "other host: 403 -".to_owned(),
        error("load without body", 400, "missing request body"),
        error("load of none", 404, not_found),
        error("chat without model", 400, "model is required"),
        error("chat with none", 404, not_found),
        error("embed with none", 404, not_found_embed),
        error("time without unit", 400, bad_time),
        error("time of wrong type", 400, "Unsupported type: 'bool'"),
        done("unload of what is not loaded", "unload"),
        done("load", "load"),
        ok("ps with one", &ps.concat()),
        done("reload", "load"),
        stream.concat(),
        error("bad option", 500, bad_option),
        done("unload", "unload"),
        done_by_chat("load"),
        done_by_chat("unload"),
    ]
}

fn check(minor: u32) {
    let expected = documented(minor);
    let answers = fake_transcripts(minor, true);
    for (answer, expected) in answers.iter().zip(&expected) {
        assert_eq!(answer, expected, "0.{minor}");
    }
    assert_eq!(answers.len(), expected.len());
}

#[test]
fn fake_answers_as_documented() {
    for minor in [9, 24, 33] {
        check(minor);
    }
}

/// Runs the steps on a fake server with real processes.
#[cfg(target_os = "linux")]
fn fake_steps(minor: u32) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::small(MODEL, 1 << 20);
    let blob = folder.path().join(format!("sha256-{}", model.digest));
    std::fs::File::create(&blob).unwrap();
    model.blob = blob.to_str().unwrap().to_owned();
    let setup = Setup {
        minor,
        ..Setup::of([model])
    };
    let processes = Arc::new(crate::fake::real::Real::new(folder.path()));
    let fake = Fake::start(setup, Clock::default(), processes);
    let watched = steps::Watched {
        client: &fake.client(),
        probe: Arc::new(LocalProbe::new(System::host(), fake.port())),
        model: MODEL,
    };
    watched.steps()
}

#[cfg(target_os = "linux")]
#[test]
fn fake_handles_processes_as_documented() {
    assert_eq!(
        fake_steps(33),
        [
            "before: no process, context None",
            "load: a process, context Some(2048)",
            "the same profile: the same process, context Some(2048)",
            "a smaller context: another process, context Some(1024)",
            "a generation with the profile: the same process, context Some(1024)",
            "a generation with another context: another process, context Some(2048)",
            "keep_alive 600: 10 min",
            "keep_alive \"10m\": 10 min",
            "keep_alive \"1h30m\": 90 min",
            "keep_alive null: 90 min",
            "keep_alive -1: forever",
            "keep_alive \"-1m\": forever",
            "unload: Resident before, Absent after",
            "unload: gone from the list true, process ended Some(true)",
        ]
    );
}

/// Returns the version of the fake that a real server is compared with.
fn minor_like(version: &Version) -> u32 {
    let traits = ServerTraits::of(version);
    match (traits.llama_server, traits.parallel == 1) {
        (true, _) => 33,
        (false, true) => 24,
        (false, false) => 9,
    }
}

#[test]
fn real_server_answers_as_the_fake_does() {
    let (Ok(url), Ok(model)) = (
        std::env::var("OLLAMA_CONFORMANCE_URL"),
        std::env::var("OLLAMA_CONFORMANCE_MODEL"),
    ) else {
        report("skipped: OLLAMA_CONFORMANCE_URL and OLLAMA_CONFORMANCE_MODEL are not set");
        return;
    };
    let host: Host = url.parse().unwrap();
    let client = Client::new(host.clone());
    let version = client.version().unwrap();
    let is_idle = client.running().unwrap().is_empty();
    let change =
        is_idle && std::env::var("OLLAMA_CONFORMANCE_CHANGE").is_ok_and(|value| value == "1");
    let minor = minor_like(&version);
    let mut lines = vec![format!(
        "Ollama {version} against the fake 0.{minor}, {}",
        if change { "changing" } else { "reading only" }
    )];
    let address = host.to_string();
    let mut answers = ask(address.trim_start_matches("http://"), &model, change);
    let mut expected = fake_transcripts(minor, change);
    let depends = reading(&model);
    let depends: Vec<&str> = depends
        .iter()
        .filter(|question| question.depends_on_others())
        .map(|question| question.name)
        .collect();
    let is_of = |line: &String| {
        depends
            .iter()
            .any(|name| line.starts_with(&format!("{name}: ")))
    };
    answers.retain(|line| !is_of(line));
    expected.retain(|line| !is_of(line));
    #[cfg(target_os = "linux")]
    if change && host.is_local() {
        let watched = steps::Watched {
            client: &client,
            probe: Arc::new(LocalProbe::of_host(&host)),
            model: &model,
        };
        answers.extend(watched.steps());
        expected.extend(fake_steps(minor));
    }
    lines.extend(answers.iter().cloned());
    lines.iter().for_each(|line| report(line));
    std::fs::write(transcript_path(&version), lines.join("\n") + "\n").unwrap();
    let differences: Vec<String> = answers
        .iter()
        .zip(&expected)
        .filter(|(answer, expected)| answer != expected)
        .map(|(answer, expected)| format!("  real {answer}\n  fake {expected}"))
        .collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    assert_eq!(answers.len(), expected.len());
}

/// Returns the path of the transcript.
fn transcript_path(version: &Version) -> PathBuf {
    let name = format!("ollama-conformance-{version}.txt");
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name.replace(['/', '\\'], "_"))
}

/// Runs the test for a real server in a process of its own, against another fake server.
#[cfg(target_os = "linux")]
fn as_if_real(can_generate: bool) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::small("real:1b", 1 << 20);
    let blob = folder.path().join(format!("sha256-{}", model.digest));
    std::fs::File::create(&blob).unwrap();
    model.blob = blob.to_str().unwrap().to_owned();
    model.can_generate = can_generate;
    let processes = Arc::new(crate::fake::real::Real::new(folder.path()));
    let fake = Fake::start(Setup::of([model]), Clock::default(), processes);
    std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "conformance::real_server_answers_as_the_fake_does",
            "--nocapture",
        ])
        .env("OLLAMA_CONFORMANCE_URL", fake.host().to_string())
        .env("OLLAMA_CONFORMANCE_MODEL", "real:1b")
        .env("OLLAMA_CONFORMANCE_CHANGE", "1")
        .output()
        .unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn suite_for_a_real_server_detects_differences() {
    let passed = as_if_real(true);
    let output = String::from_utf8_lossy(&passed.stdout);
    assert!(passed.status.success(), "{output}");
    assert!(output.contains("keep_alive \"1h30m\": 90 min"), "{output}");
    let failed = as_if_real(false);
    assert!(!failed.status.success());
    let output = String::from_utf8_lossy(&failed.stderr);
    assert!(output.contains("does not support generate"), "{output}");
}
