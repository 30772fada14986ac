//! Enough HTTP/1.1 for one request on one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

const BODY_BYTES_MAX: usize = 1 << 20;

pub struct Request {
    pub method: String,
    pub path: String,
    pub host: String,
    pub body: Vec<u8>,
}

pub fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut parts = line.split_whitespace();
    let (method, path) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let (mut length, mut host) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.trim_end().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if let Some(value) = header.strip_prefix("host:") {
            host = value.trim().to_owned();
        }
    }
    let mut body = vec![0; length.min(BODY_BYTES_MAX)];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        host,
        body,
    })
}

/// A response in one piece.
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

impl Response {
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            content_type: "application/json; charset=utf-8",
            body: body.to_string(),
        }
    }

    pub fn error(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": message }))
    }

    pub fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "text/plain",
            body: body.to_owned(),
        }
    }

    pub fn write(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        write!(
            stream,
            "HTTP/1.1 {} X\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n\
             {}",
            self.status,
            self.content_type,
            self.body.len(),
            self.body
        )
    }
}

/// A response that is sent line by line.
pub struct Chunks<'a>(&'a TcpStream);

impl<'a> Chunks<'a> {
    pub fn begin(mut stream: &'a TcpStream) -> std::io::Result<Self> {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )?;
        Ok(Self(stream))
    }

    pub fn line(&mut self, value: &Value) -> std::io::Result<()> {
        let text = format!("{value}\n");
        write!(self.0, "{:x}\r\n{text}\r\n", text.len())
    }

    pub fn end(mut self) -> std::io::Result<()> {
        write!(self.0, "0\r\n\r\n")
    }
}

/// Returns whether the client has closed its side.
pub fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).ok();
    let closed = matches!(stream.peek(&mut [0]), Ok(0));
    stream.set_nonblocking(false).ok();
    closed
}
