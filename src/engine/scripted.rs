//! An engine that says what it is told, for tests of everything around an engine.

use super::{Engine, EngineCounts, EngineError, Heard, Request};
use crate::time::{Span, Time};
use crate::transcript::Segment;

/// An engine that knows beforehand what is said when, and says it in the windows that hold it.
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
    utterances: Vec<ScriptedUtterance>,
    counts: EngineCounts,
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
    /// Makes an engine that says `utterances`, which come in the order of time.
    #[must_use]
    pub fn new(utterances: Vec<ScriptedUtterance>) -> Self {
        Self {
            utterances,
            counts: EngineCounts::default(),
        }
    }
}

impl Engine for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn transcribe(&mut self, window: &[f32], request: &Request<'_>) -> Result<Heard, EngineError> {
        if request.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        if !request.again {
            self.counts.encodes += 1;
        }
        let seen = Span::new(
            request.at,
            request.at + Time::from_samples(window.len() as u64),
        );
        let mut heard = Heard {
            consumed: window.len(),
            ..Heard::default()
        };
        for said in self
            .utterances
            .iter()
            .filter(|said| said.span.start >= seen.start)
        {
            if said.span.start >= seen.end {
                break;
            }
            if said.span.end > seen.end && said.span.start > seen.start {
                heard.consumed = said.span.start.samples_since(seen.start);
                break;
            }
            let end = said.span.end.min(seen.end) - seen.start;
            heard
                .segments
                .push(Segment::new(said.span.start - seen.start, end, &*said.text));
        }
        Ok(heard)
    }

    fn counts(&self) -> EngineCounts {
        self.counts
    }
}
