//! Transcribes audio files from the command line: `cargo run --release --example transcribe -- --help`.
//!
//! | question | file |
//! |---|---|
//! | what can be asked for? | `args.rs`, sizes and times in `quantity.rs` |
//! | where does each transcript go? | `outputs.rs` |
//! | how does it end, and with which exit code? | `exit.rs`, Ctrl-C in `interrupt.rs` |
//! | which model is meant, and how does it come here? | `models.rs` |
//! | what is shown meanwhile? | `progress.rs`, with `--verbose` `lines.rs` |
//! | what is measured? | `report.rs` |

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a program on a terminal"
)]

mod args;
mod exit;
mod interrupt;
mod lines;
mod models;
mod outputs;
mod progress;
mod quantity;
mod report;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use steadyscribe::budget::Plan;
use steadyscribe::engine::Engine;
use steadyscribe::{Cancel, Error, FileSource, SpanS, Summary, Time, Transcriber, Whisper};
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Args, Command};
use crate::exit::{Exit, Failure};
use crate::lines::Detail;
use crate::models::Choice;
use crate::outputs::Job;
use crate::progress::Bar;
use crate::quantity::{clock, megabytes};
use crate::report::Entry;

/// Most damaged spans that are listed on the terminal. The report has all that were kept.
const DAMAGE_SHOWN_MAX: usize = 20;

fn main() -> ExitCode {
    let args = Args::parse();
    wait_passively();
    log_to_terminal(&args);
    steadyscribe::memory::return_large_blocks();
    let exit = run(&args).unwrap_or_else(|failure| {
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

fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(Command::Models(command)) = &args.command {
        return models::run(command);
    }
    let jobs = outputs::jobs(&args.files, &args.formats, args.output.as_deref())?;
    let config = args.config();
    let model = Choice::of(args.model.as_deref())?;
    if model == Choice::Fixture && !args.quiet {
        eprintln!(
            "no --model given: using the fixture model, which knows 360 words of synthetic speech and no more"
        );
    }
    // A model that cannot be used is not downloaded first, and a plan needs no file.
    if let (Some(plan), true) = (model.plan(&config, &args.whisper_options())?, args.plan) {
        println!("{plan}");
        return Ok(Exit::Done);
    }
    if let ([job], false) = (&jobs[..], args.plan)
        && !is_pipe(&job.input)
    {
        // A wrong path is an answer that need not wait for the model.
        FileSource::open(&job.input)?;
    }
    let engine = Whisper::open(model.file(args.quiet)?, args.whisper_options())?;
    if args.plan {
        let plan = Plan::new(&config, &engine.footprints()).map_err(Error::from)?;
        println!("{plan}");
        return Ok(Exit::Done);
    }
    let mut scribe = Transcriber::new(config, engine).map_err(Failure::loading)?;
    if args.verbose {
        eprintln!("{}", scribe.plan());
    }
    let cancel = scribe.cancel();
    interrupt::install(cancel.clone()).map_err(|error| Failure::new(Exit::Failed, error))?;
    let (exit, entries) = transcribe_all(args, &jobs, &mut scribe, &cancel);
    if let Some(path) = &args.report {
        report::write(path, &entries).map_err(|error| Failure::new(Exit::Failed, error))?;
    }
    Ok(exit)
}

/// Returns whether an input can be opened only once.
fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Transcribes one input after another. Returns the exit code of the first that failed, and how each went.
fn transcribe_all(
    args: &Args,
    jobs: &[Job],
    scribe: &mut Transcriber<Whisper>,
    cancel: &Cancel,
) -> (Exit, Vec<Entry>) {
    let mut first = Exit::Done;
    let mut entries = Vec::with_capacity(jobs.len());
    for job in jobs {
        let file = job.input.display().to_string();
        let exit = match transcribe(args, job, scribe) {
            Ok(summary) => {
                say(args, job, &summary);
                let exit = Exit::from(&summary);
                entries.push(Entry::of(file, summary));
                exit
            }
            Err(failure) if failure.is_closed_pipe() => return (first, entries),
            Err(failure) => {
                eprintln!("error: {failure}");
                entries.push(Entry::failed(file, failure.to_string()));
                failure.exit
            }
        };
        if first == Exit::Done {
            first = exit;
        }
        if cancel.is_cancelled() {
            break;
        }
    }
    (first, entries)
}

fn transcribe(
    args: &Args,
    job: &Job,
    scribe: &mut Transcriber<Whisper>,
) -> Result<Summary, Failure> {
    let source = FileSource::open(&job.input)?;
    let sink = job.sink().map_err(Error::Sink)?;
    // Verbose lines and a bar would write over each other.
    let bar = if args.quiet || args.verbose {
        Bar::hidden()
    } else {
        Bar::show(scribe.progress(), &args.config())
            .map_err(|error| Failure::new(Exit::Failed, error))?
    };
    // Only what is written to the same terminal can disturb the bar.
    let summary = if job.is_shown() {
        scribe.transcribe(source, &mut bar.around(sink))
    } else {
        let mut sink = sink;
        scribe.transcribe(source, &mut sink)
    };
    Ok(summary?)
}

/// Says how a transcription went. Damage and cancelling are said also when all else is quiet.
fn say(args: &Args, job: &Job, summary: &Summary) {
    let file = job.input.display();
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
