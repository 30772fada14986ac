//! A server of our own.
//!
//! Only who starts the server can set what costs most: the runner's hidden cache of prompts, the type of the KV cache,
//! the number of requests that a cache is made for. None of it can be asked for or changed over the interface.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Client, Host, KvType, Local, Manager, ModelUnloadResult, OllamaError, Settings};

/// A server answers within a second of its start; a machine that swaps takes longer.
const START_MAX: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(50);

/// Environment of a server that has to share a small machine.
///
/// Source: Ollama 0.33, envconfig/config.go; `LLAMA_ARG_CACHE_RAM` is llama-server's own and inherited (measured).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preset {
    /// `OLLAMA_MAX_LOADED_MODELS`.
    pub models_max: usize,
    /// `OLLAMA_NUM_PARALLEL`: the KV cache is made for so many requests.
    pub parallel: u32,
    /// `OLLAMA_KV_CACHE_TYPE`; a quantized one needs flash attention, which is turned on.
    pub kv_type: KvType,
    /// `LLAMA_ARG_CACHE_RAM` in MiB: the cache of prompts, 8192 where nothing is set.
    pub prompt_cache_mib: u32,
}

impl Default for Preset {
    /// One model, one request, half the KV cache, no cache of prompts.
    fn default() -> Self {
        Self {
            models_max: 1,
            parallel: 1,
            kv_type: KvType::Q8_0,
            prompt_cache_mib: 0,
        }
    }
}

impl Preset {
    /// Returns the variables, to start a server with or to show to whoever does.
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

    /// Returns settings of a [`Manager`] that know what this server was started with.
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
pub enum ServeError {
    /// The program cannot be run: install Ollama, or give its path.
    #[error("cannot run {}", program.display())]
    NotRun {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another server listens there already: use that one, or give another port.
    #[error("a server answers at {host} already")]
    Taken {
        /// Where.
        host: Host,
    },
    /// The program ended, or did not answer within 30 seconds: run it by hand to see why.
    #[error("{} was started and does not answer at {host}", program.display())]
    NoAnswer {
        /// The program.
        program: PathBuf,
        /// Where an answer was expected.
        host: Host,
    },
}

/// A server that we started, and that ends with us.
///
/// A server that is killed leaves the processes of its models behind, on every system. So its models are unloaded first,
/// in [`stop`](Self::stop) and when it is dropped.
#[derive(Debug)]
pub struct OwnServer {
    child: Child,
    client: Client,
}

impl OwnServer {
    /// Starts `program serve` and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`ServeError`]; nothing is left running.
    pub fn start(program: &Path, host: &Host, preset: &Preset) -> Result<Self, ServeError> {
        let client = Client::new(host.clone());
        if client.version().is_ok() {
            return Err(ServeError::Taken { host: host.clone() });
        }
        let spawned = Command::new(program)
            .arg("serve")
            .env("OLLAMA_HOST", host.to_string())
            .envs(preset.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = spawned.map_err(|source| ServeError::NotRun {
            program: program.to_path_buf(),
            source,
        })?;
        let mut server = Self { child, client };
        let since = Instant::now();
        while server.client.version().is_err() {
            let has_ended = !matches!(server.child.try_wait(), Ok(None));
            if has_ended || since.elapsed() > START_MAX {
                return Err(ServeError::NoAnswer {
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

    /// Returns the number of its process, to hand over to a monitor.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Unloads every model, verified, and ends the server.
    ///
    /// # Errors
    ///
    /// [`OllamaError`] where the server does not answer any more; it is ended all the same.
    pub fn stop(mut self) -> Result<ModelUnloadResult, OllamaError> {
        self.unload_all()
    }

    fn unload_all(&mut self) -> Result<ModelUnloadResult, OllamaError> {
        let sight = Arc::new(Local::of_host(self.client.host()));
        // The processes of its models descend from one that we started, and would be orphans when it is gone.
        let settings = Settings {
            kill_stuck: true,
            ..Settings::default()
        };
        let manager = Manager::new(self.client.clone(), sight, settings);
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
                tracing::warn!(%error, "models may be left behind");
            }
            // Both fail only for a process that has ended.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
