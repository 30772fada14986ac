//! What can be asked for on the command line.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use steadyscribe::sink::Format;
use steadyscribe::source::RawFormat;
use steadyscribe::{Config, Error, Journal, Time, Vad, WhisperOptions};

use super::quantity;

/// The model that is used when none is named: good enough to see everything work, not to transcribe real speech.
pub(crate) const FIXTURE_MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  failed: the engine, or writing a transcript
    2  wrong usage
    3  an input cannot be read, or holds no audio that is supported
    4  the model cannot be used, or not be downloaded
    5  the memory budget is too small
    6  an input is damaged: what is readable was transcribed
  130  cancelled: what was ready is kept

Several files are transcribed one after another with one engine. The failure of one does not stop the rest; the exit
code is that of the first failure.

A transcript takes its name when it is whole. Before that, and when it is cancelled, it is in NAME.part.";

/// Transcribes audio and video files of any length in a fixed amount of memory.
#[derive(Debug, Parser)]
#[command(name = "transcribe", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Audio or video files, or - for standard input
    #[arg(value_name = "FILE", required_unless_present = "plan")]
    pub(crate) files: Vec<PathBuf>,

    /// Whisper model: the name of a published one (`transcribe models list`), which is downloaded once, or a file in ggml format;
    /// without it a small model of this project that knows 360 words
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,

    /// The inputs are samples without a header: their kind, rate and channels, such as s16le:16000:1
    #[arg(long, value_name = "FORMAT")]
    pub(crate) raw: Option<RawFormat>,

    /// Format of the transcript: txt, srt, vtt, json, jsonl, csv or lrc; may be given several times
    #[arg(short, long = "format", value_name = "FORMAT")]
    pub(crate) formats: Vec<Format>,

    /// Where the transcript goes: a file, a directory, or - for standard output
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub(crate) output: Option<PathBuf>,

    /// Language that is spoken, such as de; without it a multilingual model listens for itself
    #[arg(short, long, value_name = "CODE")]
    language: Option<String>,

    /// Translate into English
    #[arg(long)]
    translate: bool,

    /// Text that the model takes as said before: names, spelling
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    prompt: String,

    /// Do not give the model the text before each window
    #[arg(long)]
    no_previous_text: bool,

    /// Threads of the model, 1 to 64
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: Option<u8>,

    /// Most memory that the program may take, such as 600M or 1.5G; refused with numbers when it is too little
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes)]
    memory_budget: Option<u64>,

    /// Print how much memory a transcription takes, for files of any length, and stop
    #[arg(long)]
    pub(crate) plan: bool,

    /// Length of what the model hears at once, 5 to 30 seconds
    #[arg(long, value_name = "SECONDS")]
    window_seconds: Option<f32>,

    /// What tells speech from silence: auto, off, or the file of a Silero model
    #[arg(long, value_name = "auto|off|PATH", default_value = "auto", value_parser = vad)]
    vad: Vad,

    /// Transcribe all channels mixed, or each on its own, as where one person is left and another right
    #[arg(long, value_enum, default_value_t = Channels::Mix)]
    pub(crate) channels: Channels,

    /// Where to begin, in seconds or h:mm:ss
    #[arg(long, value_name = "TIME", value_parser = quantity::time)]
    start: Option<Time>,

    /// How much to transcribe, in seconds or h:mm:ss
    #[arg(long, value_name = "TIME", value_parser = quantity::time)]
    duration: Option<Time>,

    /// Keep progress in a file, so that nothing is lost when the program is killed; for one input
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,

    /// Go on where the journal ends; without one, begin
    #[arg(long, requires = "journal")]
    pub(crate) resume: bool,

    /// Write what was counted and measured to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Write nothing but the transcript and errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say for each window what is decided and why
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// What becomes of several channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Channels {
    /// One transcript of all together
    Mix,
    /// One transcript whose segments are marked with their channel; reads the input once for each
    Split,
}

/// What can be done besides transcribing.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Published models: which there are, and where they are kept
    #[command(subcommand)]
    Models(Models),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// List the published models, with their size, what a transcription takes in memory, and which are here
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Download a model, if it is not here, and print its path
    Fetch {
        /// A name of the list, or hf:OWNER/REPOSITORY/FILE for any other file on Hugging Face
        name: String,
    },
    /// Print the path of a model that is here
    Path {
        /// A name of the list, or hf:OWNER/REPOSITORY/FILE
        name: String,
    },
}

fn vad(text: &str) -> Result<Vad, Infallible> {
    Ok(match text {
        "auto" => Vad::Auto,
        "off" => Vad::Off,
        path => Vad::Silero(path.into()),
    })
}

impl Args {
    /// Returns how the model decodes.
    pub(crate) fn whisper_options(&self) -> WhisperOptions {
        let mut options = WhisperOptions::default();
        options.language.clone_from(&self.language);
        options.translate = self.translate;
        options.prompt.clone_from(&self.prompt);
        options.threads = self.threads.map_or(options.threads, usize::from);
        options
    }

    /// Opens the journal that was asked for.
    pub(crate) fn journal(&self) -> Result<Option<Journal>, Error> {
        let open = |path| match self.resume {
            true => Journal::open(path),
            false => Journal::create(path),
        };
        Ok(self.journal.as_ref().map(open).transpose()?)
    }

    /// Returns how the pipeline works.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.memory_budget_bytes = self.memory_budget;
        config.window_s = self.window_seconds.unwrap_or(config.window_s);
        config.previous_text = !self.no_previous_text;
        config.vad = self.vad.clone();
        config.start = self.start.unwrap_or(config.start);
        config.duration = self.duration;
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(["transcribe"].into_iter().chain(line.split_whitespace()))
    }

    #[test]
    fn every_flag_reaches_what_it_configures() {
        let line = "--model m.bin --format srt --format json --output out --language de --translate --prompt Ada \
                    --no-previous-text --threads 3 --memory-budget 600M --window-seconds 12.5 --vad off --start 1:30 \
                    --duration 10 --raw s16le:8000:2 a.wav b.wav";
        let args = parse(line).unwrap();
        assert_eq!(args.model.as_deref(), Some("m.bin"));
        assert_eq!(args.raw, Some("s16le:8000:2".parse().unwrap()));
        assert_eq!(args.formats, [Format::Srt, Format::Json]);
        assert_eq!(args.files, [PathBuf::from("a.wav"), PathBuf::from("b.wav")]);
        let options = args.whisper_options();
        assert_eq!(options.language.as_deref(), Some("de"));
        assert!(options.translate);
        assert_eq!((options.prompt.as_str(), options.threads), ("Ada", 3));
        let config = args.config();
        assert_eq!(config.memory_budget_bytes, Some(600_000_000));
        assert_eq!((config.window_s, config.previous_text), (12.5, false));
        assert_eq!(config.vad, Vad::Off);
        assert_eq!(config.start, Time::from_seconds(90.0));
        assert_eq!(config.duration, Some(Time::from_seconds(10.0)));
        assert_eq!(args.channels, Channels::Mix);
        assert_eq!(
            parse("--channels split a.wav").unwrap().channels,
            Channels::Split
        );
    }

    #[test]
    fn a_detector_is_a_word_or_a_file() {
        let chosen = |line| parse(line).unwrap().config().vad;
        assert_eq!(chosen("--vad auto a.wav"), Vad::Auto);
        assert_eq!(
            chosen("--vad silero.bin a.wav"),
            Vad::Silero("silero.bin".into())
        );
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let args = parse("a.wav").unwrap();
        assert_eq!(args.config(), Config::default());
        assert_eq!(args.whisper_options(), WhisperOptions::default());
        assert!(args.model.is_none() && args.command.is_none());
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            "",
            "--format docx a.wav",
            "--memory-budget much a.wav",
            "--raw s16le:16000 a.wav",
            "--raw s16le:16000:99 a.wav",
            "--channels left a.wav",
            "--threads 0 a.wav",
            "--threads 65 a.wav",
            "--start -1 a.wav",
            "--quiet --verbose a.wav",
            "--no-such-flag a.wav",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("--plan").is_ok());
    }

    #[test]
    fn models_have_commands_of_their_own() {
        let command = |line| parse(line).unwrap().command;
        assert!(matches!(
            command("models list --json"),
            Some(Command::Models(Models::List { json: true }))
        ));
        assert!(
            matches!(command("models path base.en"), Some(Command::Models(Models::Path { name })) if name == "base.en")
        );
        for line in [
            "models",
            "models path",
            "models fetch",
            "models remove base.en",
            "a.wav models list",
        ] {
            assert!(
                parse(line).is_err() || parse(line).unwrap().command.is_none(),
                "{line}"
            );
        }
    }
}
