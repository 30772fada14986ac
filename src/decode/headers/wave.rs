//! Wave audio in its three forms: each is shown as a RIFF file of unknown length.
//!
//! RIFF counts bytes in 32 bits, so a recording of more than 4 GB has a wrong size, or is an RF64
//! or Wave64 file. A recorder that was switched off leaves a size of zero. The demuxer knows none
//! of this. It is shown a header of 44 bytes with a length that means "until the end", and the
//! audio.
//!
//! Sources: Microsoft, "Multiple Channel Audio Data and WAVE Files"; EBU Tech 3306 (RF64); Sony,
//! "Wave64 format".

use std::sync::Arc;

use super::layout::Layout;
use super::signature::Form;
use crate::audio::SAMPLE_RATE_HZ;
use crate::decode::fault::Fault;
use crate::decode::resync::PIECE_BYTES;
use crate::decode::shared_input::SharedInput;
use crate::time::Time;

/// Most chunks that are read before the audio. A handful is usual.
const CHUNKS_MAX: usize = 1_024;

/// Longest format chunk that is read: that of ADPCM has 50 bytes.
const FORMAT_BYTES_MAX: usize = 1_024;

/// Most channels for which the demuxer has names.
const CHANNELS_MAX: u16 = 26;

/// Returns whether programs write this size when they do not know it: zero, all ones (ffmpeg), or a
/// little below 2 GB (SoX).
const fn is_unknown(size: u32) -> bool {
    size == 0 || size >= 0xffff_ff00 || (size & 0xffff_f000) == 0x7fff_f000
}

/// What the chunks before the audio declare.
#[derive(Default)]
struct Header {
    format: Option<Vec<u8>>,
    /// Frames, if a chunk declares them: for compressed audio, whose last block is padded.
    frames: Option<u64>,
    /// The size of the audio in the RF64 header.
    data_len: Option<u64>,
}

/// A chunk: its name, the position and length of its content, and the position of the next chunk.
struct WaveChunk {
    name: [u8; 4],
    at: u64,
    len: u64,
    next: u64,
}

/// Reads the chunks up to the audio.
pub(super) fn layout(input: &Arc<SharedInput>, at: u64, form: Form) -> Result<Layout, Fault> {
    let mut header = Header::default();
    let mut next = at + if form == Form::Wave64 { 40 } else { 12 };
    for _ in 0..CHUNKS_MAX {
        let Some(chunk) = chunk_at(input, next, form)? else {
            break;
        };
        match &chunk.name {
            b"fmt " => {
                let len = usize::try_from(chunk.len).unwrap_or(usize::MAX);
                let mut format = vec![0; len.min(FORMAT_BYTES_MAX)];
                let read = input.read_at(chunk.at, &mut format)?;
                format.truncate(read);
                header.format = Some(format);
            }
            b"fact" if form == Form::Wave64 => {
                header.frames = input.array_at(chunk.at)?.map(u64::from_le_bytes);
            }
            b"fact" => {
                let frames = input.array_at(chunk.at)?.map(u32::from_le_bytes);
                header.frames = frames.filter(|frames| *frames != u32::MAX).map(u64::from);
            }
            b"ds64" => {
                let sizes: Option<[u8; 16]> = input.array_at(chunk.at)?;
                header.data_len = sizes.map(|sizes| {
                    let [.., a, b, c, d, e, f, g, h] = sizes;
                    u64::from_le_bytes([a, b, c, d, e, f, g, h])
                });
            }
            b"data" => return audio(input, &header, &chunk, form),
            _ => {}
        }
        next = chunk.next;
    }
    Err(Fault::Damaged("the audio chunk is missing".into()))
}

fn chunk_at(input: &SharedInput, at: u64, form: Form) -> Result<Option<WaveChunk>, Fault> {
    if form == Form::Wave64 {
        let Some([a, b, c, d]) = input.array_at(at)? else {
            return Ok(None);
        };
        let Some(size) = input.array_at(at + 16)?.map(u64::from_le_bytes) else {
            return Ok(None);
        };
        // Sizes include the 24 bytes of the header, and chunks start at multiples of eight.
        let len = size.saturating_sub(24);
        let next = at.saturating_add(size.max(24)).saturating_add(7) & !7;
        return Ok(Some(WaveChunk {
            name: [a, b, c, d],
            at: at + 24,
            len,
            next,
        }));
    }
    let Some([a, b, c, d, size @ ..]) = input.array_at::<8>(at)? else {
        return Ok(None);
    };
    let len = u64::from(u32::from_le_bytes(size));
    Ok(Some(WaveChunk {
        name: [a, b, c, d],
        at: at + 8,
        len,
        next: at + 8 + len + (len & 1),
    }))
}

/// Shows the audio of a chunk.
fn audio(
    input: &Arc<SharedInput>,
    header: &Header,
    chunk: &WaveChunk,
    form: Form,
) -> Result<Layout, Fault> {
    let format = header.format.as_deref().and_then(WaveFormat::read);
    let format = format.ok_or_else(|| Fault::Damaged("the format chunk is missing".into()))?;
    let data_len = data_len(input, header, chunk, form);
    let mut layout = Layout::plain(input, chunk.at);
    layout.container = match form {
        Form::Riff => None,
        Form::Rf64 => Some("rf64"),
        Form::Wave64 => Some("w64"),
    };
    layout.data_end = data_len.map(|len| chunk.at.saturating_add(len));
    layout.view.end = layout.data_end;
    if format.is_stream() {
        // An MPEG stream in a wave file is shown without the wave file.
        layout.view.piece_bytes = PIECE_BYTES;
        return Ok(layout);
    }
    layout.view.head = format.shown()?;
    let on_disk = input.byte_len().map(|len| len.saturating_sub(chunk.at));
    let blocks = data_len
        .or(on_disk)
        .map(|len| len / u64::from(format.block_bytes));
    if format.is_adpcm() {
        layout.end_ticks = header.frames.filter(|frames| *frames > 0);
    }
    let frames = if format.is_adpcm() {
        layout.end_ticks
    } else {
        blocks
    };
    layout.declared = frames.map(|frames| {
        let rate = u128::from(format.rate_hz.max(1));
        let samples = u128::from(frames) * u128::from(SAMPLE_RATE_HZ) / rate;
        Time::from_samples(u64::try_from(samples).unwrap_or(u64::MAX))
    });
    Ok(layout)
}

/// Returns the length of the audio, or `None` if it extends to the end of the input.
fn data_len(input: &SharedInput, header: &Header, chunk: &WaveChunk, form: Form) -> Option<u64> {
    let Ok(len) = u32::try_from(chunk.len) else {
        return Some(chunk.len);
    };
    if form == Form::Rf64 && len == u32::MAX {
        return header.data_len.filter(|len| *len > 0 && *len < u64::MAX);
    }
    if form == Form::Wave64 {
        return (len > 0).then_some(chunk.len);
    }
    let left = input
        .byte_len()
        .map_or(0, |bytes| bytes.saturating_sub(chunk.at));
    // If more than 4 GB follow, the size is the rest of one that did not fit into 32 bits.
    let wrapped = left > u64::from(u32::MAX);
    (!is_unknown(len) && !wrapped).then_some(chunk.len)
}

/// A format chunk.
struct WaveFormat<'a> {
    tag: u16,
    channels: u16,
    rate_hz: u32,
    block_bytes: u16,
    raw: &'a [u8],
}

/// Tags of the formats. Source: RFC 2361 and Microsoft's mmreg.h.
const PCM: u16 = 1;
const MS_ADPCM: u16 = 2;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const IMA_ADPCM: u16 = 0x11;
const EXTENSIBLE: u16 = 0xfffe;
/// Layers I and II, layer III, and AAC in ADTS: streams with headers of their own.
const STREAMS: [u16; 3] = [0x50, 0x55, 0x1600];

impl<'a> WaveFormat<'a> {
    fn read(raw: &'a [u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_le_bytes([*raw.get(at)?, *raw.get(at + 1)?]));
        let tag = match word(0)? {
            // The tag is at the start of the sub-format.
            EXTENSIBLE => word(24)?,
            tag => tag,
        };
        let (channels, block_bytes) = (word(2)?, word(12)?);
        let rate_hz = u32::from(word(4)?) | u32::from(word(6)?) << 16;
        word(14)?;
        (channels > 0 && block_bytes > 0 && rate_hz > 0).then_some(Self {
            tag,
            channels,
            rate_hz,
            block_bytes,
            raw,
        })
    }

    fn is_stream(&self) -> bool {
        STREAMS.contains(&self.tag)
    }

    fn is_adpcm(&self) -> bool {
        [MS_ADPCM, IMA_ADPCM].contains(&self.tag)
    }

    /// Returns the header that the demuxer is shown.
    fn shown(&self) -> Result<Vec<u8>, Fault> {
        if self.channels > CHANNELS_MAX {
            let what = format!(
                "wave audio of {} channels (at most {CHANNELS_MAX})",
                self.channels
            );
            return Err(Fault::Unsupported(what));
        }
        let format = match self.tag {
            PCM | FLOAT => self.plain(),
            A_LAW | MU_LAW => [self.plain(), vec![0, 0]].concat(),
            MS_ADPCM | IMA_ADPCM => self.raw.to_vec(),
            tag => return Err(Fault::Unsupported(foreign(tag))),
        };
        let unknown = u32::MAX.to_le_bytes();
        let len = u32::try_from(format.len()).unwrap_or(0).to_le_bytes();
        let padding = &[0][..format.len() & 1];
        let parts: [&[u8]; 9] = [
            b"RIFF", &unknown, b"WAVE", b"fmt ", &len, &format, padding, b"data", &unknown,
        ];
        Ok(parts.concat())
    }

    /// Returns the first 16 bytes, which every form has, with the width of a sample in the file.
    /// Programs write 20 or 24 bits there for samples that take 24 or 32.
    fn plain(&self) -> Vec<u8> {
        let mut plain = self.raw[..16].to_vec();
        plain[..2].copy_from_slice(&self.tag.to_le_bytes());
        let bits = (self.block_bytes / self.channels).saturating_mul(8);
        plain[14..].copy_from_slice(&bits.to_le_bytes());
        plain
    }
}

/// Names a format that is not supported.
fn foreign(tag: u16) -> String {
    match tag {
        0x31 => "GSM 6.10 in a wave file".into(),
        0x42 | 0x111 => "G.723 in a wave file".into(),
        0x45 | 0x64 | 0x140 => "G.726 in a wave file".into(),
        0x160..=0x163 => "Windows Media in a wave file".into(),
        0x92 | 0x2000 => "AC-3 in a wave file".into(),
        tag => format!("wave format {tag:#06x}"),
    }
}
