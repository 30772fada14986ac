//! A server that behaves as Ollama 0.9, 0.24 or 0.33 does, bodies and all, without a model.
//!
//! Source: Ollama 0.9.6, 0.24.0 and 0.33 (server/routes.go, server/sched.go, llm/llama_server.go).

pub mod clock;
pub mod http;
pub mod model;
pub mod process;
#[cfg(target_os = "linux")]
pub mod real;
mod scheduler;
pub mod sight;

use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Map, Value, json};
use steadyscribe_monitor::ollama::{Client, Host};

use clock::Clock;
use http::{Chunks, Request, Response};
use model::{Model, Options};
use process::Processes;
use scheduler::Scheduler;

/// A thing that goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends without an answer.
    Reset,
    /// The connection ends in the middle of the body.
    HalfBody,
    /// The answer comes byte by byte and never ends.
    Drip,
    /// 500 with a text that nobody knows.
    Unknown500,
    /// The load ends with the kernel's killer.
    LoadKilled,
    /// The load ends with an error of the file.
    LoadFailed,
    /// The file cannot be mapped; a load without mapping works.
    MapFailed,
    /// The queue is full.
    QueueFull,
    /// An error line after the first token.
    ErrorInStream,
    /// The stream ends after the first token.
    Truncated,
}

impl Fault {
    fn is_of_the_wire(self) -> bool {
        matches!(
            self,
            Self::Reset | Self::HalfBody | Self::Drip | Self::Unknown500
        )
    }
}

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub minor: u32,
    pub models: Vec<Model>,
    pub load_ms: u64,
    pub unload_ms: u64,
    pub token_ms: u64,
    /// Memory that 0.24 checks before it loads.
    pub system_bytes: u64,
    /// What each generation leaves in the process.
    pub prompt_cache_bytes: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            minor: 33,
            models: Vec::new(),
            load_ms: 0,
            unload_ms: 0,
            token_ms: 0,
            system_bytes: u64::MAX,
            prompt_cache_bytes: 0,
        }
    }
}

impl Setup {
    pub fn of(models: impl IntoIterator<Item = Model>) -> Self {
        Self {
            models: models.into_iter().collect(),
            ..Self::default()
        }
    }
}

#[derive(Debug)]
pub struct Shared {
    pub setup: Mutex<Setup>,
    pub scheduler: Scheduler,
    faults: Mutex<VecDeque<Fault>>,
    requests: Mutex<Vec<(String, Value)>>,
    stopped: AtomicBool,
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Fake {
    pub shared: Arc<Shared>,
    port: u16,
    listener: Option<JoinHandle<()>>,
}

impl Fake {
    pub fn start(setup: Setup, clock: Clock, processes: Arc<dyn Processes>) -> Self {
        Self::start_at(0, setup, clock, processes)
    }

    pub fn start_at(port: u16, setup: Setup, clock: Clock, processes: Arc<dyn Processes>) -> Self {
        let shared = Arc::new(Shared {
            setup: Mutex::new(setup),
            scheduler: Scheduler::new(clock, processes),
            faults: Mutex::default(),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(&listener, &for_thread));
        Self {
            shared,
            port,
            listener: Some(thread),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn host(&self) -> Host {
        format!("127.0.0.1:{}", self.port).parse().unwrap()
    }

    pub fn client(&self) -> Client {
        Client::new(self.host())
    }

    pub fn fault(&self, fault: Fault) {
        self.shared.faults.lock().unwrap().push_back(fault);
    }

    pub fn clear_faults(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// Bodies of the requests to a path.
    pub fn bodies(&self, path: &str) -> Vec<Value> {
        let requests = self.shared.requests.lock().unwrap();
        let of_path = requests.iter().filter(|request| request.0 == path);
        of_path.map(|request| request.1.clone()).collect()
    }

    /// Ends every process and forgets every model, as a restart does; loads in progress break off.
    pub fn restart(&self) {
        self.shared.scheduler.restart();
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.restart();
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.listener.take().unwrap().join().unwrap();
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        let (stream, shared) = (stream.unwrap(), Arc::clone(shared));
        std::thread::spawn(move || {
            if let Some(request) = http::read(&stream) {
                // An error here is a client that has gone.
                shared.answer(&stream, &request).ok();
            }
        });
    }
}

impl Shared {
    fn answer(&self, stream: &TcpStream, request: &Request) -> std::io::Result<()> {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let entry = (request.path.clone(), body.clone());
        self.requests.lock().unwrap().push(entry);
        if !request.host.starts_with("127.0.0.1") && !request.host.starts_with("localhost") {
            return Response::text(403, "").write(stream);
        }
        if let Some(fault) = self.take_fault(Fault::is_of_the_wire) {
            return fail(stream, fault);
        }
        let response = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") => Response::text(200, "Ollama is running"),
            ("GET", "/api/version") => Response::json(200, &json!({ "version": self.version() })),
            ("GET", "/api/tags") => Response::json(200, &self.tags()),
            ("GET", "/api/ps") => Response::json(200, &self.scheduler.ps(self.minor())),
            ("POST", "/api/show") => self.show(&body),
            ("POST", "/api/generate" | "/api/chat") => {
                return self.generate(stream, &request.path, &body);
            }
            ("POST", "/api/pull") => return self.pull(stream, &body),
            (_, "/api/version" | "/api/tags" | "/api/ps" | "/api/show" | "/api/generate") => {
                Response::text(405, "405 method not allowed")
            }
            _ => Response::text(404, "404 page not found"),
        };
        response.write(stream)
    }

    fn take_fault(&self, wanted: impl Fn(Fault) -> bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let front = *faults.front()?;
        if wanted(front) {
            faults.pop_front()
        } else {
            None
        }
    }

    fn minor(&self) -> u32 {
        self.setup.lock().unwrap().minor
    }

    fn version(&self) -> String {
        format!("0.{}.0", self.minor())
    }

    fn find(&self, name: &str) -> Option<Model> {
        let setup = self.setup.lock().unwrap();
        let whole = |name: &str| {
            if name.contains(':') {
                name.to_owned()
            } else {
                format!("{name}:latest")
            }
        };
        let mut models = setup.models.iter();
        models
            .find(|model| whole(&model.name) == whole(name))
            .cloned()
    }

    fn tags(&self) -> Value {
        let setup = self.setup.lock().unwrap();
        let models: Vec<Value> = setup
            .models
            .iter()
            .map(|model| {
                let mut tag = json!({"name": model.name, "model": model.name, "size": model.size, "digest": model.digest,
                    "modified_at": "2026-08-21T18:48:22.123456789+02:00", "details": model.details()});
                if let Some(host) = &model.remote_host {
                    tag["remote_host"] = json!(host);
                }
                tag
            })
            .collect();
        json!({ "models": models })
    }

    fn show(&self, body: &Value) -> Response {
        let Some(name) = body["model"].as_str() else {
            return Response::error(400, "model is required");
        };
        match self.find(name) {
            Some(model) => {
                let verbose = body["verbose"].as_bool() == Some(true);
                Response::json(200, &model.show(verbose))
            }
            None => not_found(name),
        }
    }

    fn pull(&self, stream: &TcpStream, body: &Value) -> std::io::Result<()> {
        let mut chunks = Chunks::begin(stream)?;
        let name = body["model"].as_str().unwrap_or_default();
        chunks.line(&json!({"status": "pulling manifest"}))?;
        if name.starts_with("missing") {
            chunks.line(&json!({"error": "pull model manifest: file does not exist"}))?;
            return chunks.end();
        }
        for completed in [0, 50, 100] {
            let status = "pulling ab";
            chunks.line(&json!({"status": status, "digest": "sha256:ab", "total": 100, "completed": completed}))?;
        }
        self.setup
            .lock()
            .unwrap()
            .models
            .push(Model::small(name, 1 << 20));
        chunks.line(&json!({"status": "success"}))?;
        chunks.end()
    }

    fn generate(&self, stream: &TcpStream, path: &str, body: &Value) -> std::io::Result<()> {
        let is_chat = path == "/api/chat";
        let empty = Map::new();
        let body = body.as_object().unwrap_or(&empty);
        let name = body
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or_default();
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
            return Response::error(400, &format!("\"{name}\" does not support generate"))
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
            Fault::ErrorInStream | Fault::Truncated => !is_empty,
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
        } else {
            self.scheduler.grow(loaded, setup.prompt_cache_bytes);
            tokens(stream, name, is_chat, fault, setup.token_ms)
        };
        self.scheduler.release(loaded, keep_alive);
        answered
    }
}

fn not_found(name: &str) -> Response {
    Response::error(404, &format!("model '{name}' not found"))
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

fn tokens(
    stream: &TcpStream,
    name: &str,
    is_chat: bool,
    fault: Option<Fault>,
    token_ms: u64,
) -> std::io::Result<()> {
    let mut chunks = Chunks::begin(stream)?;
    for text in ["one ", "two ", "three"] {
        chunks.line(&piece(name, is_chat, text))?;
        match fault {
            Some(Fault::Truncated) => return chunks.end(),
            Some(Fault::ErrorInStream) => {
                let message = "an error was encountered while running the model: unexpected EOF";
                chunks.line(&json!({ "error": message }))?;
                return chunks.end();
            }
            _ => std::thread::sleep(Duration::from_millis(token_ms)),
        }
    }
    let mut last = single(name, is_chat, "stop");
    last["prompt_eval_count"] = json!(4);
    last["eval_count"] = json!(3);
    chunks.line(&last)?;
    chunks.end()
}

/// Breaks an answer.
fn fail(mut stream: &TcpStream, fault: Fault) -> std::io::Result<()> {
    use std::io::Write;
    match fault {
        Fault::Unknown500 => Response::error(500, "something new").write(stream),
        Fault::HalfBody => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{{\"models\":["
            )
        }
        Fault::Drip => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
            for _ in 0..1000 {
                stream.write_all(b" ")?;
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
