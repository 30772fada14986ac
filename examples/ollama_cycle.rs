//! Transcribes a file, gives the speech model back, hands the text to a model of Ollama that fits into the memory that is left,
//! unloads that, and prints who held what when.
//!
//! `cargo run --release --example ollama_cycle -- fixtures/standup.opus --llm qwen2.5:7b --llm llama3.2:3b`
//!
//! Two models that do not fit side by side fit one after the other: so the weights of one must be provably gone before
//! the other is planned. The transcript is printed before the server is asked for anything, and is not lost without it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program on a terminal"
)]

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use steadyscribe::monitor::ollama::{
    Cancel, Client, Host, Lease, Local, Manager, ManagerError, OllamaError, Prompt, Settings,
};
use steadyscribe::monitor::reader::{self, System};
use steadyscribe::sink::Sink;
use steadyscribe::{Config, FileSource, Segment, Transcriber, Whisper, WhisperOptions, memory};

/// Knows 360 words of synthetic speech.
const FIXTURE_MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);

/// Text that is handed on: six hours of speech, and more than a desktop's model can read at once.
const TEXT_BYTES_MAX: usize = 360_000;

/// Bytes of text for which one token of context is kept. English takes four to five; other languages take fewer.
const BYTES_PER_TOKEN: usize = 3;

/// Tokens of context for the question and the answer.
const ANSWER_TOKENS: u32 = 1_024;

/// Transcribes a file and lets a local model summarize it, one after the other in the same memory
#[derive(Parser)]
struct Args {
    /// The recording
    file: PathBuf,
    /// Whisper model in ggml format
    #[arg(short, long, default_value = FIXTURE_MODEL)]
    model: PathBuf,
    /// Model of the Ollama server, largest first: the first that fits is taken
    #[arg(long, default_values = ["qwen2.5:7b", "llama3.2:3b", "llama3.2:1b"])]
    llm: Vec<String>,
    /// The server; otherwise OLLAMA_HOST, otherwise 127.0.0.1:11434
    #[arg(long, value_name = "ADDRESS")]
    host: Option<Host>,
    /// What the model is asked to do with the transcript
    #[arg(long, default_value = "Summarize this transcript in three sentences:")]
    question: String,
}

fn main() -> ExitCode {
    memory::return_large_blocks();
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let host = match &args.host {
        Some(host) => host.clone(),
        None => Host::from_env()?,
    };
    let mut table = Table::new();
    let text = transcribe(args, &mut table)?;

    let tokens = u32::try_from(text.len() / BYTES_PER_TOKEN)?;
    let mut settings = Settings::default();
    settings.ctx_min = settings.ctx_min.max(tokens + ANSWER_TOKENS);
    settings.ctx_max = settings.ctx_max.max(settings.ctx_min);
    let sight = Arc::new(Local::of_host(&host));
    let manager = Manager::new(Client::new(host), sight, settings);
    let lease = first_that_fits(&manager, &args.llm)?;
    table.manager = Some(manager.clone());
    table.row(&format!(
        "{} loaded, {} tokens",
        lease.model(),
        lease.profile().num_ctx
    ));
    answer(&lease, &format!("{}\n\n{text}", args.question))?;
    table.row("answered");
    drop(lease);

    let result = manager.unload_unused_models()?;
    table.row("model unloaded");
    for unloaded in &result.unloaded {
        match &unloaded.stuck {
            Some(stuck) => return Err(stuck.remedy.clone().into()),
            None => eprintln!(
                "{} is gone after {} ms: {:.0} MB are free again, {}",
                unloaded.name,
                unloaded.waited_ms,
                megabytes(unloaded.freed_bytes()),
                match unloaded.process_ended {
                    Some(_) => "and its process has ended",
                    None => "as the server says; its process cannot be seen from here",
                }
            ),
        }
    }
    Ok(())
}

/// Returns the text, when the speech model has left memory.
fn transcribe(args: &Args, table: &mut Table) -> Result<String, Box<dyn Error>> {
    table.row("start");
    let source = FileSource::open(&args.file)?;
    let engine = Whisper::open(&args.model, WhisperOptions::default())?;
    let mut scribe = Transcriber::new(Config::default(), engine)?;
    scribe.warm_up()?;
    table.row("speech model loaded");
    let mut lines = Lines::default();
    scribe.transcribe(source, &mut lines)?;
    table.row("transcribed");
    scribe.engines().unload();
    drop(scribe); // its pool and window, too
    memory::trim();
    table.row("speech model unloaded");
    if lines.is_cut {
        eprintln!("only the first {TEXT_BYTES_MAX} bytes of the transcript are handed on");
    }
    if lines.text.is_empty() {
        return Err("nobody speaks in this recording: there is nothing to hand on".into());
    }
    Ok(lines.text)
}

/// Loads the first model that is installed and fits beside what the machine holds now.
fn first_that_fits(manager: &Manager, models: &[String]) -> Result<Lease, Box<dyn Error>> {
    let (last, larger) = models.split_last().ok_or("name a model with --llm")?;
    for model in larger {
        match manager.lease(model, &Cancel::new()) {
            Err(
                error @ (ManagerError::NoRoom { .. }
                | ManagerError::Ollama(OllamaError::NotInstalled { .. })),
            ) => eprintln!("{error}; the next one"),
            done => return Ok(done?),
        }
    }
    Ok(manager.lease(last, &Cancel::new())?)
}

/// Prints the answer as it comes.
fn answer(lease: &Lease, prompt: &str) -> Result<(), Box<dyn Error>> {
    println!();
    for piece in lease.generate(&Prompt::text(prompt), &Cancel::new())? {
        print!("{}", piece?.text());
        io::stdout().flush()?;
    }
    println!();
    Ok(())
}

/// Prints segments, and keeps their text.
#[derive(Default)]
struct Lines {
    text: String,
    is_cut: bool,
}

impl Sink for Lines {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        let text = &segment.text;
        println!("{text}");
        self.is_cut |= self.text.len() + text.len() >= TEXT_BYTES_MAX;
        if !self.is_cut {
            self.text.push_str(text);
            self.text.push('\n');
        }
        Ok(true)
    }
}

/// Who held what when, a line at a time on standard error.
struct Table {
    started: Instant,
    system: System,
    /// Once the server was reached.
    manager: Option<Manager>,
}

impl Table {
    fn new() -> Self {
        eprintln!("  seconds  this process    Ollama has  machine available");
        Self {
            started: Instant::now(),
            system: System::host(),
            manager: None,
        }
    }

    /// Prints what is held now; `-` where it cannot be told.
    fn row(&self, moment: &str) {
        let figure = |bytes: Option<u64>| {
            bytes.map_or("-".to_owned(), |bytes| {
                format!("{:.0} MB", megabytes(bytes))
            })
        };
        let models =
            |manager: &Manager| Some(manager.get_model_memory_usage().ok()?.total_model_memory);
        eprintln!(
            "{:9.1}  {:>12}  {:>12}  {:>17}  {moment}",
            self.started.elapsed().as_secs_f64(),
            figure(reader::own().ok().map(|own| own.private_bytes)),
            figure(self.manager.as_ref().and_then(models)),
            figure(
                self.system
                    .machine()
                    .ok()
                    .map(|machine| machine.available_bytes)
            ),
        );
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Prints an error, which says what can be done about it, with its causes.
fn explain(error: &(dyn Error + 'static)) {
    eprint!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprint!(": {error}");
        cause = error.source();
    }
    eprintln!();
}
