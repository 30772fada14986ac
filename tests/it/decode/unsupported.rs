//! Errors name the format that is not supported, and a remedy.

use steadyscribe::InputError;

use crate::support::input::{Pieces, decode_all, fixture};

fn check(bytes: &[u8], named: &str, advice: &str) {
    for input in [Pieces::file(bytes), Pieces::file(bytes).piped()] {
        match decode_all(&mut { input }) {
            Err(InputError::Unsupported { what, remedy, .. }) => {
                assert!(what.contains(named), "{what:?} does not name {named}");
                assert!(remedy.contains(advice), "{remedy}");
            }
            Err(error) => panic!("{named}: {error}"),
            Ok(_) => panic!("{named} was decoded"),
        }
    }
}

#[test]
fn codec_is_named() {
    for (file, named) in [
        ("unsupported-ac3.ac3", "AC-3"),
        ("unsupported-ac3.mkv", "AC-3"),
        ("unsupported-wma.wma", "WMA"),
        ("unsupported-aac-51.aac", "AAC of 6 channels"),
        ("unsupported-opus-51.opus", "Opus of 6 channels"),
        ("unsupported-speex.ogg", "Speex"),
        ("unsupported-wavpack.wv", "WavPack"),
        ("unsupported-mulaw.au", "Sun audio"),
    ] {
        check(&fixture(file), named, "ffmpeg -i");
    }
}

#[test]
fn codec_in_mp4_is_named() {
    for (file, named) in [
        ("unsupported-ac3.mp4", "AC-3"),
        ("unsupported-aac-51.m4a", "AAC of 6 channels"),
    ] {
        let error = decode_all(&mut Pieces::file(fixture(file)))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains(named) && error.contains("convert it first"),
            "{file}: {error}"
        );
    }
}

#[test]
fn other_kinds_of_file_are_named() {
    for (head, named) in [
        (&b"caff\x00\x01\x00\x00desc"[..], "CAF"),
        (b"RIFF\x00\x10\x00\x00AVI LIST", "AVI"),
        (b"#!AMR-WB\n", "AMR"),
    ] {
        check(&[head, &[0; 4_000]].concat(), named, "ffmpeg -i");
    }
    for (head, named) in [(&b"%PDF-1.7"[..], "PDF"), (b"\x89PNG\r\n\x1a\n", "picture")] {
        check(&[head, &[0; 4_000]].concat(), named, "choose a file");
    }
}

#[test]
fn wave_format_is_named() {
    use crate::support::files::Wave;
    let mut file = Wave::mono(8_000).riff(&[0.0; 800]);
    file[20..22].copy_from_slice(&0x31_u16.to_le_bytes());
    check(&file, "GSM 6.10", "ffmpeg -i");
    file[20..22].copy_from_slice(&0x1234_u16.to_le_bytes());
    check(&file, "wave format 0x1234", "ffmpeg -i");
}

#[test]
fn nothing_to_decode_is_an_error() {
    for bytes in [
        &b""[..],
        b"R",
        b"RIFF",
        b"this is a text and not a recording, whatever its name says",
        &[0; 10_000],
        b"OggS",
        b"fLaC",
        b"\x1a\x45\xdf\xa3",
        b"\x00\x00\x00\x18ftypM4A ",
        b"FORM\x00\x00\x00\x04AIFF",
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f",
    ] {
        for input in [Pieces::file(bytes), Pieces::file(bytes).piped()] {
            let error = decode_all(&mut { input }).err();
            let shown = String::from_utf8_lossy(bytes).into_owned();
            assert!(
                matches!(
                    error,
                    Some(InputError::Undecodable { .. } | InputError::Unsupported { .. })
                ),
                "{shown:?}: {error:?}"
            );
        }
    }
}

#[test]
fn empty_input_is_named() {
    let file = Pieces::file(&b""[..]);
    for (mut input, expected) in [
        (file.clone(), "the file is empty (0 bytes)"),
        (file.piped(), "the pipe ended before its first byte"),
    ] {
        let error = decode_all(&mut input).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn format_outside_the_limits_is_unsupported() {
    use crate::support::files::{Sample, Wave};
    for (rate_hz, channels, named) in [
        (3_999, 1, "3999 Hz"),
        (384_001, 1, "384001 Hz"),
        (16_000, 33, "33 channels"),
    ] {
        let wave = Wave {
            sample: Sample::U8,
            rate_hz,
            channels,
        };
        let error = decode_all(&mut Pieces::file(wave.riff(&[0.0; 4_000])))
            .err()
            .unwrap();
        assert!(matches!(error, InputError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}
