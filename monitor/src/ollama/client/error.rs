//! Errors of the server, one variant for each reaction of a caller.

use std::io;
use std::time::Duration;

use super::wire::Failure;

/// Longest part of an unknown response that an error quotes.
const QUOTE_CHARS_MAX: usize = 300;

/// Why the server did not do what it was asked to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OllamaError {
    /// Nothing listens at the address: start Ollama, or correct `OLLAMA_HOST`.
    #[error(
        "no Ollama server answers at {url}; start it with `ollama serve`, or set OLLAMA_HOST to \
         its address"
    )]
    NotRunning {
        /// The address that was tried.
        url: String,
        /// The error of the system.
        #[source]
        source: io::Error,
    },

    /// The model is not installed: pull it.
    #[error("model {model} is not installed; fetch it with `ollama pull {model}`")]
    NotInstalled {
        /// Its name.
        model: String,
    },

    /// The model could not be pulled: check its name and the connection to the registry. The
    /// downloaded part is kept, and the next pull resumes from it.
    #[error("model {model} could not be pulled: {message}")]
    NotPulled {
        /// Its name.
        model: String,
        /// The server's message.
        message: String,
    },

    /// The server's queue is full: try again later.
    #[error("the server is busy because its queue is full; try again later")]
    Busy,

    /// Another load or unload of the same manager is in flight: try again when it has returned.
    ///
    /// A call from inside a load, on the same thread, fails at once, because it would wait for
    /// itself.
    #[error(
        "another load or unload of this manager is in flight (waited {} s); try again when it has \
         returned", waited.as_secs()
    )]
    InFlight {
        /// How long the call waited. Zero on the thread of the other call.
        waited: Duration,
    },

    /// The model does not fit into memory, by the system's or the server's own check: load it with
    /// a smaller context, or unload something first.
    #[error(
        "model {model} does not fit into memory ({message}); use a smaller context, or unload \
         something first"
    )]
    OutOfMemory {
        /// Its name.
        model: String,
        /// The server's message.
        message: String,
    },

    /// The file of the model could not be mapped: load it with `use_mmap` off.
    #[error("the file of model {model} could not be mapped ({message}); load it without mapping")]
    MapFailed {
        /// Its name.
        model: String,
        /// The server's message.
        message: String,
    },

    /// The runner process of the model ended during the request: repeat the request, which loads
    /// the model again.
    #[error("the process of model {model} ended ({message}); try again")]
    RunnerEnded {
        /// Its name.
        model: String,
        /// The server's message, or that the response broke off.
        message: String,
    },

    /// The server sent nothing for too long, or gave up a load: check the disk and the server's
    /// log, then try again.
    #[error(
        "the server sent nothing about {subject} for {} s; check the disk and the server's log, \
         then try again", silent.as_secs()
    )]
    Stalled {
        /// The model, or the path of a request without a model.
        subject: String,
        /// Duration of the silence. Zero if the server itself gave up.
        silent: Duration,
    },

    /// The request contains a value that the server rejects: correct it.
    #[error("the server rejects the request: {message}")]
    BadRequest {
        /// The server's message.
        message: String,
    },

    /// The model lacks a capability: use another model.
    #[error("model {model} does not support this ({message}); use another model")]
    Unsupported {
        /// Its name.
        model: String,
        /// The server's message.
        message: String,
    },

    /// The prompt does not fit into the context: shorten it, or load the model with a larger one.
    #[error(
        "the prompt does not fit into the context of model {model} ({message}); shorten it, or \
         load the model with a larger context"
    )]
    PromptTooLong {
        /// Its name.
        model: String,
        /// The server's message.
        message: String,
    },

    /// The model runs in the cloud and takes no memory here: there is nothing to manage.
    #[error("model {model} runs in the cloud, so there is no local memory to manage")]
    Cloud {
        /// Its name.
        model: String,
    },

    /// The caller cancelled the request.
    #[error("cancelled")]
    Cancelled,

    /// The connection broke because the server ended or restarted: try again. Models that were
    /// loaded may be gone.
    #[error("the connection to {url} broke; try again")]
    Broken {
        /// The address of the server.
        url: String,
        /// The error of the system.
        #[source]
        source: io::Error,
    },

    /// The response is not one of Ollama's: another program listens there, or a proxy intervenes.
    #[error(
        "{url} sent an unknown response with status {status} ({quote}); see the server's log, or \
         find out what else listens there"
    )]
    Foreign {
        /// The requested address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the response, or what is wrong with it.
        quote: String,
    },
}

impl OllamaError {
    /// Returns whether the same request may succeed a little later without any change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::InFlight { .. }
                | Self::Broken { .. }
                | Self::RunnerEnded { .. }
                | Self::NotRunning { .. }
        )
    }

    /// Converts an error of a pull, which concerns the registry whatever its text says.
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

    /// Converts a response without success.
    pub(super) fn from_response(url: &str, model: &str, status: u16, body: &str) -> Self {
        match serde_json::from_str::<Failure>(body) {
            Ok(failure) => Self::from_failure(url, model, status, failure.error),
            Err(_) => Self::Foreign {
                url: url.to_owned(),
                status,
                quote: quote(body),
            },
        }
    }

    /// Classifies a message of the server by the caller's reaction. The status alone is not enough:
    /// even a bad option is a 500.
    ///
    /// Source: Ollama 0.9.6, 0.24.0 and 0.33: server/routes.go, llm/server.go,
    /// llm/llama_server.go.
    pub(super) fn from_failure(url: &str, model: &str, status: u16, message: String) -> Self {
        let text = message.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let model = model.to_owned();
        if has(&["mmap failed", "mapviewoffile failed"]) {
            Self::MapFailed { model, message }
        } else if has(&[
            "more system memory",
            "insufficient memory",
            "out of memory",
            "cannot allocate memory",
            "unable to allocate",
            "failed to allocate",
            // Signal 9 is almost always the kernel's OOM killer.
            "signal: killed",
        ]) {
            Self::OutOfMemory { model, message }
        } else if has(&["timed out waiting for"]) {
            Self::Stalled {
                subject: model,
                silent: Duration::ZERO,
            }
        } else if has(&[
            "terminated",
            "unexpectedly stopped",
            "unexpected eof",
            "running the model",
        ]) {
            Self::RunnerEnded { model, message }
        } else if has(&["context length", "context size"]) && has(&["exceed"]) {
            Self::PromptTooLong { model, message }
        } else if has(&["does not support"]) {
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
            // An error line inside a stream comes after the status line.
            200 => Self::RunnerEnded { model, message },
            _ => Self::Foreign {
                url: url.to_owned(),
                status,
                quote: quote(&message),
            },
        }
    }
}

/// Returns the beginning of an unknown text on one line.
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
        let error = OllamaError::from_response("http://h", "m", status, body);
        let text = format!("{error:?}");
        text.split([' ', '{']).next().unwrap().to_owned()
    }

    fn check(status: u16, message: &str, expected: &str) {
        let body = serde_json::json!({ "error": message }).to_string();
        assert_eq!(kind(status, &body), expected, "{message}");
    }

    #[test]
    fn messages_are_classified_by_the_reaction() {
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
            "llama-server process has terminated: exit status 1: mmap failed: Cannot allocate \
             memory",
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
    fn other_programs_are_foreign() {
        assert_eq!(kind(404, "404 page not found"), "Foreign");
        assert_eq!(kind(405, ""), "Foreign");
        assert_eq!(kind(403, ""), "Foreign");
        check(418, "teapot", "Foreign");
    }
}
