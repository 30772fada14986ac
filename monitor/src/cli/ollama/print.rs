//! The output of the commands, as text and as JSON.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;
use steadyscribe_monitor::ollama::{
    DoesNotFit, Estimate, LoadedModel, ModelMemoryReport, ModelUnloadResult, NUM_BATCH, Plan,
    Runner, UnloadedModel,
};
use steadyscribe_monitor::report::bytes_text;

use super::CommandError;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlanLine<'a> {
    model: &'a str,
    /// `None` if nothing fits; the estimate is that of the smallest context then.
    num_ctx: Option<u32>,
    num_batch: u32,
    estimate: &'a Estimate,
    available_bytes: u64,
    reason: String,
}

impl<'a> PlanLine<'a> {
    pub(super) fn new(model: &'a str, planned: &'a Result<Plan, DoesNotFit>) -> Self {
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

pub(super) fn print_json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), CommandError> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

// Writing to a string never fails, so the results of `write!` are ignored below.

pub(super) fn plan_text(name: &str, planned: &Result<Plan, DoesNotFit>) -> String {
    let (estimate, reason) = match planned {
        Ok(plan) => (&plan.estimate, plan.reason.clone()),
        Err(refused) => (&refused.estimate, refused.to_string()),
    };
    let mut text = format!(
        "{name}: {reason}\n  weights {}, KV cache {}, compute {}, process {}",
        bytes_text(estimate.weights_bytes),
        bytes_text(estimate.kv_bytes),
        bytes_text(estimate.compute_bytes),
        bytes_text(estimate.overhead_bytes),
    );
    if estimate.repacked_bytes > 0 {
        let repacked = bytes_text(estimate.repacked_bytes);
        _ = write!(text, ", private copy of mapped weights {repacked}");
    }
    text.push('\n');
    text
}

pub(super) fn status_text(report: &ModelMemoryReport) -> String {
    let mut text = String::new();
    if report.loaded_models.is_empty() {
        text.push_str("no model is in memory\n");
    }
    for model in &report.loaded_models {
        loaded_text(model, &mut text);
    }
    for opportunity in &report.optimization_opportunities {
        _ = writeln!(text, "- {opportunity}");
    }
    text
}

fn loaded_text(model: &LoadedModel, text: &mut String) {
    let figure = |bytes: Option<u64>| bytes.map_or("?".to_owned(), bytes_text);
    let context = match model.context_size {
        0 => "?".to_owned(),
        tokens => tokens.to_string(),
    };
    _ = writeln!(
        text,
        "{:<30} {:<13} {context:>7} tokens, {:>9} private, {:>9} claimed, process {}",
        model.name,
        format!("{:?}", model.state),
        figure(model.private_bytes),
        figure(model.claimed_bytes),
        model.pid.map_or("?".to_owned(), |pid| pid.to_string()),
    );
    if let Some(difference) = &model.difference {
        _ = writeln!(text, "  {difference}");
    }
}

pub(super) fn unload_text(result: &ModelUnloadResult) -> String {
    let mut text = String::new();
    for unloaded in &result.unloaded {
        unloaded_text(unloaded, &mut text);
    }
    for kept in &result.kept {
        _ = writeln!(text, "{} stays in memory: {}", kept.name, kept.reason);
    }
    text
}

fn unloaded_text(unloaded: &UnloadedModel, text: &mut String) {
    let name = &unloaded.name;
    if let Some(stuck) = &unloaded.stuck {
        _ = writeln!(text, "{name} is stuck: {}", stuck.remedy);
        return;
    }
    if !unloaded.was_in_memory() {
        _ = writeln!(text, "{name} was not in memory");
        return;
    }
    let how = match (unloaded.was_orphan, unloaded.killed) {
        (false, false) => "unloaded",
        (false, true) => "killed",
        (true, true) => "killed, after its server had ended,",
        (true, false) => "gone, after its server had ended,",
    };
    _ = writeln!(
        text,
        "{name} was {how} in {} ms; {} was freed",
        unloaded.waited_ms,
        bytes_text(unloaded.freed_bytes())
    );
    if let Some(difference) = &unloaded.difference {
        _ = writeln!(text, "  {difference}");
    }
    if unloaded.memory_back == Some(false) {
        _ = writeln!(text, "  not all of it is available yet");
    }
    if unloaded.process_ended.is_none() {
        _ = writeln!(
            text,
            "  according to the server; its process is not visible"
        );
    }
}

/// Describes the orphans while no server answers.
pub(super) fn orphans_text(orphans: &[Runner]) -> String {
    let mut text = String::new();
    for orphan in orphans {
        _ = writeln!(
            text,
            "process {} holds {} of {}, and its server has ended; end it, or run `unload --all \
             --allow-kill`",
            orphan.id.pid,
            bytes_text(orphan.private_bytes()),
            orphan.model_path
        );
    }
    text
}
