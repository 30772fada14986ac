//! All samples of a file, interleaved.

use std::fs::File;
use std::path::Path;

use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::{CODEC_TYPE_NULL, DecoderOptions};
use symphonia::core::formats::FormatOptions;
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::probe::Hint;
use symphonia::default::{get_codecs, get_probe};

/// A whole file.
pub(super) struct Decoded {
    pub(super) samples: Vec<f32>,
    pub(super) rate_hz: u32,
    pub(super) channels: usize,
}

pub(super) fn decode(path: &Path) -> Decoded {
    let file = Box::new(File::open(path).unwrap());
    let stream = MediaSourceStream::new(file, MediaSourceStreamOptions::default());
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
        hint.with_extension(extension);
    }
    let (formats, metadata) = (FormatOptions::default(), MetadataOptions::default());
    let probed = get_probe().format(&hint, stream, &formats, &metadata);
    let mut format = probed.unwrap().format;
    let tracks = format.tracks();
    let track = tracks
        .iter()
        .find(|track| track.codec_params.codec != CODEC_TYPE_NULL)
        .unwrap();
    let track_id = track.id;
    let options = DecoderOptions::default();
    let mut decoder = get_codecs().make(&track.codec_params, &options).unwrap();
    // Grows by doubling.
    let mut decoded = Decoded {
        samples: Vec::new(),
        rate_hz: 0,
        channels: 0,
    };
    while let Ok(packet) = format.next_packet() {
        if packet.track_id() != track_id {
            continue;
        }
        let Ok(audio) = decoder.decode(&packet) else {
            continue;
        };
        let spec = *audio.spec();
        decoded.rate_hz = spec.rate;
        decoded.channels = spec.channels.count();
        let mut buffer = SampleBuffer::<f32>::new(audio.capacity() as u64, spec);
        buffer.copy_interleaved_ref(audio);
        decoded.samples.extend_from_slice(buffer.samples());
    }
    decoded
}
