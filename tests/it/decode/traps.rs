//! Nineteen traps: ways in which the demuxers and decoders of symphonia lose audio, time or memory,
//! each with its test.
//!
//! Some are tested with their format or damage: T5 and T6 (cut files, pipes) and T7 (a damaged
//! element) in `damage.rs` and `formats.rs`, T8 and T9 (edit lists, Opus in mp4) in `formats.rs`,
//! T12 and T13 (fragments, covers) in `memory.rs`, T19 (panics) in `damage.rs`.

use std::time::Duration;

use steadyscribe::audio::Format;
use steadyscribe::decode::Decoder;
use steadyscribe::source::Source;

use super::processor_time;
use crate::support::files::{Wave, big_chunk, boxes, index_first, mp4_box, split_at_box};
use crate::support::heap::measure;
use crate::support::input::{Decoded, Piece, Pieces, decode_all, fixture};
use crate::support::signal::{bursts, check_bursts, find_burst};

fn decode_bytes(bytes: impl Into<std::sync::Arc<[u8]>>) -> Decoded {
    decode_all(&mut Pieces::file(bytes)).unwrap()
}

/// T1. The demuxer's count of frames would end the recording early: it comes from the header of the
/// first of joined files, or from an estimate over the first frames.
#[test]
fn t1_joined_mp3_is_decoded_to_its_end() {
    // The estimate is wrong: large frames come first, then small ones.
    let (loud, quiet) = (
        fixture("mp3-untagged-128k.mp3"),
        fixture("mp3-untagged-32k.mp3"),
    );
    let decoded = decode_bytes([loud, quiet.repeat(20)].concat());
    assert_eq!(decoded.frames(), 21 * 59 * 1_152 - 1_105);
    check_bursts(
        &decoded.samples,
        20.0 * 59.0 * 1_152.0 / 44_100.0,
        "the last part",
    );
    // The header counts the first file alone.
    let tagged = fixture("mp3-cbr.mp3");
    let decoded = decode_bytes(tagged.repeat(3));
    assert!(decoded.seconds() > 4.5, "{} s", decoded.seconds());
    let (_, alike) = find_burst(&decoded.samples, 2.0 * 59.0 * 1_152.0 / 44_100.0 + 1.1);
    assert!(alike > 0.9, "the last part is missing");
    assert_eq!(decoded.stats.stopped_early, None);
}

/// T2. After a change of rate or channels the MPEG decoder refuses every packet.
#[test]
fn t2_mp3_that_changes_its_rate_is_followed() {
    let parts = [
        "mp3-untagged-32k.mp3",
        "mp3-untagged-16khz.mp3",
        "mp3-vbr.mp3",
    ];
    let decoded = decode_bytes(parts.map(fixture).concat());
    let formats: Vec<Format> = decoded
        .stretches
        .iter()
        .map(|(format, _)| *format)
        .collect();
    let format = |rate_hz, channels| Format { rate_hz, channels };
    assert_eq!(
        formats,
        [format(44_100, 1), format(16_000, 1), format(44_100, 2)]
    );
    assert!(
        (4.5..4.8).contains(&decoded.seconds()),
        "{} s",
        decoded.seconds()
    );
    for (start, what) in [(0.0, "first"), (1.516, "second"), (3.1, "third")] {
        let decoded = &decoded.samples[(start * 16_000.0) as usize..];
        // The packet at the change is lost, and each part has its own delay.
        let found = find_burst(decoded, 0.29).1.max(find_burst(decoded, 0.2).1);
        assert!(found > 0.9, "the {what} part is missing");
    }
    assert!(decoded.stats.damaged_packets <= 2, "{:?}", decoded.stats);
}

/// T2. One damaged header that claims another rate does not count as a change.
#[test]
fn t2_one_odd_header_is_damage() {
    let mut bytes = fixture("mp3-untagged-32k.mp3").repeat(2);
    let frame = 104;
    let at = (0..40)
        .map(|n| n * frame)
        .chain(bytes.len() / 2..)
        .find(|at| *at > 2_000 && bytes[*at] == 0xff && bytes[*at + 1] == 0xfb);
    let at = at.unwrap();
    // 48 kHz instead of 44.1 kHz.
    bytes[at + 2] = bytes[at + 2] & !0x0c | 0x04;
    let decoded = decode_bytes(bytes);
    assert!(
        decoded
            .stretches
            .iter()
            .all(|(format, _)| format.rate_hz == 44_100)
    );
    assert!(decoded.stats.damaged_packets > 0);
}

/// T3. The demuxer does not report a change of rate within ADTS: every packet is decoded, at the
/// first rate.
#[test]
fn t3_adts_that_changes_its_rate_loses_no_packet() {
    let (first, second) = (fixture("aac-48khz.aac"), fixture("aac-24khz.aac"));
    let decoded = decode_bytes([first, second].concat());
    assert_eq!(decoded.frames(), (72 + 37) * 1_024 - 1_024);
    check_bursts(&decoded.samples, 0.0, "the first part");
}

/// T4. A damaged AAC packet causes an error that is documented as final.
#[test]
fn t4_error_of_decoding_concerns_one_packet() {
    // Some packets start like a coupling channel or a program configuration element.
    let bytes = fixture("aac-48khz.aac");
    for element in [2_u8, 5] {
        let mut damaged = bytes.clone();
        let frames: Vec<usize> = (7..bytes.len() - 1)
            .filter(|at| bytes[*at] == 0xff && bytes[*at + 1] == 0xf1)
            .collect();
        for at in frames.iter().skip(10).step_by(5) {
            damaged[at + 7] = element << 5 | damaged[at + 7] & 0x1f;
        }
        let decoded = decode_bytes(damaged);
        assert_eq!(decoded.samples.len(), 24_235);
        let expected = frames.iter().skip(10).step_by(5).count() as u64;
        assert!(
            decoded.stats.damaged_packets >= expected,
            "{:?}",
            decoded.stats.damaged_packets
        );
        assert!(decoded.stats.stopped_early.is_none());
    }
}

/// T8. Audio that an editor cut from the start of an mp4 is not decoded, and the rest starts at
/// zero.
#[test]
fn t8_edit_list_decides_where_the_audio_starts() {
    let mut bytes = fixture("aac-index-last.m4a");
    let list = bytes.windows(4).position(|name| name == b"elst").unwrap();
    let start = list + 16..list + 20;
    assert_eq!(bytes[start.clone()], 1_024_u32.to_be_bytes());
    bytes[start].copy_from_slice(&(1_024 + 24_000_u32).to_be_bytes());
    let decoded = decode_bytes(bytes);
    assert_eq!(decoded.frames(), 48_000);
    let (off_ms, alike) = find_burst(&decoded.samples, 0.6);
    assert!(alike > 0.9 && off_ms.abs() < 1.0, "{off_ms} ms, {alike}");
}

/// T10. Declared lengths are often wrong: nothing depends on them, and progress is measured in
/// bytes.
#[test]
fn t10_declared_length_decides_nothing() {
    for (file, lie) in [
        ("aac-dash.mp4", true),
        ("opus-live.webm", true),
        ("mp3-cbr.mp3", false),
    ] {
        let bytes = fixture(file);
        let len = bytes.len() as u64;
        let mut decoder = Decoder::open(&mut Pieces::file(bytes)).unwrap();
        let declared = decoder.info().duration.map_or(0.0, |time| time.seconds());
        assert_eq!(
            (declared - 1.5).abs() > 0.1,
            lie,
            "{file} declares {declared} s"
        );
        let mut last = 0;
        while decoder.next().unwrap().is_some() {
            assert!(decoder.position_bytes() >= last, "{file} goes back");
            last = decoder.position_bytes();
        }
        assert!(
            last > len * 9 / 10 && last <= len,
            "{file}: {last} of {len} bytes"
        );
        assert!((decoder.position().seconds() - 1.5).abs() < 0.02, "{file}");
    }
}

/// T11, T18. The time of a video frame is looked up from the table's start, each frame is read, and
/// the table is kept. The index of segments has a time base of its own, which the demuxer takes for
/// that of the track.
#[test]
fn time_base_of_an_index_of_segments_is_not_the_tracks() {
    let mut bytes = fixture("aac-dash.mp4");
    let whole = decode_bytes(bytes.clone());
    let at = bytes.windows(4).position(|name| name == b"sidx").unwrap();
    // Behind the name stand version and track.
    let base = at + 12..at + 16;
    assert_eq!(bytes[base.clone()], 48_000_u32.to_be_bytes());
    bytes[base].copy_from_slice(&1_000_u32.to_be_bytes());
    for piped in [false, true] {
        let input = Pieces::file(bytes.clone());
        let mut input = if piped { input.piped() } else { input };
        let decoded = decode_all(&mut input).unwrap();
        assert!(decoded.samples == whole.samples, "pipe: {piped}");
        assert!(decoded.stats.damage.is_empty());
    }
}

#[test]
fn t11_t18_video_is_not_looked_at() {
    // A second track of 400,000 frames, each of a length of its own.
    let file = fixture("aac-index-last.m4a");
    let (audio, index) = split_at_box(&file, b"moov");
    let frames = 400_000_u32;
    let full = |rest: &[u8]| [&[0; 4][..], rest].concat();
    let mut times = full(&frames.to_be_bytes());
    let mut sizes = full(&[0; 4]);
    sizes.extend(frames.to_be_bytes());
    for frame in 0..frames {
        times.extend([1_u32.to_be_bytes(), (100 + frame % 7).to_be_bytes()].concat());
        sizes.extend(1_u32.to_be_bytes());
    }
    let table = [
        mp4_box(
            b"stsd",
            &full(&[&1_u32.to_be_bytes()[..], &mp4_box(b"avc1", &[0; 78])].concat()),
        ),
        mp4_box(b"stts", &times),
        mp4_box(
            b"stsc",
            &full(&[1_u32, 1, frames, 1].map(u32::to_be_bytes).concat()),
        ),
        mp4_box(b"stsz", &sizes),
        mp4_box(b"stco", &full(&[1_u32, 40].map(u32::to_be_bytes).concat())),
    ]
    .concat();
    let header = [&[0, 0, 0, 3][..], &[0; 8], &7_u32.to_be_bytes(), &[0; 68]].concat();
    let media_header = full(&[0_u32, 0, 1_000, 0, 0].map(u32::to_be_bytes).concat());
    let media = [
        mp4_box(b"mdhd", &media_header),
        mp4_box(b"hdlr", &full(&[&[0; 4][..], b"vide", &[0; 13]].concat())),
        mp4_box(b"minf", &mp4_box(b"stbl", &table)),
    ]
    .concat();
    let track = mp4_box(
        b"trak",
        &[mp4_box(b"tkhd", &header), mp4_box(b"mdia", &media)].concat(),
    );
    let film = [audio, &mp4_box(b"moov", &[&index[8..], &track].concat())].concat();
    let began = processor_time();
    let (decoded, heap) = measure(|| decode_bytes(film));
    assert_eq!(decoded.samples.len(), 24_000);
    assert!(heap.peak_bytes < 9 << 20, "{} bytes", heap.peak_bytes);
    let took = processor_time() - began;
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// T12. An index that is too large to be kept is refused with both numbers.
#[test]
fn t12_index_has_a_limit() {
    let file = fixture("aac-index-last.m4a");
    let (audio, index) = split_at_box(&file, b"moov");
    let (mut at, mut sizes) = (0, Vec::new());
    for name in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz"] {
        at += index[at..]
            .windows(4)
            .position(|found| found == name)
            .unwrap();
        sizes.push(at - 4);
    }
    const MORE: u32 = 40 << 20;
    let mut index = index.to_vec();
    for at in sizes {
        let len = u32::from_be_bytes(index[at..at + 4].try_into().unwrap()) + MORE;
        index[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }
    let pieces = vec![
        Piece::Bytes(audio.into()),
        Piece::Bytes(index[..at + 16].into()),
        Piece::Zeros(MORE.into()),
        Piece::Bytes(index[at + 16..].into()),
    ];
    let (error, heap) = measure(|| {
        decode_all(&mut Pieces::of(pieces))
            .err()
            .unwrap()
            .to_string()
    });
    assert!(
        error.contains("an mp4 index of 42 MB (at most 33 MB)"),
        "{error}"
    );
    assert!(heap.peak_bytes < 1 << 20, "{} bytes", heap.peak_bytes);
}

/// T14. A damaged header may ask for any amount of memory.
#[test]
fn t14_header_decides_no_allocation() {
    let wave = Wave::mono(44_100).aiff(&bursts(44_100));
    // A name of 150 MB before the audio.
    let pieces = vec![
        Piece::Bytes(wave[..12].into()),
        Piece::Bytes(
            [&b"NAME"[..], &(150_u32 << 20).to_be_bytes()]
                .concat()
                .into(),
        ),
        Piece::Zeros(150 << 20),
        Piece::Bytes(wave[12..].into()),
    ];
    let (decoded, heap) = measure(|| decode_all(&mut Pieces::of(pieces)).unwrap());
    check_bursts(&decoded.samples, 0.0, "aiff");
    assert!(heap.peak_bytes < 2 << 20, "{} bytes", heap.peak_bytes);
    // The container whose demuxer would allocate 16 GB is refused.
    let caf = [&b"caff\x00\x01\x00\x00"[..], &big_chunk(b"desc", &[0; 32])].concat();
    let error = decode_all(&mut Pieces::file(caf))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("CAF"), "{error}");
}

/// T15. The decoder swaps channels of surround Vorbis, which does not change their average.
#[test]
fn t15_surround_vorbis_is_decoded() {
    let decoded = decode_bytes(fixture("vorbis-51.ogg"));
    assert_eq!(decoded.info.format.channels, 6);
    assert_eq!(decoded.samples.len(), 24_000);
    check_bursts(&decoded.samples, 0.0, "vorbis 5.1");
}

/// T16. The demuxer returns one packet per frame for PCM in mov: slow, but correct.
#[test]
fn t16_pcm_in_mov_is_right() {
    let mut source = Pieces::file(fixture("pcm.mov"));
    let decoded = decode_all(&mut source as &mut dyn Source).unwrap();
    assert_eq!(decoded.stats.packets, 12_000);
    assert_eq!(decoded.samples.len(), 24_000);
}

/// T17. Packets of Matroska declare no length: a damaged one gets the length of the one before.
#[test]
fn t17_damaged_packet_in_matroska_has_the_length_of_the_last() {
    let bytes = fixture("aac-clusters.mkv");
    let blocks: Vec<usize> = (0..bytes.len() - 8)
        .filter(|at| bytes[*at] == 0xa3 && bytes[*at + 2] == 0x81 && bytes[*at + 5] == 0x80)
        .collect();
    assert!(blocks.len() > 100);
    let mut damaged = bytes.clone();
    for at in blocks.iter().skip(60).take(20) {
        // The decoder refuses a coupling channel element.
        damaged[at + 6] = 2 << 5;
    }
    let (whole, decoded) = (decode_bytes(bytes), decode_bytes(damaged));
    assert_eq!(decoded.stats.damaged_packets, 20);
    assert_eq!(decoded.samples.len(), whole.samples.len());
    assert!(
        (decoded.lost_s() - 20.0 * 1_024.0 / 48_000.0).abs() < 0.03,
        "{} s",
        decoded.lost_s()
    );
}

/// An index before the audio works as well as one behind it.
#[test]
fn index_may_be_moved() {
    let file = fixture("aac-index-last.m4a");
    let moved = index_first(&file);
    assert_eq!(boxes(&moved)[1].0, *b"moov");
    assert!(decode_bytes(moved).samples == decode_bytes(file).samples);
}

/// A damaged length does not make the demuxer read the rest of the file into memory.
#[test]
fn damaged_length_is_not_believed() {
    const REST: u64 = 600 << 20;
    let bytes = fixture("opus-live.webm");
    let blocks: Vec<usize> = (0..bytes.len() - 8)
        .filter(|at| bytes[*at] == 0xa3 && bytes[*at + 2] == 0x81 && bytes[*at + 5] == 0x80)
        .collect();
    let (before, _) = bytes.split_at(blocks[blocks.len() / 2]);
    // The block claims 512 MB, and 600 MB follow it.
    let block = b"\xa3\x01\x00\x00\x00\x20\x00\x00\x00\x81\x00\x00\x80";
    let pieces = vec![
        Piece::Bytes(before.into()),
        Piece::Bytes(block[..].into()),
        Piece::Zeros(REST),
    ];
    let (decoded, heap) = measure(|| decode_all(&mut Pieces::of(pieces)).unwrap());
    assert!(decoded.seconds() > 0.5, "{} s", decoded.seconds());
    assert!(heap.peak_bytes < 40 << 20, "{} bytes", heap.peak_bytes);
}
