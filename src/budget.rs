//! How the bytes divide among model, state, window and pool, before any of them is allocated.

/// What an engine will hold in one way of running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// Bytes of the model's weights.
    pub model_bytes: u64,
    /// Bytes of working memory that our use of the engine makes private.
    pub state_bytes: u64,
    /// Bytes of working memory that the engine reserves, touched or not.
    pub reserved_bytes: u64,
    /// Attention is computed in pieces: less memory, more time.
    pub flash_attention: bool,
}
