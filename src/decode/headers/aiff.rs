//! AIFF and AIFF-C: the demuxer is shown the format chunk and the audio alone.
//!
//! It would read texts and pictures of any length. If it may seek, it looks for chunks behind the
//! audio, and fails if those are cut off.
//!
//! Source: Apple, "Audio Interchange File Format", version 1.3, and "AIFF-C".

use std::sync::Arc;

use super::layout::Layout;
use crate::audio::INPUT_CHANNELS_MAX;
use crate::decode::fault::Fault;
use crate::decode::shared_input::SharedInput;

/// Most chunks that are read. A dozen is usual.
const CHUNKS_MAX: usize = 1_024;

/// Longest format chunk: 22 bytes and the name of the compression, at most 255.
const FORMAT_BYTES_MAX: u32 = 512;

/// Shortest format chunk with its header: channels, frames, bits per sample, rate.
const FORMAT_BYTES_MIN: usize = 26;

/// Bytes of a chunk's header, and bytes between the header of the audio chunk and its audio.
const HEADER: u64 = 8;
const AUDIO_HEADER: u32 = 8;

/// Longest audio that is shown: a form can hold as much beside its format.
const AUDIO_BYTES_MAX: u32 = u32::MAX - 4_096;

/// Reads the chunks.
pub(super) fn layout(input: &Arc<SharedInput>, at: u64) -> Result<Layout, Fault> {
    let form: Option<[u8; 12]> = input.array_at(at)?;
    let Some([_, _, _, _, _, _, _, _, form @ ..]) = form else {
        return Err(Fault::CutOff);
    };
    let (mut format, mut audio) = (None, None);
    let mut next = at + 12;
    for _ in 0..CHUNKS_MAX {
        let Some([a, b, c, d, len @ ..]) = input.array_at::<8>(next)? else {
            break;
        };
        let len = u32::from_be_bytes(len);
        match &[a, b, c, d] {
            b"COMM" if len <= FORMAT_BYTES_MAX => format = Some(chunk(input, next, len)?),
            b"SSND" => audio = Some((next, len)),
            _ => {}
        }
        // If the input cannot seek, chunks behind the audio cannot be read before it.
        if audio.is_some() && (format.is_some() || !input.is_seekable()) {
            break;
        }
        next += HEADER + u64::from(len) + u64::from(len & 1);
    }
    let (Some(format), Some((audio, len))) = (format, audio) else {
        return Err(Fault::Damaged(
            "the chunk of its format or of its audio is missing".into(),
        ));
    };
    check(&format)?;
    let mut header = chunk(input, audio, AUDIO_HEADER)?;
    // Programs that write to a pipe, and recorders that lose power, leave the length at zero. Then
    // the audio extends to the end.
    let is_declared = (AUDIO_HEADER..u32::MAX).contains(&len);
    let shown = if is_declared { len } else { AUDIO_BYTES_MAX };
    header[4..8].copy_from_slice(&shown.min(AUDIO_BYTES_MAX).to_be_bytes());
    let mut layout = Layout::plain(input, audio + HEADER + u64::from(AUDIO_HEADER));
    layout.data_end = is_declared.then(|| audio + HEADER + u64::from(len));
    layout.view.end = layout.data_end;
    layout.view.seekable = false;
    layout.view.head = [
        b"FORM",
        &u32::MAX.to_be_bytes()[..],
        &form,
        &format,
        &header,
    ]
    .concat();
    Ok(layout)
}

/// Refuses formats whose numbers the demuxer cannot take: it multiplies the channels by the width
/// of a sample in 16 bits.
fn check(format: &[u8]) -> Result<(), Fault> {
    if format.len() < FORMAT_BYTES_MIN {
        return Err(Fault::Damaged("its format chunk is too short".into()));
    }
    let channels = u16::from_be_bytes([format[8], format[9]]).into();
    if !(1..=INPUT_CHANNELS_MAX).contains(&channels) {
        let range = format!("not 1 to {INPUT_CHANNELS_MAX}");
        return Err(Fault::Unsupported(format!(
            "aiff audio of {channels} channels ({range})"
        )));
    }
    Ok(())
}

/// Reads `len` bytes of a chunk with its header, padded to an even length.
fn chunk(input: &SharedInput, at: u64, len: u32) -> Result<Vec<u8>, Fault> {
    let len = HEADER + u64::from(len) + u64::from(len & 1);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    if input.read_at(at, &mut bytes)? < bytes.len() {
        return Err(Fault::CutOff);
    }
    Ok(bytes)
}
