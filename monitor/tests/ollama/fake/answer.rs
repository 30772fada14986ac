//! The response of each path.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Chunks, Request, Response};
use super::model::Model;
use super::{Fault, Shared};

/// Paths that require a JSON object.
const PATHS_WITH_BODY: [&str; 5] = [
    "/api/show",
    "/api/generate",
    "/api/chat",
    "/api/embed",
    "/api/pull",
];

impl Shared {
    pub(super) fn answer(&self, stream: &TcpStream, request: &Request) -> std::io::Result<()> {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let entry = (request.path.clone(), body.clone());
        self.requests.lock().unwrap().push(entry);
        if !request.host.starts_with("127.0.0.1") && !request.host.starts_with("localhost") {
            return Response::text(403, "").write(stream);
        }
        if let Some(fault) = self.take_fault(Fault::is_of_connection) {
            return fail(stream, fault);
        }
        let method = match request.method.as_str() {
            // Like GET, but without a body.
            "HEAD" if matches!(request.path.as_str(), "/" | "/api/version" | "/api/tags") => "GET",
            method => method,
        };
        let is_new = self.minor() >= 30;
        let mut response = match (method, request.path.as_str()) {
            ("GET", "/") => Response::text(200, "Ollama is running"),
            ("GET", "/api/version") => Response::json(200, &json!({ "version": self.version() })),
            ("GET", "/api/status") if is_new => Response::json(
                200,
                &json!({"cloud": {"disabled": false, "source": "none"}}),
            ),
            ("GET", "/api/tags") => Response::json(200, &self.tags()),
            ("GET", "/api/ps") => Response::json(200, &self.scheduler.ps(self.minor())),
            ("POST", path) if PATHS_WITH_BODY.contains(&path) && request.body.is_empty() => {
                Response::error(400, "missing request body")
            }
            ("POST", "/api/show") => self.show(&body),
            ("POST", "/api/generate" | "/api/chat") => {
                return self.generate(stream, &request.path, &body);
            }
            ("POST", "/api/embed") => return self.embed(stream, &body),
            ("POST", "/v1/chat/completions") => return self.complete(stream, &body),
            ("POST", "/api/pull") => return self.pull(stream, &body),
            (_, "/api/version" | "/api/tags" | "/api/ps" | "/v1/chat/completions") => {
                Response::text(405, "405 method not allowed")
            }
            (_, path) if PATHS_WITH_BODY.contains(&path) => {
                Response::text(405, "405 method not allowed")
            }
            _ => Response::text(404, "404 page not found"),
        };
        if request.method == "HEAD" {
            response.body.clear();
        }
        response.write(stream)
    }

    pub(super) fn take_fault(&self, wanted: impl Fn(Fault) -> bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let front = *faults.front()?;
        if wanted(front) {
            faults.pop_front()
        } else {
            None
        }
    }

    pub(super) fn minor(&self) -> u32 {
        self.setup.lock().unwrap().minor
    }

    fn version(&self) -> String {
        format!("0.{}.0", self.minor())
    }

    pub(super) fn find(&self, name: &str) -> Option<Model> {
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
                let mut tag = json!({
                    "name": model.name, "model": model.name, "size": model.size,
                    "digest": model.digest, "modified_at": "2026-08-21T18:48:22.123456789+02:00",
                    "details": model.details(setup.minor)
                });
                if setup.minor >= 30 {
                    tag["capabilities"] = model.capabilities();
                }
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
                Response::json(200, &model.show(verbose, self.minor()))
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
            chunks.line(&json!({
                "status": "pulling ab", "digest": "sha256:ab", "total": 100, "completed": completed
            }))?;
        }
        self.setup
            .lock()
            .unwrap()
            .models
            .push(Model::small(name, 1 << 20));
        chunks.line(&json!({"status": "success"}))?;
        chunks.end()
    }
}

pub(super) fn not_found(name: &str) -> Response {
    Response::error(404, &format!("model '{name}' not found"))
}

/// Breaks a response off.
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
