//! The dashboard inside a host's runtime, and beside one.

use std::future::IntoFuture;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::sync::oneshot;

use super::{Dashboard, Stream};
use crate::monitor::{Monitor, Options};

fn dashboard() -> Dashboard {
    let monitor = Arc::new(Monitor::new(Options::default()).unwrap());
    monitor.tick();
    Dashboard::new(monitor, Stream::new()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn request(port: u16, path: &str, token: &str) -> BufReader<TcpStream> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let limit = Some(Duration::from_secs(60));
    socket.set_read_timeout(limit).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    BufReader::new(socket)
}

fn token(address: &str) -> String {
    address.split_once("#t=").unwrap().1.to_owned()
}

fn get_whole(port: u16, path: &str, token: &str) -> String {
    let mut text = String::new();
    request(port, path, token)
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// Reads an event stream, reports its first event, and reads on until the server ends it.
fn follow(port: u16, token: &str, open: oneshot::Sender<()>) {
    let mut lines = request(port, "/api/v1/stream", token).lines();
    assert!(lines.any(|line| line.unwrap() == "event: state"));
    open.send(()).unwrap();
    assert!(lines.all(|line| line.is_ok()), "the stream ends in order");
}

#[test]
fn router_is_mounted_in_a_host_and_shuts_down_with_it() {
    runtime().block_on(async {
        let dashboard = dashboard();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let token = token(&dashboard.address(port));
        let host = Router::new().route("/host", get(|| async { "the host's" }));
        let host = host.merge(dashboard.router(port));
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            stopped.await.unwrap();
            dashboard.close_streams();
        };
        let served = axum::serve(listener, host).with_graceful_shutdown(shutdown);
        let served = tokio::spawn(served.into_future());
        let (open, opened) = oneshot::channel();
        let page = tokio::task::spawn_blocking(move || {
            assert!(get_whole(port, "/host", "").ends_with("the host's"));
            assert!(get_whole(port, "/", "").contains("<title>Memory</title>"));
            assert!(get_whole(port, "/api/v1/usage", "").starts_with("HTTP/1.1 401"));
            let usage = get_whole(port, "/api/v1/usage", &token);
            assert!(usage.contains("\"memoryPressureLevel\""), "{usage}");
            follow(port, &token, open);
        });
        opened.await.unwrap();
        stop.send(()).unwrap();
        page.await.unwrap();
        served.await.unwrap().unwrap();
    });
}

#[test]
fn serving_ends_by_its_signal_while_a_page_is_open() {
    runtime().block_on(async {
        let dashboard = dashboard();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let token = token(&dashboard.address(port));
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(dashboard.serve(listener, async {
            stopped.await.unwrap();
        }));
        let (open, opened) = oneshot::channel();
        let page = tokio::task::spawn_blocking(move || follow(port, &token, open));
        opened.await.unwrap();
        stop.send(()).unwrap();
        page.await.unwrap();
        served.await.unwrap().unwrap();
    });
}

#[test]
fn connection_that_sends_nothing_does_not_hold_the_shutdown() {
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(dashboard().serve(listener, async {
            stopped.await.unwrap();
        }));
        let silent = tokio::task::spawn_blocking(move || {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
            socket
        });
        let socket = silent.await.unwrap();
        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
        drop(socket);
    });
}

#[test]
fn embedded_server_starts_and_stops_inside_a_runtime() {
    runtime().block_on(async {
        let embedded = dashboard().start(0).unwrap();
        let (head, token) = embedded.address().split_once("/#t=").unwrap();
        let port = head.rsplit(':').next().unwrap().parse().unwrap();
        assert!(get_whole(port, "/api/v1/usage", token).starts_with("HTTP/1.1 200"));
        embedded.stop().unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    });
}
