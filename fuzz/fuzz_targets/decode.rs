//! Opens and decodes any bytes, as a file and as a pipe. It finds panics of ours, endless runs, and
//! unbounded memory (by libFuzzer's limits on time and on single allocations).

#![no_main]

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use steadyscribe::InputError;
use steadyscribe::decode::Decoder;
use steadyscribe::source::{Access, Bytes, Input, Source};

/// Seconds of decoded audio after which a run ends: few bytes may decode to a long stream.
const DECODED_S_MAX: f64 = 600.0;

struct Sample<'a> {
    bytes: &'a [u8],
    seekable: bool,
}

impl Source for Sample<'_> {
    fn name(&self) -> String {
        "sample".into()
    }

    fn open(&mut self, _access: Access) -> Result<Input, InputError> {
        let bytes = Cursor::new(self.bytes.to_vec());
        let seekable = self.seekable;
        Ok(Input::Encoded(Box::new(Reader { bytes, seekable })))
    }
}

struct Reader {
    bytes: Cursor<Vec<u8>>,
    seekable: bool,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        assert!(self.seekable, "seek was called on a pipe");
        self.bytes.seek(to)
    }
}

impl Bytes for Reader {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.seekable.then(|| self.bytes.get_ref().len() as u64)
    }
}

/// Ignores panics of dependencies on damaged data, which the library catches and counts as damage.
/// Its own panics are findings.
fn forgive_dependencies() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let finding = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let file = panic.location().map_or("", |at| at.file());
            if !file.contains("symphonia") {
                finding(panic);
            }
        }));
    });
}

fuzz_target!(|bytes: &[u8]| {
    forgive_dependencies();
    for seekable in [true, false] {
        let Ok(mut decoder) = Decoder::open(&mut Sample { bytes, seekable }) else {
            continue;
        };
        let mut decoded_s = 0.0;
        while let Ok(Some(chunk)) = decoder.next() {
            let frames = chunk.samples.len() / chunk.format.channels;
            assert_eq!(frames * chunk.format.channels, chunk.samples.len());
            decoded_s += frames as f64 / f64::from(chunk.format.rate_hz);
            if decoded_s > DECODED_S_MAX {
                break;
            }
        }
        assert!(decoder.stats().damage.is_sorted_by_key(|span| span.start));
    }
});
