//! Damaged recordings: what is readable is heard at its time, the rest is silence, and the account says where.

use crate::support::files::mp4_box;
use crate::support::input::{Heard, Pieces, fixture, hear};
use crate::support::signal::find_burst;

/// A recording of the repository's fixtures.
fn recording(name: &str) -> Vec<u8> {
    fixture(&format!("../{name}"))
}

/// Bytes that look like noise and are the same every time.
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

/// Overwrites bytes in the middle.
fn overwritten(mut bytes: Vec<u8>, with: &[u8]) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle..middle + with.len()].copy_from_slice(with);
    bytes
}

/// The first part of a file.
fn cut(mut bytes: Vec<u8>, percent: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() * percent / 100);
    bytes
}

fn hear_bytes(bytes: Vec<u8>) -> Heard {
    hear(&mut Pieces::file(bytes)).unwrap()
}

/// Says how alike two stretches of sound are, 0 to 1.
fn alike(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter()
            .zip(y)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
}

/// Checks that sound before and behind the damage stands where it stands in the whole recording.
fn check_places(whole: &Heard, damaged: &Heard, what: &str) {
    let last = whole.samples.len();
    let quarter = last / 4..last / 4 + 32_000;
    let behind = last * 9 / 10 - 32_000..last * 9 / 10;
    for part in [quarter, behind] {
        let (heard, wanted) = (&damaged.samples[part.clone()], &whole.samples[part.clone()]);
        assert!(
            alike(heard, wanted) > 0.95,
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
        let whole = hear_bytes(bytes.clone());
        assert_eq!((whole.info.codec, &*whole.stats.damage), (codec, &[][..]));
        for (kind, damage) in [
            ("noise", noise(8_192)),
            ("zeros", vec![0; bytes.len() / 20]),
        ] {
            let what = format!("{kind} in {name}");
            let heard = hear_bytes(overwritten(bytes.clone(), &damage));
            // Noise that decodes makes a difference of less than a packet.
            assert!(
                (heard.seconds() - whole.seconds()).abs() < 0.1,
                "{what}: {} s",
                heard.seconds()
            );
            check_places(&whole, &heard, &what);
            assert!(
                heard.lost_s() > 0.1,
                "{what}: the account tells of {} s",
                heard.lost_s()
            );
            assert!(
                heard.lost_s() < whole.seconds() / 8.0,
                "{what}: {} s lost",
                heard.lost_s()
            );
            let middle = whole.seconds() / 2.0;
            let near = heard
                .stats
                .damage
                .iter()
                .any(|span| (span.start.seconds() - middle).abs() < whole.seconds() / 10.0);
            assert!(near, "{what}: {:?}", heard.stats.damage);
        }
    }
}

/// An MP3 has no time stamps: how much is lost follows from how many bytes were passed over.
#[test]
fn damage_in_a_stream_without_stamps_keeps_the_time() {
    let bytes = recording("monologue.mp3");
    let whole = hear_bytes(bytes.clone());
    let heard = hear_bytes(overwritten(bytes.clone(), &vec![0; bytes.len() / 20]));
    assert!(
        (heard.seconds() - whole.seconds()).abs() < 0.2,
        "{} s",
        heard.seconds()
    );
    assert!(
        (heard.lost_s() - whole.seconds() / 20.0).abs() < 0.3,
        "{} s lost",
        heard.lost_s()
    );

    let stream: Vec<u8> = fixture("aac-48khz.aac").repeat(20);
    let whole = hear_bytes(stream.clone());
    let heard = hear_bytes(overwritten(stream.clone(), &vec![0; stream.len() / 4]));
    assert!(
        (heard.seconds() - whole.seconds()).abs() < 1.0,
        "{} s",
        heard.seconds()
    );
    assert!(
        (heard.lost_s() - whole.seconds() / 4.0).abs() < 1.0,
        "{} s lost",
        heard.lost_s()
    );
}

/// A frame of ADTS that claims eight kilobytes swallows those behind it: their time is kept.
#[test]
fn frames_that_another_swallowed_keep_their_time() {
    let mut stream: Vec<u8> = fixture("aac-48khz.aac").repeat(20);
    let whole = hear_bytes(stream.clone());
    // The length stands in the last two bits of a header's fourth byte, the fifth, and the first three bits of the sixth.
    let at = fixture("aac-48khz.aac").len() * 5;
    stream[at + 3] |= 3;
    stream[at + 4] = 255;
    stream[at + 5] |= 0b1110_0000;
    let heard = hear_bytes(stream);
    assert!(
        (heard.seconds() - whole.seconds()).abs() < 1.0,
        "{} s",
        heard.seconds()
    );
    let swallowed = whole.seconds() * 8_191.0 / (1_991.0 * 20.0);
    assert!(
        (heard.lost_s() - swallowed).abs() < 1.0,
        "{} s lost of {swallowed} s",
        heard.lost_s()
    );
}

/// A block that claims to hold several frames, and does not, is lost alone.
#[test]
fn block_that_holds_nonsense_is_lost_alone() {
    let bytes = fixture("aac-clusters.mkv");
    let whole = hear_bytes(bytes.clone());
    // Blocks of eight bytes, of track one: their flags stand behind two bytes of time.
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
            let heard = hear(&mut file).unwrap();
            let what = format!("block at {at}, pipe: {piped}");
            assert!(
                (heard.seconds() - whole.seconds()).abs() < 0.03,
                "{what}: {} s",
                heard.seconds()
            );
            assert!(heard.lost_s() < 0.05, "{what}: {} s", heard.lost_s());
        }
    }
}

/// A tag between joined files is not lost audio.
#[test]
fn tag_in_the_middle_is_no_damage() {
    let (first, second) = (
        fixture("mp3-untagged-128k.mp3"),
        fixture("mp3-untagged-128k.mp3"),
    );
    let tag = [b"ID3\x04\x00\x00\x00\x02\x00\x00", &[0; 256 * 128][..]].concat();
    let plain = hear_bytes([&first[..], &second].concat());
    let tagged = hear_bytes([&first[..], &tag, &second].concat());
    assert_eq!(tagged.samples.len(), plain.samples.len());
    assert!(tagged.stats.damage.is_empty());
}

#[test]
fn reading_starts_again_at_the_next_cluster() {
    for file in ["opus-clusters.webm", "aac-clusters.mkv"] {
        let bytes = fixture(file);
        let whole = hear_bytes(bytes.clone());
        for (kind, damage) in [("noise", noise(600)), ("zeros", vec![0; 600])] {
            let what = format!("{kind} in {file}");
            let heard = hear_bytes(overwritten(bytes.clone(), &damage));
            assert!(
                (heard.seconds() - whole.seconds()).abs() < 0.01,
                "{what}: {} s",
                heard.seconds()
            );
            assert!(
                (0.2..2.1).contains(&heard.lost_s()),
                "{what}: {} s lost",
                heard.lost_s()
            );
            for at in [0.25, 1.1, 1.75, 4.75, 5.6] {
                let (off_ms, alike) = find_burst(&heard.samples, at);
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
fn reading_starts_again_at_the_next_fragment() {
    let bytes = fixture("aac-fragments.mp4");
    // Right over the header of a fragment.
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
        let heard = hear_bytes(damaged);
        assert_eq!(heard.samples.len(), 24_000);
        assert!(
            (0.25..0.35).contains(&heard.lost_s()),
            "{} s lost",
            heard.lost_s()
        );
        let (off_ms, alike) = find_burst(&heard.samples, 1.1);
        assert!(alike > 0.9 && off_ms.abs() < 1.0, "{off_ms} ms, {alike}");
    }
}

/// Behind the last sound no hole shows what is missing.
#[test]
fn last_part_that_cannot_be_found_is_told() {
    // The names of a run of packets, of a track and of a cluster; in each file the last.
    for (file, name) in [
        ("film-fragments.mp4", &b"trun"[..]),
        ("film-fragments.mp4", b"traf"),
        ("aac-fragments.mp4", b"tfhd"),
        ("aac-fragments.mp4", b"moof"),
        ("opus-live.webm", b"\x1f\x43\xb6\x75"),
        ("aac-clusters.mkv", b"\x1f\x43\xb6\x75"),
    ] {
        let mut bytes = fixture(file);
        let whole = hear_bytes(bytes.clone());
        let at = bytes.windows(4).rposition(|found| found == name).unwrap();
        bytes[at + 3] ^= 1;
        for piped in [false, true] {
            let input = Pieces::file(bytes.clone());
            let mut input = if piped { input.piped() } else { input };
            let heard = hear(&mut input).unwrap();
            let what = format!("{name:?} of {file}, pipe: {piped}");
            let missing = whole.seconds() - heard.seconds();
            assert!((0.1..1.1).contains(&missing), "{what}: {missing} s");
            let reason = heard.stats.stopped_early.as_deref();
            assert!(reason.is_some_and(|reason| !reason.is_empty()), "{what}");
        }
    }
}

/// Recorders close some files so.
#[test]
fn fragment_that_is_empty_is_no_damage() {
    let bytes = fixture("aac-fragments.mp4");
    let whole = hear_bytes(bytes.clone());
    // Flags of the track's header, and what follows it: a run of no packets, or the flag that there is none.
    let no_packets = mp4_box(b"trun", &[0; 8]);
    for (flags, run) in [(0x02_0000_u32, &no_packets[..]), (0x03_0000, &[])] {
        let header = [flags.to_be_bytes(), 1_u32.to_be_bytes()].concat();
        let track = [&mp4_box(b"tfhd", &header)[..], run].concat();
        let index = [mp4_box(b"mfhd", &[0; 8]), mp4_box(b"traf", &track)].concat();
        let empty = [mp4_box(b"moof", &index), mp4_box(b"mdat", &[])].concat();
        for piped in [false, true] {
            let input = Pieces::file([&bytes[..], &empty].concat());
            let mut input = if piped { input.piped() } else { input };
            let heard = hear(&mut input).unwrap();
            let what = format!("flags {flags:x}, pipe: {piped}");
            assert_eq!(heard.stats.stopped_early, None, "{what}");
            assert!(heard.samples == whole.samples, "{what}");
        }
    }
}

#[test]
fn cut_file_is_heard_to_the_cut_and_says_so() {
    for name in [
        "meeting.m4a",
        "monologue.mp3",
        "room_tone.flac",
        "sparse.ogg",
        "standup.opus",
    ] {
        let mut bytes = recording(name);
        if name == "meeting.m4a" {
            // Its index stands behind the audio.
            bytes = crate::support::files::index_first(&bytes);
        }
        let whole = hear_bytes(bytes.clone());
        let heard = hear_bytes(cut(bytes, 60));
        assert_eq!(
            heard.stats.stopped_early.as_deref(),
            Some("the file is cut off"),
            "{name}"
        );
        let share = heard.seconds() / whole.seconds();
        assert!(
            (0.5..0.7).contains(&share),
            "{name}: {share:.2} of it was heard"
        );
        let part = 16_000..heard.samples.len() - 32_000;
        let (heard, wanted) = (&heard.samples[part.clone()], &whole.samples[part]);
        assert!(alike(heard, wanted) > 0.999, "{name}");
    }
    for file in [
        "opus-clusters.webm",
        "aac-clusters.mkv",
        "aac-fragments.mp4",
        "opus-live.webm",
    ] {
        let heard = hear_bytes(cut(fixture(file), 60));
        let (_, alike) = find_burst(&heard.samples, 0.25);
        assert!(alike > 0.9, "{file}");
        assert_eq!(
            heard.stats.stopped_early.as_deref(),
            Some("the file is cut off"),
            "{file}"
        );
    }
}

#[test]
fn index_that_is_cut_off_is_an_error_that_says_so() {
    let error = hear(&mut Pieces::file(cut(recording("meeting.m4a"), 60)))
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
fn disk_that_fails_ends_the_recording_and_says_so() {
    for (bytes, at) in [
        (recording("monologue.mp3"), 500_000),
        (recording("standup.opus"), 100_000),
        (recording("room_tone.flac"), 500_000),
    ] {
        let heard = hear(&mut Pieces::file(bytes.clone()).failing_at(at))
            .unwrap_or_else(|error| panic!("{} bytes: {error:?}", bytes.len()));
        assert!(heard.frames() > 10_000);
        let reason = heard.stats.stopped_early.unwrap();
        assert_eq!(reason, "cannot read on: the disk is broken");
        let error = hear(&mut Pieces::file(bytes).failing_at(0)).err().unwrap();
        assert!(
            matches!(error, steadyscribe::InputError::Unreadable { .. }),
            "{error:?}"
        );
    }
}

mod slow {
    use super::*;

    /// Every fixture, with bytes changed at random: no panic, no endless run, no memory out of bounds.
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
                // Headers first: what is in them leads further astray.
                let range = if round % 2 == 0 {
                    bytes.len()
                } else {
                    bytes.len().min(1_500)
                };
                for _ in 0..=byte() % 24 {
                    let at = (byte() << 16 | byte() << 8 | byte()) % range;
                    changed[at] = byte() as u8;
                }
                let (heard, heap) =
                    crate::support::heap::measure(|| hear(&mut Pieces::file(changed)));
                let kept = heard.map_or(0, |heard| heard.samples.capacity() as u64 * 8);
                assert!(
                    heap.peak_bytes < kept + (12 << 20),
                    "{file}, round {round}: {} bytes at once",
                    heap.peak_bytes
                );
            }
        }
    }
}
