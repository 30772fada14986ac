//! What is decided for each window and why, in lines that people read.
//!
//! They go to `tracing` at the level `debug`, with the target [`DECISIONS`]; the example program prints them with `--verbose`. They hold
//! times and figures and nothing of what was said.

use std::fmt;

use crate::config::DECISIONS;
use crate::engine::Heard;
use crate::time::{Span, Time};

/// One decision.
pub(super) enum Decision<'a> {
    /// Silence that no engine is given.
    Skipped(Span),
    /// A window, and what the engine made of it.
    Heard {
        span: Span,
        end: WindowEnd,
        heard: &'a Heard,
        missed: &'a [Span],
    },
    /// The text is not believed, and something else is tried.
    Again(Again),
    /// Speech without text inside a window is heard alone.
    Gap(Span),
    /// The next window begins with speech that got no text.
    Left(Time),
    /// Speech stays without text.
    Uncovered(Span),
    /// Another language is spoken from here on, and the text before is not handed on.
    Language { from: &'a str, to: &'a str },
}

/// Where a window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WindowEnd {
    Pause,
    /// No pause was found.
    Cut,
    Input,
}

/// What is tried instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    WithoutPrevious,
    FirstHalf,
}

/// Tells a decision to whoever listens. It is written only if somebody does.
pub(super) fn tell(decision: &Decision<'_>) {
    tracing::debug!(target: DECISIONS, "{decision}");
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(span) => {
                write!(f, "{} to {}: silence, skipped", span.start, span.end)
            }
            Self::Heard {
                span,
                end,
                heard,
                missed,
            } => write_heard(f, *span, *end, heard, missed),
            Self::Again(Again::WithoutPrevious) => {
                write!(
                    f,
                    "  heard again without the text before it, which may have led it astray"
                )
            }
            Self::Again(Again::FirstHalf) => {
                write!(
                    f,
                    "  its first half is heard alone, the rest with what follows"
                )
            }
            Self::Gap(span) => {
                write!(
                    f,
                    "  speech without text from {} to {} is heard alone",
                    span.start, span.end
                )
            }
            Self::Left(at) => write!(
                f,
                "  the next window begins at {at}, with speech that got no text"
            ),
            Self::Uncovered(span) => {
                write!(
                    f,
                    "  speech from {} to {} stays without text",
                    span.start, span.end
                )
            }
            Self::Language { from, to } => {
                write!(
                    f,
                    "  the language changes from {from} to {to}: the text before it is dropped"
                )
            }
        }
    }
}

fn write_heard(
    f: &mut fmt::Formatter<'_>,
    span: Span,
    end: WindowEnd,
    heard: &Heard,
    missed: &[Span],
) -> fmt::Result {
    let end = match end {
        WindowEnd::Pause => "ends in a pause",
        WindowEnd::Cut => "cut where no pause is",
        WindowEnd::Input => "ends with the input",
    };
    write!(f, "{} to {}, {end}: ", span.start, span.end)?;
    match (heard.silent, heard.segments.len()) {
        (true, _) => write!(f, "no speech")?,
        (false, 1) => write!(f, "1 segment")?,
        (false, count) => write!(f, "{count} segments")?,
    }
    let done = span.start + Time::from_samples(heard.consumed as u64);
    if done < span.end {
        write!(f, ", done to {done}")?;
    }
    if heard.doubtful {
        write!(f, ", doubtful")?;
    }
    let missed: f64 = missed.iter().map(|gap| gap.length().seconds()).sum();
    if missed > 0.0 {
        write!(f, ", {missed:.1} s of speech without text")?;
    }
    write!(
        f,
        " (log-probability {:.2}, ratio {:.2}, temperature {:.1}",
        heard.avg_logprob, heard.compression_ratio, heard.temperature
    )?;
    // A language that is certain was given, or is the only one.
    if let Some(language) = heard
        .language
        .as_ref()
        .filter(|language| language.probability < 1.0)
    {
        write!(
            f,
            ", {} {:.0} %",
            language.code,
            language.probability * 100.0
        )?;
    }
    let previous = if heard.used_previous {
        ", with the text before it"
    } else {
        ""
    };
    write!(f, "{previous})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Language;
    use crate::transcript::Segment;

    fn span(start: f64, end: f64) -> Span {
        Span::new(Time::from_seconds(start), Time::from_seconds(end))
    }

    fn segment() -> Segment {
        Segment::new(Time::ZERO, Time::from_seconds(1.0), "Hello.")
    }

    fn check(decision: &Decision<'_>, expected: &str) {
        assert_eq!(decision.to_string(), expected);
    }

    #[test]
    fn a_window_says_where_it_ends_and_what_came_of_it() {
        let mut heard = Heard::new(vec![segment(), segment()], 400_000);
        heard.avg_logprob = -0.214;
        heard.compression_ratio = 1.4;
        heard.language = Some(Language::new("en", 0.987));
        let window = |end, heard, missed| Decision::Heard {
            span: span(30.0, 57.5),
            end,
            heard,
            missed,
        };
        check(
            &window(WindowEnd::Pause, &heard, &[]),
            "0:00:30.000 to 0:00:57.500, ends in a pause: 2 segments, done to 0:00:55.000 \
             (log-probability -0.21, ratio 1.40, temperature 0.0, en 99 %)",
        );
        let mut doubtful = Heard::new(vec![segment()], 440_000);
        doubtful.doubtful = true;
        doubtful.used_previous = true;
        doubtful.temperature = 1.0;
        let gaps = [span(31.0, 32.0), span(40.0, 42.5)];
        check(
            &window(WindowEnd::Cut, &doubtful, &gaps),
            "0:00:30.000 to 0:00:57.500, cut where no pause is: 1 segment, doubtful, 3.5 s of speech without text \
             (log-probability 0.00, ratio 0.00, temperature 1.0, with the text before it)",
        );
        let mut silent = Heard::new(Vec::new(), 440_000);
        silent.silent = true;
        check(
            &window(WindowEnd::Input, &silent, &[]),
            "0:00:30.000 to 0:00:57.500, ends with the input: no speech \
             (log-probability 0.00, ratio 0.00, temperature 0.0)",
        );
    }

    #[test]
    fn what_else_is_done_says_why() {
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
