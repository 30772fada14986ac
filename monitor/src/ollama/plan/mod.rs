//! Picks the context that fits, before a model is loaded.
//!
//! | question | file |
//! |---|---|
//! | Which figures of a model determine its memory? | `shape` |
//! | How much memory does it take with a profile? | `estimate` |
//! | Which smaller model could replace it? | `quantization` |

pub(super) mod estimate;
pub(super) mod quantization;
pub(super) mod shape;

use serde::Serialize;

use super::client::profile::LoadProfile;
use super::figures::gib;
use estimate::{Estimate, ServerTraits};
use shape::ModelShape;

/// Contexts to choose from. They are few, because each change reloads the model.
pub(super) const CTX_STEPS: [u32; 8] = [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131_072];

/// Smallest context that the server gives a vision model. Source: Ollama 0.33, server/sched.go.
const CTX_VISION_MIN: u32 = 2048;

/// The limits of a plan.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanOptions {
    /// The largest useful context, in tokens.
    pub ctx_max: u32,
    /// The smallest useful context, in tokens.
    pub ctx_min: u32,
    /// Whether the weights are mapped. `None` leaves the choice to the server, which does not map
    /// them on a CPU.
    pub use_mmap: Option<bool>,
    /// How the server runs models.
    pub server: ServerTraits,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            ctx_max: u32::MAX,
            ctx_min: 2048,
            use_mmap: None,
            server: ServerTraits::default(),
        }
    }
}

/// A context that fits, with the reason for choosing it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The profile to load the model with.
    pub profile: LoadProfile,
    /// The estimate for this profile.
    pub estimate: Estimate,
    /// The memory that was available to the plan.
    pub available_bytes: u64,
    /// Why this context was chosen, in one sentence.
    pub reason: String,
}

/// No context fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "the smallest context of {num_ctx} tokens needs {}, but only {} is available; free {}, or use \
     a smaller model",
    gib(estimate.total_bytes), gib(*available_bytes), gib(self.missing_bytes())
)]
pub struct DoesNotFit {
    /// The smallest context that was tried, in tokens.
    pub num_ctx: u32,
    /// The estimate for it.
    pub estimate: Estimate,
    /// The memory that was available to the plan.
    pub available_bytes: u64,
}

impl DoesNotFit {
    /// Returns the bytes that must be freed first.
    #[must_use]
    pub fn missing_bytes(&self) -> u64 {
        self.estimate
            .total_bytes
            .saturating_sub(self.available_bytes)
    }
}

/// Picks the largest context that fits into the available bytes.
///
/// The candidates are the powers of two from 1,024 to 131,072 tokens. More memory never results in
/// a smaller context. A model that was trained for less than the smallest candidate gets the
/// context that it was trained for.
///
/// # Errors
///
/// [`DoesNotFit`] with the bytes that are missing: unload something, or use a smaller model.
///
/// # Examples
///
/// ```
/// use steadyscribe_monitor::ollama::{ModelDescription, ModelShape, PlanOptions, plan};
///
/// let description: ModelDescription = serde_json::from_str(
///     r#"{"model_info": {"general.architecture": "llama", "llama.block_count": 28,
///         "llama.embedding_length": 3072, "llama.feed_forward_length": 8192,
///         "llama.attention.head_count": 24, "llama.attention.head_count_kv": 8,
///         "llama.context_length": 131072, "llama.vocab_size": 128256}}"#,
/// )?;
/// let shape = ModelShape::new(&description, 2_019_393_189)?;
/// let plan = plan(&shape, 4 << 30, &PlanOptions::default())?;
/// assert_eq!(plan.profile.num_ctx, 16384);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn plan(
    shape: &ModelShape,
    available_bytes: u64,
    options: &PlanOptions,
) -> Result<Plan, DoesNotFit> {
    let steps = steps(shape, options);
    let estimate_at = |num_ctx| {
        let profile = LoadProfile {
            use_mmap: options.use_mmap,
            ..LoadProfile::new(num_ctx)
        };
        let estimate = Estimate::new(shape, &profile, options.server);
        (profile, estimate)
    };
    let mut larger = None;
    for &num_ctx in steps.iter().rev() {
        let (profile, estimate) = estimate_at(num_ctx);
        if estimate.total_bytes <= available_bytes {
            let reason = reason(&profile, &estimate, available_bytes, larger);
            return Ok(Plan {
                profile,
                estimate,
                available_bytes,
                reason,
            });
        }
        larger = Some((num_ctx, estimate));
    }
    let (num_ctx, estimate) = larger.unwrap_or_default();
    Err(DoesNotFit {
        num_ctx,
        estimate,
        available_bytes,
    })
}

/// Returns the contexts that are allowed, the smallest first. There is always at least one.
fn steps(shape: &ModelShape, options: &PlanOptions) -> Vec<u32> {
    let ctx_max = options.ctx_max.min(shape.trained_ctx).max(1);
    let ctx_min = if shape.is_vision {
        options.ctx_min.max(CTX_VISION_MIN)
    } else {
        options.ctx_min
    };
    let steps: Vec<u32> = CTX_STEPS
        .into_iter()
        .filter(|step| (ctx_min..=ctx_max).contains(step))
        .collect();
    if steps.is_empty() {
        vec![ctx_max]
    } else {
        steps
    }
}

fn reason(
    profile: &LoadProfile,
    estimate: &Estimate,
    available_bytes: u64,
    larger: Option<(u32, Estimate)>,
) -> String {
    let fits = format!(
        "{} tokens need {} of {}",
        profile.num_ctx,
        gib(estimate.total_bytes),
        gib(available_bytes)
    );
    match larger {
        Some((num_ctx, larger)) => {
            format!("{fits}; {num_ctx} would need {}", gib(larger.total_bytes))
        }
        None => format!("{fits}, and the model or the request allows no larger context"),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanJson<'a> {
    num_ctx: u32,
    num_batch: u32,
    estimate: &'a Estimate,
    available_bytes: u64,
    reason: &'a str,
}

impl Serialize for Plan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PlanJson {
            num_ctx: self.profile.num_ctx,
            num_batch: self.profile.num_batch,
            estimate: &self.estimate,
            available_bytes: self.available_bytes,
            reason: &self.reason,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::shape::tests::llama32;
    use super::*;

    fn llama() -> ModelShape {
        ModelShape::new(&llama32(), 2_019_393_189).unwrap()
    }

    fn check(available_mib: u64, expected: Option<u32>) {
        let plan = plan(&llama(), available_mib << 20, &PlanOptions::default());
        assert_eq!(
            plan.ok().map(|plan| plan.profile.num_ctx),
            expected,
            "{available_mib} MiB"
        );
    }

    #[test]
    fn largest_context_that_fits_is_chosen() {
        // The value of the table, 7.5 MiB of tokenizer in the file, and 106.7 MiB of process.
        check(2215 + 114, None);
        check(2215 + 115, Some(2048));
        check(2441 + 115, Some(4096));
        check(4096, Some(16384));
        check(5605 + 114, Some(16384));
        check(5605 + 115, Some(32768));
        check(1 << 20, Some(131_072));
    }

    #[test]
    fn refusal_contains_the_missing_bytes() {
        let refusal = plan(&llama(), 1 << 30, &PlanOptions::default()).unwrap_err();
        assert_eq!(refusal.num_ctx, 2048);
        assert_eq!(
            refusal.missing_bytes() + (1 << 30),
            refusal.estimate.total_bytes
        );
        assert_eq!(
            refusal.to_string(),
            "the smallest context of 2048 tokens needs 2.27 GiB, but only 1.00 GiB is available; \
             free 1.27 GiB, or use a smaller model"
        );
    }

    #[test]
    fn context_never_exceeds_the_trained_one() {
        let shape = ModelShape {
            trained_ctx: 512,
            ..llama()
        };
        let plan = plan(&shape, u64::MAX, &PlanOptions::default()).unwrap();
        assert_eq!(plan.profile.num_ctx, 512);
    }

    #[test]
    fn request_and_vision_bound_the_contexts() {
        let mut options = PlanOptions {
            ctx_max: 10_000,
            ctx_min: 1024,
            ..PlanOptions::default()
        };
        assert_eq!(steps(&llama(), &options), [1024, 2048, 4096, 8192]);
        let shape = ModelShape {
            is_vision: true,
            ..llama()
        };
        options.ctx_max = 1024;
        assert_eq!(steps(&shape, &options), [1024]);
        options.ctx_max = 4096;
        assert_eq!(steps(&shape, &options), [2048, 4096]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn more_memory_never_gives_less_context(
            weights in 0u64..1 << 34, kv in 0u64..1 << 20, trained_ctx in 1u32..1 << 18,
            available in 0u64..1 << 36, more in 0u64..1 << 34, mapped: bool,
        ) {
            let shape = ModelShape {
                weights_bytes: weights,
                kv_elements_per_token: kv,
                trained_ctx,
                ..llama()
            };
            let options = PlanOptions { use_mmap: Some(mapped), ..PlanOptions::default() };
            let small = plan(&shape, available, &options);
            let large = plan(&shape, available + more, &options);
            if let Ok(small) = &small {
                prop_assert!(small.estimate.total_bytes <= available);
                prop_assert!(large.as_ref().unwrap().profile.num_ctx >= small.profile.num_ctx);
            }
            // It is the largest one: the next context, if it is allowed, does not fit.
            if let Ok(large) = &large {
                let next = CTX_STEPS.into_iter().find(|step| *step > large.profile.num_ctx);
                if let Some(next) = next.filter(|next| *next <= trained_ctx) {
                    let profile = LoadProfile { num_ctx: next, ..large.profile.clone() };
                    let estimate = Estimate::new(&shape, &profile, options.server);
                    prop_assert!(estimate.total_bytes > available + more);
                }
            }
        }
    }
}
