//! Effects of other programs and of other server versions.

use steadyscribe_monitor::ollama::{
    Cancel, Estimate, LoadProfile, ManagerError, ModelEvent, ModelState, OllamaError, Prompt,
    Quantization, ServerTraits, Settings,
};

use crate::fake::Setup;
use crate::fake::model::Model;
use crate::lifecycle::{MIB, World, models};

#[test]
fn server_restart_is_noticed() {
    let world = World::new(models(&[100]));
    drop(world.lease("m0:1b").unwrap());
    world.fake.restart();
    world.lease("m0:1b").unwrap();
    assert_eq!(world.loads(), 2);
    assert!(world.manager.events().contains(&ModelEvent::Vanished {
        model: "m0:1b".to_owned()
    }));
}

#[test]
fn ghost_is_loaded_again() {
    let world = World::new(models(&[100]));
    drop(world.lease("m0:1b").unwrap());
    world.fake.shared.scheduler.crash("m0:1b");
    assert_eq!(
        world.fake.client().running().unwrap().len(),
        1,
        "the list still contains it"
    );
    let report = world.manager.get_model_memory_usage().unwrap();
    assert_eq!(report.loaded_models[0].state, ModelState::Ghost);
    drop(world.lease("m0:1b").unwrap());
    assert_eq!(world.names(), ["m0:1b"]);
}

#[test]
fn larger_context_of_another_program_is_adopted() {
    let world = World::new(models(&[100]));
    world.manager.optimize_context_window(4096);
    drop(world.lease("m0:1b").unwrap());
    world.manager.optimize_context_window(16384);
    let other = |ctx| steadyscribe_monitor::ollama::LoadProfile::new(ctx);
    let keep = steadyscribe_monitor::ollama::KeepAlive::Forever;
    world
        .fake
        .client()
        .load("m0:1b", &other(8192), keep, None)
        .unwrap();
    assert_eq!(world.lease("m0:1b").unwrap().profile().num_ctx, 8192);
    world
        .fake
        .client()
        .load("m0:1b", &other(2048), keep, None)
        .unwrap();
    assert_eq!(
        world.lease("m0:1b").unwrap().profile().num_ctx,
        16384,
        "the other context was too small"
    );
    let foreign = world.manager.events().into_iter();
    assert_eq!(
        foreign
            .filter(|event| matches!(event, ModelEvent::ForeignReload { .. }))
            .count(),
        2
    );
}

#[test]
fn old_server_is_planned_with_four_parallel_requests() {
    let lease_ctx = |minor| {
        let world = World::new(Setup {
            minor,
            ..models(&[1000])
        });
        world.lease("m0:1b").unwrap().profile().num_ctx
    };
    assert_eq!((lease_ctx(33), lease_ctx(9)), (8192, 4096));
}

#[test]
fn per_layer_figures_are_requested() {
    let mut model = Model::small("m0:1b", 100 * MIB);
    model.info["llama.attention.head_count_kv"] = serde_json::Value::Null;
    model.arrays = serde_json::json!({"llama.attention.head_count_kv": [4, 4, 4, 4, 4, 4, 4, 4],
        "tokenizer.ggml.tokens": ["a", "b"]});
    let world = World::new(Setup::of([model]));
    world.lease("m0:1b").unwrap();
    let verbose: Vec<_> = world
        .fake
        .bodies("/api/show")
        .iter()
        .map(|body| body["verbose"].clone())
        .collect();
    assert_eq!(verbose, [false, true]);
}

#[test]
fn reload_by_the_v1_api_is_reported() {
    let world = World::new(models(&[100]));
    drop(world.lease("m0:1b").unwrap());
    let body =
        serde_json::json!({"model": "m0:1b", "messages": [{"role": "user", "content": "hello"}]});
    let answer = world.fake.post("/v1/chat/completions", &body);
    assert!(answer.contains("chat.completion"), "{answer}");
    assert_eq!(world.loads(), 2, "the request carries no context");
    assert_eq!(world.lease("m0:1b").unwrap().profile().num_ctx, 8192);
    assert!(world.manager.events().contains(&ModelEvent::ForeignReload {
        model: "m0:1b".to_owned(),
        expected_ctx: 8192,
        actual_ctx: 4096
    }));
}

#[test]
fn version_is_queried_at_each_load() {
    let world = World::new(Setup {
        minor: 9,
        ..models(&[1000])
    });
    assert_eq!(world.lease("m0:1b").unwrap().profile().num_ctx, 4096);
    world.fake.restart();
    world.fake.shared.setup.lock().unwrap().minor = 33;
    assert_eq!(world.lease("m0:1b").unwrap().profile().num_ctx, 8192);
}

#[test]
fn cloud_model_is_not_managed() {
    let mut model = Model::small("far:70b", MIB);
    model.remote_host = Some("https://ollama.com:443".to_owned());
    let world = World::new(Setup::of([model]));
    for name in ["far:70b", "gpt-oss:120b-cloud"] {
        let error = world.lease(name).unwrap_err();
        let is_expected = match &error {
            ManagerError::Ollama(OllamaError::Cloud { .. }) => name == "far:70b",
            ManagerError::Ollama(OllamaError::NotInstalled { .. }) => name != "far:70b",
            _ => false,
        };
        assert!(is_expected, "{error}");
    }
    assert!(
        world.fake.bodies("/api/generate").is_empty(),
        "nothing was sent"
    );
}

#[test]
fn smaller_quantization_is_recommended_with_what_it_saves() {
    let mut large = Model::small("m:3b-fp16", 600 * MIB);
    large.quantization = "F16";
    let small = Model::small("m:3b", 200 * MIB);
    let mut settings = Settings::default();
    settings.quantization = Some(Quantization::Int4);
    let world = World::with(Setup::of([large, small]), settings);
    let advice = world
        .manager
        .quantization_advice("m:3b-fp16")
        .unwrap()
        .unwrap();
    assert_eq!((advice.model.as_str(), advice.is_installed), ("m:3b", true));
    assert_eq!(advice.saved_bytes, 400 * MIB);
    assert_eq!(world.manager.quantization_advice("m:3b").unwrap(), None);
    let _lease = world.lease("m:3b-fp16").unwrap();
    let report = world.manager.get_model_memory_usage().unwrap();
    let line = "m:3b is installed, and saves 400 MiB of weights compared with m:3b-fp16".to_owned();
    assert!(
        report.optimization_opportunities.contains(&line),
        "{:?}",
        report.optimization_opportunities
    );
}

/// Compares the keys of an object with an interface of the TypeScript declarations.
fn check_declared(interface: &str, value: &serde_json::Value) {
    let text = include_str!("../../types/ollama.d.ts");
    let start = format!("export interface {interface} {{");
    let lines = text.lines().skip_while(|line| *line != start).skip(1);
    let fields = lines.take_while(|line| *line != "}");
    let declared: Vec<&str> = fields
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(field, _)| field)
        .filter(|field| !field.starts_with("/**"))
        .collect();
    assert!(!declared.is_empty(), "{interface}");
    let object = value.as_object().unwrap();
    for key in object.keys() {
        let is_declared = declared
            .iter()
            .any(|field| field.trim_end_matches('?') == key);
        assert!(is_declared, "{interface} does not declare {key}");
    }
    for field in declared.iter().filter(|field| !field.ends_with('?')) {
        assert!(object.contains_key(*field), "{interface} has no {field}");
    }
}

#[test]
fn json_matches_the_declarations() {
    let world = World::new(models(&[100]));
    drop(world.lease("m0:1b").unwrap());
    let report = world.manager.get_model_memory_usage().unwrap();
    let report = serde_json::to_value(report).unwrap();
    for key in [
        "loadedModels",
        "totalModelMemory",
        "cacheMemoryUsage",
        "memoryMappingEnabled",
        "contextWindowSize",
        "optimizationOpportunities",
    ] {
        assert!(!report[key].is_null(), "{key}: {report}");
    }
    check_declared("ModelMemoryReport", &report);
    let model = &report["loadedModels"][0];
    for key in [
        "name",
        "memoryUsage",
        "lastUsed",
        "isMemoryMapped",
        "contextSize",
    ] {
        assert!(!model[key].is_null(), "{key}: {model}");
    }
    check_declared("LoadedModel", model);
    assert_eq!(model["state"], "Resident");
    assert_eq!(report["totalModelMemory"], model["memoryUsage"]);
    assert_eq!(
        report["cacheMemoryUsage"], model["memoryUsage"],
        "it is not in use"
    );
    assert!(model["claimedBytes"].is_u64() && model["privateBytes"].is_u64());

    let in_use = world.lease("m0:1b").unwrap();
    let result = serde_json::to_value(world.manager.unload("m0:1b").unwrap()).unwrap();
    check_declared("KeptModel", &result["kept"][0]);
    drop(in_use);
    world.fake.shared.scheduler.never_end();
    let result = world.manager.unload_unused_models().unwrap();
    let result = serde_json::to_value(result).unwrap();
    check_declared("ModelUnloadResult", &result);
    check_declared("UnloadedModel", &result["unloaded"][0]);
    let stuck = &result["unloaded"][0]["stuck"];
    check_declared("Stuck", stuck);
    check_declared("ProcessId", &stuck["process"]);

    let shape = world.manager.shape("m0:1b").unwrap();
    let estimate = Estimate::new(&shape, &LoadProfile::new(2048), ServerTraits::default());
    check_declared("Estimate", &serde_json::to_value(estimate).unwrap());
}

#[test]
fn short_keep_alive_of_another_program_does_not_break_a_lease() {
    let world = World::new(models(&[100]));
    let lease = world.lease("m0:1b").unwrap();
    let body = serde_json::json!({"model": "m0:1b", "keep_alive": "1s", "options":
        {"num_ctx": 8192, "num_batch": 512, "use_mmap": false}});
    world.fake.post("/api/generate", &body);
    assert_eq!(world.loads(), 1, "the same profile");
    world.pass(2);
    assert!(
        world.fake.client().running().unwrap().is_empty(),
        "the server unloaded it"
    );
    world.manager.tick().unwrap();
    let answers = lease.generate(&Prompt::text("hello"), &Cancel::new());
    assert_eq!(answers.unwrap().collect_text().unwrap().0, "one two three");
    assert_eq!(world.loads(), 2);
    drop(lease);
    assert!(world.manager.unload_unused_models().unwrap().is_clean());
    assert!(world.names().is_empty());
}

#[test]
fn ghost_is_reported() {
    let world = World::new(models(&[100]));
    drop(world.lease("m0:1b").unwrap());
    world.fake.shared.scheduler.crash("m0:1b");
    let report = world.manager.get_model_memory_usage().unwrap();
    assert_eq!(report.loaded_models[0].state, ModelState::Ghost);
    let advice = report.optimization_opportunities.join(" ");
    assert!(advice.contains("its process has ended"), "{advice}");
}
