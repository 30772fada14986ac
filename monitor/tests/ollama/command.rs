//! Runs `steadyscribe-monitor ollama` against the fake server with real processes.

use std::process::{Command, Output};

use serde_json::Value;
use steadyscribe_monitor::ollama::{Host, KeepAlive, LoadProfile, Settings};

use crate::real::World;

const MIB: u64 = 1 << 20;

fn run(host: &Host, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
        .args(["ollama", "--host", &host.to_string()])
        .args(words.split_whitespace())
        .output()
        .unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs a command that must succeed, and returns its output.
fn check(world: &World, words: &str) -> String {
    let output = run(&world.fake.host(), words);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{words}: {out}{err}");
    assert_eq!(err, "", "{words}");
    out
}

/// Runs a command that must fail with `code`, and returns its output and its errors.
fn check_fails(host: &Host, words: &str, code: i32) -> (String, String) {
    let output = run(host, words);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{words}: {:?}",
        texts(&output)
    );
    texts(&output)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn world() -> World {
    World::new(0, Settings::default())
}

/// Loads the model as another program would.
fn load(world: &World) {
    let client = world.fake.client();
    let profile = LoadProfile::new(2048);
    client
        .load("m:1b", &profile, KeepAlive::Forever, None)
        .unwrap();
}

#[test]
fn load_status_and_unload_agree() {
    let world = world();
    let text = check(&world, "status");
    assert!(
        text.starts_with("Ollama 0.33.0 at http://127.0.0.1:"),
        "{text}"
    );
    assert!(!text.contains("m:1b"), "{text}");
    let text = check(&world, "load m:1b --num-ctx 2048");
    assert!(text.contains("m:1b: 2048 tokens of context"), "{text}");
    let report = json(&check(&world, "status --json"));
    let model = &report["loadedModels"][0];
    assert_eq!(
        (&model["name"], &model["contextSize"]),
        (&"m:1b".into(), &2048.into())
    );
    let pid = model["pid"].to_string();
    let text = check(&world, "status");
    assert!(
        text.contains(&format!("process {pid}")) && text.contains("Resident"),
        "{text}"
    );
    let result = json(&check(&world, "unload m:1b --json"));
    assert_eq!(result["unloaded"][0]["processEnded"], true);
    assert!(result["memoryFreed"].as_u64().unwrap() >= 48 * MIB);
    assert_eq!(world.runners(), 0);
    let text = check(&world, "unload m:1b");
    assert!(text.contains("m:1b was not in memory"), "{text}");
}

#[test]
fn load_chooses_the_context_and_prints_json() {
    let world = world();
    let report = json(&check(&world, "load m:1b --json"));
    // The trained context, which needs less memory than the machine has.
    assert_eq!(report["loadedModels"][0]["contextSize"], 32768);
    assert_eq!(report["loadedModels"][0]["isManaged"], true);
    // Other tests may have orphans on this machine, which are reported but not killed.
    let (text, _) = texts(&run(&world.fake.host(), "unload --all --wait 1"));
    assert!(text.contains("m:1b was unloaded in"), "{text}");
    assert_eq!(world.runners(), 0);
}

#[test]
fn plan_prints_what_fits_without_loading() {
    let world = world();
    let line = json(&check(&world, "plan m:1b --available 200MiB"));
    let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "availableBytes",
            "estimate",
            "model",
            "numBatch",
            "numCtx",
            "reason"
        ]
    );
    let keys: Vec<&String> = line["estimate"].as_object().unwrap().keys().collect();
    let parts = [
        "computeBytes",
        "kvBytes",
        "overheadBytes",
        "totalBytes",
        "weightsBytes",
    ];
    assert_eq!(keys, parts);
    assert_eq!(
        (&line["model"], &line["numCtx"]),
        (&"m:1b".into(), &8192.into())
    );
    let (out, err) = check_fails(&world.fake.host(), "plan m:1b --available 50MiB", 1);
    assert_eq!(json(&out)["numCtx"], Value::Null);
    assert!(
        err.contains("the smallest context of 2048 tokens needs"),
        "{err}"
    );
    assert_eq!(world.fake.shared.scheduler.loads(), 0);
}

#[test]
fn watch_survives_a_broken_connection() {
    let world = world();
    let text = check(&world, "watch --interval 1 --count 2 --json");
    let lines: Vec<Value> = text.lines().map(json).collect();
    assert_eq!(lines.len(), 2);
    world.fake.fault(crate::fake::Fault::Reset);
    let text = check(&world, "watch --interval 1 --count 2");
    assert!(text.contains("broke; try again"), "{text}");
    assert!(text.contains("Ollama 0.33.0"), "{text}");
}

#[test]
fn stuck_model_is_killed_with_allow_kill_only() {
    let world = world();
    load(&world);
    world.fake.shared.scheduler.never_end();
    let host = world.fake.host();
    let (out, err) = check_fails(&host, "unload m:1b --wait 1", 1);
    assert!(
        out.contains("m:1b is stuck") && out.contains("end process"),
        "{out}"
    );
    assert!(err.contains("some models could not be unloaded"), "{err}");
    let (out, _) = check_fails(&host, "unload m:1b --wait 1 --json", 1);
    let stuck = &json(&out)["unloaded"][0]["stuck"];
    assert!(stuck["process"]["pid"].is_u64(), "{stuck}");
    assert_eq!(world.runners(), 1, "it is still running");

    let text = check(&world, "unload m:1b --wait 1 --allow-kill");
    assert!(text.contains("killed"), "{text}");
    assert_eq!(world.runners(), 0);
}

#[test]
fn orphan_is_reported_without_a_server_and_killed_with_allow_kill_only() {
    let world = world();
    let (mut parent, pid) = world.processes.start_orphan(&world.blob, 32 * MIB);
    let input = parent.stdin.take();
    parent.wait().unwrap();
    let host = world.fake.host();
    let named = format!("process {pid} holds 3");
    let (out, _) = check_fails(&host, "unload m:1b", 1);
    assert!(
        out.contains(&named) && out.contains("--allow-kill"),
        "{out}"
    );
    // This includes the orphans of other tests, so nothing may be killed.
    let output = run(&host, "unload --all --wait 1");
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).0.contains(&named));
    assert_eq!(world.runners(), 1);
    let text = check(&world, "unload m:1b --allow-kill");
    assert!(
        text.contains("was killed, after its server had ended"),
        "{text}"
    );
    assert_eq!(world.runners(), 0);
    drop(input);
}

#[test]
fn missing_server_is_reported_with_its_orphans() {
    let world = world();
    let (mut parent, pid) = world.processes.start_orphan(&world.blob, 32 * MIB);
    let input = parent.stdin.take();
    parent.wait().unwrap();
    let host = world.fake.host();
    drop(world.fake);
    let (out, err) = check_fails(&host, "status", 1);
    assert!(out.contains(&format!("process {pid} holds")), "{out}");
    assert!(err.contains("start it with `ollama serve`"), "{err}");
    drop(input);
}

#[test]
fn errors_contain_the_remedy() {
    let world = world();
    let host = world.fake.host();
    let (_, err) = check_fails(&host, "load none:1b", 1);
    assert!(err.contains("fetch it with `ollama pull none:1b`"), "{err}");
    let (_, err) = check_fails(&host, "load", 2);
    assert!(err.contains("<MODEL>"), "{err}");
    let (_, err) = check_fails(&host, "load m:1b --num-ctx many", 2);
    assert!(err.contains("a number of tokens, or `auto`"), "{err}");
    let (_, err) = check_fails(&host, "unload m:1b --all", 2);
    assert!(err.contains("--all"), "{err}");
    let (_, err) = check_fails(&host, "plan --show-file /none.json", 1);
    assert!(err.contains("cannot read /none.json"), "{err}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("show.json");
    let answer = world
        .fake
        .post("/api/show", &serde_json::json!({"model": "m:1b"}));
    std::fs::write(&file, answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let words = format!("plan --show-file {}", file.display());
    let (_, err) = check_fails(&host, &words, 1);
    assert!(err.contains("lacks \"size\""), "{err}");
    let https = Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
        .args(["ollama", "status"])
        .env("OLLAMA_HOST", "https://example.com")
        .output()
        .unwrap();
    assert!(texts(&https).1.contains("needs TLS"), "{:?}", texts(&https));
}

#[test]
fn host_comes_from_the_environment() {
    let world = world();
    let output = Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
        .args(["ollama", "status"])
        .env("OLLAMA_HOST", format!("0.0.0.0:{}", world.fake.port()))
        .output()
        .unwrap();
    assert!(
        texts(&output)
            .0
            .contains("Ollama 0.33.0 at http://127.0.0.1")
    );
}

#[test]
fn slow_unload_is_waited_for() {
    let world = world();
    load(&world);
    world.fake.shared.setup.lock().unwrap().unload_ms = 1500;
    let text = check(&world, "unload m:1b");
    assert!(text.contains("m:1b was unloaded in"), "{text}");
}

#[test]
fn unload_all_finds_a_process_that_the_server_does_not_list() {
    let world = world();
    load(&world);
    world.fake.shared.scheduler.lose("m:1b");
    let text = check(&world, "status");
    assert!(text.contains("Unlisted"), "{text}");
    // Other tests may have orphans on this machine, so nothing may be killed with `--all`.
    let (out, err) = check_fails(&world.fake.host(), "unload --all --wait 1", 1);
    assert!(
        out.contains("m:1b is stuck") && out.contains("end it"),
        "{out}"
    );
    assert!(err.contains("some models could not be unloaded"), "{err}");
    assert_eq!(world.runners(), 1);
    let text = check(&world, "unload m:1b --wait 1 --allow-kill");
    assert!(text.contains("m:1b was killed"), "{text}");
    assert_eq!(world.runners(), 0);
}
