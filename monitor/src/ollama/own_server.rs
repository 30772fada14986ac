//! Starts and stops a server of the app's own.
//!
//! What costs most can only be set when the server starts: the runner's hidden prompt cache, the
//! type of the KV cache, and the number of parallel requests. The API neither reports nor changes
//! any of it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::Client;
use super::client::error::OllamaError;
use super::client::server::Host;
use super::manager::{Manager, Settings};
use super::outcome::ModelUnloadResult;
use super::plan::estimate::KvType;
use super::probe::LocalProbe;

/// Longest time until a started server answers. It takes less than a second, or longer if the
/// machine swaps.
const START_MAX: Duration = Duration::from_secs(30);

/// Interval between two attempts to reach a starting server.
const POLL: Duration = Duration::from_millis(50);

/// Environment of a server on a small machine.
///
/// Source: Ollama 0.33, envconfig/config.go. `LLAMA_ARG_CACHE_RAM` belongs to llama-server, which
/// inherits it (measured).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerPreset {
    /// `OLLAMA_MAX_LOADED_MODELS`.
    pub models_max: usize,
    /// `OLLAMA_NUM_PARALLEL`: requests with a KV cache of their own.
    pub parallel: u32,
    /// `OLLAMA_KV_CACHE_TYPE`. A quantized cache needs flash attention, which is turned on.
    pub kv_type: KvType,
    /// `LLAMA_ARG_CACHE_RAM`: limit of the prompt cache in MiB. The server's default is 8192.
    pub prompt_cache_mib: u32,
}

impl Default for ServerPreset {
    /// Returns a preset with one model, one request, half the KV cache, and no prompt cache.
    fn default() -> Self {
        Self {
            models_max: 1,
            parallel: 1,
            kv_type: KvType::Q8_0,
            prompt_cache_mib: 0,
        }
    }
}

impl ServerPreset {
    /// Returns the environment variables, as name and value.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OLLAMA_MAX_LOADED_MODELS", self.models_max.to_string()),
            ("OLLAMA_NUM_PARALLEL", self.parallel.to_string()),
            ("OLLAMA_KV_CACHE_TYPE", self.kv_type.name().to_owned()),
            ("OLLAMA_FLASH_ATTENTION", "1".to_owned()),
            ("LLAMA_ARG_CACHE_RAM", self.prompt_cache_mib.to_string()),
        ]
    }

    /// Returns [`Manager`] settings that match this server.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            models_max: self.models_max,
            kv_type: self.kv_type,
            ..Settings::default()
        }
    }
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program cannot be run: install Ollama, or correct its path.
    #[error("cannot run {}; install Ollama, or correct the path", program.display())]
    NotRun {
        /// The program.
        program: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// Another server already listens at the address: use that server, or another port.
    #[error("a server already answers at {host}; use that server, or another port")]
    Taken {
        /// The address.
        host: Host,
    },
    /// The program ended, or did not answer within 30 seconds: run it by hand to see why.
    #[error(
        "{} was started but does not answer at {host}; run `serve` by hand to see why",
        program.display()
    )]
    NoAnswer {
        /// The program.
        program: PathBuf,
        /// The address where an answer was expected.
        host: Host,
    },
}

/// A server that this process started, and that ends with it.
///
/// On every system, a server that is killed leaves its runner processes behind. So
/// [`stop`](Self::stop) and dropping the server unload its models first.
#[derive(Debug)]
pub struct OwnServer {
    child: Child,
    client: Client,
}

impl OwnServer {
    /// Starts `program serve`, and blocks until it answers.
    ///
    /// # Errors
    ///
    /// [`StartError`]. No process is left running.
    pub fn start(program: &Path, host: &Host, preset: &ServerPreset) -> Result<Self, StartError> {
        let client = Client::new(host.clone());
        if client.version().is_ok() {
            return Err(StartError::Taken { host: host.clone() });
        }
        let spawned = Command::new(program)
            .arg("serve")
            .env("OLLAMA_HOST", host.to_string())
            .envs(preset.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = spawned.map_err(|source| StartError::NotRun {
            program: program.to_path_buf(),
            source,
        })?;
        let mut server = Self { child, client };
        let since = Instant::now();
        while server.client.version().is_err() {
            let has_ended = !matches!(server.child.try_wait(), Ok(None));
            if has_ended || since.elapsed() > START_MAX {
                return Err(StartError::NoAnswer {
                    program: program.to_path_buf(),
                    host: host.clone(),
                });
            }
            std::thread::sleep(POLL);
        }
        Ok(server)
    }

    /// Returns a client of the server.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the number of its process, for instance to hand it over to a monitor.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Unloads every model, verifies that, and ends the server.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] if the server no longer answers. It is ended anyway.
    pub fn stop(mut self) -> Result<ModelUnloadResult, OllamaError> {
        self.unload_all()
    }

    fn unload_all(&mut self) -> Result<ModelUnloadResult, OllamaError> {
        let probe = Arc::new(LocalProbe::of_host(self.client.host()));
        // Its runners descend from a process of ours, and would be orphans once it has ended.
        let settings = Settings {
            kill_stuck: true,
            ..Settings::default()
        };
        let manager = Manager::new(self.client.clone(), probe, settings);
        let mut result = ModelUnloadResult::default();
        for model in self.client.running()? {
            for unloaded in manager.unload(&model.name)?.unloaded {
                result.add(unloaded);
            }
        }
        Ok(result)
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            if let Err(error) = self.unload_all() {
                tracing::warn!(%error, "runner processes may be left behind");
            }
            // Both calls fail only if the process has ended.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
