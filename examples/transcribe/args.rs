//! The command line: every option, and the settings of the library that it becomes.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use steadyscribe::sink::Format;
use steadyscribe::source::RawFormat;
use steadyscribe::{Config, Error, InputOptions, Journal, Time, Vad, WhisperOptions};

use super::quantity;

/// The default model: it shows that everything works, and cannot transcribe real speech.
pub(crate) const FIXTURE_MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);

const AFTER_HELP: &str = "\
Examples:
    transcribe talk.mp3                          print the text
    transcribe -m small.en -o talk.srt talk.mp4  write subtitles, with a published model
    transcribe -o texts/ -f txt -f json *.wav    write two formats of each file into a directory
    transcribe --channels split call.wav         mark who speaks, with one person on each channel
    ffmpeg -i URL -f wav - | transcribe -        transcribe while it arrives

Exit codes:
    0  done
    1  failed: the engine, or writing a transcript
    2  wrong usage
    3  an input cannot be read, or holds no supported audio
    4  the model cannot be used, or cannot be downloaded
    5  the memory budget is too small
    6  an input is damaged: the readable parts were transcribed
  130  cancelled: the text so far is kept

Several files are transcribed one after another with one engine. If one fails, the rest are still
transcribed; the exit code is that of the first failure.

A transcript gets its name when it is complete. Until then, and when it is cancelled, it is in
NAME.part.";

/// Transcribes audio and video files of any length in a fixed amount of memory.
#[derive(Debug, Parser)]
#[command(name = "transcribe", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Audio or video files, or - for standard input
    #[arg(value_name = "FILE", required_unless_present = "plan")]
    pub(crate) files: Vec<PathBuf>,

    /// Whisper model: the name of a published one (see `transcribe models list`), which is
    /// downloaded once, or a file in ggml format. Default: this project's test model, which knows
    /// 360 words
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,

    /// Read the inputs as samples without a header, of this encoding, rate and number of channels,
    /// such as s16le:16000:1
    #[arg(long, value_name = "FORMAT")]
    pub(crate) raw: Option<RawFormat>,

    /// Format of the transcript: txt, srt, vtt, json, jsonl, csv or lrc. May be given several times
    #[arg(short, long = "format", value_name = "FORMAT")]
    pub(crate) formats: Vec<Format>,

    /// Write the transcript to a file, into a directory, or to standard output (-)
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub(crate) output: Option<PathBuf>,

    /// Spoken language, such as de. Default: a multilingual model detects it
    #[arg(short, long, value_name = "CODE")]
    language: Option<String>,

    /// Translate into English
    #[arg(long)]
    translate: bool,

    /// Text that the model treats as spoken before the audio: names, spelling
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    prompt: String,

    /// Transcribe each window without the text before it
    #[arg(long)]
    no_previous_text: bool,

    /// Threads of the model, 1 to 64
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: Option<u8>,

    /// Most private memory that the program may hold, such as 600M or 1.5G. The program refuses a
    /// budget that is too small and states how much it needs
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes)]
    memory_budget: Option<u64>,

    /// Print how much memory a transcription takes, whatever the length of the input, and exit
    #[arg(long)]
    pub(crate) plan: bool,

    /// Length of the audio that the model transcribes at once, 5 to 30 seconds
    #[arg(long, value_name = "SECONDS")]
    window_seconds: Option<f32>,

    /// Speech detector: auto (built in), off, or the file of a Silero model
    #[arg(long, value_name = "auto|off|PATH", default_value = "auto", value_parser = vad)]
    vad: Vad,

    /// Transcribe the channels mixed, or each on its own, as for a call with one person on each
    /// channel
    #[arg(long, value_enum, default_value_t = Channels::Mix)]
    pub(crate) channels: Channels,

    /// Where to start, in seconds or h:mm:ss
    #[arg(long, value_name = "TIME", value_parser = quantity::time)]
    start: Option<Time>,

    /// How much to transcribe from there, in seconds or h:mm:ss. Default: all of it
    #[arg(long, value_name = "TIME", value_parser = quantity::time)]
    duration: Option<Time>,

    /// Record progress in a file, so that a transcription can resume after the program was killed.
    /// Takes one input
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,

    /// Resume where the journal ends. Starts from scratch if there is no journal yet
    #[arg(long, requires = "journal")]
    pub(crate) resume: bool,

    /// Write counts and measurements to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Print only the transcript and errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log for each window what is decided and why
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// How an input with several channels is transcribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Channels {
    /// One transcript of all channels mixed
    Mix,
    /// One transcript whose segments carry their channel. Reads the input once for each
    Split,
}

/// Commands besides transcribing.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List, download and find published models
    #[command(subcommand)]
    Models(Models),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// List the published models with their size, the memory that a transcription takes, and
    /// whether they are downloaded
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Download a model unless it is already here, and print its path
    Fetch {
        /// A name from the list, or hf:OWNER/REPOSITORY/FILE for any other file on Hugging Face
        name: String,
    },
    /// Print the path of a downloaded model
    Path {
        /// A name from the list, or hf:OWNER/REPOSITORY/FILE
        name: String,
    },
}

fn vad(text: &str) -> Result<Vad, String> {
    match text {
        "auto" => Ok(Vad::Auto),
        "off" => Ok(Vad::Off),
        path if Path::new(path).exists() => Ok(Vad::Silero(path.into())),
        _ => Err("no such file; expected auto, off, or the file of a Silero model".into()),
    }
}

impl Args {
    /// Returns the options of the speech model.
    pub(crate) fn whisper_options(&self) -> WhisperOptions {
        let mut options = WhisperOptions::default();
        options.language.clone_from(&self.language);
        options.translate = self.translate;
        options.prompt.clone_from(&self.prompt);
        options.threads = self.threads.map_or(options.threads, usize::from);
        options
    }

    /// Opens the journal, if `--journal` was given.
    pub(crate) fn journal(&self) -> Result<Option<Journal>, Error> {
        let open = |path| match self.resume {
            true => Journal::open(path),
            false => Journal::create(path),
        };
        Ok(self.journal.as_ref().map(open).transpose()?)
    }

    /// Returns the configuration of the pipeline.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.memory_budget_bytes = self.memory_budget;
        config.window_s = self.window_seconds.unwrap_or(config.window_s);
        config.previous_text = !self.no_previous_text;
        config.vad = self.vad.clone();
        config
    }

    /// Returns the part of each input that is transcribed.
    pub(crate) fn input_options(&self) -> InputOptions {
        let mut options = InputOptions::default();
        options.start = self.start.unwrap_or(options.start);
        options.duration = self.duration;
        options
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
        let line = "--model m.bin --format srt --format json --output out --language de \
                    --translate --prompt Ada --no-previous-text --threads 3 \
                    --memory-budget 600M --window-seconds 12.5 --vad off --start 1:30 \
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
        let part = args.input_options();
        assert_eq!(part.start, Time::from_seconds(90.0));
        assert_eq!(part.duration, Some(Time::from_seconds(10.0)));
        assert_eq!(args.channels, Channels::Mix);
        assert_eq!(
            parse("--channels split a.wav").unwrap().channels,
            Channels::Split
        );
    }

    #[test]
    fn a_detector_is_auto_off_or_a_file() {
        let chosen = |line: &str| parse(line).unwrap().config().vad;
        assert_eq!(chosen("--vad auto a.wav"), Vad::Auto);
        let model = "fixtures/model/silero-vad.bin";
        let line = format!("--vad {model} a.wav");
        assert_eq!(chosen(&line), Vad::Silero(model.into()));
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let args = parse("a.wav").unwrap();
        assert_eq!(args.config(), Config::default());
        assert_eq!(args.input_options(), InputOptions::default());
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
            "--vad no-such-file.bin a.wav",
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
        assert!(matches!(
            command("models path base.en"),
            Some(Command::Models(Models::Path { name })) if name == "base.en"
        ));
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
