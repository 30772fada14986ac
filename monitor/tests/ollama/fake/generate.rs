//! Requests that use a model.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Map, Value, json};
use steadyscribe_monitor::ollama::is_cloud;

use super::answer::not_found;
use super::http::{Chunks, Response, is_closed};
use super::model::{self, Model, Options};
use super::{Fault, Shared};

impl Shared {
    pub(super) fn generate(
        &self,
        stream: &TcpStream,
        path: &str,
        body: &Value,
    ) -> std::io::Result<()> {
        let is_chat = path == "/api/chat";
        let empty = Map::new();
        let body = body.as_object().unwrap_or(&empty);
        let name = body
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if is_chat && name.is_empty() {
            return Response::error(400, "model is required").write(stream);
        }
        if is_cloud(name) {
            let signin =
                json!({"error": "unauthorized", "signin_url": "https://ollama.com/connect"});
            return Response::json(401, &signin).write(stream);
        }
        let Some(model) = self.find(name) else {
            return not_found(name).write(stream);
        };
        let keep_alive = match model::keep_alive(body.get("keep_alive")) {
            Ok(keep_alive) => keep_alive,
            Err(message) => return Response::error(400, &message).write(stream),
        };
        let prompt = body
            .get("prompt")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let messages = body.get("messages").and_then(Value::as_array);
        let is_empty = if is_chat {
            messages.is_none_or(Vec::is_empty)
        } else {
            prompt.is_empty()
        };
        if is_empty && keep_alive == Some(Duration::ZERO) {
            self.scheduler
                .unload(&model, self.setup.lock().unwrap().unload_ms);
            return Response::json(200, &single(name, is_chat, "unload")).write(stream);
        }
        if !model.can_generate {
            let what = if is_chat { "chat" } else { "generate" };
            return Response::error(400, &format!("\"{name}\" does not support {what}"))
                .write(stream);
        }
        let options = match Options::parse(body) {
            Ok(options) => options,
            Err(message) => return Response::error(500, &message).write(stream),
        };
        if prompt.len() as u64 / 4 > options.ctx(&model)
            && body.get("truncate") == Some(&json!(false))
        {
            return Response::error(400, "the input length exceeds the context length")
                .write(stream);
        }
        let fault = self.take_fault(|fault| match fault {
            Fault::MapFailed => options.use_mmap == Some(true),
            Fault::ErrorInStream | Fault::Truncated | Fault::RunnerStopped => !is_empty,
            _ => true,
        });
        let setup = self.setup.lock().unwrap().clone();
        let loaded = match self
            .scheduler
            .acquire(&model, &options, keep_alive, &setup, fault, stream)
        {
            Ok(loaded) => loaded,
            Err(Some(response)) => return response.write(stream),
            Err(None) => return Ok(()), // the client has gone, or the server restarts
        };
        let answered = if is_empty {
            Response::json(200, &single(name, is_chat, "load")).write(stream)
        } else if fault == Some(Fault::RunnerStopped) {
            let message = "model runner has unexpectedly stopped, this may be due to resource limitations or an internal \
                           error, check ollama server logs for details";
            Response::error(500, message).write(stream)
        } else {
            self.scheduler.grow(loaded, setup.prompt_cache_bytes);
            {
                let most = body
                    .get("options")
                    .and_then(|options| options.get("num_predict"));
                let most = most.and_then(Value::as_u64).unwrap_or(u64::MAX);
                let answer = Answer {
                    name,
                    is_chat,
                    fault,
                    token_ms: setup.token_ms,
                    most,
                };
                answer.write(stream)
            }
        };
        self.scheduler.release(loaded, keep_alive);
        answered
    }

    /// An embedding: with nothing to embed it only loads. There is no unload form of it.
    pub(super) fn embed(&self, stream: &TcpStream, body: &Value) -> std::io::Result<()> {
        let name = body["model"].as_str().unwrap_or_default();
        let Some(model) = self.find(name) else {
            let message = format!("model \"{name}\" not found, try pulling it first");
            return Response::error(404, &message).write(stream);
        };
        let answer = json!({"model": name, "embeddings": []});
        self.use_once(stream, &model, body, &answer)
    }

    /// The other interface, which carries neither a context nor a time to keep the model.
    pub(super) fn complete(&self, stream: &TcpStream, body: &Value) -> std::io::Result<()> {
        let name = body["model"].as_str().unwrap_or_default();
        let Some(model) = self.find(name) else {
            let error = json!({"error": {"message": format!("model '{name}' not found"), "type": "not_found_error"}});
            return Response::json(404, &error).write(stream);
        };
        let answer = json!({"id": "chatcmpl-1", "object": "chat.completion", "model": name, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "one two three"}, "finish_reason": "stop"}]});
        self.use_once(stream, &model, &Value::Null, &answer)
    }

    fn use_once(
        &self,
        stream: &TcpStream,
        model: &Model,
        body: &Value,
        answer: &Value,
    ) -> std::io::Result<()> {
        let empty = Map::new();
        let body = body.as_object().unwrap_or(&empty);
        let keep_alive = model::keep_alive(body.get("keep_alive")).unwrap_or(None);
        let options = match Options::parse(body) {
            Ok(options) => options,
            Err(message) => return Response::error(500, &message).write(stream),
        };
        let setup = self.setup.lock().unwrap().clone();
        match self
            .scheduler
            .acquire(model, &options, keep_alive, &setup, None, stream)
        {
            Ok(loaded) => {
                let answered = Response::json(200, answer).write(stream);
                self.scheduler.release(loaded, keep_alive);
                answered
            }
            Err(Some(response)) => response.write(stream),
            Err(None) => Ok(()),
        }
    }
}

fn single(name: &str, is_chat: bool, reason: &str) -> Value {
    let mut value = piece(name, is_chat, "");
    value["done"] = json!(true);
    value["done_reason"] = json!(reason);
    value
}

fn piece(name: &str, is_chat: bool, text: &str) -> Value {
    let created_at = "2026-08-21T18:48:22.1Z";
    if is_chat {
        json!({"model": name, "created_at": created_at, "message": {"role": "assistant", "content": text}, "done": false})
    } else {
        json!({"model": name, "created_at": created_at, "response": text, "done": false})
    }
}

/// An answer of at most three tokens.
struct Answer<'a> {
    name: &'a str,
    is_chat: bool,
    fault: Option<Fault>,
    token_ms: u64,
    most: u64,
}

impl Answer<'_> {
    /// Takes the time of a token. `false`: the client has gone, at which the server stops.
    fn think(&self, stream: &TcpStream) -> bool {
        for _ in 0..self.token_ms.div_ceil(5) {
            std::thread::sleep(Duration::from_millis(5));
            if is_closed(stream) {
                return false;
            }
        }
        true
    }

    fn write(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut chunks = Chunks::begin(stream)?;
        let mut count = 0;
        for text in ["one ", "two ", "three"] {
            if count == self.most {
                break;
            }
            chunks.line(&piece(self.name, self.is_chat, text))?;
            count += 1;
            match self.fault {
                Some(Fault::Truncated) => return chunks.end(),
                Some(Fault::ErrorInStream) => {
                    let message =
                        "an error was encountered while running the model: unexpected EOF";
                    chunks.line(&json!({ "error": message }))?;
                    return chunks.end();
                }
                _ if !self.think(stream) => return Ok(()),
                _ => {}
            }
        }
        let reason = if count == self.most { "length" } else { "stop" };
        let mut last = single(self.name, self.is_chat, reason);
        last["prompt_eval_count"] = json!(4);
        last["eval_count"] = json!(count);
        chunks.line(&last)?;
        chunks.end()
    }
}
