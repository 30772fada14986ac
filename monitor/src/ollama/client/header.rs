//! Reads the figures of a model file's header without keeping its vocabulary.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

/// Longest array of numbers that is kept. Such arrays hold one figure for each layer.
const NUMBERS_MAX: usize = 1024;

/// A value of the header.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ollama) enum InfoValue {
    /// An array that the server left out without `verbose`, or a value of another kind.
    Unknown,
    /// A number, exact up to 2^53.
    Number(f64),
    /// A text.
    Text(String),
    /// An array of numbers, such as one for each layer.
    Numbers(Vec<f64>),
    /// The length of any other array, such as the vocabulary.
    Length(u64),
}

/// The header of a model file: keys such as `llama.block_count`, and their values.
///
/// # Memory
///
/// Arrays of text are counted and dropped while they are parsed. A verbose response repeats the
/// whole vocabulary, which takes megabytes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(transparent)]
pub(in crate::ollama) struct ModelInfo(BTreeMap<String, InfoValue>);

impl ModelInfo {
    /// Returns a value by its full key.
    #[must_use]
    pub(in crate::ollama) fn get(&self, key: &str) -> Option<&InfoValue> {
        self.0.get(key)
    }

    /// Returns the architecture, which is the first part of the other keys.
    #[must_use]
    pub(super) fn architecture(&self) -> Option<&str> {
        match self.get("general.architecture")? {
            InfoValue::Text(name) => Some(name),
            _ => None,
        }
    }

    /// Returns a value by the part of its key that follows the architecture.
    pub(in crate::ollama) fn of_architecture(&self, key: &str) -> Option<&InfoValue> {
        let architecture = self.architecture()?;
        self.get(&format!("{architecture}.{key}"))
    }

    /// Returns a count by the part of its key that follows the architecture.
    pub(in crate::ollama) fn whole(&self, key: &str) -> Option<u64> {
        match self.of_architecture(key)? {
            InfoValue::Number(number) => Some(whole(*number)),
            _ => None,
        }
    }
}

/// Converts a number of the header to a count. A negative number becomes zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and a header with such a number is damaged"
)]
pub(in crate::ollama) fn whole(number: f64) -> u64 {
    number as u64
}

impl<'de> Deserialize<'de> for InfoValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = InfoValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a model header")
    }

    fn visit_unit<E: de::Error>(self) -> Result<InfoValue, E> {
        Ok(InfoValue::Unknown)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<InfoValue, E> {
        Ok(InfoValue::Number(f64::from(u8::from(value))))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53, as documented"
    )]
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<InfoValue, E> {
        Ok(InfoValue::Number(value as f64))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53, as documented"
    )]
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<InfoValue, E> {
        Ok(InfoValue::Number(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<InfoValue, E> {
        Ok(InfoValue::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<InfoValue, E> {
        Ok(InfoValue::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<InfoValue, A::Error> {
        let mut numbers = Vec::new();
        let mut length = 0u64;
        while let Some(element) = seq.next_element::<Element>()? {
            length += 1;
            if let Element::Number(number) = element
                && numbers.len() < NUMBERS_MAX
            {
                numbers.push(number);
            }
        }
        // A version that leaves arrays out prints null or an empty array.
        Ok(match length {
            0 => InfoValue::Unknown,
            _ if numbers.len() as u64 == length => InfoValue::Numbers(numbers),
            _ => InfoValue::Length(length),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InfoValue, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(InfoValue::Unknown)
    }
}

/// An element of an array. Only numbers are kept.
#[derive(Deserialize)]
#[serde(untagged)]
enum Element {
    Number(f64),
    Other(IgnoredAny),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vocabulary_is_counted_and_layers_are_kept() {
        let info: ModelInfo = serde_json::from_str(
            r#"{"general.architecture":"gemma","gemma.block_count":3,
                "gemma.attention.head_count_kv":[1,4,0],"tokenizer.ggml.tokens":["a","b","c"],
                "tokenizer.ggml.merges":null,"x.y":[],"z":{"a":[1]},"b":true}"#,
        )
        .unwrap();
        assert_eq!(info.architecture(), Some("gemma"));
        assert_eq!(info.whole("block_count"), Some(3));
        assert_eq!(
            info.of_architecture("attention.head_count_kv"),
            Some(&InfoValue::Numbers(vec![1.0, 4.0, 0.0]))
        );
        assert_eq!(
            info.get("tokenizer.ggml.tokens"),
            Some(&InfoValue::Length(3))
        );
        for key in ["tokenizer.ggml.merges", "x.y", "z"] {
            assert_eq!(info.get(key), Some(&InfoValue::Unknown), "{key}");
        }
        assert_eq!(info.get("b"), Some(&InfoValue::Number(1.0)));
    }

    #[test]
    fn endless_array_of_numbers_is_only_counted() {
        let scores = vec!["0.5"; NUMBERS_MAX + 1].join(",");
        let info: ModelInfo = serde_json::from_str(&format!(r#"{{"s":[{scores}]}}"#)).unwrap();
        assert_eq!(
            info.get("s"),
            Some(&InfoValue::Length(NUMBERS_MAX as u64 + 1))
        );
    }
}
