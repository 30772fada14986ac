//! A fake server with the responses and the behaviour of Ollama 0.9, 0.24 or 0.33.
//!
//! Source: Ollama 0.9.6, 0.24.0 and 0.33 (server/routes.go, server/sched.go, llm/llama_server.go).

mod answer;
pub mod clock;
mod generate;
pub mod http;
pub mod model;
pub mod probe;
pub mod process;
#[cfg(target_os = "linux")]
pub mod real;
mod scheduler;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use steadyscribe_monitor::ollama::{Client, Host};

use clock::Clock;
use model::Model;
use process::Processes;
use scheduler::Scheduler;

/// A fault that happens once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends without a response.
    Reset,
    /// The connection ends in the middle of the body.
    HalfBody,
    /// The response arrives byte by byte and never ends.
    Drip,
    /// A 500 with an unknown message.
    Unknown500,
    /// The OOM killer ends the load.
    LoadKilled,
    /// The load fails because of the file.
    LoadFailed,
    /// The file cannot be mapped; a load without mapping works.
    MapFailed,
    /// The queue is full.
    QueueFull,
    /// An error line after the first token.
    ErrorInStream,
    /// The stream ends after the first token.
    Truncated,
    /// The server gives up the load, because it makes no progress.
    LoadStalled,
    /// The process ends before the first token.
    RunnerStopped,
}

impl Fault {
    fn is_of_connection(self) -> bool {
        matches!(
            self,
            Self::Reset | Self::HalfBody | Self::Drip | Self::Unknown500
        )
    }
}

/// The configuration of the server.
#[derive(Clone, Debug)]
pub struct Setup {
    pub minor: u32,
    pub models: Vec<Model>,
    pub load_ms: u64,
    pub unload_ms: u64,
    pub token_ms: u64,
    /// Memory of the machine, which 0.24 checks before a load.
    pub system_bytes: u64,
    /// Bytes that each generation leaves in the process.
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

/// A running server, which ends when it is dropped.
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

    /// Returns the bodies of all requests to a path.
    pub fn bodies(&self, path: &str) -> Vec<Value> {
        let requests = self.shared.requests.lock().unwrap();
        let of_path = requests.iter().filter(|request| request.0 == path);
        of_path.map(|request| request.1.clone()).collect()
    }

    /// Sends a request as another program would, and returns the response.
    pub fn post(&self, path: &str, body: &Value) -> String {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Ends every process and forgets every model, like a restart. Loads in flight break off.
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
                // An error means that the client has closed the connection.
                shared.answer(&stream, &request).ok();
            }
        });
    }
}
