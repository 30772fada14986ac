//! The log as a channel.

use super::contract::{Channel, ChannelError};
use crate::alert::key::Severity;
use crate::alert::notice::Notice;

/// Writes every notice to `tracing`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Log;

impl Channel for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn acknowledges(&self) -> bool {
        false
    }

    fn wants_quiet(&self) -> bool {
        true
    }

    fn deliver(&mut self, notice: &Notice) -> Result<(), ChannelError> {
        let (id, advice) = (notice.id, notice.facts.advice.as_str());
        match notice.severity {
            Severity::Info => tracing::info!(id, advice, "{}", notice.headline()),
            Severity::Warning => tracing::warn!(id, advice, "{}", notice.headline()),
            Severity::Critical => tracing::error!(id, advice, "{}", notice.headline()),
        }
        Ok(())
    }
}
