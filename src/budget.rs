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

/// What was planned.
#[derive(Clone, Debug)]
pub struct Plan {
    chosen: Footprint,
}

impl Plan {
    /// Plans.
    ///
    /// # Errors
    ///
    /// When nothing fits.
    pub fn new(
        config: &crate::Config,
        footprints: &[Footprint],
    ) -> Result<Self, crate::ConfigError> {
        let _ = config;
        Ok(Self {
            chosen: footprints[0],
        })
    }

    /// Returns the way of running that was chosen.
    #[must_use]
    pub fn chosen(&self) -> &Footprint {
        &self.chosen
    }

    /// Returns all bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.chosen.model_bytes
    }
}
