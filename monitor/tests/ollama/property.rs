//! Anything may happen in any order.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use steadyscribe_monitor::ollama::{Cancel, KeepAlive, Lease, LoadProfile, ModelState, Prompt};

use crate::fake::model::Model;
use crate::fake::{Fault, Setup};
use crate::lifecycle::World;

const MIB: u64 = 1 << 20;
const MODELS: [(&str, u64); 4] = [("a:1b", 100), ("b:1b", 300), ("c:1b", 600), ("d:1b", 900)];
const IDLE_S: u64 = 300;

#[derive(Clone, Debug)]
enum Act {
    Lease(usize),
    Drop(usize),
    Generate(usize),
    Tick,
    Pass(u64),
    Restart,
    Crash(usize),
    OtherLoads(usize, u32),
    OtherUnloads(usize),
    Limit(u64),
    Context(u32),
    Machine(u64),
    Break(Fault),
    Unload(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let model = 0..MODELS.len();
    let context = prop::sample::select(vec![2048u32, 4096, 8192]);
    let fault = prop::sample::select(vec![
        Fault::Reset,
        Fault::HalfBody,
        Fault::Unknown500,
        Fault::LoadKilled,
        Fault::LoadFailed,
        Fault::QueueFull,
        Fault::Truncated,
        Fault::ErrorInStream,
    ]);
    prop_oneof![
        6 => model.clone().prop_map(Act::Lease),
        5 => (0usize..4).prop_map(Act::Drop),
        2 => (0usize..4).prop_map(Act::Generate),
        3 => Just(Act::Tick),
        3 => (1u64..200).prop_map(Act::Pass),
        1 => Just(Act::Restart),
        1 => model.clone().prop_map(Act::Crash),
        1 => (model.clone(), context.clone()).prop_map(|(model, ctx)| Act::OtherLoads(model, ctx)),
        1 => model.clone().prop_map(Act::OtherUnloads),
        1 => (500u64..3000).prop_map(Act::Limit),
        1 => context.prop_map(Act::Context),
        1 => (1200u64..3000).prop_map(Act::Machine),
        1 => fault.prop_map(Act::Break),
        1 => model.prop_map(Act::Unload),
    ]
}

/// The world, and the invariants that must hold in it.
struct Play {
    world: World,
    leases: Vec<Lease>,
    /// Leased models that another program unloaded. The next request loads them again.
    taken_away: BTreeSet<String>,
    /// Whether another program has loaded a model since the server started. The manager cannot
    /// reserve places against other programs.
    others_load: bool,
    limit_bytes: u64,
    ctx_max: u32,
}

impl Play {
    fn new() -> Self {
        let models = MODELS.map(|(name, mib)| Model::small(name, mib * MIB));
        Self {
            world: World::new(Setup::of(models)),
            leases: Vec::new(),
            taken_away: BTreeSet::new(),
            others_load: false,
            limit_bytes: u64::MAX,
            ctx_max: 8192,
        }
    }

    fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        let name = |n: &usize| MODELS[*n].0;
        match act {
            Act::Lease(n) => self.lease(name(n))?,
            Act::Drop(n) if *n < self.leases.len() => drop(self.leases.remove(*n)),
            Act::Generate(n) if *n < self.leases.len() => self.generate(*n)?,
            Act::Tick => drop(self.world.manager.tick()),
            Act::Pass(seconds) => {
                // An app calls tick twice in an idle time, so that the server keeps silent leases.
                self.world.clock.advance(Duration::from_secs(*seconds));
                if self.world.manager.tick().is_err() {
                    self.world.manager.tick().ok(); // the app's next one, a second later
                }
            }
            Act::Restart => {
                self.world.fake.restart();
                self.others_load = false;
                self.taken_away
                    .extend(MODELS.map(|model| model.0.to_owned()));
            }
            Act::Crash(n) => {
                self.world.fake.shared.scheduler.crash(name(n));
                self.taken_away.insert(name(n).to_owned());
            }
            Act::OtherLoads(n, ctx) if !self.is_leased(name(n)) => {
                let profile = LoadProfile::new(*ctx);
                self.world
                    .fake
                    .client()
                    .load(name(n), &profile, KeepAlive::Forever, None)
                    .ok();
                self.others_load = true;
                // With four models for three places, the server chooses a victim by its own rules.
                self.taken_away
                    .extend(MODELS.map(|model| model.0.to_owned()));
            }
            Act::OtherUnloads(n) => {
                self.world.fake.client().request_unload(name(n)).ok();
                self.taken_away.insert(name(n).to_owned());
            }
            Act::Limit(mib) => {
                self.limit_bytes = mib * MIB;
                self.world.manager.set_model_cache_size(*mib).ok();
            }
            Act::Context(ctx) => {
                self.ctx_max = *ctx;
                self.world.manager.optimize_context_window(*ctx);
            }
            Act::Machine(mib) => self.world.probe.set_total(mib * MIB),
            Act::Break(fault) => self.world.fake.fault(*fault),
            Act::Unload(n) => drop(self.world.manager.unload(name(n))),
            _ => {}
        }
        if !matches!(act, Act::Break(_)) {
            self.world.fake.clear_faults();
        }
        self.check()
    }

    fn is_leased(&self, name: &str) -> bool {
        self.leases.iter().any(|lease| lease.model() == name)
    }

    fn loads(&self) -> usize {
        self.world.fake.shared.scheduler.loads()
    }

    fn lease(&mut self, name: &str) -> Result<(), TestCaseError> {
        let (loads, was_leased) = (self.loads(), self.is_leased(name));
        let Ok(lease) = self.world.lease(name) else {
            return Ok(());
        };
        if was_leased {
            prop_assert_eq!(self.loads(), loads, "a model in use is shared");
        } else {
            prop_assert!(lease.profile().num_ctx <= self.ctx_max);
            self.taken_away.remove(name);
        }
        if self.loads() > loads {
            let managed = self.managed_bytes()?;
            prop_assert!(
                managed <= self.limit_bytes,
                "{} of {}",
                managed,
                self.limit_bytes
            );
            let available = *self.world.probe.total_bytes.lock().unwrap();
            prop_assert!(
                self.world.probe.processes.bytes() <= available,
                "machine is overfull"
            );
        }
        self.leases.push(lease);
        Ok(())
    }

    fn generate(&mut self, n: usize) -> Result<(), TestCaseError> {
        let (lease, loads) = (&self.leases[n], self.loads());
        let prompt = Prompt::text("hello")
            .option("num_ctx", 4)
            .option("temperature", 0.1);
        let answered = lease
            .generate(&prompt, &Cancel::new())
            .and_then(|answers| answers.collect_text());
        if self.others_load && self.loads() > loads {
            // It was gone, and its reload may have taken the place of any other model.
            self.taken_away
                .extend(MODELS.map(|model| model.0.to_owned()));
        }
        if answered.is_ok() {
            self.taken_away.remove(lease.model());
        }
        let bodies = self.world.fake.bodies("/api/generate");
        let body = bodies.iter().rfind(|body| body["prompt"] == "hello");
        if let Some(body) = body.filter(|_| answered.is_ok()) {
            prop_assert_eq!(&body["options"]["num_ctx"], lease.profile().num_ctx);
            prop_assert_eq!(&body["options"]["num_batch"], 512);
        }
        Ok(())
    }

    fn managed_bytes(&self) -> Result<u64, TestCaseError> {
        let report = self.world.manager.get_model_memory_usage();
        let report = report.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let managed = report.loaded_models.iter().filter(|model| model.is_managed);
        Ok(managed.map(|model| model.memory_usage).sum())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert!(
            self.world.probe.processes.most_at_once() <= 1,
            "no model is loaded twice"
        );
        let names = self.world.fake.shared.scheduler.names();
        for lease in &self.leases {
            let name = lease.model();
            prop_assert!(
                names.iter().any(|listed| listed == name) || self.taken_away.contains(name),
                "{} is leased and gone",
                name
            );
        }
        Ok(())
    }

    /// Checks that no managed model is left once all leases have ended.
    fn end(mut self) -> Result<(), TestCaseError> {
        self.world.fake.clear_faults();
        self.leases.clear();
        self.world.clock.advance(Duration::from_secs(IDLE_S));
        let ended = self
            .world
            .manager
            .tick()
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(ended.is_clean());
        prop_assert!(ended.kept.is_empty());
        prop_assert_eq!(self.managed_bytes()?, 0);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 120, max_shrink_iters: 200, ..ProptestConfig::default()
    })]

    /// Feature: meetily-memory-optimization, Property 2: Ollama Model Lifecycle Management
    ///
    /// Models are loaded only on request, shared, and never loaded twice. They are unloaded after
    /// the idle time, and never while they are in use. Every request repeats batch and context. At
    /// every load, context and sum of sizes are within the limits. Whatever other programs do, the
    /// manager converges to the state of the server.
    #[test]
    fn models_are_loaded_on_demand_shared_and_gone_when_unused(
        acts in prop::collection::vec(act(), 5..25),
    ) {
        let mut play = Play::new();
        prop_assert_eq!(play.loads(), 0);
        for act in &acts {
            play.act(act)?;
        }
        play.end()?;
    }
}

#[test]
fn leased_model_keeps_its_place_across_a_restart() {
    let mut play = Play::new();
    let before = [Act::Lease(0), Act::Lease(2), Act::Lease(2), Act::Drop(0)];
    let after = [Act::Lease(0), Act::Restart, Act::Generate(2), Act::Lease(1)];
    for act in before.iter().chain(&after) {
        play.act(act).unwrap();
    }
    assert_eq!(play.leases.len(), 4);
    // Three models are in use, although the server lists two. A fourth one would replace one.
    play.act(&Act::Lease(3)).unwrap();
    assert_eq!(play.leases.len(), 4, "refused");
    play.act(&Act::Generate(0)).unwrap();
    assert_eq!(play.world.fake.shared.scheduler.names().len(), 3);
    play.end().unwrap();
}

#[test]
fn late_second_lease_resets_the_timer() {
    let mut play = Play::new();
    let unused = [Act::Lease(0), Act::Drop(0), Act::Pass(150), Act::Pass(149)];
    for act in unused.iter().chain(&[Act::Lease(0), Act::Pass(150)]) {
        play.act(act).unwrap();
    }
    assert_eq!(play.loads(), 1, "nothing was loaded again");
    play.end().unwrap();
}

/// A reproducible sequence of numbers.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        // xorshift64*. Source: Vigna, "An experimental exploration of Marsaglia's xorshift
        // generators, scrambled", 2016.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

#[test]
fn thousand_operations_in_a_row_leave_nothing_behind() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut play = Play::new();
    for n in 0..1000 {
        let act = act().new_tree(&mut runner).unwrap().current();
        play.act(&act)
            .unwrap_or_else(|error| panic!("{n}: {act:?}: {error}"));
    }
    assert!(play.loads() > 50, "{} loads", play.loads());
    play.end().unwrap();
}

#[test]
fn ten_callers_of_a_hundred_operations_converge() {
    let models = MODELS.map(|(name, mib)| Model::small(name, mib * MIB));
    let world = World::new(Setup {
        load_ms: 2,
        unload_ms: 2,
        ..Setup::of(models)
    });
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for caller in 0..10 {
            let (world, done) = (&world, &done);
            scope.spawn(move || {
                let mut numbers = Numbers(caller + 1);
                for _ in 0..100 {
                    operate(world, &mut numbers);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 1000, "no caller hangs");
    assert!(
        world.probe.processes.most_at_once() <= 1,
        "no model is loaded twice"
    );
    world.fake.clear_faults();
    world.clock.advance(Duration::from_secs(IDLE_S));
    let ended = world.manager.tick().unwrap();
    assert!(ended.is_clean() && ended.kept.is_empty(), "{ended:?}");
    // No remaining model is managed, and apart from ghosts the report equals the server's list.
    let report = world.manager.get_model_memory_usage().unwrap();
    assert!(report.loaded_models.iter().all(|model| !model.is_managed));
    let mut listed: Vec<String> = report
        .loaded_models
        .into_iter()
        .filter(|model| model.state != ModelState::Ghost)
        .map(|model| model.name)
        .collect();
    let mut held = world.names();
    listed.sort();
    held.sort();
    assert_eq!(listed, held);
}

/// Performs one operation of a caller, of another program, or of the machine.
fn operate(world: &World, numbers: &mut Numbers) {
    let name = MODELS[usize::try_from(numbers.next(4)).unwrap()].0;
    match numbers.next(12) {
        0..=4 => {
            if let Ok(lease) = world.lease(name) {
                let prompt = Prompt::text("hello");
                let answers = lease.generate(&prompt, &Cancel::new());
                drop(answers.map(|answers| answers.collect_text()));
                if numbers.next(2) == 0 {
                    drop(lease.finish());
                }
            }
        }
        5 => drop(world.manager.tick()),
        6 => drop(world.manager.unload(name)),
        7 => drop(world.manager.unload_unused_models()),
        8 => world.clock.advance(Duration::from_secs(numbers.next(100))),
        9 => drop(world.manager.set_model_cache_size(500 + numbers.next(2000))),
        10 if numbers.next(4) == 0 => world.fake.restart(),
        10 => world.fake.shared.scheduler.crash(name),
        _ => world.fake.fault(
            [
                Fault::Reset,
                Fault::HalfBody,
                Fault::Unknown500,
                Fault::QueueFull,
            ][usize::try_from(numbers.next(4)).unwrap()],
        ),
    }
}
