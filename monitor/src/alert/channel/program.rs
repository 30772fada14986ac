//! A program as a channel.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::contract::{Channel, ChannelError};
use crate::alert::notice::Notice;

/// Longest time that the program may take.
const PROGRAM_S_MAX: u64 = 10;

/// Runs a program once the other channels have failed, with the headline as its argument and the
/// notice as JSON in `STEADYSCRIBE_ALERT`. Exit code 0 acknowledges.
#[derive(Clone, Debug)]
pub struct Program {
    program: PathBuf,
}

impl Program {
    /// Names the program.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
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
        let until = Instant::now() + Duration::from_secs(PROGRAM_S_MAX);
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
            limit_s: PROGRAM_S_MAX,
        })
    }
}
