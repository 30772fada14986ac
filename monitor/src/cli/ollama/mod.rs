//! `steadyscribe-monitor ollama`: plans, loads, unloads and reports models.

mod args;
mod print;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use steadyscribe_monitor::ollama::{
    Cancel, Client, DoesNotFit, Host, HostError, LocalProbe, Manager, ManagerError,
    ModelDescription, ModelShape, ModelUnloadResult, OllamaError, Plan, PlanOptions, Probe,
    ServerTraits, Settings, ShapeError, plan,
};

use args::{Action, CTX_MAX_AUTO, NumCtx, PlanArgs};
use print::{PlanLine, orphans_text, plan_text, print_json, status_text, unload_text};

pub(crate) use args::OllamaArgs;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Ollama(#[from] OllamaError),
    #[error(transparent)]
    Manager(#[from] ManagerError),
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error("cannot read {}", path.display())]
    ShowFile {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "{} lacks \"size\"; add the model's bytes beside \"model_info\", as /api/tags reports them",
        path.display()
    )]
    NoSize { path: PathBuf },
    /// Not even the smallest context fits. The figures have been printed.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
    /// The processes and remedies have been printed.
    #[error("some models could not be unloaded; see the remedies above")]
    Stuck,
    #[error("the available memory of the machine is unknown; specify --available")]
    UnknownMemory,
    #[error("cannot write the output")]
    Write(#[from] io::Error),
}

/// Runs a command, and prints to `out`.
pub(crate) fn run(
    args: &OllamaArgs,
    out: &mut dyn Write,
    is_terminal: bool,
) -> Result<(), CommandError> {
    let host = match &args.host {
        Some(host) => host.clone(),
        None => Host::from_env()?,
    };
    let server = Server {
        probe: Arc::new(LocalProbe::of_host(&host)),
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
            let mut settings = Settings::default();
            settings.kill_stuck = *allow_kill;
            settings.unload_max = Duration::from_secs(*wait);
            server.unload(model.as_deref(), settings, out)
        }
        Action::Watch { interval, count } => {
            server.watch(Duration::from_secs(*interval), *count, out)
        }
    }
}

struct Server {
    client: Client,
    probe: Arc<LocalProbe>,
    json: bool,
}

impl Server {
    fn manager(&self, settings: Settings) -> Manager {
        Manager::new(self.client.clone(), self.probe.clone(), settings)
    }

    fn status(&self, out: &mut dyn Write) -> Result<(), CommandError> {
        let manager = self.manager(Settings::default());
        let version = match self.client.version() {
            Ok(version) => version,
            Err(error) => {
                // Without a server, its orphans are the most likely question.
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

    /// Prints the status repeatedly, even across a restart of the server.
    fn watch(
        &self,
        interval: Duration,
        count: Option<u64>,
        out: &mut dyn Write,
    ) -> Result<(), CommandError> {
        let mut left = count.unwrap_or(u64::MAX);
        loop {
            if !self.json {
                let (hour, minute, second) = self.probe.utc_now().to_hms();
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
        let (name, shape, mut server) = self.describe(args)?;
        server.kv_type = args.kv_type;
        let room_bytes = || Some(self.probe.capacity()?.room_bytes());
        let available = args.available.or_else(room_bytes);
        let mut options = PlanOptions::default();
        options.ctx_max = args.ctx_max;
        options.ctx_min = args.ctx_min.min(args.ctx_max);
        options.use_mmap = args.mmap.then_some(true);
        options.server = server;
        let available = available.ok_or(CommandError::UnknownMemory)?;
        print_plan(&name, plan(&shape, available, &options), json, out)
    }

    /// Returns name, shape and server traits: of a saved response, or of the server.
    fn describe(
        &self,
        args: &PlanArgs,
    ) -> Result<(String, ModelShape, ServerTraits), CommandError> {
        let Some(path) = &args.show_file else {
            let name = args.model.clone().unwrap_or_default();
            let shape = self.manager(Settings::default()).shape(&name)?;
            return Ok((name, shape, ServerTraits::of(&self.client.version()?)));
        };
        let show = read_show(path)?;
        let no_size = || CommandError::NoSize { path: path.clone() };
        let shape = ModelShape::new(&show, show.size_bytes.ok_or_else(no_size)?)?;
        let file_name = || Some(path.file_stem()?.to_string_lossy().into_owned());
        let name = args.model.clone().or_else(|| show.model.clone());
        let name = name.or_else(file_name).unwrap_or_default();
        Ok((name, shape, ServerTraits::default()))
    }

    fn load(&self, model: &str, num_ctx: NumCtx, out: &mut dyn Write) -> Result<(), CommandError> {
        let mut settings = Settings::default();
        settings.ctx_max = CTX_MAX_AUTO;
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
        let actual = lease.profile().num_ctx;
        write!(out, "{}: {actual} tokens of context", lease.model())?;
        if matches!(num_ctx, NumCtx::Fixed(requested) if requested > actual) {
            write!(out, " (it was not trained for more)")?;
        }
        let keep_alive = manager.settings().keep_alive();
        writeln!(
            out,
            "; the server keeps it for {keep_alive} after each request"
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
        // What was unloaded before an error is printed, too.
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

    /// Unloads listed models first: a process that only looks like an orphan ends with its server's
    /// help.
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
        result.append(manager.unload_unlisted()?);
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

fn read_show(path: &Path) -> Result<ModelDescription, CommandError> {
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
                "general.architecture": "llama", "llama.block_count": 28,
                "llama.embedding_length": 3072, "llama.feed_forward_length": 8192,
                "llama.attention.head_count": 24, "llama.attention.head_count_kv": 8,
                "llama.context_length": 131_072, "llama.vocab_size": 128_256
            }
        });
        std::fs::write(&path, show.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Plans llama3.2:3b. Returns whether it fits, and the printed line.
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
    fn plan_of_a_file_is_printed_with_its_parts() {
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
