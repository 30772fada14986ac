//! Speech to measure with.

use std::path::Path;

use steadyscribe::FileSource;
use steadyscribe::decode::Decoder;
use steadyscribe::internals::Resampler;

/// Decodes a whole file to 16 kHz mono.
pub(crate) fn samples(path: &Path) -> Vec<f32> {
    let mut decoder = Decoder::open(&mut FileSource::open(path).unwrap()).unwrap();
    let (mut resampler, mut all) = (Resampler::new(), Vec::new());
    let mut keep = |samples: &[f32]| all.extend_from_slice(samples);
    while let Some(chunk) = decoder.next().unwrap() {
        resampler.push(chunk.format, chunk.samples, &mut keep);
    }
    resampler.finish(&mut keep);
    all
}
