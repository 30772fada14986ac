//! What to do next with the audio that is held: a pure function, so that every rule has a test.

use crate::time::{Span, Time};
use crate::vad::SpeechMap;
use crate::window::window_end;

/// A window starts this long before speech, so that no onset is cut: 0.2 s.
pub(super) const LEAD_SAMPLES: u64 = 3_200;

/// Speech as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Speech<S> {
    /// Its spans, in the order of time, the last perhaps still open.
    pub(super) spans: S,
    /// Everything before this was scored.
    pub(super) scored_to: Time,
}

impl Speech<()> {
    /// Returns what a detector found so far.
    pub(super) fn of(
        map: &SpeechMap,
    ) -> Speech<impl DoubleEndedIterator<Item = Span> + Clone + '_> {
        Speech {
            spans: map.spans(),
            scored_to: map.scored_to(),
        }
    }
}

impl<S: DoubleEndedIterator<Item = Span> + Clone> Speech<S> {
    /// Returns the last speech that reaches into `held`.
    pub(super) fn last_in(&self, held: Span) -> Option<Span> {
        let last = self.spans.clone().next_back();
        last.filter(|last| last.end > held.start)
    }
}

/// How far the audio buffer was filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// To its end.
    Full,
    /// To the end of the input.
    Ended,
    /// As far as a live input goes, and need not go further.
    Closed(Close),
}

/// Where the window of a live input ends although it is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// Speech has ended here.
    Pause(Time),
    /// Somebody has spoken for long enough: end in a pause before this time.
    Before(Time),
    /// Nobody speaks.
    Silence,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The input is done.
    Finish,
    /// Nobody speaks before this time.
    SkipTo(Time),
    /// The engine transcribes this.
    Transcribe(Choice),
}

/// The audio that the engine is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) span: Span,
    /// The end may lie inside an utterance.
    pub(super) is_cut: bool,
}

/// Chooses the next step for the audio in `held`. A window is at most `longest` long.
///
/// Without a detector nothing is skipped, and windows are cut at full length.
pub(super) fn next<S: DoubleEndedIterator<Item = Span> + Clone>(
    held: Span,
    speech: Option<&Speech<S>>,
    filled: Filled,
    longest: Time,
) -> Step {
    let has_ended = filled == Filled::Ended;
    if held.is_empty() && has_ended {
        return Step::Finish;
    }
    if let Some(speech) = speech {
        let lead = Time::from_samples(LEAD_SAMPLES);
        let start = match speech.spans.clone().find(|span| span.end > held.start) {
            Some(span) => span.start - lead,
            None if has_ended => held.end,
            None => speech.scored_to - lead,
        };
        if start > held.start {
            return Step::SkipTo(start);
        }
    }
    let latest = held.start + longest;
    let whole = |end| Choice {
        span: Span::new(held.start, end),
        is_cut: false,
    };
    Step::Transcribe(match filled {
        Filled::Ended if held.end <= latest => whole(held.end),
        Filled::Closed(Close::Pause(end)) if end <= latest => whole(end),
        Filled::Closed(Close::Before(sooner)) => {
            until_pause(held.start, sooner.min(latest), speech)
        }
        _ => until_pause(held.start, latest, speech),
    })
}

/// Chooses a window from `start` to a pause before `latest`, or to `latest` where there is none.
pub(super) fn until_pause<S: DoubleEndedIterator<Item = Span> + Clone>(
    start: Time,
    latest: Time,
    speech: Option<&Speech<S>>,
) -> Choice {
    let Some(speech) = speech else {
        return Choice {
            span: Span::new(start, latest),
            is_cut: true,
        };
    };
    let end = window_end(speech.spans.clone(), start, latest, speech.scored_to);
    Choice {
        span: Span::new(start, end.at),
        is_cut: end.is_cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: f64) -> Time {
        Time::from_seconds(seconds)
    }

    fn span(start: f64, end: f64) -> Span {
        Span::new(time(start), time(end))
    }

    /// 31 s of audio from 10 s on, with this speech, and windows of 30 s.
    fn check(speech: &[(f64, f64)], held: (f64, f64), filled: Filled, expected: Step) {
        let spans: Vec<Span> = speech
            .iter()
            .map(|&(start, end)| span(start, end))
            .collect();
        let speech = Speech {
            spans: spans.iter().copied(),
            scored_to: time(held.1),
        };
        let held = span(held.0, held.1);
        let step = next(held, Some(&speech), filled, time(30.0));
        assert_eq!(step, expected, "{spans:?} in {held:?}, {filled:?}");
    }

    fn window(start: f64, end: f64, is_cut: bool) -> Step {
        Step::Transcribe(Choice {
            span: span(start, end),
            is_cut,
        })
    }

    #[test]
    fn silence_before_speech_is_skipped_but_for_a_lead() {
        let speech = [(15.0, 16.0)];
        check(
            &speech,
            (10.0, 41.0),
            Filled::Full,
            Step::SkipTo(time(14.8)),
        );
        check(&[], (10.0, 41.0), Filled::Full, Step::SkipTo(time(40.8)));
        check(&[], (10.0, 12.0), Filled::Ended, Step::SkipTo(time(12.0)));
        // The lead itself is not skipped.
        check(
            &[(10.1, 12.0)],
            (10.0, 12.0),
            Filled::Ended,
            window(10.0, 12.0, false),
        );
        check(
            &[(10.2, 12.0)],
            (10.0, 12.0),
            Filled::Ended,
            window(10.0, 12.0, false),
        );
    }

    #[test]
    fn the_rest_of_an_input_is_one_window_if_it_fits() {
        let speech = [(10.0, 39.9)];
        check(
            &speech,
            (10.0, 40.0),
            Filled::Ended,
            window(10.0, 40.0, false),
        );
        check(
            &[(10.0, 40.5)],
            (10.0, 41.0),
            Filled::Ended,
            window(10.0, 40.0, true),
        );
        check(&[], (12.0, 12.0), Filled::Ended, Step::Finish);
    }

    #[test]
    fn a_full_window_ends_in_a_pause() {
        let speech = [(10.0, 35.0), (37.0, 41.0)];
        check(
            &speech,
            (10.0, 41.0),
            Filled::Full,
            window(10.0, 35.3, false),
        );
        check(
            &[(10.0, 41.0)],
            (10.0, 41.0),
            Filled::Full,
            window(10.0, 40.0, true),
        );
    }

    #[test]
    fn a_live_window_ends_where_it_was_closed() {
        let closed = |close| Filled::Closed(close);
        let speech = [(10.1, 14.0)];
        let pause = closed(Close::Pause(time(14.3)));
        check(&speech, (10.0, 15.0), pause, window(10.0, 14.3, false));
        let speech = [(10.1, 18.0), (19.0, 23.0)];
        let before = closed(Close::Before(time(22.0)));
        check(&speech, (10.0, 23.0), before, window(10.0, 18.3, false));
    }

    #[test]
    fn without_a_detector_windows_are_cut_at_full_length() {
        let step = |held, filled| {
            next(
                held,
                None::<&Speech<std::iter::Empty<Span>>>,
                filled,
                time(30.0),
            )
        };
        assert_eq!(step(span(0.0, 31.0), Filled::Full), window(0.0, 30.0, true));
        assert_eq!(
            step(span(0.0, 12.0), Filled::Ended),
            window(0.0, 12.0, false)
        );
        assert_eq!(step(span(0.0, 0.0), Filled::Ended), Step::Finish);
    }
}
