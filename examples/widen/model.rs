//! A small Whisper model in whisper.cpp's format, and how a wider one is made of it that computes
//! the same.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use half::f16;

/// Audio positions, text positions and frequencies of a mel filter of every Whisper.
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
    /// Number of the language that the model hears, where it knows several.
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
    /// The English token whose meaning a token of this vocabulary has. Tokens that English lacks
    /// are like its languages, which are never said: all but the language that the model hears,
    /// which it expects where the first time stands.
    fn english_token(&self, token: usize) -> usize {
        let languages = languages(self.vocabulary);
        if languages == 0 || token < ENGLISH_TEXT_TOKENS {
            return token;
        }
        // One text token more, so the end and the start have moved by one, and all behind the
        // languages by their number.
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

/// Number formats of the matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    F32,
    F16,
    Q8_0,
    Q5_0,
}

impl Format {
    fn file_type(self) -> usize {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 2_007,
            Self::Q5_0 => 2_008,
        }
    }

    fn tensor_type(self) -> usize {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q5_0 => 6,
            Self::Q8_0 => 8,
        }
    }

    fn of_tensor_type(number: usize) -> io::Result<Self> {
        let all = [Self::F32, Self::F16, Self::Q8_0, Self::Q5_0];
        let known = all
            .into_iter()
            .find(|format| format.tensor_type() == number);
        known.ok_or_else(|| io::Error::other(format!("tensor type {number} is not known here")))
    }

    fn bytes(self, elements: usize) -> usize {
        match self {
            Self::F32 => elements * 4,
            Self::F16 => elements * 2,
            Self::Q8_0 => elements / 32 * 34,
            Self::Q5_0 => elements / 32 * 22,
        }
    }

    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let half = |b: &[u8]| f16::from_le_bytes([b[0], b[1]]).to_f32();
        match self {
            Self::F32 => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Self::F16 => bytes.chunks_exact(2).map(half).collect(),
            Self::Q8_0 => bytes
                .chunks_exact(34)
                .flat_map(|b| {
                    b[2..]
                        .iter()
                        .map(move |q| half(b) * f32::from(q.cast_signed()))
                })
                .collect(),
            Self::Q5_0 => bytes.chunks_exact(22).flat_map(decode_q5_0).collect(),
        }
    }

    fn encode(self, row: &[f32], out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::F32 => row.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())),
            Self::F16 => row
                .iter()
                .try_for_each(|x| out.write_all(&f16::from_f32(*x).to_le_bytes())),
            Self::Q8_0 => row
                .chunks_exact(32)
                .try_for_each(|block| out.write_all(&q8_0(block))),
            Self::Q5_0 => row
                .chunks_exact(32)
                .try_for_each(|block| out.write_all(&q5_0(block))),
        }
    }
}

fn q8_0(block: &[f32]) -> [u8; 34] {
    let scale = block.iter().fold(0.0_f32, |max, x| max.max(x.abs())) / 127.0;
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (byte, x) in bytes[2..].iter_mut().zip(block) {
        let q = if scale > 0.0 {
            (x / scale).round()
        } else {
            0.0
        };
        #[expect(clippy::cast_possible_truncation, reason = "-127 to 127")]
        let q = q as i8;
        *byte = q.cast_unsigned();
    }
    bytes
}

/// 32 numbers of 5 bits: the low four of the first and the second half share bytes, the high bits
/// come before.
fn q5_0(block: &[f32]) -> [u8; 22] {
    let largest = block
        .iter()
        .fold(0.0_f32, |max, x| if x.abs() > max.abs() { *x } else { max });
    let scale = largest / -16.0;
    let quantized = |x: f32| {
        let q = if scale == 0.0 { 16.5 } else { x / scale + 16.5 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 31"
        )]
        let q = q.clamp(0.0, 31.0) as u8;
        q
    };
    let mut bytes = [0; 22];
    bytes[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    let mut high = 0_u32;
    for i in 0..16 {
        let (first, second) = (quantized(block[i]), quantized(block[i + 16]));
        bytes[6 + i] = (first & 15) | (second & 15) << 4;
        high |= u32::from(first >> 4) << i | u32::from(second >> 4) << (i + 16);
    }
    bytes[2..6].copy_from_slice(&high.to_le_bytes());
    bytes
}

fn decode_q5_0(block: &[u8]) -> [f32; 32] {
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    std::array::from_fn(|i| {
        let byte = block[6 + i % 16];
        let low = if i < 16 { byte & 15 } else { byte >> 4 };
        scale * (f32::from(low) + if high >> i & 1 == 1 { 16.0 } else { 0.0 } - 16.0)
    })
}

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
    /// Reads a model that was made with [`Format`]s known here.
    ///
    /// # Errors
    ///
    /// Those of reading, and for unknown formats.
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
    /// Every feature is there k times: norms, heads and biases keep their values, matrices divide
    /// their inputs by k, layers that are added change nothing. Bands and tokens that are added are
    /// not used.
    ///
    /// # Errors
    ///
    /// Those of writing, and when `shape` is not a multiple as wide as this model.
    pub(crate) fn widen(&self, shape: &Shape, format: Format, path: &Path) -> io::Result<()> {
        let times = shape.width / self.width;
        if times * self.width != shape.width {
            return Err(io::Error::other(format!(
                "{} is no multiple of {}",
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
        // The bands that are added have no weights in the source: theirs are zeros.
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

    /// The tensor that one of the wide model is made of, and whether its values are kept: a layer
    /// that is added copies the first and adds nothing to its input.
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

/// A tensor of the wide model, as rows.
struct Tensor {
    name: String,
    /// As the file has them, the fastest running one first.
    extents: Vec<usize>,
    rows: usize,
    row: usize,
    /// Has the number format of the matrices, or else `other_format`.
    matrix: bool,
    other_format: Format,
    /// Its inputs are there several times, so each counts less.
    divide: bool,
    /// Its rows are as long as in the narrow model, or as a number that widening does not change.
    narrow_rows: bool,
}

impl Tensor {
    fn repeat(&self, times: usize) -> usize {
        if self.narrow_rows { 1 } else { times }
    }
}

/// All tensors of a model of this shape.
#[expect(clippy::too_many_lines, reason = "a table, one line for each tensor")]
fn tensors(s: &Shape) -> Vec<Tensor> {
    let width = s.width;
    let vector = |name: String, row: usize| Tensor {
        extents: vec![row],
        rows: 1,
        row,
        matrix: false,
        other_format: Format::F32,
        // The output embedding sums the features of the decoder's last norm.
        divide: name.starts_with("decoder.ln."),
        narrow_rows: false,
        name,
    };
    let bias = |name: &str| Tensor {
        extents: vec![1, width],
        ..vector(name.into(), width)
    };
    let matrix = |name: String, row: usize, rows: usize| Tensor {
        extents: vec![row, rows],
        rows,
        matrix: true,
        divide: true,
        ..vector(name, row)
    };
    let table = |name: &str, rows| Tensor {
        matrix: false,
        divide: false,
        ..matrix(name.into(), width, rows)
    };
    let kernel = |name: &str, inputs: usize, first: bool| Tensor {
        extents: vec![3, inputs, width],
        matrix: false,
        other_format: Format::F16,
        divide: !first,
        narrow_rows: first,
        ..matrix(name.into(), 3 * inputs, width)
    };
    let embedding = "decoder.token_embedding.weight";
    let mut all = vec![
        table("encoder.positional_embedding", AUDIO_CTX),
        kernel("encoder.conv1.weight", s.mels, true),
        bias("encoder.conv1.bias"),
        kernel("encoder.conv2.weight", width, false),
        bias("encoder.conv2.bias"),
        vector("encoder.ln_post.weight".into(), width),
        vector("encoder.ln_post.bias".into(), width),
        table("decoder.positional_embedding", TEXT_CTX),
        Tensor {
            divide: false,
            ..matrix(embedding.into(), width, s.vocabulary)
        },
        vector("decoder.ln.weight".into(), width),
        vector("decoder.ln.bias".into(), width),
    ];
    let sides = [
        ("encoder", s.encoder_layers, &["attn"][..]),
        ("decoder", s.decoder_layers, &["attn", "cross_attn"]),
    ];
    for (side, layers, attentions) in sides {
        for layer in 0..layers {
            let part = |part: &str| format!("{side}.blocks.{layer}.{part}");
            all.push(vector(part("mlp_ln.weight"), width));
            all.push(vector(part("mlp_ln.bias"), width));
            all.push(matrix(part("mlp.0.weight"), width, 4 * width));
            all.push(vector(part("mlp.0.bias"), 4 * width));
            all.push(matrix(part("mlp.2.weight"), 4 * width, width));
            all.push(vector(part("mlp.2.bias"), width));
            for attention in attentions {
                for norm in ["weight", "bias"] {
                    all.push(vector(part(&format!("{attention}_ln.{norm}")), width));
                }
                for projection in ["query", "key", "value", "out"] {
                    let name = |kind: &str| part(&format!("{attention}.{projection}.{kind}"));
                    all.push(matrix(name("weight"), width, width));
                    if projection != "key" {
                        all.push(vector(name("bias"), width));
                    }
                }
            }
        }
    }
    all
}

/// Languages of a vocabulary: none in the English one.
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
