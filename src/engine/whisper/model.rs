//! TEMP
use crate::budget::Footprint;
use std::path::{Path, PathBuf};
#[derive(Debug)]
pub struct ModelHeader {
    n_vocab: u32,
}
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    #[error("refused {path}")]
    Refused {
        path: PathBuf,
        #[source]
        source: whisper_rs::WhisperError,
    },
    #[error("language {asked} {multilingual}")]
    Language { asked: String, multilingual: bool },
    #[error("english only")]
    EnglishOnly,
}
impl ModelHeader {
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Ok(Self { n_vocab: 51864 })
    }
    pub fn is_multilingual(&self) -> bool {
        self.n_vocab > 51864
    }
    pub fn footprints(&self) -> [Footprint; 2] {
        [
            Footprint::default(),
            Footprint {
                flash_attention: true,
                ..Footprint::default()
            },
        ]
    }
}
