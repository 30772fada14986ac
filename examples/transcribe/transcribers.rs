//! Transcribes inputs one after another, with their channels mixed or each channel on its own.

use steadyscribe::decode::Decoder;
use steadyscribe::sink::Sink;
use steadyscribe::source::Source;
use steadyscribe::{
    Cancel, Channels, Config, EnginePool, Error, Progress, Summary, Transcriber, Whisper,
};

use super::args::{self, Args};
use super::outputs::Job;

/// Transcribes all inputs with one engine.
pub(crate) enum Transcribers {
    Mixed(Box<Transcriber>),
    Split(Box<Split>),
}

/// Transcribes each channel on its own.
pub(crate) struct Split {
    engine: Whisper,
    config: Config,
    cancel: Cancel,
    /// The pool and the transcribers of the last input. The next input uses them again if it has as
    /// many channels.
    channels: Option<(EnginePool, Channels)>,
}

impl Transcribers {
    /// Plans the memory and loads the model. With split channels both wait for the first input,
    /// because the plan depends on its number of channels.
    pub(crate) fn new(args: &Args, engine: Whisper) -> Result<Self, Error> {
        Ok(match args.channels {
            args::Channels::Mix => {
                let transcriber = Transcriber::new(args.config(), engine)?;
                transcriber.engines().load()?;
                Self::Mixed(Box::new(transcriber))
            }
            args::Channels::Split => Self::Split(Box::new(Split {
                engine,
                config: args.config(),
                cancel: Cancel::new(),
                channels: None,
            })),
        })
    }

    /// Returns the token that stops all inputs.
    pub(crate) fn cancel(&self) -> Cancel {
        match self {
            Self::Mixed(transcriber) => transcriber.cancel(),
            Self::Split(split) => split.cancel.clone(),
        }
    }

    /// Prepares for one input.
    pub(crate) fn prepare(&mut self, source: &mut dyn Source) -> Result<Prepared<'_>, Error> {
        Ok(match self {
            Self::Mixed(transcriber) => Prepared::Mixed(transcriber),
            Self::Split(split) => Prepared::Split(split.prepare(source)?),
        })
    }
}

impl Split {
    fn prepare(&mut self, source: &mut dyn Source) -> Result<&mut Channels, Error> {
        let count = Decoder::open(source)?.info().format.channels;
        let reusable = self.channels.take();
        let reusable = reusable.filter(|(pool, _)| pool.plan().transcribers() == count);
        let channels = match reusable {
            Some(channels) => channels,
            None => {
                let pool = EnginePool::new(&self.config, self.engine.clone(), count)?;
                let mut channels = Channels::new(&pool)?;
                channels.set_cancel(&self.cancel);
                pool.load()?;
                (pool, channels)
            }
        };
        Ok(&mut self.channels.insert(channels).1)
    }
}

/// Transcribes one input.
pub(crate) enum Prepared<'a> {
    Mixed(&'a mut Transcriber),
    Split(&'a mut Channels),
}

impl Prepared<'_> {
    pub(crate) fn progress(&self) -> Progress {
        match self {
            Self::Mixed(transcriber) => transcriber.progress(),
            Self::Split(channels) => channels.progress(),
        }
    }

    /// Transcribes the input. Returns its summary, or a summary for each channel.
    pub(crate) fn transcribe(
        self,
        args: &Args,
        job: &Job,
        source: Box<dyn Source>,
        sink: &mut dyn Sink,
    ) -> Result<Vec<Summary>, Error> {
        let options = args.input_options();
        match self {
            Self::Mixed(transcriber) => {
                let summary = match args.journal()? {
                    Some(mut journal) => {
                        transcriber.resume(source, &options, &mut journal, sink)?
                    }
                    None => transcriber.transcribe_with(source, &options, sink)?,
                };
                Ok(vec![summary])
            }
            Self::Split(channels) => channels.transcribe(|| job.source(args.raw), &options, sink),
        }
    }
}
