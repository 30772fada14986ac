//! Why a model could not be had, and what the caller can do.

use super::super::outcome::UnloadedModel;
use super::super::{DoesNotFit, OllamaError, ShapeError};

/// Why a model could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// The server did not do it.
    #[error(transparent)]
    Ollama(#[from] OllamaError),
    /// Nothing was loaded, because it does not fit beside what is in use: wait for those, or take a smaller model.
    #[error("model {model} does not fit{}", beside(in_use))]
    NoRoom {
        /// The model.
        model: String,
        /// What it would need, and what there is.
        #[source]
        source: DoesNotFit,
        /// The models that are in use and so cannot go.
        in_use: Vec<String>,
    },
    /// The server holds as many models as it may, and none of them can go: wait for those in use, or raise
    /// `OLLAMA_MAX_LOADED_MODELS` and [`Settings::models_max`](super::Settings::models_max) together.
    #[error(
        "model {model} would be one more than the {models_max} that the server holds{}",
        beside(in_use)
    )]
    TooMany {
        /// The model.
        model: String,
        /// The limit.
        models_max: usize,
        /// Our models that are in use and so cannot go.
        in_use: Vec<String>,
    },
    /// The memory of the model cannot be told beforehand, so it is not loaded.
    #[error("the memory of model {model} cannot be told")]
    Unplannable {
        /// The model.
        model: String,
        /// What is missing.
        #[source]
        source: ShapeError,
    },
    /// A model that must go first does not go: do what the remedy says.
    #[error("model {} does not go: {}", model.name, model.stuck.as_ref().map_or("", |stuck| &stuck.remedy))]
    Stuck {
        /// The model that stays, with its process and the remedy.
        model: Box<UnloadedModel>,
    },
}

/// The models in use, and what follows from them.
fn beside(in_use: &[String]) -> String {
    if in_use.is_empty() {
        return String::new();
    }
    format!(
        " beside those in use ({}): wait for them",
        in_use.join(", ")
    )
}
