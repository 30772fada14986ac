//! A browser that the tests drive, by the WebDriver protocol.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::ask;

pub(super) const SKIPPED: &str =
    "skipped: no chromedriver is installed (apt-get install chromium chromium-driver)";

/// A browser under remote control.
pub(super) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// `None`: no browser is installed.
    pub(super) fn start(dark: bool) -> Option<Self> {
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

    fn command(&self, command: &str, argument: &Value) -> Value {
        let path = format!("/session/{}/{command}", self.session);
        let headers = ["Content-Type: application/json"];
        ask(self.port, "POST", &path, &headers, &argument.to_string()).json()["value"].clone()
    }

    /// Sets the size of the window in pixels.
    pub(super) fn resize(&self, width: u32, height: u32) {
        self.command("window/rect", &json!({"width": width, "height": height}));
    }

    /// Presses and lets go of a key, wherever the focus is.
    pub(super) fn press(&self, key: char) {
        let strokes = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": strokes});
        self.command("actions", &json!({"actions": [keyboard]}));
    }

    pub(super) fn open(&self, address: &str) {
        self.command("url", &json!({"url": address}));
    }

    pub(super) fn evaluate(&self, script: &str) -> Value {
        self.command(
            "execute/sync",
            &json!({"script": format!("return {script}"), "args": []}),
        )
    }

    pub(super) fn eventually(&self, script: &str) {
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
    pub(super) fn picture(&self, name: &str) {
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
