//! Ways to tell somebody.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Notice, Severity};

#[cfg(feature = "desktop")]
mod desktop;

#[cfg(feature = "desktop")]
pub use desktop::Desktop;

/// Longest time that a command may take.
const COMMAND_S_MAX: u64 = 10;

/// A way to tell somebody. Each runs in a thread of its own: it may be slow, fail or panic without harm to others.
pub trait Channel: Send {
    /// Returns the name for the log.
    fn name(&self) -> &'static str;

    /// Returns whether success means that somebody received the notice. A log file acknowledges nothing.
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
    /// Nobody listens now.
    #[error("nobody listens")]
    NobodyListens,
    /// The receiver refused.
    #[error("the receiver refused")]
    Refused,
    /// The system said no.
    #[error("the notice could not be sent")]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("no answer after {limit_s} s")]
    TooSlow {
        /// The limit in seconds.
        limit_s: u64,
    },
    /// There is no notification service, or it said no: do without, other channels are tried.
    #[cfg(feature = "desktop")]
    #[error("the desktop did not take the notification")]
    Desktop(#[source] notify_rust::error::Error),
}

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

/// Calls a function of the host, which returns whether the notice reached somebody.
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

/// Runs a program with the headline as its argument and the notice as JSON in `STEADYSCRIBE_ALERT`, when nobody else was
/// reached. Exit code 0 acknowledges.
#[derive(Clone, Debug)]
pub struct Program {
    program: std::path::PathBuf,
}

impl Program {
    /// Names the program.
    #[must_use]
    pub fn new(program: impl Into<std::path::PathBuf>) -> Self {
        Self {
            program: program.into(),
        }
    }
}

impl Channel for Program {
    fn name(&self) -> &'static str {
        "command"
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn is_last_resort(&self) -> bool {
        true
    }

    fn wants_quiet(&self) -> bool {
        false
    }

    fn deliver(&mut self, notice: &Notice) -> Result<(), ChannelError> {
        let json = serde_json::to_string(notice).map_err(std::io::Error::from)?;
        let mut child = Command::new(&self.program)
            .arg(notice.headline())
            .env("STEADYSCRIBE_ALERT", json)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let until = Instant::now() + Duration::from_secs(COMMAND_S_MAX);
        while Instant::now() < until {
            if let Some(status) = child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(ChannelError::Refused)
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill()?;
        child.wait()?;
        Err(ChannelError::TooSlow {
            limit_s: COMMAND_S_MAX,
        })
    }
}
