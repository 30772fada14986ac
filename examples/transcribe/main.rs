//! Transcribes audio files from the command line: `cargo run --release --example transcribe -- --help`.
//!
//! | question | file |
//! |---|---|
//! | what can be asked for? | `args.rs`, sizes and times in `quantity.rs` |
//! | where does each transcript go? | `outputs.rs` |
//! | how does it end, and with which exit code? | `exit.rs`, Ctrl-C in `interrupt.rs` |
//! | which model is meant, and how does it come here? | `models.rs` |
//! | what is shown meanwhile? | `progress.rs`, with `--verbose` `lines.rs` |
//! | are channels mixed, or transcribed apart? | `scribes.rs` |
//! | what is measured? | `report.rs` |

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a program on a terminal"
)]

/// Writes a line to standard error. The standard library's panics where its reader has gone, as in `2>&1 | head`.
macro_rules! eprintln {
    ($($line:tt)*) => {{
        use std::io::Write;
        // Nobody is left who could be told.
        let _ = writeln!(std::io::stderr(), $($line)*);
    }};
}

mod args;
mod exit;
mod interrupt;
mod lines;
mod models;
mod outputs;
mod progress;
mod quantity;
mod report;
mod scribes;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use steadyscribe::budget::{Footprint, Plan, Together};
use steadyscribe::engine::Engine;
use steadyscribe::sink::Sink;
use steadyscribe::source::Source;
use steadyscribe::{Cancel, Error, SpanS, Summary, Time, Whisper};
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Args, Channels, Command};
use crate::exit::{Exit, Failure};
use crate::lines::Detail;
use crate::models::Choice;
use crate::outputs::Job;
use crate::progress::Bar;
use crate::quantity::{clock, megabytes};
use crate::report::Entry;
use crate::scribes::Scribes;

/// Most damaged spans that are listed on the terminal. The report has all that were kept.
const DAMAGE_SHOWN_MAX: usize = 20;

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

/// Has the threads of ggml's OpenMP sleep while they wait: on a busy machine spinning makes them many times slower.
///
/// The library of OpenMP reads the choice before `main`, so the program starts itself again with it.
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
            // Returns only if it fails, and then all goes on, slower.
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

/// Leaves out the message of a decoder's panic over damaged data, which the library reports as damage.
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
        let error = "--journal takes one input: give each its own journal";
        return Err(Failure::new(Exit::Usage, error));
    }
    if args.channels == Channels::Split {
        check_split(args, &jobs)?;
    }
    let config = args.config();
    let model = Choice::of(args.model.as_deref())?;
    if model == Choice::Fixture && !args.quiet {
        eprintln!(
            "no --model given: using the fixture model, which knows 360 words of synthetic speech and no more"
        );
    }
    // A model that cannot be used is not downloaded first, and a plan needs no file.
    if let (Some(plan), true) = (model.plan(&config, &args.whisper_options())?, args.plan) {
        return print_plan(args, &plan);
    }
    let first = match &jobs[..] {
        // A wrong path is an answer that need not wait for the model.
        [job] if !args.plan => Some(job.source(args.raw)?),
        _ => None,
    };
    let engine = Whisper::open(model.file(args.quiet)?, args.whisper_options())?;
    if args.plan {
        return print_plan(
            args,
            &Plan::new(&config, &engine.footprints()).map_err(Error::from)?,
        );
    }
    let mut scribes = Scribes::new(args, engine).map_err(Failure::loading)?;
    if let (Scribes::Mixed(scribe), true) = (&scribes, args.verbose) {
        eprintln!("{}", scribe.plan());
    }
    let cancel = scribes.cancel();
    interrupt::install(cancel.clone()).map_err(|error| Failure::new(Exit::Failed, error))?;
    let (exit, entries) = transcribe_all(args, &jobs, first, &mut scribes, &cancel);
    if let Some(path) = &args.report {
        report::write(path, &entries).map_err(|error| Failure::new(Exit::Failed, error))?;
    }
    Ok(exit)
}

/// Refuses what cannot be had of channels that are transcribed apart.
fn check_split(args: &Args, jobs: &[Job]) -> Result<(), Failure> {
    let refused = |error: &str| Err(Failure::new(Exit::Usage, error));
    if jobs.iter().any(Job::is_stdin) {
        return refused(
            "--channels split reads the input once for each channel: give it as a file",
        );
    }
    if args.journal.is_some() {
        return refused("--channels split keeps no --journal: use one of them");
    }
    Ok(())
}

fn print_plan(args: &Args, plan: &Plan) -> Result<Exit, Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{plan}").map_err(Error::Sink)?;
    if args.channels == Channels::Split {
        let mut config = args.config();
        config.memory_budget_bytes = None;
        let one = Together::plan(&config, &[Footprint::default()], 1).map_err(Error::from)?;
        let each_mb = one.transcriber_bytes() as f64 / 1e6;
        writeln!(out, "{:<24}{each_mb:>9.1} MB", "each further channel").map_err(Error::Sink)?;
    }
    Ok(Exit::Done)
}

/// Transcribes one input after another, of which the first may be open. Returns the exit code of the first that failed,
/// and how each went.
fn transcribe_all(
    args: &Args,
    jobs: &[Job],
    mut opened: Option<Box<dyn Source>>,
    scribes: &mut Scribes,
    cancel: &Cancel,
) -> (Exit, Vec<Entry>) {
    let mut first = Exit::Done;
    let mut entries = Vec::with_capacity(jobs.len());
    for job in jobs {
        let file = job.name();
        let source = opened.take().map_or_else(|| job.source(args.raw), Ok);
        let summaries = source.map_err(Failure::from);
        let summaries = summaries.and_then(|source| transcribe(args, job, source, scribes));
        let exit = match summaries {
            Ok(summaries) => {
                let exits = summaries.iter().map(Exit::from);
                let exit = exits.reduce(Exit::or).unwrap_or(Exit::Done);
                for (n, summary) in summaries.into_iter().enumerate() {
                    let channel = (args.channels == Channels::Split).then_some(n);
                    say(args, job, channel, &summary);
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
    scribes: &mut Scribes,
) -> Result<Vec<Summary>, Failure> {
    let ready = scribes.ready(&mut source).map_err(Failure::loading)?;
    let sink = job.sink().map_err(Error::Sink)?;
    // Verbose lines and a bar would write over each other.
    let bar = if args.quiet || args.verbose {
        Bar::hidden()
    } else {
        Bar::show(ready.progress(), &args.config())
            .map_err(|error| Failure::new(Exit::Failed, error))?
    };
    // Only what is written to the same terminal can disturb the bar.
    let mut sink: Box<dyn Sink> = if job.is_shown() {
        Box::new(bar.around(sink))
    } else {
        Box::new(sink)
    };
    Ok(ready.transcribe(args, job, source, &mut sink)?)
}

/// Says how a transcription went. Damage and cancelling are said also when all else is quiet.
fn say(args: &Args, job: &Job, channel: Option<usize>, summary: &Summary) {
    let mut file = job.name();
    if let Some(channel) = channel {
        file.push_str(&format!(", channel {channel}"));
    }
    match Exit::from(summary) {
        Exit::DamagedInput => {
            let why = summary
                .stopped_early
                .as_deref()
                .unwrap_or("parts cannot be decoded");
            eprintln!("{file}: damaged: {why}; the rest was transcribed");
            say_spans("missing", &summary.damage);
        }
        Exit::Cancelled => {
            eprintln!(
                "{file}: cancelled at {}",
                clock(args.config().start.seconds() + summary.audio_s)
            );
            for part in job.kept() {
                eprintln!("  what was ready is in {}", part.display());
            }
        }
        _ => {}
    }
    if args.quiet {
        return;
    }
    if let (Some(language), None) = (&summary.language, args.whisper_options().language)
        && (language.probability < 1.0 || language.code != "en")
    {
        let percent = language.probability * 100.0;
        eprintln!(
            "{file}: the language is {}, by {percent:.0} %",
            language.code
        );
    }
    if !summary.uncovered.is_empty() {
        eprintln!(
            "{file}: {:.1} s of speech have no text",
            summary.uncovered_s
        );
        if args.verbose {
            say_spans("without text", &summary.uncovered);
        }
    }
    eprintln!(
        "{file}: {} in {}, {:.1}x real time, {} segments, at most {}",
        clock(summary.audio_s),
        clock(summary.processing_s),
        1.0 / summary.rtf.max(f64::MIN_POSITIVE),
        summary.segments,
        megabytes(summary.memory.peak_private_bytes),
    );
}

fn say_spans(what: &str, spans: &[SpanS]) {
    for span in spans.iter().take(DAMAGE_SHOWN_MAX) {
        let (start, end): (Time, Time) = (span.start, span.end);
        eprintln!("  {what}: {start} to {end}");
    }
    if spans.len() > DAMAGE_SHOWN_MAX {
        eprintln!(
            "  and {} more; --report lists them",
            spans.len() - DAMAGE_SHOWN_MAX
        );
    }
}
