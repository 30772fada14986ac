//! Checks model files: changed copies of the fixture model, and arbitrary bytes. An accepted file
//! has the dimensions that the rest of the program relies on.
//!
//! An input is a list of changes: one byte of length, that many bytes (at most 8), three bytes of
//! position. An input that starts with 0xff is a whole file.

#![no_main]

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use steadyscribe::ModelHeader;
use tempfile::TempDir;

/// A copy of the fixture model that is changed in place and restored.
struct Copy {
    folder: TempDir,
    bytes: Vec<u8>,
}

impl Copy {
    fn path(&self) -> PathBuf {
        self.folder.path().join("model.bin")
    }

    fn get() -> &'static Self {
        static COPY: OnceLock<Copy> = OnceLock::new();
        COPY.get_or_init(|| {
            let fixture = concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../fixtures/model/fixture-q8_0.bin"
            );
            let folder = TempDir::new().expect("a folder for the copy");
            let copy = Self {
                folder,
                bytes: fs::read(fixture).expect("the fixture model"),
            };
            fs::write(copy.path(), &copy.bytes).expect("a copy");
            copy
        })
    }
}

fn check(path: &PathBuf) {
    if let Ok(header) = ModelHeader::read(path) {
        let dimensions = header.dimensions;
        assert!((64..=1_280).contains(&dimensions.n_audio_state));
        assert!((1..=32).contains(&dimensions.n_text_layer));
        assert_eq!(
            (dimensions.n_audio_ctx, dimensions.n_text_ctx),
            (1_500, 448)
        );
    }
}

/// Applies the changes that `input` lists. Returns the ranges to restore afterwards.
fn change(file: &mut File, model: &[u8], mut input: &[u8]) -> Vec<(usize, usize)> {
    let mut changed = Vec::new();
    while let [len, rest @ ..] = input {
        let len = usize::from(*len % 9);
        let Some((new, rest)) = rest.split_at_checked(len) else {
            break;
        };
        let [a, b, c, rest @ ..] = rest else { break };
        input = rest;
        let at =
            (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c)) % (model.len() - 8);
        if new.is_empty() {
            // The file ends here.
            file.set_len(at as u64).expect("a shorter file");
            changed.push((at, model.len()));
        } else {
            file.seek(SeekFrom::Start(at as u64))
                .expect("within the file");
            file.write_all(new).expect("room for a few bytes");
            changed.push((at, (at + len).min(model.len())));
        }
    }
    changed
}

fuzz_target!(|input: &[u8]| {
    let copy = Copy::get();
    let path = copy.path();
    if let [0xff, bytes @ ..] = input {
        let path = copy.folder.path().join("any.bin");
        fs::write(&path, bytes).expect("a small file");
        return check(&path);
    }
    let mut file = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .expect("the copy");
    let changed = change(&mut file, &copy.bytes, input);
    check(&path);
    file.set_len(copy.bytes.len() as u64)
        .expect("the original length");
    for (from, to) in changed {
        file.seek(SeekFrom::Start(from as u64))
            .expect("within the file");
        file.write_all(&copy.bytes[from..to])
            .expect("room for the original bytes");
    }
});
