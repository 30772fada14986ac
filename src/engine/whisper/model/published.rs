//! The published models: their shapes, and which of them to name where a budget is too small.

use std::sync::LazyLock;

use super::{AUDIO_CTX, Dimensions, HEAD_WIDTH, ModelHeader, TEXT_CTX, VOCABULARIES};
use crate::budget::Alternative;
use crate::ggml::{F16, MATRIX_FORMATS, NumberFormat};
use crate::models::{self, Model};

/// Sizes in which models are published, the most accurate first: heads, layers of encoder and
/// decoder.
const SHAPES: [(&str, u32, u32, u32); 8] = [
    ("large-v3", 20, 32, 32),
    ("large-v3-turbo", 20, 32, 4),
    ("large-v2", 20, 32, 32),
    ("large-v1", 20, 32, 32),
    ("medium", 16, 24, 24),
    ("small", 12, 12, 12),
    ("base", 8, 6, 6),
    ("tiny", 6, 4, 4),
];

/// Models that may fit where the budget is too small, the most accurate first: all published ones
/// except superseded versions.
pub(super) static ALTERNATIVES: LazyLock<Vec<Alternative>> = LazyLock::new(|| {
    let is_newest = |name: &str| !matches!(name, "large-v1" | "large-v2");
    let names = SHAPES
        .iter()
        .map(|shape| shape.0)
        .filter(|name| is_newest(name));
    let forms =
        names.flat_map(|name| ["", "-q8_0", "-q5_0", "-q5_1"].map(|form| format!("{name}{form}")));
    let known = forms.filter_map(|name| models::find(&name).ok());
    let held = |model: &'static Model| {
        let [_, flash] = ModelHeader::variants_of(model);
        Alternative::new(model.name.into(), flash.footprint.held_bytes())
    };
    known.map(held).collect()
});

/// Returns dimensions and number format of a published model. Its name determines both.
pub(super) fn published(model: &Model) -> (Dimensions, NumberFormat) {
    let (shape, format) = match model.name.rsplit_once("-q") {
        Some((shape, _)) => (shape, &model.name[shape.len() + 1..]),
        None => (model.name, F16.name),
    };
    let shape = shape.trim_end_matches(".en");
    let format = MATRIX_FORMATS.iter().find(|known| known.name == format);
    let shape = SHAPES.iter().find(|known| known.0 == shape);
    // A test looks every name up.
    let (_, heads, audio_layers, text_layers) = *shape.unwrap_or(&SHAPES[0]);
    let version = match model.languages() {
        1 => 0,
        99 => 1,
        _ => 2,
    };
    let d = shaped(heads, (audio_layers, text_layers), version);
    (d, format.copied().unwrap_or(F16))
}

/// Returns the dimensions of a model by its heads, its layers in encoder and decoder, and the
/// number of its vocabulary in [`VOCABULARIES`].
pub(super) fn shaped(
    heads: u32,
    (audio_layers, text_layers): (u32, u32),
    version: usize,
) -> Dimensions {
    Dimensions {
        n_vocab: VOCABULARIES[version],
        n_audio_ctx: AUDIO_CTX,
        n_audio_state: heads * HEAD_WIDTH,
        n_audio_head: heads,
        n_audio_layer: audio_layers,
        n_text_ctx: TEXT_CTX,
        n_text_state: heads * HEAD_WIDTH,
        n_text_head: heads,
        n_text_layer: text_layers,
        n_mels: if version == 2 { 128 } else { 80 },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors;
    use super::*;
    use crate::ggml::weight_bytes;
    use crate::models;

    #[test]
    fn smaller_models_hold_less() {
        let held = |name: &str| {
            let found = ALTERNATIVES.iter().find(|model| model.name == name);
            found.expect(name).held_bytes / 1_000_000
        };
        assert_eq!(ALTERNATIVES.len(), 17);
        assert_eq!(ALTERNATIVES[0].name, "large-v3");
        let falling = [
            "large-v3",
            "large-v3-q5_0",
            "medium-q8_0",
            "small",
            "small-q5_1",
            "tiny-q5_1",
        ];
        assert!(
            falling.map(held).is_sorted_by(|a, b| a > b),
            "{:?}",
            falling.map(held)
        );
    }

    /// Besides weights a file has its vocabulary, its mel filters and names: 0.6 to 0.7 MB.
    #[test]
    fn files_of_published_models_are_as_large_as_their_weights() {
        for model in models::all() {
            let (d, format) = published(model);
            let weights = weight_bytes(&tensors::expected(&d, format));
            let rest = model.bytes - weights;
            assert!((570_000..720_000).contains(&rest), "{}: {rest}", model.name);
            assert!(model.name.contains('-') || format == F16, "{}", model.name);
        }
    }
}
