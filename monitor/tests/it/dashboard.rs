//! The dashboard: who may ask, what it answers, and the page in a real browser.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use steadyscribe_monitor::alert::Kind;
use steadyscribe_monitor::model::Model;
use steadyscribe_monitor::monitor::{Monitor, Options};
use steadyscribe_monitor::server::{CLIENTS_MAX, Server, Stream};
use steadyscribe_monitor::{Component, Gauges, gauge::Unit};

use crate::http::{ask, listen};
use crate::types::Declarations;

struct Served {
    monitor: Arc<Monitor>,
    gauges: Gauges,
    port: u16,
    token: String,
}

/// Serves this process in a thread, until the end of the tests.
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
    monitor.watch(gauges.clone()).unwrap();
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
    let server = Server::bind(Arc::clone(&monitor), stream, 0).unwrap();
    let address = server.address();
    let (head, token) = address.split_once("/#t=").unwrap();
    let port = head.rsplit(':').next().unwrap().parse().unwrap();
    let token = token.to_owned();
    std::thread::spawn(move || server.run(Duration::from_millis(300)));
    while monitor.ticks() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    Served {
        monitor,
        gauges,
        port,
        token,
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
        ("models", "LoadedModel[]"),
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
    assert!(metrics.ends_with("# EOF\n"));
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
    served.monitor.set_budget_bytes(Some(1));
    assert!(
        clients[1].any(|line| line == "event: alert"),
        "a critical alert reaches the page"
    );
}

/// A browser that does what it is told, by the WebDriver protocol.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// `None`: no browser is installed.
    fn start(dark: bool) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
        };
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "chromedriver does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut arguments = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1200,2100",
        ];
        if dark {
            arguments.push("--blink-settings=preferredColorScheme=0");
        }
        let wanted =
            json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let made = ask(
            port,
            "POST",
            "/session",
            &["Content-Type: application/json"],
            &wanted.to_string(),
        );
        let id = made.json()["value"]["sessionId"]
            .as_str()
            .map(str::to_owned);
        browser.session = id.unwrap_or_else(|| panic!("no session: {}", made.body));
        Some(browser)
    }

    fn tell(&self, command: &str, argument: &Value) -> Value {
        let path = format!("/session/{}/{command}", self.session);
        let headers = ["Content-Type: application/json"];
        ask(self.port, "POST", &path, &headers, &argument.to_string()).json()["value"].clone()
    }

    fn open(&self, address: &str) {
        self.tell("url", &json!({"url": address}));
    }

    fn evaluate(&self, script: &str) -> Value {
        self.tell(
            "execute/sync",
            &json!({"script": format!("return {script}"), "args": []}),
        )
    }

    fn eventually(&self, script: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.evaluate(script) != true {
            assert!(
                Instant::now() < until,
                "{script}: {}",
                self.evaluate("document.body.innerText")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Saves what the browser shows, for people to look at.
    fn picture(&self, name: &str) {
        let path = format!("/session/{}/screenshot", self.session);
        let picture = ask(self.port, "GET", &path, &[], "").json();
        let bytes = base64(picture["value"].as_str().unwrap());
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000);
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            ask(
                self.port,
                "DELETE",
                &format!("/session/{}", self.session),
                &[],
                "",
            );
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.bytes().filter(|b| *b != b'=') {
        bits = bits << 6 | LETTERS.iter().position(|l| *l == letter).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

const SKIPPED: &str =
    "skipped: no chromedriver is installed (apt-get install chromium chromium-driver)";

#[test]
fn page_renders_updates_and_shows_a_critical_alert() {
    let Some(browser) = Browser::start(false) else {
        println!("{SKIPPED}");
        return;
    };
    let served = serve();
    browser.open(&format!(
        "http://127.0.0.1:{}/#t={}",
        served.port, served.token
    ));
    browser.eventually("document.getElementById('link').textContent === 'live'");
    assert_eq!(
        browser.evaluate("location.hash"),
        "",
        "the token leaves the address"
    );
    assert_eq!(
        browser.evaluate("document.cookie"),
        "",
        "scripts cannot read the token"
    );
    browser.eventually("document.querySelectorAll('#parts tbody tr').length === 6");
    browser.eventually("document.getElementById('level').textContent === 'Low pressure'");
    let text = "document.querySelector('#parts').innerText";
    assert!(
        browser
            .evaluate(text)
            .as_str()
            .unwrap()
            .contains("Audio\t7.8 MiB"),
        "{}",
        browser.evaluate(text)
    );
    panels_show_models_and_pipelines(&browser, &served);
    let held = vec![1_u8; 200 << 20];
    browser.evaluate("document.querySelector('[data-span=tenMinutes]').click()");
    browser.eventually("document.querySelectorAll('#chart path.area').length >= 2");
    browser.eventually("document.querySelectorAll('#course tbody tr').length >= 3");
    browser.eventually("parseFloat(document.querySelector('#figures dd').textContent) > 200");
    browser.picture("dashboard-light.png");

    served.monitor.set_budget_bytes(Some(100 << 20));
    browser.eventually("document.getElementById('level').dataset.level === 'Critical'");
    browser.eventually("document.getElementById('urgent').textContent.startsWith('Critical · System: memory pressure is Critical')");
    let pressure = steadyscribe_monitor::alert::Key::new(Kind::Pressure, None);
    assert!(served.monitor.acted(pressure, "unloaded llama3.2:3b"));
    browser.eventually(
        "document.getElementById('alerts').textContent.includes('Done: unloaded llama3.2:3b.')",
    );
    browser.picture("dashboard-critical.png");
    browser.evaluate("document.querySelector('#alerts button').click()");
    browser.eventually("document.getElementById('urgent').textContent === ''");
    assert!(held.iter().all(|b| *b == 1));
    let foreign = "performance.getEntriesByType('resource').filter(r => !r.name.startsWith(location.origin) && !r.name.startsWith('data:')).length";
    assert_eq!(
        browser.evaluate(foreign),
        0,
        "no request leaves this machine"
    );
}

/// What is drawn stands in a table, too, and both follow the figures.
fn panels_show_models_and_pipelines(browser: &Browser, served: &Served) {
    let text = |selector: &str| {
        let text = browser.evaluate(&format!("document.querySelector('{selector}').innerText"));
        text.as_str().unwrap().replace('\u{202f}', ",")
    };
    let models = text("#models");
    for row in [
        "llama3.2:3b\tOllama\t1.86 GiB\t700 MiB\t4,096\tunknown\tnever",
        "base.en\tAudio\t2.0 MiB\tunknown\tunknown\tworking\tunknown",
    ] {
        assert!(models.contains(row), "{models}");
    }
    let label = "document.querySelector('#model-bars svg').getAttribute('aria-label')";
    assert_eq!(
        browser.evaluate(label),
        "llama3.2:3b: 1.86 GiB in RAM, 700 MiB on the GPU"
    );
    assert_eq!(
        text("#pipe-bars figcaption"),
        "Audio holds 7.8 MiB · blocks queued 5 · segments queued 2 · rtf 0.310"
    );
    let pipes = text("#pipes");
    for row in [
        "Audio\tpool\t3.0 MiB",
        "Audio\tprocess private\t200 MiB",
        "Audio\trtf\t0.310",
    ] {
        assert!(pipes.contains(row), "{pipes}");
    }
    assert_eq!(
        browser.evaluate("document.querySelectorAll('#pipe-bars rect').length"),
        4
    );
    served
        .gauges
        .gauge("blocks_queued", Unit::Count)
        .unwrap()
        .set(31);
    browser.eventually(
        "document.querySelector('#pipe-bars figcaption').innerText.includes('blocks queued 31')",
    );
    browser.picture("dashboard-models.png");
    served.monitor.report_models(Component::Ollama, []);
    browser.eventually("document.querySelectorAll('#models tbody tr').length === 1");
}

#[cfg(feature = "cli")]
#[test]
fn page_survives_a_restart_of_the_server() {
    use std::io::{BufRead, BufReader};

    let Some(browser) = Browser::start(true) else {
        println!("{SKIPPED}");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let start = |port: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
            .args([
                "serve",
                "--interval",
                "0.3",
                "--port",
                port,
                "--token-file",
                token.to_str().unwrap(),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        (child, address.trim().to_owned())
    };
    let (mut server, address) = start("0");
    browser.open(&address);
    browser.eventually("document.getElementById('link').textContent === 'live'");
    server.kill().unwrap();
    server.wait().unwrap();
    browser.eventually("document.getElementById('link').textContent.startsWith('not connected')");
    browser.picture("dashboard-dark.png");
    let port = address
        .rsplit(':')
        .next()
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let (mut server, again) = start(port);
    assert_eq!(again, address, "the token is kept");
    browser.eventually("document.getElementById('link').textContent === 'live'");
    server.kill().unwrap();
    server.wait().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            token.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
