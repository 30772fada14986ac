//! Transcribes a file, and then summarizes the transcript with an Ollama model in the same memory.
//!
//! ```sh
//! cargo run --release --example ollama_cycle -- fixtures/standup.opus --llm qwen2.5:7b \
//!     --llm llama3.2:3b
//! ```
//!
//! Two models that do not fit side by side fit one after the other. So the example unloads the
//! speech model, leases the first language model that fits into the free memory, and verifies at
//! the end that it has left memory. A table on standard error shows the memory after each step.
//! The transcript is printed before the server is contacted, so it is not lost without a server.

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
    Cancel, Client, Host, Lease, LocalProbe, Manager, ManagerError, OllamaError, Prompt, Settings,
};
use steadyscribe::monitor::reader::{self, System};
use steadyscribe::sink::Sink;
use steadyscribe::{Config, FileSource, Segment, Transcriber, Whisper, WhisperOptions, memory};

/// A speech model with 360 words of synthetic speech.
const FIXTURE_MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);

/// Longest transcript to summarize: six hours of speech, which exceeds the context of a model that
/// fits on a desktop.
const TEXT_BYTES_MAX: usize = 360_000;

/// Bytes of text for each token of context. English has four to five; other languages have fewer.
const BYTES_PER_TOKEN: usize = 3;

/// Tokens of context for the question and the answer.
const ANSWER_TOKENS: u32 = 1_024;

/// Transcribe a file, and summarize it with a local model in the same memory
#[derive(Parser)]
struct Args {
    /// The recording
    file: PathBuf,
    /// Whisper model in ggml format
    #[arg(short, long, default_value = FIXTURE_MODEL)]
    model: PathBuf,
    /// Models of the Ollama server, the largest first. The first one that fits is used
    #[arg(long, default_values = ["qwen2.5:7b", "llama3.2:3b", "llama3.2:1b"])]
    llm: Vec<String>,
    /// Address of the server [default: OLLAMA_HOST, or 127.0.0.1:11434]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<Host>,
    /// Instruction for the model
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
    let probe = Arc::new(LocalProbe::of_host(&host));
    let manager = Manager::new(Client::new(host), probe, settings);
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
                "{} was unloaded in {} ms; {:.0} MB was freed, {}",
                unloaded.name,
                unloaded.waited_ms,
                megabytes(unloaded.freed_bytes()),
                match unloaded.process_ended {
                    Some(_) => "and its process has ended",
                    None => "according to the server; its process is not visible",
                }
            ),
        }
    }
    Ok(())
}

/// Transcribes the file, and returns the text after the speech model has left memory.
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
    scribe.unload();
    drop(scribe); // with its pool and window
    memory::trim();
    table.row("speech model unloaded");
    if lines.is_cut {
        eprintln!("only the first {TEXT_BYTES_MAX} bytes of the transcript are summarized");
    }
    if lines.text.is_empty() {
        return Err("no speech found in this recording, so there is nothing to summarize".into());
    }
    Ok(lines.text)
}

/// Leases the first model that is installed and fits into the available memory.
fn first_that_fits(manager: &Manager, models: &[String]) -> Result<Lease, Box<dyn Error>> {
    let (last, larger) = models.split_last().ok_or("no model specified; use --llm")?;
    for model in larger {
        match manager.lease(model, &Cancel::new()) {
            Err(
                error @ (ManagerError::NoRoom { .. }
                | ManagerError::Ollama(OllamaError::NotInstalled { .. })),
            ) => eprintln!("{error}; trying the next model"),
            done => return Ok(done?),
        }
    }
    Ok(manager.lease(last, &Cancel::new())?)
}

/// Prints the answer as it arrives.
fn answer(lease: &Lease, prompt: &str) -> Result<(), Box<dyn Error>> {
    println!();
    for chunk in lease.generate(&Prompt::text(prompt), &Cancel::new())? {
        print!("{}", chunk?.text());
        io::stdout().flush()?;
    }
    println!();
    Ok(())
}

/// A sink that prints segments and keeps their text.
#[derive(Default)]
struct Lines {
    text: String,
    is_cut: bool,
}

impl Sink for Lines {
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        let text = &segment.text;
        println!("{text}");
        self.is_cut |= self.text.len() + text.len() >= TEXT_BYTES_MAX;
        if !self.is_cut {
            self.text.push_str(text);
            self.text.push('\n');
        }
        Ok(())
    }
}

/// The memory after each step, as a table on standard error.
struct Table {
    started: Instant,
    system: System,
    /// `None` before the server is contacted.
    manager: Option<Manager>,
}

impl Table {
    fn new() -> Self {
        eprintln!("  seconds  this process        Ollama  machine available");
        Self {
            started: Instant::now(),
            system: System::host(),
            manager: None,
        }
    }

    /// Prints a row; `-` stands for an unknown figure.
    fn row(&self, step: &str) {
        let figure = |bytes: Option<u64>| {
            bytes.map_or("-".to_owned(), |bytes| {
                format!("{:.0} MB", megabytes(bytes))
            })
        };
        let models =
            |manager: &Manager| Some(manager.get_model_memory_usage().ok()?.total_model_memory);
        eprintln!(
            "{:9.1}  {:>12}  {:>12}  {:>17}  {step}",
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

/// Prints an error with its causes.
fn explain(error: &(dyn Error + 'static)) {
    eprint!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprint!(": {error}");
        cause = error.source();
    }
    eprintln!();
}
