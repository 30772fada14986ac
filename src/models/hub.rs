//! The server that models are fetched from.

use std::fmt;
use std::time::Duration;

/// The default server.
const ENDPOINT: &str = "https://huggingface.co";

/// Default silence after which a connection is closed.
const STALL: Duration = Duration::from_secs(30);

/// The server that models are fetched from, and how it is contacted.
///
/// # Examples
///
/// ```no_run
/// use steadyscribe::Cancel;
/// use steadyscribe::models::{Hub, Store};
///
/// let (store, model) = (Store::of_user()?, "base.en-q5_1".parse()?);
/// let show = &mut |event| println!("{event}");
/// let path = store.fetch(&model, &Hub::from_env(), &Cancel::new(), show)?;
/// println!("{}", path.display());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hub {
    /// The server: Hugging Face, or one with the same interface.
    pub endpoint: String,
    /// A token that is sent to the endpoint, and to no host that it redirects to. The published
    /// models need none.
    pub token: Option<String>,
    /// Whether no server may be contacted. A model that is not in the store is an error then.
    pub offline: bool,
    /// Silence after which a connection is closed and retried. A whole download has no time limit.
    pub stall: Duration,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            endpoint: ENDPOINT.into(),
            token: None,
            offline: false,
            stall: STALL,
        }
    }
}

impl Hub {
    /// Reads the environment variables of Hugging Face's own programs: `HF_ENDPOINT`, `HF_TOKEN`,
    /// `HF_HUB_OFFLINE`, and `HF_HUB_DOWNLOAD_TIMEOUT` in seconds.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        let mut hub = Self::default();
        if let Some(endpoint) = set("HF_ENDPOINT") {
            hub.endpoint = endpoint.trim().trim_end_matches('/').into();
        }
        hub.token = set("HF_TOKEN").map(|token| token.trim().into());
        let on =
            |value: String| matches!(&*value.trim().to_lowercase(), "1" | "on" | "yes" | "true");
        hub.offline = set("HF_HUB_OFFLINE").is_some_and(on);
        let stall_s = set("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|value| value.trim().parse().ok());
        if let Some(seconds) = stall_s.filter(|seconds| *seconds > 0) {
            hub.stall = Duration::from_secs(seconds);
        }
        hub
    }
}

/// Hides the token.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("offline", &self.offline)
            .field("stall", &self.stall)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_that_of_hugging_faces_programs() {
        let check = |set: &[(&str, &str)], expected: Hub| {
            let variable = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(Hub::from_variables(&variable), expected, "{set:?}");
        };
        check(&[], Hub::default());
        check(
            &[
                ("HF_ENDPOINT", "http://localhost:8080/"),
                ("HF_TOKEN", " hf_secret\n"),
                ("HF_HUB_OFFLINE", "True"),
                ("HF_HUB_DOWNLOAD_TIMEOUT", "5"),
            ],
            Hub {
                endpoint: "http://localhost:8080".into(),
                token: Some("hf_secret".into()),
                offline: true,
                stall: Duration::from_secs(5),
            },
        );
        for (name, value) in [
            ("HF_ENDPOINT", ""),
            ("HF_TOKEN", " "),
            ("HF_HUB_OFFLINE", "0"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "0"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
        ] {
            check(&[(name, value)], Hub::default());
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let hub = Hub {
            token: Some("hf_secret".into()),
            ..Hub::default()
        };
        assert!(!format!("{hub:?}").contains("hf_secret"));
    }
}
