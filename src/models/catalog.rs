//! The published models, with size and digest of their files.

/// Longest name or address that is accepted.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// A model that the whisper.cpp project publishes.
///
/// # Examples
///
/// ```
/// let model = steadyscribe::models::find("base.en-q5_1")?;
/// assert_eq!(model.file_name(), "ggml-base.en-q5_1.bin");
/// assert!(!model.is_multilingual());
/// # Ok::<(), steadyscribe::models::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Model {
    /// Its name, such as `base.en-q5_1`: size, `.en` if it knows only English, number format unless
    /// it is f16.
    pub name: &'static str,
    /// Size of its file in bytes.
    ///
    /// Computed from the dimensions of the model and the layout of the file, as `ModelHeader`
    /// checks them. Equal to the sizes of the seven files that were compared (tiny.en, base,
    /// base.en, small.en, small-q8_0, medium.en-q5_0, large-v2-q5_0).
    pub bytes: u64,
    /// SHA-1 of its file, in hexadecimal.
    ///
    /// Source: the table in the README of ggerganov/whisper.cpp on Hugging Face. whisper.cpp's
    /// models/README.md has the same digests for the models that it lists.
    pub sha1: &'static str,
}

/// All of them, by size.
const PUBLISHED: [Model; 33] = [
    model(
        "tiny",
        77_691_713,
        "bd577a113a864445d4c299885e0cb97d4ba92b5f",
    ),
    model(
        "tiny-q5_1",
        32_152_673,
        "2827a03e495b1ed3048ef28a6a4620537db4ee51",
    ),
    model(
        "tiny-q8_0",
        43_537_433,
        "19e8118f6652a650569f5a949d962154e01571d9",
    ),
    model(
        "tiny.en",
        77_704_715,
        "c78c86eb1a8faa21b369bcd33207cc90d64ae9df",
    ),
    model(
        "tiny.en-q5_1",
        32_166_155,
        "3fb92ec865cbbc769f08137f22470d6b66e071b6",
    ),
    model(
        "tiny.en-q8_0",
        43_550_795,
        "802d6668e7d411123e672abe4cb6c18f12306abb",
    ),
    model(
        "base",
        147_951_465,
        "465707469ff3a37a2b9b8d8f89f2f99de7299dac",
    ),
    model(
        "base-q5_1",
        59_707_625,
        "a3733eda680ef76256db5fc5dd9de8629e62c5e7",
    ),
    model(
        "base-q8_0",
        81_768_585,
        "7bb89bb49ed6955013b166f1b6a6c04584a20fbe",
    ),
    model(
        "base.en",
        147_964_211,
        "137c40403d78fd54d454da0f9bd998f78703390c",
    ),
    model(
        "base.en-q5_1",
        59_721_011,
        "d26d7ce5a1b6e57bea5d0431b9c20ae49423c94a",
    ),
    model(
        "base.en-q8_0",
        81_781_811,
        "bb1574182e9b924452bf0cd1510ac034d323e948",
    ),
    model(
        "small",
        487_601_967,
        "55356645c2b361a969dfd0ef2c5a50d530afd8d5",
    ),
    model(
        "small-q5_1",
        190_085_487,
        "6fe57ddcfdd1c6b07cdcc73aaf620810ce5fc771",
    ),
    model(
        "small-q8_0",
        264_464_607,
        "bcad8a2083f4e53d648d586b7dbc0cd673d8afad",
    ),
    model(
        "small.en",
        487_614_201,
        "db8a495a91d927739e50b3fc1cc4c6b8f6c2d022",
    ),
    model(
        "small.en-q5_1",
        190_098_681,
        "20f54878d608f94e4a8ee3ae56016571d47cba34",
    ),
    model(
        "small.en-q8_0",
        264_477_561,
        "9d75ff4ccfa0a8217870d7405cf8cef0a5579852",
    ),
    model(
        "medium",
        1_533_763_059,
        "fd9727b6e1217c2f614f9b698455c4ffd82463b4",
    ),
    model(
        "medium-q5_0",
        539_212_467,
        "7718d4c1ec62ca96998f058114db98236937490e",
    ),
    model(
        "medium-q8_0",
        823_369_779,
        "e66645948aff4bebbec71b3485c576f3d63af5d6",
    ),
    model(
        "medium.en",
        1_533_774_781,
        "8c30f0e44ce9560643ebd10bbe50cd20eafd3723",
    ),
    model(
        "medium.en-q5_0",
        539_225_533,
        "bb3b5281bddd61605d6fc76bc5b92d8f20284c3b",
    ),
    model(
        "medium.en-q8_0",
        823_382_461,
        "b1cf48c12c807e14881f634fb7b6c6ca867f6b38",
    ),
    model(
        "large-v1",
        3_094_623_691,
        "b1caaf735c4cc1429223d5a74f0f4d0b9b59a299",
    ),
    model(
        "large-v2",
        3_094_623_691,
        "0f4c8e34f21cf1a914c59d8b3ce882345ad349d6",
    ),
    model(
        "large-v2-q5_0",
        1_080_732_091,
        "00e39f2196344e901b3a2bd5814807a769bd1630",
    ),
    model(
        "large-v2-q8_0",
        1_656_129_691,
        "da97d6ca8f8ffbeeb5fd147f79010eeea194ba38",
    ),
    model(
        "large-v3",
        3_095_033_483,
        "ad82bf6a9043ceed055076d0fd39f5f186ff8062",
    ),
    model(
        "large-v3-q5_0",
        1_081_140_203,
        "e6e2ed78495d403bef4b7cff42ef4aaadcfea8de",
    ),
    model(
        "large-v3-turbo",
        1_624_555_275,
        "4af2b29d7ec73d781377bfd1758ca957a807e941",
    ),
    model(
        "large-v3-turbo-q5_0",
        574_041_195,
        "e050f7970618a659205450ad97eb95a18d69c9ee",
    ),
    model(
        "large-v3-turbo-q8_0",
        874_188_075,
        "01bf15bedffe9f39d65c1b6ff9b687ea91f59e0e",
    ),
];

/// Other names that people know models by. Source: openai/whisper, `_MODELS`.
const ALIASES: [(&str, &str); 2] = [("large", "large-v3"), ("turbo", "large-v3-turbo")];

/// Names that an error suggests at most.
const NEAR_MAX: usize = 3;

/// A name that differs in more letters from the one that was asked for is not suggested.
const DISTANCE_MAX: usize = 4;

const fn model(name: &'static str, bytes: u64, sha1: &'static str) -> Model {
    Model { name, bytes, sha1 }
}

impl Model {
    /// Returns the name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("ggml-{}.bin", self.name)
    }

    /// Returns whether it knows other languages than English.
    #[must_use]
    pub fn is_multilingual(&self) -> bool {
        !self.name.contains(".en")
    }

    /// Returns how many languages it knows: 1, 99, or 100 since large-v3, which added Cantonese.
    #[must_use]
    pub fn languages(&self) -> u32 {
        match (self.is_multilingual(), self.name.starts_with("large-v3")) {
            (false, _) => 1,
            (true, false) => 99,
            (true, true) => 100,
        }
    }
}

/// Returns every published model, the smallest first.
#[must_use]
pub fn all() -> &'static [Model] {
    &PUBLISHED
}

/// Finds a model by its name, such as `base.en`, `large-v3-turbo-q5_0` or `turbo`.
///
/// # Errors
///
/// [`NameError::Unknown`] with the names that are most like it.
pub fn find(name: &str) -> Result<&'static Model, NameError> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let known = alias.map_or(name, |(_, known)| known);
    PUBLISHED
        .iter()
        .find(|model| model.name == known)
        .ok_or_else(|| NameError::Unknown {
            asked: name.chars().take(NAME_BYTES_MAX).collect(),
            near: near(name),
        })
}

/// Why a name or address is not that of a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No published model has this name: choose one that has.
    #[error("no model {asked:?} is published; {}", hint(near))]
    Unknown {
        /// The unknown name.
        asked: String,
        /// Similar names, the most similar first.
        near: Vec<&'static str>,
    },
    /// The address is incomplete: write all three parts.
    #[error("{asked:?} is not the address of a model; write hf:OWNER/REPOSITORY/FILE")]
    Malformed {
        /// The address.
        asked: String,
    },
}

fn hint(near: &[&'static str]) -> String {
    match near {
        [] => {
            let plain = |name: &&str| !name.contains(['.', '_']);
            let names: Vec<&str> = PUBLISHED.iter().map(|m| m.name).filter(plain).collect();
            let names = names.join(", ");
            format!("expected one of {names}, or a quantized form of one")
        }
        [name] => format!("did you mean {name}?"),
        [names @ .., last] => format!("did you mean {} or {last}?", names.join(", ")),
    }
}

fn near(asked: &str) -> Vec<&'static str> {
    let asked = asked.to_lowercase();
    // The cost of a comparison is the product of the lengths.
    if asked.len() > NAME_BYTES_MAX {
        return Vec::new();
    }
    let far = DISTANCE_MAX.min(asked.len().div_ceil(2));
    let mut found: Vec<(usize, &str)> = PUBLISHED
        .iter()
        .map(|model| (distance(&asked, model.name), model.name))
        .filter(|(distance, _)| *distance <= far)
        .collect();
    found.sort_by_key(|(distance, _)| *distance);
    found.iter().take(NEAR_MAX).map(|(_, name)| *name).collect()
}

/// Returns the edit distance of two words, in bytes. Source: Levenshtein 1966.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, b) in to.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_plain_english_and_quantized_models() {
        for name in [
            "tiny",
            "tiny.en-q5_1",
            "base.en",
            "base-q8_0",
            "small-q5_1",
            "medium.en-q5_0",
            "large-v1",
            "large-v2-q8_0",
            "large-v3",
            "large-v3-q5_0",
            "large-v3-turbo",
            "large-v3-turbo-q8_0",
        ] {
            assert_eq!(find(name).map(|model| model.name), Ok(name));
        }
        assert_eq!(find("turbo").map(|model| model.name), Ok("large-v3-turbo"));
        assert_eq!(find("large").map(|model| model.name), Ok("large-v3"));
    }

    #[test]
    fn entries_are_well_formed_and_different() {
        let mut digests: Vec<&str> = all().iter().map(|model| model.sha1).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), all().len());
        for model in all() {
            let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            assert!(
                model.sha1.len() == 40 && model.sha1.chars().all(hexadecimal),
                "{model:?}"
            );
        }
    }

    #[test]
    fn languages_follow_from_the_name() {
        for (name, languages) in [
            ("tiny.en-q5_1", 1),
            ("base", 99),
            ("large-v2", 99),
            ("large-v3", 100),
            ("turbo", 100),
        ] {
            assert_eq!(find(name).map(Model::languages), Ok(languages), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_gets_near_ones() {
        let check = |asked: &str, says: &str| {
            let message = find(asked).expect_err(asked).to_string();
            assert!(message.contains(says), "{message}");
        };
        check("bse.en", "did you mean base.en?");
        check("base-q5_0", "did you mean base-q5_1, ");
        check("large-v4", "did you mean large-v1, large-v2 or large-v3?");
        check("Base.EN", "did you mean base.en");
        check(
            "parakeet-tdt",
            "expected one of tiny, base, small, medium, large-v1, ",
        );
        check("", "expected one of tiny, base, ");
        check(&"x".repeat(1_000), "expected one of tiny, ");
        check("größe", "no model \"größe\" is published");
    }

    #[test]
    fn distances_count_letters() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("base", "bse", 1),
            ("tiny", "tony", 1),
            ("abc", "cba", 2),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }
}
