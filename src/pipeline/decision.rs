//! What is decided for each window and why, in lines that people read.
//!
//! They go to `tracing` at the level `debug`, with the target [`DECISIONS`]; `transcribe --verbose`
//! prints them. They hold times and figures and nothing of what was said.

use std::fmt;

use super::stitch::Kept;
use crate::config::DECISIONS;
use crate::engine::Transcription;
use crate::time::{Span, Time};

/// One decision.
pub(super) enum Decision<'a> {
    /// Silence that no engine is given.
    Skipped(Span),
    /// A window, the engine's answer, and what of it is kept.
    Transcribed {
        span: Span,
        end: EndKind,
        answer: &'a Transcription,
        kept: &'a Kept,
        missed: &'a [Span],
    },
    /// The text is doubtful, and something else is tried.
    Retry(Retry),
    /// Speech without text inside a window is transcribed alone.
    Gap(Span),
    /// The next window begins with speech that got no text.
    Left(Time),
    /// Speech stays without text.
    Uncovered(Span),
    /// Another language is spoken from here on, and the text before is dropped.
    Language { from: &'a str, to: &'a str },
}

/// How a window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndKind {
    Pause,
    /// No pause was found.
    Cut,
    Input,
}

/// What is tried instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    WithoutPrevious,
    FirstHalf,
}

/// Logs a decision. It is formatted only if somebody reads it.
pub(super) fn log(decision: &Decision<'_>) {
    tracing::debug!(target: DECISIONS, "{decision}");
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(span) => {
                write!(f, "{} to {}: silence, skipped", span.start, span.end)
            }
            Self::Transcribed {
                span,
                end,
                answer,
                kept,
                missed,
            } => write_transcribed(f, *span, *end, answer, kept, missed),
            Self::Retry(Retry::WithoutPrevious) => {
                f.write_str("  retried without the text before it, which may have misled the model")
            }
            Self::Retry(Retry::FirstHalf) => {
                f.write_str("  retried with the first half alone; the rest joins what follows")
            }
            Self::Gap(span) => write!(
                f,
                "  speech without text from {} to {} is transcribed alone",
                span.start, span.end
            ),
            Self::Left(at) => write!(
                f,
                "  the next window begins at {at}, with speech that got no text"
            ),
            Self::Uncovered(span) => write!(
                f,
                "  speech from {} to {} stays without text",
                span.start, span.end
            ),
            Self::Language { from, to } => write!(
                f,
                "  the language changes from {from} to {to}: the text before it is dropped"
            ),
        }
    }
}

fn write_transcribed(
    f: &mut fmt::Formatter<'_>,
    span: Span,
    end: EndKind,
    answer: &Transcription,
    kept: &Kept,
    missed: &[Span],
) -> fmt::Result {
    let end = match end {
        EndKind::Pause => "ends in a pause",
        EndKind::Cut => "cut where no pause is",
        EndKind::Input => "ends with the input",
    };
    write!(f, "{} to {}, {end}: ", span.start, span.end)?;
    match (answer.silent, kept.segments.len()) {
        (true, _) => write!(f, "no speech")?,
        (false, 1) => write!(f, "1 segment")?,
        (false, count) => write!(f, "{count} segments")?,
    }
    let done = span.start + kept.consumed;
    if done < span.end {
        write!(f, ", done to {done}")?;
    }
    if answer.doubtful {
        write!(f, ", doubtful")?;
    }
    let missed: f64 = missed.iter().map(|gap| gap.length().seconds()).sum();
    if missed > 0.0 {
        write!(f, ", {missed:.1} s of speech without text")?;
    }
    let figures = figures(answer);
    if !figures.is_empty() {
        write!(f, " ({})", figures.join(", "))?;
    }
    Ok(())
}

/// Returns the figures that the engine gave.
fn figures(answer: &Transcription) -> Vec<String> {
    let quality = &answer.quality;
    let mut figures = Vec::new();
    if let Some(logprob) = quality.avg_logprob {
        figures.push(format!("log-probability {logprob:.2}"));
    }
    if let Some(ratio) = quality.compression_ratio {
        figures.push(format!("ratio {ratio:.2}"));
    }
    if let Some(temperature) = quality.temperature {
        figures.push(format!("temperature {temperature:.1}"));
    }
    // A language that is certain was set by the caller, or is the only one.
    if let Some(language) = answer.language.as_ref().filter(|l| l.probability < 1.0) {
        let percent = language.probability * 100.0;
        figures.push(format!("{} {percent:.0} %", language.code));
    }
    if answer.used_previous {
        figures.push("with the text before it".into());
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Language;
    use crate::transcript::Segment;

    fn span(start: f64, end: f64) -> Span {
        Span::new(Time::from_seconds(start), Time::from_seconds(end))
    }

    fn kept(segments: usize, consumed: f64) -> Kept {
        let segment = Segment::new(Time::ZERO, Time::from_seconds(1.0), "Hello.");
        Kept {
            segments: vec![segment; segments],
            context: Vec::new(),
            consumed: Time::from_seconds(consumed),
        }
    }

    fn check(decision: &Decision<'_>, expected: &str) {
        assert_eq!(decision.to_string(), expected);
    }

    #[test]
    fn a_window_says_where_it_ends_and_what_came_of_it() {
        let mut answer = Transcription::default();
        answer.quality.avg_logprob = Some(-0.214);
        answer.quality.compression_ratio = Some(1.4);
        answer.quality.temperature = Some(0.0);
        answer.language = Some(Language::new("en", 0.987));
        let (two, one, none) = (kept(2, 25.0), kept(1, 27.5), kept(0, 27.5));
        let mut window = Decision::Transcribed {
            span: span(30.0, 57.5),
            end: EndKind::Pause,
            answer: &answer,
            kept: &two,
            missed: &[],
        };
        check(
            &window,
            "0:00:30.000 to 0:00:57.500, ends in a pause: 2 segments, done to 0:00:55.000 \
             (log-probability -0.21, ratio 1.40, temperature 0.0, en 99 %)",
        );
        let gaps = [span(31.0, 32.0), span(40.0, 42.5)];
        let doubtful = Transcription {
            doubtful: true,
            used_previous: true,
            ..Transcription::default()
        };
        window = Decision::Transcribed {
            span: span(30.0, 57.5),
            end: EndKind::Cut,
            answer: &doubtful,
            kept: &one,
            missed: &gaps,
        };
        check(
            &window,
            "0:00:30.000 to 0:00:57.500, cut where no pause is: 1 segment, doubtful, \
             3.5 s of speech without text (with the text before it)",
        );
        let silent = Transcription {
            silent: true,
            ..Transcription::default()
        };
        window = Decision::Transcribed {
            span: span(30.0, 57.5),
            end: EndKind::Input,
            answer: &silent,
            kept: &none,
            missed: &[],
        };
        check(
            &window,
            "0:00:30.000 to 0:00:57.500, ends with the input: no speech",
        );
    }

    #[test]
    fn other_decisions_state_their_reason() {
        check(
            &Decision::Skipped(span(1.0, 13.25)),
            "0:00:01.000 to 0:00:13.250: silence, skipped",
        );
        check(
            &Decision::Uncovered(span(1.0, 2.0)),
            "  speech from 0:00:01.000 to 0:00:02.000 stays without text",
        );
        check(
            &Decision::Language {
                from: "en",
                to: "de",
            },
            "  the language changes from en to de: the text before it is dropped",
        );
    }
}
