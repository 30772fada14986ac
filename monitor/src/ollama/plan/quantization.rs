//! Recommends a model with fewer bits for each weight.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ollama::client::wire::InstalledModel;

/// Level of quantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Quantization {
    /// 16 bits.
    None,
    /// 8 bits, `q8_0`.
    Int8,
    /// 4 bits, `q4_K_M`.
    Int4,
}

impl Quantization {
    /// Returns the end of a tag in Ollama's library.
    fn suffix(self) -> &'static str {
        match self {
            Self::None => "fp16",
            Self::Int8 => "q8_0",
            Self::Int4 => "q4_K_M",
        }
    }

    /// Returns the bits of one weight, in hundredths.
    ///
    /// Source: llama.cpp, tools/quantize/README.md.
    fn hundredths_of_bits(self) -> u64 {
        match self {
            Self::None => 1600,
            Self::Int8 => 850,
            Self::Int4 => 489,
        }
    }

    fn of_tag(tag: &str) -> Option<(Self, &str)> {
        let (rest, suffix) = tag.rsplit_once('-')?;
        Some((suffix.parse().ok()?, rest))
    }
}

impl FromStr for Quantization {
    type Err = ();

    /// Parses the names in a model's details and tags, such as `Q4_K_M`, `q8_0`, `F16` and `BF16`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.to_lowercase();
        match text.as_str() {
            "f16" | "fp16" | "bf16" | "f32" => Ok(Self::None),
            _ if text.starts_with("q8") => Ok(Self::Int8),
            _ if text.starts_with("q4") || text.starts_with("iq4") => Ok(Self::Int4),
            _ => Err(()),
        }
    }
}

/// A smaller model that could replace another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct QuantizationAdvice {
    /// Name of the smaller model.
    pub model: String,
    /// Whether it is installed. Otherwise it must be pulled; whether the library has it is not
    /// checked.
    pub is_installed: bool,
    /// Bytes of its weights: measured if it is installed, otherwise estimated from the bits.
    pub weights_bytes: u64,
    /// Bytes that its weights take less.
    pub saved_bytes: u64,
}

/// Recommends a replacement of the wanted level for `model`: an installed model of the same name
/// and size, or the tag that differs in its last part. Returns `None` if `model` has that level or
/// a lower one, or if its level is unknown.
#[must_use]
pub(in crate::ollama) fn recommend(
    model: &InstalledModel,
    wanted: Quantization,
    installed: &[InstalledModel],
) -> Option<QuantizationAdvice> {
    let level = |model: &InstalledModel| {
        model
            .details
            .quantization_level
            .parse::<Quantization>()
            .ok()
    };
    let now = level(model)?;
    if wanted.hundredths_of_bits() >= now.hundredths_of_bits() {
        return None;
    }
    let (base, tag) = model
        .name
        .split_once(':')
        .unwrap_or((&model.name, "latest"));
    let is_sibling = |other: &&InstalledModel| {
        other.name.split(':').next() == Some(base)
            && other.details.parameter_size == model.details.parameter_size
            && level(other) == Some(wanted)
    };
    if let Some(other) = installed.iter().find(is_sibling) {
        return Some(QuantizationAdvice {
            model: other.name.clone(),
            is_installed: true,
            weights_bytes: other.size_bytes,
            saved_bytes: model.size_bytes.saturating_sub(other.size_bytes),
        });
    }
    let (_, rest) = Quantization::of_tag(tag)?;
    let weights_bytes =
        (model.size_bytes / now.hundredths_of_bits()).saturating_mul(wanted.hundredths_of_bits());
    Some(QuantizationAdvice {
        model: format!("{base}:{rest}-{}", wanted.suffix()),
        is_installed: false,
        weights_bytes,
        saved_bytes: model.size_bytes.saturating_sub(weights_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, level: &str, size_bytes: u64) -> InstalledModel {
        serde_json::from_value(serde_json::json!({
            "name": name, "size": size_bytes,
            "details": {"parameter_size": "3.2B", "quantization_level": level}
        }))
        .unwrap()
    }

    #[test]
    fn installed_model_comes_first() {
        let large = model("llama3.2:3b-instruct-fp16", "F16", 6400);
        let small = model("llama3.2:3b", "Q4_K_M", 2000);
        let installed = [model("qwen:3b", "Q4_K_M", 1), large.clone(), small];
        let advice = recommend(&large, Quantization::Int4, &installed).unwrap();
        assert_eq!(
            (advice.model.as_str(), advice.is_installed),
            ("llama3.2:3b", true)
        );
        assert_eq!(advice.saved_bytes, 4400);
    }

    #[test]
    fn tag_is_recommended_if_nothing_is_installed() {
        let large = model("llama3.2:3b-instruct-fp16", "F16", 6_400_000_000);
        let advice = recommend(&large, Quantization::Int8, std::slice::from_ref(&large)).unwrap();
        assert_eq!(advice.model, "llama3.2:3b-instruct-q8_0");
        assert_eq!(
            (advice.is_installed, advice.weights_bytes),
            (false, 3_400_000_000)
        );
    }

    #[test]
    fn small_and_unknown_models_are_kept() {
        let check = |name, level, wanted| {
            assert_eq!(
                recommend(&model(name, level, 1), wanted, &[]),
                None,
                "{name} {level}"
            );
        };
        check("m:3b", "Q4_0", Quantization::Int8);
        check("m:3b", "Q4_K_M", Quantization::Int4);
        check("m:3b", "MXFP4", Quantization::Int4);
        check("m:3b", "F16", Quantization::Int4); // the tag has no level to replace
    }
}
