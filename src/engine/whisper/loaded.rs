//! The loaded model: weights, vocabulary and the user's prompt, shared by all states.

use std::path::Path;

use whisper_rs::{WhisperContext, WhisperContextParameters, WhisperError};

use super::options::WhisperOptions;
use super::vocabulary::Vocabulary;
use super::{PROMPT_TOKENS_MAX, gpu};
use crate::ggml::{ModelError, quiet_logs};

/// A model whose weights are in memory.
#[derive(Debug)]
pub(super) struct WhisperModel {
    pub(super) context: WhisperContext,
    pub(super) vocabulary: Vocabulary,
    /// Tokens of the user's prompt, at most [`PROMPT_TOKENS_MAX`].
    pub(super) prompt: Vec<u32>,
    pub(super) options: WhisperOptions,
}

impl WhisperModel {
    /// Loads the weights of a file that was checked.
    pub(super) fn load(
        path: &Path,
        flash_attention: bool,
        options: &WhisperOptions,
    ) -> Result<Self, ModelError> {
        let refused = |source| ModelError::Refused {
            path: path.to_owned(),
            source: Box::new(source),
        };
        quiet_logs();
        gpu::warn_if_missing(options.use_gpu);
        let mut parameters = WhisperContextParameters::default();
        parameters
            .use_gpu(options.use_gpu)
            .flash_attn(flash_attention);
        let context = WhisperContext::new_with_params(path, parameters).map_err(refused)?;
        Ok(Self {
            vocabulary: Vocabulary::of(&context),
            prompt: prompt_tokens(&context, &options.prompt).map_err(refused)?,
            context,
            options: options.clone(),
        })
    }

    /// Returns how many text positions the model has.
    pub(super) fn text_context(&self) -> usize {
        usize::try_from(self.context.n_text_ctx()).unwrap_or_default()
    }
}

/// Returns the tokens of the user's prompt, the last ones if it is too long.
fn prompt_tokens(context: &WhisperContext, prompt: &str) -> Result<Vec<u32>, WhisperError> {
    let prompt = prompt.trim();
    if prompt.is_empty() {
        return Ok(Vec::new());
    }
    // A token is at least one byte of the text.
    let tokens = context.tokenize(&format!(" {prompt}"), prompt.len() + 1)?;
    let mut tokens: Vec<u32> = tokens
        .into_iter()
        .filter_map(|token| u32::try_from(token).ok())
        .collect();
    tokens.drain(..tokens.len().saturating_sub(PROMPT_TOKENS_MAX));
    Ok(tokens)
}
