//! The smallest engine: one function, without a model and without working memory.

use std::fmt;
use std::sync::Arc;

use super::{Engine, EngineError, Limits, Model, Request, State, Transcription};
use crate::budget::Variant;

/// Makes an engine of a function that transcribes a window, such as a call to a recognizer that the
/// host program has loaded already.
///
/// Several transcribers call it at once.
///
/// # Examples
///
/// ```
/// use steadyscribe::engine::{Transcription, from_fn};
/// use steadyscribe::{Config, Segment, Time, Transcriber};
///
/// let engine = from_fn("length", |window, _request| {
///     let end = Time::from_samples(window.len() as u64);
///     let text = format!("{} samples", window.len());
///     Ok(Transcription::new(vec![Segment::new(Time::ZERO, end, text)]))
/// });
/// let scribe = Transcriber::new(Config::default(), engine)?;
/// # let _ = scribe;
/// # Ok::<(), steadyscribe::Error>(())
/// ```
pub fn from_fn<F>(name: impl Into<String>, recognize: F) -> FnEngine<F>
where
    F: Fn(&[f32], &Request<'_>) -> Result<Transcription, EngineError> + Send + Sync + 'static,
{
    FnEngine {
        name: name.into(),
        limits: Limits::default(),
        recognize: Arc::new(recognize),
    }
}

/// An engine that calls a function: see [`from_fn`].
pub struct FnEngine<F> {
    name: String,
    limits: Limits,
    recognize: Arc<F>,
}

impl<F> FnEngine<F> {
    /// Declares the largest window and the longest previous text that the function accepts.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

impl<F> Engine for FnEngine<F>
where
    F: Fn(&[f32], &Request<'_>) -> Result<Transcription, EngineError> + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn load(&self, _: &Variant) -> Result<Arc<dyn Model>, EngineError> {
        Ok(Arc::new(FnState(Arc::clone(&self.recognize))))
    }
}

/// Both model and state: there is nothing to hold but the function.
struct FnState<F>(Arc<F>);

impl<F> Model for FnState<F>
where
    F: Fn(&[f32], &Request<'_>) -> Result<Transcription, EngineError> + Send + Sync + 'static,
{
    fn new_state(self: Arc<Self>) -> Result<Box<dyn State>, EngineError> {
        Ok(Box::new(Self(Arc::clone(&self.0))))
    }
}

impl<F> State for FnState<F>
where
    F: Fn(&[f32], &Request<'_>) -> Result<Transcription, EngineError> + Send + Sync + 'static,
{
    fn transcribe(
        &mut self,
        window: &[f32],
        request: &Request<'_>,
    ) -> Result<Transcription, EngineError> {
        (self.0)(window, request)
    }
}

impl<F> fmt::Debug for FnEngine<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnEngine")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
