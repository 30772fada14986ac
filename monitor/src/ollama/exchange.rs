//! One request and its answer, or the error that it became.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body};

use super::error::quote;
use super::transport::{GivenUp, Patience, Watch, Within};
use super::{Answers, Client, OllamaError};

/// Largest answer: a verbose `show` repeats a vocabulary of 256k tokens with its merges.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// How long an answer may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A limit for all of it.
    Query,
    /// As long as patience lasts until it begins; then it is short.
    Job,
    /// As long as patience lasts at every turn.
    Stream,
}

impl Client {
    pub(super) fn query<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&Value>,
        model: &str,
    ) -> Result<T, OllamaError> {
        let patience = Arc::new(Within(self.query_max));
        let response = self.send(path, body, model, patience, Work::Query)?;
        self.read(path, model, response)
    }

    /// Sends one request on its own connection. An answer that is no success becomes its error.
    pub(super) fn send<B: Serialize>(
        &self,
        path: &str,
        body: Option<&B>,
        model: &str,
        patience: Arc<dyn Patience>,
        work: Work,
    ) -> Result<Response<Body>, OllamaError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None) // a proxy of the environment must not see loopback traffic
            .timeout_global((work == Work::Query).then_some(self.query_max))
            .timeout_recv_body((work == Work::Job).then_some(self.query_max))
            .max_idle_connections(0)
            .build();
        let watch = Watch {
            cancel: self.cancel.clone(),
            patience,
        };
        let agent = Agent::with_parts(config, watch, DefaultResolver::default());
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
        Err(OllamaError::from_answer(&url, model, status, &text))
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

    pub(super) fn answers<T: DeserializeOwned>(
        &self,
        model: &str,
        response: Response<Body>,
    ) -> Answers<T> {
        let reader = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        Answers::new(Box::new(reader), &self.base, model)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// An error before the answer began.
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
        let error = match ureq::Error::from(error) {
            ureq::Error::Io(error) => error,
            ureq::Error::Timeout(_) => return self.stalled(path, model, self.query_max),
            other => io::Error::other(other),
        };
        match GivenUp::find(&error) {
            Some(GivenUp::Cancelled) => return OllamaError::Cancelled,
            Some(GivenUp::Stalled { silent }) => return self.stalled(path, model, *silent),
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
            model: if model.is_empty() { path } else { model }.to_owned(),
            silent,
        }
    }
}

fn reader(response: Response<Body>) -> impl Read {
    response
        .into_body()
        .into_with_config()
        .limit(ANSWER_BYTES_MAX)
        .reader()
}
