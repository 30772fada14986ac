//! Requests that use a model.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::answer::not_found;
use super::http::{Chunks, Response, is_closed};
use super::model::{self, Model, Options};
use super::{Fault, Shared};

/// A valid request.
struct GenerateRequest {
    name: String,
    model: Model,
    is_chat: bool,
    /// Whether it has neither prompt nor messages, and so loads or unloads the model.
    is_empty: bool,
    keep_alive: Option<Duration>,
    options: Options,
    tokens_max: u64,
}

impl Shared {
    pub(super) fn generate(
        &self,
        stream: &TcpStream,
        path: &str,
        body: &Value,
    ) -> std::io::Result<()> {
        match self.parse(path, body) {
            Ok(request) => self.respond(stream, &request),
            Err(response) => response.write(stream),
        }
    }

    /// Parses a request, and finds errors in the server's order. An unload happens on the way.
    fn parse(&self, path: &str, body: &Value) -> Result<GenerateRequest, Response> {
        let is_chat = path == "/api/chat";
        let name = body["model"].as_str().unwrap_or_default().to_owned();
        if is_chat && name.is_empty() {
            return Err(Response::error(400, "model is required"));
        }
        if is_cloud(&name) {
            let signin =
                json!({"error": "unauthorized", "signin_url": "https://ollama.com/connect"});
            return Err(Response::json(401, &signin));
        }
        let model = self.find(&name).ok_or_else(|| not_found(&name))?;
        let keep_alive = model::keep_alive(body.get("keep_alive"))
            .map_err(|message| Response::error(400, &message))?;
        let prompt = body["prompt"].as_str().unwrap_or_default();
        let is_empty = if is_chat {
            body["messages"].as_array().is_none_or(Vec::is_empty)
        } else {
            prompt.is_empty()
        };
        if is_empty && keep_alive == Some(Duration::ZERO) {
            let unload_ms = self.setup.lock().unwrap().unload_ms;
            self.scheduler.unload(&model, unload_ms);
            return Err(Response::json(200, &single(&name, is_chat, "unload")));
        }
        if !model.can_generate {
            let what = if is_chat { "chat" } else { "generate" };
            let message = format!("\"{name}\" does not support {what}");
            return Err(Response::error(400, &message));
        }
        let empty = Map::new();
        let options = Options::parse(body.as_object().unwrap_or(&empty))
            .map_err(|message| Response::error(500, &message))?;
        if prompt.len() as u64 / 4 > options.ctx(&model) && body["truncate"] == false {
            let message = "the input length exceeds the context length";
            return Err(Response::error(400, message));
        }
        Ok(GenerateRequest {
            name,
            model,
            is_chat,
            is_empty,
            keep_alive,
            options,
            tokens_max: body["options"]["num_predict"].as_u64().unwrap_or(u64::MAX),
        })
    }

    fn respond(&self, stream: &TcpStream, request: &GenerateRequest) -> std::io::Result<()> {
        let fault = self.take_fault(|fault| match fault {
            Fault::MapFailed => request.options.use_mmap == Some(true),
            Fault::ErrorInStream | Fault::Truncated | Fault::RunnerStopped => !request.is_empty,
            _ => true,
        });
        let setup = self.setup.lock().unwrap().clone();
        let (model, options) = (&request.model, &request.options);
        let loaded =
            match self
                .scheduler
                .acquire(model, options, request.keep_alive, &setup, fault, stream)
            {
                Ok(loaded) => loaded,
                Err(Some(response)) => return response.write(stream),
                Err(None) => return Ok(()), // the client has gone, or the server restarts
            };
        // A client that reads the end of a response may rely on the request having ended.
        let release = || self.scheduler.release(loaded, request.keep_alive);
        if request.is_empty {
            release();
            return Response::json(200, &single(&request.name, request.is_chat, "load"))
                .write(stream);
        }
        if fault == Some(Fault::RunnerStopped) {
            release();
            let message = "model runner has unexpectedly stopped, this may be due to resource \
                           limitations or an internal error, check ollama server logs for details";
            return Response::error(500, message).write(stream);
        }
        self.scheduler.grow(loaded, setup.prompt_cache_bytes);
        let answer = Answer {
            request,
            fault,
            token_ms: setup.token_ms,
        };
        let written = answer.write(stream);
        release();
        match written? {
            Some((mut chunks, last)) => {
                chunks.line(&last)?;
                chunks.end()
            }
            None => Ok(()),
        }
    }

    /// Embeds nothing, which only loads the model. There is no form that unloads it.
    pub(super) fn embed(&self, stream: &TcpStream, body: &Value) -> std::io::Result<()> {
        let name = body["model"].as_str().unwrap_or_default();
        let Some(model) = self.find(name) else {
            let message = format!("model \"{name}\" not found, try pulling it first");
            return Response::error(404, &message).write(stream);
        };
        let answer = json!({"model": name, "embeddings": []});
        self.use_once(stream, &model, body, &answer)
    }

    /// Answers under `/v1`, where a request carries neither a context nor a keep-alive time.
    pub(super) fn complete(&self, stream: &TcpStream, body: &Value) -> std::io::Result<()> {
        let name = body["model"].as_str().unwrap_or_default();
        let Some(model) = self.find(name) else {
            let message = format!("model '{name}' not found");
            let error = json!({"error": {"message": message, "type": "not_found_error"}});
            return Response::json(404, &error).write(stream);
        };
        let message = json!({"role": "assistant", "content": "one two three"});
        let answer = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "model": name,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]
        });
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
                self.scheduler.release(loaded, keep_alive);
                Response::json(200, answer).write(stream)
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
        let message = json!({"role": "assistant", "content": text});
        json!({"model": name, "created_at": created_at, "message": message, "done": false})
    } else {
        json!({"model": name, "created_at": created_at, "response": text, "done": false})
    }
}

/// A response of at most three tokens.
struct Answer<'a> {
    request: &'a GenerateRequest,
    fault: Option<Fault>,
    token_ms: u64,
}

impl Answer<'_> {
    /// Waits for the time of a token. Returns `false` if the client has gone, which ends the
    /// generation.
    fn think(&self, stream: &TcpStream) -> bool {
        for _ in 0..self.token_ms.div_ceil(5) {
            std::thread::sleep(Duration::from_millis(5));
            if is_closed(stream) {
                return false;
            }
        }
        true
    }

    /// Writes all lines but the last one, and returns that. `None` if the response ends before it.
    fn write<'s>(&self, stream: &'s TcpStream) -> std::io::Result<Option<(Chunks<'s>, Value)>> {
        let mut chunks = Chunks::begin(stream)?;
        let mut count = 0;
        for text in ["one ", "two ", "three"] {
            if count == self.request.tokens_max {
                break;
            }
            chunks.line(&piece(&self.request.name, self.request.is_chat, text))?;
            count += 1;
            match self.fault {
                Some(Fault::Truncated) => return chunks.end().map(|()| None),
                Some(Fault::ErrorInStream) => {
                    let message =
                        "an error was encountered while running the model: unexpected EOF";
                    return Ok(Some((chunks, json!({ "error": message }))));
                }
                _ if !self.think(stream) => return Ok(None),
                _ => {}
            }
        }
        let reason = if count == self.request.tokens_max {
            "length"
        } else {
            "stop"
        };
        let mut last = single(&self.request.name, self.request.is_chat, reason);
        last["prompt_eval_count"] = json!(4);
        last["eval_count"] = json!(count);
        Ok(Some((chunks, last)))
    }
}

/// Returns whether the server forwards a request to the cloud.
fn is_cloud(name: &str) -> bool {
    let tag = name.rsplit_once(':').map(|(_, tag)| tag);
    tag.is_some_and(|tag| tag == "cloud" || tag.ends_with("-cloud"))
}
