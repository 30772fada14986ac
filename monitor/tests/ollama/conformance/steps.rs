//! Observes step by step what a server does with the process of a model.

use std::sync::Arc;

use serde_json::{Value, json};
use steadyscribe_monitor::ollama::{
    Cancel, Client, KeepAlive, LoadProfile, LocalProbe, Manager, Probe, Prompt, Settings,
};
use time::OffsetDateTime;

/// A server and its machine.
pub struct Watched<'a> {
    pub client: &'a Client,
    pub probe: Arc<LocalProbe>,
    pub model: &'a str,
}

impl Watched<'_> {
    /// Loads, uses and unloads the model, and describes its process after each step. Before, the
    /// server must hold no model, but may still be unloading one.
    pub fn steps(&self) -> Vec<String> {
        self.manager().unload(self.model).unwrap();
        let mut lines = Vec::new();
        let mut last = None;
        let mut step = |name: &str, watched: &Self| {
            let now = watched.pid();
            let process = match (last, now) {
                (_, None) => "no process",
                (None, Some(_)) => "a process",
                (Some(before), Some(now)) if before == now => "the same process",
                _ => "another process",
            };
            last = now;
            lines.push(format!(
                "{name}: {process}, context {:?}",
                watched.context()
            ));
        };
        step("before", self);
        self.load(2048, KeepAlive::Forever);
        step("load", self);
        self.load(2048, KeepAlive::Forever);
        step("the same profile", self);
        self.load(1024, KeepAlive::Forever);
        step("a smaller context", self);
        self.generate(1024);
        step("a generation with the profile", self);
        self.generate(2048);
        step("a generation with another context", self);
        lines.extend(self.times());
        lines.extend(self.unload());
        lines
    }

    fn manager(&self) -> Manager {
        Manager::new(self.client.clone(), self.probe.clone(), Settings::default())
    }

    fn load(&self, num_ctx: u32, keep_alive: KeepAlive) {
        let profile = LoadProfile::new(num_ctx);
        self.client
            .load(self.model, &profile, keep_alive, None)
            .unwrap();
    }

    fn generate(&self, num_ctx: u32) {
        let prompt = Prompt::text("Say yes.").option("num_predict", 1);
        let profile = LoadProfile::new(num_ctx);
        let client = self.client.with_cancel(Cancel::new());
        let answers = client.generate(self.model, &profile, KeepAlive::Forever, &prompt);
        answers.unwrap().collect_text().unwrap();
    }

    /// Returns the number of the process that holds the model.
    fn pid(&self) -> Option<u32> {
        let show = self.client.show(self.model, false).unwrap();
        let blob = show.blob_path().unwrap().to_owned();
        let mut runners = self.probe.runners().unwrap().into_iter();
        let runner = runners.find(|runner| runner.model_path == blob && !runner.is_orphan);
        runner.map(|runner| runner.id.pid)
    }

    fn context(&self) -> Option<u64> {
        self.client.running().unwrap().first()?.context_length
    }

    /// Describes how the server parses each form of `keep_alive`.
    fn times(&self) -> Vec<String> {
        let values = [
            json!(600),
            json!("10m"),
            json!("1h30m"),
            Value::Null,
            json!(-1),
            json!("-1m"),
        ];
        let times = values.into_iter().map(|value| {
            let body = json!({"model": self.model, "keep_alive": value,
                "options": {"num_ctx": 2048, "num_batch": 512}});
            self.post(&body);
            let expiry = self.client.running().unwrap()[0].expiry().unwrap();
            let minutes = (expiry - OffsetDateTime::now_utc()).whole_seconds() as f64 / 60.0;
            let kept = if minutes > 1e6 {
                "forever".to_owned()
            } else {
                format!("{minutes:.0} min")
            };
            format!("keep_alive {value}: {kept}")
        });
        times.collect()
    }

    /// Sends a request that the client would not send.
    fn post(&self, body: &Value) {
        use std::io::{Read, Write};
        let address = self.client.host().to_string();
        let address = address.trim_start_matches("http://");
        let (mut stream, body) = (
            std::net::TcpStream::connect(address).unwrap(),
            body.to_string(),
        );
        write!(
            stream,
            "POST /api/generate HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
    }

    fn unload(&self) -> Vec<String> {
        let manager = self.manager();
        let before = manager.model_state(self.model).unwrap();
        let result = manager.unload(self.model).unwrap();
        let unloaded = &result.unloaded[0];
        let after = manager.model_state(self.model).unwrap();
        super::report(&format!(
            "unloaded in {} ms, memory back: {:?}, {:?}",
            unloaded.waited_ms, unloaded.memory_back, unloaded.difference
        ));
        vec![
            format!("unload: {before:?} before, {after:?} after"),
            format!(
                "unload: gone from the list {}, process ended {:?}",
                unloaded.gone_from_list, unloaded.process_ended
            ),
        ]
    }
}
