//! The server's requests, typed.
//!
//! Only the server's own interface is used: what it offers under `/v1` carries neither a context size nor a time to
//! keep the model, so that each such request on a model loaded with a chosen context loads it again.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use ureq::http::Response;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body};

use super::error::quote;
use super::transport::{GivenUp, Patience, Watch, Within};
use super::wire::{PsAnswer, Request, TagsAnswer, VersionAnswer, is_cloud};
use super::{
    Answers, Cancel, Host, InstalledModel, KeepAlive, LoadProfile, Message, OllamaError, Piece,
    PullStep, RunningModel, Show, Version,
};

/// A question that needs no work is answered within this time: `/api/ps` waits while a process is being ended.
const QUERY_MAX: Duration = Duration::from_secs(30);

/// While it generates the server sends a token at least this often; reading a long prompt on a slow machine comes first.
const GENERATE_SILENCE_MAX: Duration = Duration::from_secs(15 * 60);

/// Longest silence of a pull: the server sends nothing while it checks the digest of a large layer.
const PULL_SILENCE_MAX: Duration = Duration::from_secs(10 * 60);

/// The server itself gives up after 5 minutes without a sign of its loader; slow disks get twice that.
const LOAD_SILENCE_MAX: Duration = Duration::from_secs(10 * 60);

/// Largest answer: a verbose `show` repeats a vocabulary of 256k tokens with its merges.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Text of a generation beside what the profile pins.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Prompt {
    /// The text to go on from; empty with `messages`.
    pub text: String,
    /// The conversation, for a chat.
    pub messages: Vec<Message>,
    /// Instructions before a text; a chat has them as a message.
    pub system: Option<String>,
    /// `"json"` or a JSON schema that the answer must follow.
    pub format: Option<Value>,
    /// Options of sampling, such as `temperature` and `num_predict`. Options that would load the model again are
    /// overwritten by the profile, and `shift` is left out.
    pub options: Map<String, Value>,
}

impl Prompt {
    /// Makes one that goes on from a text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Makes one that answers a conversation.
    #[must_use]
    pub fn chat(messages: Vec<Message>) -> Self {
        Self {
            messages,
            ..Self::default()
        }
    }

    /// Sets a sampling option.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.options.insert(name.to_owned(), value.into());
        self
    }
}

/// How long an answer may take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// A limit for all of it.
    Query,
    /// As long as patience lasts until it begins; then it is short.
    Job,
    /// As long as patience lasts at every turn.
    Stream,
}

/// Speaks to one server. Cheap to clone; holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    host: Host,
    base: String,
    cancel: Cancel,
    query_max: Duration,
}

impl Client {
    /// Makes a client; nothing is sent.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self {
            base: host.to_string(),
            host,
            cancel: Cancel::new(),
            query_max: QUERY_MAX,
        }
    }

    /// Returns a client whose requests stop when `cancel` says so.
    #[must_use]
    pub fn with_cancel(&self, cancel: Cancel) -> Self {
        Self {
            cancel,
            ..self.clone()
        }
    }

    /// Returns a client that waits so long for whole answers to questions that need no work; 30 seconds otherwise.
    #[must_use]
    pub fn with_query_max(&self, query_max: Duration) -> Self {
        Self {
            query_max,
            ..self.clone()
        }
    }

    /// Returns where the server is.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Asks for the server's version: also the cheapest way to learn whether it runs.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotRunning`]: start it. [`OllamaError::Foreign`]: another program listens there.
    pub fn version(&self) -> Result<Version, OllamaError> {
        let answer: VersionAnswer = self.query("/api/version", None, "")?;
        Ok(Version::parse(&answer.version))
    }

    /// Lists the installed models.
    ///
    /// # Errors
    ///
    /// As [`version`](Self::version).
    pub fn installed(&self) -> Result<Vec<InstalledModel>, OllamaError> {
        Ok(self.query::<TagsAnswer>("/api/tags", None, "")?.models)
    }

    /// Lists the models that the server holds. It waits while the server ends a process.
    ///
    /// # Errors
    ///
    /// As [`version`](Self::version).
    pub fn running(&self) -> Result<Vec<RunningModel>, OllamaError> {
        Ok(self.query::<PsAnswer>("/api/ps", None, "")?.models)
    }

    /// Asks what a model is made of. `verbose` adds the arrays of its header, at the price of a large answer.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotInstalled`]: pull it.
    pub fn show(&self, model: &str, verbose: bool) -> Result<Show, OllamaError> {
        let body = serde_json::json!({ "model": model, "verbose": verbose });
        self.query("/api/show", Some(&body), model)
    }

    /// Loads a model with a profile and waits until it is ready.
    ///
    /// `patience` decides how long; giving up **aborts** the load on the server, and the next try starts it again.
    /// `None` waits for ten minutes.
    ///
    /// # Errors
    ///
    /// [`OllamaError::OutOfMemory`]: take a smaller context. [`OllamaError::MapFailed`]: load without mapping.
    /// [`OllamaError::Cloud`]: there is nothing to load.
    pub fn load(
        &self,
        model: &str,
        profile: &LoadProfile,
        keep_alive: KeepAlive,
        patience: Option<Arc<dyn Patience>>,
    ) -> Result<(), OllamaError> {
        let request = Request {
            options: Some(profile.options()),
            keep_alive: Some(keep_alive),
            ..Request::empty(model)
        };
        let patience = patience.unwrap_or_else(|| Arc::new(Within(LOAD_SILENCE_MAX)));
        self.lifecycle(&request, patience)
    }

    /// Asks the server to unload a model. It answers at once and does it later, when no request uses the model; it does
    /// nothing to a model that is still loading. [`Manager::unload`](super::Manager::unload) waits and verifies.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotInstalled`] where no model has this name; a model that is not loaded is no error.
    pub fn request_unload(&self, model: &str) -> Result<(), OllamaError> {
        let request = Request {
            keep_alive: Some(KeepAlive::UNLOAD),
            ..Request::empty(model)
        };
        self.lifecycle(&request, Arc::new(Within(self.query_max)))
    }

    /// Starts a generation; the answer comes piece by piece. Dropping it stops the server.
    ///
    /// A prompt that does not fit into the context is refused instead of cut (a server that is too old for that cuts it:
    /// compare [`Piece::prompt_eval_count`]).
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), since a model that is not there is loaded; [`OllamaError::PromptTooLong`]: shorten it.
    pub fn generate(
        &self,
        model: &str,
        profile: &LoadProfile,
        keep_alive: KeepAlive,
        prompt: &Prompt,
    ) -> Result<Answers<Piece>, OllamaError> {
        refuse_cloud(model)?;
        let mut request = Request {
            format: prompt.format.as_ref(),
            options: Some(profile.options_over(&prompt.options)),
            keep_alive: Some(keep_alive),
            truncate: Some(false),
            ..Request::empty(model)
        };
        let path = if prompt.messages.is_empty() {
            request.prompt = Some(&prompt.text);
            request.system = prompt.system.as_deref();
            "/api/generate"
        } else {
            request.messages = Some(&prompt.messages);
            "/api/chat"
        };
        let response = self.send(
            path,
            Some(&request),
            model,
            Arc::new(Within(GENERATE_SILENCE_MAX)),
            Work::Stream,
        )?;
        Ok(self.answers(model, response))
    }

    /// Fetches a model; the answers are its progress. Dropping them stops the pull, and the next one goes on from there.
    ///
    /// # Errors
    ///
    /// [`OllamaError::Foreign`] with the server's words where the registry does not have the model or is out of reach.
    pub fn pull(&self, model: &str) -> Result<Answers<PullStep>, OllamaError> {
        let body = serde_json::json!({ "model": model });
        let patience = Arc::new(Within(PULL_SILENCE_MAX));
        let response = self.send("/api/pull", Some(&body), model, patience, Work::Stream)?;
        Ok(self.answers(model, response))
    }

    fn lifecycle(&self, request: &Request, patience: Arc<dyn Patience>) -> Result<(), OllamaError> {
        refuse_cloud(request.model)?;
        let response = self.send(
            "/api/generate",
            Some(request),
            request.model,
            patience,
            Work::Job,
        )?;
        let piece: Piece = self.read("/api/generate", request.model, response)?;
        if piece.done {
            return Ok(());
        }
        Err(OllamaError::Foreign {
            url: self.url("/api/generate"),
            status: 200,
            quote: "a load or unload that is not done".to_owned(),
        })
    }

    fn query<T: DeserializeOwned>(
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
    fn send<B: Serialize>(
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

    fn read<T: DeserializeOwned>(
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

    fn answers<T: DeserializeOwned>(&self, model: &str, response: Response<Body>) -> Answers<T> {
        let reader = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        Answers::new(Box::new(reader), &self.base, model)
    }

    fn url(&self, path: &str) -> String {
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

impl<'a> Request<'a> {
    fn empty(model: &'a str) -> Self {
        Self {
            model,
            prompt: None,
            system: None,
            messages: None,
            format: None,
            options: None,
            keep_alive: None,
            truncate: None,
        }
    }
}

fn refuse_cloud(model: &str) -> Result<(), OllamaError> {
    if is_cloud(model) {
        return Err(OllamaError::Cloud {
            model: model.to_owned(),
        });
    }
    Ok(())
}

fn reader(response: Response<Body>) -> impl Read {
    response
        .into_body()
        .into_with_config()
        .limit(ANSWER_BYTES_MAX)
        .reader()
}
