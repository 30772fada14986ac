//! What goes over the wire, as the server names it. Fields that this client does not know are kept in `other`.
//!
//! Source: Ollama 0.9.6 to 0.33, api/types.go.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::KeepAlive;
use super::info::ModelInfo;

/// Reads a list that Go may have written as `null`.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The body of every error.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) error: String,
}

/// `GET /api/version`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct VersionAnswer {
    pub(super) version: String,
}

/// What is known of a model's make.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Details {
    /// Architecture family, such as `llama`.
    pub family: String,
    /// Size as text, such as `3.2B`.
    pub parameter_size: String,
    /// Quantization of the weights, such as `Q4_K_M`.
    pub quantization_level: String,
    /// Context that the model was trained for, in tokens. `None` before 0.30.
    pub context_length: Option<u64>,
    /// Fields that this client does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `GET /api/tags`: one installed model.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct InstalledModel {
    /// Its name with tag.
    pub name: String,
    /// Bytes on disk, all layers.
    #[serde(default, rename = "size")]
    pub size_bytes: u64,
    /// Digest of its manifest, in hex.
    #[serde(default)]
    pub digest: String,
    /// Its make.
    #[serde(default)]
    pub details: Details,
    /// The computer that really runs it, for a cloud model.
    pub remote_host: Option<String>,
    /// Fields that this client does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl InstalledModel {
    /// Returns whether the model runs on somebody else's computer.
    #[must_use]
    pub fn is_cloud(&self) -> bool {
        self.remote_host.is_some() || is_cloud(&self.name)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct TagsAnswer {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) models: Vec<InstalledModel>,
}

/// `GET /api/ps`: one model that the server holds.
///
/// Being listed does not prove that its process lives, and an expiry in the past does not prove that it is stopping: it
/// is only written when a request ends. A model that loads is not listed since 0.30.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct RunningModel {
    /// Name under which it was loaded; an alias of the same weights is listed under the first name.
    pub name: String,
    /// Bytes of its buffers as the server read them from its log: weights, KV cache, compute. No process overhead and no
    /// prompt cache.
    #[serde(default, rename = "size")]
    pub size_bytes: u64,
    /// Part of `size_bytes` on a GPU.
    #[serde(default, rename = "size_vram")]
    pub gpu_bytes: u64,
    /// Digest of its manifest, in hex.
    #[serde(default)]
    pub digest: String,
    /// Its make.
    #[serde(default)]
    pub details: Details,
    /// When the server means to unload it, RFC 3339 with the server's offset.
    #[serde(default)]
    pub expires_at: String,
    /// Context of one slot in tokens. `None` before 0.10.
    pub context_length: Option<u64>,
    /// Fields that this client does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl RunningModel {
    /// Returns when the server means to unload it; `None` where that cannot be read.
    #[must_use]
    pub fn expiry(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(&self.expires_at, &Rfc3339).ok()
    }

    /// Bytes that are in main memory, as the server says.
    #[must_use]
    pub fn host_bytes(&self) -> u64 {
        self.size_bytes.saturating_sub(self.gpu_bytes)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PsAnswer {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) models: Vec<RunningModel>,
}

/// `POST /api/show`: what a model is made of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Show {
    /// The model's own description; its `FROM` line names the file of the weights.
    pub modelfile: String,
    /// The model's own parameters, one a line.
    pub parameters: String,
    /// Its make.
    pub details: Details,
    /// Figures of the file's header.
    #[serde(deserialize_with = "nullable")]
    pub model_info: ModelInfo,
    /// What it can do, such as `completion` and `vision`.
    #[serde(deserialize_with = "nullable")]
    pub capabilities: Vec<String>,
    /// The computer that really runs it, for a cloud model.
    pub remote_host: Option<String>,
    /// Bytes on disk. The server does not say it here; a saved answer may carry it.
    #[serde(rename = "size")]
    pub size_bytes: Option<u64>,
    /// The name. The server does not repeat it; a saved answer may carry it.
    pub model: Option<String>,
    /// Fields that this client does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Show {
    /// Returns the path of the file with the weights: the `--model` argument of the process that holds them.
    #[must_use]
    pub fn blob_path(&self) -> Option<&str> {
        let path = self
            .modelfile
            .lines()
            .find_map(|line| line.strip_prefix("FROM "))?
            .trim()
            .trim_matches('"');
        // A Windows path has no leading slash; a model's name has no separator that a path has.
        (path.starts_with('/') || path.contains('\\')).then_some(path)
    }
}

/// Options that the server compares before it reuses a loaded model: with any other value it loads the model again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct RunnerOptions {
    pub(super) num_ctx: u32,
    pub(super) num_batch: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) num_gpu: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) use_mmap: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) num_thread: Option<u32>,
}

/// `POST /api/generate` and `/api/chat`, and with neither prompt nor messages the load and unload request.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    pub(super) model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) messages: Option<&'a [Message]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keep_alive: Option<KeepAlive>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) truncate: Option<bool>,
}

/// One turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
    #[serde(default)]
    pub content: String,
}

impl Message {
    /// Makes a turn of `role`: `system`, `user` or `assistant`.
    #[must_use]
    pub fn new(role: &str, content: &str) -> Self {
        Self {
            role: role.to_owned(),
            content: content.to_owned(),
        }
    }
}

/// A piece of an answer to a generation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Piece {
    /// The next text of `generate`.
    pub response: String,
    /// The next text of `chat`.
    pub message: Message,
    /// Whether this is the last piece.
    pub done: bool,
    /// Why it is the last: `stop`, `length`, `load`, `unload`.
    pub done_reason: String,
    /// Tokens of the prompt that were evaluated; fewer than the prompt has where some were cached or cut. Last piece only.
    pub prompt_eval_count: Option<u64>,
    /// Tokens that were generated. Last piece only.
    pub eval_count: Option<u64>,
    /// Fields that this client does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Piece {
    /// Returns the text, whichever request it answers.
    #[must_use]
    pub fn text(&self) -> &str {
        if self.response.is_empty() {
            &self.message.content
        } else {
            &self.response
        }
    }
}

/// A step of a pull.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PullStep {
    /// What happens, such as `pulling manifest`; `success` at the end.
    pub status: String,
    /// The layer that is being fetched.
    pub digest: String,
    /// Bytes of the layer.
    #[serde(rename = "total")]
    pub total_bytes: Option<u64>,
    /// Bytes of it that are here.
    #[serde(rename = "completed")]
    pub completed_bytes: Option<u64>,
}

/// Returns whether a name stands for a model on somebody else's computer: its tag is `cloud` or ends in `-cloud`.
///
/// Source: Ollama 0.33, internal/modelref.
#[must_use]
pub fn is_cloud(model: &str) -> bool {
    model
        .rsplit_once(':')
        .is_some_and(|(_, tag)| tag == "cloud" || tag.ends_with("-cloud"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_model_keeps_what_it_does_not_know() {
        let text = r#"{"name":"m:latest","model":"m:latest","size":300,"size_vram":100,"digest":"ab","details":{"family":"llama","new":1},
            "expires_at":"2318-12-02T13:14:15.123456789+02:00","context_length":4096,"pinned":true}"#;
        let model: RunningModel = serde_json::from_str(text).unwrap();
        assert_eq!(model.host_bytes(), 200);
        assert_eq!(model.expiry().unwrap().year(), 2318);
        assert_eq!(model.other["pinned"], Value::Bool(true));
        assert_eq!(model.details.other["new"], Value::from(1));
    }

    #[test]
    fn null_list_is_empty() {
        let answer: PsAnswer = serde_json::from_str(r#"{"models":null}"#).unwrap();
        assert!(answer.models.is_empty());
    }

    #[test]
    fn cloud_names_are_known_by_their_tag() {
        assert!(is_cloud("gpt-oss:120b-cloud"));
        assert!(is_cloud("kimi:cloud"));
        assert!(!is_cloud("cloud"));
        assert!(!is_cloud("cloud-llama:3b"));
    }

    #[test]
    fn blob_path_is_the_from_line() {
        let show = |modelfile: &str| Show {
            modelfile: modelfile.to_owned(),
            ..Show::default()
        };
        let unix = show("# Modelfile\n# FROM x\nFROM /m/blobs/sha256-ab\nTEMPLATE y");
        assert_eq!(unix.blob_path(), Some("/m/blobs/sha256-ab"));
        assert_eq!(
            show("FROM C:\\m\\blobs\\sha256-ab").blob_path(),
            Some("C:\\m\\blobs\\sha256-ab")
        );
        assert_eq!(show("FROM llama3.2").blob_path(), None);
    }
}
