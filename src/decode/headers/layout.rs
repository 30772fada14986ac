//! The result of reading headers: what the demuxer is shown, and what it does not find out itself.

use std::sync::Arc;

use super::matroska::clusters::Clusters;
use super::mp4::fragments::Fragments;
use crate::decode::shared_input::SharedInput;
use crate::decode::view::DemuxerView;
use crate::time::Time;

/// How to read an input.
pub(in crate::decode) struct Layout {
    /// What the demuxer is shown, or the first part of it.
    pub(in crate::decode) view: DemuxerView,
    /// The container's name, if the demuxer is shown another container.
    pub(in crate::decode) container: Option<&'static str>,
    /// Declared length, if the demuxer cannot know it.
    pub(in crate::decode) declared: Option<Time>,
    /// The stamp at which the time line starts, in ticks of the track, if the demuxer cannot know
    /// it.
    pub(in crate::decode) origin_ticks: Option<i64>,
    /// Declared length without the encoder's padding, in ticks of the track, if the demuxer cannot
    /// know it.
    pub(in crate::decode) end_ticks: Option<u64>,
    /// First byte after the audio, as the headers declare it. An input that ends before is cut off.
    pub(in crate::decode) data_end: Option<u64>,
    /// Several audio tracks are shown. The headers must be read again with the one that was chosen.
    pub(in crate::decode) is_ambiguous: bool,
    /// What follows the first part, and how reading goes on behind damage.
    pub(in crate::decode) parts: Parts,
}

/// How reading goes on at the end of a view, and behind damage.
pub(in crate::decode) enum Parts {
    /// There is one part only.
    One,
    /// A Matroska file: reading goes on at any cluster.
    Clusters(Clusters),
    /// A fragmented mp4: it is shown fragment by fragment.
    Fragments(Fragments),
}

impl Layout {
    /// Shows all of an input from `at` on.
    pub(super) fn plain(input: &Arc<SharedInput>, at: u64) -> Self {
        Self {
            view: DemuxerView::new(Arc::clone(input), at),
            container: None,
            declared: None,
            origin_ticks: None,
            end_ticks: None,
            data_end: None,
            is_ambiguous: false,
            parts: Parts::One,
        }
    }
}
