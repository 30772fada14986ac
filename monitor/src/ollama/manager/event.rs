//! What a manager did and found, for a report.

use serde::Serialize;

use super::super::LoadProfile;

/// Something that a report mentions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum Event {
    /// A model was loaded.
    Loaded {
        /// Its name.
        model: String,
        /// Its profile.
        profile: LoadProfile,
    },
    /// A model was unloaded by us.
    Unloaded {
        /// Its name.
        model: String,
        /// Why.
        reason: UnloadReason,
    },
    /// A model of ours was gone: the server restarted, or somebody unloaded it.
    Vanished {
        /// Its name.
        model: String,
    },
    /// Another program loaded a model of ours with another context; set the same in both.
    ForeignReload {
        /// Its name.
        model: String,
        /// Our context.
        our_ctx: u32,
        /// Theirs.
        their_ctx: u64,
    },
    /// A model's file could not be mapped: it is loaded without from now on.
    MapFailed {
        /// Its name.
        model: String,
    },
    /// The server had no memory for a context that was planned: the next smaller one was taken.
    SteppedDown {
        /// Its name.
        model: String,
        /// The context that failed.
        from_ctx: u32,
    },
}

/// Why a model was unloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum UnloadReason {
    /// It was asked for.
    Asked,
    /// Nobody used it for the idle time.
    Idle,
    /// Another model needed the room, and this one was unused longest.
    LeastRecentlyUsed,
    /// Its process had grown beyond what the server claims for it.
    Bloated,
    /// The machine is short of memory: it is loaded again with a smaller context.
    Shrunk,
    /// The limit of all models was lowered.
    Limit,
}
