//! An answer that comes line by line.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::OllamaError;
use super::error::quote;
use super::transport::GivenUp;
use super::wire::{Failure, Piece, PullStep};

/// Longest line, as in the server's own client.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// Something that has a last one.
pub trait Line: DeserializeOwned {
    /// Returns whether nothing follows.
    fn is_last(&self) -> bool;

    /// Sorts the error of a line by what the request was for.
    #[must_use]
    fn sort(error: OllamaError, model: &str) -> OllamaError {
        let _ = model;
        error
    }
}

impl Line for Piece {
    fn is_last(&self) -> bool {
        self.done
    }
}

impl Line for PullStep {
    fn is_last(&self) -> bool {
        self.status == "success"
    }

    fn sort(error: OllamaError, model: &str) -> OllamaError {
        error.of_pull(model)
    }
}

/// The lines of an answer, as they come. Dropping it closes the connection, at which the server stops.
///
/// An answer that breaks off before its last line ends with an error, never in silence.
///
/// # Memory
///
/// One line at a time.
pub struct Answers<T> {
    reader: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    url: String,
    model: String,
    ended: bool,
    of: PhantomData<T>,
}

impl<T> fmt::Debug for Answers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("model", &self.model)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl<T> Answers<T> {
    pub(super) fn new(reader: Box<dyn Read + Send>, url: &str, model: &str) -> Self {
        Self {
            reader: BufReader::new(reader),
            line: Vec::new(),
            url: url.to_owned(),
            model: model.to_owned(),
            ended: false,
            of: PhantomData,
        }
    }

    fn broken(&self, error: io::Error) -> OllamaError {
        match GivenUp::find(&error) {
            Some(GivenUp::Cancelled) => OllamaError::Cancelled,
            Some(GivenUp::Stalled { silent }) => OllamaError::Stalled {
                model: self.model.clone(),
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

impl<T: Line> Answers<T> {
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
                    message: "the answer broke off before its end".to_owned(),
                };
                return Err(T::sort(error, &self.model));
            }
            Ok(_) => {}
        }
        if let Ok(failure) = serde_json::from_slice::<Failure>(&self.line) {
            let error = OllamaError::from_failure(&self.url, &self.model, 200, failure.error);
            return Err(T::sort(error, &self.model));
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

impl<T: Line> Iterator for Answers<T> {
    type Item = Result<T, OllamaError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.read();
        self.ended = line.as_ref().map_or(true, Line::is_last);
        Some(line)
    }
}

impl Answers<Piece> {
    /// Reads to the end and returns the whole text with the last piece.
    ///
    /// # Errors
    ///
    /// The first error of the answer; the text before it is lost.
    pub fn whole(self) -> Result<(String, Piece), OllamaError> {
        let mut text = String::new();
        let mut last = Piece::default();
        for piece in self {
            last = piece?;
            text.push_str(last.text());
        }
        Ok((text, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(text: &'static str) -> Answers<Piece> {
        Answers::new(Box::new(text.as_bytes()), "http://h", "m")
    }

    #[test]
    fn ends_with_the_last_piece() {
        let text = "{\"response\":\"a\"}\n{\"response\":\"b\",\"done\":true,\"done_reason\":\"stop\"}\nrubbish";
        let (text, last) = answers(text).whole().unwrap();
        assert_eq!((text.as_str(), last.done_reason.as_str()), ("ab", "stop"));
    }

    #[test]
    fn breaking_off_is_an_error() {
        let mut pieces = answers("{\"response\":\"a\"}\n");
        assert!(pieces.next().unwrap().is_ok());
        let error = pieces.next().unwrap().unwrap_err();
        assert!(matches!(error, OllamaError::RunnerEnded { .. }), "{error}");
        assert!(pieces.next().is_none());
    }

    #[test]
    fn half_a_line_is_a_broken_connection() {
        let error = answers("{\"response\":\"a").next().unwrap().unwrap_err();
        assert!(matches!(error, OllamaError::Broken { .. }), "{error}");
    }

    #[test]
    fn error_line_is_sorted() {
        let text =
            "{\"error\":\"an error was encountered while running the model: unexpected EOF\"}\n";
        let error = answers(text).next().unwrap().unwrap_err();
        assert!(matches!(error, OllamaError::RunnerEnded { .. }), "{error}");
    }
}
