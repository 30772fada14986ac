//! Single requests, and their normalized responses.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// A request: name, method, path and body.
pub struct Question {
    pub name: &'static str,
    method: &'static str,
    path: &'static str,
    body: Value,
    /// Another host in the header. Only a server that listens on loopback alone rejects it.
    host: Option<&'static str>,
}

impl Question {
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

    /// Returns whether the response depends on the server's configuration or on other programs.
    pub fn depends_on_others(&self) -> bool {
        self.host.is_some() || self.name == "ps"
    }
}

/// Returns the requests that change nothing.
pub fn reading(model: &str) -> Vec<Question> {
    let none = json!({ "model": "there-is-none:1b" });
    let keep_alive = |value: Value| json!({"model": model, "keep_alive": value});
    let (generate, chat) = ("/api/generate", "/api/chat");
    vec![
        Question::get("root", "/"),
        Question::get("version", "/api/version"),
        Question {
            method: "HEAD",
            ..Question::get("head of version", "/api/version")
        },
        Question::get("tags", "/api/tags"),
        Question::get("ps", "/api/ps"),
        Question::post("show", "/api/show", json!({ "model": model })),
        Question::post("show without model", "/api/show", json!({})),
        Question::post("show of none", "/api/show", none.clone()),
        Question::get("unknown path", "/api/none"),
        Question {
            method: "DELETE",
            ..Question::get("wrong method", "/api/ps")
        },
        Question {
            host: Some("example.com"),
            ..Question::get("other host", "/api/version")
        },
        Question::post("load without body", generate, Value::Null),
        Question::post("load of none", generate, none.clone()),
        Question::post("chat without model", chat, json!({})),
        Question::post("chat with none", chat, none.clone()),
        Question::post("embed with none", "/api/embed", none),
        Question::post("time without unit", generate, keep_alive(json!("300"))),
        Question::post("time of wrong type", generate, keep_alive(json!(true))),
    ]
}

/// Returns the requests that load and unload the model.
pub fn changing(model: &str) -> Vec<Question> {
    let with = |path, name, options: Value, keep_alive: Value| {
        let body = json!({"model": model, "options": options, "keep_alive": keep_alive});
        Question::post(name, path, body)
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
        Question::get("ps with one", "/api/ps"),
        with(generate, "reload", profile(1024), json!(-1)),
        Question::post("stream", generate, prompt),
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

/// Sends a request, and returns it with its normalized response: values become their types, except
/// error messages and fixed words.
pub fn transcript(address: &str, question: &Question) -> String {
    let (status, kind, body) = exchange(address, question);
    let shapes: Result<Vec<Value>, _> = body.lines().map(serde_json::from_str).collect();
    let shape = match shapes {
        Ok(lines) if !lines.is_empty() => stream_shape(&lines),
        _ => body.trim().to_owned(),
    };
    let text = format!("{}: {status} {kind} {shape}", question.name);
    text.trim_end().to_owned()
}

/// Returns the first and the last line of a stream, because the model decides on the rest.
fn stream_shape(lines: &[Value]) -> String {
    let first = normal(&lines[0], "").to_string();
    match &lines[1..] {
        [] => first,
        [.., last] => format!("{first} .. {}", normal(last, "")),
    }
}

/// Sends a request, and returns status, content type and body.
fn exchange(address: &str, question: &Question) -> (String, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(300)))
        .unwrap();
    let body = if question.body.is_null() {
        String::new()
    } else {
        question.body.to_string()
    };
    write!(
        stream,
        "{} {} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        question.method,
        question.path,
        question.host.unwrap_or(address),
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

/// Joins the chunks of a body, each of which follows its length in hex.
fn joined(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, text)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        body.push_str(&text[..length]);
        rest = text[length..].trim_start_matches("\r\n");
    }
    body
}

/// Keys that the client uses; a real response may contain more.
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

/// Keys that only some versions include, each with its parent key.
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
                    // That it is empty in a load and in the last chunk is part of the contract.
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
