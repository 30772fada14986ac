//! The JSON of requests and responses, in the server's names. Unknown fields are kept in `other`.
//!
//! Source: Ollama 0.9.6 to 0.33, api/types.go.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::header::ModelInfo;
use super::profile::KeepAlive;

/// Parses a list that Go writes as `null` when it is empty.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The body of every error response.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) error: String,
}

/// `GET /api/version`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct VersionResponse {
    pub(super) version: String,
}

/// Kind and size of a model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ModelDetails {
    /// Architecture family, such as `llama`.
    pub family: String,
    /// Size as text, such as `3.2B`.
    pub parameter_size: String,
    /// Quantization of the weights, such as `Q4_K_M`.
    pub quantization_level: String,
    /// Context that the model was trained for, in tokens. `None` before 0.30.
    pub context_length: Option<u64>,
    /// Fields that this client does not use.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `GET /api/tags`: one installed model.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct InstalledModel {
    /// Name with tag.
    pub name: String,
    /// Bytes on disk, all layers.
    #[serde(default, rename = "size")]
    pub size_bytes: u64,
    /// Digest of its manifest, in hex.
    #[serde(default)]
    pub digest: String,
    /// Kind and size.
    #[serde(default)]
    pub details: ModelDetails,
    /// The host that runs a cloud model.
    pub remote_host: Option<String>,
    /// Fields that this client does not use.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl InstalledModel {
    /// Returns whether the model runs in the cloud.
    #[must_use]
    pub fn is_cloud(&self) -> bool {
        self.remote_host.is_some() || is_cloud(&self.name)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct TagsResponse {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) models: Vec<InstalledModel>,
}

/// `GET /api/ps`: one model that the server lists as loaded.
///
/// A listed model may have lost its process. An expiry in the past does not mean that the model is
/// stopping, because the expiry is only updated when a request ends. Since 0.30, a model that is
/// still loading is not listed.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct RunningModel {
    /// Name under which it was loaded. An alias of the same weights is listed under the first name.
    pub name: String,
    /// Bytes of its buffers, as the server read them from the runner's log: weights, KV cache and
    /// compute. Process overhead and prompt cache are missing.
    #[serde(default, rename = "size")]
    pub size_bytes: u64,
    /// Part of `size_bytes` that is on a GPU.
    #[serde(default, rename = "size_vram")]
    pub gpu_bytes: u64,
    /// Digest of its manifest, in hex.
    #[serde(default)]
    pub digest: String,
    /// Kind and size.
    #[serde(default)]
    pub details: ModelDetails,
    /// When the server intends to unload it: RFC 3339 with the server's offset.
    #[serde(default)]
    pub expires_at: String,
    /// Context of one slot, in tokens. `None` before 0.10.
    pub context_length: Option<u64>,
    /// Fields that this client does not use.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl RunningModel {
    /// Returns when the server intends to unload it, or `None` if that cannot be parsed.
    #[must_use]
    pub fn expiry(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(&self.expires_at, &Rfc3339).ok()
    }

    /// Returns the bytes in main memory that the server reports.
    #[must_use]
    pub fn host_bytes(&self) -> u64 {
        self.size_bytes.saturating_sub(self.gpu_bytes)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PsResponse {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) models: Vec<RunningModel>,
}

/// `POST /api/show`: the description of a model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ModelDescription {
    /// The model's Modelfile. Its `FROM` line names the file of the weights.
    pub modelfile: String,
    /// The model's own parameters, one on each line.
    pub parameters: String,
    /// Kind and size.
    pub details: ModelDetails,
    /// Figures of the file's header.
    #[serde(deserialize_with = "nullable")]
    pub(in crate::ollama) model_info: ModelInfo,
    /// Capabilities, such as `completion` and `vision`.
    #[serde(deserialize_with = "nullable")]
    pub capabilities: Vec<String>,
    /// The host that runs a cloud model.
    pub remote_host: Option<String>,
    /// Bytes on disk. The server omits it here; a saved response may include it.
    #[serde(rename = "size")]
    pub size_bytes: Option<u64>,
    /// The name. The server omits it here; a saved response may include it.
    pub model: Option<String>,
    /// Fields that this client does not use.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ModelDescription {
    /// Returns the path of the weights, which is the `--model` argument of the runner process.
    #[must_use]
    pub fn blob_path(&self) -> Option<&str> {
        let path = self
            .modelfile
            .lines()
            .find_map(|line| line.strip_prefix("FROM "))?
            .trim()
            .trim_matches('"');
        // A Windows path has no leading slash, and a model name has no backslash.
        (path.starts_with('/') || path.contains('\\')).then_some(path)
    }
}

/// `POST /api/generate` and `/api/chat`. Without prompt and messages it loads or unloads a model.
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
    /// Creates a turn of `role`: `system`, `user` or `assistant`.
    #[must_use]
    pub fn new(role: &str, content: &str) -> Self {
        Self {
            role: role.to_owned(),
            content: content.to_owned(),
        }
    }
}

/// A chunk of a generated response.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Chunk {
    /// The next text, in a response of `/api/generate`.
    pub response: String,
    /// The next text, in a response of `/api/chat`.
    pub message: Message,
    /// Whether this is the last chunk.
    pub done: bool,
    /// Why the response ended: `stop`, `length`, `load` or `unload`.
    pub done_reason: String,
    /// Prompt tokens that were evaluated, without cached and cut-off ones. Last chunk only.
    pub prompt_eval_count: Option<u64>,
    /// Tokens that were generated. Last chunk only.
    pub eval_count: Option<u64>,
    /// Fields that this client does not use.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Chunk {
    /// Returns the text of either kind of response.
    #[must_use]
    pub fn text(&self) -> &str {
        if self.response.is_empty() {
            &self.message.content
        } else {
            &self.response
        }
    }
}

/// Progress of a pull.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PullProgress {
    /// The current step, such as `pulling manifest`. The last one is `success`.
    pub status: String,
    /// Digest of the layer that is being downloaded.
    pub digest: String,
    /// Bytes of the layer.
    #[serde(rename = "total")]
    pub total_bytes: Option<u64>,
    /// Bytes of the layer that have been downloaded.
    #[serde(rename = "completed")]
    pub completed_bytes: Option<u64>,
}

/// Returns whether a name denotes a cloud model: its tag is `cloud` or ends in `-cloud`.
///
/// Source: Ollama 0.33, internal/modelref.
#[must_use]
pub(super) fn is_cloud(model: &str) -> bool {
    model
        .rsplit_once(':')
        .is_some_and(|(_, tag)| tag == "cloud" || tag.ends_with("-cloud"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_kept() {
        let text = r#"{"name":"m:latest","model":"m:latest","size":300,"size_vram":100,
            "digest":"ab","details":{"family":"llama","new":1},
            "expires_at":"2318-12-02T13:14:15.123456789+02:00","context_length":4096,
            "pinned":true}"#;
        let model: RunningModel = serde_json::from_str(text).unwrap();
        assert_eq!(model.host_bytes(), 200);
        assert_eq!(model.expiry().unwrap().year(), 2318);
        assert_eq!(model.other["pinned"], Value::Bool(true));
        assert_eq!(model.details.other["new"], Value::from(1));
    }

    #[test]
    fn null_list_is_empty() {
        let response: PsResponse = serde_json::from_str(r#"{"models":null}"#).unwrap();
        assert!(response.models.is_empty());
    }

    #[test]
    fn cloud_models_are_recognized_by_their_tag() {
        assert!(is_cloud("gpt-oss:120b-cloud"));
        assert!(is_cloud("kimi:cloud"));
        assert!(!is_cloud("cloud"));
        assert!(!is_cloud("cloud-llama:3b"));
    }

    #[test]
    fn blob_path_is_the_from_line() {
        let show = |modelfile: &str| ModelDescription {
            modelfile: modelfile.to_owned(),
            ..ModelDescription::default()
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
