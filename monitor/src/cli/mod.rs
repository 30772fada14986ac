//! Arguments and commands.

mod alerts;
mod analyze;
mod logging;
#[cfg(feature = "ollama")]
mod ollama;
mod record;
mod report;
#[cfg(feature = "dashboard")]
mod serve;
mod snapshot;
mod table;
mod target;
mod values;
mod watch;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use report::Format;
use target::Target;
use values::{rate, seconds};

/// Measures the memory of each part of a local AI app, distinguishes leaks from normal growth, and
/// alerts.
///
/// Memory is the private figure: anonymous + shared memory + swap. Mapped files are shown apart, as
/// reclaimable.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
    steadyscribe-monitor snapshot --component ollama=1234\n  \
    steadyscribe-monitor watch --interval 2\n  \
    steadyscribe-monitor record history.bin --hours 24\n  \
    steadyscribe-monitor report --history history.bin --format html --output report.html\n  \
    steadyscribe-monitor analyze trace.csv\n\n\
    Exit codes: 0 done, 1 failed, 2 wrong arguments."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the memory of all components now
    Snapshot {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Read proportional shares, too: every page is looked at, 12 ms per GiB
        #[arg(long)]
        proportional: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Shows a table that is kept up to date
    Watch {
        /// Seconds between samples
        #[arg(long, default_value_t = 2.0, value_parser = seconds)]
        interval: f64,
        /// Stop after this number of samples
        #[arg(long)]
        count: Option<u64>,
        #[command(flatten)]
        target: Target,
    },
    /// Samples into a history file
    Record {
        /// File to append to; at most 6.3 MB, which is a week
        file: PathBuf,
        /// Seconds between samples; records are at least 10 s apart
        #[arg(long, default_value_t = 10.0, value_parser = seconds)]
        interval: f64,
        /// Stop after this number of hours
        #[arg(long)]
        hours: Option<f64>,
        #[command(flatten)]
        target: Target,
    },
    /// Judges recorded traces: prints JSON lines with verdict, rate and trend of each component
    Analyze {
        /// A history of `record`; CSV with `minute,bytes` or `timestamp,component,bytes`; JSON
        /// lines with these names; `-` for standard input
        file: PathBuf,
        /// Rate worth finding, in MB (1,000,000 bytes) per hour
        #[arg(long, default_value_t = 10.0, value_parser = rate)]
        target_mb_per_hour: f64,
    },
    /// Writes a report
    Report {
        /// Report a history of `record`, instead of this machine now
        #[arg(long, value_name = "FILE", conflicts_with = "component")]
        history: Option<PathBuf>,
        /// Format of the report
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
        /// File to write; standard output without it
        #[arg(long)]
        output: Option<PathBuf>,
        #[command(flatten)]
        target: Target,
    },
    /// Lists the critical alerts that are not acknowledged
    Alerts {
        /// Journal of the alerts
        journal: PathBuf,
        /// Acknowledge the alert with this number
        #[arg(long)]
        acknowledge: Option<u64>,
    },
    /// Plans, loads, unloads and reports the models of an Ollama server
    #[cfg(feature = "ollama")]
    Ollama(ollama::OllamaArgs),
    /// Serves the dashboard on this machine
    #[cfg(feature = "dashboard")]
    Serve(serve::ServeArgs),
}

/// Runs a command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    match arguments.command {
        Command::Snapshot {
            json,
            proportional,
            target,
        } => snapshot::run(json, proportional, &target),
        Command::Watch {
            interval,
            count,
            target,
        } => watch::run(interval, count, &target),
        Command::Record {
            file,
            interval,
            hours,
            target,
        } => record::run(&file, interval, hours, &target),
        Command::Analyze {
            file,
            target_mb_per_hour,
        } => analyze::run(&file, target_mb_per_hour),
        Command::Report {
            history,
            format,
            output,
            target,
        } => report::run(history.as_deref(), format, output.as_deref(), &target),
        Command::Alerts {
            journal,
            acknowledge,
        } => alerts::run(&journal, acknowledge),
        #[cfg(feature = "ollama")]
        Command::Ollama(args) => {
            let mut out = std::io::stdout();
            let is_terminal = std::io::IsTerminal::is_terminal(&out);
            ollama::run(&args, &mut out, is_terminal)?;
            Ok(())
        }
        #[cfg(feature = "dashboard")]
        Command::Serve(args) => serve::run(args),
    }
}
