//! What can go wrong with the server, one variant for each thing that a caller can do about it.

use std::io;
use std::time::Duration;

use super::wire::Failure;

/// Longest piece of a foreign answer that an error repeats.
const QUOTE_CHARS_MAX: usize = 300;

/// Why the server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OllamaError {
    /// Nothing listens there: start Ollama, or correct `OLLAMA_HOST`.
    #[error(
        "no Ollama answers at {url}; start it with `ollama serve`, or say in OLLAMA_HOST where it runs"
    )]
    NotRunning {
        /// Where it was looked for.
        url: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The model is not installed: pull it.
    #[error("model {model} is not installed; `ollama pull {model}` fetches it")]
    NotInstalled {
        /// Its name.
        model: String,
    },

    /// The model could not be fetched: look at its name and at the connection to the registry. What is there already is
    /// kept, and the next pull goes on from it.
    #[error("model {model} could not be pulled: {message}")]
    NotPulled {
        /// Its name.
        model: String,
        /// What the server said.
        message: String,
    },

    /// The server's queue is full: try again later.
    #[error("the server is busy, its queue is full; try again later")]
    Busy,

    /// The machine or the server's own check has no memory for the model: load it with a smaller context, or unload
    /// something first.
    #[error(
        "model {model} does not fit into memory; take a smaller context, or unload something first: {message}"
    )]
    OutOfMemory {
        /// Its name.
        model: String,
        /// What the server said.
        message: String,
    },

    /// The model's file could not be mapped: load it with `use_mmap` off.
    #[error("the file of model {model} could not be mapped; load it without mapping: {message}")]
    MapFailed {
        /// Its name.
        model: String,
        /// What the server said.
        message: String,
    },

    /// The model's process ended in the middle of the work: repeat the request, which loads the model again.
    #[error("the process of model {model} ended; try again: {message}")]
    RunnerEnded {
        /// Its name.
        model: String,
        /// What the server said, or that the answer broke off.
        message: String,
    },

    /// The model did not load within the server's own limit or ours: look at the disk, then try again.
    #[error("nothing was heard of {model} for {} s; look at the disk and at the server's log, then try again", silent.as_secs())]
    Stalled {
        /// The model, or the path of the request where there is none.
        model: String,
        /// How long nothing was heard; zero where the server gave up by itself.
        silent: Duration,
    },

    /// The request carries a value that the server refuses: correct it.
    #[error("the server refuses the request: {message}")]
    BadRequest {
        /// What the server said.
        message: String,
    },

    /// The model cannot do this: take another one.
    #[error("model {model} cannot do this; take another one: {message}")]
    Unsupported {
        /// Its name.
        model: String,
        /// What the server said.
        message: String,
    },

    /// The prompt does not fit into the context: shorten it, or load the model with a larger one.
    #[error(
        "the prompt does not fit into the context of model {model}; shorten it, or load the model with a larger one: {message}"
    )]
    PromptTooLong {
        /// Its name.
        model: String,
        /// What the server said.
        message: String,
    },

    /// The name stands for a model on somebody else's computer, which has no memory here: nothing to manage.
    #[error("model {model} runs in the cloud; it has no memory here to manage")]
    Cloud {
        /// Its name.
        model: String,
    },

    /// The request was cancelled on our side.
    #[error("cancelled")]
    Cancelled,

    /// The connection broke: the server ended or restarted. Try again; what was loaded may be gone.
    #[error("the connection to {url} broke; try again")]
    Broken {
        /// The server.
        url: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The answer is not one of Ollama's: another program listens there, or a proxy stands before it.
    #[error(
        "{url} answers {status}, which this client does not know; see the server's log, or what else listens there: {quote}"
    )]
    Foreign {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer, or what is wrong with it.
        quote: String,
    },
}

impl OllamaError {
    /// Returns whether the same request may succeed a little later, with nothing changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy | Self::Broken { .. } | Self::RunnerEnded { .. } | Self::NotRunning { .. }
        )
    }

    /// What the server says of a pull is about the registry, whatever else it sounds like.
    pub(super) fn of_pull(self, model: &str) -> Self {
        let message = match self {
            Self::NotInstalled { .. } => "the registry does not have it".to_owned(),
            Self::RunnerEnded { message, .. } | Self::BadRequest { message } => message,
            Self::Foreign { status, quote, .. } if status >= 400 => quote,
            other => return other,
        };
        Self::NotPulled {
            model: model.to_owned(),
            message,
        }
    }

    /// Reads an answer that is no success.
    pub(super) fn from_answer(url: &str, model: &str, status: u16, body: &str) -> Self {
        match serde_json::from_str::<Failure>(body) {
            Ok(failure) => Self::from_failure(url, model, status, failure.error),
            Err(_) => Self::Foreign {
                url: url.to_owned(),
                status,
                quote: quote(body),
            },
        }
    }

    /// Sorts what the server says by what can be done about it. The status alone does not tell: a bad option is a 500.
    ///
    /// Source: Ollama 0.9.6, 0.24.0 and 0.33, server/routes.go, llm/server.go and llm/llama_server.go.
    pub(super) fn from_failure(url: &str, model: &str, status: u16, message: String) -> Self {
        let text = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let model = model.to_owned();
        if says(&["mmap failed", "mapviewoffile failed"]) {
            Self::MapFailed { model, message }
        } else if says(&[
            "more system memory",
            "insufficient memory",
            "out of memory",
            "cannot allocate memory",
            "unable to allocate",
            "failed to allocate",
            // The kernel's OOM killer: seldom does anybody else kill a model with signal 9.
            "signal: killed",
        ]) {
            Self::OutOfMemory { model, message }
        } else if says(&["timed out waiting for"]) {
            Self::Stalled {
                model,
                silent: Duration::ZERO,
            }
        } else if says(&[
            "terminated",
            "unexpectedly stopped",
            "unexpected eof",
            "running the model",
        ]) {
            Self::RunnerEnded { model, message }
        } else if says(&["context length", "context size"]) && says(&["exceed"]) {
            Self::PromptTooLong { model, message }
        } else if says(&["does not support"]) {
            Self::Unsupported { model, message }
        } else {
            Self::from_status(url, model, status, message)
        }
    }

    fn from_status(url: &str, model: String, status: u16, message: String) -> Self {
        match status {
            401 | 403 => Self::Cloud { model },
            404 => Self::NotInstalled { model },
            499 => Self::Cancelled,
            503 => Self::Busy,
            400 => Self::BadRequest { message },
            500 if message.contains("must be of type") => Self::BadRequest { message },
            // An error line inside a stream has the status of its beginning.
            200 => Self::RunnerEnded { model, message },
            _ => Self::Foreign {
                url: url.to_owned(),
                status,
                quote: quote(&message),
            },
        }
    }
}

/// The beginning of a foreign text, on one line.
pub(super) fn quote(text: &str) -> String {
    text.chars()
        .take(QUOTE_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> String {
        let error = OllamaError::from_answer("http://h", "m", status, body);
        let text = format!("{error:?}");
        text.split([' ', '{']).next().unwrap().to_owned()
    }

    fn check(status: u16, message: &str, expected: &str) {
        let body = serde_json::json!({ "error": message }).to_string();
        assert_eq!(kind(status, &body), expected, "{message}");
    }

    #[test]
    fn answers_are_sorted_by_what_can_be_done() {
        check(404, "model 'm' not found", "NotInstalled");
        check(
            404,
            "model \"m\" not found, try pulling it first",
            "NotInstalled",
        );
        check(
            503,
            "server busy, please try again.  maximum pending requests exceeded",
            "Busy",
        );
        check(499, "request canceled", "Cancelled");
        check(
            500,
            "llama-server process has terminated: signal: killed",
            "OutOfMemory",
        );
        check(
            500,
            "model requires more system memory (17.7 GiB) than is available (13.6 GiB)",
            "OutOfMemory",
        );
        check(
            500,
            "llama-server process has terminated: exit status 1: mmap failed: Cannot allocate memory",
            "MapFailed",
        );
        check(
            500,
            "llama-server process has terminated: exit status 1: error loading model: x",
            "RunnerEnded",
        );
        check(
            500,
            "llama runner process has terminated: exit status 2",
            "RunnerEnded",
        );
        check(
            500,
            "timed out waiting for llama-server to start - ",
            "Stalled",
        );
        check(
            500,
            "option \"num_ctx\" must be of type integer",
            "BadRequest",
        );
        check(400, "time: missing unit in duration \"300\"", "BadRequest");
        check(
            400,
            "\"nomic-embed-text\" does not support generate",
            "Unsupported",
        );
        check(
            400,
            "the input length exceeds the context length",
            "PromptTooLong",
        );
        check(
            200,
            "an error was encountered while running the model: unexpected EOF",
            "RunnerEnded",
        );
        check(401, "unauthorized", "Cloud");
    }

    #[test]
    fn what_is_not_of_the_server_is_foreign() {
        assert_eq!(kind(404, "404 page not found"), "Foreign");
        assert_eq!(kind(405, ""), "Foreign");
        assert_eq!(kind(403, ""), "Foreign");
        check(418, "teapot", "Foreign");
    }
}
