//! The dashboard: access, answers, and the page in a real browser.

mod browser;
mod page;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use steadyscribe_monitor::model::Model;
use steadyscribe_monitor::monitor::{Monitor, Options};
use steadyscribe_monitor::server::{CLIENTS_MAX, Dashboard, Embedded, Stream};
use steadyscribe_monitor::{Component, Gauges, gauge::Unit};

use crate::http::{ask, listen};
use crate::types::Declarations;

struct Served {
    monitor: Arc<Monitor>,
    gauges: Gauges,
    port: u16,
    token: String,
    _server: Embedded,
}

/// Serves the figures of this process.
fn serve() -> Served {
    let stream = Stream::new();
    let mut options = Options::default();
    options.channels.push(Box::new(stream.channel()));
    let monitor = Arc::new(Monitor::new(options).unwrap());
    let gauges = Gauges::new(Component::Audio);
    gauges.gauge("pool", Unit::HeldBytes).unwrap().set(3 << 20);
    // As the library's pipeline names them.
    for (name, unit, value) in [
        ("window", Unit::HeldBytes, 1_920_000),
        ("model", Unit::HeldBytes, 2 << 20),
        ("state", Unit::HeldBytes, 1 << 20),
        ("process_private", Unit::Bytes, 200 << 20),
        ("blocks_queued", Unit::Count, 5),
        ("segments_queued", Unit::Count, 2),
    ] {
        gauges.gauge(name, unit).unwrap().set(value);
    }
    gauges.ratio("rtf").unwrap().set(0.31);
    monitor.register(&gauges).unwrap();
    let whisper = Model::new("base.en").ram_bytes(2 << 20).busy(true);
    monitor.report_models(Component::Audio, [whisper]);
    let llama = Model::new("llama3.2:3b")
        .ram_bytes(1_900 << 20)
        .gpu_bytes(700 << 20);
    let llama = llama
        .context_tokens(4_096)
        .unload_unix_ms(9_000_000_000_000_000);
    monitor.report_models(Component::Ollama, [llama]);
    // A claim counts only as far as the process really holds so much.
    std::hint::black_box(vec![1_u8; 16 << 20].leak());
    let interval = Duration::from_millis(300);
    monitor.start_continuous_monitoring(interval).unwrap();
    let dashboard = Dashboard::new(Arc::clone(&monitor), stream).unwrap();
    let server = dashboard.start(0).unwrap();
    let (head, token) = server.address().split_once("/#t=").unwrap();
    let port = head.rsplit(':').next().unwrap().parse().unwrap();
    let token = token.to_owned();
    while monitor.ticks() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    Served {
        monitor,
        gauges,
        port,
        token,
        _server: server,
    }
}

impl Served {
    fn get(&self, path: &str) -> crate::http::Answer {
        let bearer = format!("Authorization: Bearer {}", self.token);
        ask(self.port, "GET", path, &[&bearer], "")
    }
}

#[test]
fn strangers_are_refused() {
    let served = serve();
    let bearer = format!("Authorization: Bearer {}", served.token);
    for (path, headers, expected) in [
        ("/", &[][..], 200),
        ("/app.js", &[], 200),
        ("/", &["Host: evil.example"], 403),
        ("/api/v1/usage", &[], 401),
        ("/metrics", &[], 401),
        (
            "/api/v1/usage",
            &["Authorization: Bearer 00000000000000000000000000000000"],
            401,
        ),
        ("/api/v1/usage", &[&bearer], 200),
        (
            "/api/v1/usage",
            &[&bearer, "Origin: http://evil.example"],
            403,
        ),
        (
            "/api/v1/usage",
            &[&bearer, "Sec-Fetch-Site: cross-site"],
            403,
        ),
        ("/nothing", &[&bearer], 404),
    ] {
        let answer = ask(served.port, "GET", path, headers, "");
        assert_eq!(answer.status, expected, "{path} {headers:?}");
        assert!(
            answer
                .headers
                .contains("content-security-policy: default-src 'none'"),
            "{path}"
        );
        assert!(
            answer.headers.contains("x-content-type-options: nosniff"),
            "{path}"
        );
    }
}

#[test]
fn changes_need_the_token_the_right_type_and_a_short_body() {
    let served = serve();
    let bearer = format!("Authorization: Bearer {}", served.token);
    let answer = ask(served.port, "POST", "/api/v1/session", &[&bearer], "");
    assert!(
        answer.headers.contains("httponly; samesite=strict"),
        "{}",
        answer.headers
    );
    let cookie = format!("Cookie: steadyscribe-{}={}", served.port, served.token);
    assert_eq!(
        ask(served.port, "GET", "/api/v1/state", &[&cookie], "").status,
        200
    );
    let form = [bearer.as_str(), "Content-Type: text/plain"];
    let body = r#"{"kind":"pressure","component":null}"#;
    assert_eq!(
        ask(
            served.port,
            "POST",
            "/api/v1/alerts/acknowledge",
            &form,
            body
        )
        .status,
        415
    );
    let long = format!("{{\"kind\":\"{}\"}}", "x".repeat(70_000));
    let typed = [bearer.as_str(), "Content-Type: application/json"];
    assert_eq!(
        ask(
            served.port,
            "POST",
            "/api/v1/alerts/acknowledge",
            &typed,
            &long
        )
        .status,
        413
    );
}

#[test]
fn answers_are_complete() {
    let served = serve();
    let state = served.get("/api/v1/state").json();
    assert_eq!(
        state["pipelines"][1]["gauges"][0],
        json!({"name": "pool", "unit": "heldBytes", "value": 3 << 20})
    );
    let held = (6 << 20) + 1_920_000;
    assert_eq!(
        state["usage"]["componentBreakdown"][1]["currentUsage"],
        held
    );
    assert_eq!(state["models"][0]["name"], "llama3.2:3b");
    let types = Declarations::read();
    types.check("State", &state, "state");
    for (path, kind) in [
        ("usage", "MemoryUsageReport"),
        ("metrics", "MemoryMetrics"),
        ("alerts", "MemoryAlert[]"),
        ("models", "ReportedModel[]"),
        ("pipelines", "Pipeline[]"),
        ("report", "MemoryAnalysisReport"),
        ("history", "Course[]"),
    ] {
        types.check(kind, &served.get(&format!("/api/v1/{path}")).json(), path);
    }
    let courses = served.get("/api/v1/history?span=tenMinutes").json();
    assert_eq!(courses.as_array().unwrap().len(), 8);
    assert_eq!(served.get("/api/v1/history?span=always").status, 400);
    assert!(
        served
            .get("/api/v1/report?format=md")
            .body
            .starts_with("# Memory report")
    );
    assert!(
        served
            .get("/api/v1/report?format=html")
            .headers
            .contains("attachment")
    );
    let metrics = served.get("/metrics").body;
    assert!(metrics.contains("steadyscribe_component_private_bytes{component=\"Audio\"} 8211456"));
    let model = "model_ram_bytes{component=\"Ollama\",model=\"llama3.2:3b\"} 1992294400";
    assert!(metrics.contains(model), "{metrics}");
    assert!(
        metrics.contains("name=\"rtf\",unit=\"ratio\"} 0.31"),
        "{metrics}"
    );
    check_openmetrics(&metrics);
    let twice = [
        Model::new("a\"b").ram_bytes(5),
        Model::new("a\"b").ram_bytes(7),
    ];
    served.monitor.report_models(Component::Backend, twice);
    let metrics = served.get("/metrics").body;
    check_openmetrics(&metrics);
    let both = "model_ram_bytes{component=\"Backend\",model=\"a\\\"b\"} 12\n";
    assert!(metrics.contains(both), "{metrics}");
}

/// What OpenMetrics 1.0 demands: each family once and in one piece, its unit in its name, no series
/// twice, `# EOF` last.
fn check_openmetrics(text: &str) {
    let lines = text.strip_suffix("# EOF\n").expect("# EOF is last").lines();
    let (mut families, mut series) = (HashSet::new(), HashSet::new());
    let mut family = "";
    for line in lines {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(families.insert(name), "{name} twice");
            assert_eq!(kind, "gauge", "{name}");
            family = name;
        } else if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').unwrap();
            assert!(
                name == family && name.ends_with(&format!("_{unit}")),
                "{line}"
            );
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.starts_with(&format!("{family} ")), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(name), "{name} twice");
            let labels = name.strip_prefix(family).expect("in its family");
            assert!(labels.is_empty() || (labels.starts_with('{') && labels.ends_with('}')));
        }
    }
    assert!(families.len() > 10 && series.len() > 40);
}

#[test]
fn stream_is_live_and_its_clients_are_limited() {
    let served = serve();
    let mut clients: Vec<_> = (0..CLIENTS_MAX)
        .map(|_| listen(served.port, &served.token))
        .collect();
    for client in &mut clients {
        assert!(client.any(|line| line == "event: state"));
    }
    assert!(
        listen(served.port, &served.token)
            .next()
            .unwrap()
            .contains("503")
    );
    let first = &mut clients[0];
    let ids: Vec<u64> = first
        .filter_map(|l| l.strip_prefix("id: ")?.parse().ok())
        .take(3)
        .collect();
    assert!(ids.windows(2).all(|w| w[0] < w[1]), "{ids:?}");
    let audio = Component::Audio;
    served.monitor.set_limit_bytes(audio, Some(1));
    assert!(
        clients[1].any(|line| line == "event: alert"),
        "a critical alert reaches the page"
    );
}
