//! Prints how a transcription ended, on standard error.

use steadyscribe::{Span, Summary};

use super::args::Args;
use super::exit::Exit;
use super::outputs::Job;
use super::quantity::{clock, megabytes};

/// Most spans that are listed on the terminal. The report lists more.
const SPANS_SHOWN_MAX: usize = 20;

/// Prints how the transcription of an input, or of one of its channels, ended. With `--quiet` only
/// damage and a cancel are printed.
pub(crate) fn print(args: &Args, job: &Job, channel: Option<usize>, summary: &Summary) {
    let mut file = job.name();
    if let Some(channel) = channel {
        file.push_str(&format!(", channel {channel}"));
    }
    print_early_end(args, job, &file, summary);
    if args.quiet {
        return;
    }
    if let (Some(language), None) = (&summary.language, args.whisper_options().language)
        && (language.probability < 1.0 || language.code != "en")
    {
        let (code, percent) = (&language.code, language.probability * 100.0);
        eprintln!("{file}: detected the language {code} ({percent:.0} %)");
    }
    if !summary.uncovered.is_empty() {
        let seconds = summary.uncovered_s;
        eprintln!("{file}: {seconds:.1} s of speech have no text");
        if args.verbose {
            print_spans("without text", &summary.uncovered);
        }
    } else if summary.segments == 0 && Exit::from(summary) != Exit::Cancelled {
        eprintln!("{file}: no speech found");
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

/// Prints why a transcript is not complete, and where its text is.
fn print_early_end(args: &Args, job: &Job, file: &str, summary: &Summary) {
    match Exit::from(summary) {
        Exit::DamagedInput => {
            let why = summary.stopped_early.as_deref();
            let why = why.unwrap_or("parts cannot be decoded");
            eprintln!("{file}: damaged: {why}; the rest was transcribed");
            print_spans("missing", &summary.damage);
        }
        Exit::Cancelled => {
            let at_s = args.input_options().start.seconds() + summary.audio_s;
            eprintln!("{file}: cancelled at {}", clock(at_s));
            for part in job.kept() {
                eprintln!("  the text so far is in {}", part.display());
            }
        }
        _ => {}
    }
}

fn print_spans(what: &str, spans: &[Span]) {
    for span in spans.iter().take(SPANS_SHOWN_MAX) {
        eprintln!("  {what}: {} to {}", span.start, span.end);
    }
    if spans.len() > SPANS_SHOWN_MAX {
        let more = spans.len() - SPANS_SHOWN_MAX;
        eprintln!("  and {more} more; --report lists them");
    }
}
