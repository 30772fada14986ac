//! What transcribes: one transcriber that mixes channels, or one for each channel.

use steadyscribe::decode::Decoder;
use steadyscribe::engine::Shared;
use steadyscribe::sink::Sink;
use steadyscribe::source::Source;
use steadyscribe::{Cancel, Channels, Config, Error, Progress, Summary, Transcriber, Whisper};

use super::args::{self, Args};
use super::outputs::Job;

/// Serves all inputs, one after another, with one engine.
pub(crate) enum Scribes {
    Mixed(Box<Transcriber<Whisper>>),
    Apart(Box<Apart>),
}

/// What makes transcribers for the channels of each input.
pub(crate) struct Apart {
    engine: Shared<Whisper>,
    config: Config,
    cancel: Cancel,
}

impl Scribes {
    /// Plans and loads. Channels apart are planned when it is known how many an input has.
    pub(crate) fn new(args: &Args, engine: Whisper) -> Result<Self, Error> {
        Ok(match args.channels {
            args::Channels::Mix => Self::Mixed(Box::new(Transcriber::new(args.config(), engine)?)),
            args::Channels::Split => Self::Apart(Box::new(Apart {
                engine: Shared::new(engine),
                config: args.config(),
                cancel: Cancel::new(),
            })),
        })
    }

    /// Returns the token that stops all inputs.
    pub(crate) fn cancel(&self) -> Cancel {
        match self {
            Self::Mixed(scribe) => scribe.cancel(),
            Self::Apart(apart) => apart.cancel.clone(),
        }
    }

    /// Gets ready for one input.
    pub(crate) fn ready(&mut self, source: &mut dyn Source) -> Result<Ready<'_>, Error> {
        Ok(match self {
            Self::Mixed(scribe) => Ready::Mixed(scribe),
            Self::Apart(apart) => {
                let count = Decoder::open(source)?.info().format.channels;
                let engines = vec![apart.engine.clone(); count];
                let mut channels = Channels::new(&apart.config, engines)?;
                channels.cancelled_by(&apart.cancel);
                Ready::Apart(channels)
            }
        })
    }
}

/// What transcribes one input.
pub(crate) enum Ready<'a> {
    Mixed(&'a mut Transcriber<Whisper>),
    Apart(Channels<Whisper>),
}

impl Ready<'_> {
    pub(crate) fn progress(&self) -> Progress {
        match self {
            Self::Mixed(scribe) => scribe.progress(),
            Self::Apart(channels) => channels.progress(),
        }
    }

    /// Transcribes the input. Returns a summary, or one for each channel.
    pub(crate) fn transcribe(
        self,
        args: &Args,
        job: &Job,
        source: Box<dyn Source>,
        sink: &mut dyn Sink,
    ) -> Result<Vec<Summary>, Error> {
        match self {
            Self::Mixed(scribe) => {
                let summary = match args.journal()? {
                    Some(mut journal) => {
                        scribe.transcribe_with_journal(source, sink, &mut journal)?
                    }
                    None => scribe.transcribe(source, sink)?,
                };
                Ok(vec![summary])
            }
            Self::Apart(mut channels) => channels.transcribe(|| job.source(args.raw), sink),
        }
    }
}
