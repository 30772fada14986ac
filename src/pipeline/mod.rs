//! All stages together: the only place that knows them all. Threads, bounded queues, shutdown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Sender, bounded};
use steadyscribe_monitor::Gauges;

pub use self::channels::Channels;
pub use self::control::Controls;
use self::edge::{Edge, Unread};
use self::feed::{Blocks, Input, feed};
use self::idle::IdleRelease;
use self::listen::Listener;
use self::meter::Meter;
pub use self::progress::Progress;
use self::ran::{Ran, decoded_to, listened_to, rtf};
use self::record::Resumed;
use self::threads::{join, spawn, write};
use crate::budget::Plan;
use crate::cancel::Cancel;
use crate::config::{Config, LOOK_AHEAD_SAMPLES, Vad};
use crate::engine::Engine;
use crate::error::Error;
use crate::journal::Journal;
use crate::live::Live;
use crate::memory;
use crate::pool::Pool;
use crate::report::{self, Summary};
use crate::sink::Sink;
use crate::source::Source;
use crate::time::Time;
use crate::vad::{LAG_SAMPLES_MAX, SpeechMap};
use crate::window::Window;

mod channels;
mod control;
mod decision;
mod edge;
mod feed;
mod hear;
mod idle;
mod listen;
mod meter;
mod progress;
mod ran;
mod record;
mod threads;

/// What waits for the sink at most: segments, of which a window gives about ten, and behind them how far it reached.
const SEGMENTS_QUEUED_MAX: usize = 64;

/// Transcribes inputs, one after another, in memory that is planned and allocated when it is made.
///
/// Three threads work on an input: one decodes and resamples, one finds speech and runs the engine, and the caller's writes
/// to the sink. They are joined before [`transcribe`](Self::transcribe) returns, however it ends.
///
/// # Memory
///
/// What [`plan`](Self::plan) says, for an input of any length. Nothing grows with the input but the list of spans of a
/// [`Summary`], which is bounded.
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
pub struct Transcriber<E: Engine + 'static> {
    config: Config,
    plan: Plan,
    /// Shared with the idle timers, which give its memory back.
    engine: Arc<Mutex<E>>,
    idle: Option<IdleRelease>,
    pool: Pool,
    window: Window,
    speech: Option<SpeechMap>,
    controls: Controls,
    cancel: Cancel,
    progress: Progress,
    meter: Meter,
}

impl<E: Engine + 'static> Transcriber<E> {
    /// Plans the memory, refuses what does not fit, loads the engine and allocates everything else.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when a value is out of range or the plan exceeds the budget, before anything is loaded;
    /// `Error::Model` when the speech detector's model cannot be used;
    /// [`Error::Engine`] when the engine cannot load its model.
    pub fn new(config: Config, mut engine: E) -> Result<Self, Error> {
        config.validate()?;
        let plan = Plan::new(&config, &engine.footprints())?;
        // First, because it is the faster to refuse.
        let speech = speech_map(&config)?;
        engine.prepare(plan.chosen())?;
        let pool = Pool::new(config.pool_blocks)?;
        let window = Window::new(window_samples(config.window_s) + LOOK_AHEAD_SAMPLES)?;
        let controls = Controls::new(&config, pool.resizer());
        let (cancel, progress, meter) = (Cancel::new(), Progress::default(), Meter::new());
        meter.engine(engine.held());
        let engine = Arc::new(Mutex::new(engine));
        let idle = IdleRelease::start(&engine, config.release_state_after, config.unload_after);
        Ok(Self {
            config,
            plan,
            engine,
            idle,
            pool,
            window,
            speech,
            controls,
            cancel,
            progress,
            meter,
        })
    }

    /// Returns what was planned.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the token that stops the transcription that runs, and all later ones until it is
    /// [renewed](Self::renew_cancel).
    #[must_use]
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Makes a new token for the transcriptions that follow, so that they run although one before was cancelled. Those who hold
    /// the old one no longer reach them. Returns it.
    pub fn renew_cancel(&mut self) -> Cancel {
        self.cancel = Cancel::new();
        self.cancel.clone()
    }

    /// Returns how far the transcription that runs is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Returns the handle that changes settings while a transcription runs.
    #[must_use]
    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }

    /// Returns the gauges that the pipeline publishes: bytes of pool, window, model and state, depth of the queues, real-time
    /// factor.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.meter.gauges.clone()
    }

    /// Returns the engine, which no transcription uses meanwhile.
    pub fn engine(&mut self) -> MutexGuard<'_, E> {
        lock(&self.engine)
    }

    /// Gives the engine's working memory back now. The next window allocates it again. Returns whether there was any.
    pub fn release_state(&mut self) -> bool {
        let freed = self.engine().release_state();
        self.gave_back(freed)
    }

    /// Gives the model's weights and the working memory back now. The next transcription loads them again. Returns whether
    /// they were there.
    pub fn unload(&mut self) -> bool {
        let freed = self.engine().unload();
        self.gave_back(freed)
    }

    fn gave_back(&self, freed: bool) -> bool {
        self.meter.engine(lock(&self.engine).held());
        freed && {
            memory::trim();
            true
        }
    }

    /// Touches all memory that a transcription will use, so that a machine that cannot hold it shows it now.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] when the engine cannot run.
    pub fn warm_up(&mut self) -> Result<(), Error> {
        // Pages that were only read as zeros are not held yet.
        while self.window.push(&[f32::MIN_POSITIVE; 4_096]) > 0 {}
        self.window.reset(self.config.start);
        let mut engine = lock(&self.engine);
        engine.warm_up()?;
        self.meter.engine(engine.held());
        self.meter.warm();
        Ok(())
    }

    /// Transcribes one input and hands its segments to `sink` as they come.
    ///
    /// Damage in the input and cancelling are no errors: the summary says how it ended, and what was transcribed by then is
    /// with the sink.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`], [`Error::Unsupported`] and [`Error::Undecodable`] when nothing of the input can be had,
    /// [`Error::Engine`] when the engine fails, [`Error::Sink`] when the sink does.
    pub fn transcribe(
        &mut self,
        mut source: impl Source,
        sink: &mut dyn Sink,
    ) -> Result<Summary, Error> {
        self.transcribe_input(Input::Encoded(&mut source), Time::ZERO, sink, None)
    }

    /// Transcribes one input as [`transcribe`](Self::transcribe) does, and keeps a journal of it: killed or cancelled at any
    /// moment, the next call with that journal goes on there, and at most one window is transcribed again.
    ///
    /// The sink is given all segments from the first on, those of the journal at once: what it writes is the same as if nothing
    /// had happened. Changes of settings while it ran ([`Controls`]) are not kept.
    ///
    /// # Errors
    ///
    /// As [`transcribe`](Self::transcribe), and [`Error::Journal`] when the journal is of something else or cannot be written.
    pub fn transcribe_with_journal(
        &mut self,
        mut source: impl Source,
        sink: &mut dyn Sink,
        journal: &mut Journal,
    ) -> Result<Summary, Error> {
        let speech = self.speech.as_ref();
        let identity = record::identity(&self.config, &self.engine, speech, &mut source)?;
        journal.begin(identity)?;
        let replayed = journal.replay(&mut |segment| sink.segment(segment))?;
        replayed.map_err(Error::Sink)?;
        let input = Input::Encoded(&mut source);
        self.transcribe_input(input, Time::ZERO, sink, Some(journal))
    }

    /// Transcribes what is pushed into a feed, until the feed is dropped, and hands the segments to `sink` as they come.
    ///
    /// What was said is transcribed when the speaker pauses, if the engine is not behind, else in windows of full length; the
    /// [module](crate::live) says more. Audio that was dropped is [damage](Summary::damage). [`Config::start`] and
    /// [`Config::duration`] count from the first push; behind that duration the input is left as it is.
    ///
    /// If it ends early, by cancelling or an error, the live input continues to record. Another call, with another engine if need
    /// be, starts where the first one committed its last text: no audio is lost, and none is transcribed twice.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] when the engine fails, [`Error::Sink`] when the sink does.
    pub fn transcribe_live(
        &mut self,
        live: &mut Live,
        sink: &mut dyn Sink,
    ) -> Result<Summary, Error> {
        let from = live.begin();
        let summary = self.transcribe_input(Input::Live(live), from, sink, None);
        live.end();
        summary
    }

    /// Transcribes an input whose first sample is at `from`.
    fn transcribe_input(
        &mut self,
        input: Input<'_>,
        from: Time,
        sink: &mut dyn Sink,
        journal: Option<&mut Journal>,
    ) -> Result<Summary, Error> {
        let began = Instant::now();
        let start = from.max(self.config.start);
        self.window.reset(start);
        if let Some(speech) = &mut self.speech {
            speech.reset(start);
        }
        let pool_before = self.pool.stats();
        let ran = self.run(input, from, sink, journal, began);
        if let Some(idle) = &self.idle {
            idle.ended();
        }
        let ran = ran?;
        let mut summary = ran.summary(start, self.cancel.is_cancelled());
        summary.processing_s = began.elapsed().as_secs_f64();
        summary.rtf = rtf(summary.processing_s, summary.audio_s);
        let pool = self.pool.stats();
        summary.blocks = report::Blocks {
            acquired: pool.acquired - pool_before.acquired,
            released: pool.released - pool_before.released,
        };
        summary.memory = self.meter.report(&self.plan, &self.pool);
        let ending = ran.ending(start, &summary);
        sink.finish(&ending).map_err(Error::Sink)?;
        Ok(summary)
    }

    /// Runs the three threads until the input ends or one of them fails.
    fn run(
        &mut self,
        input: Input<'_>,
        from: Time,
        sink: &mut dyn Sink,
        journal: Option<&mut Journal>,
        began: Instant,
    ) -> Result<Ran, Error> {
        let (blocks_in, blocks_out) = bounded(self.config.pool_blocks);
        let (segments_in, segments_out) = bounded(SEGMENTS_QUEUED_MAX);
        // Dropped when the engine's thread ends, so that the decoder does not wait for blocks that stay in the queue.
        let (alive, taker) = bounded(1);
        let start = from.max(self.config.start);
        let mut engine = lock(&self.engine);
        engine.prepare(self.plan.chosen())?;
        let counts_before = engine.counts();
        let resumed = Resumed::of(journal, start, counts_before);
        let (segments_before, counts_resumed) = (resumed.next_id, resumed.counts);
        let window_bytes =
            (window_samples(self.config.window_s) + LOOK_AHEAD_SAMPLES) * size_of::<f32>();
        self.meter
            .allocated(self.pool.held_bytes(), window_bytes as u64);
        let (config, pool, cancel, progress) =
            (&self.config, &self.pool, &self.cancel, &self.progress);
        let blocks = Blocks::new(from, config, pool, cancel, (blocks_in, taker));
        let unread = Unread(Edge::of(&input));
        let mut listener = Listener {
            edge: Edge::of(&input),
            start,
            engine: &mut *engine,
            window: &mut self.window,
            speech: self.speech.as_mut(),
            config,
            controls: &self.controls,
            cancel,
            progress,
            meter: &mut self.meter,
            began,
            previous: resumed.previous,
            language: resumed.language,
            credit: resumed.credit,
            next_id: resumed.next_id,
            done: resumed.done,
            record: resumed.record,
        };
        let name = input.name();
        let (decoded, listened, (segments, written)) = thread::scope(|scope| {
            let decode = move || feed(input, blocks, config.channel, progress);
            let listen = move || {
                let _alive: Sender<()> = alive;
                let stop = listener.run(&blocks_out, &segments_in).err();
                (listener.done, stop)
            };
            let decoder = spawn(scope, "scribe-decode", decode);
            let engine = spawn(scope, "scribe-engine", listen);
            let written = write(segments_out, sink);
            unread.unless(written.1.is_ok());
            (join(decoder), join(engine), written)
        });
        written.map_err(Error::Sink)?;
        let listened = listened_to(listened)?;
        let decoded = decoded_to(decoded, listened.heard_to > start, name)?;
        let mut counts = counts_resumed;
        counts.add(engine.counts().since(counts_before));
        Ok(Ran {
            decoded,
            listened,
            segments: segments_before + segments,
            counts,
        })
    }
}

/// Locks the engine. A panic while it was locked ended the transcription; the engine stands as it was left.
fn lock<E>(engine: &Mutex<E>) -> MutexGuard<'_, E> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

fn window_samples(window_s: f32) -> usize {
    Time::from_seconds(f64::from(window_s)).samples_since(Time::ZERO)
}

/// What is known of speech when the window is full must reach behind the latest end of what the engine sees.
const _: () = assert!(LAG_SAMPLES_MAX <= LOOK_AHEAD_SAMPLES);

fn speech_map(config: &Config) -> Result<Option<SpeechMap>, Error> {
    Ok(match &config.vad {
        Vad::Auto => Some(SpeechMap::new()),
        #[cfg(feature = "whisper")]
        Vad::Silero(path) => Some(SpeechMap::silero(path)?),
        Vad::Off => None,
    })
}
