//! What the command prints, for people and as JSON.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

use super::super::plan::gib;
use super::super::{
    DoesNotFit, Estimate, ModelMemoryReport, ModelUnloadResult, NUM_BATCH, Plan, Runner,
};
use super::CommandError;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlanLine<'a> {
    model: &'a str,
    /// `None`: nothing fits, and the estimate is that of the smallest.
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

pub(super) fn plan_text(name: &str, planned: &Result<Plan, DoesNotFit>) -> String {
    let (estimate, reason) = match planned {
        Ok(plan) => (&plan.estimate, plan.reason.clone()),
        Err(refused) => (&refused.estimate, refused.to_string()),
    };
    let mut text = format!(
        "{name}: {reason}\n  weights {}, cache {}, compute {}, program {}",
        gib(estimate.weights_bytes),
        gib(estimate.kv_bytes),
        gib(estimate.compute_bytes),
        gib(estimate.overhead_bytes),
    );
    if estimate.repacked_bytes > 0 {
        _ = write!(
            text,
            ", second copy of mapped weights {}",
            gib(estimate.repacked_bytes)
        );
    }
    text.push('\n');
    text
}

/// Writing to a string does not fail.
pub(super) fn status_text(report: &ModelMemoryReport) -> String {
    let mut text = String::new();
    if report.loaded_models.is_empty() {
        text.push_str("no model is in memory\n");
    }
    for model in &report.loaded_models {
        let figure = |bytes: Option<u64>| bytes.map_or("?".to_owned(), gib);
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
    for opportunity in &report.optimization_opportunities {
        _ = writeln!(text, "- {opportunity}");
    }
    text
}

pub(super) fn unload_text(result: &ModelUnloadResult) -> String {
    let mut text = String::new();
    for unloaded in &result.unloaded {
        let name = &unloaded.name;
        if let Some(stuck) = &unloaded.stuck {
            _ = writeln!(text, "{name} does not go: {}", stuck.remedy);
            continue;
        }
        if !unloaded.was_in_memory() {
            _ = writeln!(text, "{name} was not in memory");
            continue;
        }
        let how = match (unloaded.was_orphan, unloaded.killed) {
            (false, false) => "",
            (false, true) => ", killed",
            (true, true) => ", left behind by an ended server and killed",
            (true, false) => ", left behind by an ended server, by itself",
        };
        _ = writeln!(
            text,
            "{name} is gone after {} ms{how}; {} are free again",
            unloaded.waited_ms,
            gib(unloaded.freed_bytes())
        );
        if let Some(difference) = &unloaded.difference {
            _ = writeln!(text, "  {difference}");
        }
        if unloaded.memory_back == Some(false) {
            _ = writeln!(
                text,
                "  other programs took memory meanwhile: not all of it is available"
            );
        }
        if unloaded.process_ended.is_none() {
            _ = writeln!(
                text,
                "  as the server says; its process cannot be seen from here"
            );
        }
    }
    for kept in &result.kept {
        _ = writeln!(text, "{} stays: {}", kept.name, kept.reason);
    }
    text
}

/// Processes that hold a model while no server answers.
pub(super) fn orphans_text(orphans: &[Runner]) -> String {
    let mut text = String::new();
    for orphan in orphans {
        _ = writeln!(
            text,
            "process {} holds {} for a server that has ended: end it, or allow `unload --all --allow-kill` to ({})",
            orphan.id.pid,
            gib(orphan.private_bytes()),
            orphan.model_path
        );
    }
    text
}
