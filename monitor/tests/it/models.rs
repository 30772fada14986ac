//! The models of an Ollama server, polled for the monitor.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use steadyscribe_monitor::ollama::Client;
use steadyscribe_monitor::ollama_models;
use steadyscribe_monitor::{Component, Model, Monitor, Options};

const LIST: &str = r#"{"models":[{"name":"llama3.2:3b","size":2600,"size_vram":700,
    "expires_at":"2026-01-01T00:00:00Z","context_length":4096}]}"#;

/// Answers every request with the list, or with an error once `ended`.
fn serve(listener: TcpListener, ended: Arc<AtomicBool>) {
    for socket in listener.incoming() {
        let mut socket = socket.unwrap();
        let request = BufReader::new(socket.try_clone().unwrap()).lines();
        let first = request
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .next();
        assert!(first.is_none_or(|line| line.starts_with("GET /api/ps ")));
        let status = if ended.load(Ordering::Relaxed) {
            "500 Gone"
        } else {
            "200 OK"
        };
        let length = LIST.len();
        // A client that ends closes its connection.
        let _ = write!(
            socket,
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{LIST}"
        );
    }
}

fn eventually(monitor: &Monitor, expected: &[Model]) {
    let until = Instant::now() + Duration::from_secs(20);
    while monitor.with(|w| w.models(Component::Ollama).to_vec()) != expected {
        assert!(Instant::now() < until, "the models are never {expected:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn loaded_models_are_followed_until_the_monitor_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ended = Arc::new(AtomicBool::new(false));
    let server = Arc::clone(&ended);
    std::thread::spawn(move || serve(listener, server));
    let monitor = Arc::new(Monitor::new(Options::default()).unwrap());
    let client = Client::new(address.parse().unwrap());
    let follower = ollama_models::poll(&monitor, client, Duration::from_millis(20)).unwrap();
    let loaded = Model::new("llama3.2:3b")
        .ram_bytes(1_900)
        .gpu_bytes(700)
        .context_tokens(4_096)
        .unload_unix_ms(1_767_225_600_000);
    eventually(&monitor, &[loaded]);
    ended.store(true, Ordering::Relaxed);
    eventually(&monitor, &[]);
    drop(monitor);
    follower.join().unwrap();
}
