//! What a caller has: inputs in, segments out, in memory that was planned.

use std::time::Instant;

use super::controls::Controls;
use super::decoding::Input;
use super::error::Error;
use super::meter::Meter;
use super::progress::Progress;
use super::run::Run;
use crate::budget::Plan;
use crate::cancel::Cancel;
use crate::config::{Config, InputOptions, LOOK_AHEAD_SAMPLES, Vad};
use crate::engine::{Engine, EnginePool};
use crate::journal::{Identity, Journal};
use crate::live::Live;
use crate::pool::Pool;
use crate::report::{BlockCounts, Summary};
use crate::sink::Sink;
use crate::source::Source;
use crate::time::Time;
use crate::vad::{LAG_SAMPLES_MAX, SpeechMap};
use crate::window::Window;

/// When the window is full, speech must be known up to the latest end of what the engine sees.
const _: () = assert!(LAG_SAMPLES_MAX <= LOOK_AHEAD_SAMPLES);

/// Transcribes inputs, one after another, in memory that is planned and allocated when it is made.
///
/// Three threads work on an input: one decodes and resamples, one finds speech and runs the engine,
/// and the caller's hands segments to the sink. They are joined before
/// [`transcribe`](Self::transcribe) returns, however it ends.
///
/// # Memory
///
/// What [`plan`](Self::plan) states, for an input of any length. Nothing grows with the input but
/// the lists of spans of a [`Summary`], which are bounded. What the engine holds belongs to
/// [`engines`](Self::engines).
///
/// # Examples
///
/// ```
/// use steadyscribe::engine::{Scripted, ScriptedUtterance};
/// use steadyscribe::{Config, FileSource, Segment, Span, Time, Transcriber};
///
/// let span = Span::new(Time::ZERO, Time::from_seconds(1.0));
/// let engine = Scripted::new(vec![ScriptedUtterance::new(span, "Good morning.")]);
/// let mut scribe = Transcriber::new(Config::default(), engine)?;
/// let mut segments: Vec<Segment> = Vec::new();
/// let summary = scribe.transcribe(FileSource::open("fixtures/standup.opus")?, &mut segments)?;
/// assert_eq!(summary.blocks.acquired, summary.blocks.released);
/// # Ok::<(), steadyscribe::Error>(())
/// ```
#[derive(Debug)]
pub struct Transcriber {
    engines: EnginePool,
    /// The number of this transcriber in its pool.
    user: u64,
    pool: Pool,
    window: Window,
    speech: Option<SpeechMap>,
    controls: Controls,
    cancel: Cancel,
    progress: Progress,
    meter: Meter,
}

impl EnginePool {
    /// Makes a transcriber that uses this pool, and allocates its buffers. For each that the pool
    /// was [planned](Self::plan) for, call it once.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when as many transcribers exist as were planned for; `Error::Model` when
    /// the model of the speech detector cannot be used.
    pub fn transcriber(&self) -> Result<Transcriber, Error> {
        let config = self.config();
        let speech = match &config.vad {
            Vad::Auto => Some(SpeechMap::new()),
            #[cfg(feature = "whisper")]
            Vad::Silero(path) => Some(SpeechMap::silero(path)?),
            Vad::Off => None,
        };
        let pool = Pool::new(config.pool_blocks)?;
        let window = Window::new(config.window_samples() + LOOK_AHEAD_SAMPLES)?;
        let controls = Controls::new(config, pool.resizer());
        let meter = Meter::new(&self.gauges(), &pool, config.window_bytes());
        Ok(Transcriber {
            user: self.join()?,
            engines: self.clone(),
            pool,
            window,
            speech,
            controls,
            cancel: Cancel::new(),
            progress: Progress::default(),
            meter,
        })
    }
}

impl Transcriber {
    /// Plans the memory, refuses what does not fit, and allocates the buffers. The engine's model
    /// is loaded for the first window, or by [`EnginePool::load`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when a value is out of range or the plan exceeds the budget;
    /// `Error::Model` when the model of the speech detector cannot be used.
    pub fn new(config: Config, engine: impl Engine + 'static) -> Result<Self, Error> {
        EnginePool::new(&config, engine, 1)?.transcriber()
    }

    /// Returns the owner of what the engine holds: a handle to load, free and account for it from
    /// any thread.
    #[must_use]
    pub fn engines(&self) -> &EnginePool {
        &self.engines
    }

    /// Returns what was planned.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.engines.plan()
    }

    /// Returns the token that stops the transcription that runs, and all later ones until
    /// [`set_cancel`](Self::set_cancel) replaces it.
    #[must_use]
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Replaces the token that stops the transcriptions that follow: by a new one after a cancel,
    /// or by one that several transcribers share.
    pub fn set_cancel(&mut self, cancel: &Cancel) {
        self.cancel = cancel.clone();
    }

    /// Returns a handle that shows how far the transcription that runs is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Returns a handle that changes settings while a transcription runs.
    #[must_use]
    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }

    /// Touches all memory that a transcription will use, so that a machine that cannot hold it
    /// shows it now.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] when the engine cannot run.
    pub fn warm_up(&mut self) -> Result<(), Error> {
        // Pages that were only read as zeros are not held yet.
        while self.window.push(&[f32::MIN_POSITIVE; 4_096]) > 0 {}
        self.window.reset(Time::ZERO);
        self.engines.warm_up()?;
        self.meter.warm();
        Ok(())
    }

    /// Transcribes one input and hands its segments to `sink` as they come.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] when nothing of the input can be decoded, [`Error::Engine`] when the engine
    /// fails, [`Error::Sink`] when the sink does.
    pub fn transcribe(
        &mut self,
        source: impl Source,
        sink: &mut dyn Sink,
    ) -> Result<Summary, Error> {
        self.transcribe_with(source, &InputOptions::default(), sink)
    }

    /// Transcribes a part of an input, or one of its channels.
    ///
    /// # Errors
    ///
    /// As [`transcribe`](Self::transcribe).
    pub fn transcribe_with(
        &mut self,
        mut source: impl Source,
        options: &InputOptions,
        sink: &mut dyn Sink,
    ) -> Result<Summary, Error> {
        self.run(Input::Encoded(&mut source), options, (sink, true), None)
    }

    /// Transcribes one input and keeps a journal of it. If the program is killed or the
    /// transcription cancelled at any moment, the next call with that journal resumes there: at
    /// most one window is transcribed again.
    ///
    /// The sink is given all segments from the first on, those of the journal at once: it writes
    /// the same as if nothing had happened. Changes of settings by [`Controls`] are not kept.
    ///
    /// # Errors
    ///
    /// As [`transcribe`](Self::transcribe), and [`Error::Journal`] when the journal belongs to
    /// something else or cannot be written.
    pub fn resume(
        &mut self,
        mut source: impl Source,
        options: &InputOptions,
        journal: &mut Journal,
        sink: &mut dyn Sink,
    ) -> Result<Summary, Error> {
        journal.begin(self.identity(&mut source, options)?)?;
        let mut takes_more = true;
        let replayed = journal.replay(&mut |segment| {
            takes_more = takes_more && sink.segment(segment)?;
            Ok(())
        })?;
        replayed.map_err(Error::Sink)?;
        let input = Input::Encoded(&mut source);
        self.run(input, options, (sink, takes_more), Some(journal))
    }

    /// Transcribes what is pushed into a feed, until the feed is dropped, and hands the segments to
    /// `sink` as they come.
    ///
    /// Speech is transcribed when the speaker pauses if the engine is not behind, else in windows
    /// of full length; the [module](crate::live) says more. Audio that was dropped is
    /// [damage](Summary::damage).
    ///
    /// Audio is consumed when its text is with the sink. If a call ends early, by a cancel or an
    /// error, the live input keeps recording, and the next call, with another engine if necessary,
    /// begins where the text ended: nothing is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] when the engine fails, [`Error::Sink`] when the sink does.
    pub fn transcribe_live(
        &mut self,
        live: &mut Live,
        sink: &mut dyn Sink,
    ) -> Result<Summary, Error> {
        self.transcribe_live_with(live, &InputOptions::default(), sink)
    }

    /// Transcribes a part of a live input: [`InputOptions::start`] and [`InputOptions::duration`]
    /// count from the first push. Audio before the start is dropped as it comes; behind the end the
    /// live input is left as it is. [`LiveOptions::channel`](crate::LiveOptions::channel) marks the
    /// segments unless [`InputOptions::channel`] does.
    ///
    /// # Errors
    ///
    /// As [`transcribe_live`](Self::transcribe_live).
    pub fn transcribe_live_with(
        &mut self,
        live: &mut Live,
        options: &InputOptions,
        sink: &mut dyn Sink,
    ) -> Result<Summary, Error> {
        let options = InputOptions {
            channel: options.channel.or(live.channel()),
            ..options.clone()
        };
        self.run(Input::Live(live), &options, (sink, true), None)
    }

    /// `takes_more`: the sink has not had enough of segments of the journal.
    fn run(
        &mut self,
        input: Input<'_>,
        options: &InputOptions,
        (sink, takes_more): (&mut dyn Sink, bool),
        journal: Option<&mut Journal>,
    ) -> Result<Summary, Error> {
        let began = Instant::now();
        let blocks_before = self.pool.stats();
        let run = Run {
            engines: &self.engines,
            user: self.user,
            pool: &self.pool,
            window: &mut self.window,
            speech: self.speech.as_mut(),
            controls: &self.controls,
            cancel: &self.cancel,
            progress: &self.progress,
            meter: &mut self.meter,
            takes_more,
        };
        let ended = run.transcribe(input, options, sink, journal);
        self.meter.ended();
        let ended = ended?;
        let (start, resumed_at) = (ended.start, ended.resumed_at);
        let is_cancelled = self.cancel.is_cancelled();
        let outcome = ended.outcome;
        let mut summary = outcome.summary(start, resumed_at, began.elapsed(), is_cancelled);
        let blocks = self.pool.stats();
        summary.blocks = BlockCounts {
            acquired: blocks.acquired - blocks_before.acquired,
            released: blocks.released - blocks_before.released,
        };
        summary.memory = self.meter.report(self.plan(), &self.pool);
        let ending = outcome.ending(start, &summary);
        sink.finish(&ending).map_err(Error::Sink)?;
        Ok(summary)
    }

    /// Returns what the text of an input depends on.
    fn identity(&self, source: &mut dyn Source, options: &InputOptions) -> Result<Identity, Error> {
        let config = self.engines.config();
        let input = source.fingerprint()?;
        let vad = self.speech.as_ref().map(SpeechMap::identity);
        let or_all = |value: Option<String>| value.unwrap_or_else(|| "all".into());
        let mut identity: Identity = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("input", input.unwrap_or_else(|| "a stream".into())),
            ("window_s", config.window_s.to_string()),
            ("previous_text", config.previous_text.to_string()),
            ("vad", vad.unwrap_or_else(|| "off".into())),
            (
                "channel",
                or_all(options.channel.map(|channel| channel.to_string())),
            ),
            ("start", options.start.to_string()),
            ("duration", or_all(options.duration.map(|d| d.to_string()))),
        ]
        .map(|(name, value)| (name.into(), value))
        .into();
        identity.extend(self.engines.identity());
        Ok(identity)
    }
}

impl Drop for Transcriber {
    fn drop(&mut self) {
        self.engines.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_binding_holds_can_be_shared_between_threads() {
        fn check<T: Send + Sync>() {}
        check::<Transcriber>();
        check::<EnginePool>();
        check::<Controls>();
        check::<Cancel>();
        check::<Journal>();
        check::<Live>();
    }
}
