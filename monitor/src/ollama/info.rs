//! The figures of a model file's header, without its vocabulary.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

/// Numbers that are kept of one array: a figure for each layer, and no model has so many layers.
const NUMBERS_MAX: usize = 1024;

/// A value of the header.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Info {
    /// An array that the server left out (asked for without `verbose`), or a value that is none.
    Unknown,
    /// A number. Larger ones than 2^53 are not exact.
    Number(f64),
    /// A text.
    Text(String),
    /// An array of numbers, such as one for each layer.
    Numbers(Vec<f64>),
    /// The length of another array: the vocabulary is counted, not kept.
    Length(u64),
}

/// The header of a model file: keys such as `llama.block_count`, and their values.
///
/// # Memory
///
/// Arrays of text are counted and dropped while they are read: a verbose answer repeats the whole vocabulary, megabytes
/// of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(transparent)]
pub struct ModelInfo(BTreeMap<String, Info>);

impl ModelInfo {
    /// Returns a value by its whole key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Info> {
        self.0.get(key)
    }

    /// Returns the architecture: the first part of the other keys.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        match self.get("general.architecture")? {
            Info::Text(name) => Some(name),
            _ => None,
        }
    }

    /// Returns a value by its key after the architecture.
    pub(super) fn of_architecture(&self, key: &str) -> Option<&Info> {
        let architecture = self.architecture()?;
        self.get(&format!("{architecture}.{key}"))
    }

    /// Returns a whole number by its key after the architecture.
    pub(super) fn whole(&self, key: &str) -> Option<u64> {
        match self.of_architecture(key)? {
            Info::Number(number) => Some(whole(*number)),
            _ => None,
        }
    }
}

/// A count from a header; nonsense becomes zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and a header with such a number is damaged anyway"
)]
pub(super) fn whole(number: f64) -> u64 {
    number as u64
}

impl<'de> Deserialize<'de> for Info {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InfoVisitor)
    }
}

struct InfoVisitor;

impl<'de> Visitor<'de> for InfoVisitor {
    type Value = Info;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a model's header")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Info, E> {
        Ok(Info::Unknown)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Info, E> {
        Ok(Info::Number(f64::from(u8::from(value))))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53, as documented"
    )]
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Info, E> {
        Ok(Info::Number(value as f64))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53, as documented"
    )]
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Info, E> {
        Ok(Info::Number(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Info, E> {
        Ok(Info::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Info, E> {
        Ok(Info::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Info, A::Error> {
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
        // Versions that leave arrays out print null or an empty one.
        Ok(match length {
            0 => Info::Unknown,
            _ if numbers.len() as u64 == length => Info::Numbers(numbers),
            _ => Info::Length(length),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Info, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Info::Unknown)
    }
}

/// One element of an array: its number, or nothing of it.
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
            r#"{"general.architecture":"gemma","gemma.block_count":3,"gemma.attention.head_count_kv":[1,4,0],
                "tokenizer.ggml.tokens":["a","b","c"],"tokenizer.ggml.merges":null,"x.y":[],"z":{"a":[1]},"b":true}"#,
        )
        .unwrap();
        assert_eq!(info.architecture(), Some("gemma"));
        assert_eq!(info.whole("block_count"), Some(3));
        assert_eq!(
            info.of_architecture("attention.head_count_kv"),
            Some(&Info::Numbers(vec![1.0, 4.0, 0.0]))
        );
        assert_eq!(info.get("tokenizer.ggml.tokens"), Some(&Info::Length(3)));
        for key in ["tokenizer.ggml.merges", "x.y", "z"] {
            assert_eq!(info.get(key), Some(&Info::Unknown), "{key}");
        }
        assert_eq!(info.get("b"), Some(&Info::Number(1.0)));
    }

    #[test]
    fn endless_array_of_numbers_is_only_counted() {
        let scores = vec!["0.5"; NUMBERS_MAX + 1].join(",");
        let info: ModelInfo = serde_json::from_str(&format!(r#"{{"s":[{scores}]}}"#)).unwrap();
        assert_eq!(info.get("s"), Some(&Info::Length(NUMBERS_MAX as u64 + 1)));
    }
}
