//! `steadyscribe-monitor ollama …`: the client from a command line.

mod args;
mod print;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::manager::KEEP_ALIVE_SLACK;
use super::{
    Cancel, Client, DoesNotFit, Host, HostError, Local, Manager, ManagerError, ModelShape,
    ModelUnloadResult, OllamaError, Plan, PlanOptions, ServerTraits, Settings, ShapeError, Show,
    Sight, plan,
};
pub use args::OllamaArgs;
use args::{Action, CTX_MAX_AUTO, NumCtx, PlanArgs};
use print::{PlanLine, orphans_text, plan_text, print_json, status_text, unload_text};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The address of the server is none that can be used.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The server did not do it.
    #[error(transparent)]
    Ollama(#[from] OllamaError),
    /// The model could not be had.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// The description of the model lacks a figure.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The saved answer cannot be read.
    #[error("cannot read {}", path.display())]
    ShowFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The saved answer does not say how large the model is: add its `size` beside `model_info`.
    #[error("{} holds no \"size\"; add the model's bytes beside \"model_info\", as /api/tags says them", path.display())]
    NoSize {
        /// The file.
        path: PathBuf,
    },
    /// Not even the smallest context fits. The figures were printed: free the bytes that are missing.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
    /// A model does not go. Its process and what can be done were printed.
    #[error("not every model is gone; see above what can be done")]
    Stuck,
    /// The machine's free memory is unknown: give `--available`.
    #[error("the memory of the machine is unknown; give --available")]
    UnknownMemory,
    /// The output cannot be written.
    #[error("cannot write")]
    Write(#[from] io::Error),
}

/// Runs a command.
///
/// # Errors
///
/// [`CommandError`], for which a program prints the chain of causes and ends with 1.
pub fn run(args: &OllamaArgs, out: &mut dyn Write, is_terminal: bool) -> Result<(), CommandError> {
    let host = match &args.host {
        Some(host) => host.clone(),
        None => Host::from_env()?,
    };
    let server = Server {
        sight: Arc::new(Local::of_host(&host)),
        client: Client::new(host),
        json: args.json,
    };
    match &args.action {
        Action::Status => server.status(out),
        Action::Plan(plan) => server.plan(plan, args.json || !is_terminal, out),
        Action::Load { model, num_ctx } => server.load(model, *num_ctx, out),
        Action::Unload {
            model,
            allow_kill,
            wait,
            ..
        } => {
            let settings = Settings {
                kill_stuck: *allow_kill,
                unload_max: Duration::from_secs(*wait),
                ..Settings::default()
            };
            server.unload(model.as_deref(), settings, out)
        }
        Action::Watch { interval, count } => {
            server.watch(Duration::from_secs(*interval), *count, out)
        }
    }
}

struct Server {
    client: Client,
    sight: Arc<Local>,
    json: bool,
}

impl Server {
    fn manager(&self, settings: Settings) -> Manager {
        Manager::new(self.client.clone(), self.sight.clone(), settings)
    }

    fn status(&self, out: &mut dyn Write) -> Result<(), CommandError> {
        let manager = self.manager(Settings::default());
        let version = match self.client.version() {
            Ok(version) => version,
            Err(error) => {
                // Processes that an ended server left behind are what its user looks for.
                if !self.json {
                    write!(out, "{}", orphans_text(&manager.orphans()))?;
                }
                return Err(error.into());
            }
        };
        let report = manager.get_model_memory_usage()?;
        if self.json {
            return print_json(out, &report);
        }
        writeln!(out, "Ollama {version} at {}", self.client.host())?;
        write!(out, "{}", status_text(&report))?;
        Ok(())
    }

    /// Shows the status again and again; a server that restarts meanwhile does not end it.
    fn watch(
        &self,
        interval: Duration,
        count: Option<u64>,
        out: &mut dyn Write,
    ) -> Result<(), CommandError> {
        let mut left = count.unwrap_or(u64::MAX);
        loop {
            if !self.json {
                let (hour, minute, second) = self.sight.wall().to_hms();
                write!(out, "{hour:02}:{minute:02}:{second:02} UTC  ")?;
            }
            let shown = self.status(out);
            left = left.saturating_sub(1);
            match shown {
                Err(CommandError::Ollama(error)) if error.is_transient() && left > 0 => {
                    if self.json {
                        print_json(out, &serde_json::json!({ "error": error.to_string() }))?;
                    } else {
                        writeln!(out, "{error}")?;
                    }
                }
                shown => shown?,
            }
            if left == 0 {
                return Ok(());
            }
            out.flush()?;
            std::thread::sleep(interval);
        }
    }

    fn plan(&self, args: &PlanArgs, json: bool, out: &mut dyn Write) -> Result<(), CommandError> {
        let (name, shape, server) = match &args.show_file {
            Some(path) => {
                let show = read_show(path)?;
                let no_size = || CommandError::NoSize { path: path.clone() };
                let size_bytes = show.size_bytes.ok_or_else(no_size)?;
                let name = args.model.clone().or_else(|| show.model.clone());
                let of_file = || Some(path.file_stem()?.to_string_lossy().into_owned());
                (
                    name.or_else(of_file),
                    ModelShape::new(&show, size_bytes)?,
                    ServerTraits::default(),
                )
            }
            None => {
                let name = args.model.clone().unwrap_or_default();
                let shape = self.shape(&name)?;
                (Some(name), shape, ServerTraits::of(&self.client.version()?))
            }
        };
        let available = args.available.or_else(|| self.sight.available_bytes());
        let options = PlanOptions {
            ctx_max: args.ctx_max,
            ctx_min: args.ctx_min.min(args.ctx_max),
            use_mmap: args.mmap.then_some(true),
            server: ServerTraits {
                kv_type: args.kv_type,
                ..server
            },
        };
        let planned = plan(
            &shape,
            available.ok_or(CommandError::UnknownMemory)?,
            &options,
        );
        print_plan(&name.unwrap_or_default(), planned, json, out)
    }

    fn shape(&self, name: &str) -> Result<ModelShape, CommandError> {
        Ok(self.manager(Settings::default()).shape(name)?)
    }

    fn load(&self, model: &str, num_ctx: NumCtx, out: &mut dyn Write) -> Result<(), CommandError> {
        let mut settings = Settings {
            ctx_max: CTX_MAX_AUTO,
            ..Settings::default()
        };
        if let NumCtx::Fixed(num_ctx) = num_ctx {
            settings.ctx_max = num_ctx;
            settings.ctx_min = num_ctx;
        }
        let manager = self.manager(settings);
        let lease = match manager.lease(model, &Cancel::new()) {
            Err(ManagerError::NoRoom { source, .. }) => {
                return print_plan(model, Err(source), self.json, out);
            }
            other => other?,
        };
        if self.json {
            return print_json(out, &manager.get_model_memory_usage()?);
        }
        let got = lease.profile().num_ctx;
        let stays = manager.settings().idle_timeout.unwrap_or_default() + KEEP_ALIVE_SLACK;
        write!(out, "{}: {got} tokens of context", lease.model())?;
        if matches!(num_ctx, NumCtx::Fixed(asked) if asked > got) {
            write!(out, ", it was trained for no more")?;
        }
        writeln!(
            out,
            "; the server keeps it for {} s after each request",
            stays.as_secs()
        )?;
        write!(out, "{}", status_text(&manager.get_model_memory_usage()?))?;
        Ok(())
    }

    fn unload(
        &self,
        model: Option<&str>,
        settings: Settings,
        out: &mut dyn Write,
    ) -> Result<(), CommandError> {
        let manager = self.manager(settings);
        let mut result = ModelUnloadResult::default();
        let done = match model {
            Some(model) => manager
                .unload(model)
                .map(|of_model| result.append(of_model)),
            None => self.unload_all(&manager, &mut result),
        };
        if self.json {
            print_json(out, &result)?;
        } else {
            write!(out, "{}", unload_text(&result))?;
        }
        done?;
        if !self.json && result.unloaded.is_empty() && result.kept.is_empty() {
            writeln!(out, "no model was in memory")?;
        }
        if result.is_clean() {
            Ok(())
        } else {
            Err(CommandError::Stuck)
        }
    }

    /// What is listed goes first: a process that only looks like an orphan goes with its server's help.
    fn unload_all(
        &self,
        manager: &Manager,
        result: &mut ModelUnloadResult,
    ) -> Result<(), OllamaError> {
        let running = match self.client.running() {
            Err(OllamaError::NotRunning { .. }) if !manager.orphans().is_empty() => Vec::new(),
            running => running?,
        };
        for model in running {
            result.append(manager.unload(&model.name)?);
        }
        result.append(manager.unload_orphans()?);
        Ok(())
    }
}

fn print_plan(
    name: &str,
    planned: Result<Plan, DoesNotFit>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    if json {
        print_json(out, &PlanLine::new(name, &planned))?;
    } else {
        write!(out, "{}", plan_text(name, &planned))?;
    }
    planned?;
    Ok(())
}

fn read_show(path: &Path) -> Result<Show, CommandError> {
    let failed = |source| CommandError::ShowFile {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(|error| failed(serde_json::Error::io(error)))?;
    serde_json::from_reader(BufReader::new(file)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: OllamaArgs,
    }

    fn show_file(folder: &Path) -> String {
        let path = folder.join("show.json");
        let show = serde_json::json!({
            "size": 2_019_393_189u64,
            "model_info": {
                "general.architecture": "llama", "llama.block_count": 28, "llama.embedding_length": 3072,
                "llama.feed_forward_length": 8192, "llama.attention.head_count": 24,
                "llama.attention.head_count_kv": 8, "llama.context_length": 131_072, "llama.vocab_size": 128_256
            }
        });
        std::fs::write(&path, show.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn planned(available: &str) -> (bool, serde_json::Value) {
        let folder = tempfile::tempdir().unwrap();
        let file = show_file(folder.path());
        let line = [
            "x",
            "plan",
            "llama3.2:3b",
            "--show-file",
            &file,
            "--available",
            available,
            "--json",
        ];
        let program = Program::try_parse_from(line).unwrap();
        let mut out = Vec::new();
        let fits = match run(&program.args, &mut out, true) {
            Ok(()) => true,
            Err(CommandError::DoesNotFit(_)) => false,
            Err(error) => panic!("{error}"),
        };
        (fits, serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn plan_from_a_file_prints_the_documents_names() {
        let (fits, line) = planned("4GiB");
        assert!(fits);
        assert_eq!(
            (&line["model"], &line["numCtx"], &line["numBatch"]),
            (&"llama3.2:3b".into(), &16384.into(), &512.into())
        );
        let estimate = line["estimate"].as_object().unwrap();
        let sum: u64 = ["weightsBytes", "kvBytes", "computeBytes", "overheadBytes"]
            .into_iter()
            .map(|part| estimate[part].as_u64().unwrap())
            .sum();
        assert_eq!(estimate["totalBytes"], sum);
        assert_eq!(estimate["kvBytes"], 1792u64 << 20);
        assert_eq!(line["availableBytes"], 4u64 << 30);
        assert!(line["reason"].as_str().unwrap().contains("16384 tokens"));
    }

    #[test]
    fn plan_that_does_not_fit_is_an_error_with_its_figures() {
        let (fits, line) = planned("1GiB");
        assert!(!fits);
        assert_eq!(line["numCtx"], serde_json::Value::Null);
        assert!(line["estimate"]["totalBytes"].as_u64().unwrap() > 1 << 30);
    }
}
