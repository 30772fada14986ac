//! The typed HTTP client of one server.
//!
//! | question | file |
//! |---|---|
//! | Where is the server, and which version is it? | `server` |
//! | What is a model loaded with, and for how long? | `profile` |
//! | What is in a request and a response? | `wire`, `header` |
//! | How is a request sent, and when is it aborted? | `exchange`, `transport`, `stream` |
//! | What went wrong, and what can the caller do? | `error` |
//!
//! Only the native API is used. Requests under `/v1` carry neither a context size nor a keep-alive
//! time, so each one reloads a model whose context was chosen.

pub(super) mod error;
mod exchange;
pub(super) mod header;
pub(super) mod profile;
pub(super) mod server;
pub(super) mod stream;
pub(super) mod transport;
pub(super) mod wire;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use error::OllamaError;
use exchange::{Exchange, TimeLimit};
use profile::{KeepAlive, LoadProfile};
use server::{Host, Version};
use stream::ResponseStream;
use transport::{Cancel, StallPolicy, StallTimeout};
use wire::{
    Chunk, InstalledModel, Message, ModelDescription, PsResponse, PullProgress, Request,
    RunningModel, TagsResponse, VersionResponse, is_cloud,
};

/// Limit for a request without model work. `/api/ps` blocks while the server ends a process.
const QUERY_MAX: Duration = Duration::from_secs(30);

/// Longest silence of a generation. The server sends tokens more often than this; a slow machine
/// evaluates a long prompt first.
const GENERATE_SILENCE_MAX: Duration = Duration::from_secs(15 * 60);

/// Longest silence of a pull. The server sends nothing while it verifies a large layer.
const PULL_SILENCE_MAX: Duration = Duration::from_secs(10 * 60);

/// Longest silence of a load. The server itself gives up after 5 minutes without progress; slow
/// disks get twice that.
const LOAD_SILENCE_MAX: Duration = Duration::from_secs(10 * 60);

/// The input of a generation, without the options of the profile.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Prompt {
    /// The text to continue. Empty if there are `messages`.
    pub text: String,
    /// The conversation of a chat.
    pub messages: Vec<Message>,
    /// The system prompt of a text. In a chat it is a message.
    pub system: Option<String>,
    /// `"json"`, or a JSON schema for the response.
    pub format: Option<Value>,
    /// Sampling options, such as `temperature` and `num_predict`. The profile overrides options
    /// that would reload the model, and `shift` is dropped.
    pub options: Map<String, Value>,
}

impl Prompt {
    /// Creates a prompt that continues a text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Creates a prompt that replies to a conversation.
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

/// The client of one server. It is cheap to clone and holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    host: Host,
    exchange: Exchange,
}

impl Client {
    /// Creates a client without sending anything.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self {
            exchange: Exchange {
                base: host.to_string(),
                cancel: Cancel::new(),
                query_max: QUERY_MAX,
            },
            host,
        }
    }

    /// Returns a client whose requests end when `cancel` is set.
    #[must_use]
    pub fn with_cancel(&self, cancel: Cancel) -> Self {
        let mut client = self.clone();
        client.exchange.cancel = cancel;
        client
    }

    /// Returns a client with another limit for requests without model work. The default is 30 s.
    #[must_use]
    pub fn with_query_max(&self, query_max: Duration) -> Self {
        let mut client = self.clone();
        client.exchange.query_max = query_max;
        client
    }

    /// Returns the address of the server.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the server's version. This is also the cheapest way to find out whether it runs.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotRunning`]: start it. [`OllamaError::Foreign`]: another program listens at
    /// the address.
    pub fn version(&self) -> Result<Version, OllamaError> {
        let response: VersionResponse = self.exchange.query("/api/version", None, "")?;
        Ok(Version::parse(&response.version))
    }

    /// Lists the installed models.
    ///
    /// # Errors
    ///
    /// As [`version`](Self::version).
    pub fn installed(&self) -> Result<Vec<InstalledModel>, OllamaError> {
        let response: TagsResponse = self.exchange.query("/api/tags", None, "")?;
        Ok(response.models)
    }

    /// Lists the loaded models. It blocks while the server ends a process.
    ///
    /// # Errors
    ///
    /// As [`version`](Self::version).
    pub fn running(&self) -> Result<Vec<RunningModel>, OllamaError> {
        let response: PsResponse = self.exchange.query("/api/ps", None, "")?;
        Ok(response.models)
    }

    /// Describes a model. With `verbose`, the response includes the arrays of the header and is
    /// large.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotInstalled`]: pull it.
    pub fn show(&self, model: &str, verbose: bool) -> Result<ModelDescription, OllamaError> {
        let body = serde_json::json!({ "model": model, "verbose": verbose });
        self.exchange.query("/api/show", Some(&body), model)
    }

    /// Loads a model with a profile, and blocks until it is ready.
    ///
    /// `policy` decides how long to wait; without one, the limit is ten minutes of silence. Giving
    /// up **aborts** the load on the server, and the next attempt starts it again.
    ///
    /// # Errors
    ///
    /// [`OllamaError::OutOfMemory`]: use a smaller context. [`OllamaError::MapFailed`]: load
    /// without mapping. [`OllamaError::Cloud`]: there is nothing to load.
    pub fn load(
        &self,
        model: &str,
        profile: &LoadProfile,
        keep_alive: KeepAlive,
        policy: Option<Arc<dyn StallPolicy>>,
    ) -> Result<(), OllamaError> {
        let request = Request {
            options: Some(profile.options()),
            keep_alive: Some(keep_alive),
            ..Request::empty(model)
        };
        let policy = policy.unwrap_or_else(|| Arc::new(StallTimeout(LOAD_SILENCE_MAX)));
        self.change_residency(&request, policy)
    }

    /// Requests that the server unload a model.
    ///
    /// The server replies at once, and unloads the model later, when no request uses it. It
    /// ignores a model that is still loading. [`Manager::unload`](crate::ollama::Manager::unload)
    /// waits and verifies.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotInstalled`] if no model has this name. A model that is not loaded is not
    /// an error.
    pub fn request_unload(&self, model: &str) -> Result<(), OllamaError> {
        let request = Request {
            keep_alive: Some(KeepAlive::UNLOAD),
            ..Request::empty(model)
        };
        let policy = Arc::new(StallTimeout(self.exchange.query_max));
        self.change_residency(&request, policy)
    }

    /// Starts a generation, and returns the stream of its chunks. Dropping the stream stops the
    /// server.
    ///
    /// A prompt that does not fit into the context is rejected. A server that is too old for this
    /// cuts it off instead: compare [`Chunk::prompt_eval_count`].
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), because a model that is not loaded is loaded first.
    /// [`OllamaError::PromptTooLong`]: shorten the prompt.
    pub fn generate(
        &self,
        model: &str,
        profile: &LoadProfile,
        keep_alive: KeepAlive,
        prompt: &Prompt,
    ) -> Result<ResponseStream<Chunk>, OllamaError> {
        reject_cloud(model)?;
        let mut request = Request {
            format: prompt.format.as_ref(),
            options: Some(profile.options_with(&prompt.options)),
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
        let policy = Arc::new(StallTimeout(GENERATE_SILENCE_MAX));
        let limit = TimeLimit::Nothing;
        let response = self
            .exchange
            .send(path, Some(&request), model, policy, limit)?;
        Ok(self.exchange.stream(model, response))
    }

    /// Downloads a model, and returns the stream of its progress. Dropping the stream stops the
    /// pull, and the next one resumes it.
    ///
    /// # Errors
    ///
    /// [`OllamaError::NotPulled`] if the registry does not have the model or cannot be reached. It
    /// may also be the first item of the stream.
    pub fn pull(&self, model: &str) -> Result<ResponseStream<PullProgress>, OllamaError> {
        let body = serde_json::json!({ "model": model });
        let policy = Arc::new(StallTimeout(PULL_SILENCE_MAX));
        let limit = TimeLimit::Nothing;
        let sent = self
            .exchange
            .send("/api/pull", Some(&body), model, policy, limit);
        let response = sent.map_err(|error| error.of_pull(model))?;
        Ok(self.exchange.stream(model, response))
    }

    /// Sends a request without a prompt, which loads or unloads the model.
    fn change_residency(
        &self,
        request: &Request,
        policy: Arc<dyn StallPolicy>,
    ) -> Result<(), OllamaError> {
        reject_cloud(request.model)?;
        let (path, limit) = ("/api/generate", TimeLimit::Body);
        let response = self
            .exchange
            .send(path, Some(request), request.model, policy, limit)?;
        let chunk: Chunk = self.exchange.read(path, request.model, response)?;
        if chunk.done {
            return Ok(());
        }
        Err(OllamaError::Foreign {
            url: self.exchange.url(path),
            status: 200,
            quote: "a load or unload that is not done".to_owned(),
        })
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

fn reject_cloud(model: &str) -> Result<(), OllamaError> {
    if is_cloud(model) {
        return Err(OllamaError::Cloud {
            model: model.to_owned(),
        });
    }
    Ok(())
}
