//! Why decoding failed, and what the caller can do about it.
//!
//! Every error and panic of a dependency becomes a [`Fault`] in [`guard`]. Inside an input a fault
//! is damage; before the first sound it becomes an [`InputError`] whose text names a remedy.

use std::fmt;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::errors::Error as SymphoniaError;

use crate::error::InputError;

/// The remedy for a container or codec that is not supported.
const CONVERT: &str = "convert it first: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav";

/// The remedy for a file that is not a recording.
const CHOOSE: &str = "choose a file that holds audio";

/// The remedy for an mp4 whose index comes too late for a pipe.
const MOVE_INDEX: &str = "give the file itself, or move the index to the front: \
                          ffmpeg -i INPUT -c copy -movflags +faststart OUTPUT";

/// The remedy for a file that is broken for us but may not be for others.
const REPAIR: &str = "if another program plays it, convert it first: \
                      ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav";

/// Why a packet, a track or a whole input cannot be decoded.
#[derive(Debug)]
pub(super) enum Fault {
    /// The container or codec, named here, is not supported.
    Unsupported(String),
    /// The file is of a kind, named here, that holds no audio.
    NotAudio(&'static str),
    /// An mp4 from a pipe has its index behind its audio.
    IndexLast,
    /// The file has no bytes.
    EmptyFile,
    /// The pipe ended before its first byte.
    EmptyPipe,
    /// The data are damaged.
    Damaged(String),
    /// The data end in the middle of something.
    CutOff,
    /// A packet claims to be longer than any packet can be.
    TooLong,
    /// A dependency panicked over the data.
    Panicked,
}

impl Fault {
    /// Converts a fault that left nothing to decode into the error that the caller gets.
    pub(super) fn into_input_error(self, name: String) -> InputError {
        let (what, remedy) = match self {
            Self::Unsupported(what) => (what, CONVERT),
            Self::NotAudio(what) => (what.into(), CHOOSE),
            Self::IndexLast => (
                "an mp4 from a pipe whose index (moov) follows its audio".into(),
                MOVE_INDEX,
            ),
            Self::EmptyFile | Self::EmptyPipe => {
                let reason = self.to_string();
                return InputError::Undecodable { name, reason };
            }
            fault => {
                let reason = format!("{fault}; {REPAIR}");
                return InputError::Undecodable { name, reason };
            }
        };
        InputError::Unsupported { name, what, remedy }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(what) => write!(f, "{what} is not supported"),
            Self::NotAudio(what) => write!(f, "{what} holds no audio"),
            Self::IndexLast => f.write_str("the index (moov) follows the audio"),
            Self::EmptyFile => {
                f.write_str("the file is empty (0 bytes); check that the recording was saved")
            }
            Self::EmptyPipe => f.write_str(
                "the pipe ended before its first byte; check the program that writes to it",
            ),
            Self::Damaged(reason) => f.write_str(reason),
            Self::CutOff => f.write_str("the file is cut off"),
            Self::TooLong => f.write_str("a packet is longer than any packet can be"),
            Self::Panicked => f.write_str("the decoder failed on damaged data"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::CutOff,
            _ => Self::Damaged(error.to_string()),
        }
    }
}

/// Calls into a dependency and turns its errors and panics into faults.
pub(super) fn guard<T>(call: impl FnOnce() -> Result<T, SymphoniaError>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(SymphoniaError::Unsupported(what))) => Err(Fault::Unsupported(what.into())),
        Ok(Err(SymphoniaError::IoError(error))) => Err(match error.kind() {
            ErrorKind::UnexpectedEof => Fault::CutOff,
            // `SharedInput::read_for_demuxer` returns this when the allowance is used up.
            ErrorKind::FileTooLarge => Fault::TooLong,
            _ => Fault::Damaged(SymphoniaError::IoError(error).to_string()),
        }),
        Ok(Err(error)) => Err(Fault::Damaged(error.to_string())),
        Err(_) => Err(Fault::Panicked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T19. Some damaged files make the demuxer panic.
    #[test]
    fn panic_becomes_a_fault() {
        let result = guard(|| -> Result<(), SymphoniaError> {
            panic!("assertion failed: pos < len");
        });
        assert!(matches!(result, Err(Fault::Panicked)));
    }

    #[test]
    fn errors_name_a_remedy() {
        for (fault, expected) in [
            (
                Fault::Unsupported("AC-3".into()),
                "cannot decode a: AC-3 is not supported; convert it first: ffmpeg -i INPUT",
            ),
            (
                Fault::NotAudio("a PDF document"),
                "cannot decode a: a PDF document is not supported; choose a file that holds audio",
            ),
            (
                Fault::EmptyFile,
                "cannot decode a: the file is empty (0 bytes); check that",
            ),
            (
                Fault::CutOff,
                "cannot decode a: the file is cut off; if another program plays it, convert it",
            ),
        ] {
            let error = fault.into_input_error("a".into()).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
