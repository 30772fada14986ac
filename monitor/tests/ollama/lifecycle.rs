//! Loading, sharing and unloading of models.
//!
//! Server, processes and time are simulated, so hours pass in milliseconds.

use std::sync::Arc;
use std::time::Duration;

use steadyscribe_monitor::ollama::{
    Cancel, Lease, Manager, ManagerError, ModelEvent, Prompt, Settings, UnloadReason,
};

use crate::fake::clock::Clock;
use crate::fake::model::Model;
use crate::fake::probe::FakeProbe;
use crate::fake::process::Counted;
use crate::fake::{Fake, Fault, Setup};

pub const MIB: u64 = 1 << 20;

/// A machine with 2 GiB, a server and a manager.
pub struct World {
    pub fake: Fake,
    pub manager: Manager,
    pub probe: Arc<FakeProbe>,
    pub clock: Clock,
}

impl World {
    pub fn new(setup: Setup) -> Self {
        Self::with(setup, Settings::default())
    }

    pub fn with(setup: Setup, settings: Settings) -> Self {
        let clock = Clock::default();
        let processes = Counted::default();
        let fake = Fake::start(setup, clock.clone(), Arc::new(processes.clone()));
        let probe = Arc::new(FakeProbe::new(clock.clone(), processes, 2048 * MIB));
        let manager = Manager::new(fake.client(), probe.clone(), settings);
        Self {
            fake,
            manager,
            probe,
            clock,
        }
    }

    pub fn lease(&self, model: &str) -> Result<Lease, ManagerError> {
        self.manager.lease(model, &Cancel::new())
    }

    pub fn loads(&self) -> usize {
        self.fake.shared.scheduler.loads()
    }

    pub fn names(&self) -> Vec<String> {
        self.fake.shared.scheduler.names()
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub fn models(sizes_mib: &[u64]) -> Setup {
    let named = sizes_mib.iter().enumerate();
    Setup::of(named.map(|(n, mib)| Model::small(&format!("m{n}:1b"), mib * MIB)))
}

#[test]
fn nothing_is_loaded_before_a_lease() {
    let world = World::new(models(&[100]));
    assert_eq!(world.loads(), 0);
    let lease = world.lease("m0:1b").unwrap();
    assert_eq!(
        (
            world.loads(),
            lease.profile().num_ctx,
            lease.profile().num_batch
        ),
        (1, 8192, 512)
    );
    let answers = lease
        .generate(&Prompt::text("hello"), &Cancel::new())
        .unwrap();
    assert_eq!(answers.collect_text().unwrap().0, "one two three");
    assert_eq!(world.loads(), 1, "the generation used the loaded process");
}

#[test]
fn ten_callers_share_one_load() {
    let world = World::new(Setup {
        load_ms: 100,
        ..models(&[100])
    });
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| world.lease("m0:1b").unwrap()))
            .collect();
        let leases: Vec<Lease> = callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect();
        assert_eq!(leases.len(), 10);
        assert_eq!(world.loads(), 1);
    });
    assert_eq!(world.probe.processes.most_at_once(), 1);
}

#[test]
fn unused_model_is_unloaded_after_the_idle_time_and_not_before() {
    let world = World::new(models(&[100]));
    let lease = world.lease("m0:1b").unwrap();
    for _ in 0..10 {
        world.pass(150);
        let result = world.manager.tick().unwrap();
        assert!(result.unloaded.is_empty(), "it is in use");
    }
    assert_eq!(world.loads(), 1, "the server kept it");
    drop(lease);
    world.pass(299);
    assert!(world.manager.tick().unwrap().unloaded.is_empty());
    world.pass(1);
    let result = world.manager.tick().unwrap();
    let unloaded = &result.unloaded[0];
    assert!(unloaded.is_gone() && unloaded.gone_from_list);
    assert_eq!(
        (unloaded.process_ended, unloaded.memory_back),
        (Some(true), Some(true))
    );
    assert_eq!(result.memory_freed, unloaded.private_bytes.unwrap());
    assert!(unloaded.available_change_bytes.unwrap() > i64::try_from(100 * MIB).unwrap());
    assert!(world.names().is_empty());
}

#[test]
fn server_unloads_by_itself_without_a_manager() {
    let world = World::new(models(&[100]));
    drop(world.lease("m0:1b").unwrap());
    let body = world.fake.bodies("/api/generate").pop().unwrap();
    assert_eq!(body["keep_alive"], 330);
    world.pass(331);
    assert!(world.fake.client().running().unwrap().is_empty());
}

#[test]
fn least_recently_used_model_is_unloaded_first() {
    // The server would decide by keep-alive time and path.
    let world = World::new(models(&[500, 500, 500]));
    for name in ["m0:1b", "m1:1b", "m0:1b"] {
        drop(world.lease(name).unwrap());
        world.pass(10);
    }
    drop(world.lease("m2:1b").unwrap());
    let mut names = world.names();
    names.sort();
    assert_eq!(names, ["m0:1b", "m2:1b"]);
    let reasons = world.manager.events();
    assert!(reasons.contains(&ModelEvent::Unloaded {
        model: "m1:1b".to_owned(),
        reason: UnloadReason::LeastRecentlyUsed,
    }));
}

#[test]
fn model_in_use_is_never_unloaded() {
    let world = World::new(models(&[600, 600, 1000]));
    let first = world.lease("m0:1b").unwrap();
    let second = world.lease("m1:1b").unwrap();
    let error = world.lease("m2:1b").unwrap_err();
    let ManagerError::NoRoom { source, in_use, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(in_use, &["m0:1b", "m1:1b"]);
    assert!(source.missing_bytes() > 0);
    assert_eq!(world.loads(), 2, "nothing was loaded in vain");
    assert!(world.manager.unload("m0:1b").unwrap().unloaded.is_empty());
    drop((first, second));
    world.lease("m2:1b").unwrap();
}

#[test]
fn server_never_has_to_choose_a_victim() {
    let world = World::new(models(&[100, 100, 100, 100]));
    let mut leases: Vec<Lease> = ["m0:1b", "m1:1b", "m2:1b"]
        .into_iter()
        .map(|name| world.lease(name).unwrap())
        .collect();
    let error = world.lease("m3:1b").unwrap_err();
    assert!(
        matches!(error, ManagerError::TooMany { models_max: 3, .. }),
        "{error}"
    );
    leases.remove(1);
    world.lease("m3:1b").unwrap();
    assert_eq!(world.names(), ["m0:1b", "m2:1b", "m3:1b"]);
}

#[test]
fn nothing_is_unloaded_if_that_would_not_help() {
    let world = World::new(models(&[300, 5000]));
    drop(world.lease("m0:1b").unwrap());
    assert!(matches!(
        world.lease("m1:1b"),
        Err(ManagerError::NoRoom { .. })
    ));
    assert_eq!(world.names(), ["m0:1b"]);
}

#[test]
fn context_is_sized_to_what_is_left_and_shrinks_between_jobs() {
    let world = World::new(models(&[1000]));
    let lease = world.lease("m0:1b").unwrap();
    assert_eq!(lease.profile().num_ctx, 8192);
    // Other programs take memory, until less than the reserve is left. The lease continues, and the
    // next one gets a smaller context.
    world.probe.set_total(1590 * MIB);
    let second = world.lease("m0:1b").unwrap();
    assert_eq!(
        second.profile().num_ctx,
        8192,
        "shared with the first lease"
    );
    drop((lease, second));
    let lease = world.lease("m0:1b").unwrap();
    assert_eq!(lease.profile().num_ctx, 4096);
    assert_eq!(world.loads(), 2);
}

#[test]
fn smaller_context_limit_applies_to_the_next_lease() {
    let world = World::new(models(&[100]));
    let lease = world.lease("m0:1b").unwrap();
    world.manager.optimize_context_window(2048);
    assert_eq!(world.loads(), 1);
    drop(lease);
    assert_eq!(world.lease("m0:1b").unwrap().profile().num_ctx, 2048);
    assert_eq!(world.loads(), 2);
}

#[test]
fn failed_mapping_is_remembered() {
    let settings = Settings::default();
    let world = World::with(models(&[100]), settings);
    world.manager.configure_memory_mapping(true);
    world.fake.fault(Fault::MapFailed);
    let lease = world.lease("m0:1b").unwrap();
    assert_eq!(lease.profile().use_mmap, Some(false));
    drop(lease);
    world.manager.unload_unused_models().unwrap();
    assert_eq!(
        world.lease("m0:1b").unwrap().profile().use_mmap,
        Some(false)
    );
    assert_eq!(world.loads(), 3, "mapped (failed), not mapped, not mapped");
}

#[test]
fn killed_load_is_retried_with_a_smaller_context() {
    let world = World::new(models(&[100]));
    world.fake.fault(Fault::LoadKilled);
    world.fake.fault(Fault::LoadKilled);
    assert_eq!(world.lease("m0:1b").unwrap().profile().num_ctx, 2048);
    for _ in 0..3 {
        world.fake.fault(Fault::LoadKilled);
    }
    world.manager.unload_unused_models().unwrap();
    assert!(world.lease("m0:1b").is_err(), "not even the smallest");
    assert!(world.names().is_empty());
}

#[test]
fn clock_that_jumps_neither_hangs_nor_unloads_what_is_in_use() {
    let world = World::new(models(&[100, 100]));
    let used = world.lease("m0:1b").unwrap();
    drop(world.lease("m1:1b").unwrap());
    world.clock.set_back(Duration::from_secs(1 << 30));
    assert!(world.manager.tick().unwrap().unloaded.is_empty());
    // During a long suspend, the server has unloaded both models.
    world.pass(40_000);
    world.manager.tick().unwrap();
    let prompt = Prompt::text("hello");
    let answers = used.generate(&prompt, &Cancel::new()).unwrap();
    assert_eq!(answers.collect_text().unwrap().0, "one two three");
    assert_eq!(world.names(), ["m0:1b"]);
}
