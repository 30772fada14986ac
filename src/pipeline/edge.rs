//! Where a live input ends for now, and when what was said there is transcribed without waiting for more.

use std::time::Duration;

use super::feed::Input;
use super::listen::SILENCE_ENDS_CONTEXT_SAMPLES;
use crate::config::LOOK_AHEAD_SAMPLES;
use crate::live::Watch;
use crate::time::{Span, Time};
use crate::vad::SpeechMap;
use crate::window::pause_end;

/// Audio that is pushed and not in the window while the engine counts as keeping up: 1 s. A block that fills is half of it.
const ON_THE_WAY_SAMPLES: u64 = 16_000;

/// Silence at the end of the input is skipped when it is longer than this, so that a window of it need not fill first. Long
/// enough to end the context of what was said before.
const SILENCE_SAMPLES: u64 = SILENCE_ENDS_CONTEXT_SAMPLES as u64 + 16_000;

/// After this long without audio, and the pause that ends a window, the device is taken to be stopped. Who pushes every two
/// seconds is not.
const STOPPED_AFTER: Duration = Duration::from_secs(2);

/// The end of a live input.
#[derive(Debug)]
pub(super) struct Edge {
    watch: Watch,
    pause: Duration,
    window: Time,
    channel: Option<u8>,
}

/// What to do with a window that is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// Speech has ended here.
    Pause(Time),
    /// Somebody has spoken for long enough: in a pause before this time.
    Before(Time),
    /// Nobody speaks.
    Silence,
}

impl Edge {
    /// Returns the end of an input that is live.
    pub(super) fn of(input: &Input<'_>) -> Option<Self> {
        let Input::Live(live) = input else {
            return None;
        };
        Some(Self {
            watch: live.watch(),
            pause: live.pause(),
            window: live.window(),
            channel: live.channel(),
        })
    }

    /// Returns the channel that segments are marked with.
    pub(super) fn channel(&self) -> Option<u8> {
        self.channel
    }

    /// Returns how long to wait for audio before the device counts as stopped.
    pub(super) fn patience(&self) -> Duration {
        self.pause + STOPPED_AFTER
    }

    /// Tells up to where the input was transcribed.
    pub(super) fn reached(&self, time: Time) {
        self.watch.commit(time);
    }

    /// Says whether the window that holds `held` is closed now. Only the newest audio closes one: a window of a backlog fills,
    /// which is what catches up soonest, since a short window takes as long to encode as a full one.
    pub(super) fn close(&self, held: Span, speech: &SpeechMap) -> Option<Close> {
        if (self.watch.status().pushed - held.end).samples() > ON_THE_WAY_SAMPLES {
            return None;
        }
        let pause = Time::from_seconds(self.pause.as_secs_f64());
        let last = last_speech(held, speech);
        close(held, last, speech.scored_to(), pause, self.window)
    }
}

/// Has a live input end where it is when the sink fails, by an error or a panic: the engine may have no other segment for hours
/// to find out by.
#[derive(Debug)]
pub(super) struct Unread(pub(super) Option<Edge>);

impl Unread {
    /// Ends the input now, unless all went well.
    pub(super) fn unless(mut self, well: bool) {
        if well {
            self.0 = None;
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(edge) = &self.0 {
            edge.watch.end();
        }
    }
}

/// Returns the last speech in a window.
pub(super) fn last_speech(held: Span, speech: &SpeechMap) -> Option<Span> {
    speech
        .spans()
        .next_back()
        .filter(|last| last.end > held.start)
}

fn close(
    held: Span,
    last: Option<Span>,
    heard_to: Time,
    pause: Time,
    window: Time,
) -> Option<Close> {
    let Some(last) = last else {
        let silence = (heard_to - held.start).samples();
        return (silence > SILENCE_SAMPLES).then_some(Close::Silence);
    };
    let now = Span::new(last.end, heard_to);
    if now.length() >= pause {
        return Some(Close::Pause(pause_end(now)));
    }
    let latest = held.start + window;
    let looked_at = latest + Time::from_samples(LOOK_AHEAD_SAMPLES as u64);
    (held.end >= looked_at).then_some(Close::Before(latest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window from 10 s to `to`, speech up to `spoken`, a pause of 1 s, windows of 12 s.
    fn check(spoken: Option<f64>, to: f64, expected: Option<Close>) {
        let time = Time::from_seconds;
        let last = spoken.map(|end| Span::new(time(10.2), time(end)));
        let held = Span::new(time(10.0), time(to));
        assert_eq!(
            close(held, last, time(to), time(1.0), time(12.0)),
            expected,
            "speech to {spoken:?}, heard to {to}"
        );
    }

    #[test]
    fn a_pause_closes_a_window_behind_the_speech() {
        check(Some(12.0), 12.9, None);
        check(
            Some(12.0),
            13.0,
            Some(Close::Pause(Time::from_seconds(12.3))),
        );
        check(
            Some(12.0),
            30.0,
            Some(Close::Pause(Time::from_seconds(12.3))),
        );
    }

    #[test]
    fn who_speaks_on_is_not_waited_for() {
        check(Some(22.9), 22.9, None);
        check(
            Some(23.0),
            23.0,
            Some(Close::Before(Time::from_seconds(22.0))),
        );
    }

    #[test]
    fn silence_alone_is_passed_over() {
        check(None, 20.0, None);
        check(None, 21.5, Some(Close::Silence));
    }
}
