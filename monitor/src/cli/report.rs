//! `report`: a report of now, or of a history.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use clap::ValueEnum;
use steadyscribe_monitor::monitor::Options;
use steadyscribe_monitor::report::MemoryAnalysisReport;

use super::target::Target;

/// Format of a report.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    Json,
    Md,
    Html,
}

pub(super) fn run(
    history: Option<&Path>,
    format: Format,
    output: Option<&Path>,
    target: &Target,
) -> Result<(), Box<dyn Error>> {
    let report = match history {
        Some(path) => MemoryAnalysisReport::new(&target.replay(path)?),
        None => target.monitor(Options::default())?.generate_memory_report(),
    };
    let text = match format {
        Format::Json => report.to_json()?,
        Format::Md => report.to_markdown(),
        Format::Html => report.to_html(),
    };
    match output {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(())
}
