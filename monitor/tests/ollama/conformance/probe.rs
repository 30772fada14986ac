//! Single questions and their normalised answers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// One question: a name, a method, a path and a body.
pub struct Probe {
    pub name: &'static str,
    method: &'static str,
    path: &'static str,
    body: Value,
    /// Name of another host in the header, which only a server that listens on loopback alone refuses.
    host: Option<&'static str>,
}

impl Probe {
    fn get(name: &'static str, path: &'static str) -> Self {
        Self {
            name,
            method: "GET",
            path,
            body: Value::Null,
            host: None,
        }
    }

    fn post(name: &'static str, path: &'static str, body: Value) -> Self {
        Self {
            method: "POST",
            body,
            ..Self::get(name, path)
        }
    }

    /// Whether the answer depends on how the server was started, or on what others have loaded.
    pub fn depends_on_others(&self) -> bool {
        self.host.is_some() || self.name == "ps"
    }
}

/// Questions that leave everything as it is.
pub fn reading(model: &str) -> Vec<Probe> {
    let none = json!({ "model": "there-is-none:1b" });
    let keep_alive = |value: Value| json!({"model": model, "keep_alive": value});
    let (generate, chat) = ("/api/generate", "/api/chat");
    vec![
        Probe::get("root", "/"),
        Probe::get("version", "/api/version"),
        Probe {
            method: "HEAD",
            ..Probe::get("head of version", "/api/version")
        },
        Probe::get("tags", "/api/tags"),
        Probe::get("ps", "/api/ps"),
        Probe::post("show", "/api/show", json!({ "model": model })),
        Probe::post("show without model", "/api/show", json!({})),
        Probe::post("show of none", "/api/show", none.clone()),
        Probe::get("unknown path", "/api/none"),
        Probe {
            method: "DELETE",
            ..Probe::get("wrong method", "/api/ps")
        },
        Probe {
            host: Some("example.com"),
            ..Probe::get("other host", "/api/version")
        },
        Probe::post("load without body", generate, Value::Null),
        Probe::post("load of none", generate, none.clone()),
        Probe::post("chat without model", chat, json!({})),
        Probe::post("chat with none", chat, none.clone()),
        Probe::post("embed with none", "/api/embed", none),
        Probe::post("time without unit", generate, keep_alive(json!("300"))),
        Probe::post("time of wrong type", generate, keep_alive(json!(true))),
    ]
}

/// Questions that load and unload the model.
pub fn changing(model: &str) -> Vec<Probe> {
    let with = |path, name, options: Value, keep_alive: Value| {
        let body = json!({"model": model, "options": options, "keep_alive": keep_alive});
        Probe::post(name, path, body)
    };
    let (generate, chat) = ("/api/generate", "/api/chat");
    let profile = |num_ctx: u32| json!({"num_ctx": num_ctx, "num_batch": 512});
    let prompt = json!({"model": model, "prompt": "Say yes.", "keep_alive": "5m", "options":
        {"num_ctx": 1024, "num_batch": 512, "num_predict": 2}});
    vec![
        with(
            generate,
            "unload of what is not loaded",
            json!({}),
            json!(0),
        ),
        with(generate, "load", profile(2048), json!("5m")),
        Probe::get("ps with one", "/api/ps"),
        with(generate, "reload", profile(1024), json!(-1)),
        Probe::post("stream", generate, prompt),
        with(
            generate,
            "bad option",
            json!({"num_ctx": "many"}),
            json!("5m"),
        ),
        with(generate, "unload", json!({}), json!("0s")),
        with(chat, "load by chat", profile(1024), json!("5m")),
        with(chat, "unload by chat", json!({}), json!("0m")),
    ]
}

/// A question and its answer, without what differs from server to server: values become their types, and only the texts
/// of errors and the fixed words stay.
pub fn transcript(address: &str, probe: &Probe) -> String {
    let (status, kind, body) = exchange(address, probe);
    let shapes: Result<Vec<Value>, _> = body.lines().map(serde_json::from_str).collect();
    let shape = match shapes {
        Ok(lines) if !lines.is_empty() => stream_shape(&lines),
        _ => body.trim().to_owned(),
    };
    let text = format!("{}: {status} {kind} {shape}", probe.name);
    text.trim_end().to_owned()
}

/// Of a stream the first and the last line: how many there are between them is the model's choice.
fn stream_shape(lines: &[Value]) -> String {
    let first = normal(&lines[0], "").to_string();
    match &lines[1..] {
        [] => first,
        [.., last] => format!("{first} .. {}", normal(last, "")),
    }
}

/// Status, kind of content and body.
fn exchange(address: &str, probe: &Probe) -> (String, String, String) {
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
        "{} {} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        probe.method,
        probe.path,
        probe.host.unwrap_or(address),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    let status = head.split(' ').nth(1).unwrap().to_owned();
    let body = if head.contains("transfer-encoding: chunked") {
        joined(body)
    } else {
        body.to_owned()
    };
    let kind = head.lines().find_map(|line| {
        let value = line.strip_prefix("content-type:")?;
        let kind = value.split(';').next()?.trim();
        (!body.is_empty()).then(|| kind.to_owned())
    });
    (status, kind.unwrap_or_else(|| "-".to_owned()), body)
}

/// A body that comes in chunks, each after its length in hex.
fn joined(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, text)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        body.push_str(&text[..length]);
        rest = text[length..].trim_start_matches("\r\n");
    }
    body
}

/// Keys that the client reads; a real answer may hold more.
const KEYS: [&str; 19] = [
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
    "message",
];

/// Keys that only some versions have beside the others, below the key that they stand in.
const OPTIONAL: [(&str, &str); 2] = [("models", "capabilities"), ("details", "context_length")];

fn normal(value: &Value, within: &str) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .filter(|(key, _)| {
                let is_known = KEYS.contains(&key.as_str())
                    || matches!(
                        key.as_str(),
                        "done_reason" | "response" | "role" | "content"
                    );
                is_known && !OPTIONAL.contains(&(within, key.as_str()))
            })
            .map(|(key, value)| {
                let value = match key.as_str() {
                    "error" | "done" | "done_reason" | "role" => value.clone(),
                    "model_info" => json!("object"),
                    // Of a load and of the last piece it is empty, which is worth a look.
                    "response" | "content" if value == "" => value.clone(),
                    _ => normal(value, key),
                };
                (key.clone(), value)
            })
            .collect(),
        // Every element has the shape of the first.
        Value::Array(array) => array
            .iter()
            .take(1)
            .map(|element| normal(element, within))
            .collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        other => other.clone(),
    }
}
