//! Unloads: verified, requested again, reported as stuck, and killed only if that is allowed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadyscribe_monitor::ollama::{
    Cancel, KeepAlive, Lease, LoadProfile, Manager, ModelState, ModelUnloadResult, OllamaError,
    Prompt, Settings,
};

use crate::fake::Setup;
use crate::fake::model::Model;
use crate::fake::process::Processes;
use crate::lifecycle::{MIB, World, models};

#[test]
fn alias_of_the_same_weights_is_unloaded_under_its_first_name() {
    let model = Model::small("m0:1b", 100 * MIB);
    let world = World::new(Setup::of([model.clone(), model.alias("n:1b")]));
    drop(world.lease("m0:1b").unwrap());
    let result = world.manager.unload("n:1b").unwrap();
    assert!(result.is_clean());
    assert_eq!(result.unloaded[0].process_ended, Some(true));
    assert!(world.names().is_empty());
}

#[test]
fn stuck_unload_is_reported_with_its_process_and_never_killed() {
    let world = World::new(models(&[100]));
    drop(world.lease("m0:1b").unwrap());
    world.fake.shared.scheduler.never_end();
    let result = world.manager.unload_unused_models().unwrap();
    let stuck = result.unloaded[0].stuck.as_ref().unwrap();
    assert_eq!(stuck.process.unwrap().pid, 1);
    assert!(stuck.remedy.contains("process 1"), "{}", stuck.remedy);
    assert!(result.unloaded[0].waited_ms >= 30_000);
    assert_eq!(result.memory_freed, 0);
    assert_eq!(world.probe.processes.runners().len(), 1);
}

#[test]
fn lower_limit_unloads_until_it_is_kept() {
    let world = World::new(models(&[200, 200, 200]));
    let used = world.lease("m0:1b").unwrap();
    world.pass(1);
    drop(world.lease("m1:1b").unwrap());
    world.pass(1);
    drop(world.lease("m2:1b").unwrap());
    let result = world.manager.set_model_cache_size(700).unwrap();
    assert_eq!(result.unloaded[0].name, "m1:1b");
    assert_eq!(result.unloaded.len(), 1);
    assert!(world.manager.set_model_cache_size(10).unwrap().is_clean());
    assert_eq!(world.names(), ["m0:1b"], "the one in use stays");
    drop(used);
}

#[test]
fn hidden_cache_is_freed_after_the_job() {
    let setup = Setup {
        prompt_cache_bytes: 400 * MIB,
        ..models(&[100])
    };
    let world = World::new(setup);
    for jobs in 1..=2 {
        let lease = world.lease("m0:1b").unwrap();
        lease
            .generate(&Prompt::text("hello"), &Cancel::new())
            .unwrap()
            .collect_text()
            .unwrap();
        let freed = lease.finish().unwrap();
        assert_eq!(
            freed.is_some(),
            jobs == 2,
            "800 MiB exceeds the limit of 512 MiB"
        );
    }
    assert!(world.names().is_empty());
}

#[test]
fn hidden_cache_is_freed_by_a_tick_after_the_job() {
    let world = World::new(Setup {
        prompt_cache_bytes: 600 * MIB,
        ..models(&[100])
    });
    let lease = world.lease("m0:1b").unwrap();
    let answers = lease.generate(&Prompt::text("hello"), &Cancel::new());
    answers.unwrap().collect_text().unwrap();
    assert!(world.manager.tick().unwrap().unloaded.is_empty(), "in use");
    drop(lease);
    let result = world.manager.tick().unwrap();
    assert!(result.memory_freed >= 700 * MIB);
    let difference = result.unloaded[0].difference.as_deref().unwrap();
    assert!(
        difference.contains("more private memory than the server claims"),
        "{difference}"
    );
}

#[test]
fn stuck_process_is_killed_if_that_is_allowed() {
    let mut settings = Settings::default();
    settings.kill_stuck = true;
    let world = World::with(models(&[100]), settings);
    drop(world.lease("m0:1b").unwrap());
    world.fake.shared.scheduler.never_end();
    let result = world.manager.unload("m0:1b").unwrap();
    let unloaded = &result.unloaded[0];
    assert!(unloaded.killed && unloaded.is_gone());
    assert!(unloaded.waited_ms >= 30_000, "not before the limit");
    assert_eq!(unloaded.process_ended, Some(true));
}

fn derived() -> World {
    let model = Model::small("m0:1b", 100 * MIB);
    World::new(Setup::of([model.clone(), model.derived("n:1b")]))
}

#[test]
fn alias_shares_the_process_and_the_lease_of_the_first_name() {
    let world = derived();
    let first = world.lease("m0:1b").unwrap();
    world.manager.optimize_context_window(2048);
    let alias = world.lease("n:1b").unwrap();
    assert_eq!((alias.model(), alias.profile()), ("n:1b", first.profile()));
    let answers = alias.generate(&Prompt::text("hello"), &Cancel::new());
    answers.unwrap().collect_text().unwrap();
    assert_eq!(
        world.loads(),
        1,
        "another context would have reloaded the first"
    );
    drop(first);
    let kept = world.manager.unload_unused_models().unwrap();
    assert!(kept.unloaded.is_empty(), "the alias still uses it");
    drop(alias);
    assert_eq!(
        world.manager.unload_unused_models().unwrap().unloaded.len(),
        1
    );
}

#[test]
fn model_in_use_is_not_unloaded_under_another_name() {
    let world = derived();
    let lease: Lease = world.lease("m0:1b").unwrap();
    let result = world.manager.unload("n:1b").unwrap();
    assert!(result.unloaded.is_empty());
    assert_eq!(
        (result.kept[0].name.as_str(), result.kept[0].reason),
        ("m0:1b", "in use")
    );
    assert_eq!(world.names(), ["m0:1b"]);
    drop(lease);
    let result = world.manager.unload("n:1b").unwrap();
    assert_eq!(result.unloaded[0].process_ended, Some(true));
    assert!(world.names().is_empty());
}

#[test]
fn unload_of_a_loading_model_is_requested_until_it_succeeds() {
    let mut settings = Settings::default();
    settings.unload_max = Duration::from_secs(1200); // simulated time
    for minor in [24, 33] {
        let setup = Setup {
            minor,
            load_ms: 200,
            ..models(&[100])
        };
        let world = World::with(setup, settings.clone());
        let client = world.fake.client();
        std::thread::scope(|scope| {
            let keep = KeepAlive::Forever;
            let loading =
                scope.spawn(move || client.load("m0:1b", &LoadProfile::new(2048), keep, None));
            while world.loads() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            let result = world.manager.unload("m0:1b").unwrap();
            assert_eq!(result.unloaded[0].process_ended, Some(true), "0.{minor}");
            loading.join().unwrap().unwrap();
        });
        assert!(world.names().is_empty());
    }
}

#[test]
fn model_that_another_program_reloads_is_neither_waited_for_nor_killed() {
    let world = World::new(models(&[100]));
    drop(world.lease("m0:1b").unwrap());
    world.fake.shared.setup.lock().unwrap().unload_ms = 60_000;
    let fake = Arc::new(world.fake);
    let (server, others) = (Arc::clone(&fake), fake.client());
    let deed = move || {
        // The process ends, and another program loads the model at once.
        server.restart();
        let profile = LoadProfile::new(4096);
        others
            .load("m0:1b", &profile, KeepAlive::Forever, None)
            .unwrap();
    };
    world.probe.on_sleep(deed);
    let mut settings = world.manager.settings();
    settings.kill_stuck = true;
    let manager = Manager::new(fake.client(), world.probe.clone(), settings);
    let unloaded = manager.unload("m0:1b").unwrap().unloaded.remove(0);
    assert_eq!(unloaded.process_ended, Some(true), "the managed one");
    assert!(!unloaded.killed && unloaded.waited_ms < 30_000);
    let stuck = unloaded.stuck.unwrap();
    assert_eq!(stuck.process.unwrap().pid, 2);
    assert!(
        stuck.remedy.contains("has loaded it again"),
        "{}",
        stuck.remedy
    );
    assert_eq!(
        world.probe.processes.runners()[0].id.pid,
        2,
        "the other one is alive"
    );
}

#[test]
fn every_state_is_reported() {
    let setup = Setup {
        load_ms: 300,
        ..models(&[100])
    };
    let world = World::new(setup);
    let state = || world.manager.model_state("m0:1b").unwrap();
    assert_eq!(state(), ModelState::Absent);
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| world.lease("m0:1b").unwrap());
        while world.loads() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let report = world.manager.get_model_memory_usage().unwrap();
        let model = &report.loaded_models[0];
        assert_eq!(
            (model.name.as_str(), model.state),
            ("m0:1b", ModelState::Loading)
        );
        assert!(
            model.private_bytes >= Some(100 * MIB),
            "it is in memory, although it is not listed"
        );
        let lease = loading.join().unwrap();
        assert_eq!(state(), ModelState::Resident);
        drop(lease);
    });
    world.fake.shared.scheduler.crash("m0:1b");
    assert_eq!(state(), ModelState::Ghost);
    drop(world.lease("m0:1b").unwrap());
    let other = LoadProfile::new(2048);
    let client = world.fake.client();
    client
        .load("m0:1b", &other, KeepAlive::Forever, None)
        .unwrap();
    assert_eq!(state(), ModelState::ForeignReload);
    world.fake.shared.scheduler.never_end();
    assert!(!world.manager.unload("m0:1b").unwrap().is_clean());
    assert_eq!(state(), ModelState::Stopping);
    let report = world.manager.get_model_memory_usage().unwrap();
    assert_eq!(report.loaded_models[0].state, ModelState::Stopping);
    world.fake.restart();
    assert_eq!(state(), ModelState::Absent);
    let blob = Model::small("m0:1b", 0).blob;
    world.probe.processes.leave_orphan(&blob, 50 * MIB);
    assert_eq!(state(), ModelState::Orphan);
}

#[test]
fn orphans_are_reported_and_killed_only_if_that_is_allowed() {
    let blob = Model::small("m0:1b", 0).blob;
    for may_kill in [false, true] {
        let mut settings = Settings::default();
        settings.kill_stuck = may_kill;
        let world = World::with(models(&[100]), settings);
        let lease = world.lease("m0:1b").unwrap();
        let orphans = [
            world.probe.processes.leave_orphan(&blob, 50 * MIB),
            world
                .probe
                .processes
                .leave_orphan("/m/blobs/sha256-other", 30 * MIB),
        ];
        let seen: Vec<u32> = world
            .manager
            .orphans()
            .iter()
            .map(|runner| runner.id.pid)
            .collect();
        assert_eq!(seen, orphans);
        let result = world.manager.unload_orphans().unwrap();
        assert_eq!(result.unloaded.len(), 2);
        for (unloaded, pid) in result.unloaded.iter().zip(orphans) {
            assert!(unloaded.was_orphan);
            assert_eq!(unloaded.killed, may_kill);
            let stuck = unloaded
                .stuck
                .as_ref()
                .map(|stuck| stuck.process.unwrap().pid);
            assert_eq!(stuck, (!may_kill).then_some(pid));
        }
        assert_eq!(result.unloaded[0].name, "m0:1b", "named by its file");
        assert_eq!(result.memory_freed, if may_kill { 80 * MIB } else { 0 });
        assert_eq!(result.is_clean(), may_kill);
        assert_eq!(
            world.names(),
            ["m0:1b"],
            "the process of a running server stays"
        );
        drop(lease);
    }
}

#[test]
fn orphan_of_a_model_is_unloaded_with_it() {
    let mut settings = Settings::default();
    settings.kill_stuck = true;
    let world = World::with(models(&[100]), settings);
    let blob = Model::small("m0:1b", 0).blob;
    world.probe.processes.leave_orphan(&blob, 50 * MIB);
    world
        .probe
        .processes
        .leave_orphan("/m/blobs/sha256-other", 30 * MIB);
    let result = world.manager.unload("m0:1b").unwrap();
    assert_eq!(result.memory_freed, 50 * MIB);
    assert_eq!(
        world.manager.orphans().len(),
        1,
        "the other one was not requested"
    );
}

#[test]
fn listed_model_of_an_unrecognized_server_is_kept() {
    let mut settings = Settings::default();
    settings.kill_stuck = true;
    let world = World::with(models(&[100]), settings);
    drop(world.lease("m0:1b").unwrap());
    // The server may run under another name. Then the only process of a listed model has an unknown
    // parent.
    let blob = Model::small("m0:1b", 0).blob;
    world.probe.processes.kill(1);
    world.probe.processes.leave_orphan(&blob, 100 * MIB);
    let result = world.manager.unload_orphans().unwrap();
    assert!(result.unloaded.is_empty());
    let kept = result.kept.last().unwrap();
    assert_eq!(kept.reason, "the server lists it");
    assert_eq!(world.manager.orphans().len(), 1);
}

#[test]
fn orphans_are_ended_without_a_server() {
    let mut settings = Settings::default();
    settings.kill_stuck = true;
    let world = World::with(models(&[100]), settings);
    world
        .probe
        .processes
        .leave_orphan("/m/blobs/sha256-other", 30 * MIB);
    let World { fake, manager, .. } = world;
    drop(fake);
    assert!(manager.unload_orphans().unwrap().unloaded[0].killed);
}

/// A model whose process the server has forgotten, without ending it.
fn with_unlisted(settings: Settings) -> World {
    let world = World::with(models(&[100]), settings);
    drop(world.lease("m0:1b").unwrap());
    world.fake.shared.scheduler.lose("m0:1b");
    world
}

#[test]
fn process_that_the_server_does_not_list_is_not_loading() {
    let world = with_unlisted(Settings::default());
    let state = world.manager.model_state("m0:1b").unwrap();
    assert_eq!(format!("{state:?}"), "Unlisted");
    let report = world.manager.get_model_memory_usage().unwrap();
    let model = &report.loaded_models[0];
    assert_eq!(format!("{:?}", model.state), "Unlisted");
    assert_eq!(model.pid, Some(1));
    let advice = report.optimization_opportunities.join(" ");
    assert!(advice.contains("process 1 holds"), "{advice}");
}

#[test]
fn unlisted_process_that_grows_is_loading() {
    let world = with_unlisted(Settings::default());
    let grow = |world: &World| {
        let processes = world.probe.processes.clone();
        world.probe.on_sleep(move || processes.grow(1, MIB));
    };
    grow(&world);
    let state = world.manager.model_state("m0:1b").unwrap();
    assert_eq!(state, ModelState::Loading);
    grow(&world);
    let report = world.manager.get_model_memory_usage().unwrap();
    assert_eq!(report.loaded_models[0].state, ModelState::Loading);
}

/// Unloads from inside a load, in a callback of the probe, and returns the result.
fn unload_inside_a_load(
    world: &World,
    call: impl FnOnce(Manager) -> Result<ModelUnloadResult, OllamaError> + Send + 'static,
) -> Result<ModelUnloadResult, OllamaError> {
    drop(world.lease("m1:1b").unwrap());
    let result = Arc::new(Mutex::new(None));
    let (manager, slot) = (world.manager.clone(), Arc::clone(&result));
    world
        .probe
        .on_capacity(move || *slot.lock().unwrap() = Some(call(manager)));
    drop(world.lease("m0:1b").unwrap());
    let result = result.lock().unwrap().take();
    result.unwrap()
}

#[test]
fn unload_from_inside_a_load_is_refused_instead_of_deadlocking() {
    let world = World::new(models(&[100, 100]));
    let refused = unload_inside_a_load(&world, |manager| manager.unload("m1:1b"));
    let error = refused.unwrap_err();
    assert!(matches!(error, OllamaError::InFlight { .. }), "{error}");
    assert!(error.to_string().contains("try again when it has returned"));
    assert_eq!(world.names(), ["m1:1b", "m0:1b"]);
    // Once the load has returned, the same call succeeds.
    assert!(world.manager.unload("m1:1b").unwrap().is_clean());
    assert_eq!(world.names(), ["m0:1b"]);
}

#[test]
fn unload_on_another_thread_does_not_deadlock_a_load_that_waits_for_it() {
    let mut settings = Settings::default();
    settings.unload_max = Duration::from_millis(10);
    let world = World::with(models(&[100, 100]), settings);
    let refused = unload_inside_a_load(&world, |manager| {
        let governor = std::thread::spawn(move || manager.unload_unused_models());
        governor.join().unwrap()
    });
    let error = refused.unwrap_err();
    assert!(matches!(error, OllamaError::InFlight { .. }), "{error}");
}

#[test]
fn every_call_from_inside_a_load_returns() {
    let world = World::new(models(&[100, 100]));
    let refused = unload_inside_a_load(&world, |manager| {
        manager.tick()?;
        manager.get_model_memory_usage()?;
        manager.model_state("m1:1b")?;
        let leased = manager.lease("m1:1b", &Cancel::new());
        assert!(leased.is_err(), "a load inside a load");
        assert!(manager.unload_orphans().is_err());
        manager.set_model_cache_size(1000)
    });
    assert!(matches!(refused, Err(OllamaError::InFlight { .. })));
    assert_eq!(world.manager.settings().models_bytes_max, 1000 * MIB);
}
