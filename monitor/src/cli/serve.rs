//! The dashboard as a command.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use steadyscribe_monitor::monitor::Options;
use steadyscribe_monitor::server::{Server, Stream};

use super::{Outcome, Target, log, seconds};

/// Seconds between two questions to Ollama which models it has loaded.
#[cfg(feature = "ollama")]
const OLLAMA_INTERVAL: Duration = Duration::from_secs(5);

/// Longest wait for its answer: it waits itself while it ends a process.
#[cfg(feature = "ollama")]
const OLLAMA_QUERY_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Port; 0 for any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Seconds between samples; at High pressure it is one second at most
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    interval: f64,
    /// History to show and to append to
    #[arg(long)]
    history: Option<PathBuf>,
    /// Journal of critical alerts
    #[arg(long)]
    journal: Option<PathBuf>,
    /// File that keeps the token, readable by you alone, so that an open page outlives a restart
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Show alerts as notifications of the desktop, too
    #[cfg(feature = "desktop")]
    #[arg(long)]
    notify: bool,
    /// Run this program with the headline of a critical alert that nobody else has received
    #[arg(long, value_name = "PROGRAM")]
    on_alert: Option<PathBuf>,
    /// The Ollama server whose models are shown; OLLAMA_HOST without it
    #[cfg(feature = "ollama")]
    #[arg(long, value_name = "HOST")]
    ollama: Option<steadyscribe_monitor::ollama::Host>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: ServeArgs) -> Outcome {
    log();
    let mut options = Options::default();
    (options.history, options.journal) = (args.history, args.journal);
    let stream = Stream::new();
    options.channels.push(Box::new(stream.channel()));
    #[cfg(feature = "desktop")]
    if args.notify {
        let desktop = steadyscribe_monitor::alert::channel::Desktop::default();
        options.channels.push(Box::new(desktop));
    }
    if let Some(program) = args.on_alert {
        let program = steadyscribe_monitor::alert::channel::Program::new(program);
        options.channels.push(Box::new(program));
    }
    let monitor = Arc::new(args.target.monitor(options)?);
    #[cfg(feature = "ollama")]
    {
        use steadyscribe_monitor::ollama::{Client, Host};

        let host = args.ollama.map_or_else(Host::from_env, Ok)?;
        let client = Client::new(host).with_query_max(OLLAMA_QUERY_MAX);
        steadyscribe_monitor::model::follow_ollama(&monitor, client, OLLAMA_INTERVAL)?;
    }
    let mut server = Server::bind(monitor, stream, args.port)?;
    if let Some(path) = &args.token_file {
        server.keep_token(path)?;
    }
    println!("{}", server.address());
    server.run(Duration::from_secs_f64(args.interval))?;
    Ok(())
}
