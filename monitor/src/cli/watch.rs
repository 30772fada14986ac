//! `watch`: a table that is kept up to date.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use steadyscribe_monitor::monitor::Options;

use super::table::{self, Style};
use super::target::Target;

/// Samples and prints until `count` is reached, or for ever.
pub(super) fn run(
    interval_s: f64,
    count: Option<u64>,
    target: &Target,
) -> Result<(), Box<dyn Error>> {
    let monitor = target.monitor(Options::default())?;
    let interval = Duration::try_from_secs_f64(interval_s)?;
    let mut out = std::io::stdout().lock();
    let mut left = count;
    while left != Some(0) {
        // The user may have changed the size of the terminal.
        let style = Style::detect();
        let text = table::render(&monitor.get_current_usage(), style);
        // Home and clear below instead of clear screen, which flickers.
        let text = if style.is_terminal() {
            format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
        } else {
            text
        };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // The reader of the pipe has ended.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
        left = left.map(|n| n - 1);
        if left != Some(0) {
            std::thread::sleep(interval);
        }
    }
    Ok(())
}
