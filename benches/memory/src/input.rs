//! Recordings of any length, made of a fixture scene that is repeated.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use steadyscribe::FileSource;
use steadyscribe::decode::Decoder;

const SCENE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/meeting.m4a");

const RATE_HZ: u32 = 48_000;

/// Six minutes of a meeting, 48 kHz stereo.
pub(crate) struct Scene(Vec<[i16; 2]>);

impl Scene {
    pub(crate) fn read() -> Self {
        let mut decoder = Decoder::open(&mut FileSource::open(SCENE).unwrap()).unwrap();
        let mut frames = Vec::new();
        let sample = |x: f32| (x.clamp(-1.0, 1.0) * 32_767.0) as i16;
        while let Some(chunk) = decoder.next().unwrap() {
            assert_eq!((chunk.format.rate_hz, chunk.format.channels), (RATE_HZ, 2));
            let pairs = chunk.samples.chunks_exact(2);
            frames.extend(pairs.map(|pair| [sample(pair[0]), sample(pair[1])]));
        }
        Self(frames)
    }

    /// Writes a wave file of 16 bits; of one channel, it is the mean of both.
    pub(crate) fn write(&self, path: &Path, minutes: u32, channels: u16) {
        let frames = minutes * 60 * RATE_HZ;
        let frame_bytes = u32::from(channels) * 2;
        let data_bytes = frames * frame_bytes;
        let header = [
            b"RIFF",
            &(36 + data_bytes).to_le_bytes()[..],
            b"WAVEfmt \x10\x00\x00\x00\x01\x00",
            &channels.to_le_bytes(),
            &RATE_HZ.to_le_bytes(),
            &(RATE_HZ * frame_bytes).to_le_bytes(),
            &[frame_bytes as u8, 0, 16, 0],
            b"data",
            &data_bytes.to_le_bytes(),
        ];
        let mut file = BufWriter::new(File::create(path).unwrap());
        file.write_all(&header.concat()).unwrap();
        for [left, right] in self.0.iter().cycle().take(frames as usize) {
            if channels == 1 {
                let mean = ((i32::from(*left) + i32::from(*right)) / 2) as i16;
                file.write_all(&mean.to_le_bytes()).unwrap();
            } else {
                file.write_all(&left.to_le_bytes()).unwrap();
                file.write_all(&right.to_le_bytes()).unwrap();
            }
        }
        file.flush().unwrap();
    }
}
