//! `serve`: the dashboard.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use steadyscribe_monitor::monitor::Options;
use steadyscribe_monitor::server::{Dashboard, Stream};

use super::logging;
use super::target::Target;
use super::values::seconds;

/// Time between two requests for the models that Ollama has loaded.
#[cfg(feature = "ollama")]
const OLLAMA_INTERVAL: Duration = Duration::from_secs(5);

/// Longest wait for its answer, which it delays while it ends a process.
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
    /// File that keeps the token, readable by you alone, so that an open page survives a restart
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Show alerts as notifications of the desktop, too
    #[cfg(feature = "desktop")]
    #[arg(long)]
    notify: bool,
    /// Run this program with the headline of a critical alert that no other channel delivered
    #[arg(long, value_name = "PROGRAM")]
    on_alert: Option<PathBuf>,
    /// The Ollama server whose models are shown; OLLAMA_HOST without it
    #[cfg(feature = "ollama")]
    #[arg(long, value_name = "HOST")]
    ollama: Option<steadyscribe_monitor::ollama::Host>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: ServeArgs) -> Result<(), Box<dyn Error>> {
    logging::start();
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
        steadyscribe_monitor::ollama_models::poll(&monitor, client, OLLAMA_INTERVAL)?;
    }
    monitor.start_continuous_monitoring(Duration::try_from_secs_f64(args.interval)?)?;
    let mut dashboard = Dashboard::new(monitor, stream)?;
    if let Some(path) = &args.token_file {
        dashboard.keep_token(path)?;
    }
    let server = dashboard.start(args.port)?;
    println!("{}", server.address());
    server.wait()?;
    Ok(())
}
