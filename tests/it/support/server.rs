//! An HTTP server on loopback whose answers and faults a test chooses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// A request: the path, and the lines of the head in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    head: Vec<String>,
}

impl Asked {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ String| line.starts_with(&format!("{name}: "));
        let found = self.head.iter().find(|candidate| line(candidate));
        found.map(|line| &line[name.len() + 2..])
    }

    /// Returns the first requested byte of the file.
    pub(crate) fn from(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection is closed after this many bytes of the body.
    pub(crate) cut_at: Option<usize>,
    /// Nothing follows this many bytes, and the connection stays open.
    pub(crate) stall_at: Option<usize>,
    /// The body is sent in this many pieces, with a pause before each.
    pub(crate) drip: Option<(usize, Duration)>,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn redirect(to: String) -> Self {
        Self::status(302).with("Location", to)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds what Hugging Face states about a file before it redirects to the file.
    pub(crate) fn linked(self, file: &[u8]) -> Self {
        self.with("X-Linked-Size", file.len().to_string())
            .with("X-Linked-Etag", format!("\"{}\"", sha256(file)))
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends a file of version `"v1"`, or the requested part of it.
pub(crate) fn file(asked: &Asked, bytes: &[u8]) -> Reply {
    file_of_version(asked, bytes, "\"v1\"")
}

/// Sends a file, or the requested part of it if the request is for the same version.
pub(crate) fn file_of_version(asked: &Asked, bytes: &[u8], version: &str) -> Reply {
    let same = asked
        .header("if-range")
        .is_none_or(|asked| asked == version);
    let whole = bytes.len();
    let reply = match asked.from().filter(|_| same) {
        Some(from) if from >= whole => {
            return Reply::status(416).with("Content-Range", format!("bytes */{whole}"));
        }
        Some(from) => Reply {
            body: bytes[from..].to_vec(),
            ..Reply::status(206).with(
                "Content-Range",
                format!("bytes {from}-{}/{whole}", whole - 1),
            )
        },
        None => Reply {
            body: bytes.to_vec(),
            ..Reply::status(200)
        },
    };
    reply.with("ETag", version).linked(bytes)
}

/// A server that runs until the tests end.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request with `answer`, which gets the number of earlier requests and the
    /// request.
    pub(crate) fn start(answer: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            asked: Arc::default(),
        };
        let (log, answer) = (server.asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (log.clone(), answer.clone());
                // A client may disconnect at any time, which ends only its thread.
                std::thread::spawn(move || serve(&stream.unwrap(), &log, &*answer));
            }
        });
        server
    }

    /// Returns all requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    stream: &TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(usize, &Asked) -> Reply + Send + Sync),
) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next()?.ok()?;
    let path = request.split(' ').nth(1)?.to_owned();
    let head = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .map(|line| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", name.to_lowercase()),
            None => line,
        })
        .collect();
    let asked = Asked { path, head };
    let before = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    send(stream, &answer(before, &asked)).ok()
}

fn send(mut stream: &TcpStream, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", reply.body.len());
    stream.write_all(head.as_bytes())?;
    let end = reply.cut_at.or(reply.stall_at).unwrap_or(reply.body.len());
    let (pieces, pause) = reply.drip.unwrap_or((1, Duration::ZERO));
    for piece in reply.body[..end].chunks(end.div_ceil(pieces).max(1)) {
        std::thread::sleep(pause);
        stream.write_all(piece)?;
    }
    if reply.stall_at.is_some() {
        // Until the client disconnects.
        let _ = stream.read(&mut [0])?;
    }
    stream.shutdown(Shutdown::Both)
}
