//! Reads and checks model files of whisper.cpp, before whisper.cpp reads them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Once;

mod reader;
mod tensor;

pub(crate) use self::reader::Reader;
pub(crate) use self::tensor::{F16, F32, MATRIX_FORMATS, NumberFormat, Tensor, weight_bytes};

/// First four bytes of a ggml file, as a little-endian number.
const MAGIC: i32 = 0x6767_6d6c;

/// Longest tensor name: `decoder.blocks.31.cross_attn.query.weight` has 41.
const NAME_BYTES_MAX: u32 = 48;

/// Bytes of each tensor's numbers that go into the fingerprint.
const FINGERPRINT_SAMPLE_BYTES: usize = 64;

/// Why a file cannot be used as a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file cannot be opened or read: check path and permissions.
    #[error("cannot read the model {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// The file is not such a model: use a file that whisper.cpp's tools made for this purpose.
    #[error(
        "{} is not a model of this kind: it {found}; such models are files named like {example}",
        path.display()
    )]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What the file is instead.
        found: &'static str,
        /// The name of such a file.
        example: &'static str,
    },
    /// The file ends too early: download or copy it again.
    #[error(
        "the model {} is cut off: it has {bytes} bytes and needs at least {needed_bytes}; \
         download it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the file has.
        bytes: u64,
        /// Bytes that it needs at least.
        needed_bytes: u64,
    },
    /// The file contradicts itself: download or copy it again.
    #[error(
        "the model {} is damaged at byte {at_byte}: {reason}; download it again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The position of the contradiction.
        at_byte: u64,
        /// The contradiction.
        reason: String,
    },
    /// The linked whisper.cpp cannot run a model of this kind: use another one.
    #[error(
        "the model {} cannot be used: {what} is {asked}, expected {allowed}; use another model",
        path.display()
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The dimension.
        what: &'static str,
        /// Its value.
        asked: i64,
        /// The values that work.
        allowed: String,
    },
    /// whisper.cpp did not load the file, although it passed the check: the machine may lack
    /// memory.
    #[error(
        "whisper.cpp did not load the model {}; free memory, or use a smaller model",
        path.display()
    )]
    Refused {
        /// The file.
        path: PathBuf,
        /// The error of whisper.cpp.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The model does not know the language: choose another, or a multilingual model.
    #[error("the model does not know the language {asked:?}; {hint}")]
    Language {
        /// The language.
        asked: String,
        /// The languages that may have been meant.
        hint: String,
    },
    /// The model cannot translate: use a multilingual one.
    #[error("the model knows English only and cannot translate; use a model without .en")]
    EnglishOnly,
}

/// Checks the first four bytes. If they are wrong, the error says what the file may be.
pub(crate) fn read_magic(file: &mut Reader<'_>) -> Result<(), ModelError> {
    if file.len() < 4 {
        return Err(file.not_a_model("is empty"));
    }
    let magic = file.number()?;
    if magic == MAGIC {
        return Ok(());
    }
    Err(file.not_a_model(match &magic.to_le_bytes() {
        b"GGUF" => "is a GGUF file, which whisper.cpp does not read",
        b"PK\x03\x04" => "is a zip archive, perhaps a PyTorch checkpoint that was not converted",
        [b'<', ..] => "starts like a web page, perhaps the error page of a download",
        [b'v', b'e', b'r', b's'] => "is a Git LFS pointer: fetch the file itself",
        _ => "starts with other bytes",
    }))
}

/// Reads and checks the tensors that follow a model's head: each of `missing` once, and no others.
/// Returns the bytes that they take in memory.
pub(crate) fn read_tensors(
    file: &mut Reader<'_>,
    mut missing: HashMap<String, Tensor>,
) -> Result<u64, ModelError> {
    let bytes = weight_bytes(&missing);
    // A lower limit: each tensor also has three numbers, its name and its extents.
    file.need(missing.values().map(Tensor::bytes).sum())?;
    while file.at() < file.len() {
        let (n_extents, name_bytes, tensor_type) = (file.number()?, file.number()?, file.number()?);
        let n_extents = usize::try_from(n_extents)
            .ok()
            .filter(|n| (0..=4).contains(n))
            .ok_or_else(|| file.damaged(format!("a tensor of {n_extents} dimensions")))?;
        let name_bytes = u32::try_from(name_bytes)
            .ok()
            .filter(|n| (1..=NAME_BYTES_MAX).contains(n))
            .ok_or_else(|| file.damaged(format!("a tensor name of {name_bytes} bytes")))?;
        let mut extents = [1; 4];
        for extent in &mut extents[..n_extents] {
            *extent = file.number()?;
        }
        let mut name = [0; NAME_BYTES_MAX as usize];
        file.fill(&mut name[..name_bytes as usize])?;
        let name = String::from_utf8_lossy(&name[..name_bytes as usize]);
        let Some(expected) = missing.remove(name.as_ref()) else {
            return Err(file.damaged(format!("unexpected tensor {name:?}")));
        };
        if extents.map(i64::from) != expected.extents.map(u64::cast_signed) {
            let must = expected.extents;
            return Err(file.damaged(format!("{name} is {extents:?}, expected {must:?}")));
        }
        if tensor_type != expected.format.tensor_type {
            let must = expected.format.name;
            return Err(file.damaged(format!("{name} is of type {tensor_type}, expected {must}")));
        }
        file.pass_weights(expected.bytes())?;
    }
    match missing.keys().min() {
        None => Ok(bytes),
        Some(name) => Err(file.damaged(format!("tensor {name} is missing"))),
    }
}

/// Sends the log of whisper.cpp to `tracing`. By default it writes to the process's standard error.
pub(crate) fn quiet_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(whisper_rs::install_logging_hooks);
}
