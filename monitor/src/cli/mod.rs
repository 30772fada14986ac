//! Arguments and commands.

mod analyze;
#[cfg(feature = "dashboard")]
mod serve;
mod table;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use steadyscribe_monitor::Component;
use steadyscribe_monitor::alert::journal::Journal;
use steadyscribe_monitor::monitor::{Monitor, Options};
use steadyscribe_monitor::reader::{ProcessId, System};
use steadyscribe_monitor::report::iso8601;

type Outcome = Result<(), Box<dyn Error>>;

/// Shows what each part of a local AI app holds in memory, tells leaks from normal growth, and alerts.
///
/// Memory is the private figure: anonymous + shared memory + swap. Mapped files are shown apart, as reclaimable.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
    steadyscribe-monitor snapshot --component ollama=1234\n  \
    steadyscribe-monitor watch --interval 2\n  \
    steadyscribe-monitor record history.bin --hours 24\n  \
    steadyscribe-monitor analyze trace.csv"
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
        #[command(flatten)]
        target: Target,
    },
    /// Shows a table that is kept up to date
    Watch {
        /// Seconds between samples
        #[arg(long, default_value_t = 2.0, value_parser = seconds)]
        interval: f64,
        /// Stop after so many samples
        #[arg(long)]
        count: Option<u64>,
        #[command(flatten)]
        target: Target,
    },
    /// Samples into a history file
    Record {
        /// File to append to; at most 5 MB
        file: PathBuf,
        /// Seconds between samples; records are at least 10 s apart
        #[arg(long, default_value_t = 10.0, value_parser = seconds)]
        interval: f64,
        /// Stop after so many hours
        #[arg(long)]
        hours: Option<f64>,
        #[command(flatten)]
        target: Target,
    },
    /// Judges recorded traces: JSON lines with verdict, rate and trend of each component
    Analyze {
        /// A history of `record`; CSV with `minute,bytes` or `timestamp,component,bytes`; or JSON lines with these names
        file: PathBuf,
        /// Rate worth finding, in MB (1,000,000 bytes) per hour
        #[arg(long, default_value_t = 10.0)]
        target_mb_per_hour: f64,
    },
    /// Writes a report
    Report {
        /// History of `record` to draw
        #[arg(long)]
        history: Option<PathBuf>,
        /// Form of the report
        #[arg(long, value_enum, default_value_t = Form::Md)]
        format: Form,
        /// File to write; standard output without it
        #[arg(long)]
        output: Option<PathBuf>,
        #[command(flatten)]
        target: Target,
    },
    /// Lists the critical alerts that nobody has acknowledged
    Alerts {
        /// Journal of the alerts
        journal: PathBuf,
        /// Acknowledge the alert with this number
        #[arg(long)]
        acknowledge: Option<u64>,
    },
    /// Tells what Ollama's models cost, which context fits, and loads and unloads them
    #[cfg(feature = "ollama")]
    Ollama(steadyscribe_monitor::ollama::command::OllamaArgs),
    /// Serves the dashboard on this machine
    #[cfg(feature = "dashboard")]
    Serve(serve::ServeArgs),
}

/// What is watched.
#[derive(Debug, Args)]
struct Target {
    /// A process of a component, with what it starts: ollama, audio, frontend, backend or monitor
    #[arg(long, value_name = "NAME=PID", value_parser = component)]
    component: Vec<(Component, u32)>,
    /// What the app may use in all, such as 4G or 800M
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    budget: Option<u64>,
    /// What a component may use
    #[arg(long, value_name = "NAME=BYTES", value_parser = limit)]
    limit: Vec<(Component, u64)>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Json,
    Md,
    Html,
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    match arguments.command {
        Command::Snapshot { json, target } => snapshot(json, &target),
        Command::Watch {
            interval,
            count,
            target,
        } => {
            let monitor = target.monitor(Options::default())?;
            table::watch(&monitor, Duration::from_secs_f64(interval), count)?;
            Ok(())
        }
        Command::Record {
            file,
            interval,
            hours,
            target,
        } => record(&file, interval, hours, &target),
        Command::Analyze {
            file,
            target_mb_per_hour,
        } => analyze::run(&file, target_mb_per_hour),
        Command::Report {
            history,
            format,
            output,
            target,
        } => report(history, format, output.as_deref(), &target),
        Command::Alerts {
            journal,
            acknowledge,
        } => alerts(&journal, acknowledge),
        #[cfg(feature = "ollama")]
        Command::Ollama(args) => {
            let mut out = std::io::stdout();
            let is_terminal = std::io::IsTerminal::is_terminal(&out);
            steadyscribe_monitor::ollama::command::run(&args, &mut out, is_terminal)?;
            Ok(())
        }
        #[cfg(feature = "dashboard")]
        Command::Serve(args) => serve::run(args),
    }
}

impl Target {
    /// Makes a monitor that is itself the component Monitor.
    fn monitor(&self, options: Options) -> Result<Monitor, Box<dyn Error>> {
        let mut options = options;
        options.budget_bytes = self.budget;
        let system = System::host();
        // The command is not the app: no process is the app's first.
        options.app = Some(ProcessId::new(0, 0));
        let monitor = Monitor::new(options)?;
        monitor.hand_over(system.identify(std::process::id())?, Component::Monitor)?;
        for (component, pid) in &self.component {
            monitor.hand_over(system.identify(*pid)?, *component)?;
        }
        for (component, bytes) in &self.limit {
            monitor.set_limit_bytes(*component, Some(*bytes));
        }
        Ok(monitor)
    }
}

fn snapshot(json: bool, target: &Target) -> Outcome {
    let usage = target.monitor(Options::default())?.get_current_usage();
    if json {
        println!("{}", serde_json::to_string_pretty(&usage)?);
    } else {
        print!("{}", table::render(&usage, table::Style::detect()));
    }
    Ok(())
}

fn record(file: &Path, interval: f64, hours: Option<f64>, target: &Target) -> Outcome {
    let mut options = Options::default();
    options.history = Some(file.to_path_buf());
    let monitor = target.monitor(options)?;
    monitor.start_continuous_monitoring(Duration::from_secs_f64(interval))?;
    match hours {
        Some(hours) => std::thread::sleep(Duration::try_from_secs_f64(hours * 3_600.0)?),
        // Until the user ends it: what is written by then is whole.
        None => loop {
            std::thread::park();
        },
    }
    Ok(())
}

fn report(
    history: Option<PathBuf>,
    format: Form,
    output: Option<&Path>,
    target: &Target,
) -> Outcome {
    let mut options = Options::default();
    if let Some(path) = &history {
        // Appending to a history that is not there would make one.
        drop(steadyscribe_monitor::history::read(path)?);
    }
    options.history = history;
    let report = target.monitor(options)?.generate_memory_report();
    let text = match format {
        Form::Json => report.to_json()?,
        Form::Md => report.to_markdown(),
        Form::Html => report.to_html(),
    };
    match output {
        Some(path) => std::fs::write(path, text)?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(())
}

fn alerts(path: &Path, acknowledge: Option<u64>) -> Outcome {
    let mut journal = Journal::open(path)?;
    if let Some(id) = acknowledge {
        journal.acknowledged(id)?;
    }
    for notice in journal.unacknowledged() {
        println!(
            "{:>6}  {}  {}",
            notice.id,
            iso8601(notice.unix_ms),
            notice.headline()
        );
        if !notice.facts.done.is_empty() {
            println!("        done: {}", notice.facts.done);
        }
        println!("        {}", notice.facts.advice);
    }
    if journal.unacknowledged().is_empty() {
        println!("no critical alert is open");
    }
    Ok(())
}

fn component(text: &str) -> Result<(Component, u32), String> {
    let (name, pid) = text.split_once('=').ok_or("expected NAME=PID")?;
    let pid = pid
        .parse()
        .map_err(|_| format!("{pid} is no process number"))?;
    Ok((named(name)?, pid))
}

fn limit(text: &str) -> Result<(Component, u64), String> {
    let (name, amount) = text.split_once('=').ok_or("expected NAME=BYTES")?;
    Ok((named(name)?, bytes(amount)?))
}

fn named(name: &str) -> Result<Component, String> {
    Component::from_name(name).ok_or_else(|| {
        let names = Component::ALL
            .map(Component::name)
            .join(", ")
            .to_lowercase();
        format!("{name} is no component; there are {names}")
    })
}

/// `512M`, `4G` (powers of 1,024) or plain bytes.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale: u64 = match text[digits.len()..]
        .to_ascii_uppercase()
        .trim_end_matches("IB")
    {
        "" | "B" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        unit => return Err(format!("{unit} is no unit; there are K, M and G")),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text} is no number of bytes"))?;
    number
        .checked_mul(scale)
        .ok_or_else(|| format!("{text} is too much"))
}

/// 0.1 s to a day.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("{text} is no number of seconds"))?;
    if (0.1..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("{seconds} s is not between 0.1 and 86,400"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        for (text, expected) in [
            ("0", Some(0)),
            ("12K", Some(12 << 10)),
            ("4g", Some(4 << 30)),
            ("3MiB", Some(3 << 20)),
            ("x", None),
            ("5T", None),
            ("", None),
            ("99999999999G", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
        assert_eq!(component("OLLAMA=7"), Ok((Component::Ollama, 7)));
        assert!(component("ollama").is_err() && component("x=7").is_err());
        assert!(seconds("0").is_err() && seconds("nan").is_err());
    }
}
