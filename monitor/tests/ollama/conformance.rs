//! The same questions to the fake server and to a real one: the fake is faithful where the answers agree.
//!
//! `OLLAMA_CONFORMANCE_URL` and `OLLAMA_CONFORMANCE_MODEL` name a real server and a small model of it. What changes what
//! is loaded is asked only where `OLLAMA_CONFORMANCE_CHANGE=1` allows it, and only if nothing is loaded before.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fake::clock::Clock;
use crate::fake::model::Model;
use crate::fake::process::Counted;
use crate::fake::{Fake, Setup};

/// One question: a name, a method, a path, a body, and whether it may change what is loaded.
struct Probe {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    body: Value,
    changes: bool,
}

impl Probe {
    fn new(name: &'static str, path: &'static str, body: Value) -> Self {
        Self {
            name,
            method: if body.is_null() { "GET" } else { "POST" },
            path,
            body,
            changes: false,
        }
    }
}

fn probes(model: &str) -> Vec<Probe> {
    let mut probes = reading(model);
    probes.extend(changing(model).into_iter().map(|probe| Probe {
        changes: true,
        ..probe
    }));
    probes
}

fn reading(model: &str) -> Vec<Probe> {
    let (none, generate) = ("there-is-none:1b", "/api/generate");
    let keep_alive = |value: Value| json!({"model": model, "keep_alive": value});
    vec![
        Probe::new("root", "/", Value::Null),
        Probe::new("version", "/api/version", Value::Null),
        Probe::new("tags", "/api/tags", Value::Null),
        Probe::new("ps", "/api/ps", Value::Null),
        Probe::new("show", "/api/show", json!({ "model": model })),
        Probe::new("show without model", "/api/show", json!({})),
        Probe::new("show of none", "/api/show", json!({ "model": none })),
        Probe::new("unknown path", "/api/none", Value::Null),
        Probe::new("load of none", generate, json!({ "model": none })),
        Probe::new("time without unit", generate, keep_alive(json!("300"))),
        Probe::new("time of wrong type", generate, keep_alive(json!(true))),
    ]
}

fn changing(model: &str) -> Vec<Probe> {
    let load = |options: Value, keep_alive: Value| {
        let body = json!({"model": model, "options": options, "keep_alive": keep_alive});
        Probe::new("load", "/api/generate", body)
    };
    let profile = |num_ctx: u32| json!({"num_ctx": num_ctx, "num_batch": 512});
    let named = |name, probe| Probe { name, ..probe };
    vec![
        named("unload of what is not loaded", load(json!({}), json!(0))),
        load(profile(2048), json!("5m")),
        Probe::new("ps with one", "/api/ps", Value::Null),
        named("reload", load(profile(1024), json!(-1))),
        named("bad option", load(json!({"num_ctx": "many"}), json!("5m"))),
        named("unload", load(json!({}), json!("0s"))),
    ]
}

/// A question and its answer, without what differs from server to server: values become their types, and only the texts
/// of errors and the fixed words stay.
fn transcript(address: &str, probe: &Probe) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(300)))
        .unwrap();
    let body = if probe.body.is_null() {
        String::new()
    } else {
        probe.body.to_string()
    };
    // The old protocol has no chunks: a body of any length comes in one piece.
    write!(
        stream,
        "{} {} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
        probe.method,
        probe.path,
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    let shape = match serde_json::from_str::<Value>(body) {
        Ok(value) => normal(&value).to_string(),
        Err(_) => body.trim().to_owned(),
    };
    format!("{}: {status} {shape}", probe.name)
}

/// Keys that the client reads; a real answer may hold more.
const KEYS: [&str; 20] = [
    "version",
    "models",
    "name",
    "model",
    "size",
    "size_vram",
    "digest",
    "expires_at",
    "context_length",
    "details",
    "family",
    "parameter_size",
    "quantization_level",
    "modelfile",
    "model_info",
    "capabilities",
    "error",
    "done",
    "done_reason",
    "response",
];

fn normal(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .filter(|(key, _)| KEYS.contains(&key.as_str()))
            .map(|(key, value)| {
                let kept = matches!(key.as_str(), "error" | "done" | "done_reason" | "response");
                let value = if kept {
                    value.clone()
                } else if key == "model_info" {
                    json!("object")
                } else {
                    normal(value)
                };
                (key.clone(), value)
            })
            .collect(),
        // Every element has the shape of the first.
        Value::Array(array) => array.iter().take(1).map(normal).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        other => other.clone(),
    }
}

fn fake_transcripts(model: &str, minor: u32, change: bool) -> Vec<String> {
    let setup = Setup {
        minor,
        ..Setup::of([Model::small(model, 1 << 20)])
    };
    let fake = Fake::start(setup, Clock::default(), Arc::new(Counted::default()));
    let address = format!("127.0.0.1:{}", fake.port());
    let probes = probes(model);
    let asked = probes.iter().filter(|probe| change || !probe.changes);
    asked.map(|probe| transcript(&address, probe)).collect()
}

#[test]
fn fake_answers_as_documented() {
    let answers = fake_transcripts("m:1b", 33, true);
    let expected = [
        "root: 200 Ollama is running",
        "version: 200 {\"version\":\"text\"}",
        "tags: 200 {\"models\":[{\"details\":{\"family\":\"text\",\"parameter_size\":\"text\",\"quantization_level\":\"text\"},\
         \"digest\":\"text\",\"model\":\"text\",\"name\":\"text\",\"size\":\"number\"}]}",
        "ps: 200 {\"models\":[]}",
        "show: 200 {\"capabilities\":[\"text\"],\"details\":{\"family\":\"text\",\"parameter_size\":\"text\",\
         \"quantization_level\":\"text\"},\"model_info\":\"object\",\"modelfile\":\"text\"}",
        "show without model: 400 {\"error\":\"model is required\"}",
        "show of none: 404 {\"error\":\"model 'there-is-none:1b' not found\"}",
        "unknown path: 404 404 page not found",
        "load of none: 404 {\"error\":\"model 'there-is-none:1b' not found\"}",
        "time without unit: 400 {\"error\":\"time: missing unit in duration \\\"300\\\"\"}",
        "time of wrong type: 400 {\"error\":\"Unsupported type: 'bool'\"}",
        "unload of what is not loaded: 200 {\"done\":true,\"done_reason\":\"unload\",\"model\":\"text\",\"response\":\"\"}",
        "load: 200 {\"done\":true,\"done_reason\":\"load\",\"model\":\"text\",\"response\":\"\"}",
        "ps with one: 200 {\"models\":[{\"context_length\":\"number\",\"details\":{\"family\":\"text\",\
         \"parameter_size\":\"text\",\"quantization_level\":\"text\"},\"digest\":\"text\",\"expires_at\":\"text\",\
         \"model\":\"text\",\"name\":\"text\",\"size\":\"number\",\"size_vram\":\"number\"}]}",
        "reload: 200 {\"done\":true,\"done_reason\":\"load\",\"model\":\"text\",\"response\":\"\"}",
        "bad option: 500 {\"error\":\"option \\\"num_ctx\\\" must be of type integer\"}",
        "unload: 200 {\"done\":true,\"done_reason\":\"unload\",\"model\":\"text\",\"response\":\"\"}",
    ];
    assert_eq!(answers, expected);
}

#[test]
fn real_server_answers_as_the_fake_does() {
    let (Ok(url), Ok(model)) = (
        std::env::var("OLLAMA_CONFORMANCE_URL"),
        std::env::var("OLLAMA_CONFORMANCE_MODEL"),
    ) else {
        println!("skipped: OLLAMA_CONFORMANCE_URL and OLLAMA_CONFORMANCE_MODEL are not set");
        return;
    };
    let host: steadyscribe_monitor::ollama::Host = url.parse().unwrap();
    let client = steadyscribe_monitor::ollama::Client::new(host.clone());
    let version = client.version().unwrap();
    let wants_change = std::env::var("OLLAMA_CONFORMANCE_CHANGE").is_ok_and(|value| value == "1");
    let change = wants_change && client.running().unwrap().is_empty();
    println!(
        "Ollama {version}, {}",
        if change { "changing" } else { "reading only" }
    );
    let minor = if version.runs_llama_server() {
        33
    } else if version.lists_context() {
        24
    } else {
        9
    };
    let address = host.to_string();
    let address = address.trim_start_matches("http://");
    let probes = probes(&model);
    // What is listed depends on what others have loaded.
    let is_idle = client.running().unwrap().is_empty();
    let asked = probes.iter().filter(|probe| change || !probe.changes);
    let expected = fake_transcripts(&model, minor, change);
    for (probe, expected) in asked.zip(expected) {
        if is_idle || probe.name != "ps" {
            assert_eq!(transcript(address, probe), expected);
        }
    }
}
