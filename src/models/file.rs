//! Files of models on Hugging Face, published or not.

use std::fmt;

use super::catalog::{Model, NAME_BYTES_MAX, NameError, find};

/// Precedes the address of any other file on Hugging Face.
const ADDRESS: &str = "hf:";

/// The repository on Hugging Face where the whisper.cpp project publishes.
const REPOSITORY: &str = "ggerganov/whisper.cpp";

/// A model's file on Hugging Face: of a published [`Model`], or any other in whisper.cpp's format.
///
/// # Examples
///
/// ```
/// use steadyscribe::models::ModelFile;
///
/// let distilled = "hf:distil-whisper/distil-large-v3-ggml/ggml-distil-large-v3.bin";
/// let distilled: ModelFile = distilled.parse()?;
/// let published: ModelFile = "base.en".parse()?;
/// assert_eq!(published.to_string(), "base.en");
/// # let _ = distilled;
/// # Ok::<(), steadyscribe::models::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    repository: String,
    file: String,
    published: Option<&'static Model>,
}

impl ModelFile {
    /// Returns the published model whose file it is, if it is one.
    #[must_use]
    pub fn published(&self) -> Option<&'static Model> {
        self.published
    }

    /// Returns the path of the newest version of the file on the server.
    #[cfg(feature = "download")]
    pub(super) fn address(&self) -> String {
        format!("{}/resolve/main/{}", self.repository, self.file)
    }

    /// Returns the path below the folder of a store. Files that are not published have a folder of
    /// their own.
    pub(super) fn place(&self) -> String {
        match self.published {
            Some(_) => self.file.clone(),
            None => format!("{}/{}", self.repository, self.file),
        }
    }
}

impl From<&'static Model> for ModelFile {
    fn from(model: &'static Model) -> Self {
        Self {
            repository: REPOSITORY.into(),
            file: model.file_name(),
            published: Some(model),
        }
    }
}

/// Parses the name of a published model, or `hf:OWNER/REPOSITORY/FILE`.
impl std::str::FromStr for ModelFile {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let Some(address) = name.strip_prefix(ADDRESS) else {
            return find(name).map(Self::from);
        };
        let parts: Vec<&str> = address.split('/').collect();
        // The parts become part of an address and of a path.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_plain =
            |part: &&str| !part.starts_with('.') && !part.is_empty() && part.chars().all(plain);
        match &parts[..] {
            [owner, repository, file @ ..]
                if !file.is_empty()
                    && address.len() <= NAME_BYTES_MAX
                    && parts.iter().all(is_plain) =>
            {
                Ok(Self {
                    repository: format!("{owner}/{repository}"),
                    file: file.join("/"),
                    published: None,
                })
            }
            _ => Err(NameError::Malformed {
                asked: name.chars().take(NAME_BYTES_MAX).collect(),
            }),
        }
    }
}

/// Writes the name that parses to this file.
impl fmt::Display for ModelFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.published {
            Some(model) => f.write_str(model.name),
            None => write!(f, "{ADDRESS}{}/{}", self.repository, self.file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_has_an_address() {
        for name in [
            "hf:ada/speech/model.bin",
            "hf:ada/speech.v2/q5/model_1-a.bin",
        ] {
            let file: ModelFile = name.parse().expect(name);
            assert_eq!((file.to_string().as_str(), file.published()), (name, None));
            assert_eq!(file.place(), name[3..]);
        }
        for name in [
            "hf:",
            "hf:ada",
            "hf:ada/speech",
            "hf:ada/speech/",
            "hf://speech/m.bin",
            "hf:../../etc/passwd",
            "hf:a/b/../c",
            "hf:a/b/.c",
            "hf:a/b/c?d",
            "hf:a/b/c d",
            "hf:a/b/\u{e9}",
        ] {
            let refused: Result<ModelFile, _> = name.parse();
            assert_eq!(refused, Err(NameError::Malformed { asked: name.into() }));
        }
        let named: Result<ModelFile, _> = "turbo".parse();
        assert_eq!(
            named.map(|file| file.place()),
            Ok("ggml-large-v3-turbo.bin".into())
        );
    }
}
