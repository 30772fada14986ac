//! How the program ends: its exit codes, and the message of a failure.

use std::fmt;
use std::io;
use std::process::ExitCode;

use steadyscribe::models::{FetchError, NameError};
use steadyscribe::{ConfigError, Ended, Error, InputError, JournalError, ModelError, Summary};

use super::outputs::OutputsError;

/// The exit codes, as `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    UnreadableInput = 3,
    BadModel = 4,
    BudgetTooSmall = 5,
    DamagedInput = 6,
    Cancelled = 130,
}

impl Exit {
    /// Returns this code unless it is `Done`, then `later`.
    pub(crate) fn or(self, later: Self) -> Self {
        if self == Self::Done { later } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&Summary> for Exit {
    fn from(summary: &Summary) -> Self {
        match summary.ended {
            Ended::Complete | Ended::Stopped => Self::Done,
            Ended::Damaged => Self::DamagedInput,
            Ended::Cancelled => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// Why there is no transcript, with its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    error: Box<dyn std::error::Error>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    /// Converts an error of loading: if the engine fails then, its model is at fault.
    pub(crate) fn loading(error: Error) -> Self {
        match error {
            Error::Engine(_) => Self::new(Exit::BadModel, error),
            error => error.into(),
        }
    }

    /// Returns whether standard output was closed: its reader has seen enough, which is no failure.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        let sink = self
            .error
            .downcast_ref::<Error>()
            .and_then(|error| match error {
                Error::Sink(source) => Some(source),
                _ => None,
            });
        sink.is_some_and(|source| source.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Config(ConfigError::Budget { .. }) => Exit::BudgetTooSmall,
            Error::Config(_) => Exit::Usage,
            // Every other error of a journal is mended by another option.
            Error::Journal(JournalError::Io { .. }) => Exit::Failed,
            Error::Journal(_) => Exit::Usage,
            Error::Model(_) => Exit::BadModel,
            Error::Input(_) => Exit::UnreadableInput,
            _ => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Error::from(error).into()
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let exit = match error {
            ModelError::Language { .. } | ModelError::EnglishOnly => Exit::Usage,
            _ => Exit::BadModel,
        };
        Self::new(exit, error)
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::new(Exit::BadModel, error)
    }
}

impl From<OutputsError> for Failure {
    fn from(error: OutputsError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

/// Writes the error and its causes in one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
