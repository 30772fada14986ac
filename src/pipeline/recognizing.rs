//! The engine's thread: audio in, segments out.
//!
//! | question | file |
//! |---|---|
//! | how is the window filled? | `audio_buffer.rs` |
//! | what comes next: silence to skip, or a window? | `schedule.rs` |
//! | when is text doubtful, and what is retried? | `attempt.rs` |
//! | which text of a window is kept? | `stitch.rs` |
//! | what passes from window to window? | `../carried.rs` |

use std::time::Instant;

use crossbeam_channel::Sender;

use super::audio_buffer::AudioBuffer;
use super::controls::Controls;
use super::decision::{Decision, log};
use super::meter::Meter;
use super::outcome::{Recognized, Stop, rtf};
use super::progress::Progress;
use super::schedule::{Step, next};
use super::threads::SinkEvent;
use crate::cancel::Cancel;
use crate::carried::Carried;
use crate::config::SILENCE_ENDS_CONTEXT_SAMPLES;
use crate::engine::{EngineError, EnginePool};
use crate::journal::Journal;
use crate::time::{Span, Time};
use crate::transcript::Segment;

/// What the engine's thread shares with the rest of the transcriber.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) engines: &'a EnginePool,
    /// The transcriber's number in its pool.
    pub(super) user: u64,
    pub(super) controls: &'a Controls,
    pub(super) cancel: &'a Cancel,
    pub(super) progress: &'a Progress,
}

/// Transcribes the audio of one input.
pub(super) struct Recognizer<'a> {
    pub(super) context: Context<'a>,
    pub(super) audio: AudioBuffer<'a>,
    pub(super) carried: Carried,
    /// The channel that segments are marked with.
    pub(super) channel: Option<u8>,
    pub(super) journal: Option<&'a mut Journal>,
    pub(super) meter: &'a mut Meter,
    pub(super) out: Sender<SinkEvent>,
}

impl Recognizer<'_> {
    /// Turns audio into segments until the audio ends.
    pub(super) fn run(&mut self) -> Result<(), Stop> {
        let began = Instant::now();
        self.pass_resumed()?;
        let began_at = self.carried.position;
        loop {
            let filled = self.audio.fill();
            if self.context.cancel.is_cancelled() {
                return Err(EngineError::Cancelled.into());
            }
            let longest = Time::from_samples(self.context.controls.window_samples() as u64);
            let step = next(
                self.audio.span(),
                self.audio.speech().as_ref(),
                filled,
                longest,
            );
            match step {
                Step::Finish => return Ok(()),
                Step::SkipTo(time) => self.skip_to(time)?,
                Step::Transcribe(choice) => {
                    self.context.controls.wait(self.context.cancel);
                    self.transcribe_window(choice)?;
                    let rtf = rtf(
                        began.elapsed().as_secs_f64(),
                        self.carried.position - began_at,
                    );
                    self.meter.flowing(self.audio.queued(), self.out.len(), rtf);
                    self.meter.sample();
                }
            }
        }
    }

    /// Returns what the thread came to.
    pub(super) fn finish(self) -> Recognized {
        Recognized {
            speech: self.audio.speech_consumed(),
            waited: self.audio.waited,
            carried: self.carried,
        }
    }

    /// Passes the audio that the journal's last run was done with.
    fn pass_resumed(&mut self) -> Result<(), Stop> {
        let Some(mark) = self.journal.as_deref().and_then(Journal::resumed_at) else {
            return Ok(());
        };
        let position = self.carried.position;
        self.audio.pass_to(position, mark, self.context.cancel)?;
        self.context.progress.reached(position);
        Ok(())
    }

    /// Gives back silence in front of the next speech.
    fn skip_to(&mut self, time: Time) -> Result<(), Stop> {
        let skipped = Span::new(self.audio.span().start, time);
        log(&Decision::Skipped(skipped));
        if skipped.length().samples() > SILENCE_ENDS_CONTEXT_SAMPLES {
            self.carried.previous.clear();
        }
        self.carried.skipped += skipped.length();
        self.consume_to(time);
        self.report_position()
    }

    /// Gives back audio that is done with.
    pub(super) fn consume_to(&mut self, time: Time) {
        self.audio.consume_to(time);
        self.carried.position = self.audio.span().start;
        self.context.progress.reached(self.carried.position);
    }

    /// Commits a window: persists its segments with the state that the next window needs, then
    /// sends them to the sink.
    pub(super) fn commit(&mut self, mut segments: Vec<Segment>, done: Time) -> Result<(), Stop> {
        for segment in &mut segments {
            segment.id = self.carried.next_id;
            segment.channel = self.channel;
            self.carried.next_id += 1;
        }
        self.consume_to(done);
        if let Some(journal) = &mut self.journal {
            journal.commit(&self.carried, self.audio.mark(), &segments)?;
        }
        for segment in segments {
            self.send(SinkEvent::Segment(segment))?;
        }
        self.report_position()
    }

    /// Reports to the sink how far the transcript is.
    fn report_position(&self) -> Result<(), Stop> {
        self.send(SinkEvent::Reached(self.carried.position))
    }

    fn send(&self, event: SinkEvent) -> Result<(), Stop> {
        self.out.send(event).map_err(|_| Stop::Unread)
    }
}
