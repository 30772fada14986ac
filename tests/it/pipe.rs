//! Pipes: inputs that can be read once, at the pace of their writer.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use steadyscribe::engine::{Transcription, from_fn};
use steadyscribe::source::{PipeSource, RawFormat, RawSource, Source};
use steadyscribe::{Config, Ended, InputError, Segment, Time, Transcriber, Vad};

use crate::support::files::{Sample, Wave, index_first, repeat_fragments};
use crate::support::heap::measure;
use crate::support::input::{Decoded as Audio, Pieces, decode_all, fixture};
use crate::support::signal::bursts;

/// A reader that returns at most `step` bytes at a time, and counts them.
struct Drips {
    bytes: io::Cursor<Vec<u8>>,
    step: usize,
    given: Arc<AtomicU64>,
}

impl Read for Drips {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let step = buffer.len().min(self.step);
        let count = self.bytes.read(&mut buffer[..step])?;
        self.given.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn drips(bytes: Vec<u8>, step: usize) -> (PipeSource, Arc<AtomicU64>) {
    let given = Arc::default();
    let reader = Drips {
        bytes: io::Cursor::new(bytes),
        step,
        given: Arc::clone(&given),
    };
    (PipeSource::new("drips", reader), given)
}

fn decode_pipe(bytes: Vec<u8>, step: usize) -> Result<Audio, InputError> {
    decode_all(&mut drips(bytes, step).0)
}

#[test]
fn small_reads_decode_to_the_samples_of_the_file() {
    for file in [
        "mp3-vbr.mp3",
        "aac-index-first.m4a",
        "aac-fragments.mp4",
        "aac-dash.mp4",
        "film-fragments.mp4",
        "film.webm",
        "aac-48khz.aac",
        "flac-16.flac",
        "vorbis.ogg",
        "opus-live.webm",
        "adpcm-ms.wav",
    ] {
        let whole = decode_all(&mut Pieces::file(fixture(file))).unwrap();
        for step in [1, 7, 100_000] {
            let decoded = decode_pipe(fixture(file), step).unwrap();
            assert!(decoded.samples == whole.samples, "{file} by {step}");
            assert_eq!(decoded.stats, whole.stats, "{file} by {step}");
        }
    }
}

#[test]
fn index_behind_the_audio_is_refused_when_the_audio_begins() {
    let mut file = fixture("../meeting.m4a");
    let (source, given) = drips(file.clone(), 4_096);
    let error = decode_all(&mut { source }).err().unwrap();
    assert!(matches!(error, InputError::Unsupported { .. }), "{error:?}");
    assert!(
        error.to_string().contains("-movflags +faststart"),
        "{error}"
    );
    assert!(
        given.load(Ordering::Relaxed) < 64 << 10,
        "{given:?} bytes were read"
    );
    // The remedy works.
    let whole = decode_all(&mut Pieces::file(file.clone())).unwrap();
    file = index_first(&file);
    assert!(decode_pipe(file, 4_096).unwrap().samples == whole.samples);
}

/// T12 for a live stream: no fragment is kept.
#[test]
fn fragments_of_a_pipe_are_not_kept() {
    let file = fixture("aac-fragments.mp4");
    let take = |times| {
        let mut source = Pieces::file(repeat_fragments(&file, times)).piped();
        let mut decoder = steadyscribe::decode::Decoder::open(&mut source).unwrap();
        let (frames, heap) = measure(|| {
            let mut frames = 0;
            while let Some(chunk) = decoder.next().unwrap() {
                frames += chunk.samples.len();
            }
            frames
        });
        (frames, heap.peak_bytes)
    };
    let ((short, short_bytes), (long, long_bytes)) = (take(20), take(400));
    assert!(long > 19 * short, "{short} and {long} frames");
    let more = long_bytes.saturating_sub(short_bytes);
    assert!(more < 16 << 10, "{short_bytes} and {long_bytes} bytes");
}

/// By default ffmpeg counts the positions in fragments from the start of the file.
#[test]
fn positions_from_the_start_of_the_file_are_found() {
    let mut file = fixture("aac-fragments.mp4");
    let headers: Vec<usize> = (4..file.len() - 4)
        .filter(|at| &file[*at..at + 4] == b"tfhd")
        .collect();
    // The last comes first, so that earlier positions stay valid.
    for tfhd in headers.into_iter().rev() {
        let moof = (0..tfhd)
            .rev()
            .find(|at| &file[*at..at + 4] == b"moof")
            .unwrap()
            - 4;
        let traf = (0..tfhd)
            .rev()
            .find(|at| &file[*at..at + 4] == b"traf")
            .unwrap()
            - 4;
        let flags = tfhd + 5..tfhd + 8;
        assert_eq!(
            file[flags.end - 1] & 1,
            0,
            "it counts from the file's start already"
        );
        file[flags.end - 1] |= 1;
        file[flags.start] &= !2;
        for start in [moof, traf, tfhd - 4] {
            let len = u32::from_be_bytes(file[start..start + 4].try_into().unwrap()) + 8;
            file[start..start + 4].copy_from_slice(&len.to_be_bytes());
        }
        let run = tfhd
            + file[tfhd..]
                .windows(4)
                .position(|name| name == b"trun")
                .unwrap();
        let offset = run + 12..run + 16;
        let more = u32::from_be_bytes(file[offset.clone()].try_into().unwrap()) + 8;
        file[offset].copy_from_slice(&more.to_be_bytes());
        file.splice(tfhd + 12..tfhd + 12, [0; 8]);
    }
    let headers: Vec<usize> = (4..file.len() - 4)
        .filter(|at| &file[*at..at + 4] == b"tfhd")
        .collect();
    for tfhd in headers {
        let moof = (0..tfhd)
            .rev()
            .find(|at| &file[*at..at + 4] == b"moof")
            .unwrap()
            - 4;
        file[tfhd + 12..tfhd + 20].copy_from_slice(&(moof as u64).to_be_bytes());
    }
    let whole = decode_all(&mut Pieces::file(fixture("aac-fragments.mp4"))).unwrap();
    assert!(
        decode_all(&mut Pieces::file(file.clone())).unwrap().samples == whole.samples,
        "as a file"
    );
    let decoded = decode_pipe(file, 1_000).unwrap();
    assert!(decoded.samples == whole.samples, "from a pipe");
    assert_eq!(decoded.stats.stopped_early, None);
}

#[test]
fn raw_samples_are_those_of_a_wave_file() {
    let signal = bursts(22_050);
    for (sample, name) in [
        (Sample::U8, "u8"),
        (Sample::S16, "s16"),
        (Sample::S24, "s24"),
        (Sample::S32, "s32"),
        (Sample::F32, "f32"),
        (Sample::F64, "f64"),
        (Sample::ALaw, "alaw"),
        (Sample::MuLaw, "mulaw"),
    ] {
        let wave = Wave {
            sample,
            rate_hz: 22_050,
            channels: 2,
        };
        let expected = decode_all(&mut Pieces::file(wave.riff(&signal)))
            .unwrap()
            .samples;
        let lowest_first = wave.data(&signal);
        let mut highest_first = lowest_first.clone();
        for sample in highest_first.chunks_exact_mut(sample.bytes()) {
            sample.reverse();
        }
        let orders = match sample.bytes() {
            1 => vec![("", &lowest_first)],
            _ => vec![("le", &lowest_first), ("be", &highest_first)],
        };
        for (order, data) in orders {
            let format: RawFormat = format!("{name}{order}:22050:2").parse().unwrap();
            for step in [1, 5, 100_000] {
                let (pipe, _) = drips(data.clone(), step);
                let decoded = decode_all(&mut RawSource::new(pipe, format)).unwrap();
                assert!(decoded.samples == expected, "{format} by {step}");
            }
            let file = Pieces::file(data.clone());
            let decoded = decode_all(&mut RawSource::new(file, format)).unwrap();
            assert!(decoded.samples == expected, "{format} in a file");
            assert_eq!(decoded.info.byte_len, Some(data.len() as u64 + 44));
            assert_eq!(decoded.stats.stopped_early, None);
        }
    }
}

/// ffmpeg writes the lengths of an aiff at the end, which is impossible in a pipe.
#[test]
fn aiff_without_lengths_is_decoded_to_its_end() {
    let wave = Wave::mono(16_000);
    let signal = bursts(16_000);
    let mut file = wave.aiff(&signal);
    let expected = decode_all(&mut Pieces::file(file.clone())).unwrap().samples;
    let sound = file.windows(4).position(|name| name == b"SSND").unwrap();
    let frames = file.windows(4).position(|name| name == b"COMM").unwrap() + 10;
    for at in [4, sound + 4, frames] {
        file[at..at + 4].fill(0);
    }
    let decoded = decode_pipe(file.clone(), 1_000).unwrap();
    assert!(decoded.samples == expected, "{} s", decoded.seconds());
    assert_eq!(decoded.stats.stopped_early, None);
    assert!(decode_all(&mut Pieces::file(file)).unwrap().samples == expected);
}

#[test]
fn half_a_sample_at_the_end_of_raw_samples_is_dropped() {
    for name in ["s16be:16000:1", "s24le:16000:1", "f64be:16000:1"] {
        let format: RawFormat = name.parse().unwrap();
        let decoded =
            decode_all(&mut RawSource::new(drips(vec![0; 4_801], 100).0, format)).unwrap();
        let bytes = name[1..3].parse::<usize>().unwrap() / 8;
        assert_eq!(decoded.samples.len(), 4_801 / bytes, "{name}");
    }
}

/// Writes one word for each window.
fn transcriber() -> Transcriber {
    let engine = from_fn("counts", |window, _| {
        let end = Time::from_samples(window.len() as u64);
        Ok(Transcription::new(vec![Segment::new(
            Time::ZERO,
            end,
            "word",
        )]))
    });
    let mut config = Config::default();
    config.vad = Vad::Off;
    config.window_s = 5.0;
    Transcriber::new(config, engine).unwrap()
}

/// The first segments come before the writer writes the rest.
#[test]
fn text_comes_while_the_writer_waits() {
    struct Hands(std::sync::mpsc::SyncSender<Time>);
    impl steadyscribe::sink::Sink for Hands {
        fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
            self.0.send(segment.end).map_err(io::Error::other)?;
            Ok(true)
        }
    }
    let (reader, mut writer) = io::pipe().unwrap();
    let (hand, taken) = std::sync::mpsc::sync_channel(16);
    let thread = std::thread::spawn(move || {
        let pipe = PipeSource::new("a call", reader);
        let raw = RawSource::new(pipe, "s16le:8000:1".parse().unwrap());
        transcriber().transcribe(raw, &mut Hands(hand)).unwrap()
    });
    // One window and its look-ahead.
    writer.write_all(&vec![1; 16_000 * 7]).unwrap();
    let first = taken.recv().unwrap();
    assert_eq!(first.seconds(), 5.0);
    writer.write_all(&vec![1; 16_000 * 5]).unwrap();
    drop(writer);
    let summary = thread.join().unwrap();
    assert_eq!(summary.audio_s, 12.0);
    assert!(
        summary.waited_s > 0.0 && summary.waited_s < summary.processing_s,
        "{summary:?}"
    );
}

/// Cancels after the writer has written `before`, while it pauses. Returns the summary: the
/// transcription must end although the writer keeps the pipe open.
#[cfg(unix)]
fn cancel_after(before: &[u8]) -> steadyscribe::Summary {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut scribe = transcriber();
    let cancel = scribe.cancel();
    let progress = scribe.progress();
    // Fewer bytes do not show as progress.
    let is_audible = before.len() > 16_000;
    let thread = std::thread::spawn(move || {
        let pipe = PipeSource::from_handle("a call", reader);
        let raw = RawSource::new(pipe, "s16le:8000:1".parse().unwrap());
        scribe.transcribe(raw, &mut Vec::new()).unwrap()
    });
    writer.write_all(before).unwrap();
    while is_audible && progress.decoded() == Time::ZERO && !thread.is_finished() {
        std::thread::yield_now();
    }
    cancel.cancel();
    let summary = thread.join().unwrap();
    drop(writer);
    summary
}

#[cfg(unix)]
#[test]
fn cancel_does_not_wait_for_the_writer() {
    for before in [&[][..], &[0; 20], &[1; 16_000 * 3]] {
        let summary = cancel_after(before);
        assert_eq!(summary.ended, Ended::Cancelled, "{} bytes", before.len());
        assert_eq!(summary.blocks.acquired, summary.blocks.released);
    }
}

#[test]
fn boxed_source_is_a_source() {
    let mut boxed: Box<dyn Source> = Box::new(drips(fixture("opus.ogg"), 100).0);
    assert_eq!(decode_all(&mut boxed).unwrap().info.codec, "opus");
    assert_eq!(boxed.name(), "drips");
}
