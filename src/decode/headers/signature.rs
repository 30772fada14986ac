//! Recognizes formats by their first bytes, and names those that are not supported.

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Wave audio in one of its three forms.
    Wave(Form),
    /// AIFF and AIFF-C.
    Aiff,
    /// Native FLAC.
    Flac,
    /// The ISO base media format: mp4, m4a, mov, 3gp.
    Mp4,
    /// Matroska and WebM.
    Matroska,
    /// Ogg.
    Ogg,
    /// Known, and not supported.
    Unsupported(&'static str),
    /// Known, and without audio.
    NotAudio(&'static str),
    /// Not recognized here: perhaps MPEG audio or AAC, which the demuxer finds out.
    Other,
}

/// How a wave file counts its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// RIFF: sizes of 32 bits.
    Riff,
    /// RF64 and BW64: RIFF with sizes of 64 bits in an extra chunk.
    Rf64,
    /// Sony Wave64: names of 16 bytes, sizes of 64 bits.
    Wave64,
}

/// Positions, the bytes there, and the format that they mean.
const SIGNATURES: &[(usize, &[u8], Kind)] = &[
    (8, b"WAVE", Kind::Wave(Form::Riff)),
    (8, b"AIFF", Kind::Aiff),
    (8, b"AIFC", Kind::Aiff),
    (0, b"fLaC", Kind::Flac),
    (4, b"ftyp", Kind::Mp4),
    (0, b"\x1a\x45\xdf\xa3", Kind::Matroska),
    (28, b"Speex   ", Kind::Unsupported("Speex")),
    (0, b"OggS", Kind::Ogg),
    (
        0,
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
        Kind::Unsupported("Windows Media (WMA, ASF)"),
    ),
    (0, b"wvpk", Kind::Unsupported("WavPack")),
    (0, b"TTA1", Kind::Unsupported("True Audio (TTA)")),
    (0, b"MAC ", Kind::Unsupported("Monkey's Audio (APE)")),
    (0, b"MPCK", Kind::Unsupported("Musepack")),
    (0, b"MP+", Kind::Unsupported("Musepack")),
    (0, b"#!AMR", Kind::Unsupported("AMR")),
    (0, b"#!SILK", Kind::Unsupported("SILK")),
    (0, b".snd", Kind::Unsupported("Sun audio (au)")),
    (0, b"caff", Kind::Unsupported("Core Audio Format (CAF)")),
    (0, b"DSD ", Kind::Unsupported("DSD")),
    (0, b"FRM8", Kind::Unsupported("DSD")),
    (0, b"FLV\x01", Kind::Unsupported("Flash video")),
    (0, b".RMF", Kind::Unsupported("RealMedia")),
    (8, b"AVI ", Kind::Unsupported("AVI")),
    (0, b"\x0b\x77", Kind::Unsupported("AC-3")),
    (0, b"\x7f\xfe\x80\x01", Kind::Unsupported("DTS")),
    (0, b"MThd", Kind::NotAudio("a MIDI file")),
    (
        0,
        b"\x00\x00\x01\xba",
        Kind::Unsupported("MPEG program stream"),
    ),
    (0, b"%PDF", Kind::NotAudio("a PDF document")),
    (0, b"PK\x03\x04", Kind::NotAudio("a zip archive")),
    (0, b"\x89PNG", Kind::NotAudio("a picture")),
    (0, b"\xff\xd8\xff", Kind::NotAudio("a picture")),
];

/// Length of a packet of an MPEG transport stream.
const TRANSPORT_PACKET: usize = 188;

/// Returns the format that the first bytes of a file mean.
pub(super) fn identify(head: &[u8]) -> Kind {
    let starts = |at: usize, bytes: &[u8]| head.get(at..).is_some_and(|h| h.starts_with(bytes));
    if starts(8, b"WAVE") && (starts(0, b"RF64") || starts(0, b"BW64")) {
        return Kind::Wave(Form::Rf64);
    }
    if starts(0, WAVE64_RIFF) {
        return Kind::Wave(Form::Wave64);
    }
    if (0..3).all(|packet| starts(packet * TRANSPORT_PACKET, b"\x47")) {
        return Kind::Unsupported("MPEG transport stream");
    }
    let signature = SIGNATURES.iter().find(|(at, bytes, _)| starts(*at, bytes));
    signature.map_or(Kind::Other, |(_, _, kind)| *kind)
}

/// Name of the outermost chunk of a Sony Wave64 file.
const WAVE64_RIFF: &[u8] = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_wave() {
        for (head, kind) in [
            (&b"RIFF\x24\x00\x00\x00WAVEfmt "[..], Kind::Wave(Form::Riff)),
            (b"RF64\xff\xff\xff\xffWAVEds64", Kind::Wave(Form::Rf64)),
            (b"BW64\xff\xff\xff\xffWAVEds64", Kind::Wave(Form::Rf64)),
            (
                b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",
                Kind::Wave(Form::Wave64),
            ),
            (b"RIFF\x24\x00\x00\x00AVI LIST", Kind::Unsupported("AVI")),
            (b"RIFF", Kind::Other),
            (b"", Kind::Other),
        ] {
            assert_eq!(identify(head), kind);
        }
    }

    #[test]
    fn transport_stream_needs_three_packets() {
        let mut stream = vec![0; 400];
        for at in [0, 188, 376] {
            assert_eq!(identify(&stream), Kind::Other);
            stream[at] = 0x47;
        }
        assert_eq!(
            identify(&stream),
            Kind::Unsupported("MPEG transport stream")
        );
    }
}
