//! `record`: samples into a history.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use steadyscribe_monitor::monitor::Options;

use super::logging;
use super::target::Target;

pub(super) fn run(
    file: &Path,
    interval_s: f64,
    hours: Option<f64>,
    target: &Target,
) -> Result<(), Box<dyn Error>> {
    logging::start();
    let mut options = Options::default();
    options.history = Some(file.to_path_buf());
    let monitor = target.monitor(options)?;
    monitor.start_continuous_monitoring(Duration::try_from_secs_f64(interval_s)?)?;
    match hours {
        Some(hours) => std::thread::sleep(Duration::try_from_secs_f64(hours * 3_600.0)?),
        // Until the user ends the program: every record is whole by then.
        None => loop {
            std::thread::park();
        },
    }
    Ok(())
}
