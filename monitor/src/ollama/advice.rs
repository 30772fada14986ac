//! What the figures of a report mean, and what would save memory.

use super::plan::gib;
use super::report::{LoadedModel, Ours};
use super::{Estimate, KvType, LoadProfile, ModelState, QuantizationAdvice, ServerTraits};

/// Savings below this are not worth a line.
const WORTH_BYTES: u64 = 64 << 20;

/// Figures that are closer than this are the same.
const SAME_BYTES: u64 = 8 << 20;

/// Explains why a process holds more or less private memory than the server claims for its model.
pub(super) fn difference(
    claimed: u64,
    private: u64,
    reclaimable: Option<u64>,
    overhead: Option<u64>,
) -> String {
    let more = private.saturating_sub(claimed);
    let less = claimed.saturating_sub(private);
    if more.max(less) < SAME_BYTES {
        return format!("private memory as the server claims, {}", gib(claimed));
    }
    if less > 0 {
        let mapped = reclaimable.unwrap_or(0).min(less);
        let rest = less - mapped;
        let mut why = format!("{} less private memory than the server claims", gib(less));
        if mapped >= SAME_BYTES {
            why += &format!("; {} are mapped file pages", gib(mapped));
        }
        if rest >= SAME_BYTES {
            why += &format!(
                "; {} are not touched yet, or counted twice by the server, as some versions do with mapped weights",
                gib(rest)
            );
        }
        return why;
    }
    match overhead {
        Some(overhead) if more <= overhead.saturating_add(SAME_BYTES) => {
            format!(
                "{} more private memory than the server claims: the program itself",
                gib(more)
            )
        }
        Some(overhead) => format!(
            "{} more private memory than the server claims: {} for the program itself, {} most likely old prompts",
            gib(more),
            gib(overhead),
            gib(more - overhead)
        ),
        None => format!(
            "{} more private memory than the server claims: the program itself and old prompts",
            gib(more)
        ),
    }
}

/// Says what would save memory, with figures.
pub(super) fn opportunities(
    models: &[LoadedModel],
    ours: &[Ours],
    smaller: &[(String, QuantizationAdvice)],
) -> Vec<String> {
    let mut found = Vec::new();
    for model in models {
        of_state(model, &mut found);
        let name = &model.name;
        if let Some(bytes) = model.unclaimed_bytes.filter(|bytes| *bytes >= WORTH_BYTES) {
            found.push(format!(
                    "{name}: its process holds {} beyond the model, most likely old prompts; unloading frees it, and \
                     LLAMA_ARG_CACHE_RAM=0 in the server's environment prevents it",
                    gib(bytes)
                ));
        }
        if let Some(bytes) = model.reclaimable_bytes.filter(|_| model.is_memory_mapped) {
            found.push(format!(
                    "{name}: {} of its weights are mapped, which frees nothing while it works; without mapping a CPU \
                     needs no second copy of them",
                    gib(bytes)
                ));
        }
    }
    for ours in ours {
        of_profile(ours, &mut found);
    }
    for (name, advice) in smaller {
        let is_worth = advice.saved_bytes >= WORTH_BYTES;
        found.extend(is_worth.then(|| of_quantization(name, advice)));
    }
    found
}

fn of_state(model: &LoadedModel, found: &mut Vec<String>) {
    let (name, bytes) = (&model.name, gib(model.memory_usage));
    match (model.state, model.pid) {
        (ModelState::Orphan, Some(pid)) => found.push(format!(
            "process {pid} holds {bytes} of {name} for a server that has ended: end it, or allow \
             `steadyscribe-monitor ollama unload --all --allow-kill` to"
        )),
        (ModelState::Ghost, _) => {
            found.push(format!("{name} is listed, but its process has ended"))
        }
        (ModelState::ForeignReload, _) => found.push(format!(
            "another program loads {name} with {} tokens of context: set the same in both",
            model.context_size
        )),
        _ if model.is_ours && model.users == 0 && model.memory_usage >= WORTH_BYTES => {
            found.push(format!("{name} is not in use: unloading frees {bytes}"));
        }
        _ => {}
    }
}

fn of_quantization(name: &str, advice: &QuantizationAdvice) -> String {
    let how = if advice.is_installed {
        "is installed".to_owned()
    } else {
        format!("can be had with `ollama pull {}`", advice.model)
    };
    format!(
        "{name}: {} {how} and saves {} of weights",
        advice.model,
        gib(advice.saved_bytes)
    )
}

fn of_profile(ours: &Ours, found: &mut Vec<String>) {
    let Some(shape) = &ours.shape else { return };
    let name = &ours.name;
    let now = ours.estimate.total_bytes;
    let half = LoadProfile {
        num_ctx: ours.profile.num_ctx / 2,
        ..ours.profile.clone()
    };
    let saved = now.saturating_sub(Estimate::new(shape, &half, ours.server).total_bytes);
    if saved >= WORTH_BYTES {
        found.push(format!(
            "{name}: {} tokens of context instead of {} save {}",
            half.num_ctx,
            ours.profile.num_ctx,
            gib(saved)
        ));
    }
    if ours.server.kv_type == KvType::F16 {
        let server = ServerTraits {
            kv_type: KvType::Q8_0,
            ..ours.server
        };
        let saved = now.saturating_sub(Estimate::new(shape, &ours.profile, server).total_bytes);
        if saved >= WORTH_BYTES {
            found.push(format!(
                "{name}: OLLAMA_KV_CACHE_TYPE=q8_0 with OLLAMA_FLASH_ATTENTION=1 in the server's environment saves {}",
                gib(saved)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn difference_is_explained_by_its_parts() {
        let check =
            |claimed: u64, private: u64, mapped: u64, overhead: Option<u64>, expected: &str| {
                let overhead = overhead.map(|mib| mib * MIB);
                let text = difference(claimed * MIB, private * MIB, Some(mapped * MIB), overhead);
                assert_eq!(text, expected);
            };
        check(
            2048,
            2050,
            0,
            None,
            "private memory as the server claims, 2.00 GiB",
        );
        check(
            2048,
            2152,
            0,
            Some(107),
            "104 MiB more private memory than the server claims: the program itself",
        );
        check(
            2048,
            3072,
            0,
            Some(103),
            "1.00 GiB more private memory than the server claims: 103 MiB for the program itself, 921 MiB most likely old prompts",
        );
        check(
            2048,
            3072,
            0,
            None,
            "1.00 GiB more private memory than the server claims: the program itself and old prompts",
        );
        check(
            3072,
            2048,
            2000,
            None,
            "1.00 GiB less private memory than the server claims; 1.00 GiB are mapped file pages",
        );
        check(
            3072,
            2048,
            512,
            None,
            "1.00 GiB less private memory than the server claims; 512 MiB are mapped file pages; 512 MiB are not touched yet, or counted twice by \
             the server, as some versions do with mapped weights",
        );
    }
}
