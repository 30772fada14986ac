//! The models of an Ollama server, polled for the monitor.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::component::Component;
use crate::model::Model;
use crate::monitor::Monitor;
use crate::ollama::{Client, RunningModel};

impl From<&RunningModel> for Model {
    fn from(running: &RunningModel) -> Self {
        let mut model = Self::new(&running.name)
            .ram_bytes(running.host_bytes())
            .gpu_bytes(running.gpu_bytes);
        model.context_tokens = running.context_length;
        let unload_s = running
            .expiry()
            .and_then(|at| u64::try_from(at.unix_timestamp()).ok());
        model.unload_unix_ms = unload_s.map(|s| s.saturating_mul(1_000));
        model
    }
}

/// Polls a server every `interval` for its loaded models and reports them to the monitor, until the
/// monitor is dropped. A server that does not answer has none.
///
/// # Errors
///
/// An [`std::io::Error`] where the thread cannot be started.
pub fn poll(
    monitor: &Arc<Monitor>,
    client: Client,
    interval: Duration,
) -> std::io::Result<JoinHandle<()>> {
    let monitor = Arc::downgrade(monitor);
    let poll = move || {
        while let Some(monitor) = Weak::upgrade(&monitor) {
            let running = client.running().unwrap_or_else(|error| {
                tracing::debug!(%error, "cannot list the models of Ollama");
                Vec::new()
            });
            monitor.report_models(Component::Ollama, running.iter().map(Model::from));
            // The monitor may end while this thread sleeps.
            drop(monitor);
            std::thread::sleep(interval);
        }
    };
    std::thread::Builder::new()
        .name("ollama-models".to_owned())
        .spawn(poll)
}
