//! The same questions to the fake server and to a real one: the fake is faithful where the answers agree.
//!
//! `OLLAMA_CONFORMANCE_URL` and `OLLAMA_CONFORMANCE_MODEL` name a real server and a small model of it. What changes what
//! is loaded is asked only where `OLLAMA_CONFORMANCE_CHANGE=1` allows it, and only if nothing is loaded before.

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

fn probes(model: &str) -> Vec<Probe> {
    let ask = |name, method, path, body| Probe {
        name,
        method,
        path,
        body,
        changes: false,
    };
    let change = |name, body: Value| Probe {
        name,
        method: "POST",
        path: "/api/generate",
        body,
        changes: true,
    };
    let profile = |num_ctx: u32| json!({"num_ctx": num_ctx, "num_batch": 512});
    vec![
        ask("root", "GET", "/", Value::Null),
        ask("version", "GET", "/api/version", Value::Null),
        ask("tags", "GET", "/api/tags", Value::Null),
        ask("ps", "GET", "/api/ps", Value::Null),
        ask("show", "POST", "/api/show", json!({ "model": model })),
        ask("show without model", "POST", "/api/show", json!({})),
        ask(
            "show of none",
            "POST",
            "/api/show",
            json!({"model": "there-is-none:1b"}),
        ),
        ask("unknown path", "GET", "/api/none", Value::Null),
        ask(
            "load of none",
            "POST",
            "/api/generate",
            json!({"model": "there-is-none:1b"}),
        ),
        ask(
            "keep_alive without unit",
            "POST",
            "/api/generate",
            json!({"model": model, "keep_alive": "300"}),
        ),
        ask(
            "keep_alive of wrong type",
            "POST",
            "/api/generate",
            json!({"model": model, "keep_alive": true}),
        ),
        ask(
            "unload of what is not loaded",
            "POST",
            "/api/generate",
            json!({"model": model, "keep_alive": 0}),
        ),
        change(
            "load",
            json!({"model": model, "options": profile(2048), "keep_alive": "5m"}),
        ),
        Probe {
            name: "ps with one",
            method: "GET",
            path: "/api/ps",
            body: Value::Null,
            changes: true,
        },
        change(
            "reload",
            json!({"model": model, "options": profile(1024), "keep_alive": -1}),
        ),
        change(
            "bad option",
            json!({"model": model, "options": {"num_ctx": "many"}}),
        ),
        change("unload", json!({"model": model, "keep_alive": "0s"})),
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
    write!(
        stream,
        "{} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        probe.method, probe.path, body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    // A short answer comes in one piece, a longer one in one chunk after its length.
    let text = body.find(['{', '[']).map_or(body, |at| &body[at..]);
    let text = text.rfind(['}', ']']).map_or(text, |at| &text[..=at]);
    let shape = match serde_json::from_str::<Value>(text) {
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
        "keep_alive without unit: 400 {\"error\":\"time: missing unit in duration \\\"300\\\"\"}",
        "keep_alive of wrong type: 400 {\"error\":\"Unsupported type: 'bool'\"}",
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
    // An unload changes something where a model is loaded, whatever its name says.
    let is_idle = client.running().unwrap().is_empty();
    let asked = probes.iter().filter(|probe| change || !probe.changes);
    let expected = fake_transcripts(&model, minor, change);
    for (probe, expected) in asked.zip(expected) {
        let depends_on_load = matches!(probe.name, "ps" | "unload of what is not loaded");
        if is_idle || !depends_on_load {
            assert_eq!(transcript(address, probe), expected);
        }
    }
}
