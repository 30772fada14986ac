//! Models in memory: what a component says that it has loaded. Said, not measured: the bytes of the component stand beside
//! it and tell whether it is true.

use serde::Serialize;

/// Most models of one component.
pub const MODELS_MAX: usize = 32;

/// Longest name that is kept, in characters.
pub const NAME_CHARS_MAX: usize = 128;

/// A model that a component has loaded.
///
/// # Examples
///
/// ```
/// use steadyscribe_monitor::model::Model;
///
/// let model = Model::new("base.en").ram_bytes(148 << 20).busy(true);
/// assert_eq!(model.ram_bytes, Some(148 << 20));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Model {
    /// Its name. It is shown and exported: no path.
    pub name: String,
    /// Bytes in main memory. `None`: not known.
    pub ram_bytes: Option<u64>,
    /// Bytes on a GPU. `None`: not known.
    pub gpu_bytes: Option<u64>,
    /// Context in tokens. `None`: not known, or it has none.
    pub context_tokens: Option<u64>,
    /// Whether it works right now. `None`: not known.
    pub busy: Option<bool>,
    /// When it will be unloaded if nobody asks for it, in milliseconds since 1970. `None`: not known, or never.
    pub unload_unix_ms: Option<u64>,
}

impl Model {
    /// Names a model of which nothing else is known. A name longer than [`NAME_CHARS_MAX`] is cut.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.chars().take(NAME_CHARS_MAX).collect(),
            ram_bytes: None,
            gpu_bytes: None,
            context_tokens: None,
            busy: None,
            unload_unix_ms: None,
        }
    }

    /// Sets the bytes in main memory.
    #[must_use]
    pub fn ram_bytes(mut self, bytes: u64) -> Self {
        self.ram_bytes = Some(bytes);
        self
    }

    /// Sets the bytes on a GPU.
    #[must_use]
    pub fn gpu_bytes(mut self, bytes: u64) -> Self {
        self.gpu_bytes = Some(bytes);
        self
    }

    /// Sets the context.
    #[must_use]
    pub fn context_tokens(mut self, tokens: u64) -> Self {
        self.context_tokens = Some(tokens);
        self
    }

    /// Sets whether it works right now.
    #[must_use]
    pub fn busy(mut self, busy: bool) -> Self {
        self.busy = Some(busy);
        self
    }

    /// Sets when it will be unloaded if nobody asks for it.
    #[must_use]
    pub fn unload_unix_ms(mut self, unix_ms: u64) -> Self {
        self.unload_unix_ms = Some(unix_ms);
        self
    }
}

#[cfg(feature = "ollama")]
mod of_ollama {
    use std::sync::{Arc, Weak};
    use std::thread::JoinHandle;
    use std::time::Duration;

    use super::Model;
    use crate::component::Component;
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

    /// Asks a server every `interval` which models it has loaded and tells the monitor, until the monitor is dropped. A
    /// server that does not answer has none.
    ///
    /// # Errors
    ///
    /// An [`std::io::Error`] where the thread cannot be started.
    pub fn follow_ollama(
        monitor: &Arc<Monitor>,
        client: Client,
        interval: Duration,
    ) -> std::io::Result<JoinHandle<()>> {
        let monitor = Arc::downgrade(monitor);
        let follow = move || {
            while let Some(monitor) = Weak::upgrade(&monitor) {
                let running = client.running().unwrap_or_else(|error| {
                    tracing::debug!(%error, "no models of Ollama");
                    Vec::new()
                });
                monitor.report_models(Component::Ollama, running.iter().map(Model::from));
                // Not held while it sleeps: the monitor may end.
                drop(monitor);
                std::thread::sleep(interval);
            }
        };
        std::thread::Builder::new()
            .name("ollama-models".to_owned())
            .spawn(follow)
    }
}

#[cfg(feature = "ollama")]
pub use of_ollama::follow_ollama;
