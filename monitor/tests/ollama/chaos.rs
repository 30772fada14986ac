//! Faults of the connection and of the server.

use std::time::Duration;

use steadyscribe_monitor::ollama::{Cancel, ManagerError, OllamaError, Settings};

use crate::fake::model::Model;
use crate::fake::process::Processes;
use crate::fake::{Fault, Setup};
use crate::lifecycle::World;

fn small(load_ms: u64) -> Setup {
    Setup {
        load_ms,
        ..Setup::of([Model::small("m:1b", 100 << 20)])
    }
}

#[test]
fn every_broken_connection_is_an_error_and_a_retry_works() {
    let world = World::new(small(0));
    for fault in [Fault::Reset, Fault::HalfBody, Fault::Unknown500] {
        world.fake.fault(fault);
        let error = world.lease("m:1b").unwrap_err();
        assert!(
            matches!(error, ManagerError::Ollama(_)),
            "{fault:?}: {error}"
        );
        drop(world.lease("m:1b").unwrap());
    }
    assert_eq!(world.fake.shared.scheduler.loads(), 1);
}

#[test]
fn slow_drip_ends_at_the_limit() {
    let world = World::new(small(0));
    world.fake.fault(Fault::Drip);
    let client = world
        .fake
        .client()
        .with_query_max(Duration::from_millis(300));
    // At its end, the response would be a parse error.
    let error = client.running().unwrap_err();
    assert!(matches!(error, OllamaError::Stalled { .. }), "{error}");
}

#[test]
fn slow_drip_is_cancelled() {
    let world = World::new(small(0));
    world.fake.fault(Fault::Drip);
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let leasing = scope.spawn(|| world.manager.lease("m:1b", &cancel));
        std::thread::sleep(Duration::from_millis(100));
        cancel.cancel();
        let error = leasing.join().unwrap().unwrap_err();
        assert!(
            matches!(error, ManagerError::Ollama(OllamaError::Cancelled)),
            "{error}"
        );
    });
}

#[test]
fn waiting_behind_a_load_is_cancelled_without_hurting_it() {
    let world = World::new(small(400));
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| world.lease("m:1b"));
        std::thread::sleep(Duration::from_millis(50));
        let waiting = scope.spawn(|| world.manager.lease("m:1b", &cancel));
        cancel.cancel();
        let error = waiting.join().unwrap().unwrap_err();
        assert!(
            matches!(error, ManagerError::Ollama(OllamaError::Cancelled)),
            "{error}"
        );
        loading.join().unwrap().unwrap();
    });
}

#[test]
fn restart_during_a_load_is_a_transient_error() {
    let world = World::new(small(400));
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| world.lease("m:1b"));
        while world.fake.shared.scheduler.loads() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        world.fake.restart();
        let error = loading.join().unwrap().unwrap_err();
        let ManagerError::Ollama(error) = error else {
            panic!("{error}")
        };
        assert!(error.is_transient(), "{error}");
    });
    world.lease("m:1b").unwrap();
    assert_eq!(world.probe.processes.runners().len(), 1);
}

#[test]
fn missing_server_is_reported() {
    let World { fake, manager, .. } = World::new(small(0));
    drop(fake);
    let error = manager.lease("m:1b", &Cancel::new()).unwrap_err();
    assert!(
        matches!(error, ManagerError::Ollama(OllamaError::NotRunning { .. })),
        "{error}"
    );
    assert!(
        manager.tick().unwrap().unloaded.is_empty(),
        "nothing is managed, so nothing is sent"
    );
}

#[test]
fn load_may_take_as_long_as_its_process_grows() {
    let mut settings = Settings::default();
    settings.load_stall_max = Duration::from_secs(3);
    let stalled = World::with(small(60_000), settings.clone());
    let growing = World::with(small(7_000), settings);
    std::thread::scope(|scope| {
        let stalls = scope.spawn(|| stalled.lease("m:1b").unwrap_err());
        let grows = scope.spawn(|| growing.lease("m:1b"));
        while !grows.is_finished() {
            growing.probe.processes.grow(1, 1 << 20);
            std::thread::sleep(Duration::from_millis(50));
        }
        grows.join().unwrap().unwrap();
        let error = stalls.join().unwrap();
        assert!(
            matches!(error, ManagerError::Ollama(OllamaError::Stalled { .. })),
            "{error}"
        );
    });
    assert_eq!(growing.loads(), 1, "it was not started again");
}
