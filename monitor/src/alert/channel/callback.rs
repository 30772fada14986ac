//! A function of the host as a channel.

use super::contract::{Channel, ChannelError};
use crate::alert::notice::Notice;

/// Calls a function of the host, which returns whether the notice was received.
pub struct Callback<F>(F);

impl<F: FnMut(&Notice) -> bool + Send> Callback<F> {
    /// Wraps the function.
    #[must_use]
    pub fn new(function: F) -> Self {
        Self(function)
    }
}

impl<F> std::fmt::Debug for Callback<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Callback")
    }
}

impl<F: FnMut(&Notice) -> bool + Send> Channel for Callback<F> {
    fn name(&self) -> &'static str {
        "callback"
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn wants_quiet(&self) -> bool {
        true
    }

    fn deliver(&mut self, notice: &Notice) -> Result<(), ChannelError> {
        if (self.0)(notice) {
            Ok(())
        } else {
            Err(ChannelError::Refused)
        }
    }
}
