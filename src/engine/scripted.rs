//! An engine with a script instead of a model, for tests of everything around an engine.

use std::sync::Arc;

use super::{
    Boundary, Engine, EngineCounts, EngineError, Limits, Model, Request, State, Transcription,
};
use crate::budget::Variant;
use crate::time::{Span, Time};
use crate::transcript::Segment;

/// An engine that is given in advance what is said when, and returns it for the windows that hold
/// it.
///
/// Like a real one it leaves an utterance that the window's end cuts to the next window.
///
/// # Examples
///
/// ```
/// use steadyscribe::engine::{Scripted, ScriptedUtterance};
/// use steadyscribe::{Span, Time};
///
/// let span = Span::new(Time::ZERO, Time::from_seconds(2.0));
/// let engine = Scripted::new(vec![ScriptedUtterance::new(span, "Good morning.")]);
/// # let _ = engine;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Scripted {
    utterances: Arc<[ScriptedUtterance]>,
}

/// What is said when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScriptedUtterance {
    /// When it is said.
    pub span: Span,
    /// What is said.
    pub text: String,
}

impl ScriptedUtterance {
    /// Makes an utterance.
    #[must_use]
    pub fn new(span: Span, text: impl Into<String>) -> Self {
        Self {
            span,
            text: text.into(),
        }
    }
}

impl Scripted {
    /// Makes an engine that returns `utterances`, which come in the order of time.
    #[must_use]
    pub fn new(utterances: Vec<ScriptedUtterance>) -> Self {
        Self {
            utterances: utterances.into(),
        }
    }
}

impl Engine for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn load(&self, _: &Variant) -> Result<Arc<dyn Model>, EngineError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Model for Scripted {
    fn new_state(self: Arc<Self>) -> Result<Box<dyn State>, EngineError> {
        Ok(Box::new(ScriptedState {
            script: self,
            audio_id: None,
        }))
    }
}

struct ScriptedState {
    script: Arc<Scripted>,
    /// The window of the last request.
    audio_id: Option<u64>,
}

impl State for ScriptedState {
    fn transcribe(
        &mut self,
        window: &[f32],
        request: &Request<'_>,
    ) -> Result<Transcription, EngineError> {
        if request.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let is_new = self.audio_id.replace(request.audio_id) != Some(request.audio_id);
        let length = Time::from_samples(window.len() as u64);
        let seen = Span::new(request.at, request.at + length);
        let mut answer = Transcription {
            counts: EngineCounts {
                encodes: u64::from(is_new),
                ..EngineCounts::default()
            },
            ..Transcription::default()
        };
        let mut end = length;
        let from = |utterance: &&ScriptedUtterance| utterance.span.start >= seen.start;
        for said in self.script.utterances.iter().filter(from) {
            if said.span.start >= seen.end {
                break;
            }
            if said.span.end > seen.end && said.span.start > seen.start {
                end = said.span.start - seen.start;
                break;
            }
            let text_end = said.span.end.min(seen.end) - seen.start;
            let start = said.span.start - seen.start;
            let segment = Segment::new(start, text_end, &*said.text);
            answer.segments.push(segment);
        }
        answer.boundaries = vec![Boundary::new(end, answer.segments.len(), 0)];
        Ok(answer)
    }
}
