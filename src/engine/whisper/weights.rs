//! The model's weights: loaded once, however many engines work with them.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use whisper_rs::{WhisperContext, WhisperContextParameters, WhisperError};

use crate::ggml::quiet_logs;

/// Where engines of one model find its weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(Arc<Mutex<Places>>);

/// Weights that some engine holds; whisper.cpp loads them for one kind of attention: whole, then flash.
type Places = [Weak<WhisperContext>; 2];

/// Weights that an engine holds. The last one to drop them frees them.
#[derive(Debug)]
pub(super) struct Weights {
    /// Always there, until it is dropped.
    context: Option<Arc<WhisperContext>>,
    shelf: Shelf,
}

impl Shelf {
    /// Takes the weights, and loads them if no engine holds them.
    pub(super) fn take(
        &self,
        path: &Path,
        flash_attention: bool,
        use_gpu: bool,
    ) -> Result<Weights, WhisperError> {
        // Held while they are loaded, so that of several engines that want them at once only one loads.
        let mut places = self.lock();
        let place = &mut places[usize::from(flash_attention)];
        let context = match place.upgrade() {
            Some(context) => context,
            None => {
                quiet_logs();
                let mut parameters = WhisperContextParameters::default();
                parameters.use_gpu(use_gpu).flash_attn(flash_attention);
                let context = Arc::new(WhisperContext::new_with_params(path, parameters)?);
                *place = Arc::downgrade(&context);
                context
            }
        };
        Ok(Weights {
            context: Some(context),
            shelf: self.clone(),
        })
    }

    /// A panic in another engine left the places as they were.
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weights {
    pub(super) fn context(&self) -> &WhisperContext {
        match &self.context {
            Some(context) => context,
            None => unreachable!("only dropping takes it"),
        }
    }

    /// Returns how many engines hold them, this one included.
    pub(super) fn holders(&self) -> u64 {
        self.context.as_ref().map_or(1, Arc::strong_count) as u64
    }
}

impl Drop for Weights {
    fn drop(&mut self) {
        // An engine that takes them meanwhile waits until they are freed, and does not load them beside themselves.
        let _places = self.shelf.lock();
        self.context = None;
    }
}
