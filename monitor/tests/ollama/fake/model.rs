//! Installed models, and the options of a load.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// 292 years, which is how the server stores "forever".
pub const FOR_EVER: Duration = Duration::from_secs(292 * 365 * 86_400);

#[derive(Clone, Debug)]
pub struct Model {
    pub name: String,
    pub digest: String,
    pub blob: String,
    pub size: u64,
    pub info: Value,
    /// Figures of each layer, which only a verbose `show` includes.
    pub arrays: Value,
    pub trained_ctx: u64,
    pub is_vision: bool,
    pub can_generate: bool,
    pub remote_host: Option<String>,
    pub quantization: &'static str,
}

impl Model {
    /// Creates a small model with 8 layers and 4 KV heads of 64: 1024 tokens take 8 MiB in f16.
    pub fn small(name: &str, size: u64) -> Self {
        let id: u64 = name
            .bytes()
            .fold(7, |id, byte| id.wrapping_mul(31).wrapping_add(byte.into()));
        Self {
            name: name.to_owned(),
            digest: format!("{id:016x}"),
            blob: format!("/m/blobs/sha256-{id:016x}"),
            size,
            info: json!({
                "general.architecture": "llama", "llama.block_count": 8,
                "llama.embedding_length": 512, "llama.feed_forward_length": 1024,
                "llama.attention.head_count": 8, "llama.attention.head_count_kv": 4,
                "llama.context_length": 32768, "llama.vocab_size": 32000,
                "tokenizer.ggml.tokens": null
            }),
            arrays: json!({}),
            trained_ctx: 32768,
            is_vision: false,
            can_generate: true,
            remote_host: None,
            quantization: "Q4_0",
        }
    }

    /// Returns the same model under another name.
    pub fn alias(&self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self.clone()
        }
    }

    /// Returns a derived model with another manifest over the same weights.
    pub fn derived(&self, name: &str) -> Self {
        Self {
            digest: Self::small(name, 0).digest,
            ..self.alias(name)
        }
    }

    pub fn capabilities(&self) -> Value {
        let vision = if self.is_vision { "vision" } else { "tools" };
        if self.can_generate {
            json!(["completion", vision])
        } else {
            json!(["embedding"])
        }
    }

    pub fn show(&self, verbose: bool, minor: u32) -> Value {
        let mut info = self.info.clone();
        if verbose {
            let arrays = self.arrays.as_object().unwrap().clone();
            info.as_object_mut().unwrap().extend(arrays);
        }
        json!({
            "license": "a license",
            "modelfile": format!("# Modelfile\nFROM {}\nTEMPLATE {{{{ .Prompt }}}}\n", self.blob),
            "parameters": "", "template": "{{ .Prompt }}", "details": self.details(minor),
            "model_info": info, "capabilities": self.capabilities(),
            "modified_at": "2026-08-21T18:48:22.1+02:00"
        })
    }

    pub fn details(&self, minor: u32) -> Value {
        let mut details = json!({
            "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
            "parameter_size": "0.1B", "quantization_level": self.quantization
        });
        if minor >= 30 {
            details["context_length"] = json!(self.trained_ctx);
            details["embedding_length"] = json!(512);
        }
        details
    }

    /// Returns the bytes of the model with a context: reported by `/api/ps`, taken by the process.
    pub fn bytes(&self, options: &Options, parallel: u64) -> u64 {
        let ctx = options.ctx(self).next_multiple_of(256);
        let kv = ctx * parallel * 8 * 4 * 128 * 2;
        let batch = options.num_batch.unwrap_or(match ctx {
            0..=4096 => 512,
            4097..=32768 => 1024,
            _ => 2048,
        });
        self.size + kv + batch * (1024 * 8 + 512 * 26 + 2 * ctx * parallel)
    }
}

/// Options that take effect at a load. `None` means that the request omits the option.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    pub num_ctx: Option<u64>,
    pub num_batch: Option<u64>,
    pub num_gpu: Option<i64>,
    pub main_gpu: Option<i64>,
    pub use_mmap: Option<bool>,
    pub num_thread: Option<i64>,
    pub draft_num_predict: Option<i64>,
    pub shift: Option<bool>,
}

impl Options {
    pub fn parse(body: &Map<String, Value>) -> Result<Self, String> {
        let empty = Map::new();
        let options = body
            .get("options")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let whole = |name: &str| match options.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(format!("option \"{name}\" must be of type integer")),
            },
        };
        let use_mmap = match options.get("use_mmap") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(value)) => Some(*value),
            Some(_) => return Err("option \"use_mmap\" must be of type boolean".to_owned()),
        };
        Ok(Self {
            num_ctx: whole("num_ctx")?.map(i64::unsigned_abs),
            num_batch: whole("num_batch")?.map(i64::unsigned_abs),
            num_gpu: whole("num_gpu")?,
            main_gpu: whole("main_gpu")?,
            use_mmap,
            num_thread: whole("num_thread")?,
            draft_num_predict: whole("draft_num_predict")?,
            shift: body.get("shift").and_then(Value::as_bool),
        })
    }

    pub fn ctx(&self, model: &Model) -> u64 {
        let least = if model.is_vision { 2048 } else { 4 };
        self.num_ctx
            .unwrap_or(4096)
            .max(least)
            .min(model.trained_ctx)
    }

    /// Returns whether a request with `self` must reload a model that was loaded with `loaded`.
    pub fn needs_reload(&self, loaded: &Self, model: &Model) -> bool {
        let asked_gpu = self.num_gpu.filter(|layers| *layers >= 0);
        self.ctx(model) != loaded.ctx(model)
            || self.num_batch.is_some_and(|batch| Some(batch) != loaded.num_batch)
            || asked_gpu.is_some_and(|layers| Some(layers) != loaded.num_gpu)
            || self.main_gpu != loaded.main_gpu
            // An explicit choice must be repeated; the server's own choice need not be.
            || self.use_mmap != loaded.use_mmap
            || self.num_thread != loaded.num_thread
            || self.draft_num_predict != loaded.draft_num_predict
            || self.shift.is_some_and(|shift| Some(shift) != loaded.shift)
    }
}

/// Parses `keep_alive` like the server. `Ok(None)` means that the request omits it.
pub fn keep_alive(value: Option<&Value>) -> Result<Option<Duration>, String> {
    let seconds = |number: f64| {
        if number < 0.0 {
            FOR_EVER
        } else {
            Duration::from_secs_f64(number).min(FOR_EVER)
        }
    };
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(seconds(number.as_f64().unwrap()))),
        Some(Value::String(text)) => go_duration(text).map(|number| Some(seconds(number))),
        Some(Value::Bool(_)) => Err("Unsupported type: 'bool'".to_owned()),
        Some(_) => Err("Unsupported type".to_owned()),
    }
}

/// Parses a duration such as `1h30m`, `-1m` or `0` into seconds.
fn go_duration(text: &str) -> Result<f64, String> {
    let invalid = || format!("time: invalid duration \"{text}\"");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest == "0" {
        return Ok(0.0);
    }
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit_end] {
                "" => return Err(format!("time: missing unit in duration \"{text}\"")),
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(invalid()),
            };
        rest = &rest[unit_end..];
    }
    Ok(sign * seconds)
}

#[test]
fn keep_alive_is_read_as_the_server_reads_it() {
    let check = |value: Value, expected: Result<Option<u64>, &str>| {
        let read = keep_alive(Some(&value)).map(|time| time.map(|time| time.as_secs()));
        assert_eq!(read, expected.map_err(str::to_owned), "{value}");
    };
    check(json!(300), Ok(Some(300)));
    check(json!("10m"), Ok(Some(600)));
    check(json!("1h30m"), Ok(Some(5400)));
    check(json!("0"), Ok(Some(0)));
    check(json!("0s"), Ok(Some(0)));
    check(json!(-1), Ok(Some(FOR_EVER.as_secs())));
    check(json!("-1m"), Ok(Some(FOR_EVER.as_secs())));
    check(json!(null), Ok(None));
    check(json!("300"), Err("time: missing unit in duration \"300\""));
    check(json!(true), Err("Unsupported type: 'bool'"));
}

#[test]
fn context_is_clamped_as_the_server_clamps_it() {
    let mut model = Model::small("m:1b", 1);
    let ctx = |model: &Model, num_ctx| {
        let options = Options {
            num_ctx,
            ..Options::default()
        };
        options.ctx(model)
    };
    assert_eq!(ctx(&model, None), 4096);
    assert_eq!(ctx(&model, Some(1)), 4);
    assert_eq!(ctx(&model, Some(1 << 20)), 32768);
    model.is_vision = true;
    assert_eq!(ctx(&model, Some(1024)), 2048);
}

#[test]
fn options_reload_as_on_the_server() {
    let model = Model::small("m:1b", 1);
    let parse = |options: Value, shift: Value| {
        let body = json!({"options": options, "shift": shift});
        Options::parse(body.as_object().unwrap()).unwrap()
    };
    let profile = json!({"num_ctx": 8192, "num_batch": 512, "use_mmap": true});
    let check = |asked: Value, shift: Value, expected: bool| {
        let reloads =
            parse(asked.clone(), shift).needs_reload(&parse(profile.clone(), Value::Null), &model);
        assert_eq!(reloads, expected, "{asked}");
    };
    let with = |name: &str, value: Value| {
        let mut options = profile.clone();
        options[name] = value;
        options
    };
    check(profile.clone(), Value::Null, false);
    check(with("num_ctx", json!(4096)), Value::Null, true);
    check(with("num_batch", json!(256)), Value::Null, true);
    check(with("num_batch", Value::Null), Value::Null, false);
    check(with("use_mmap", Value::Null), Value::Null, true);
    check(with("num_gpu", json!(-1)), Value::Null, false);
    check(with("num_gpu", json!(0)), Value::Null, true);
    check(with("main_gpu", json!(1)), Value::Null, true);
    check(with("num_thread", json!(2)), Value::Null, true);
    check(with("draft_num_predict", json!(2)), Value::Null, true);
    check(with("temperature", json!(0.5)), Value::Null, false);
    check(profile.clone(), json!(false), true);
}
