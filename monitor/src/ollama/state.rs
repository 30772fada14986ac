//! The identity of a model, and its state according to the server and the processes.

use serde::Serialize;

use super::client::wire::RunningModel;
use super::probe::{Probe, Runner};

/// State of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum ModelState {
    /// The server does not list it, and no process holds it.
    Absent,
    /// A process is loading it, and the server does not list it yet.
    Loading,
    /// A process holds it without growing, and the server does not list it: the server has lost
    /// the process, or the load makes no progress.
    Unlisted,
    /// The server lists it, and a process holds it.
    Resident,
    /// An unload was requested, and it is still there.
    Stopping,
    /// The server lists it, but its process has ended. The server notices at the next request.
    Ghost,
    /// A process whose server has ended holds it. No server will end that process.
    Orphan,
    /// Another program loaded it with a different context than the manager.
    ForeignReload,
}

/// The identity of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelId {
    /// Name with tag.
    pub(super) name: String,
    /// Digest of its manifest. Empty if it is unknown.
    pub(super) digest: String,
    /// Path of its weights.
    pub(super) blob: Option<String>,
}

impl ModelId {
    /// Finds the model in the server's list: by digest, because an alias is listed under the name
    /// that was loaded first, then by name.
    pub(super) fn find_listed<'a>(&self, list: &'a [RunningModel]) -> Option<&'a RunningModel> {
        let by_digest = list
            .iter()
            .find(|model| !self.digest.is_empty() && model.digest == self.digest);
        by_digest.or_else(|| {
            list.iter()
                .find(|model| full_name(&model.name) == self.name)
        })
    }

    /// Returns whether this entry of the server's list is the model.
    pub(super) fn is_listed_as(&self, model: &RunningModel) -> bool {
        self.find_listed(std::slice::from_ref(model)).is_some()
    }

    /// Returns whether a process of a running server holds the model.
    pub(super) fn is_held_by(&self, runner: &Runner) -> bool {
        !runner.is_orphan && Some(&runner.model_path) == self.blob.as_ref()
    }

    /// Returns the process that holds the model. `None` if there is none, or if processes are not
    /// visible.
    pub(super) fn runner(&self, probe: &dyn Probe) -> Option<Runner> {
        let runners = probe.runners()?;
        runners.into_iter().find(|runner| self.is_held_by(runner))
    }
}

/// Completes the name of a model: without a tag, the server assumes `latest`.
pub(super) fn full_name(model: &str) -> String {
    let last = model.rsplit('/').next().unwrap_or(model);
    if last.contains(':') {
        model.to_owned()
    } else {
        format!("{model}:latest")
    }
}

/// The observations that determine a state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence<'a> {
    pub(super) listed: Option<&'a RunningModel>,
    pub(super) runner: Option<&'a Runner>,
    /// Whether a runner of this model would be visible.
    pub(super) sees_runners: bool,
    /// The context that the manager loaded it with.
    pub(super) expected_ctx: Option<u32>,
    pub(super) unload_requested: bool,
    /// Whether the manager is loading it, or its process grows.
    pub(super) is_loading: bool,
}

impl Evidence<'_> {
    pub(super) fn state(&self) -> ModelState {
        match (self.listed, self.runner) {
            (None, None) => ModelState::Absent,
            (None, Some(runner)) if runner.is_orphan => ModelState::Orphan,
            (None, Some(_)) if self.unload_requested => ModelState::Stopping,
            (None, Some(_)) if self.is_loading => ModelState::Loading,
            (None, Some(_)) => ModelState::Unlisted,
            (Some(_), None) if self.sees_runners => ModelState::Ghost,
            (Some(_), _) if self.unload_requested => ModelState::Stopping,
            (Some(listed), _) if self.is_foreign(listed) => ModelState::ForeignReload,
            (Some(_), _) => ModelState::Resident,
        }
    }

    /// Returns whether the listed context differs from the manager's. The server clamps a context
    /// to the trained one, which a plan never exceeds.
    fn is_foreign(&self, listed: &RunningModel) -> bool {
        match (listed.context_length, self.expected_ctx) {
            (Some(actual), Some(expected)) => actual != u64::from(expected),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::ProcessId;

    fn listed(name: &str, digest: &str, ctx: u64) -> RunningModel {
        serde_json::from_value(serde_json::json!({
            "name": name, "digest": digest, "context_length": ctx
        }))
        .unwrap()
    }

    fn runner(is_orphan: bool) -> Runner {
        Runner {
            is_orphan,
            ..Runner::new(ProcessId::new(7, 8), "/b/sha256-a", None)
        }
    }

    #[test]
    fn every_state_follows_from_its_evidence() {
        let model = listed("m:latest", "d", 4096);
        let (child, orphan) = (runner(false), runner(true));
        let base = Evidence {
            sees_runners: true,
            expected_ctx: Some(4096),
            ..Evidence::default()
        };
        let requested = Evidence {
            unload_requested: true,
            ..base
        };
        let loading = Evidence {
            is_loading: true,
            ..base
        };
        let blind = Evidence {
            sees_runners: false,
            ..base
        };
        let other_ctx = Evidence {
            expected_ctx: Some(8192),
            ..base
        };
        let (model, child) = (Some(&model), Some(&child));
        for (listed, runner, evidence, expected) in [
            (None, None, base, ModelState::Absent),
            (None, child, loading, ModelState::Loading),
            (None, child, base, ModelState::Unlisted),
            (None, Some(&orphan), base, ModelState::Orphan),
            (None, child, requested, ModelState::Stopping),
            (model, child, base, ModelState::Resident),
            (model, child, requested, ModelState::Stopping),
            (model, None, base, ModelState::Ghost),
            (model, None, blind, ModelState::Resident),
            (model, child, other_ctx, ModelState::ForeignReload),
        ] {
            let evidence = Evidence {
                listed,
                runner,
                ..evidence
            };
            assert_eq!(evidence.state(), expected, "{evidence:?}");
        }
    }

    #[test]
    fn alias_is_found_by_digest() {
        let list = [listed("first:latest", "d", 1), listed("other:1b", "e", 1)];
        let find = |name: &str, digest: &str| {
            let id = ModelId {
                name: name.to_owned(),
                digest: digest.to_owned(),
                blob: None,
            };
            id.find_listed(&list).map(|model| model.name.clone())
        };
        assert_eq!(find("alias:latest", "d").as_deref(), Some("first:latest"));
        assert_eq!(find("other:1b", "").as_deref(), Some("other:1b"));
        assert_eq!(find("alias:latest", ""), None);
    }

    #[test]
    fn name_without_a_tag_means_latest() {
        assert_eq!(full_name("llama3.2"), "llama3.2:latest");
        assert_eq!(full_name("host:80/me/m"), "host:80/me/m:latest");
        assert_eq!(full_name("m:1b"), "m:1b");
    }
}
