//! A response that arrives line by line.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::error::{OllamaError, quote};
use super::transport::Abort;
use super::wire::{Chunk, Failure, PullProgress};

/// Longest line that is accepted; the server's own client has the same limit.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// One line of a streaming response.
pub trait StreamItem: DeserializeOwned {
    /// Returns whether this is the last line.
    fn is_last(&self) -> bool;

    /// Adapts the error of a line to the kind of request.
    #[must_use]
    fn classify(error: OllamaError, model: &str) -> OllamaError {
        let _ = model;
        error
    }
}

impl StreamItem for Chunk {
    fn is_last(&self) -> bool {
        self.done
    }
}

impl StreamItem for PullProgress {
    fn is_last(&self) -> bool {
        self.status == "success"
    }

    fn classify(error: OllamaError, model: &str) -> OllamaError {
        error.of_pull(model)
    }
}

/// An iterator over the lines of a streaming response. Dropping it closes the connection, and the
/// server then stops.
///
/// A response that breaks off before its last line ends with an error.
///
/// # Memory
///
/// One line at a time, at most 8 MiB.
pub struct ResponseStream<T> {
    reader: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    url: String,
    model: String,
    ended: bool,
    item: PhantomData<T>,
}

impl<T> fmt::Debug for ResponseStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStream")
            .field("model", &self.model)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl<T> ResponseStream<T> {
    pub(super) fn new(reader: Box<dyn Read + Send>, url: &str, model: &str) -> Self {
        Self {
            reader: BufReader::new(reader),
            line: Vec::new(),
            url: url.to_owned(),
            model: model.to_owned(),
            ended: false,
            item: PhantomData,
        }
    }

    fn broken(&self, error: io::Error) -> OllamaError {
        match Abort::find(&error) {
            Some(Abort::Cancelled) => OllamaError::Cancelled,
            Some(Abort::Stalled { silent }) => OllamaError::Stalled {
                subject: self.model.clone(),
                silent: *silent,
            },
            None => OllamaError::Broken {
                url: self.url.clone(),
                source: error,
            },
        }
    }

    fn foreign(&self, what: &str) -> OllamaError {
        OllamaError::Foreign {
            url: self.url.clone(),
            status: 200,
            quote: quote(what),
        }
    }
}

impl<T: StreamItem> ResponseStream<T> {
    fn read(&mut self) -> Result<T, OllamaError> {
        self.line.clear();
        let read = (&mut self.reader)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut self.line);
        match read {
            Err(error) => return Err(self.broken(error)),
            Ok(0) => {
                let error = OllamaError::RunnerEnded {
                    model: self.model.clone(),
                    message: "the response broke off before its end".to_owned(),
                };
                return Err(T::classify(error, &self.model));
            }
            Ok(_) => {}
        }
        if let Ok(failure) = serde_json::from_slice::<Failure>(&self.line) {
            let error = OllamaError::from_failure(&self.url, &self.model, 200, failure.error);
            return Err(T::classify(error, &self.model));
        }
        serde_json::from_slice(&self.line).map_err(|error| {
            if error.is_eof() {
                self.broken(io::ErrorKind::UnexpectedEof.into())
            } else {
                self.foreign(&error.to_string())
            }
        })
    }
}

impl<T: StreamItem> Iterator for ResponseStream<T> {
    type Item = Result<T, OllamaError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.read();
        self.ended = line.as_ref().map_or(true, StreamItem::is_last);
        Some(line)
    }
}

impl ResponseStream<Chunk> {
    /// Reads to the end, and returns the whole text with the last chunk.
    ///
    /// # Errors
    ///
    /// The first error of the stream. The text before it is lost; iterate to keep it.
    pub fn collect_text(self) -> Result<(String, Chunk), OllamaError> {
        let mut text = String::new();
        let mut last = Chunk::default();
        for chunk in self {
            last = chunk?;
            text.push_str(last.text());
        }
        Ok((text, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(text: &'static str) -> ResponseStream<Chunk> {
        ResponseStream::new(Box::new(text.as_bytes()), "http://h", "m")
    }

    #[test]
    fn ends_with_the_last_chunk() {
        let text = concat!(
            "{\"response\":\"a\"}\n",
            "{\"response\":\"b\",\"done\":true,\"done_reason\":\"stop\"}\n",
            "rubbish"
        );
        let (text, last) = stream(text).collect_text().unwrap();
        assert_eq!((text.as_str(), last.done_reason.as_str()), ("ab", "stop"));
    }

    #[test]
    fn breaking_off_is_an_error() {
        let mut chunks = stream("{\"response\":\"a\"}\n");
        assert!(chunks.next().unwrap().is_ok());
        let error = chunks.next().unwrap().unwrap_err();
        assert!(matches!(error, OllamaError::RunnerEnded { .. }), "{error}");
        assert!(chunks.next().is_none());
    }

    #[test]
    fn half_a_line_is_a_broken_connection() {
        let error = stream("{\"response\":\"a").next().unwrap().unwrap_err();
        assert!(matches!(error, OllamaError::Broken { .. }), "{error}");
    }

    #[test]
    fn error_line_is_classified() {
        let text =
            "{\"error\":\"an error was encountered while running the model: unexpected EOF\"}\n";
        let error = stream(text).next().unwrap().unwrap_err();
        assert!(matches!(error, OllamaError::RunnerEnded { .. }), "{error}");
    }
}
