//! Opening: which way of reading an input works, and what its failure means for the caller.

use std::sync::Arc;

use super::MediaInfo;
use super::codec::{Codec, Fault};
use super::container::Container;
use super::input::Handle;
use crate::audio::{Format, INPUT_CHANNELS_MAX, INPUT_RATE_HZ_MAX, INPUT_RATE_HZ_MIN};
use crate::error::InputError;
use crate::source::{Access, Input, Source};

/// What makes an unsupported input readable.
const REMEDY: &str = "convert it first: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav";

/// What makes an mp4 readable whose index comes too late.
const INDEX_REMEDY: &str = "give the file itself, or have the index written first: \
                            ffmpeg -i INPUT -c copy -movflags +faststart OUTPUT";

/// The reason for an empty file: most often a recording that was never saved.
const EMPTY: &str = "the file is empty (0 bytes); check that the recording was saved";

/// An input whose headers are read.
pub(super) struct Opened {
    pub(super) info: MediaInfo,
    pub(super) container: Container,
    pub(super) codec: Codec,
    pub(super) input: Arc<Handle>,
}

/// Opens an input, and once more forward if it cannot be read with seeking: where its end is damaged, a demuxer that
/// may seek looks there and gives up.
pub(super) fn forward_if_need_be<T>(
    source: &mut dyn Source,
    open: fn(&mut dyn Source, Access) -> Result<T, InputError>,
) -> Result<T, InputError> {
    open(source, Access::Seek).or_else(|error| open(source, Access::Forward).map_err(|_| error))
}

/// Reads an input's headers.
pub(super) fn headers(source: &mut dyn Source, access: Access) -> Result<Opened, InputError> {
    let Input::Encoded(bytes) = source.open(access)?;
    let byte_len = bytes.byte_len();
    if byte_len == Some(0) {
        return Err(InputError::Undecodable {
            name: source.name(),
            reason: EMPTY.into(),
        });
    }
    let input = Handle::new(bytes, access == Access::Seek);
    let (container, codec) =
        Container::open(&input).map_err(|fault| explain(source.name(), &input, fault))?;
    let params = codec.params();
    let info = MediaInfo {
        container: container.name(),
        codec: codec.name(),
        format: Format {
            rate_hz: params.sample_rate.unwrap_or(0),
            channels: params
                .channels
                .as_ref()
                .map_or(0, |channels| channels.count()),
        },
        duration: container.declared,
        byte_len,
    };
    Ok(Opened {
        info,
        container,
        codec,
        input,
    })
}

/// Says what a fault means for the caller.
pub(super) fn explain(name: String, input: &Handle, fault: Fault) -> InputError {
    if let Some(source) = input.take_error() {
        return InputError::Unreadable { name, source };
    }
    match fault {
        Fault::Unsupported(what) => InputError::Unsupported {
            name,
            what,
            remedy: REMEDY,
        },
        Fault::IndexLast => InputError::Unsupported {
            name,
            what: "an mp4 from a pipe whose index (moov) stands behind its audio".into(),
            remedy: INDEX_REMEDY,
        },
        fault => InputError::Undecodable {
            name,
            reason: fault.to_string(),
        },
    }
}

/// Checks that a format is one that the resampler takes.
pub(super) fn check(format: Format) -> Result<(), Fault> {
    let Format { rate_hz, channels } = format;
    if !(INPUT_RATE_HZ_MIN..=INPUT_RATE_HZ_MAX).contains(&rate_hz) {
        let range = format!("not {INPUT_RATE_HZ_MIN} to {INPUT_RATE_HZ_MAX}");
        return Err(Fault::Unsupported(format!(
            "a sample rate of {rate_hz} Hz ({range})"
        )));
    }
    if !(1..=INPUT_CHANNELS_MAX).contains(&channels) {
        let range = format!("not 1 to {INPUT_CHANNELS_MAX}");
        return Err(Fault::Unsupported(format!(
            "audio of {channels} channels ({range})"
        )));
    }
    Ok(())
}
