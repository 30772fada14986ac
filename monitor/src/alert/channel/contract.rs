//! The interface of a channel.

use crate::alert::notice::Notice;

/// A way to send notices. Each channel runs in a thread of its own: it may be slow, fail or panic
/// without harm to others.
pub trait Channel: Send {
    /// Returns the name for the log.
    fn name(&self) -> &'static str;

    /// Returns whether success means that the notice was received. A log file acknowledges nothing.
    fn acknowledges(&self) -> bool;

    /// Returns whether the channel is only used once the others have failed.
    fn is_last_resort(&self) -> bool {
        false
    }

    /// Returns whether quiet notices are wanted too.
    fn wants_quiet(&self) -> bool;

    /// Delivers a notice.
    ///
    /// # Errors
    ///
    /// [`ChannelError`]: a critical notice is tried again.
    fn deliver(&mut self, notice: &Notice) -> Result<(), ChannelError>;
}

/// Why a notice did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// No receiver is connected now.
    #[error("no receiver is connected")]
    NoReceiver,
    /// The receiver refused.
    #[error("the receiver refused the notice")]
    Refused,
    /// The system refused.
    #[error("cannot send the notice")]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("the program did not end within {limit_s} s and was killed")]
    TooSlow {
        /// The limit in seconds.
        limit_s: u64,
    },
    /// There is no notification service, or it refused. Other channels are tried.
    #[cfg(feature = "desktop")]
    #[error("the desktop did not take the notification")]
    Desktop(#[source] notify_rust::error::Error),
}

impl std::fmt::Debug for dyn Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
