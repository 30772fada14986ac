//! Arguments and commands.

mod analyze;
#[cfg(feature = "ollama")]
mod ollama;
#[cfg(feature = "dashboard")]
mod serve;
mod table;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use steadyscribe_monitor::Component;
use steadyscribe_monitor::alert::{Timing, journal};
use steadyscribe_monitor::history;
use steadyscribe_monitor::monitor::{Monitor, Options};
use steadyscribe_monitor::reader::{ProcessId, System};
use steadyscribe_monitor::report::{MemoryAnalysisReport, iso8601};
use steadyscribe_monitor::watcher::Watcher;

/// What a report of a history has to say.
const NOT_RECORDED: &str = "processes and reclaimable memory are not recorded";

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
        /// Stop after so many samples
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
        /// Stop after so many hours
        #[arg(long)]
        hours: Option<f64>,
        #[command(flatten)]
        target: Target,
    },
    /// Judges recorded traces: JSON lines with verdict, rate and trend of each component
    Analyze {
        /// A history of `record`; CSV with `minute,bytes` or `timestamp,component,bytes`; JSON lines with these names;
        /// `-` for standard input
        file: PathBuf,
        /// Rate worth finding, in MB (1,000,000 bytes) per hour
        #[arg(long, default_value_t = 10.0, value_parser = rate)]
        target_mb_per_hour: f64,
    },
    /// Writes a report
    Report {
        /// Report of what `record` wrote, instead of this machine now
        #[arg(long, value_name = "FILE", conflicts_with = "component")]
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
    /// Plans, loads, unloads and reports the models of an Ollama server
    #[cfg(feature = "ollama")]
    Ollama(ollama::OllamaArgs),
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
        Command::Snapshot {
            json,
            proportional,
            target,
        } => snapshot(json, proportional, &target),
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
        } => report(history.as_deref(), format, output.as_deref(), &target),
        Command::Alerts {
            journal,
            acknowledge,
        } => alerts(&journal, acknowledge),
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

/// What runs for long tells alerts, and what goes wrong beside the work, on standard error.
fn log() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::INFO)
        .init();
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

    /// Looks at a history as if its samples were taken now, one after another.
    fn recall(&self, path: &Path) -> Result<Watcher, Box<dyn Error>> {
        let mut watcher = Watcher::new(Timing::default(), 1);
        watcher.pressure_mut().set_budget_bytes(self.budget);
        for (component, bytes) in &self.limit {
            watcher.set_limit_bytes(*component, Some(*bytes));
        }
        let mut records = 0_u64;
        for (steady_ms, record) in history::steadily(history::read(path)?) {
            // Whom the alerts told is past.
            let mut sample = record.to_sample(steady_ms);
            sample.reasons.push(NOT_RECORDED.to_owned());
            drop(watcher.observe(sample));
            records += 1;
        }
        if records == 0 {
            return Err(format!("{} holds no sample", path.display()).into());
        }
        Ok(watcher)
    }
}

fn snapshot(json: bool, proportional: bool, target: &Target) -> Outcome {
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

fn record(file: &Path, interval: f64, hours: Option<f64>, target: &Target) -> Outcome {
    log();
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

fn report(history: Option<&Path>, format: Form, output: Option<&Path>, target: &Target) -> Outcome {
    let report = match history {
        Some(path) => MemoryAnalysisReport::new(&target.recall(path)?),
        None => target.monitor(Options::default())?.generate_memory_report(),
    };
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
    let mut open = journal::unacknowledged(path)?;
    if let Some(id) = acknowledge {
        let at = open.iter().position(|notice| notice.id == id);
        open.remove(at.ok_or_else(|| format!("no open alert has the number {id}"))?);
        journal::acknowledge(path, id)?;
    }
    for notice in &open {
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
    if open.is_empty() {
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

/// A rate above 0.
fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    if rate > 0.0 && rate.is_finite() {
        Ok(rate)
    } else {
        Err(format!("{text} MB/h is not above 0"))
    }
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
