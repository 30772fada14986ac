use std::sync::atomic::AtomicUsize;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::*;
use crate::budget::{Footprint, Variant};

const MODEL_BYTES: u64 = 1_000;
const STATE_BYTES: u64 = 10;

/// How long a test waits for an event before it counts as hung.
const HANG: Duration = Duration::from_secs(60);

/// An engine whose windows last until the test lets them end, and that counts what exists.
#[derive(Clone)]
struct Gated {
    counts: Arc<Counts>,
    /// Receives the number of each window that starts.
    started: Sender<u64>,
    /// A window ends when it receives from here.
    gate: Receiver<()>,
}

#[derive(Debug, Default)]
struct Counts {
    loads: AtomicUsize,
    models: AtomicUsize,
    models_peak: AtomicUsize,
    states: AtomicUsize,
}

struct GatedModel(Gated);

struct GatedState(Arc<GatedModel>);

/// The test's side of a gated engine.
struct Control {
    counts: Arc<Counts>,
    started: Receiver<u64>,
    gate: Sender<()>,
}

impl Engine for Gated {
    fn name(&self) -> &str {
        "gated"
    }

    fn variants(&self) -> Vec<Variant> {
        let mut footprint = Footprint::default();
        (footprint.model_bytes, footprint.state_bytes) = (MODEL_BYTES, STATE_BYTES);
        vec![Variant::new("only", footprint)]
    }

    fn load(&self, _: &Variant) -> Result<Arc<dyn Model>, EngineError> {
        self.counts.loads.fetch_add(1, Ordering::SeqCst);
        let models = self.counts.models.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts.models_peak.fetch_max(models, Ordering::SeqCst);
        Ok(Arc::new(GatedModel(self.clone())))
    }
}

impl Model for GatedModel {
    fn new_state(self: Arc<Self>) -> Result<Box<dyn State>, EngineError> {
        self.0.counts.states.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(GatedState(self)))
    }
}

impl State for GatedState {
    fn transcribe(
        &mut self,
        _: &[f32],
        request: &Request<'_>,
    ) -> Result<Transcription, EngineError> {
        let engine = &self.0.0;
        let _ = engine.started.send(request.audio_id);
        engine
            .gate
            .recv_timeout(HANG)
            .expect("the test ends windows");
        Ok(Transcription::default())
    }
}

impl Drop for GatedModel {
    fn drop(&mut self) {
        self.0.counts.models.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for GatedState {
    fn drop(&mut self) {
        self.0.0.counts.states.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Control {
    fn models(&self) -> usize {
        self.counts.models.load(Ordering::SeqCst)
    }

    fn states(&self) -> usize {
        self.counts.states.load(Ordering::SeqCst)
    }

    fn wait_for_start(&self) -> u64 {
        self.started.recv_timeout(HANG).expect("a window starts")
    }

    fn end_window(&self) {
        self.gate.send(()).expect("a window waits");
    }
}

/// A pool with as many states as transcribers, and no idle timers unless `config` has some.
fn pool(config: &Config, transcribers: usize) -> (EnginePool, Control) {
    let (started_in, started) = bounded(64);
    let (gate_in, gate) = bounded(64);
    let counts = Arc::new(Counts::default());
    let engine = Gated {
        counts: Arc::clone(&counts),
        started: started_in,
        gate,
    };
    let pool = EnginePool::new(config, engine, transcribers).expect("it fits");
    let control = Control {
        counts,
        started,
        gate: gate_in,
    };
    (pool, control)
}

fn without_timers() -> Config {
    Config {
        release_state_after: None,
        unload_after: None,
        ..Config::default()
    }
}

fn transcribe(pool: &EnginePool, user: u64, audio_id: u64) -> Result<(), EngineError> {
    let cancel = Cancel::new();
    let request = Request::new(audio_id, &cancel);
    pool.transcribe(user, &[0.0], &request).map(drop)
}

/// Waits for another thread to bring something about.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < HANG, "never: {what}");
        thread::yield_now();
    }
}

#[test]
fn nothing_is_held_before_it_is_needed_and_all_of_it_is_given_back() {
    let (pool, control) = pool(&without_timers(), 2);
    assert_eq!(pool.held(), Held::default());
    pool.load().expect("it loads");
    assert_eq!(pool.held().total_bytes(), MODEL_BYTES);
    pool.warm_up().expect("it runs");
    assert_eq!(pool.held().total_bytes(), MODEL_BYTES + 2 * STATE_BYTES);
    assert_eq!(pool.gauges().held_bytes(), MODEL_BYTES + 2 * STATE_BYTES);
    let released = pool.reclaim();
    assert_eq!(
        (released.freed_bytes, released.pending_bytes),
        (2 * STATE_BYTES, 0)
    );
    let released = pool.unload();
    assert_eq!(
        (released.freed_bytes, released.pending_bytes),
        (MODEL_BYTES, 0)
    );
    assert_eq!(pool.unload(), Released::default());
    assert_eq!((control.models(), control.states()), (0, 0));
    assert_eq!(pool.gauges().held_bytes(), 0);
}

#[test]
fn an_unload_in_the_middle_of_a_window_takes_effect_at_its_end() {
    let (pool, control) = pool(&without_timers(), 1);
    thread::scope(|scope| {
        let window = scope.spawn(|| transcribe(&pool, 0, 1));
        control.wait_for_start();
        // Neither waits for the window.
        assert_eq!(pool.held().total_bytes(), MODEL_BYTES + STATE_BYTES);
        let released = pool.unload();
        assert_eq!(released.freed_bytes, 0);
        assert_eq!(released.pending_bytes, MODEL_BYTES + STATE_BYTES);
        assert_eq!(control.models(), 1);
        control.end_window();
        window.join().expect("no panic").expect("a text");
    });
    assert_eq!((control.models(), control.states()), (0, 0));
    assert_eq!(pool.held(), Held::default());
}

#[test]
fn two_copies_of_a_model_never_exist() {
    let (pool, control) = pool(&without_timers(), 2);
    thread::scope(|scope| {
        let first = scope.spawn(|| transcribe(&pool, 0, 1));
        control.wait_for_start();
        pool.unload();
        // This one needs the model again, and has to wait until the first has given it up.
        let second = scope.spawn(|| transcribe(&pool, 1, 2));
        control.end_window();
        first.join().expect("no panic").expect("a text");
        assert_eq!(control.wait_for_start(), 2);
        control.end_window();
        second.join().expect("no panic").expect("a text");
    });
    assert_eq!(control.counts.loads.load(Ordering::SeqCst), 2);
    assert_eq!(control.counts.models_peak.load(Ordering::SeqCst), 1);
}

#[test]
fn windows_are_served_in_the_order_of_asking() {
    let mut config = without_timers();
    // Room for one state.
    let one = Plan::new(&config, &[Variant::default()], 3)
        .expect("no budget")
        .peak_bytes();
    config.memory_budget_bytes = Some(one + MODEL_BYTES + STATE_BYTES);
    let (pool, control) = pool(&config, 3);
    assert_eq!(pool.plan().states(), 1);
    thread::scope(|scope| {
        for audio_id in 0..3 {
            let pool = &pool;
            scope.spawn(move || transcribe(pool, audio_id, audio_id).expect("a text"));
            if audio_id == 0 {
                control.wait_for_start();
            }
            // The next one asks when this one waits.
            until("a waiting transcriber", || {
                pool.0.lock().waiting.len() as u64 == audio_id
            });
        }
        for audio_id in 1..3 {
            control.end_window();
            assert_eq!(control.wait_for_start(), audio_id);
        }
        control.end_window();
    });
}

#[test]
fn a_cancel_ends_the_wait_for_a_state() {
    let (pool, control) = pool(&without_timers(), 1);
    let cancel = Cancel::new();
    thread::scope(|scope| {
        let first = scope.spawn(|| transcribe(&pool, 0, 1));
        control.wait_for_start();
        let waiting = scope.spawn(|| {
            let request = Request::new(2, &cancel);
            pool.transcribe(1, &[0.0], &request).map(drop)
        });
        until("a waiting transcriber", || pool.0.lock().waiting.len() == 1);
        cancel.cancel();
        let ended = waiting.join().expect("no panic");
        assert!(matches!(ended, Err(EngineError::Cancelled)));
        control.end_window();
        first.join().expect("no panic").expect("a text");
    });
}

#[test]
fn idle_memory_is_freed_also_after_a_load_and_a_warm_up_alone() {
    let mut config = without_timers();
    config.release_state_after = Some(Duration::from_millis(20));
    config.unload_after = Some(Duration::from_millis(40));
    let (pool, control) = pool(&config, 1);
    for _ in 0..2 {
        pool.load().expect("it loads");
        until("an unloaded model", || pool.held() == Held::default());
        pool.warm_up().expect("it runs");
        until("an unloaded model", || pool.held() == Held::default());
        assert_eq!(pool.gauges().held_bytes(), 0);
    }
    assert_eq!((control.models(), control.states()), (0, 0));
}

#[test]
fn a_window_in_progress_is_not_idle() {
    let mut config = without_timers();
    config.unload_after = Some(Duration::ZERO);
    let (pool, control) = pool(&config, 1);
    thread::scope(|scope| {
        let window = scope.spawn(|| transcribe(&pool, 0, 1));
        control.wait_for_start();
        assert_eq!(pool.0.release_idle(), None);
        assert_eq!(control.models(), 1);
        control.end_window();
        window.join().expect("no panic").expect("a text");
    });
    until("an unloaded model", || pool.held() == Held::default());
}

/// An engine that fails in each way once.
struct Failing(AtomicUsize);

impl Engine for Failing {
    fn name(&self) -> &str {
        "failing"
    }

    fn load(&self, _: &Variant) -> Result<Arc<dyn Model>, EngineError> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Err(EngineError::Failed("no model".into())),
            1 => panic!("a bug"),
            _ => crate::engine::Scripted::default().load(&Variant::default()),
        }
    }
}

#[test]
fn a_load_that_fails_or_panics_can_be_repeated() {
    let pool = EnginePool::new(&without_timers(), Failing(AtomicUsize::new(0)), 1).expect("fits");
    assert!(matches!(pool.load(), Err(EngineError::Failed(_))));
    let panicked = thread::scope(|scope| scope.spawn(|| transcribe(&pool, 0, 0)).join());
    assert!(panicked.is_err());
    assert_eq!(pool.held(), Held::default());
    transcribe(&pool, 0, 0).expect("the third load works");
}

#[test]
fn a_pool_takes_as_many_transcribers_as_were_planned() {
    let (pool, _control) = pool(&without_timers(), 2);
    assert_eq!((pool.join(), pool.join()), (Ok(0), Ok(1)));
    assert!(matches!(pool.join(), Err(ConfigError::OutOfRange { .. })));
    pool.leave();
    assert_eq!(pool.join(), Ok(2));
}
