//! An engine that takes no time and no memory.

use steadyscribe::engine::{Engine, EngineError, Heard, Request};
use steadyscribe::{Segment, Time};

/// Says one word for each window.
pub(crate) struct Instantly;

impl Engine for Instantly {
    fn name(&self) -> &str {
        "instantly"
    }

    fn transcribe(&mut self, window: &[f32], _: &Request<'_>) -> Result<Heard, EngineError> {
        let end = Time::from_samples(window.len() as u64);
        let said = Segment::new(Time::ZERO, end, "word");
        Ok(Heard::new(vec![said], window.len()))
    }
}
