//! Estimates how much memory a model takes before it is loaded.
//!
//! The server's own forecast counts the file and an f16 cache. It omits the compute buffer, the
//! type of the cache and the process, and since 0.30 it runs only on GPUs. The figures here were
//! measured on a real `llama-server` on a CPU and taken from the logs of Ollama's own tests.
//!
//! One part is not counted, because the header does not show it: a CPU that repacks weights keeps
//! a second copy of an embedding that is also the output, if its type is one that is repacked
//! (34 MiB of 229 MiB measured).

use serde::Serialize;

use super::shape::ModelShape;
use crate::ollama::client::profile::LoadProfile;
use crate::ollama::client::server::Version;

/// Granularity of the KV cache, in tokens. Source: llama.cpp, `llama_kv_cache`.
const KV_STEP_TOKENS: u64 = 256;

/// Private bytes of a runner beyond its buffers after the first generation: 26.6 MiB measured with
/// a vocabulary of [`OVERHEAD_VOCABULARY`]. Most of it grows with the vocabulary.
const OVERHEAD_BYTES: u64 = 27_892_122;

/// Vocabulary for which [`OVERHEAD_BYTES`] was measured, in tokens.
const OVERHEAD_VOCABULARY: u64 = 32_000;

/// Share of mapped weights that the CPU back end repacks into private memory, in thousandths:
/// 1299.38 MiB of the 1918.35 MiB of llama3.2:3b. Source: Ollama 0.33, llm/llama_server_test.go.
const REPACKED_THOUSANDTHS: u64 = 678;

/// Type of the KV cache: the server's `OLLAMA_KV_CACHE_TYPE`, which its API does not report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KvType {
    /// Two bytes for each element, the server's default.
    #[default]
    F16,
    /// 34 bytes for 32 elements.
    Q8_0,
    /// 18 bytes for 32 elements.
    Q4_0,
}

impl KvType {
    /// Returns the server's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    fn bytes(self, elements: u64) -> u64 {
        let bytes_of_32 = match self {
            Self::F16 => 64,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
        };
        elements.saturating_mul(bytes_of_32) / 32
    }
}

impl std::str::FromStr for KvType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "f16" => Ok(Self::F16),
            "q8_0" => Ok(Self::Q8_0),
            "q4_0" => Ok(Self::Q4_0),
            _ => Err(format!(
                "unknown cache type `{text}`; expected f16, q8_0 or q4_0"
            )),
        }
    }
}

/// How a server runs models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerTraits {
    /// Type of its KV cache.
    pub kv_type: KvType,
    /// Whether flash attention is on, which needs no buffer for scores. A quantized cache needs it.
    pub flash_attention: bool,
    /// Requests that share one model at the same time, each with its own KV cache.
    pub parallel: u32,
    /// Whether models run in `llama-server` processes (0.30 and later) or in `ollama runner`.
    pub llama_server: bool,
}

impl Default for ServerTraits {
    /// Returns the traits of a current server without configuration.
    fn default() -> Self {
        Self {
            kv_type: KvType::F16,
            flash_attention: true,
            parallel: 1,
            llama_server: true,
        }
    }
}

impl ServerTraits {
    /// Returns the traits of a version without configuration.
    #[must_use]
    pub fn of(version: &Version) -> Self {
        Self {
            parallel: version.parallel_default(),
            llama_server: version.runs_llama_server(),
            ..Self::default()
        }
    }
}

/// Estimated memory of a loaded model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Estimate {
    /// The weights: private memory, or page cache if they are mapped. Either way they are resident
    /// while the model works.
    pub weights_bytes: u64,
    /// The private copy of mapped weights that a CPU computes with.
    #[serde(skip_serializing_if = "is_zero")]
    pub repacked_bytes: u64,
    /// The KV cache, and the state of recurrent layers.
    pub kv_bytes: u64,
    /// The compute buffer.
    pub compute_bytes: u64,
    /// The process itself, without the server's hidden prompt cache, which is monitored instead.
    pub overhead_bytes: u64,
    /// The sum of the parts.
    pub total_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

impl Estimate {
    /// Estimates a model with a profile. A larger context or batch never lowers the estimate.
    #[must_use]
    pub fn new(shape: &ModelShape, profile: &LoadProfile, server: ServerTraits) -> Self {
        let parallel = u64::from(server.parallel);
        let ctx = u64::from(profile.num_ctx).next_multiple_of(KV_STEP_TOKENS);
        let kv_elements = ctx
            .saturating_mul(parallel)
            .saturating_mul(shape.kv_elements_per_token);
        let kv_bytes = server
            .kv_type
            .bytes(kv_elements)
            .saturating_add(shape.recurrent_bytes.saturating_mul(parallel));
        // A batch never exceeds the context.
        let batch = u64::from(profile.num_batch).min(ctx);
        let compute_bytes = compute_bytes(shape, batch, ctx.saturating_mul(parallel), server);
        let repacked_bytes = if profile.use_mmap == Some(true) && server.llama_server {
            (shape.weights_bytes / 1000).saturating_mul(REPACKED_THOUSANDTHS)
        } else {
            0
        };
        let overhead_bytes = OVERHEAD_BYTES
            .max(OVERHEAD_BYTES.saturating_mul(shape.vocabulary) / OVERHEAD_VOCABULARY);
        let parts = [
            shape.weights_bytes,
            repacked_bytes,
            kv_bytes,
            compute_bytes,
            overhead_bytes,
        ];
        Self {
            weights_bytes: shape.weights_bytes,
            repacked_bytes,
            kv_bytes,
            compute_bytes,
            overhead_bytes,
            total_bytes: parts.into_iter().fold(0, u64::saturating_add),
        }
    }

    /// Returns the part that `/api/ps` counts too.
    #[cfg(test)]
    fn claimed_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.overhead_bytes)
    }
}

fn compute_bytes(shape: &ModelShape, batch: u64, ctx_all: u64, server: ServerTraits) -> u64 {
    if !server.llama_server {
        // The old engine: embeddings and the scores of all heads, in single precision.
        // Source: Ollama 0.24, fs/ggml, `GraphSize` of llama. Ollama issue 6148 logs 6.1 GiB.
        return batch.saturating_mul(4).saturating_mul(
            (1 + shape.embedding.saturating_mul(4))
                .saturating_add(ctx_all.saturating_mul(shape.heads.saturating_add(1))),
        );
    }
    // The mask alone, or the mask and the scores of all heads. Without flash attention the sum is
    // up to 27 MiB too high, because the widest point of the graph moves into the attention.
    let bytes_per_ctx = if server.flash_attention {
        2
    } else {
        shape.heads.saturating_mul(4).saturating_add(4)
    };
    batch.saturating_mul(
        shape
            .compute_bytes_per_batch_token
            .saturating_add(ctx_all.saturating_mul(bytes_per_ctx)),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::shape::tests::llama32;
    use super::*;

    const MIB: u64 = 1 << 20;
    const TENSORS_BYTES: u64 = 2_011_540_890; // 1918.35 MiB, as llama-server prints it

    fn llama() -> ModelShape {
        ModelShape::new(&llama32(), TENSORS_BYTES).unwrap()
    }

    fn server(kv_type: KvType) -> ServerTraits {
        ServerTraits {
            kv_type,
            ..ServerTraits::default()
        }
    }

    fn mib(bytes: u64) -> u64 {
        (bytes + MIB / 2) / MIB
    }

    /// Checks one row of the table, in MiB: KV for each type, compute, and the total for each type.
    fn check(num_ctx: u32, kv: [u64; 3], compute: u64, totals: [u64; 3]) {
        let types = [KvType::F16, KvType::Q8_0, KvType::Q4_0];
        let shape = llama();
        for ((kv_type, expected), total) in types.into_iter().zip(kv).zip(totals) {
            let estimate = Estimate::new(&shape, &LoadProfile::new(num_ctx), server(kv_type));
            assert_eq!(estimate.kv_bytes, expected * MIB, "{num_ctx} {kv_type:?}");
            assert_eq!(estimate.compute_bytes, compute * MIB, "{num_ctx}");
            let claimed = mib(estimate.claimed_bytes());
            assert_eq!(claimed, total, "{num_ctx} {kv_type:?}");
        }
    }

    #[test]
    fn llama32_matches_its_table() {
        check(2048, [224, 119, 63], 73, [2215, 2110, 2054]);
        check(4096, [448, 238, 126], 75, [2441, 2231, 2119]);
        check(8192, [896, 476, 252], 79, [2893, 2473, 2249]);
        check(16384, [1792, 952, 504], 87, [3797, 2957, 2509]);
        check(32768, [3584, 1904, 1008], 103, [5605, 3925, 3029]);
        check(131_072, [14336, 7616, 4032], 199, [16453, 9733, 6149]);
    }

    #[test]
    fn larger_batches_match_the_table() {
        for (num_ctx, num_batch, expected) in
            [(8192, 1024, 158), (32768, 1024, 206), (131_072, 2048, 796)]
        {
            let mut profile = LoadProfile::new(num_ctx);
            profile.num_batch = num_batch;
            let estimate = Estimate::new(&llama(), &profile, ServerTraits::default());
            assert_eq!(
                estimate.compute_bytes,
                expected * MIB,
                "{num_ctx} {num_batch}"
            );
        }
    }

    /// 8 layers, 4 KV heads of 128, 16 heads, 32,000 tokens: measured on llama-server 11669.
    fn measured() -> ModelShape {
        ModelShape {
            kv_elements_per_token: 8 * 4 * 256,
            compute_bytes_per_batch_token: 108_585,
            heads: 16,
            vocabulary: 32_000,
            ..llama()
        }
    }

    #[test]
    fn measured_cache_is_matched_exactly() {
        let types = [(KvType::F16, 128), (KvType::Q8_0, 68), (KvType::Q4_0, 36)];
        for (kv_type, expected) in types {
            let estimate = Estimate::new(&measured(), &LoadProfile::new(8192), server(kv_type));
            assert_eq!(estimate.kv_bytes, expected * MIB);
        }
    }

    #[test]
    fn measured_compute_is_matched_to_a_hundredth_of_a_mib() {
        let hundredths = |bytes: u64| (bytes * 100 + MIB / 2) / MIB;
        for (num_ctx, expected) in [(2048, 55_02), (8192, 61_02), (32768, 85_02)] {
            for times in [1, 2, 4] {
                let mut profile = LoadProfile::new(num_ctx);
                profile.num_batch = 512 * times;
                let estimate = Estimate::new(&measured(), &profile, ServerTraits::default());
                let computed = hundredths(estimate.compute_bytes);
                assert!(
                    computed.abs_diff(expected * u64::from(times)) <= 2,
                    "{computed}"
                );
            }
        }
    }

    #[test]
    fn without_flash_attention_the_bound_is_close() {
        let server = ServerTraits {
            flash_attention: false,
            ..ServerTraits::default()
        };
        for (num_ctx, measured_mib) in [(8192, 298), (32768, 1114)] {
            let estimate = Estimate::new(&measured(), &LoadProfile::new(num_ctx), server);
            let computed = mib(estimate.compute_bytes);
            assert!(
                (measured_mib..=measured_mib + 28).contains(&computed),
                "{computed}"
            );
        }
    }

    #[test]
    fn old_engine_matches_a_published_log() {
        // Ollama issue 6148: llama3.2:3b, 128000 tokens in all, kv 13.7 GiB, graph 6.1 GiB.
        let server = ServerTraits {
            llama_server: false,
            ..ServerTraits::default()
        };
        let estimate = Estimate::new(&llama(), &LoadProfile::new(128_000), server);
        let tenths = |bytes: u64| (bytes * 10 + (1 << 29)) >> 30;
        assert_eq!(tenths(estimate.kv_bytes), 137);
        assert_eq!(tenths(estimate.compute_bytes), 61);
    }

    #[test]
    fn mapping_adds_the_repacked_copy() {
        let mut profile = LoadProfile::new(4096);
        profile.use_mmap = Some(true);
        let estimate = Estimate::new(&llama(), &profile, ServerTraits::default());
        assert_eq!(estimate.repacked_bytes / MIB, 1300);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn estimate_never_falls_when_something_rises(
            weights in 0..u64::MAX, kv in 0u64..1 << 24, compute in 0u64..1 << 24,
            heads in 0u64..512, ctx in 4u32..1 << 20, more in 0u32..1 << 20, batch in 1u32..4096,
            parallel in 1u32..8, flash_attention: bool, llama_server: bool,
        ) {
            let shape = ModelShape {
                weights_bytes: weights,
                kv_elements_per_token: kv,
                compute_bytes_per_batch_token: compute,
                heads,
                ..llama()
            };
            let kv_type = KvType::F16;
            let server = ServerTraits { parallel, flash_attention, llama_server, kv_type };
            let mut profile = LoadProfile::new(ctx);
            profile.num_batch = batch;
            let small = Estimate::new(&shape, &profile, server);
            profile.num_ctx += more;
            profile.num_batch += more / 16;
            let large = Estimate::new(&shape, &profile, server);
            prop_assert!(small.total_bytes <= large.total_bytes);
            let parts = [
                small.weights_bytes, small.repacked_bytes, small.kv_bytes, small.compute_bytes,
                small.overhead_bytes,
            ];
            let sum = parts.into_iter().fold(0u64, u64::saturating_add);
            prop_assert_eq!(sum, small.total_bytes);
        }
    }
}
