//! Unloads, ghosts and orphans with real processes that allocate and map memory.

use std::sync::Arc;
use std::time::Duration;

use steadyscribe_monitor::ollama::{
    Cancel, Host, LoadedModel, LocalProbe, Manager, ModelState, OwnServer, Probe, Prompt,
    ServerPreset, Settings, StartError,
};
use steadyscribe_monitor::reader::{ProcessId, System};
use tempfile::TempDir;

use crate::fake::clock::Clock;
use crate::fake::model::Model;
use crate::fake::real::Real;
use crate::fake::{Fake, Setup};

const MIB: u64 = 1 << 20;
const WEIGHTS_BYTES: u64 = 48 * MIB;

pub struct World {
    pub fake: Fake,
    manager: Manager,
    pub processes: Arc<Real>,
    probe: Arc<LocalProbe>,
    pub blob: String,
    _folder: TempDir,
}

impl World {
    pub fn new(prompt_cache_bytes: u64, settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut model = Model::small("m:1b", WEIGHTS_BYTES);
        let blob = folder.path().join(format!("sha256-{}", model.digest));
        std::fs::File::create(&blob)
            .unwrap()
            .set_len(WEIGHTS_BYTES)
            .unwrap();
        model.blob = blob.to_str().unwrap().to_owned();
        let blob = model.blob.clone();
        let processes = Arc::new(Real::new(folder.path()));
        let setup = Setup {
            prompt_cache_bytes,
            ..Setup::of([model])
        };
        let fake = Fake::start(setup, Clock::default(), processes.clone());
        let probe = Arc::new(LocalProbe::new(System::host(), fake.port()));
        Self {
            manager: Manager::new(fake.client(), probe.clone(), settings),
            fake,
            processes,
            probe,
            blob,
            _folder: folder,
        }
    }

    fn model(&self, wanted: impl Fn(&LoadedModel) -> bool) -> LoadedModel {
        let report = self.manager.get_model_memory_usage().unwrap();
        report.loaded_models.into_iter().find(wanted).unwrap()
    }

    /// Returns the number of processes that hold this world's model. Other tests have their own.
    pub fn runners(&self) -> usize {
        let runners = self.probe.runners().unwrap();
        runners
            .iter()
            .filter(|runner| runner.model_path == self.blob)
            .count()
    }
}

#[test]
fn unloaded_model_frees_its_memory() {
    let world = World::new(0, Settings::default());
    let lease = world.manager.lease("m:1b", &Cancel::new()).unwrap();
    let model = world.model(|model| model.name == "m:1b");
    let claimed = model.claimed_bytes.unwrap();
    let private = model.private_bytes.unwrap();
    assert!(claimed >= WEIGHTS_BYTES);
    assert!(
        (claimed..claimed + 16 * MIB).contains(&private),
        "{private} of {claimed}"
    );
    assert_eq!(
        (model.state, model.leases, model.is_memory_mapped),
        (ModelState::Resident, 1, false)
    );
    drop(lease);
    let result = world.manager.unload_unused_models().unwrap();
    let unloaded = &result.unloaded[0];
    assert!(unloaded.gone_from_list);
    assert_eq!(unloaded.process_ended, Some(true));
    assert_eq!(result.memory_freed, unloaded.private_bytes.unwrap());
    assert!(result.memory_freed.abs_diff(private) < 4 * MIB);
    assert_eq!(world.runners(), 0);
}

#[test]
fn mapped_weights_are_reclaimable_and_not_private() {
    let world = World::new(0, Settings::default());
    world.manager.configure_memory_mapping(true);
    let _lease = world.manager.lease("m:1b", &Cancel::new()).unwrap();
    let model = world.model(|model| model.name == "m:1b");
    assert!(model.is_memory_mapped);
    assert!(model.reclaimable_bytes.unwrap() >= WEIGHTS_BYTES);
}

#[test]
fn crashed_process_is_a_ghost_until_the_next_job() {
    let world = World::new(0, Settings::default());
    drop(world.manager.lease("m:1b", &Cancel::new()).unwrap());
    world.fake.shared.scheduler.crash("m:1b");
    assert_eq!(
        world.model(|model| model.name == "m:1b").state,
        ModelState::Ghost
    );
    let _lease = world.manager.lease("m:1b", &Cancel::new()).unwrap();
    assert_eq!(
        world.model(|model| model.name == "m:1b").state,
        ModelState::Resident
    );
    assert_eq!(world.runners(), 1);
}

#[test]
fn orphan_is_reported_with_its_process() {
    let world = World::new(0, Settings::default());
    let (mut parent, pid) = world.processes.start_orphan(&world.blob, 32 * MIB);
    let input = parent.stdin.take(); // waiting would close it, and so end the orphan
    parent.wait().unwrap();
    let model = world.model(|model| model.pid == Some(pid));
    assert_eq!(model.state, ModelState::Orphan);
    assert!(model.private_bytes.unwrap() >= 32 * MIB);
    let report = world.manager.get_model_memory_usage().unwrap();
    let advice = report.optimization_opportunities;
    assert!(
        advice
            .iter()
            .any(|line| line.contains(&format!("process {pid} "))),
        "{advice:?}"
    );
    // An orphan does not make its model loaded.
    let _lease = world.manager.lease("m:1b", &Cancel::new()).unwrap();
    assert_eq!(world.fake.shared.scheduler.loads(), 1);
    drop(input);
}

#[test]
fn orphan_is_killed_only_if_the_user_allows_it() {
    let world = World::new(0, Settings::default());
    let (mut parent, pid) = world.processes.start_orphan(&world.blob, 32 * MIB);
    let input = parent.stdin.take();
    parent.wait().unwrap();
    let refused = world.manager.unload("m:1b").unwrap();
    let orphan = refused.unloaded.iter().find(|unloaded| unloaded.was_orphan);
    let stuck = orphan.unwrap().stuck.as_ref().unwrap();
    assert_eq!(stuck.process.unwrap().pid, pid);
    assert!(
        stuck.remedy.contains(&format!("process {pid} holds 3")),
        "{}",
        stuck.remedy
    );
    assert_eq!(world.runners(), 1, "it is alive");

    let mut settings = Settings::default();
    settings.kill_stuck = true;
    let allowed = Manager::new(world.fake.client(), world.probe.clone(), settings);
    let lease = allowed.lease("m:1b", &Cancel::new()).unwrap();
    assert_eq!(world.runners(), 2);
    drop(lease);
    let result = allowed.unload("m:1b").unwrap();
    let killed: Vec<bool> = result
        .unloaded
        .iter()
        .map(|unloaded| unloaded.killed)
        .collect();
    assert_eq!(
        killed,
        [false, true],
        "the runner was unloaded, and the orphan killed"
    );
    assert!(result.is_clean());
    assert_eq!(world.runners(), 0);
    drop(input);
}

#[test]
fn own_server_has_its_environment_and_leaves_nothing_behind() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let blob = folder.path().join("sha256-00");
    std::fs::File::create(&blob).unwrap();
    let program = folder.path().join("ollama");
    let (exe, blob) = (std::env::current_exe().unwrap(), blob.to_str().unwrap());
    let script = format!(
        "#!/bin/sh\nHELPER_SERVES='{blob}' exec '{}' --exact helper::serves --ignored\n",
        exe.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let host: Host = free.to_string().parse().unwrap();

    let preset = ServerPreset::default();
    let server = OwnServer::start(&program, &host, &preset).unwrap();
    let taken = OwnServer::start(&program, &host, &preset).unwrap_err();
    assert!(matches!(taken, StartError::Taken { .. }), "{taken}");
    let probe = Arc::new(LocalProbe::of_host(&host));
    let manager = Manager::new(server.client().clone(), probe.clone(), preset.settings());
    drop(manager.lease("m:1b", &Cancel::new()).unwrap());
    let of_blob = || {
        let runners = probe.runners().unwrap();
        runners.into_iter().find(|runner| runner.model_path == blob)
    };
    let pid = of_blob().unwrap().id.pid;
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    for (variable, value) in preset.environment() {
        let expected = format!("{variable}={value}");
        assert!(
            environment.split('\0').any(|set| set == expected),
            "{expected}"
        );
    }
    assert!(environment.contains("LLAMA_ARG_CACHE_RAM=0\0"));
    assert!(environment.contains("OLLAMA_KV_CACHE_TYPE=q8_0\0"));
    let stopped = server.stop().unwrap();
    assert_eq!(stopped.unloaded[0].process_ended, Some(true));
    assert!(of_blob().is_none());
    let missing = OwnServer::start(&folder.path().join("none"), &host, &preset).unwrap_err();
    assert!(matches!(missing, StartError::NotRun { .. }), "{missing}");
}

#[test]
fn prompt_cache_is_measured_and_freed() {
    let mut settings = Settings::default();
    settings.unclaimed_bytes_max = 32 * MIB;
    let world = World::new(96 * MIB, settings);
    let lease = world.manager.lease("m:1b", &Cancel::new()).unwrap();
    let prompt = Prompt::text("hello");
    lease
        .generate(&prompt, &Cancel::new())
        .unwrap()
        .collect_text()
        .unwrap();
    let model = world.model(|model| model.name == "m:1b");
    // A helper lacks the process overhead of 27 MiB that the estimate contains.
    assert!(model.unclaimed_bytes.unwrap() >= 60 * MIB);
    let freed = lease.finish().unwrap().unwrap();
    assert!(freed.freed_bytes() >= WEIGHTS_BYTES + 96 * MIB);
    assert_eq!(world.runners(), 0);
}

#[test]
fn stuck_process_is_killed_only_if_the_user_allows_it() {
    let mut settings = Settings::default();
    settings.unload_max = Duration::from_millis(300);
    let world = World::new(0, settings.clone());
    drop(world.manager.lease("m:1b", &Cancel::new()).unwrap());
    world.fake.shared.scheduler.never_end();
    let refused = world.manager.unload("m:1b").unwrap();
    let process = refused.unloaded[0].stuck.as_ref().unwrap().process.unwrap();
    assert!(!refused.unloaded[0].killed);
    assert_eq!(world.runners(), 1);
    // Another process with the same number would have started at another time.
    let later = ProcessId::new(process.pid, process.start_time + 1);
    let error = world.probe.kill(later).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(world.runners(), 1);

    settings.kill_stuck = true;
    let allowed = Manager::new(world.fake.client(), world.probe.clone(), settings);
    let result = allowed.unload("m:1b").unwrap();
    let unloaded = &result.unloaded[0];
    assert!(unloaded.is_gone() && unloaded.killed && !unloaded.gone_from_list);
    assert_eq!(unloaded.process_ended, Some(true));
    assert!(result.memory_freed >= WEIGHTS_BYTES);
    assert_eq!(world.runners(), 0);
}
