//! Shows a progress bar on a terminal: position, speed, time left and memory.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use indicatif::{ProgressBar, ProgressStyle};
use steadyscribe::monitor::reader;
use steadyscribe::sink::Sink;
use steadyscribe::{Ending, InputOptions, Progress, Segment, Time};

use super::quantity::{clock, megabytes};

/// Time between two updates of the bar.
const REDRAW_EVERY: Duration = Duration::from_millis(250);

/// Audio that must be done before the bar shows a speed. The position moves by windows, and the
/// first one includes loading.
const SETTLED_S: f64 = 5.0;

/// Steps of the bar.
const STEPS: u64 = 1_000;

const KNOWN_LENGTH: &str = "{bar:30} {percent:>3}%  {msg}";
const UNKNOWN_LENGTH: &str = "{spinner} {msg}";

/// Shows the progress of a transcription on standard error, until it is dropped.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// The thread that draws. It ends when the sender is dropped.
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Bar {
    /// Starts to show `progress` through the part of the input that `options` select. Draws only if
    /// standard error is a terminal.
    pub(crate) fn show(progress: Progress, options: &InputOptions) -> io::Result<Self> {
        let bar = ProgressBar::new(STEPS);
        let (ends, ended) = bounded(0);
        let (start, duration) = (options.start, options.duration);
        let drawn = bar.clone();
        let draw = move || {
            let began = Instant::now();
            while ended.recv_timeout(REDRAW_EVERY) == Err(RecvTimeoutError::Timeout) {
                let end = end_estimate(&Read::of(&progress));
                let end = match duration {
                    Some(duration) => end.map(|end| end.min(start + duration)),
                    None => end,
                };
                let position = progress.position().max(start);
                redraw(
                    &drawn,
                    &Position {
                        start,
                        position,
                        end,
                    },
                    began.elapsed().as_secs_f64(),
                );
            }
        };
        let thread = thread::Builder::new().name("progress".into()).spawn(draw)?;
        Ok(Self {
            bar,
            drawing: Some((ends, thread)),
        })
    }

    /// Makes a bar that is never drawn.
    pub(crate) fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            drawing: None,
        }
    }

    /// Wraps `sink` so that the bar is hidden while it writes.
    pub(crate) fn around<S: Sink>(&self, sink: S) -> AroundBar<S> {
        AroundBar {
            bar: self.bar.clone(),
            sink,
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some((ends, thread)) = self.drawing.take() {
            drop(ends);
            // A panic of the bar was printed already. It must not cost the transcript.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

/// How much of the input was read.
#[derive(Debug)]
struct Read {
    decoded: Time,
    bytes: u64,
    bytes_total: Option<u64>,
}

impl Read {
    fn of(progress: &Progress) -> Self {
        Self {
            decoded: progress.decoded(),
            bytes: progress.bytes_read(),
            bytes_total: progress.bytes_total(),
        }
    }
}

/// Estimates the end of the input, assuming that the rest has as many bytes per second as the part
/// that was read. The length that a file declares is not used: it is often missing or wrong.
fn end_estimate(read: &Read) -> Option<Time> {
    let total = read.bytes_total?;
    if read.bytes == 0 || read.decoded == Time::ZERO {
        return None;
    }
    let factor = (total as f64 / read.bytes as f64).max(1.0);
    Some(Time::from_seconds(read.decoded.seconds() * factor))
}

/// The position of a transcription between its start and its end.
#[derive(Debug)]
struct Position {
    start: Time,
    position: Time,
    end: Option<Time>,
}

fn redraw(bar: &ProgressBar, at: &Position, elapsed_s: f64) {
    let done_s = (at.position - at.start).seconds();
    let mut message = clock(at.position.seconds());
    if done_s >= SETTLED_S {
        let speed = done_s / elapsed_s;
        message += &format!("  {speed:.1}x real time");
        if let Some(end) = at.end {
            message += &format!("  {} left", clock((end - at.position).seconds() / speed));
        }
    }
    if let Ok(memory) = reader::own() {
        message += &format!("  {}", megabytes(memory.private_bytes));
    }
    let template = if at.end.is_some() {
        KNOWN_LENGTH
    } else {
        UNKNOWN_LENGTH
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(message);
    match at.end {
        Some(end) => bar.set_position(steps(done_s / (end - at.start).seconds())),
        None => bar.tick(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the fraction is clamped to 0..=1"
)]
fn steps(fraction: f64) -> u64 {
    // If the estimated end is not after the start, the fraction is infinite or NaN.
    let fraction = if fraction.is_finite() {
        fraction.clamp(0.0, 1.0)
    } else {
        1.0
    };
    (fraction * STEPS as f64) as u64
}

/// A sink that hides the bar while it writes.
pub(crate) struct AroundBar<S> {
    bar: ProgressBar,
    sink: S,
}

impl<S: Sink> Sink for AroundBar<S> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.bar.suspend(|| self.sink.segment(segment))
    }

    fn reached(&mut self, time: Time) -> io::Result<()> {
        self.bar.suspend(|| self.sink.reached(time))
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        self.bar.suspend(|| self.sink.finish(ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_estimated_by_bytes() {
        let check = |decoded_s, bytes, bytes_total, expected_s: Option<f64>| {
            let read = Read {
                decoded: Time::from_seconds(decoded_s),
                bytes,
                bytes_total,
            };
            assert_eq!(
                end_estimate(&read),
                expected_s.map(Time::from_seconds),
                "{read:?}"
            );
        };
        check(10.0, 1_000, Some(4_000), Some(40.0));
        check(10.0, 4_000, Some(4_000), Some(10.0));
        // The file grows while it is read.
        check(10.0, 5_000, Some(4_000), Some(10.0));
        check(10.0, 1_000, None, None);
        check(0.0, 1_000, Some(4_000), None);
        check(10.0, 0, Some(4_000), None);
    }

    #[test]
    fn the_bar_stays_within_its_steps() {
        for (fraction, expected) in [
            (0.0, 0),
            (0.5, 500),
            (1.0, 1_000),
            (7.0, 1_000),
            (-1.0, 0),
            (f64::NAN, 1_000),
        ] {
            assert_eq!(steps(fraction), expected, "{fraction}");
        }
    }
}
