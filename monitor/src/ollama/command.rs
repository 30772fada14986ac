//! `steadyscribe-monitor ollama …`: the client from a command line.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::plan::gib;
use super::{
    Cancel, Client, DoesNotFit, Estimate, Host, HostError, KvType, Local, Manager, ManagerError,
    ModelMemoryReport, ModelShape, ModelUnloadResult, NUM_BATCH, OllamaError, Plan, PlanOptions,
    ServerTraits, Settings, ShapeError, Show, Sight, UnloadedModel, plan,
};

/// Largest context that `auto` asks for: a long meeting's transcript, and no more than a desktop can hold.
const CTX_MAX_AUTO: u32 = 131_072;

/// What to do with the models of an Ollama server.
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct OllamaArgs {
    #[command(subcommand)]
    action: Action,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
    /// The server; otherwise OLLAMA_HOST, otherwise 127.0.0.1:11434
    #[arg(long, global = true, value_name = "ADDRESS")]
    host: Option<Host>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what every model really costs
    Status,
    /// Tell which context fits into memory, without loading anything. Prints JSON where the output is no terminal
    Plan(PlanArgs),
    /// Load a model with a context that fits
    Load {
        /// Its name
        model: String,
        /// Tokens of context, or `auto` for the largest that fits
        #[arg(long, default_value = "auto", value_name = "N|auto", value_parser = parse_num_ctx)]
        num_ctx: NumCtx,
    },
    /// Unload a model, and verify that its memory is back
    Unload {
        /// Its name
        #[arg(required_unless_present = "all")]
        model: Option<String>,
        /// Every model, those of other programs too
        #[arg(long, conflicts_with = "model")]
        all: bool,
        /// Kill the process of a model that does not go within 30 s; a job of another program that uses it dies with it
        #[arg(long)]
        allow_kill: bool,
    },
    /// Show the status again and again
    Watch {
        /// Seconds in between
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
        interval: u64,
        /// End after so many times; otherwise never
        #[arg(long)]
        count: Option<u64>,
    },
}

#[derive(Debug, Args)]
struct PlanArgs {
    /// Its name
    #[arg(required_unless_present = "show_file")]
    model: Option<String>,
    /// Memory to plan for, such as 4GiB, 600MB or bytes; otherwise what the machine has available
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    available: Option<u64>,
    /// A saved answer of /api/show with the model's "size" beside "model_info"; the server is not asked
    #[arg(long, value_name = "FILE")]
    show_file: Option<PathBuf>,
    /// Type of the server's KV cache: f16, q8_0 or q4_0
    #[arg(long, default_value = "f16", value_name = "TYPE")]
    kv_type: KvType,
    /// Largest context that is wanted
    #[arg(long, default_value_t = CTX_MAX_AUTO, value_name = "N")]
    ctx_max: u32,
    /// Smallest context that is of use
    #[arg(long, default_value_t = PlanOptions::default().ctx_min, value_name = "N")]
    ctx_min: u32,
    /// Plan for mapped weights
    #[arg(long)]
    mmap: bool,
}

#[derive(Clone, Copy, Debug)]
enum NumCtx {
    Auto,
    Fixed(u32),
}

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
    /// Not even the smallest context fits. The figures were printed: free the bytes that are missing.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
    /// A model does not go. Its process and what can be done were printed.
    #[error("not every model is gone")]
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
            model, allow_kill, ..
        } => server.unload(model.as_deref(), *allow_kill, out),
        Action::Watch { interval, count } => {
            let mut left = count.unwrap_or(u64::MAX);
            while left > 0 {
                server.status(out)?;
                left -= 1;
                if left > 0 {
                    std::thread::sleep(Duration::from_secs(*interval));
                }
            }
            Ok(())
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
        let version = self.client.version()?;
        let report = self.manager(Settings::default()).model_memory_usage()?;
        if self.json {
            return print_json(out, &report);
        }
        writeln!(out, "Ollama {version} at {}", self.client.host())?;
        write!(out, "{}", status_text(&report))?;
        Ok(())
    }

    fn plan(&self, args: &PlanArgs, json: bool, out: &mut dyn Write) -> Result<(), CommandError> {
        let (name, shape, server) = match &args.show_file {
            Some(path) => {
                let show = read_show(path)?;
                let size_bytes = show.size_bytes.ok_or(ShapeError::Missing { key: "size" })?;
                let name = args.model.clone().or_else(|| show.model.clone());
                (
                    name,
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
            return print_json(out, &manager.model_memory_usage()?);
        }
        let profile = lease.profile();
        writeln!(
            out,
            "{}: {} tokens of context",
            lease.model(),
            profile.num_ctx
        )?;
        write!(out, "{}", status_text(&manager.model_memory_usage()?))?;
        Ok(())
    }

    fn unload(
        &self,
        model: Option<&str>,
        allow_kill: bool,
        out: &mut dyn Write,
    ) -> Result<(), CommandError> {
        let manager = self.manager(Settings {
            kill_stuck: allow_kill,
            ..Settings::default()
        });
        let names = match model {
            Some(model) => vec![model.to_owned()],
            None => {
                let running = self.client.running()?;
                running.into_iter().map(|model| model.name).collect()
            }
        };
        let mut result = ModelUnloadResult::default();
        for name in names {
            for unloaded in manager.unload(&name)?.unloaded {
                result.add(unloaded);
            }
        }
        if self.json {
            print_json(out, &result)?;
        } else {
            write!(out, "{}", unload_text(&result))?;
        }
        if result.is_clean() {
            Ok(())
        } else {
            Err(CommandError::Stuck)
        }
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanLine<'a> {
    model: &'a str,
    /// `None`: nothing fits, and the estimate is that of the smallest.
    num_ctx: Option<u32>,
    num_batch: u32,
    estimate: &'a Estimate,
    available_bytes: u64,
    reason: String,
}

impl<'a> PlanLine<'a> {
    fn new(model: &'a str, planned: &'a Result<Plan, DoesNotFit>) -> Self {
        match planned {
            Ok(plan) => Self {
                model,
                num_ctx: Some(plan.profile.num_ctx),
                num_batch: plan.profile.num_batch,
                estimate: &plan.estimate,
                available_bytes: plan.available_bytes,
                reason: plan.reason.clone(),
            },
            Err(refused) => Self {
                model,
                num_ctx: None,
                num_batch: NUM_BATCH,
                estimate: &refused.estimate,
                available_bytes: refused.available_bytes,
                reason: refused.to_string(),
            },
        }
    }
}

fn print_json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), CommandError> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn plan_text(name: &str, planned: &Result<Plan, DoesNotFit>) -> String {
    let (estimate, reason) = match planned {
        Ok(plan) => (&plan.estimate, plan.reason.clone()),
        Err(refused) => (&refused.estimate, refused.to_string()),
    };
    format!(
        "{name}: {reason}\n  weights {}, copy for mapping {}, cache {}, compute {}, process {}\n",
        gib(estimate.weights_bytes),
        gib(estimate.repacked_bytes),
        gib(estimate.kv_bytes),
        gib(estimate.compute_bytes),
        gib(estimate.overhead_bytes),
    )
}

/// Writing to a string does not fail.
fn status_text(report: &ModelMemoryReport) -> String {
    let mut text = String::new();
    if report.loaded_models.is_empty() {
        text.push_str("no model is in memory\n");
    }
    for model in &report.loaded_models {
        let figure = |bytes: Option<u64>| bytes.map_or("?".to_owned(), gib);
        _ = writeln!(
            text,
            "{:<30} {:>10?} {:>8} tokens  server says {:>9}  private {:>9}  unclaimed {:>9}  pid {}",
            model.name,
            model.state,
            model.context_size,
            figure(model.claimed_bytes),
            figure(model.private_bytes),
            figure(model.unclaimed_bytes),
            model.pid.map_or("?".to_owned(), |pid| pid.to_string()),
        );
    }
    for opportunity in &report.optimization_opportunities {
        _ = writeln!(text, "- {opportunity}");
    }
    text
}

fn unload_text(result: &ModelUnloadResult) -> String {
    let mut text = String::new();
    for unloaded in &result.unloaded {
        let UnloadedModel { name, stuck, .. } = unloaded;
        _ = match stuck {
            Some(stuck) => writeln!(text, "{name} does not go: {}", stuck.remedy),
            None => writeln!(
                text,
                "{name} is gone after {} ms{}; {} are free again",
                unloaded.waited_ms,
                if unloaded.killed { ", killed" } else { "" },
                gib(unloaded.freed_bytes())
            ),
        };
    }
    if result.unloaded.is_empty() {
        text.push_str("no model was in memory\n");
    }
    text
}

fn parse_num_ctx(text: &str) -> Result<NumCtx, String> {
    if text == "auto" {
        return Ok(NumCtx::Auto);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err("give a number of tokens, or auto".to_owned()),
        Ok(num_ctx) => Ok(NumCtx::Fixed(num_ctx)),
    }
}

/// Reads `4GiB`, `4G` (the same), `4GB` (decimal), `1.5 GiB` or plain bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and the number is not negative"
)]
fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{text} is no number of bytes, such as 4GiB"))?;
    let factor: f64 = match unit.trim().to_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1_048_576.0,
        "g" | "gib" => 1_073_741_824.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        unit => return Err(format!("{unit} is none of KiB, MiB, GiB, kB, MB, GB")),
    };
    Ok((number * factor) as u64)
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

    #[test]
    fn sizes_are_read_with_their_units() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(parse_bytes(text).ok(), expected, "{text}")
        };
        check("4GiB", Some(4 << 30));
        check("1.5 GiB", Some(3 << 29));
        check("600M", Some(600 << 20));
        check("4GB", Some(4_000_000_000));
        check("12345", Some(12345));
        check("GiB", None);
        check("4TB", None);
        check("-1", None);
    }

    #[test]
    fn wrong_lines_are_refused() {
        for line in [
            &["x", "plan"][..],
            &["x", "unload"],
            &["x", "load", "m", "--num-ctx", "0"],
        ] {
            assert!(Program::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
