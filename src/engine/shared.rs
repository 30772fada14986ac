//! One engine for several transcribers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Engine, EngineCounts, EngineError, Heard, Held, Request};
use crate::budget::Footprint;

/// An engine that several transcribers take turns on, one window at a time: each has a clone.
///
/// The model and its working memory are there once. Windows of one transcript are heard in order, with that transcript's own
/// previous text; between them the others have their turns. The memory is given back when all clones have asked for that since
/// they last used it. The plan of each transcriber counts all of the engine, and of the transcribers only itself.
///
/// Each transcript has its own language, so that channels may differ in it.
///
/// A transcriber waits for at most one window of each of the others. Where memory is there for it, `Whisper::another` gives each a state of
/// its own on the same weights, and `Whisper::crew` chooses between the two by the budget.
///
/// # Examples
///
/// ```
/// use steadyscribe::engine::{Scripted, Shared};
/// use steadyscribe::{Config, Transcriber};
///
/// let engine = Shared::new(Scripted::default());
/// let microphone = Transcriber::new(Config::default(), engine.clone())?;
/// let system = Transcriber::new(Config::default(), engine)?;
/// # let _ = (microphone, system);
/// # Ok::<(), steadyscribe::Error>(())
/// ```
#[derive(Debug)]
pub struct Shared<E> {
    common: Arc<Mutex<Common<E>>>,
    next_user: Arc<AtomicU64>,
    user: u64,
    name: String,
    /// How the plan of this clone's transcriber runs the engine.
    chosen: Option<Footprint>,
    counts: EngineCounts,
}

#[derive(Debug)]
struct Common<E> {
    engine: E,
    /// Who was heard last, if the engine still knows what it computed for that.
    last: Option<u64>,
    /// Who has used the engine and not given it back since.
    using: Vec<u64>,
}

impl<E: Engine> Shared<E> {
    /// Takes an engine; clones of what is returned share it.
    pub fn new(engine: E) -> Self {
        Self {
            name: engine.name().to_owned(),
            common: Arc::new(Mutex::new(Common {
                engine,
                last: None,
                using: Vec::new(),
            })),
            next_user: Arc::new(AtomicU64::new(1)),
            user: 0,
            chosen: None,
            counts: EngineCounts::default(),
        }
    }

    /// A panic of the engine ended the transcription of one clone; for the others it stands as it was left.
    fn common(&self) -> MutexGuard<'_, Common<E>> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives something back if nobody else uses the engine.
    fn give_back(&self, give: impl FnOnce(&mut E) -> bool) -> bool {
        let mut common = self.common();
        common.using.retain(|user| *user != self.user);
        common.using.is_empty() && {
            common.last = None;
            give(&mut common.engine)
        }
    }
}

impl<E> Clone for Shared<E> {
    fn clone(&self) -> Self {
        Self {
            common: Arc::clone(&self.common),
            next_user: Arc::clone(&self.next_user),
            user: self.next_user.fetch_add(1, Ordering::Relaxed),
            name: self.name.clone(),
            chosen: None,
            counts: EngineCounts::default(),
        }
    }
}

impl<E: Engine> Engine for Shared<E> {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> Vec<(String, String)> {
        self.common().engine.identity()
    }

    fn footprints(&self) -> Vec<Footprint> {
        self.common().engine.footprints()
    }

    fn prepare(&mut self, chosen: &Footprint) -> Result<(), EngineError> {
        self.chosen = Some(*chosen);
        self.common().prepare(self.user, self.chosen.as_ref())
    }

    fn warm_up(&mut self) -> Result<(), EngineError> {
        let mut common = self.common();
        common.last = None;
        common.engine.warm_up()
    }

    fn transcribe(&mut self, window: &[f32], request: &Request<'_>) -> Result<Heard, EngineError> {
        let mut common = self.common.lock().unwrap_or_else(PoisonError::into_inner);
        // Another clone may have given the model back meanwhile, or run the engine in another way.
        common.prepare(self.user, self.chosen.as_ref())?;
        let request = Request {
            again: request.again && common.last == Some(self.user),
            ..*request
        };
        common.last = Some(self.user);
        let before = common.engine.counts();
        let heard = common.engine.transcribe(window, &request);
        self.counts.add(common.engine.counts().since(before));
        heard
    }

    fn release_state(&mut self) -> bool {
        self.give_back(E::release_state)
    }

    fn unload(&mut self) -> bool {
        self.give_back(E::unload)
    }

    fn held(&self) -> Held {
        self.common().engine.held()
    }

    fn counts(&self) -> EngineCounts {
        self.counts
    }
}

impl<E: Engine> Common<E> {
    fn prepare(&mut self, user: u64, chosen: Option<&Footprint>) -> Result<(), EngineError> {
        if !self.using.contains(&user) {
            self.using.push(user);
        }
        chosen.map_or(Ok(()), |chosen| self.engine.prepare(chosen))
    }
}

impl<E> Drop for Shared<E> {
    fn drop(&mut self) {
        let mut common = self.common.lock().unwrap_or_else(PoisonError::into_inner);
        common.using.retain(|user| *user != self.user);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::cancel::Cancel;

    /// Counts what it is asked.
    #[derive(Clone, Debug, Default)]
    struct Asked {
        prepared: Arc<AtomicUsize>,
        again: Arc<AtomicUsize>,
        unloaded: Arc<AtomicUsize>,
    }

    impl Engine for Asked {
        fn name(&self) -> &str {
            "asked"
        }

        fn prepare(&mut self, _: &Footprint) -> Result<(), EngineError> {
            self.prepared.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn transcribe(&mut self, _: &[f32], request: &Request<'_>) -> Result<Heard, EngineError> {
            let again = usize::from(request.again);
            self.again.fetch_add(again, Ordering::Relaxed);
            Ok(Heard::default())
        }

        fn unload(&mut self) -> bool {
            self.unloaded.fetch_add(1, Ordering::Relaxed);
            true
        }
    }

    #[test]
    fn what_was_computed_for_one_is_not_used_for_another() {
        let asked = Asked::default();
        let mut one = Shared::new(asked.clone());
        let mut other = one.clone();
        let cancel = Cancel::new();
        let mut request = Request::new(&cancel);
        one.transcribe(&[0.0], &request).unwrap();
        request.again = true;
        one.transcribe(&[0.0], &request).unwrap();
        assert_eq!(asked.again.load(Ordering::Relaxed), 1);
        other.transcribe(&[0.0], &request).unwrap();
        one.transcribe(&[0.0], &request).unwrap();
        assert_eq!(asked.again.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_model_is_given_back_when_nobody_uses_it_and_is_there_when_one_does() {
        let asked = Asked::default();
        let mut one = Shared::new(asked.clone());
        let mut other = one.clone();
        for engine in [&mut one, &mut other] {
            engine.prepare(&Footprint::default()).unwrap();
        }
        assert!(!one.unload(), "the other uses it");
        assert!(other.unload());
        let before = asked.prepared.load(Ordering::Relaxed);
        let cancel = Cancel::new();
        one.transcribe(&[0.0], &Request::new(&cancel)).unwrap();
        assert_eq!(asked.prepared.load(Ordering::Relaxed), before + 1);
        drop(one);
        assert!(other.unload(), "the only one");
    }
}
