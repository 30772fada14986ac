//! Requests, responses and errors.

use std::sync::Arc;
use std::time::Duration;

use steadyscribe_monitor::ollama::{
    Cancel, Client, KeepAlive, LoadProfile, Message, OllamaError, Prompt, StallTimeout,
};

use crate::fake::clock::Clock;
use crate::fake::model::Model;
use crate::fake::process::Counted;
use crate::fake::{Fake, Fault, Setup};

fn start(setup: Setup) -> Fake {
    Fake::start(setup, Clock::default(), Arc::new(Counted::default()))
}

fn small() -> Setup {
    Setup::of([Model::small("m:1b", 1 << 20)])
}

fn load(client: &Client, num_ctx: u32) -> Result<(), OllamaError> {
    client.load("m:1b", &LoadProfile::new(num_ctx), KeepAlive::Forever, None)
}

/// Waits until a condition holds. The limit only ends a test that would hang.
fn eventually(condition: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the condition never held");
}

#[test]
fn responses_of_every_version_are_parsed() {
    for (minor, has_context) in [(9, false), (24, true), (33, true)] {
        let fake = start(Setup { minor, ..small() });
        let client = fake.client();
        assert_eq!(
            client.version().unwrap().to_string(),
            format!("0.{minor}.0")
        );
        assert_eq!(client.installed().unwrap()[0].size_bytes, 1 << 20);
        assert!(client.running().unwrap().is_empty());
        load(&client, 2048).unwrap();
        let running = client.running().unwrap();
        assert_eq!(running[0].context_length, has_context.then_some(2048));
        assert!(
            running[0].expiry().unwrap().year() > 2300,
            "forever is 292 years"
        );
        assert_eq!(running[0].host_bytes(), running[0].size_bytes);
        let show = client.show("m:1b", false).unwrap();
        assert!(show.blob_path().unwrap().starts_with("/m/blobs/sha256-"));
        client.request_unload("m:1b").unwrap();
    }
}

#[test]
fn every_request_of_a_profile_reuses_the_process() {
    let fake = start(small());
    let client = fake.client();
    let mut profile = LoadProfile::new(8192);
    profile.use_mmap = Some(true);
    client
        .load("m:1b", &profile, KeepAlive::Forever, None)
        .unwrap();
    for prompt in [
        Prompt::text("hello")
            .option("temperature", 0.5)
            .option("num_ctx", 4),
        Prompt::chat(vec![Message::new("user", "hello")]),
    ] {
        let chunks = client
            .generate("m:1b", &profile, KeepAlive::Forever, &prompt)
            .unwrap();
        let (text, last) = chunks.collect_text().unwrap();
        assert_eq!((text.as_str(), last.eval_count), ("one two three", Some(3)));
    }
    assert_eq!(fake.shared.scheduler.loads(), 1);
    load(&client, 4096).unwrap();
    assert_eq!(
        fake.shared.scheduler.loads(),
        2,
        "a smaller context is another process"
    );
}

#[test]
fn errors_are_classified_by_the_reaction() {
    let mut embedding = Model::small("e:1b", 1);
    embedding.can_generate = false;
    let mut setup = small();
    setup.models.push(embedding);
    let fake = start(setup);
    let client = fake.client();
    let profile = LoadProfile::new(2048);
    let try_load = |name| {
        client
            .load(name, &profile, KeepAlive::UNLOAD, None)
            .unwrap_err()
    };
    let keep = KeepAlive::For(Duration::from_secs(9));
    let check = |fault| {
        fake.fault(fault);
        client.load("m:1b", &profile, keep, None).unwrap_err()
    };
    assert!(matches!(
        client.show("none", false),
        Err(OllamaError::NotInstalled { .. })
    ));
    assert!(matches!(try_load("x:cloud"), OllamaError::Cloud { .. }));
    let error = client.load("e:1b", &profile, keep, None).unwrap_err();
    assert!(matches!(error, OllamaError::Unsupported { .. }), "{error}");
    assert!(matches!(
        check(Fault::LoadKilled),
        OllamaError::OutOfMemory { .. }
    ));
    assert!(matches!(
        check(Fault::LoadFailed),
        OllamaError::RunnerEnded { .. }
    ));
    assert!(matches!(
        check(Fault::LoadStalled),
        OllamaError::Stalled { .. }
    ));
    assert!(matches!(check(Fault::QueueFull), OllamaError::Busy));
    assert!(matches!(check(Fault::Reset), OllamaError::Broken { .. }));
    assert!(matches!(check(Fault::HalfBody), OllamaError::Broken { .. }));
    assert!(matches!(
        check(Fault::Unknown500),
        OllamaError::Foreign { status: 500, .. }
    ));
    let long = Prompt::text("word ".repeat(4000));
    let error = client.generate("m:1b", &profile, keep, &long).unwrap_err();
    assert!(
        matches!(error, OllamaError::PromptTooLong { .. }),
        "{error}"
    );
    client.load("m:1b", &profile, keep, None).unwrap();
}

#[test]
fn broken_streams_are_errors_after_their_text() {
    let fake = start(small());
    let client = fake.client();
    for fault in [Fault::ErrorInStream, Fault::Truncated] {
        fake.fault(fault);
        let prompt = Prompt::text("hello");
        let mut chunks = client
            .generate("m:1b", &LoadProfile::new(2048), KeepAlive::Forever, &prompt)
            .unwrap();
        assert_eq!(chunks.next().unwrap().unwrap().text(), "one ");
        let error = chunks.next().unwrap().unwrap_err();
        assert!(
            matches!(error, OllamaError::RunnerEnded { .. }),
            "{fault:?}: {error}"
        );
        assert!(chunks.next().is_none());
    }
}

#[test]
fn missing_server_is_not_running() {
    let host = {
        let fake = start(small());
        fake.host()
    };
    let error = Client::new(host).version().unwrap_err();
    assert!(matches!(error, OllamaError::NotRunning { .. }), "{error}");
    assert!(error.is_transient());
}

#[test]
fn another_program_is_foreign() {
    let fake = start(small());
    let host = format!("{}/somewhere", fake.host()).parse().unwrap();
    let error = Client::new(host).running().unwrap_err();
    assert!(
        matches!(error, OllamaError::Foreign { status: 404, .. }),
        "{error}"
    );
}

#[test]
fn cancel_stops_a_load_and_the_server_aborts_it() {
    let fake = start(Setup {
        load_ms: 600_000,
        ..small()
    });
    let cancel = Cancel::new();
    let client = fake.client().with_cancel(cancel.clone());
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| load(&client, 2048));
        eventually(|| fake.shared.scheduler.loads() > 0);
        cancel.cancel();
        assert!(matches!(
            loading.join().unwrap(),
            Err(OllamaError::Cancelled)
        ));
    });
    // Both the client and the server stop long before the load would end.
    eventually(|| fake.shared.scheduler.names().is_empty());
    assert!(fake.client().running().unwrap().is_empty());
}

#[test]
fn silent_load_is_aborted_by_the_stall_policy() {
    let fake = start(Setup {
        load_ms: 600_000,
        ..small()
    });
    let policy = Arc::new(StallTimeout::new(Duration::from_millis(200)));
    let profile = LoadProfile::new(2048);
    let error = fake
        .client()
        .load("m:1b", &profile, KeepAlive::Forever, Some(policy))
        .unwrap_err();
    assert!(
        matches!(error, OllamaError::Stalled { silent, .. } if silent.as_millis() >= 200),
        "{error}"
    );
}

#[test]
fn pull_reports_progress_and_failure() {
    let fake = start(small());
    let client = fake.client();
    let steps: Result<Vec<_>, _> = client.pull("new:1b").unwrap().collect();
    let steps = steps.unwrap();
    assert_eq!(steps[2].completed_bytes, Some(50));
    assert_eq!(steps.last().unwrap().status, "success");
    assert_eq!(client.installed().unwrap().len(), 2);
    let missing = client.pull("missing:1b").unwrap().find_map(Result::err);
    let Some(OllamaError::NotPulled { model, message }) = missing else {
        panic!("{missing:?}");
    };
    assert_eq!(model, "missing:1b");
    assert_eq!(message, "pull model manifest: file does not exist");
}

/// Generates on a server with slow tokens, and cancels after the first one.
fn cancelled_after_the_first(prompt: &Prompt) -> (Fake, OllamaError) {
    let fake = start(Setup {
        token_ms: 600_000,
        ..small()
    });
    let cancel = Cancel::new();
    let client = fake.client().with_cancel(cancel.clone());
    let mut chunks = client
        .generate("m:1b", &LoadProfile::new(2048), KeepAlive::Forever, prompt)
        .unwrap();
    assert_eq!(chunks.next().unwrap().unwrap().text(), "one ");
    let error = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| chunks.next().unwrap().unwrap_err());
        std::thread::sleep(Duration::from_millis(100));
        cancel.cancel();
        waiting.join().unwrap()
    });
    assert!(chunks.next().is_none(), "nothing follows");
    (fake, error)
}

#[test]
fn cancel_stops_a_stream_between_its_tokens() {
    for prompt in [
        Prompt::text("hello"),
        Prompt::chat(vec![Message::new("user", "hello")]),
    ] {
        let (_fake, error) = cancelled_after_the_first(&prompt);
        assert!(matches!(error, OllamaError::Cancelled), "{error}");
    }
}

#[test]
fn dropped_stream_stops_the_server() {
    let fake = start(Setup {
        token_ms: 600_000,
        ..small()
    });
    let client = fake.client();
    let prompt = Prompt::text("hello");
    let profile = LoadProfile::new(2048);
    let mut chunks = client
        .generate("m:1b", &profile, KeepAlive::UNLOAD, &prompt)
        .unwrap();
    chunks.next().unwrap().unwrap();
    drop(chunks);
    eventually(|| fake.shared.scheduler.names().is_empty());
}

#[test]
fn runner_that_ends_before_its_first_token_is_an_error() {
    let fake = start(small());
    fake.fault(Fault::RunnerStopped);
    let profile = LoadProfile::new(2048);
    let prompt = Prompt::text("hello");
    let error = fake
        .client()
        .generate("m:1b", &profile, KeepAlive::Forever, &prompt)
        .unwrap_err();
    assert!(matches!(error, OllamaError::RunnerEnded { .. }), "{error}");
    assert!(error.is_transient());
}

#[test]
fn only_an_old_server_checks_memory() {
    let error = |minor| {
        let fake = start(Setup {
            minor,
            system_bytes: 1 << 20,
            ..small()
        });
        load(&fake.client(), 2048).err()
    };
    assert!(matches!(error(24), Some(OllamaError::OutOfMemory { .. })));
    assert!(error(33).is_none());
}

#[test]
fn embedding_model_can_be_unloaded() {
    let mut embedding = Model::small("e:1b", 1 << 20);
    embedding.can_generate = false;
    let fake = start(Setup::of([embedding]));
    fake.post("/api/embed", &serde_json::json!({"model": "e:1b"}));
    let client = fake.client();
    assert_eq!(client.running().unwrap()[0].name, "e:1b");
    client.request_unload("e:1b").unwrap();
    eventually(|| client.running().unwrap().is_empty());
}

#[test]
fn expiry_may_lie_in_the_past_while_a_model_works() {
    let clock = Clock::default();
    let fake = Fake::start(
        Setup {
            token_ms: 200,
            ..small()
        },
        clock.clone(),
        Arc::new(Counted::default()),
    );
    let client = fake.client();
    let (profile, minute) = (
        LoadProfile::new(2048),
        KeepAlive::For(Duration::from_secs(60)),
    );
    client.load("m:1b", &profile, minute, None).unwrap();
    let before = client.running().unwrap()[0].expiry().unwrap();
    let prompt = Prompt::text("hello");
    let mut chunks = client.generate("m:1b", &profile, minute, &prompt).unwrap();
    chunks.next().unwrap().unwrap();
    clock.advance(Duration::from_secs(600));
    let during = client.running().unwrap()[0].expiry().unwrap();
    assert_eq!(during, before, "nine minutes ago, and the model works");
    chunks.collect_text().unwrap();
    let after = client.running().unwrap()[0].expiry().unwrap();
    assert!(after > before + Duration::from_secs(500));
}
