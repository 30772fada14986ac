//! One bar on a terminal: how far, how fast, how long still, and how much memory.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use indicatif::{ProgressBar, ProgressStyle};
use steadyscribe::monitor::reader;
use steadyscribe::sink::Sink;
use steadyscribe::{Config, Ending, Progress, Segment, Time};

use super::quantity::{clock, megabytes};

/// How often the bar is drawn anew.
const REDRAW_EVERY: Duration = Duration::from_millis(250);

/// Audio that must be done before anything is said of speed: the position moves by windows, and the first takes its time.
const SETTLED_S: f64 = 5.0;

/// Steps of the bar.
const STEPS: u64 = 1_000;

const KNOWN_LENGTH: &str = "{bar:30} {percent:>3}%  {msg}";
const UNKNOWN_LENGTH: &str = "{spinner} {msg}";

/// Shows how far a transcription is, on standard error, until it is dropped.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// Dropped to end the thread that draws.
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Bar {
    /// Begins to show `progress` through what `config` wants of the input. Draws only where standard error is a terminal.
    pub(crate) fn show(progress: Progress, config: &Config) -> io::Result<Self> {
        let bar = ProgressBar::new(STEPS);
        let (ends, ended) = bounded(0);
        let (start, duration) = (config.start, config.duration);
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

    /// Shows nothing.
    pub(crate) fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            drawing: None,
        }
    }

    /// Keeps the bar out of the way of what `sink` writes.
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
            // A panic of the bar has been printed, and a transcript is worth more than its bar.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

/// How far reading is.
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

/// Says where the input will end if the rest has as many bytes for each second as what was read. The length that a
/// file declares is not asked: it is often missing or wrong.
fn end_estimate(read: &Read) -> Option<Time> {
    let total = read.bytes_total?;
    if read.bytes == 0 || read.decoded == Time::ZERO {
        return None;
    }
    let factor = (total as f64 / read.bytes as f64).max(1.0);
    Some(Time::from_seconds(read.decoded.seconds() * factor))
}

/// Where a transcription stands.
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
    reason = "the part is held between 0 and 1"
)]
fn steps(part: f64) -> u64 {
    // An end before the start makes it infinite or no number at all.
    let part = if part.is_finite() {
        part.clamp(0.0, 1.0)
    } else {
        1.0
    };
    (part * STEPS as f64) as u64
}

/// A sink whose lines appear above the bar.
pub(crate) struct AroundBar<S> {
    bar: ProgressBar,
    sink: S,
}

impl<S: Sink> Sink for AroundBar<S> {
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        self.bar.suspend(|| self.sink.segment(segment))
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
        // A file that grows while it is read.
        check(10.0, 5_000, Some(4_000), Some(10.0));
        check(10.0, 1_000, None, None);
        check(0.0, 1_000, Some(4_000), None);
        check(10.0, 0, Some(4_000), None);
    }

    #[test]
    fn the_bar_stays_within_its_steps() {
        for (part, expected) in [
            (0.0, 0),
            (0.5, 500),
            (1.0, 1_000),
            (7.0, 1_000),
            (-1.0, 0),
            (f64::NAN, 1_000),
        ] {
            assert_eq!(steps(part), expected, "{part}");
        }
    }
}
