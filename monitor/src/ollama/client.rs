//! The server's requests, typed.
//!
//! Only the server's own interface is used: what it offers under `/v1` carries neither a context size nor a time to
//! keep the model, so that each such request on a model loaded with a chosen context loads it again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::exchange::Work;
use super::transport::{Patience, Within};
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

/// Speaks to one server. Cheap to clone; holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    host: Host,
    pub(super) base: String,
    pub(super) cancel: Cancel,
    pub(super) query_max: Duration,
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
    /// [`OllamaError::NotPulled`] with the server's words where the registry does not have the model or is out of reach;
    /// it may come as the first error of the answers.
    pub fn pull(&self, model: &str) -> Result<Answers<PullStep>, OllamaError> {
        let body = serde_json::json!({ "model": model });
        let patience = Arc::new(Within(PULL_SILENCE_MAX));
        let response = self
            .send("/api/pull", Some(&body), model, patience, Work::Stream)
            .map_err(|error| error.of_pull(model))?;
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
