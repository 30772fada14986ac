//! Checks the check of model files: whisper.cpp can run what it accepts, and anything else is an
//! error before the weights are read.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use steadyscribe::{ModelError, ModelHeader};
use tempfile::TempDir;
use whisper_rs::{WhisperContext, WhisperContextParameters};

const FIXTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);

/// Most bytes that a check may read of the fixture's 10.5 MB: its vocabulary, its filters, and a
/// buffer for each tensor.
const READ_BYTES_MAX: u64 = 3_000_000;

/// Random numbers that are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// A copy of the fixture model, with the positions of everything but the weights.
struct Copy {
    dir: TempDir,
    bytes: Vec<u8>,
    /// Start of every tensor's header, and the end of its name.
    tensor_headers: Vec<(usize, usize)>,
    mel_start: usize,
    spellings_start: usize,
}

impl Copy {
    fn make() -> Self {
        let bytes = fixture_bytes();
        let number = |at: usize| {
            usize::try_from(i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap()
        };
        let mel_start = 48;
        let spellings_start = mel_start + 8 + number(48) * number(52) * 4;
        let mut at = spellings_start + 4;
        for _ in 0..number(spellings_start) {
            at += 4 + number(at);
        }
        let mut tensor_headers = Vec::new();
        while at < bytes.len() {
            let (extents, name_bytes) = (number(at), number(at + 4));
            let elements: usize = (0..extents).map(|i| number(at + 12 + 4 * i)).product();
            let data = at + 12 + 4 * extents + name_bytes;
            let data_bytes = match number(at + 8) {
                0 => elements * 4,
                1 => elements * 2,
                8 => elements / 32 * 34,
                other => panic!("the fixture has no tensors of type {other}"),
            };
            tensor_headers.push((at, data));
            at = data + data_bytes;
        }
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("model.bin"), &bytes).unwrap();
        Self {
            dir,
            bytes,
            tensor_headers,
            mel_start,
            spellings_start,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("model.bin")
    }

    /// Returns the start of a tensor's header and the end of its name.
    fn tensor_header(&self, name: &str) -> (usize, usize) {
        let named =
            |(start, data): &&(usize, usize)| self.bytes[*start..*data].ends_with(name.as_bytes());
        *self.tensor_headers.iter().find(named).unwrap()
    }

    /// Overwrites one byte, calls `check`, and restores the file.
    fn with_byte<T>(&self, at: usize, byte: u8, check: impl FnOnce(&Path) -> T) -> T {
        let mut file = File::options().write(true).open(self.path()).unwrap();
        let mut put = |byte: u8| {
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&[byte]).unwrap();
        };
        put(byte);
        let answer = check(&self.path());
        put(self.bytes[at]);
        answer
    }
}

#[expect(clippy::disallowed_methods, reason = "a fixture of known size")]
fn fixture_bytes() -> Vec<u8> {
    fs::read(FIXTURE).unwrap()
}

fn check(path: &Path) -> Result<ModelHeader, ModelError> {
    let before = bytes_read();
    let answer = ModelHeader::read(path);
    if let Some((before, after)) = before.zip(bytes_read()) {
        let read = after - before;
        assert!(read <= READ_BYTES_MAX, "the check read {read} bytes");
    }
    answer
}

/// Returns how many bytes this thread has read so far, where the system counts them.
fn bytes_read() -> Option<u64> {
    let counts = fs::read_to_string("/proc/thread-self/io").ok()?;
    let count = counts
        .lines()
        .find_map(|line| line.strip_prefix("rchar:"))?;
    count.trim().parse().ok()
}

/// Checks a file of these bytes.
fn check_bytes(bytes: &[u8]) -> Result<ModelHeader, ModelError> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("model.bin");
    fs::write(&path, bytes).unwrap();
    check(&path)
}

#[test]
fn the_fixture_is_accepted_and_described() {
    let header = check(FIXTURE.as_ref()).unwrap();
    let d = &header.dimensions;
    assert_eq!(
        (d.n_vocab, d.n_audio_ctx, d.n_text_ctx, d.n_mels),
        (51_864, 1_500, 448, 80)
    );
    assert_eq!(
        (d.n_audio_state, d.n_audio_head, d.n_audio_layer),
        (128, 2, 4)
    );
    assert_eq!((d.n_text_state, d.n_text_head, d.n_text_layer), (128, 2, 3));
    assert_eq!((header.ftype, header.quantization()), (2_007, "q8_0"));
    assert_eq!(header.file_bytes, 10_528_758);
    assert!(!header.is_multilingual());
    assert_eq!(
        header.to_string(),
        "custom q8_0, 128 wide, 4 + 3 layers, English, 11 MB"
    );
}

#[test]
fn other_files_are_distinguished_from_models() {
    let a_zip = b"PK\x03\x04\x00\x00\x08\x08data";
    for (bytes, what) in [
        (&b""[..], "is empty"),
        (b"lmg", "is empty"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (a_zip, "zip archive"),
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "starts with other bytes"),
    ] {
        let error = check_bytes(bytes).unwrap_err();
        assert!(matches!(error, ModelError::NotAModel { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        assert!(error.to_string().contains("ggml-base.en.bin"), "{error}");
    }
    let error = check(env!("CARGO_MANIFEST_DIR").as_ref()).unwrap_err();
    assert!(error.to_string().contains("is a directory"), "{error}");
    let error = check("no such file.bin".as_ref()).unwrap_err();
    assert!(matches!(error, ModelError::Unreadable { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_refused_without_waiting_for_its_writer() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let error = check(&path).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

#[test]
fn random_bytes_are_refused() {
    let mut random = Random(1);
    for length in [4, 5, 47, 48, 100, 5_000, 100_000] {
        let mut bytes: Vec<u8> = (0..length)
            .map(|_| u8::try_from(random.below(256)).unwrap())
            .collect();
        check_bytes(&bytes).unwrap_err();
        bytes[..4].copy_from_slice(b"lmgg");
        check_bytes(&bytes).unwrap_err();
    }
}

#[test]
fn dimensions_outside_whispers_are_refused_by_name() {
    let bytes = fixture_bytes();
    let fields = [
        "n_vocab",
        "n_audio_ctx",
        "n_audio_state",
        "n_audio_head",
        "n_audio_layer",
        "n_text_ctx",
        "n_text_state",
        "n_text_head",
        "n_text_layer",
        "n_mels",
        "ftype",
    ];
    for (field, name) in fields.iter().enumerate() {
        for value in [i32::MIN, -1, 0, 51_867, 65_536, i32::MAX] {
            let mut bytes = bytes.clone();
            bytes[4 + 4 * field..][..4].copy_from_slice(&value.to_le_bytes());
            let error = check_bytes(&bytes).unwrap_err();
            let ModelError::Unsupported { what, asked, .. } = &error else {
                panic!("{name} = {value}: {error}")
            };
            assert_eq!((what, *asked), (name, i64::from(value)), "{error}");
        }
    }
}

/// All-f32 models load, and end the process at the first window: im2col of the linked version
/// requires f16 kernels.
#[test]
fn models_in_f32_are_refused() {
    let mut bytes = fixture_bytes();
    bytes[44..48].copy_from_slice(&0_i32.to_le_bytes());
    let error = check_bytes(&bytes).unwrap_err().to_string();
    assert!(
        error.contains("ftype is 0, expected 1 (f16), 2002 (q4_0)"),
        "{error}"
    );
}

#[test]
fn a_damaged_mel_filter_is_refused() {
    let mut bytes = fixture_bytes();
    for value in [f32::NAN, f32::INFINITY, -0.5, 1e30] {
        bytes[60..64].copy_from_slice(&value.to_le_bytes());
        let error = check_bytes(&bytes).unwrap_err();
        assert!(
            matches!(error, ModelError::Damaged { at_byte: 64, .. }),
            "{error}"
        );
    }
}

#[test]
fn absurd_counts_allocate_nothing() {
    let copy = Copy::make();
    let (tensor, _) = copy.tensor_headers[7];
    let (filters, spellings) = (copy.mel_start, copy.spellings_start);
    for at in [
        filters,
        filters + 4,
        spellings,
        spellings + 4,
        tensor,
        tensor + 4,
        tensor + 12,
    ] {
        for value in [i32::MIN, -1, 0x0fff_ffff, i32::MAX] {
            let mut bytes = copy.bytes.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let error = check_bytes(&bytes).unwrap_err();
            assert!(
                matches!(error, ModelError::Damaged { .. }),
                "byte {at} = {value}: {error}"
            );
        }
    }
}

#[test]
fn a_truncated_model_is_refused_with_both_sizes() {
    let copy = Copy::make();
    let full = copy.bytes.len();
    let file = File::options().write(true).open(copy.path()).unwrap();
    // From the end, because the file is only shortened.
    let mut cuts: Vec<usize> = (1..100).map(|percent| full * percent / 100).collect();
    cuts.extend(
        copy.tensor_headers
            .iter()
            .flat_map(|(start, data)| [*start, start + 5, *data]),
    );
    cuts.extend([
        full - 1,
        full - 13,
        4,
        40,
        47,
        48,
        60,
        copy.spellings_start + 2,
    ]);
    cuts.sort_unstable();
    for cut in cuts.into_iter().rev() {
        file.set_len(cut as u64).unwrap();
        let error = check(&copy.path()).unwrap_err();
        let ModelError::Truncated {
            bytes,
            needed_bytes,
            ..
        } = error
        else {
            panic!("cut at {cut}: {error}")
        };
        assert_eq!(bytes, cut as u64);
        assert!(
            needed_bytes > bytes && needed_bytes <= full as u64,
            "cut at {cut}: {needed_bytes}"
        );
    }
}

#[test]
fn bytes_behind_the_last_tensor_are_refused() {
    let mut bytes = fixture_bytes();
    bytes.push(0);
    check_bytes(&bytes).unwrap_err();
    bytes.extend([0; 4_096]);
    check_bytes(&bytes).unwrap_err();
}

/// whisper.cpp counts tensors and does not check that each is present.
#[test]
fn a_doubled_tensor_in_place_of_another_is_refused() {
    let copy = Copy::make();
    let from = copy.tensor_header("encoder.blocks.0.attn.value.weight");
    let to = copy.tensor_header("encoder.blocks.1.attn.value.weight");
    let mut bytes = copy.bytes.clone();
    bytes.copy_within(from.0..from.1, to.0);
    let error = check_bytes(&bytes).unwrap_err().to_string();
    assert!(
        error.contains("unexpected tensor \"encoder.blocks.0.attn.value.weight\""),
        "{error}"
    );
}

#[test]
fn the_fingerprint_is_of_the_contents() {
    let copy = Copy::make();
    let same = check(&copy.path()).unwrap();
    let fixture = check(FIXTURE.as_ref()).unwrap();
    assert_eq!(same.fingerprint, fixture.fingerprint);
    // The first number of a tensor changes when the same model is trained again.
    let (_, data) = copy.tensor_headers[20];
    let other = copy.with_byte(data + 3, copy.bytes[data + 3] ^ 1, |path| {
        check(path).unwrap()
    });
    assert_ne!(other.fingerprint, fixture.fingerprint);
    assert_ne!(
        other.fingerprint.to_string(),
        fixture.fingerprint.to_string()
    );
}

/// A bad model that is not checked ends the process: the tests above rely on it.
#[test]
fn an_unchecked_model_ends_the_process() {
    let copy = Copy::make();
    assert!(run_in_child(&copy.path()));
    // An unknown number format: GGML_ASSERT in ggml_ftype_to_ggml_type.
    assert!(!copy.with_byte(44, 5, run_in_child));
}

/// Runs a window of silence and a few tokens through a model, in a process of its own.
fn run_in_child(model: &Path) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "model_header::child", "--ignored", "--nocapture"])
        .env("STEADYSCRIBE_TEST_MODEL", model)
        .output()
        .unwrap();
    output.status.success() && String::from_utf8_lossy(&output.stdout).contains("the model runs")
}

#[test]
#[ignore = "started by other tests with a model"]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn child() {
    let Ok(model) = std::env::var("STEADYSCRIBE_TEST_MODEL") else {
        return;
    };
    let context =
        WhisperContext::new_with_params(&model, WhisperContextParameters::default()).unwrap();
    let mut state = context.create_state().unwrap();
    state.pcm_to_mel(&vec![0.0; 480_000], 1).unwrap();
    state.encode(0, 1).unwrap();
    for token in 0..8 {
        state
            .decode(&[context.token_sot()], usize::try_from(token).unwrap(), 1)
            .unwrap();
        assert_eq!(state.get_logits().unwrap().len(), 51_864);
    }
    println!("the model runs");
}

mod slow {
    use super::*;

    /// Whichever single byte of a model is wrong, the check returns; and a model that it accepts
    /// runs in whisper.cpp. Models run in a process of their own, so that an abort is noticed.
    #[test]
    #[ignore = "slow: make test-all"]
    fn accepted_mutations_can_be_run() {
        const MUTATIONS: usize = 1_500;
        const RUN: usize = 12;
        let copy = Copy::make();
        let mut random = Random(7);
        let mut accepted = Vec::new();
        for _ in 0..MUTATIONS {
            let end = copy.tensor_headers[0].0;
            let at = if random.below(4) == 0 {
                let (start, data) = copy.tensor_headers[random.below(copy.tensor_headers.len())];
                start + random.below(data - start)
            } else {
                random.below(end)
            };
            let byte = copy.bytes[at] ^ u8::try_from(1 + random.below(255)).unwrap();
            if copy.with_byte(at, byte, |path| check(path).is_ok()) {
                accepted.push((at, byte));
            }
        }
        assert!(
            accepted.len() > MUTATIONS / 10,
            "only {} accepted",
            accepted.len()
        );
        let (filters, spellings): (Vec<_>, Vec<_>) = accepted
            .into_iter()
            .partition(|(at, _)| *at < copy.spellings_start);
        for (at, byte) in filters
            .iter()
            .take(RUN / 2)
            .chain(spellings.iter().take(RUN / 2))
        {
            let ran = copy.with_byte(*at, *byte, run_in_child);
            assert!(
                ran,
                "whisper.cpp cannot run the model with byte {at} = {byte}"
            );
        }
    }

    /// Flips every bit of the dimensions, and of the headers of a matrix, a vector and a kernel,
    /// one at a time.
    #[test]
    #[ignore = "slow: make test-all"]
    fn no_flipped_bit_in_dimensions_or_tensor_headers_is_accepted() {
        let copy = Copy::make();
        let headers = [
            "encoder.conv1.weight",
            "decoder.ln.bias",
            "decoder.blocks.2.mlp.0.weight",
        ];
        let headers = headers.into_iter().flat_map(|name| {
            let (start, data) = copy.tensor_header(name);
            start..data
        });
        for at in (0..copy.mel_start + 8).chain(headers) {
            for bit in 0..8 {
                let answer = copy.with_byte(at, copy.bytes[at] ^ 1 << bit, check);
                assert!(answer.is_err(), "bit {bit} of byte {at}");
            }
        }
    }
}
