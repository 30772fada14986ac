//! Reads a small Whisper model in whisper.cpp's format, and writes a wider one that computes the
//! same.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use self::tensors::{Tensor, tensors};

mod format;
mod tensors;

pub(crate) use self::format::Format;

/// Audio positions, text positions and frequencies of a mel filter, which all Whispers share.
const AUDIO_CTX: usize = 1_500;
const TEXT_CTX: usize = 448;
const FREQUENCIES: usize = 201;

/// Text tokens of the English vocabulary; its special tokens follow.
const ENGLISH_TEXT_TOKENS: usize = 50_256;
const ENGLISH_FIRST_LANGUAGE: usize = 50_258;
const ENGLISH_TRANSLATE: usize = 50_357;
const ENGLISH_TIME_ZERO: usize = 50_363;

/// The dimensions of a Whisper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) width: usize,
    pub(crate) encoder_layers: usize,
    pub(crate) decoder_layers: usize,
    pub(crate) mels: usize,
    pub(crate) vocabulary: usize,
    /// Number of the language that a multilingual model detects.
    pub(crate) language: usize,
}

const fn shape(name: &'static str, width: usize, layers: (usize, usize), v3: bool) -> Shape {
    let (mels, vocabulary) = if v3 { (128, 51_866) } else { (80, 51_864) };
    Shape {
        name,
        width,
        encoder_layers: layers.0,
        decoder_layers: layers.1,
        mels,
        vocabulary,
        language: 0,
    }
}

impl Shape {
    /// Returns the English token with the meaning of a token of this vocabulary. Tokens that
    /// English lacks get the meaning of a language, which is never predicted. The exception is the
    /// language that the model detects: it gets the meaning of the first time stamp.
    fn english_token(&self, token: usize) -> usize {
        let languages = languages(self.vocabulary);
        if languages == 0 || token < ENGLISH_TEXT_TOKENS {
            return token;
        }
        // One more text token moves the end and the start by one, and the languages move all that
        // follows them by their number.
        let translate = ENGLISH_FIRST_LANGUAGE + 1 + languages;
        match token - ENGLISH_TEXT_TOKENS {
            0 => ENGLISH_FIRST_LANGUAGE,
            1 | 2 => token - 1,
            _ if token == ENGLISH_FIRST_LANGUAGE + 1 + self.language => ENGLISH_TIME_ZERO,
            _ if token < translate => ENGLISH_FIRST_LANGUAGE,
            _ => token - translate + ENGLISH_TRANSLATE,
        }
    }
}

/// The published shapes. Those before large-v3 are English here, as the fixture is.
pub(crate) const SHAPES: [Shape; 7] = [
    shape("tiny", 384, (4, 4), false),
    shape("base", 512, (6, 6), false),
    shape("small", 768, (12, 12), false),
    shape("medium", 1_024, (24, 24), false),
    shape("large", 1_280, (32, 32), false),
    shape("large-v3", 1_280, (32, 32), true),
    shape("large-v3-turbo", 1_280, (32, 4), true),
];

/// The fixture itself, with the vocabulary and the mel bands of large-v3: a multilingual model that
/// knows English.
pub(crate) const MULTILINGUAL: Shape = shape("multilingual", 128, (4, 3), true);

/// The same with the vocabulary and the mel bands of the multilingual models before large-v3.
pub(crate) const MULTILINGUAL_80: Shape = Shape {
    name: "multilingual-80",
    mels: 80,
    vocabulary: 51_865,
    ..MULTILINGUAL
};

/// A model whose numbers are held as f32.
#[derive(Debug)]
pub(crate) struct Model {
    width: usize,
    decoder_layers: usize,
    encoder_layers: usize,
    filters: Vec<f32>,
    spellings: Vec<Vec<u8>>,
    tensors: HashMap<String, Vec<f32>>,
}

impl Model {
    /// Reads a model whose tensors have a [`Format`].
    ///
    /// # Errors
    ///
    /// Errors of reading, and unknown formats.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let header: [usize; 12] = std::array::from_fn(|_| number(&mut file).unwrap_or_default());
        let (width, encoder_layers, decoder_layers) = (header[3], header[5], header[9]);
        let (bands, frequencies) = (number(&mut file)?, number(&mut file)?);
        let filters = Format::F32.decode(&bytes(&mut file, bands * frequencies * 4)?);
        let mut spellings = Vec::new();
        for _ in 0..number(&mut file)? {
            let length = number(&mut file)?;
            spellings.push(bytes(&mut file, length)?);
        }
        let mut tensors = HashMap::new();
        while let Ok(extents) = number(&mut file) {
            let (name_bytes, format) = (number(&mut file)?, number(&mut file)?);
            let format = Format::of_tensor_type(format)?;
            let mut elements = 1;
            for _ in 0..extents {
                elements *= number(&mut file)?;
            }
            let name =
                String::from_utf8(bytes(&mut file, name_bytes)?).map_err(io::Error::other)?;
            tensors.insert(
                name,
                format.decode(&bytes(&mut file, format.bytes(elements))?),
            );
        }
        Ok(Self {
            width,
            encoder_layers,
            decoder_layers,
            filters,
            spellings,
            tensors,
        })
    }

    /// Writes a wider model that computes the same function, at the cost of its shape.
    ///
    /// Every feature is repeated k times: norms, heads and biases keep their values, matrices
    /// divide their inputs by k, added layers change nothing. Added bands and tokens are not used.
    ///
    /// # Errors
    ///
    /// Errors of writing, and a `shape` whose width is not a multiple of this model's.
    pub(crate) fn widen(&self, shape: &Shape, format: Format, path: &Path) -> io::Result<()> {
        let times = shape.width / self.width;
        if times * self.width != shape.width {
            return Err(io::Error::other(format!(
                "the width {} is not a multiple of {}",
                shape.width, self.width
            )));
        }
        let mut out = BufWriter::new(File::create(path)?);
        self.write_header(shape, format, &mut out)?;
        for tensor in tensors(shape) {
            let format = if tensor.matrix {
                format
            } else {
                tensor.other_format
            };
            write_numbers(
                &[
                    tensor.extents.len(),
                    tensor.name.len(),
                    format.tensor_type(),
                ],
                &mut out,
            )?;
            write_numbers(&tensor.extents, &mut out)?;
            out.write_all(tensor.name.as_bytes())?;
            self.write_rows(&tensor, shape, times, format, &mut out)?;
        }
        out.flush()
    }

    fn write_header(&self, s: &Shape, format: Format, out: &mut impl Write) -> io::Result<()> {
        let (width, heads) = (s.width, s.width / 64);
        write_numbers(&[0x6767_6d6c, s.vocabulary, AUDIO_CTX, width, heads], out)?;
        write_numbers(
            &[s.encoder_layers, TEXT_CTX, width, heads, s.decoder_layers],
            out,
        )?;
        write_numbers(&[s.mels, format.file_type(), s.mels, FREQUENCIES], out)?;
        let mut filters = self.filters.clone();
        filters.resize(s.mels * FREQUENCIES, 0.0);
        Format::F32.encode(&filters, out)?;
        let spelled = self.spellings.len() + usize::from(languages(s.vocabulary) > 0);
        write_numbers(&[spelled], out)?;
        let nothing = Vec::new();
        for spelling in self.spellings.iter().chain([&nothing]).take(spelled) {
            write_numbers(&[spelling.len()], out)?;
            out.write_all(spelling)?;
        }
        Ok(())
    }

    fn write_rows(
        &self,
        tensor: &Tensor,
        shape: &Shape,
        times: usize,
        format: Format,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (source, keep) = self.source(&tensor.name);
        let source = self
            .tensors
            .get(&source)
            .ok_or_else(|| io::Error::other(format!("the model has no {source}")))?;
        #[expect(clippy::cast_precision_loss, reason = "at most 10")]
        let factor = if keep {
            1.0 / if tensor.divide { times as f32 } else { 1.0 }
        } else {
            0.0
        };
        let row = tensor.row / tensor.repeat(times);
        // Added bands have no weights in the source. Theirs are zeros.
        let row_in_source = if tensor.name == "encoder.conv1.weight" {
            self.filters.len() / FREQUENCIES * 3
        } else {
            row
        };
        let rows_in_source = source.len() / row_in_source;
        let mut wide = vec![0.0; tensor.row];
        for index in 0..tensor.rows {
            let index = match tensor.name.as_str() {
                "decoder.token_embedding.weight" => shape.english_token(index),
                _ => index % rows_in_source,
            };
            let narrow = &source[index * row_in_source..][..row_in_source];
            for tile in wide.chunks_exact_mut(row) {
                for (to, from) in tile.iter_mut().zip(narrow) {
                    *to = from * factor;
                }
            }
            format.encode(&wide, out)?;
        }
        Ok(())
    }

    /// Returns the tensor from which one of the wide model is made, and whether its values are
    /// kept: an added layer copies the first one and adds nothing to its input.
    fn source(&self, name: &str) -> (String, bool) {
        for (side, layers) in [
            ("encoder", self.encoder_layers),
            ("decoder", self.decoder_layers),
        ] {
            let Some(rest) = name.strip_prefix(&format!("{side}.blocks.")) else {
                continue;
            };
            let Some((layer, part)) = rest.split_once('.') else {
                continue;
            };
            if layer.parse().is_ok_and(|layer: usize| layer >= layers) {
                let adds = part.contains(".out.") || part.starts_with("mlp.2.");
                return (format!("{side}.blocks.0.{part}"), !adds);
            }
        }
        (name.to_owned(), true)
    }
}

/// Returns the number of languages of a vocabulary: none for the English one.
fn languages(vocabulary: usize) -> usize {
    if vocabulary > 51_864 {
        vocabulary - 51_766
    } else {
        0
    }
}

fn number(file: &mut impl Read) -> io::Result<usize> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    usize::try_from(i32::from_le_bytes(bytes)).map_err(io::Error::other)
}

fn bytes(file: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write_numbers(numbers: &[usize], out: &mut impl Write) -> io::Result<()> {
    numbers.iter().try_for_each(|n| {
        out.write_all(&i32::try_from(*n).map_err(io::Error::other)?.to_le_bytes())
    })
}
