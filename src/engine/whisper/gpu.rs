//! Whether whisper.cpp will find the GPU that it was built for.

use whisper_rs::whisper_rs_sys as sys;

/// A back end for GPUs is compiled in.
const IS_BUILT_FOR_GPUS: bool = cfg!(any(feature = "cuda", feature = "metal", feature = "vulkan"));

/// Logs a warning when a GPU is wanted and compiled in but absent: whisper.cpp then computes on the
/// CPU and mentions it only among its notes. If a GPU is there and cannot be initialized,
/// whisper.cpp logs an error itself.
pub(super) fn warn_if_missing(use_gpu: bool) {
    if use_gpu && IS_BUILT_FOR_GPUS && !is_present() {
        tracing::warn!(
            "no GPU was found, so Whisper runs on the CPU; check the driver, or set `use_gpu` to \
             false"
        );
    }
}

/// Returns whether ggml has a device of the kinds that whisper.cpp takes for GPUs.
#[expect(unsafe_code, reason = "whisper-rs has no safe list of devices")]
fn is_present() -> bool {
    let kinds = [
        sys::ggml_backend_dev_type_GGML_BACKEND_DEVICE_TYPE_GPU,
        sys::ggml_backend_dev_type_GGML_BACKEND_DEVICE_TYPE_IGPU,
    ];
    kinds.into_iter().any(|kind| {
        // SAFETY: the function takes a number, reads ggml's list of devices, which is made at its
        // first use and never changes, and returns null or a pointer that is not used here.
        let device = unsafe { sys::ggml_backend_dev_by_type(kind) };
        !device.is_null()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_gpus_finds_none() {
        assert!(IS_BUILT_FOR_GPUS || !is_present());
    }
}
