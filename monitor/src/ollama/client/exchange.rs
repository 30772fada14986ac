//! One request and its response, or the error that it became.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body};

use super::error::{OllamaError, quote};
use super::stream::ResponseStream;
use super::transport::{Abort, Cancel, Guard, StallPolicy, StallTimeout};

/// Largest response: a verbose `show` repeats a vocabulary of 256k tokens with its merges.
const RESPONSE_BYTES_MAX: u64 = 64 << 20;

/// Which part of a request has a time limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeLimit {
    /// The whole exchange.
    Whole,
    /// The body; the stall policy decides how long to wait for its beginning.
    Body,
    /// Nothing; the stall policy decides at every turn.
    Nothing,
}

/// Sends requests to one server. It holds no connection.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) base: String,
    pub(super) cancel: Cancel,
    pub(super) query_max: Duration,
}

impl Exchange {
    /// Sends a request that involves no model work, and reads its response.
    pub(super) fn query<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&Value>,
        model: &str,
    ) -> Result<T, OllamaError> {
        let policy = Arc::new(StallTimeout(self.query_max));
        let response = self.send(path, body, model, policy, TimeLimit::Whole)?;
        self.read(path, model, response)
    }

    /// Sends one request on a connection of its own. A response without success becomes an error.
    pub(super) fn send<B: Serialize>(
        &self,
        path: &str,
        body: Option<&B>,
        model: &str,
        policy: Arc<dyn StallPolicy>,
        limit: TimeLimit,
    ) -> Result<Response<Body>, OllamaError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None) // a proxy from the environment must not see loopback traffic
            .timeout_global((limit == TimeLimit::Whole).then_some(self.query_max))
            .timeout_recv_body((limit == TimeLimit::Body).then_some(self.query_max))
            .max_idle_connections(0)
            .build();
        let guard = Guard {
            cancel: self.cancel.clone(),
            policy,
        };
        let agent = Agent::with_parts(config, guard, DefaultResolver::default());
        let url = self.url(path);
        let sent = match body {
            Some(body) => agent.post(&url).send_json(body),
            None => agent.get(&url).call(),
        };
        let response = sent.map_err(|error| self.unsent(path, model, error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let mut text = String::new();
        reader(response)
            .read_to_string(&mut text)
            .map_err(|error| self.broken(path, model, error))?;
        Err(OllamaError::from_response(&url, model, status, &text))
    }

    pub(super) fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        model: &str,
        response: Response<Body>,
    ) -> Result<T, OllamaError> {
        let reader = io::BufReader::new(reader(response));
        serde_json::from_reader(reader).map_err(|error| {
            if error.is_io() || error.is_eof() {
                self.broken(path, model, error.into())
            } else {
                OllamaError::Foreign {
                    url: self.url(path),
                    status: 200,
                    quote: quote(&error.to_string()),
                }
            }
        })
    }

    /// Reads a response line by line.
    pub(super) fn stream<T: DeserializeOwned>(
        &self,
        model: &str,
        response: Response<Body>,
    ) -> ResponseStream<T> {
        let reader = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        ResponseStream::new(Box::new(reader), &self.base, model)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Converts an error that happened before the response began.
    fn unsent(&self, path: &str, model: &str, error: ureq::Error) -> OllamaError {
        match error {
            ureq::Error::Io(error) => self.broken(path, model, error),
            ureq::Error::Timeout(_) => self.stalled(path, model, self.query_max),
            ureq::Error::HostNotFound => OllamaError::NotRunning {
                url: self.base.clone(),
                source: io::ErrorKind::NotFound.into(),
            },
            other => OllamaError::Foreign {
                url: self.url(path),
                status: 0,
                quote: quote(&other.to_string()),
            },
        }
    }

    fn broken(&self, path: &str, model: &str, error: io::Error) -> OllamaError {
        // ureq wraps its own errors in `io::Error` once the body is being read.
        let error = match ureq::Error::from(error) {
            ureq::Error::Io(error) => error,
            ureq::Error::Timeout(_) => return self.stalled(path, model, self.query_max),
            other => io::Error::other(other),
        };
        match Abort::find(&error) {
            Some(Abort::Cancelled) => return OllamaError::Cancelled,
            Some(Abort::Stalled { silent }) => return self.stalled(path, model, *silent),
            None => {}
        }
        let url = self.base.clone();
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::TimedOut => {
                OllamaError::NotRunning { url, source: error }
            }
            _ => OllamaError::Broken { url, source: error },
        }
    }

    fn stalled(&self, path: &str, model: &str, silent: Duration) -> OllamaError {
        OllamaError::Stalled {
            subject: if model.is_empty() { path } else { model }.to_owned(),
            silent,
        }
    }
}

fn reader(response: Response<Body>) -> impl Read {
    response
        .into_body()
        .into_with_config()
        .limit(RESPONSE_BYTES_MAX)
        .reader()
}
