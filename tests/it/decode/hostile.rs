//! Malicious headers: each is refused, or bounded in memory and in processor time.

use std::time::Duration;

use steadyscribe::InputError;
use steadyscribe::decode::Decoder;

use super::processor_time;
use crate::support::files::{Wave, big_chunk, mp4_box, split_at_box};
use crate::support::heap::measure;
use crate::support::input::{Piece, Pieces, fixture};

/// Most bytes that are held at once, whatever a header claims: what a demuxer reads for one packet,
/// and its copy.
const PEAK_BYTES_MAX: u64 = 40 << 20;

fn bytes(bytes: &[u8]) -> Piece {
    Piece::Bytes(bytes.into())
}

/// Decodes to the end, or one hour. Returns the seconds.
fn seconds(input: &mut Pieces) -> Result<f64, InputError> {
    let mut decoder = Decoder::open(input)?;
    let mut samples = 0;
    while let Some(chunk) = decoder.next()? {
        let frames = (chunk.samples.len() / chunk.format.channels) as u64;
        samples += frames * 384_000 / u64::from(chunk.format.rate_hz);
        if samples > 3_600 * 384_000 {
            break;
        }
    }
    Ok(samples as f64 / 384_000.0)
}

/// Decodes within the bounds, as a file and as a pipe. Returns the outcome of the file.
fn check(what: &str, pieces: Vec<Piece>) -> Result<f64, InputError> {
    let file = Pieces::of(pieces);
    let mut outcome = Ok(0.0);
    for mut input in [file.clone().piped(), file] {
        let began = processor_time();
        let (result, heap) = measure(|| seconds(&mut input));
        let took = processor_time() - began;
        let decoded_s = *result.as_ref().unwrap_or(&0.0);
        assert!(
            heap.peak_bytes < PEAK_BYTES_MAX,
            "{what}: {} bytes at once",
            heap.peak_bytes
        );
        let longest = Duration::from_secs(5) + Duration::from_secs_f64(decoded_s / 20.0);
        assert!(took < longest, "{what}: {took:?} for {decoded_s} s");
        outcome = result;
    }
    outcome
}

/// Checks that nothing is decoded, and that the error blames the input.
fn refused(what: &str, pieces: Vec<Piece>) {
    match check(what, pieces) {
        Err(InputError::Undecodable { .. } | InputError::Unsupported { .. }) => {}
        other => panic!("{what}: {other:?}"),
    }
}

/// Overwrites bytes.
fn with(mut file: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
    file[at..at + new.len()].copy_from_slice(new);
    file
}

fn find(file: &[u8], name: &[u8]) -> usize {
    file.windows(name.len())
        .position(|found| found == name)
        .unwrap()
}

#[test]
fn rates_and_channels_of_zero_or_of_millions() {
    let wave = Wave::mono(16_000).riff(&[0.1; 16_000]);
    for (what, at, new) in [
        ("wave of rate 0", 24, &[0, 0, 0, 0][..]),
        ("wave of 4 GHz", 24, &[255; 4]),
        ("wave of no channel", 22, &[0, 0]),
        ("wave of 65,535 channels", 22, &[255, 255]),
        ("wave of empty blocks", 32, &[0, 0]),
        ("wave of blocks of 64 KiB", 32, &[255, 255]),
    ] {
        refused(what, vec![bytes(&with(wave.clone(), at, new))]);
    }
    let aiff = Wave::mono(16_000).aiff(&[0.1; 16_000]);
    let common = find(&aiff, b"COMM") + 8;
    for (what, at, new) in [
        ("aiff of rate 0", 8, &[0; 10][..]),
        ("aiff of a rate beyond numbers", 8, &[255; 10]),
        ("aiff of no channel", 0, &[0, 0]),
        ("aiff of 65,535 channels", 0, &[255, 255]),
        ("aiff of samples of no bits", 6, &[0, 0]),
        ("aiff of samples of 65,535 bits", 6, &[255, 255]),
    ] {
        refused(what, vec![bytes(&with(aiff.clone(), common + at, new))]);
    }
    let flac = fixture("flac-16.flac");
    // Its rate is in the 20 bits behind the sizes of blocks and frames.
    let decoded = check(
        "flac of rate 0",
        vec![bytes(&with(flac, 8 + 10, &[0, 0, 0]))],
    );
    assert!(decoded.is_err() || decoded.unwrap() > 1.0);
    let mp4 = fixture("aac-index-first.m4a");
    let scale = find(&mp4, b"mdhd") + 16;
    refused(
        "mp4 of no time scale",
        vec![bytes(&with(mp4.clone(), scale, &[0; 4]))],
    );
    let entry = find(&mp4, b"mp4a") + 20;
    for channels in [[0, 0], [255, 255]] {
        let file = with(mp4.clone(), entry, &channels);
        // The configuration of the codec is used instead.
        assert!(check("mp4 of odd channels", vec![bytes(&file)]).unwrap() > 1.4);
    }
}

/// An element of Matroska, with a length of eight bytes.
fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u64 | 1 << 56).to_be_bytes();
    [id, &len, content].concat()
}

const SEGMENT: &[u8] = b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff";
const CLUSTER: &[u8] = b"\x1f\x43\xb6\x75";

/// The headers of a Matroska file of PCM.
fn matroska(rate_hz: f64, channels: &[u8]) -> Vec<u8> {
    let audio = [
        element(b"\xb5", &rate_hz.to_be_bytes()),
        element(b"\x9f", channels),
        element(b"\x62\x64", &[16]),
    ]
    .concat();
    let entry = [
        element(b"\xd7", &[1]),
        element(b"\x73\xc5", &[1]),
        element(b"\x83", &[2]),
        element(b"\x86", b"A_PCM/INT/LIT"),
        element(b"\xe1", &audio),
    ]
    .concat();
    let doc = element(b"\x42\x82", b"matroska");
    let info = [
        element(b"\x2a\xd7\xb1", &1_000_000_u32.to_be_bytes()),
        element(b"\x4d\x80", b"m"),
        element(b"\x57\x41", b"w"),
    ]
    .concat();
    [
        element(b"\x1a\x45\xdf\xa3", &doc),
        SEGMENT.to_vec(),
        element(b"\x15\x49\xa9\x66", &info),
        element(b"\x16\x54\xae\x6b", &element(b"\xae", &entry)),
    ]
    .concat()
}

/// A cluster at `at_ms`, with one block of 20 ms of 16 kHz mono.
fn cluster(at_ms: u64) -> Vec<u8> {
    let block = [&[0x81, 0, 0, 0x80][..], &[7; 640]].concat();
    let content = [
        element(b"\xe7", &at_ms.to_be_bytes()),
        element(b"\xa3", &block),
    ]
    .concat();
    element(CLUSTER, &content)
}

#[test]
fn matroska_of_odd_numbers() {
    let good = [matroska(16_000.0, &[1]), cluster(0), cluster(20)].concat();
    let decoded = check("matroska", vec![bytes(&good)]).unwrap();
    assert!((decoded - 0.04).abs() < 1e-6, "{decoded} s");
    let billion = 1_000_000_000_u32.to_be_bytes();
    for (what, rate_hz, channels) in [
        ("matroska of rate 0", 0.0, &[1][..]),
        ("matroska of a negative rate", -1.0, &[1]),
        ("matroska of no number for a rate", f64::NAN, &[1]),
        ("matroska of an endless rate", f64::INFINITY, &[1]),
        ("matroska of no channel", 16_000.0, &[0]),
        ("matroska of a billion channels", 16_000.0, &billion),
        (
            "matroska of more channels than numbers",
            16_000.0,
            &[255; 8],
        ),
    ] {
        let file = [matroska(rate_hz, channels), cluster(0), cluster(20)].concat();
        refused(what, vec![bytes(&file)]);
    }
    // A length of 2^56 - 2 for the tracks, and for a block.
    let longest = b"\x01\xff\xff\xff\xff\xff\xff\xfe";
    let tracks = find(&good, b"\x16\x54\xae\x6b") + 4;
    refused(
        "endless tracks",
        vec![bytes(&with(good.clone(), tracks, longest))],
    );
    let block = find(&good, b"\xa3\x01\x00\x00\x00") + 1;
    let file = vec![bytes(&with(good, block, longest)), Piece::Zeros(300 << 20)];
    let _ = check("an endless block", file);
}

/// Each block claims to come ten minutes after the one before.
#[test]
fn small_file_claims_no_years_of_silence() {
    let mut file = matroska(16_000.0, &[1]);
    for n in 0..2_000 {
        file.extend(cluster(n * 599_000));
    }
    let mut decoder = Decoder::open(&mut Pieces::file(file)).unwrap();
    let mut frames = 0_u64;
    while let Some(chunk) = decoder.next().unwrap() {
        frames += chunk.samples.len() as u64;
    }
    let hours = frames as f64 / 16_000.0 / 3_600.0;
    assert!((23.0..25.0).contains(&hours), "{hours} h");
}

#[test]
fn lengths_beyond_the_file() {
    let wave = Wave::mono(16_000).riff(&[0.1; 16_000]);
    let all = &[255; 4][..];
    refused(
        "wave with a format of 4 GB",
        vec![bytes(&with(wave.clone(), 16, all))],
    );
    assert_eq!(
        check("wave of 4 GB", vec![bytes(&with(wave, 40, all))]).unwrap(),
        1.0
    );
    let rf64 = Wave::mono(16_000).rf64_header(b"RF64", u64::MAX - 1);
    let samples = Wave::mono(16_000).data(&[0.1; 16_000]);
    let decoded = check("wave of 2^64 bytes", vec![bytes(&rf64), bytes(&samples)]);
    assert_eq!(decoded.unwrap(), 1.0);
    let w64 = Wave::mono(16_000).wave64_header(u64::MAX - 1_000);
    let decoded = check("wave64 of 2^64 bytes", vec![bytes(&w64), bytes(&samples)]);
    assert_eq!(decoded.unwrap(), 1.0);
    let aiff = Wave::mono(16_000).aiff(&[0.1; 16_000]);
    let at = find(&aiff, b"COMM") + 4;
    refused(
        "aiff with a format of 4 GB",
        vec![bytes(&with(aiff.clone(), at, all))],
    );
    let at = find(&aiff, b"SSND") + 4;
    assert_eq!(
        check("aiff of 4 GB", vec![bytes(&with(aiff, at, all))]).unwrap(),
        1.0
    );
    // It claims 2^36 - 1 frames.
    let flac = fixture("flac-16.flac");
    let mut info = flac[21..26].to_vec();
    info[0] |= 15;
    info[1..].fill(255);
    let decoded = check("flac of 18 days", vec![bytes(&with(flac, 21, &info))]).unwrap();
    assert!((decoded - 1.5).abs() < 0.01, "{decoded} s");
    refused(
        "a tag of 256 MB in a file of none",
        vec![bytes(b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f")],
    );
}

#[test]
fn tables_of_thousands_of_millions() {
    let file = fixture("aac-index-first.m4a");
    for table in [b"stsd", b"stts", b"stsc", b"stco"] {
        let at = find(&file, table) + 8;
        let what = format!("{} of 4,294,967,295", String::from_utf8_lossy(table));
        let _ = check(&what, vec![bytes(&with(file.clone(), at, &[255; 4]))]);
    }
    // All packets have one size: zero, one byte, and nearly 4 GB.
    for size in [0_u32, 1, 4_000_000_000] {
        let at = find(&file, b"stsz") + 8;
        let sizes = [size.to_be_bytes(), [255; 4]].concat();
        let what = format!("4,294,967,295 packets of {size} bytes");
        let _ = check(
            &what,
            vec![
                bytes(&with(file.clone(), at, &sizes)),
                Piece::Zeros(1 << 20),
            ],
        );
    }
    // A packet that lasts for years.
    let at = find(&file, b"stts") + 16;
    let _ = check(
        "a packet of years",
        vec![bytes(&with(file.clone(), at, &[255; 4]))],
    );
    let at = find(&file, b"elst") + 8;
    let _ = check(
        "an endless edit list",
        vec![bytes(&with(file, at, &[255; 4]))],
    );
}

/// 32 bits cannot count them. A file skips them; a pipe would have to keep them, and refuses.
#[test]
fn covers_of_four_gigabytes() {
    const COVER: u64 = 4 << 30;
    let aac = fixture("aac-index-last.m4a");
    let (before, index) = split_at_box(&aac, b"moov");
    let wide =
        |name: &[u8; 4], len: u64| [&[0, 0, 0, 1], &name[..], &(len + 16).to_be_bytes()].concat();
    let movie = [
        wide(b"moov", index.len() as u64 - 8 + 16 + COVER),
        index[8..].to_vec(),
    ]
    .concat();
    let mp4 = vec![
        bytes(before),
        bytes(&movie),
        bytes(&wide(b"udta", COVER)),
        Piece::Zeros(COVER),
    ];
    let webm = fixture("opus-live.webm");
    let (head, clusters) = webm.split_at(find(&webm, CLUSTER));
    let attachments = [b"\x19\x41\xa4\x69", &(COVER | 1 << 56).to_be_bytes()[..]].concat();
    let mkv = vec![
        bytes(head),
        bytes(&attachments),
        Piece::Zeros(COVER),
        bytes(clusters),
    ];
    for (what, pieces) in [("mp4", mp4), ("mkv", mkv)] {
        let (decoded, heap) = measure(|| seconds(&mut Pieces::of(pieces)).unwrap());
        assert!((1.4..1.6).contains(&decoded), "{what}: {decoded} s");
        assert!(
            heap.peak_bytes < 2 << 20,
            "{what}: {} bytes",
            heap.peak_bytes
        );
    }
    // The index is first, and the cover is in it.
    let movie = [
        wide(b"moov", index.len() as u64 - 8 + 16 + COVER),
        index[8..].to_vec(),
    ]
    .concat();
    let first = vec![
        bytes(&before[..28]),
        bytes(&movie),
        bytes(&wide(b"udta", COVER)),
        Piece::Zeros(COVER),
    ];
    let (result, heap) = measure(|| seconds(&mut Pieces::of(first).piped()));
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("an mp4 from a pipe with more than 67 MB before its audio"),
        "{error}"
    );
    assert!(heap.peak_bytes < 1 << 20, "{} bytes", heap.peak_bytes);
}

#[test]
fn chains_without_end() {
    const GIGABYTE: u64 = 1 << 30;
    refused("zeros", vec![Piece::Zeros(GIGABYTE)]);
    let many =
        |start: &[u8], link: &[u8], count| vec![bytes(&[start, &link.repeat(count)].concat())];
    refused(
        "wave of empty chunks",
        many(b"RIFF\xff\xff\xff\xffWAVE", b"LIST\0\0\0\0", 300_000),
    );
    refused(
        "aiff of empty chunks",
        many(b"FORM\xff\xff\xff\xffAIFF", b"NAME\0\0\0\0", 300_000),
    );
    refused(
        "flac of empty blocks",
        many(b"fLaC", b"\x01\0\0\0", 300_000),
    );
    let head = mp4_box(b"ftyp", b"M4A \0\0\0\0");
    refused(
        "mp4 of empty boxes",
        many(&head, b"\0\0\0\x08free", 300_000),
    );
    let element = b"\xec\x80";
    refused(
        "matroska of empty elements",
        many(&matroska(8_000.0, &[1]), element, 300_000),
    );
    refused(
        "tags and nothing else",
        many(b"", b"ID3\x04\0\0\0\0\0\0", 300_000),
    );
    let wave = Wave::mono(16_000).riff(&[0.1; 1_600]);
    let odd = [&wave[..36], b"data\0\0\0\0", &wave[36..]].concat();
    let _ = check("wave of no data before its data", vec![bytes(&odd)]);
}

/// Elements whose length of zero leads back to themselves, and deeply nested elements.
#[test]
fn elements_that_lead_nowhere() {
    let head = mp4_box(b"ftyp", b"M4A \0\0\0\0");
    for len in [0_u32, 1, 2, 7] {
        let link = [&len.to_be_bytes()[..], b"moov"].concat();
        refused(
            "a box of no length",
            vec![bytes(&head), bytes(&link.repeat(1_000))],
        );
    }
    for name in [b"moov", b"trak", b"meta", b"udta"] {
        let deep = (0..5_000).fold(Vec::new(), |inner: Vec<u8>, _| {
            [&(inner.len() as u32 + 8).to_be_bytes()[..], name, &inner].concat()
        });
        let file = [
            &head[..],
            &mp4_box(b"moov", &deep),
            &mp4_box(b"mdat", &[0; 64]),
        ]
        .concat();
        refused("boxes in boxes", vec![bytes(&file)]);
    }
    let mut deep = Vec::new();
    for _ in 0..2_000 {
        deep = element(b"\xae", &deep);
    }
    let tracks = element(b"\x16\x54\xae\x6b", &deep);
    let file = [&matroska(16_000.0, &[1])[..24 + 20], &tracks, &cluster(0)].concat();
    let _ = check("tracks in tracks", vec![bytes(&file)]);
    let deep = (0..2_000).fold(cluster(0), |inner, _| element(CLUSTER, &inner));
    let file = [matroska(16_000.0, &[1]), deep].concat();
    let _ = check("clusters in clusters", vec![bytes(&file)]);
    let form = (0..5_000).fold(Vec::new(), |inner: Vec<u8>, _| big_chunk(b"FORM", &inner));
    let _ = check("forms in forms", vec![bytes(&form)]);
}

/// Source: RFC 3533, section 6; the checksum is that of its section 6, field 7.
fn ogg_page(serial: u32, flags: u8, sequence: u32, lacing: &[u8], body: &[u8]) -> Vec<u8> {
    let mut page = [
        b"OggS\0",
        &[flags][..],
        &[0; 8],
        &serial.to_le_bytes(),
        &sequence.to_le_bytes(),
        &[0; 4],
        &[lacing.len() as u8],
        lacing,
        body,
    ]
    .concat();
    let mut sum = 0_u32;
    for byte in &page {
        sum ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            sum = sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 };
        }
    }
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}

const OPUS_HEAD: &[u8] = b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0";

/// A packet of comments, and one of audio, that continue from page to page without end.
#[test]
fn packet_of_ogg_without_end() {
    const PAGES: u32 = 1_500;
    let body = vec![0; 255 * 255];
    let begins = [
        ogg_page(1, 2, 0, &[OPUS_HEAD.len() as u8], OPUS_HEAD),
        ogg_page(1, 0, 1, &[16], b"OpusTags\0\0\0\0\0\0\0\0"),
    ];
    for begin in [&begins[..1], &begins[..]] {
        let mut pieces = vec![bytes(&begin.concat())];
        for n in 0..PAGES {
            let flags = u8::from(n > 0);
            let sequence = n + begin.len() as u32;
            pieces.push(bytes(&ogg_page(1, flags, sequence, &[255; 255], &body)));
        }
        refused("a packet of 97 MB in ogg", pieces);
    }
}

#[test]
fn streams_of_ogg_by_the_thousand() {
    let pages = |n| ogg_page(n, 2, 0, &[OPUS_HEAD.len() as u8], OPUS_HEAD);
    let file: Vec<u8> = (0..50_000).flat_map(pages).collect();
    refused("50,000 streams in ogg", vec![bytes(&file)]);
}
