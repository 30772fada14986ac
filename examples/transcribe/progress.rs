//! One bar on a terminal: how far, how fast, how long still, and how much memory.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use indicatif::{ProgressBar, ProgressStyle};
use steadyscribe::monitor::reader;
use steadyscribe::sink::Sink;
use steadyscribe::{Ending, Progress, Segment, Time};

use crate::quantity::{clock, megabytes};

/// How often the bar is drawn anew.
const REDRAW_EVERY: Duration = Duration::from_millis(250);

const KNOWN_LENGTH: &str = "{bar:30} {percent:>3}%  {msg}";
const UNKNOWN_LENGTH: &str = "{spinner} {msg}";

/// Shows how far a transcription is, on standard error, until it is dropped.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// Dropped to end the thread that draws.
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Bar {
    /// Begins to show `progress`, which starts at `start` on the input's time line.
    pub(crate) fn show(progress: Progress, start: Time) -> io::Result<Self> {
        // Draws only where standard error is a terminal.
        let bar = ProgressBar::new(0);
        let (ends, ended) = bounded(0);
        let drawn = bar.clone();
        let draw = move || {
            let began = Instant::now();
            while ended.recv_timeout(REDRAW_EVERY) == Err(RecvTimeoutError::Timeout) {
                redraw(&drawn, &progress, start, began.elapsed().as_secs_f64());
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

fn redraw(bar: &ProgressBar, progress: &Progress, start: Time, elapsed_s: f64) {
    let done_s = (progress.position() - start).seconds();
    let mut message = format!(
        "{}  {:.1}x real time",
        clock(progress.position().seconds()),
        done_s / elapsed_s
    );
    let template = match progress.bytes_total() {
        Some(total) => {
            let read = progress.bytes_read().min(total);
            bar.set_length(total);
            bar.set_position(read);
            if read > 0 {
                let left_s = elapsed_s * (total - read) as f64 / read as f64;
                message += &format!("  {} left", clock(left_s));
            }
            KNOWN_LENGTH
        }
        None => {
            bar.tick();
            UNKNOWN_LENGTH
        }
    };
    if let Ok(memory) = reader::own() {
        message += &format!("  {}", megabytes(memory.private_bytes));
    }
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(message);
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
