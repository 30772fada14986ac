//! Models by name in the example program, from a server on loopback.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{FIRST_LINE, fixture, names, program, text};
use crate::support::server::{Asked, Reply, Server, file};
use crate::widened::{Format, MULTILINGUAL, Model, Shape};

const NAME: &str = "hf:ada/speech/fixture.bin";

/// The program with a store and a server of its own, in no other surroundings.
fn with(store: &Path, endpoint: &str, words: &str) -> Command {
    let mut command = program();
    for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_DOWNLOAD_TIMEOUT"] {
        command.env_remove(name);
    }
    command
        .env("STEADYSCRIBE_CACHE", store)
        .env("HF_ENDPOINT", endpoint)
        .args(words.split_whitespace());
    command
}

fn run(store: &Path, endpoint: &str, words: &str) -> Output {
    with(store, endpoint, words).output().unwrap()
}

fn transcribe(store: &Path, endpoint: &str, words: &str) -> Output {
    let words = format!("--duration 3.8 {words}");
    with(store, endpoint, &words)
        .arg(fixture("standup.opus"))
        .output()
        .unwrap()
}

/// A server of the fixture model, with faults.
fn serving(fault: impl Fn(usize, &Asked, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let model = model();
    Server::start(move |before, asked| fault(before, asked, file(asked, &model)))
}

#[expect(clippy::disallowed_methods, reason = "a file of known size")]
fn model() -> Vec<u8> {
    fs::read(fixture("model/fixture-q8_0.bin")).unwrap()
}

fn check(output: &Output, code: i32, says: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(says), "{said}");
}

#[test]
fn a_named_model_is_downloaded_once() {
    let store = TempDir::new().unwrap();
    let server = serving(|_, _, reply| reply);
    let words = format!("--model {NAME}");
    let output = transcribe(store.path(), &server.url, &words);
    check(
        &output,
        0,
        &format!(
            "fetching {}/ada/speech/resolve/main/fixture.bin",
            server.url
        ),
    );
    assert_eq!(text(&output.stdout).trim_end(), FIRST_LINE);
    // No bar where there is no terminal.
    assert!(
        !text(&output.stderr).contains(['\r', '\u{1b}']),
        "{:?}",
        text(&output.stderr)
    );
    // The second time nobody is asked, whether there is a network or not.
    let output = transcribe(
        store.path(),
        "http://127.0.0.1:1",
        &format!("--quiet {words}"),
    );
    check(&output, 0, "");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(server.asked().len(), 1);
    let path = run(store.path(), "", &format!("models path {NAME}"));
    let path = Path::new(text(&path.stdout).trim_end()).to_owned();
    assert_eq!(path, store.path().join("ada/speech/fixture.bin"));
    assert_eq!(names(path.parent().unwrap()), ["fixture.bin"]);
}

#[test]
fn a_killed_download_continues_where_it_ended() {
    let store = TempDir::new().unwrap();
    let server = serving(|before, _, reply| Reply {
        stall_at: (before == 0).then_some(4 << 20),
        ..reply
    });
    let words = format!("models fetch {NAME}");
    let mut child = with(store.path(), &server.url, &words)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let part = store.path().join("ada/speech/fixture.bin.part");
    let arrived = || fs::metadata(&part).map_or(0, |part| part.len());
    let deadline = Instant::now() + Duration::from_secs(60);
    while arrived() < 4 << 20 {
        assert!(
            Instant::now() < deadline,
            "{} bytes after a minute",
            arrived()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let output = run(store.path(), &server.url, &words);
    check(&output, 0, "4194304 bytes are here");
    assert_eq!(server.asked()[1].from(), Some(4 << 20));
    assert_eq!(names(part.parent().unwrap()), ["fixture.bin"]);
}

#[test]
fn a_cut_connection_a_stall_and_a_busy_server_are_no_failure() {
    let store = TempDir::new().unwrap();
    let server = serving(|before, _, reply| match before {
        0 => Reply {
            cut_at: Some(2 << 20),
            ..reply
        },
        1 => Reply {
            stall_at: Some(1 << 20),
            ..reply
        },
        2 => Reply::status(503),
        _ => reply,
    });
    let output = with(store.path(), &server.url, &format!("models fetch {NAME}"))
        .env("HF_HUB_DOWNLOAD_TIMEOUT", "3")
        .output()
        .unwrap();
    check(&output, 0, "trying again in 0.5 s");
    check(&output, 0, "the server answered 503");
    let from: Vec<_> = server.asked().iter().map(Asked::from).collect();
    assert_eq!(from, [None, Some(2 << 20), Some(3 << 20), Some(3 << 20)]);
}

#[test]
fn two_programs_at_once_fetch_once() {
    let store = TempDir::new().unwrap();
    // The answer waits until the second program has said that it waits for the first.
    let (go, gate) = sync_channel::<()>(1);
    let gate = Mutex::new(gate);
    let server = serving(move |_, _, reply| {
        gate.lock().unwrap().recv().unwrap();
        reply
    });
    let words = format!("models fetch {NAME}");
    let start = || {
        let mut command = with(store.path(), &server.url, &words);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let first = start();
    while server.asked().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut second = start();
    let mut errors = BufReader::new(second.stderr.take().unwrap()).lines();
    assert!(errors.any(|line| {
        line.unwrap()
            .contains("another process is fetching this model")
    }));
    go.send(()).unwrap();
    let second = second.wait_with_output().unwrap();
    assert_eq!(second.status.code(), Some(0));
    let first = first.wait_with_output().unwrap();
    check(&first, 0, "fetching http");
    assert_eq!(text(&first.stdout), text(&second.stdout));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_model_that_cannot_be_downloaded_is_4() {
    let store = TempDir::new().unwrap();
    let damaging = serving(|_, _, mut reply| {
        reply.body[9_000_000] ^= 0x80;
        reply
    });
    let words = format!("--model {NAME}");
    let output = transcribe(store.path(), &damaging.url, &words);
    check(&output, 4, "has the SHA-256 ");
    assert_eq!(
        names(&store.path().join("ada/speech")),
        ["fixture.bin.lock"]
    );
    assert_eq!(text(&output.stdout), "");

    let output = transcribe(store.path(), "http://127.0.0.1:1", &words);
    check(&output, 4, "cannot reach http://127.0.0.1:1/ada");
    // Nobody listens there, so a second attempt is pointless.
    assert!(!text(&output.stderr).contains("trying again"));
    let mut offline = with(store.path(), &damaging.url, &format!("models fetch {NAME}"));
    check(
        &offline.env("HF_HUB_OFFLINE", "1").output().unwrap(),
        4,
        "HF_HUB_OFFLINE forbids",
    );
    check(
        &transcribe(store.path(), "huggingface.co", &words),
        4,
        "HF_ENDPOINT is \"huggingface.co\"",
    );
    // The server of the fixture is no mirror of the published models.
    check(
        &transcribe(store.path(), &damaging.url, "--model tiny.en"),
        4,
        "expected 77704715; nothing was kept",
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_4_and_left_with_its_room() {
    let store = TempDir::new().unwrap();
    let folder = store.path().join("ada/speech");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.join("fixture.bin.part")).unwrap();
    let server = serving(|_, _, reply| reply);
    let output = transcribe(store.path(), &server.url, &format!("--model {NAME}"));
    check(&output, 4, "the disk has no room for ");
    assert_eq!(names(&folder), ["fixture.bin.lock"]);
}

#[test]
fn models_are_listed_with_what_they_take() {
    let store = TempDir::new().unwrap();
    fs::write(store.path().join("ggml-tiny-q5_1.bin"), "a model").unwrap();
    let output = run(store.path(), "", "models list");
    check(&output, 0, "");
    let table = text(&output.stdout);
    let line = |name: &str| {
        let found = table
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        found.expect(name).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("base.en")[..3], ["base.en", "148", "MB"]);
    assert_eq!(line("base.en").last(), Some(&"English"));
    assert_eq!(
        line("tiny-q5_1")[line("tiny-q5_1").len() - 2..],
        ["99", "yes"]
    );
    assert!(
        table.contains(&store.path().display().to_string()),
        "{table}"
    );

    let output = run(store.path(), "", "models list --json");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 33);
    let found = |name: &str| {
        list.as_array()
            .unwrap()
            .iter()
            .find(|m| m["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(
        (&found("tiny-q5_1")["cached"], &found("base")["cached"]),
        (&true.into(), &false.into())
    );
    assert_eq!(
        (&found("large-v3")["languages"], &found("base.en")["bytes"]),
        (&100.into(), &147_964_211.into())
    );
    // What is listed is what --plan promises.
    let plan = run(store.path(), "", "--plan --model base.en");
    let most = text(&plan.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("at most, in a window"));
    let planned: f64 = most
        .unwrap()
        .trim()
        .trim_end_matches(" MB")
        .parse()
        .unwrap();
    let listed = found("base.en")["memory_bytes"].as_f64().unwrap() / 1e6;
    assert!((planned - listed).abs() <= 0.1, "{planned} {listed}");
}

#[test]
fn a_model_that_cannot_be_used_is_refused_before_it_is_downloaded() {
    let store = TempDir::new().unwrap();
    let server = serving(|_, _, reply| reply);
    let refused = |words: &str, code, says: &str| {
        check(&transcribe(store.path(), &server.url, words), code, says)
    };
    refused(
        "--model basse.en",
        2,
        "no model \"basse.en\" is published; did you mean base.en",
    );
    refused("--model hf:ada", 2, "write hf:OWNER/REPOSITORY/FILE");
    refused(
        "--model large-v3 --memory-budget 500M",
        5,
        "the budget is 500 MB",
    );
    refused("--model base.en --language de", 2, "knows English only");
    refused("--model base --language yue", 2, "since large-v3");
    refused("--model base.en --translate", 2, "cannot translate");
    check(
        &run(store.path(), &server.url, "models path base.en"),
        4,
        "download it with `transcribe models fetch base.en`",
    );
    check(
        &run(store.path(), &server.url, "models path nothing-like-it"),
        2,
        "expected one of tiny, base",
    );
    let missing = store.path().join("missing.wav");
    let output = with(store.path(), &server.url, "--model base.en")
        .arg(missing)
        .output()
        .unwrap();
    check(&output, 3, "missing.wav");
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn the_detected_language_is_printed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("german.bin");
    let shape = Shape {
        language: 2,
        ..MULTILINGUAL
    };
    Model::read(&fixture("model/fixture-q8_0.bin"))
        .unwrap()
        .widen(&shape, Format::Q8_0, &path)
        .unwrap();
    let model = format!(
        "--model {} --format json --report {}",
        path.display(),
        folder.path().join("report.json").display()
    );
    let output = transcribe(folder.path(), "", &model);
    check(&output, 0, "detected the language de (100 %)");
    let transcript: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(transcript["language"], "de");
    let report = crate::program::json(&folder.path().join("report.json"));
    assert_eq!(report["language"]["code"], "de");
    assert!(
        report["language"]["probability"].as_f64() > Some(0.9),
        "{report}"
    );
    let output = transcribe(folder.path(), "", &format!("{model} --language xx"));
    check(
        &output,
        2,
        "does not know the language \"xx\"; give a code such as \"de\"",
    );
}
