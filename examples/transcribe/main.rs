//! Transcribes audio and video files from the command line. For the options, run
//! `cargo run --release --example transcribe -- --help`.
//!
//! | question | file |
//! |---|---|
//! | which options are there? | `args.rs`, sizes and times in `quantity.rs` |
//! | where does each transcript go? | `outputs.rs` |
//! | which model is used, and how is it downloaded? | `models.rs` |
//! | how are channels mixed or split? | `transcribers.rs` |
//! | what is shown meanwhile? | `progress.rs`, with `--verbose` `lines.rs` |
//! | what is printed at the end? | `messages.rs`, with `--report` `report.rs` |
//! | which exit code follows? | `exit.rs`, Ctrl-C in `interrupt.rs` |

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a program on a terminal"
)]

/// Writes a line to standard error. The standard library's macro panics if the reader is gone, as
/// in `2>&1 | head`.
macro_rules! eprintln {
    ($($line:tt)*) => {{
        use std::io::Write;
        // Without a reader there is nowhere to report the error.
        let _ = writeln!(std::io::stderr(), $($line)*);
    }};
}

mod args;
mod exit;
mod interrupt;
mod lines;
mod messages;
mod models;
mod outputs;
mod progress;
mod quantity;
mod report;
mod transcribers;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use steadyscribe::budget::{Plan, Variant};
use steadyscribe::engine::Engine;
use steadyscribe::sink::Sink;
use steadyscribe::source::Source;
use steadyscribe::{Cancel, EnginePool, Error, Summary, Whisper};
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Args, Channels, Command};
use crate::exit::{Exit, Failure};
use crate::lines::Detail;
use crate::models::Choice;
use crate::outputs::Job;
use crate::progress::Bar;
use crate::report::Entry;
use crate::transcribers::Transcribers;

fn main() -> ExitCode {
    let args = Args::parse();
    wait_passively();
    log_to_terminal(&args);
    keep_quiet_about_decoders(&args);
    steadyscribe::memory::return_large_blocks();
    let exit = run(&args).unwrap_or_else(|failure| {
        if failure.is_closed_pipe() {
            return Exit::Done;
        }
        eprintln!("error: {failure}");
        failure.exit
    });
    exit.into()
}

/// Makes ggml's OpenMP threads sleep while they wait. On a busy machine, spinning makes them many
/// times slower.
///
/// OpenMP reads the setting before `main`, so the program replaces itself with a new start.
fn wait_passively() {
    #[cfg(all(feature = "openmp", target_os = "linux"))]
    {
        use std::os::unix::process::CommandExt;
        const CHOICE: &str = "OMP_WAIT_POLICY";
        if std::env::var_os(CHOICE).is_some() {
            return;
        }
        if let Ok(program) = std::env::current_exe() {
            let mut again = std::process::Command::new(program);
            again
                .args(std::env::args_os().skip(1))
                .env(CHOICE, "passive");
            // Returns only on failure. The program then continues with spinning threads.
            let _ = again.exec();
        }
    }
}

fn log_to_terminal(args: &Args) {
    let detail = match (args.quiet, args.verbose) {
        (true, _) => Detail::Errors,
        (_, true) => Detail::Decisions,
        _ => Detail::Warnings,
    };
    lines::subscriber(detail, std::io::stderr).init();
}

/// Suppresses the message of a decoder that panics on damaged data: the library reports the damage.
fn keep_quiet_about_decoders(args: &Args) {
    if args.verbose {
        return;
    }
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some("scribe-decode") {
            loud(panic);
        }
    }));
}

fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(Command::Models(command)) = &args.command {
        return models::run(command);
    }
    let jobs = outputs::jobs(&args.files, &args.formats, args.output.as_deref())?;
    if args.journal.is_some() && jobs.len() > 1 {
        let error =
            "--journal takes one input; run the program once for each, with its own journal";
        return Err(Failure::new(Exit::Usage, error));
    }
    if args.channels == Channels::Split {
        check_split(args, &jobs)?;
    }
    let config = args.config();
    let model = Choice::of(args.model.as_deref())?;
    if model == Choice::Fixture && !args.quiet {
        eprintln!("no --model given: using the fixture model, which knows only 360 words");
    }
    // Checked before the download: the model may not fit the budget, or not support the options.
    let published = model.plan(&config, &args.whisper_options())?;
    if let (Some((plan, variants)), true) = (published, args.plan) {
        return print_plan(args, &plan, &variants);
    }
    let first = match &jobs[..] {
        // A wrong path is reported before the model is downloaded or loaded.
        [job] if !args.plan => Some(job.source(args.raw)?),
        _ => None,
    };
    let engine = Whisper::open(model.file(args.quiet)?, args.whisper_options())?;
    if args.plan {
        let variants = engine.variants();
        let pool = EnginePool::new(&config, engine, 1).map_err(Error::from)?;
        return print_plan(args, pool.plan(), &variants);
    }
    let mut transcribers = Transcribers::new(args, engine).map_err(Failure::loading)?;
    if let (Transcribers::Mixed(transcriber), true) = (&transcribers, args.verbose) {
        eprintln!("{}", transcriber.plan());
    }
    let cancel = transcribers.cancel();
    interrupt::install(cancel.clone()).map_err(|error| Failure::new(Exit::Failed, error))?;
    let (exit, entries) = transcribe_all(args, &jobs, first, &mut transcribers, &cancel);
    if let Some(path) = &args.report {
        report::write(path, &entries).map_err(|error| Failure::new(Exit::Failed, error))?;
    }
    Ok(exit)
}

/// Refuses inputs and options that `--channels split` does not support.
fn check_split(args: &Args, jobs: &[Job]) -> Result<(), Failure> {
    let refused = |error: &str| Err(Failure::new(Exit::Usage, error));
    if jobs.iter().any(Job::is_stdin) {
        return refused(
            "--channels split reads the input once for each channel; give it as a file",
        );
    }
    if args.journal.is_some() {
        return refused("--channels split does not support --journal; use only one of them");
    }
    Ok(())
}

fn print_plan(args: &Args, plan: &Plan, variants: &[Variant]) -> Result<Exit, Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{plan}").map_err(Error::Sink)?;
    if args.channels == Channels::Split {
        // Without a budget each channel has an engine state of its own.
        let mut config = args.config();
        config.memory_budget_bytes = None;
        let held = |channels| Plan::new(&config, variants, channels).map(|plan| plan.peak_bytes());
        let one_channel = held(1).map_err(Error::from)?;
        let each = held(2).map_err(Error::from)? - one_channel;
        let each_mb = each as f64 / 1e6;
        writeln!(out, "{:<24}{each_mb:>9.1} MB", "each further channel").map_err(Error::Sink)?;
    }
    Ok(Exit::Done)
}

/// Transcribes one input after another, of which the first may be open already. Returns the exit
/// code of the first failure, and a report of each.
fn transcribe_all(
    args: &Args,
    jobs: &[Job],
    mut opened: Option<Box<dyn Source>>,
    transcribers: &mut Transcribers,
    cancel: &Cancel,
) -> (Exit, Vec<Entry>) {
    let mut first = Exit::Done;
    let mut entries = Vec::with_capacity(jobs.len());
    for job in jobs {
        let file = job.name();
        let source = opened.take().map_or_else(|| job.source(args.raw), Ok);
        let summaries = source.map_err(Failure::from);
        let summaries = summaries.and_then(|source| transcribe(args, job, source, transcribers));
        let exit = match summaries {
            Ok(summaries) => {
                let exits = summaries.iter().map(Exit::from);
                let exit = exits.reduce(Exit::or).unwrap_or(Exit::Done);
                for (n, summary) in summaries.into_iter().enumerate() {
                    let channel = (args.channels == Channels::Split).then_some(n);
                    messages::print(args, job, channel, &summary);
                    entries.push(Entry::of(file.clone(), channel, summary));
                }
                exit
            }
            Err(failure) if failure.is_closed_pipe() => return (first, entries),
            Err(failure) => {
                eprintln!("error: {failure}");
                entries.push(Entry::failed(file, failure.to_string()));
                failure.exit
            }
        };
        first = first.or(exit);
        if cancel.is_cancelled() {
            break;
        }
    }
    (first, entries)
}

fn transcribe(
    args: &Args,
    job: &Job,
    mut source: Box<dyn Source>,
    transcribers: &mut Transcribers,
) -> Result<Vec<Summary>, Failure> {
    let prepared = transcribers.prepare(&mut source);
    let prepared = prepared.map_err(Failure::loading)?;
    let sink = job.sink().map_err(Error::Sink)?;
    // Verbose lines and a bar would overwrite each other.
    let bar = if args.quiet || args.verbose {
        Bar::hidden()
    } else {
        Bar::show(prepared.progress(), &args.input_options())
            .map_err(|error| Failure::new(Exit::Failed, error))?
    };
    // Only output to the same terminal can disturb the bar.
    let mut sink: Box<dyn Sink> = if job.is_shown() {
        Box::new(bar.around(sink))
    } else {
        Box::new(sink)
    };
    Ok(prepared.transcribe(args, job, source, &mut sink)?)
}
