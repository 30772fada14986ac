//! The clusters of a Matroska file: shown from the first on, and from any other behind damage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cluster_watch::ClusterWatch;
use super::ebml::{CLUSTER, element};
use crate::decode::fault::Fault;
use crate::decode::headers::search::search;
use crate::decode::resync::PIECE_BYTES;
use crate::decode::shared_input::SharedInput;
use crate::decode::view::DemuxerView;

/// Elements that may come first in a cluster: its time stamp, a checksum, a filler, and two that
/// are rarely used.
const FIRST_IN_CLUSTER: [u8; 5] = [0xe7, 0xbf, 0xec, 0xa7, 0xab];

/// An audio track, as far as headers are read here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::decode) struct AudioTrack {
    pub(in crate::decode) number: u64,
    /// Matroska's name of the codec, such as `A_OPUS`.
    pub(in crate::decode) codec: String,
    /// The encoder's delay in nanoseconds; zero if the file declares none.
    pub(in crate::decode) delay_ns: u64,
}

/// The headers of the file, and the cluster from which it is read.
pub(in crate::decode) struct Clusters {
    head: Vec<u8>,
    pub(in crate::decode) tracks: Vec<AudioTrack>,
    /// Position of the cluster at which reading was last started.
    at: u64,
    /// Set by the view's observer: the bytes so far end inside an element, or with an unknown one.
    is_inside: Arc<AtomicBool>,
}

impl Clusters {
    /// Starts at the cluster at `at`. The demuxer is shown `head` before it.
    pub(super) fn new(head: Vec<u8>, tracks: Vec<AudioTrack>, at: u64) -> Self {
        Self {
            head,
            tracks,
            at,
            is_inside: Arc::default(),
        }
    }

    /// Shows the first cluster behind `from` and behind the last start, and all that follow it.
    /// Returns `None` if there is none.
    pub(in crate::decode) fn resume(
        &mut self,
        input: &Arc<SharedInput>,
        from: u64,
    ) -> Result<Option<DemuxerView>, Fault> {
        let Some(at) = search(input, from.max(self.at + 1), is_cluster)? else {
            return Ok(None);
        };
        self.at = at;
        Ok(Some(self.view(input)))
    }

    pub(super) fn view(&self, input: &Arc<SharedInput>) -> DemuxerView {
        let mut view = DemuxerView::new(Arc::clone(input), self.at);
        view.head.clone_from(&self.head);
        view.seekable = false;
        if !input.is_seekable() {
            // What the demuxer has read ahead of damage cannot be searched again.
            view.piece_bytes = PIECE_BYTES;
        }
        let mut watch = ClusterWatch::new(Arc::clone(&self.is_inside));
        view.observer = Some(Box::new(move |bytes| watch.pass(bytes)));
        view
    }

    /// Returns whether the bytes so far end in the middle of something.
    pub(in crate::decode) fn is_cut_off(&self) -> bool {
        self.is_inside.load(Ordering::Relaxed)
    }
}

/// Returns whether a cluster starts here: its id, and that of an element that may come first in it.
fn is_cluster(bytes: &[u8]) -> bool {
    if !bytes.starts_with(&CLUSTER.to_be_bytes()) {
        return false;
    }
    let first = element(bytes).and_then(|(_, header, _)| bytes.get(usize::try_from(header).ok()?));
    first.is_some_and(|first| FIRST_IN_CLUSTER.contains(first))
}
