//! Matroska and WebM: shown as a live stream.
//!
//! A demuxer that may seek reads the index, attachments and tags at the end of the file, keeps them all, and fails
//! where they are cut off. One that reads a live stream needs neither: it is shown the headers, a segment of unknown
//! length, and the clusters as they come. For the same reason it can start again at any cluster behind damage.
//!
//! Source: RFC 9559 (Matroska), RFC 8794 (EBML).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cluster_watch::ClusterWatch;
use super::{Layout, Parts, search};
use crate::decode::codec::Fault;
use crate::decode::input::Handle;
use crate::decode::passed::PIECE_BYTES;
use crate::decode::view::View;

/// Names of elements.
const EBML: u32 = 0x1a45_dfa3;
pub(super) const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
pub(super) const CLUSTER: u32 = 0x1f43_b675;

/// Elements that may stand first in a cluster: its time stamp, a checksum, a filler, and two that are little used.
const FIRST_IN_CLUSTER: [u8; 5] = [0xe7, 0xbf, 0xec, 0xa7, 0xab];

/// Largest header that is kept. The headers of Vorbis take 8 KB.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// Elements that are looked at before the first cluster.
const ELEMENTS_MAX: usize = 4_096;

/// Places to start again, and what the headers say of the audio.
pub(in crate::decode) struct Clusters {
    head: Vec<u8>,
    pub(in crate::decode) tracks: Vec<AudioTrack>,
    /// The cluster at which reading started last.
    at: u64,
    /// What was read so far ends inside an element, or with one that nobody knows.
    is_inside: Arc<AtomicBool>,
}

impl Clusters {
    /// Shows the clusters from the first one on that starts behind `from` and behind the one before, or nothing if
    /// there is none.
    pub(in crate::decode) fn resume(
        &mut self,
        input: &Arc<Handle>,
        from: u64,
    ) -> Result<Option<View>, Fault> {
        let Some(at) = search(input, from.max(self.at + 1), is_cluster)? else {
            return Ok(None);
        };
        self.at = at;
        Ok(Some(self.view(input)))
    }

    fn view(&self, input: &Arc<Handle>) -> View {
        let mut view = View::new(Arc::clone(input), self.at);
        view.head.clone_from(&self.head);
        view.seekable = false;
        if !input.is_seekable() {
            // What the demuxer has read ahead is not searched again behind damage.
            view.piece_bytes = PIECE_BYTES;
        }
        view.watch = Some(ClusterWatch::new(Arc::clone(&self.is_inside)));
        view
    }

    /// Returns whether what was read so far ends in the middle of something.
    pub(in crate::decode) fn is_cut_off(&self) -> bool {
        self.is_inside.load(Ordering::Relaxed)
    }
}

/// An element: its name, where its content starts, and how long that is if it is known.
struct Element {
    id: u32,
    at: u64,
    len: Option<u64>,
}

/// Reads the headers up to the first cluster.
pub(super) fn layout(input: &Arc<Handle>, at: u64) -> Result<Layout, Fault> {
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
                // Of unknown length.
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
                let clusters = Clusters {
                    head,
                    tracks,
                    at: next,
                    is_inside: Arc::default(),
                };
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
        // The tracks may stand at the end. The demuxer knows how to find them.
        return Ok(Layout::plain(input, at));
    }
    Err(Fault::Damaged("it ends before any audio".into()))
}

/// Reads an element with its header.
fn raw(input: &Handle, at: u64, end: Option<u64>) -> Result<Vec<u8>, Fault> {
    let len = end.map_or(u64::MAX, |end| end - at);
    let damaged = || Fault::Damaged("a header is damaged".into());
    if len > HEADER_BYTES_MAX {
        return Err(damaged());
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    if input.read_at(at, &mut bytes)? < bytes.len() {
        return Err(damaged());
    }
    Ok(bytes)
}

/// Reads the header of an element, or `None` where none can be.
fn element_at(input: &Handle, at: u64) -> Result<Option<Element>, Fault> {
    let mut bytes = [0; 12];
    let count = input.read_at(at, &mut bytes)?;
    Ok(element(&bytes[..count]).map(|(id, header, len)| Element {
        id,
        at: at + header,
        len,
    }))
}

/// Takes the header of an element apart: its name, its own length, and the length of the content.
pub(super) fn element(bytes: &[u8]) -> Option<(u32, u64, Option<u64>)> {
    let id_len = bytes.first()?.leading_zeros() as usize + 1;
    if id_len > 4 {
        return None;
    }
    let id = bytes
        .get(..id_len)?
        .iter()
        .fold(0, |id, byte| id << 8 | u32::from(*byte));
    let size = bytes.get(id_len..)?;
    let size_len = size.first()?.leading_zeros() as usize + 1;
    if size_len > 8 {
        return None;
    }
    let size = size
        .get(..size_len)?
        .iter()
        .fold(0, |len, byte| len << 8 | u64::from(*byte));
    let marker = 1 << (7 * size_len);
    let len = size & (marker - 1);
    Some((
        id,
        (id_len + size_len) as u64,
        (len != marker - 1).then_some(len),
    ))
}

/// Returns whether a cluster starts here: its name, and that of an element that may come first in one.
fn is_cluster(bytes: &[u8]) -> bool {
    if !bytes.starts_with(&CLUSTER.to_be_bytes()) {
        return false;
    }
    let first = element(bytes).and_then(|(_, header, _)| bytes.get(usize::try_from(header).ok()?));
    first.is_some_and(|first| FIRST_IN_CLUSTER.contains(first))
}

/// What is read of an audio track.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::decode) struct AudioTrack {
    pub(in crate::decode) number: u64,
    /// Matroska's name of the codec, such as `A_OPUS`.
    pub(in crate::decode) codec: String,
    /// The encoder's delay in nanoseconds; zero where the file does not tell.
    pub(in crate::decode) delay_ns: u64,
}

/// Takes the audio tracks out of an element of tracks.
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

/// Goes through the elements of a master element's content: their names and contents.
fn children(mut content: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (id, header, len) = element(content)?;
        let start = usize::try_from(header).ok()?;
        let end = start.checked_add(usize::try_from(len?).ok()?)?;
        let child = content.get(start..end)?;
        content = &content[end..];
        Some((id, child))
    })
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
        // Cut anywhere, it gives what is whole.
        for len in 0..tracks.len() {
            assert!(audio_tracks(&tracks[..len]).is_empty());
        }
    }

    #[test]
    fn element_headers() {
        for (bytes, expected) in [
            (&[0xe7, 0x81][..], Some((0xe7, 2, Some(1)))),
            (
                &[0x1f, 0x43, 0xb6, 0x75, 0x01, 0, 0, 0, 0, 0, 1, 2],
                Some((CLUSTER, 12, Some(258))),
            ),
            (&[0x1f, 0x43, 0xb6, 0x75, 0xff], Some((CLUSTER, 5, None))),
            (&[0x42, 0x86, 0x40, 0x02], Some((0x4286, 4, Some(2)))),
            (&[0x08, 0x81], None),
            (&[0xe7, 0x00], None),
            (&[0xe7, 0x40], None),
            (&[], None),
        ] {
            assert_eq!(element(bytes), expected, "{bytes:x?}");
        }
    }
}
