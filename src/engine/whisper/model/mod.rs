//! Checks a model file before whisper.cpp loads it, and computes what it will hold.
//!
//! | question | file |
//! |---|---|
//! | which files are accepted? | this one |
//! | which tensors must a file have? | `tensors.rs` |
//! | how much memory will a model take? | `footprint.rs` |
//! | which models are published, and which are named in an error? | `published.rs` |
//!
//! whisper.cpp 1.8.3 trusts its file: a bad number in it ends the process (`GGML_ASSERT`, a C++
//! exception that crosses into Rust) or is written past the end of a buffer. [`ModelHeader::read`]
//! accepts a file only if none of that can happen, and answers anything else with an error that
//! states what to do.
//!
//! The file is read through a small buffer and not mapped. If another process truncates a mapped
//! file, as a download that restarts does, the next access raises SIGBUS, and no check can prevent
//! that; a read only fails. It is as fast, because the weights are skipped by seeking: about 2 ms
//! for the token list and 1 to 10 ms for the tensors.

use std::fmt;
use std::path::Path;

use crate::ggml::{MATRIX_FORMATS, ModelError, NumberFormat, Reader, read_magic, read_tensors};

mod footprint;
mod published;
mod tensors;

/// The variant that is faster.
const FULL_ATTENTION: &str = "full attention";

/// The variant that is smaller.
pub(super) const FLASH_ATTENTION: &str = "flash attention";

/// The name of a file of this kind, for errors.
const EXAMPLE: &str = "ggml-base.en.bin";

/// Audio positions of every Whisper: 30 s at 50 a second. Windows and timestamps rely on it.
const AUDIO_CTX: u32 = 1_500;

/// Text positions of every Whisper.
const TEXT_CTX: u32 = 448;

/// Width of one attention head of every Whisper. A model's width is a multiple of it.
const HEAD_WIDTH: u32 = 64;

/// Width of the largest Whisper (large): 20 heads.
const STATE_MAX: u32 = 1_280;

/// Layers of the largest Whisper (large), in the encoder and in the decoder.
const LAYERS_MAX: u32 = 32;

/// Sizes of the vocabularies: English, multilingual (99 languages), multilingual since large-v3
/// (100).
///
/// The ids of all special tokens follow from the size. With a larger one whisper.cpp looks up the
/// name of a language that it does not know, and makes a string of the null pointer that it gets.
const VOCABULARIES: [u32; 3] = [51_864, 51_865, 51_866];

/// Frequency bands of the spectrogram: 128 since large-v3, 80 before.
const MELS: [u32; 2] = [80, 128];

/// Frequencies in a row of the mel filter bank: half the 400 samples of a frame, plus one.
const FILTER_FREQUENCIES: i32 = 201;

/// Text tokens at the start of every vocabulary (GPT-2's). Fewer would leave text without spelling.
const TEXT_TOKENS_MIN: u32 = 50_256;

/// Longest spelling of a token. GPT-2's longest has 128 bytes.
const SPELLING_BYTES_MAX: u32 = 256;

/// The dimensions of a Whisper model, from the start of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dimensions {
    /// Tokens: 51,864 English, 51,865 multilingual, 51,866 multilingual since large-v3.
    pub n_vocab: u32,
    /// Audio positions of a window: 1,500.
    pub n_audio_ctx: u32,
    /// Width of the encoder: 64 to 1,280.
    pub n_audio_state: u32,
    /// Attention heads of the encoder: width / 64.
    pub n_audio_head: u32,
    /// Layers of the encoder: 1 to 32.
    pub n_audio_layer: u32,
    /// Text positions: 448.
    pub n_text_ctx: u32,
    /// Width of the decoder: that of the encoder.
    pub n_text_state: u32,
    /// Attention heads of the decoder: width / 64.
    pub n_text_head: u32,
    /// Layers of the decoder: 1 to 32.
    pub n_text_layer: u32,
    /// Frequency bands of the spectrogram: 80 or 128.
    pub n_mels: u32,
}

/// The checked header of a model file.
///
/// # Examples
///
/// ```no_run
/// use steadyscribe::ModelHeader;
///
/// let header = ModelHeader::read("ggml-base.en.bin".as_ref())?;
/// println!("{header}");
/// # Ok::<(), steadyscribe::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelHeader {
    /// The dimensions.
    pub dimensions: Dimensions,
    /// Number format of the matrices, as whisper.cpp numbers it: 1 = f16, 2,007 = q8_0, and so on.
    pub ftype: i32,
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Distinguishes this model from others.
    pub fingerprint: Fingerprint,
    format: NumberFormat,
    weight_bytes: u64,
}

/// Distinguishes model files without reading all of them: the size, and a hash of everything but
/// the weights and of the first 64 bytes of each tensor. Equal files have equal fingerprints;
/// different files could be made to have equal ones on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    file_bytes: u64,
    hash: u64,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:016x}", self.file_bytes, self.hash)
    }
}

impl ModelHeader {
    /// Reads and checks everything in a model file except the weights.
    ///
    /// It does not protect against a file that changes between this check and its loading.
    ///
    /// # Memory
    ///
    /// An 8 KiB buffer and a table of at most 1,259 tensor names, freed on return. Nothing in the
    /// file influences how much is allocated.
    ///
    /// # Errors
    ///
    /// [`ModelError`], within milliseconds, for a file that cannot be loaded and run.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let mut file = Reader::open(path, EXAMPLE)?;
        read_magic(&mut file)?;
        let (dimensions, format) = read_dimensions(&mut file)?;
        read_mel_filters(&mut file, &dimensions)?;
        read_vocabulary(&mut file, &dimensions)?;
        let weight_bytes = read_tensors(&mut file, tensors::expected(&dimensions, format))?;
        Ok(Self {
            dimensions,
            ftype: format.file_type,
            file_bytes: file.len(),
            fingerprint: Fingerprint {
                file_bytes: file.len(),
                hash: file.hash(),
            },
            format,
            weight_bytes,
        })
    }

    /// Returns whether the model knows other languages than English.
    #[must_use]
    pub fn is_multilingual(&self) -> bool {
        self.dimensions.n_vocab >= VOCABULARIES[1]
    }

    /// Returns the name of the matrices' number format: f16, q8_0, q5_0 and so on.
    #[must_use]
    pub fn quantization(&self) -> &'static str {
        self.format.name
    }

    /// Returns the name of the published Whisper that has these dimensions, or "custom".
    #[must_use]
    pub fn shape(&self) -> &'static str {
        let d = &self.dimensions;
        match (d.n_audio_state, d.n_audio_layer, d.n_text_layer, d.n_mels) {
            (384, 4, 4, 80) => "tiny",
            (512, 6, 6, 80) => "base",
            (768, 12, 12, 80) => "small",
            (1_024, 24, 24, 80) => "medium",
            (1_280, 32, 32, 80) => "large",
            (1_280, 32, 32, 128) => "large-v3",
            (1_280, 32, 4, 128) => "large-v3-turbo",
            _ => "custom",
        }
    }
}

impl fmt::Display for ModelHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &self.dimensions;
        write!(
            f,
            "{} {}, {} wide, {} + {} layers, {}, {} MB",
            self.shape(),
            self.quantization(),
            d.n_audio_state,
            d.n_audio_layer,
            d.n_text_layer,
            if self.is_multilingual() {
                "multilingual"
            } else {
                "English"
            },
            self.file_bytes.div_ceil(1_000_000),
        )
    }
}

fn read_dimensions(file: &mut Reader<'_>) -> Result<(Dimensions, NumberFormat), ModelError> {
    // Fields are read in the file's order.
    let vocabularies: Vec<String> = VOCABULARIES.iter().map(u32::to_string).collect();
    let vocabularies = vocabularies.join(" or ");
    let n_vocab = file.dimension("n_vocab", |n| VOCABULARIES.contains(&n), &vocabularies)?;
    let exactly = |file: &mut Reader<'_>, what, must: u32| {
        file.dimension(what, |n| n == must, &must.to_string())
    };
    let at_most = |file: &mut Reader<'_>, what, max: u32| {
        file.dimension(what, |n| (1..=max).contains(&n), &format!("1 to {max}"))
    };
    let n_audio_ctx = exactly(file, "n_audio_ctx", AUDIO_CTX)?;
    let n_audio_state = file.dimension(
        "n_audio_state",
        |n| n > 0 && n <= STATE_MAX && n % HEAD_WIDTH == 0,
        "a multiple of 64 up to 1280",
    )?;
    let n_head = n_audio_state / HEAD_WIDTH;
    let n_audio_head = exactly(file, "n_audio_head", n_head)?;
    let n_audio_layer = at_most(file, "n_audio_layer", LAYERS_MAX)?;
    let n_text_ctx = exactly(file, "n_text_ctx", TEXT_CTX)?;
    let n_text_state = exactly(file, "n_text_state", n_audio_state)?;
    let n_text_head = exactly(file, "n_text_head", n_head)?;
    let n_text_layer = at_most(file, "n_text_layer", LAYERS_MAX)?;
    let n_mels = file.dimension("n_mels", |n| MELS.contains(&n), "80 or 128")?;
    let format = read_format(file, n_audio_state)?;
    let dimensions = Dimensions {
        n_vocab,
        n_audio_ctx,
        n_audio_state,
        n_audio_head,
        n_audio_layer,
        n_text_ctx,
        n_text_state,
        n_text_head,
        n_text_layer,
        n_mels,
    };
    Ok((dimensions, format))
}

fn read_format(file: &mut Reader<'_>, width: u32) -> Result<NumberFormat, ModelError> {
    let ftype = file.number()?;
    // A row of a matrix must be a whole number of blocks (ggml_row_size asserts it).
    let runs = |f: &&NumberFormat| u64::from(width) % f.block == 0;
    MATRIX_FORMATS
        .iter()
        .filter(runs)
        .find(|f| f.file_type == ftype)
        .copied()
        .ok_or_else(|| {
            let names: Vec<String> = MATRIX_FORMATS
                .iter()
                .filter(runs)
                .map(|f| format!("{} ({})", f.file_type, f.name))
                .collect();
            file.unsupported("ftype", ftype.into(), names.join(", "))
        })
}

/// Checks the mel filters. whisper.cpp multiplies by every one of them, and copies as many bands as
/// they have into a buffer made for `n_mels`.
fn read_mel_filters(file: &mut Reader<'_>, d: &Dimensions) -> Result<(), ModelError> {
    let (bands, frequencies) = (file.number()?, file.number()?);
    if i64::from(bands) != i64::from(d.n_mels) || frequencies != FILTER_FREQUENCIES {
        return Err(file.damaged(format!(
            "mel filters of {bands} x {frequencies}, expected {} x {FILTER_FREQUENCIES}",
            d.n_mels
        )));
    }
    for _ in 0..d.n_mels * FILTER_FREQUENCIES.unsigned_abs() {
        let weight = f32::from_le_bytes(file.bytes()?);
        if !(0.0..=1.0).contains(&weight) {
            return Err(file.damaged(format!("a mel filter has the weight {weight}")));
        }
    }
    Ok(())
}

fn read_vocabulary(file: &mut Reader<'_>, d: &Dimensions) -> Result<(), ModelError> {
    let count = file.number()?;
    let count = u32::try_from(count)
        .ok()
        .filter(|n| (TEXT_TOKENS_MIN..=d.n_vocab).contains(n))
        .ok_or_else(|| {
            file.damaged(format!(
                "{count} tokens are spelled, expected {TEXT_TOKENS_MIN} to {}",
                d.n_vocab
            ))
        })?;
    file.need(u64::from(count) * 4)?;
    for token in 0..count {
        let length = file.number()?;
        let length = u32::try_from(length)
            .ok()
            .filter(|n| *n <= SPELLING_BYTES_MAX)
            .ok_or_else(|| file.damaged(format!("token {token} has {length} bytes")))?;
        let mut spelling = [0; SPELLING_BYTES_MAX as usize];
        file.fill(&mut spelling[..length as usize])?;
    }
    Ok(())
}
