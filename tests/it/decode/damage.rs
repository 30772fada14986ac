//! Damaged recordings: readable audio keeps its time, the rest is silence, and the stats list
//! where.

use crate::support::files::mp4_box;
use crate::support::input::{Decoded, Pieces, decode_all, fixture};
use crate::support::signal::find_burst;

/// Reads a scene of the fixtures.
fn recording(name: &str) -> Vec<u8> {
    fixture(&format!("../{name}"))
}

/// Pseudo-random bytes, the same on every call.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// Overwrites the bytes in the middle.
fn overwritten(mut bytes: Vec<u8>, with: &[u8]) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle..middle + with.len()].copy_from_slice(with);
    bytes
}

/// Cuts a file off.
fn cut(mut bytes: Vec<u8>, percent: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() * percent / 100);
    bytes
}

fn decode_bytes(bytes: Vec<u8>) -> Decoded {
    decode_all(&mut Pieces::file(bytes)).unwrap()
}

/// Returns the similarity of two pieces of audio, 0 to 1.
fn alike(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter()
            .zip(y)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
}

/// Checks that audio before and behind the damage has the same time as in the undamaged recording.
fn check_places(whole: &Decoded, damaged: &Decoded, what: &str) {
    let last = whole.samples.len();
    let quarter = last / 4..last / 4 + 32_000;
    let behind = last * 9 / 10 - 32_000..last * 9 / 10;
    for part in [quarter, behind] {
        let (decoded, wanted) = (&damaged.samples[part.clone()], &whole.samples[part.clone()]);
        assert!(
            alike(decoded, wanted) > 0.95,
            "{what}: {part:?} is not in its place"
        );
    }
}

#[test]
fn damage_in_the_middle_leaves_the_rest_in_its_place() {
    for (name, codec) in [
        ("meeting.m4a", "aac"),
        ("room_tone.flac", "flac"),
        ("sparse.ogg", "vorbis"),
        ("standup.opus", "opus"),
    ] {
        let bytes = recording(name);
        let whole = decode_bytes(bytes.clone());
        assert_eq!((whole.info.codec, &*whole.stats.damage), (codec, &[][..]));
        for (kind, damage) in [
            ("noise", noise(8_192)),
            ("zeros", vec![0; bytes.len() / 20]),
        ] {
            let what = format!("{kind} in {name}");
            let decoded = decode_bytes(overwritten(bytes.clone(), &damage));
            // Noise that happens to decode changes the length by less than a packet.
            assert!(
                (decoded.seconds() - whole.seconds()).abs() < 0.1,
                "{what}: {} s",
                decoded.seconds()
            );
            check_places(&whole, &decoded, &what);
            assert!(
                decoded.lost_s() > 0.1,
                "{what}: the stats list {} s",
                decoded.lost_s()
            );
            assert!(
                decoded.lost_s() < whole.seconds() / 8.0,
                "{what}: {} s lost",
                decoded.lost_s()
            );
            let middle = whole.seconds() / 2.0;
            let near = decoded
                .stats
                .damage
                .iter()
                .any(|span| (span.start.seconds() - middle).abs() < whole.seconds() / 10.0);
            assert!(near, "{what}: {:?}", decoded.stats.damage);
        }
    }
}

/// An MP3 has no time stamps: the length of a loss follows from the number of skipped bytes.
#[test]
fn damage_in_a_stream_without_stamps_keeps_the_time() {
    let bytes = recording("monologue.mp3");
    let whole = decode_bytes(bytes.clone());
    let decoded = decode_bytes(overwritten(bytes.clone(), &vec![0; bytes.len() / 20]));
    assert!(
        (decoded.seconds() - whole.seconds()).abs() < 0.2,
        "{} s",
        decoded.seconds()
    );
    assert!(
        (decoded.lost_s() - whole.seconds() / 20.0).abs() < 0.3,
        "{} s lost",
        decoded.lost_s()
    );

    let stream: Vec<u8> = fixture("aac-48khz.aac").repeat(20);
    let whole = decode_bytes(stream.clone());
    let decoded = decode_bytes(overwritten(stream.clone(), &vec![0; stream.len() / 4]));
    assert!(
        (decoded.seconds() - whole.seconds()).abs() < 1.0,
        "{} s",
        decoded.seconds()
    );
    assert!(
        (decoded.lost_s() - whole.seconds() / 4.0).abs() < 1.0,
        "{} s lost",
        decoded.lost_s()
    );
}

/// A frame of ADTS that claims eight kilobytes swallows the frames behind it. Their time is kept.
#[test]
fn swallowed_frames_keep_their_time() {
    let mut stream: Vec<u8> = fixture("aac-48khz.aac").repeat(20);
    let whole = decode_bytes(stream.clone());
    // The length is in the last two bits of a header's fourth byte, the fifth, and the first three
    // bits of the sixth.
    let at = fixture("aac-48khz.aac").len() * 5;
    stream[at + 3] |= 3;
    stream[at + 4] = 255;
    stream[at + 5] |= 0b1110_0000;
    let decoded = decode_bytes(stream);
    assert!(
        (decoded.seconds() - whole.seconds()).abs() < 1.0,
        "{} s",
        decoded.seconds()
    );
    let swallowed = whole.seconds() * 8_191.0 / (1_991.0 * 20.0);
    assert!(
        (decoded.lost_s() - swallowed).abs() < 1.0,
        "{} s lost of {swallowed} s",
        decoded.lost_s()
    );
}

/// A block that wrongly claims to hold several frames is lost, and no other block.
#[test]
fn block_that_holds_nonsense_is_lost_alone() {
    let bytes = fixture("aac-clusters.mkv");
    let whole = decode_bytes(bytes.clone());
    // Blocks of eight bytes of track one. Their flags follow two bytes of time.
    let blocks: Vec<usize> = (0..bytes.len() - 6)
        .filter(|at| bytes[*at..].starts_with(&[0xa3, 0x88, 0x81]))
        .collect();
    assert!(blocks.len() > 200, "{}", blocks.len());
    for at in blocks.into_iter().step_by(9) {
        for piped in [false, true] {
            let mut damaged = bytes.clone();
            damaged[at + 5] |= 6;
            let file = Pieces::file(damaged);
            let mut file = if piped { file.piped() } else { file };
            let decoded = decode_all(&mut file).unwrap();
            let what = format!("block at {at}, pipe: {piped}");
            assert!(
                (decoded.seconds() - whole.seconds()).abs() < 0.03,
                "{what}: {} s",
                decoded.seconds()
            );
            assert!(decoded.lost_s() < 0.05, "{what}: {} s", decoded.lost_s());
        }
    }
}

/// A tag between joined files does not count as lost audio.
#[test]
fn tag_in_the_middle_is_no_damage() {
    let (first, second) = (
        fixture("mp3-untagged-128k.mp3"),
        fixture("mp3-untagged-128k.mp3"),
    );
    let tag = [b"ID3\x04\x00\x00\x00\x02\x00\x00", &[0; 256 * 128][..]].concat();
    let plain = decode_bytes([&first[..], &second].concat());
    let tagged = decode_bytes([&first[..], &tag, &second].concat());
    assert_eq!(tagged.samples.len(), plain.samples.len());
    assert!(tagged.stats.damage.is_empty());
}

#[test]
fn reading_resumes_at_the_next_cluster() {
    for file in ["opus-clusters.webm", "aac-clusters.mkv"] {
        let bytes = fixture(file);
        let whole = decode_bytes(bytes.clone());
        for (kind, damage) in [("noise", noise(600)), ("zeros", vec![0; 600])] {
            let what = format!("{kind} in {file}");
            let decoded = decode_bytes(overwritten(bytes.clone(), &damage));
            assert!(
                (decoded.seconds() - whole.seconds()).abs() < 0.01,
                "{what}: {} s",
                decoded.seconds()
            );
            assert!(
                (0.2..2.1).contains(&decoded.lost_s()),
                "{what}: {} s lost",
                decoded.lost_s()
            );
            for at in [0.25, 1.1, 1.75, 4.75, 5.6] {
                let (off_ms, alike) = find_burst(&decoded.samples, at);
                // The stamps of the next cluster are whole milliseconds.
                assert!(
                    alike > 0.9 && off_ms.abs() < 1.01,
                    "{what}: {at} s: {off_ms} ms, {alike}"
                );
            }
        }
    }
}

#[test]
fn reading_resumes_at_the_next_fragment() {
    let bytes = fixture("aac-fragments.mp4");
    // The damage covers the header of a fragment.
    let header = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, name)| name == b"moof")
        .nth(2)
        .unwrap()
        .0;
    for damage in [noise(60), vec![0; 60]] {
        let mut damaged = bytes.clone();
        damaged[header - 4..header + 56].copy_from_slice(&damage);
        let decoded = decode_bytes(damaged);
        assert_eq!(decoded.samples.len(), 24_000);
        assert!(
            (0.25..0.35).contains(&decoded.lost_s()),
            "{} s lost",
            decoded.lost_s()
        );
        let (off_ms, alike) = find_burst(&decoded.samples, 1.1);
        assert!(alike > 0.9 && off_ms.abs() < 1.0, "{off_ms} ms, {alike}");
    }
}

/// No hole shows a loss at the end, so `stopped_early` must report it.
#[test]
fn last_part_that_cannot_be_found_is_reported() {
    // The last name of a run of packets, a track and a cluster in each file.
    for (file, name) in [
        ("film-fragments.mp4", &b"trun"[..]),
        ("film-fragments.mp4", b"traf"),
        ("aac-fragments.mp4", b"tfhd"),
        ("aac-fragments.mp4", b"moof"),
        ("opus-live.webm", b"\x1f\x43\xb6\x75"),
        ("aac-clusters.mkv", b"\x1f\x43\xb6\x75"),
    ] {
        let mut bytes = fixture(file);
        let whole = decode_bytes(bytes.clone());
        let at = bytes.windows(4).rposition(|found| found == name).unwrap();
        bytes[at + 3] ^= 1;
        for piped in [false, true] {
            let input = Pieces::file(bytes.clone());
            let mut input = if piped { input.piped() } else { input };
            let decoded = decode_all(&mut input).unwrap();
            let what = format!("{name:?} of {file}, pipe: {piped}");
            let missing = whole.seconds() - decoded.seconds();
            assert!((0.1..1.1).contains(&missing), "{what}: {missing} s");
            let reason = decoded.stats.stopped_early.as_deref();
            assert!(reason.is_some_and(|reason| !reason.is_empty()), "{what}");
        }
    }
}

/// Some recorders end files with an empty fragment.
#[test]
fn fragment_that_is_empty_is_no_damage() {
    let bytes = fixture("aac-fragments.mp4");
    let whole = decode_bytes(bytes.clone());
    // The flags of the track's header, and its run: one without packets, or none.
    let no_packets = mp4_box(b"trun", &[0; 8]);
    for (flags, run) in [(0x02_0000_u32, &no_packets[..]), (0x03_0000, &[])] {
        let header = [flags.to_be_bytes(), 1_u32.to_be_bytes()].concat();
        let track = [&mp4_box(b"tfhd", &header)[..], run].concat();
        let index = [mp4_box(b"mfhd", &[0; 8]), mp4_box(b"traf", &track)].concat();
        let empty = [mp4_box(b"moof", &index), mp4_box(b"mdat", &[])].concat();
        for piped in [false, true] {
            let input = Pieces::file([&bytes[..], &empty].concat());
            let mut input = if piped { input.piped() } else { input };
            let decoded = decode_all(&mut input).unwrap();
            let what = format!("flags {flags:x}, pipe: {piped}");
            assert_eq!(decoded.stats.stopped_early, None, "{what}");
            assert!(decoded.samples == whole.samples, "{what}");
        }
    }
}

#[test]
fn cut_file_is_decoded_to_the_cut_and_reported() {
    for name in [
        "meeting.m4a",
        "monologue.mp3",
        "room_tone.flac",
        "sparse.ogg",
        "standup.opus",
    ] {
        let mut bytes = recording(name);
        if name == "meeting.m4a" {
            // Its index follows the audio.
            bytes = crate::support::files::index_first(&bytes);
        }
        let whole = decode_bytes(bytes.clone());
        let decoded = decode_bytes(cut(bytes, 60));
        assert_eq!(
            decoded.stats.stopped_early.as_deref(),
            Some("the file is cut off"),
            "{name}"
        );
        let share = decoded.seconds() / whole.seconds();
        assert!(
            (0.5..0.7).contains(&share),
            "{name}: {share:.2} of it was decoded"
        );
        let part = 16_000..decoded.samples.len() - 32_000;
        let (decoded, wanted) = (&decoded.samples[part.clone()], &whole.samples[part]);
        assert!(alike(decoded, wanted) > 0.999, "{name}");
    }
    for file in [
        "opus-clusters.webm",
        "aac-clusters.mkv",
        "aac-fragments.mp4",
        "opus-live.webm",
    ] {
        let decoded = decode_bytes(cut(fixture(file), 60));
        let (_, alike) = find_burst(&decoded.samples, 0.25);
        assert!(alike > 0.9, "{file}");
        assert_eq!(
            decoded.stats.stopped_early.as_deref(),
            Some("the file is cut off"),
            "{file}"
        );
    }
}

#[test]
fn index_that_is_cut_off_is_named_by_the_error() {
    let error = decode_all(&mut Pieces::file(cut(recording("meeting.m4a"), 60)))
        .err()
        .unwrap();
    assert!(matches!(
        error,
        steadyscribe::InputError::Undecodable { .. }
    ));
    assert!(
        error.to_string().contains("the recording was not finished"),
        "{error}"
    );
}

#[test]
fn disk_that_fails_ends_the_recording_and_is_reported() {
    for (bytes, at) in [
        (recording("monologue.mp3"), 500_000),
        (recording("standup.opus"), 100_000),
        (recording("room_tone.flac"), 500_000),
    ] {
        let decoded = decode_all(&mut Pieces::file(bytes.clone()).failing_at(at))
            .unwrap_or_else(|error| panic!("{} bytes: {error:?}", bytes.len()));
        assert!(decoded.frames() > 10_000);
        let reason = decoded.stats.stopped_early.unwrap();
        assert_eq!(reason, "cannot read on: the disk is broken");
        let error = decode_all(&mut Pieces::file(bytes).failing_at(0))
            .err()
            .unwrap();
        assert!(
            matches!(error, steadyscribe::InputError::Unreadable { .. }),
            "{error:?}"
        );
    }
}

/// Run by `make test-all`.
mod slow {
    use super::*;

    /// Fixtures with bytes changed at random cause no panic, no endless run, and no unbounded
    /// memory.
    #[test]
    #[ignore = "slow: make test-all"]
    fn changed_bytes_never_panic() {
        let files = [
            "mp3-cbr.mp3",
            "aac-index-last.m4a",
            "aac-fragments.mp4",
            "aac-dash.mp4",
            "aac-48khz.aac",
            "alac.m4a",
            "flac-16.flac",
            "flac-in.ogg",
            "vorbis.ogg",
            "opus.ogg",
            "opus.webm",
            "aac-clusters.mkv",
            "film.mp4",
            "film-fragments.mp4",
            "adpcm-ms.wav",
            "mp2.mp2",
        ];
        let mut random = noise(1 << 20).into_iter();
        let mut byte = || usize::from(random.next().unwrap());
        for file in files {
            let bytes = fixture(file);
            for round in 0..25 {
                let mut changed = bytes.clone();
                // Every second round changes the headers, which do more harm.
                let range = if round % 2 == 0 {
                    bytes.len()
                } else {
                    bytes.len().min(1_500)
                };
                for _ in 0..=byte() % 24 {
                    let at = (byte() << 16 | byte() << 8 | byte()) % range;
                    changed[at] = byte() as u8;
                }
                let (decoded, heap) =
                    crate::support::heap::measure(|| decode_all(&mut Pieces::file(changed)));
                let kept = decoded.map_or(0, |decoded| decoded.samples.capacity() as u64 * 8);
                assert!(
                    heap.peak_bytes < kept + (12 << 20),
                    "{file}, round {round}: {} bytes at once",
                    heap.peak_bytes
                );
            }
        }
    }
}
