//! Matroska and WebM: shown as a live stream.
//!
//! A demuxer that may seek reads the index, attachments and tags at the end of the file, keeps them
//! all, and fails if they are cut off. A live stream has none of them: the demuxer is shown the
//! headers, a segment of unknown length, and the clusters as they come. For the same reason reading
//! can restart at any cluster behind damage.
//!
//! Source: RFC 9559 (Matroska).

use std::sync::Arc;

use super::layout::{Layout, Parts};
use crate::decode::fault::Fault;
use crate::decode::shared_input::SharedInput;

mod cluster_watch;
pub(super) mod clusters;
mod ebml;

use clusters::{AudioTrack, Clusters};
use ebml::{CLUSTER, HEADER_BYTES_MAX, SEGMENT, children, element};

/// Ids of elements.
const EBML: u32 = 0x1a45_dfa3;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;

/// Largest header element that is kept. The headers of Vorbis take 8 KB.
const KEPT_BYTES_MAX: u64 = 1 << 20;

/// Most elements that are read before the first cluster.
const ELEMENTS_MAX: usize = 4_096;

/// An element: its id, where its content starts, and how long that is if it is known.
struct Element {
    id: u32,
    at: u64,
    len: Option<u64>,
}

/// Reads the headers up to the first cluster.
pub(super) fn layout(input: &Arc<SharedInput>, at: u64) -> Result<Layout, Fault> {
    let mut head = Vec::new();
    let mut tracks = None;
    let mut data_end = None;
    let mut next = at;
    for _ in 0..ELEMENTS_MAX {
        let Some(element) = element_at(input, next)? else {
            break;
        };
        let end = element.len.map(|len| element.at.saturating_add(len));
        match element.id {
            SEGMENT => {
                head.extend_from_slice(&SEGMENT.to_be_bytes());
                // All ones: the length is unknown.
                head.extend_from_slice(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
                data_end = end;
                next = element.at;
                continue;
            }
            EBML | INFO | TRACKS => {
                let raw = raw(input, next, end)?;
                if element.id == TRACKS {
                    let content = children(&raw)
                        .next()
                        .map_or(&[][..], |(_, content)| content);
                    tracks = Some(audio_tracks(content));
                }
                head.extend(raw);
            }
            CLUSTER => {
                let Some(tracks) = tracks else { break };
                let clusters = Clusters::new(head, tracks, next);
                let mut layout = Layout::plain(input, at);
                layout.view = clusters.view(input);
                layout.data_end = data_end;
                layout.parts = Parts::Clusters(clusters);
                return Ok(layout);
            }
            _ => {}
        }
        let Some(end) = end else { break };
        next = end;
    }
    if input.is_seekable() {
        // The tracks may be at the end of the file. The demuxer can find them.
        return Ok(Layout::plain(input, at));
    }
    Err(Fault::Damaged("the input ends before any audio".into()))
}

/// Reads an element with its header.
fn raw(input: &SharedInput, at: u64, end: Option<u64>) -> Result<Vec<u8>, Fault> {
    let len = end.map_or(u64::MAX, |end| end - at);
    let damaged = || Fault::Damaged("a header is damaged".into());
    if len > KEPT_BYTES_MAX {
        return Err(damaged());
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    if input.read_at(at, &mut bytes)? < bytes.len() {
        return Err(damaged());
    }
    Ok(bytes)
}

/// Reads the header of the element at `at`, or `None` if there is none.
fn element_at(input: &SharedInput, at: u64) -> Result<Option<Element>, Fault> {
    let mut bytes = [0; HEADER_BYTES_MAX];
    let count = input.read_at(at, &mut bytes)?;
    Ok(element(&bytes[..count]).map(|(id, header, len)| Element {
        id,
        at: at + header,
        len,
    }))
}

/// Reads the audio tracks from the content of a tracks element.
fn audio_tracks(tracks: &[u8]) -> Vec<AudioTrack> {
    const ENTRY: u32 = 0xae;
    const NUMBER: u32 = 0xd7;
    const TYPE: u32 = 0x83;
    const CODEC: u32 = 0x86;
    const DELAY: u32 = 0x56aa;
    const AUDIO: u64 = 2;
    let number = |content: &[u8]| content.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let mut found = Vec::new();
    for (_, entry) in children(tracks).filter(|(id, _)| *id == ENTRY) {
        let (mut track, mut kind) = (AudioTrack::default(), 0);
        for (id, content) in children(entry) {
            match id {
                NUMBER => track.number = number(content),
                TYPE => kind = number(content),
                CODEC => track.codec = String::from_utf8_lossy(content).into_owned(),
                DELAY => track.delay_ns = number(content),
                _ => {}
            }
        }
        if kind == AUDIO {
            found.push(track);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_tracks_are_read() {
        let entry = |kind: u8, codec: &[u8]| {
            let len = |content: &[u8]| 0x80 | u8::try_from(content.len()).unwrap();
            let content = [
                &[0xd7, 0x81, 3, 0x83, 0x81, kind, 0x86, len(codec)][..],
                codec,
                &[0x56, 0xaa, 0x83, 0x63, 0x2e, 0xa0],
            ]
            .concat();
            [&[0xae, len(&content)][..], &content].concat()
        };
        let tracks = [entry(1, b"V_VP8"), entry(2, b"A_OPUS")].concat();
        let expected = AudioTrack {
            number: 3,
            codec: "A_OPUS".into(),
            delay_ns: 6_500_000,
        };
        assert_eq!(audio_tracks(&tracks), [expected]);
        // Wherever it is cut, only whole entries are returned.
        for len in 0..tracks.len() {
            assert!(audio_tracks(&tracks[..len]).is_empty());
        }
    }
}
