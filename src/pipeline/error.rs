//! Why a transcription could not be made or finished, one variant for each reaction of a caller.

use std::io;

use crate::engine::EngineError;
use crate::error::{ConfigError, InputError};
use crate::journal::JournalError;

/// Why a transcription could not be made or finished.
///
/// Damage inside an input is no error: what is readable is transcribed, and
/// [`Summary::damage`](crate::Summary::damage) lists what was not. A cancel is none either.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot work on this machine or with this budget: change it.
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// The input cannot be read or decoded: the variant says what to do.
    #[error(transparent)]
    Input(#[from] InputError),

    /// The model of the speech detector cannot be used: give another file.
    #[cfg(feature = "whisper")]
    #[error(transparent)]
    Model(#[from] crate::ggml::ModelError),

    /// The engine failed. Segments that the sink took before stay valid.
    #[error(transparent)]
    Engine(#[from] EngineError),

    /// The journal cannot be used. Segments that the sink took before stay valid.
    #[error(transparent)]
    Journal(#[from] JournalError),

    /// The sink failed: the disk is full, or a pipe was closed.
    #[error("cannot write the transcript")]
    Sink(#[source] io::Error),
}
