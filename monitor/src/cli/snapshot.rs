//! `snapshot`: the memory now.

use std::error::Error;

use steadyscribe_monitor::monitor::Options;

use super::table;
use super::target::Target;

pub(super) fn run(json: bool, proportional: bool, target: &Target) -> Result<(), Box<dyn Error>> {
    let monitor = target.monitor(Options::default())?;
    let usage = if proportional {
        monitor.get_proportional_usage()
    } else {
        monitor.get_current_usage()
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&usage)?);
    } else {
        print!("{}", table::render(&usage, table::Style::detect()));
    }
    Ok(())
}
