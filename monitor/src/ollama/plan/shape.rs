//! The figures of a model that determine its memory.

use crate::ollama::client::header::{InfoValue, ModelInfo, whole};
use crate::ollama::client::wire::ModelDescription;

/// The figures of a model that determine its memory.
///
/// # Upper bounds
///
/// A figure that the header lacks is replaced by an upper bound, and
/// [`is_upper_bound`](Self::is_upper_bound) is set. Layers with a sliding window, and models that
/// compress their KV cache, count with the whole context.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelShape {
    /// Bytes of the weights.
    pub weights_bytes: u64,
    /// Elements of the KV cache for each token of context: keys and values of all layers.
    pub kv_elements_per_token: u64,
    /// Bytes of the state of recurrent layers, independent of the context.
    pub recurrent_bytes: u64,
    /// Bytes of compute buffer for each token of a batch, without the part that grows with the
    /// context.
    pub compute_bytes_per_batch_token: u64,
    /// Attention heads.
    pub heads: u64,
    /// Embedding length.
    pub embedding: u64,
    /// Tokens in the vocabulary.
    pub vocabulary: u64,
    /// Context that the model was trained for, in tokens. The server never exceeds it.
    pub trained_ctx: u32,
    /// Whether the model accepts images. The server gives it at least 2048 tokens.
    pub is_vision: bool,
    /// Whether a missing figure was replaced by an upper bound.
    pub is_upper_bound: bool,
}

/// Why a model's memory cannot be estimated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The description lacks a required figure: request it with `verbose`.
    #[error("the description of the model lacks {key}; use the complete response of /api/show")]
    Missing {
        /// The key, without the architecture.
        key: &'static str,
    },
}

/// Vocabulary if the header lacks it: the largest one in use.
const VOCABULARY_MAX: u64 = 262_144;

/// Trained context if the header lacks it: the server's own default.
const TRAINED_CTX_UNKNOWN: u64 = 4096;

impl ModelShape {
    /// Derives the shape from a model's description and its bytes on disk.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Missing`] if the description lacks a figure without an upper bound.
    pub fn new(show: &ModelDescription, weights_bytes: u64) -> Result<Self, ShapeError> {
        let info = &show.model_info;
        let required = |key| info.whole(key).ok_or(ShapeError::Missing { key });
        let layers = required("block_count")?;
        let embedding = required("embedding_length")?;
        let heads = per_layer(info, "attention.head_count", layers);
        let heads_max = heads.max.unwrap_or(0);
        let kv_heads = per_layer(info, "attention.head_count_kv", layers);
        let head_dim = embedding.checked_div(heads_max).unwrap_or(embedding);
        let key = info.whole("attention.key_length").unwrap_or(head_dim);
        let value = info.whole("attention.value_length").unwrap_or(head_dim);
        // Upper bounds: one KV head for each head; without either count, keys as wide as the model.
        let kv_heads_sum = kv_heads.sum.or(heads.sum);
        let kv_elements_per_token = match kv_heads_sum {
            Some(sum) => sum.saturating_mul(key.saturating_add(value)),
            None => layers.saturating_mul(embedding).saturating_mul(2),
        };
        let vocabulary = vocabulary(info);
        let trained_ctx = info.whole("context_length");
        Ok(Self {
            weights_bytes,
            kv_elements_per_token,
            recurrent_bytes: recurrent_bytes(info, layers),
            compute_bytes_per_batch_token: compute_bytes_per_batch_token(
                embedding,
                per_layer(info, "feed_forward_length", layers)
                    .max
                    .unwrap_or(embedding.saturating_mul(4)),
            ),
            heads: heads_max,
            embedding,
            vocabulary: vocabulary.unwrap_or(VOCABULARY_MAX),
            trained_ctx: u32::try_from(trained_ctx.unwrap_or(TRAINED_CTX_UNKNOWN))
                .unwrap_or(u32::MAX),
            is_vision: show.capabilities.iter().any(|name| name == "vision"),
            is_upper_bound: kv_heads.sum.is_none()
                || vocabulary.is_none()
                || info.of_architecture("attention.sliding_window").is_some()
                || info.of_architecture("attention.kv_lora_rank").is_some(),
        })
    }

    /// Returns whether the description lacks per-layer figures that `verbose` would include.
    #[must_use]
    pub(in crate::ollama) fn wants_verbose(show: &ModelDescription) -> bool {
        matches!(
            show.model_info.of_architecture("attention.head_count_kv"),
            Some(InfoValue::Unknown)
        )
    }
}

/// A figure that the header gives once for all layers, or once for each.
struct PerLayer {
    sum: Option<u64>,
    max: Option<u64>,
}

fn per_layer(info: &ModelInfo, key: &str, layers: u64) -> PerLayer {
    match info.of_architecture(key) {
        Some(InfoValue::Number(number)) => {
            let number = whole(*number);
            PerLayer {
                sum: Some(number.saturating_mul(layers)),
                max: Some(number),
            }
        }
        Some(InfoValue::Numbers(numbers)) => {
            let numbers = numbers.iter().map(|number| whole(*number));
            PerLayer {
                sum: Some(numbers.clone().fold(0, u64::saturating_add)),
                max: numbers.max(),
            }
        }
        _ => PerLayer {
            sum: None,
            max: None,
        },
    }
}

fn vocabulary(info: &ModelInfo) -> Option<u64> {
    info.whole("vocab_size")
        .or_else(|| match info.get("tokenizer.ggml.tokens")? {
            InfoValue::Length(length) => Some(*length),
            _ => None,
        })
}

/// Returns the compute buffer of one token at the widest point of the graph, the feed-forward
/// layer: its two inner results, and six and a half times the embedding length around them, in
/// single precision.
///
/// The formula is fitted to one figure: llama3.2:3b takes 72.00 MiB at a context of 1024 and a
/// batch of 512. For a model of 2048 by 5632, which takes 53.02 MiB, it is 9 % too low.
///
/// Source: Ollama 0.33, llm/llama_server_test.go.
fn compute_bytes_per_batch_token(embedding: u64, feed_forward: u64) -> u64 {
    feed_forward
        .saturating_mul(8)
        .saturating_add(embedding.saturating_mul(26))
}

/// Returns the bytes of recurrent layers: the last inputs of the convolution and the state itself,
/// in single precision.
///
/// Source: llama.cpp, llama-hparams.cpp, `n_embd_r` and `n_embd_s`.
fn recurrent_bytes(info: &ModelInfo, layers: u64) -> u64 {
    let figure = |key| info.whole(key).unwrap_or(0);
    let inner = figure("ssm.inner_size");
    let state = figure("ssm.state_size");
    let groups = figure("ssm.group_count");
    let inputs = figure("ssm.conv_kernel").saturating_sub(1);
    let convolution =
        inputs.saturating_mul(inner.saturating_add(groups.saturating_mul(state).saturating_mul(2)));
    convolution
        .saturating_add(state.saturating_mul(inner))
        .saturating_mul(4)
        .saturating_mul(layers)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The description of llama3.2:3b, limited to what determines its memory.
    pub(crate) fn llama32() -> ModelDescription {
        show(serde_json::json!({
            "general.architecture": "llama", "llama.block_count": 28,
            "llama.embedding_length": 3072,
            "llama.feed_forward_length": 8192, "llama.attention.head_count": 24,
            "llama.attention.head_count_kv": 8, "llama.attention.key_length": 128,
            "llama.attention.value_length": 128, "llama.context_length": 131_072,
            "llama.vocab_size": 128_256, "tokenizer.ggml.tokens": null
        }))
    }

    fn show(model_info: serde_json::Value) -> ModelDescription {
        serde_json::from_value(serde_json::json!({ "model_info": model_info })).unwrap()
    }

    #[test]
    fn llama32_has_its_published_shape() {
        let shape = ModelShape::new(&llama32(), 2_019_393_189).unwrap();
        assert_eq!(shape.kv_elements_per_token, 57_344);
        // 72.00 MiB less 2 bytes for each of 1024 tokens, by 512.
        assert_eq!(shape.compute_bytes_per_batch_token, 145_408);
        assert_eq!((shape.trained_ctx, shape.heads), (131_072, 24));
        assert!(!shape.is_upper_bound);
    }

    #[test]
    fn figures_for_each_layer_are_summed() {
        let shape = ModelShape::new(
            &show(serde_json::json!({
                "general.architecture": "lfm2", "lfm2.block_count": 4,
                "lfm2.embedding_length": 1024, "lfm2.attention.head_count": [16, 0, 0, 16],
                "lfm2.attention.head_count_kv": [8, 0, 0, 4],
                "lfm2.vocab_size": 100
            })),
            1,
        )
        .unwrap();
        assert_eq!(shape.kv_elements_per_token, 12 * 128);
        assert_eq!(shape.trained_ctx, 4096);
        assert!(!shape.is_upper_bound);
    }

    #[test]
    fn missing_figures_are_bounded_from_above() {
        let base = serde_json::json!({
            "general.architecture": "a", "a.block_count": 4, "a.embedding_length": 1024,
            "a.attention.head_count": 16, "a.attention.head_count_kv": null, "a.vocab_size": 100
        });
        let shape = ModelShape::new(&show(base.clone()), 1).unwrap();
        assert!(ModelShape::wants_verbose(&show(base.clone())));
        assert!(shape.is_upper_bound);
        assert_eq!(shape.kv_elements_per_token, 4 * 1024 * 2);
        let mut nothing = base;
        nothing["a.attention.head_count"] = serde_json::Value::Null;
        let bounded = ModelShape::new(&show(nothing), 1).unwrap();
        assert_eq!(bounded.kv_elements_per_token, 4 * 1024 * 2);
    }

    #[test]
    fn recurrent_state_does_not_grow_with_the_context() {
        let shape = ModelShape::new(
            &show(serde_json::json!({
                "general.architecture": "mamba", "mamba.block_count": 2,
                "mamba.embedding_length": 8,
                "mamba.attention.head_count": 0, "mamba.attention.head_count_kv": 0,
                "mamba.ssm.inner_size": 16, "mamba.ssm.state_size": 4,
                "mamba.ssm.conv_kernel": 3
            })),
            1,
        )
        .unwrap();
        assert_eq!(shape.kv_elements_per_token, 0);
        assert_eq!(shape.recurrent_bytes, (2 * 16 + 4 * 16) * 4 * 2);
    }

    #[test]
    fn model_without_layers_is_rejected() {
        let error = ModelShape::new(&show(serde_json::json!({})), 1).unwrap_err();
        assert_eq!(error, ShapeError::Missing { key: "block_count" });
    }
}
