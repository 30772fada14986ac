//! In which state a model is, as far as the server's list and the machine's processes tell together.

use serde::Serialize;

use super::sight::Runner;
use super::wire::RunningModel;

/// State of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum ModelState {
    /// Neither listed nor held by a process.
    Absent,
    /// A process grows, and the server does not list it yet.
    Loading,
    /// Listed, with its process.
    Resident,
    /// An unload was asked for, and it is still there.
    Stopping,
    /// Listed, but its process has ended: the server notices at the next request.
    Ghost,
    /// A process whose server has ended holds it: nobody will end it.
    Orphan,
    /// Another program loaded it with another context than ours.
    ForeignReload,
}

/// What a state follows from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence<'a> {
    pub(super) listed: Option<&'a RunningModel>,
    pub(super) runner: Option<&'a Runner>,
    /// Whether the runner would be seen if it were there.
    pub(super) sees_runners: bool,
    /// The context of our profile, where we loaded it.
    pub(super) our_ctx: Option<u32>,
    pub(super) unload_asked: bool,
}

impl Evidence<'_> {
    pub(super) fn state(&self) -> ModelState {
        match (self.listed, self.runner) {
            (None, None) => ModelState::Absent,
            (None, Some(runner)) if runner.is_orphan => ModelState::Orphan,
            (None, Some(_)) if self.unload_asked => ModelState::Stopping,
            (None, Some(_)) => ModelState::Loading,
            (Some(_), None) if self.sees_runners => ModelState::Ghost,
            (Some(_), _) if self.unload_asked => ModelState::Stopping,
            (Some(listed), _) if is_foreign(listed, self.our_ctx) => ModelState::ForeignReload,
            (Some(_), _) => ModelState::Resident,
        }
    }
}

/// Whether the listed context is not the one that we asked for. The server clamps ours to what the model was trained
/// for, which a plan never exceeds.
fn is_foreign(listed: &RunningModel, our_ctx: Option<u32>) -> bool {
    match (listed.context_length, our_ctx) {
        (Some(theirs), Some(ours)) => theirs != u64::from(ours),
        _ => false,
    }
}

/// The whole name of a model: without a tag, `latest` is meant.
pub(super) fn whole_name(model: &str) -> String {
    let last = model.rsplit('/').next().unwrap_or(model);
    if last.contains(':') {
        model.to_owned()
    } else {
        format!("{model}:latest")
    }
}

/// Finds a model in the server's list: by digest, since an alias is listed under the name that came first, then by name.
pub(super) fn find_listed<'a>(
    list: &'a [RunningModel],
    name: &str,
    digest: &str,
) -> Option<&'a RunningModel> {
    let by_digest = list
        .iter()
        .find(|model| !digest.is_empty() && model.digest == digest);
    by_digest.or_else(|| list.iter().find(|model| whole_name(&model.name) == name))
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
            our_ctx: Some(4096),
            ..Evidence::default()
        };
        let check = |listed, runner, evidence: Evidence<'_>, expected| {
            let evidence = Evidence {
                listed,
                runner,
                sees_runners: evidence.sees_runners,
                our_ctx: evidence.our_ctx,
                unload_asked: evidence.unload_asked,
            };
            assert_eq!(evidence.state(), expected, "{evidence:?}");
        };
        let asked = Evidence {
            unload_asked: true,
            ..base
        };
        check(None, None, base, ModelState::Absent);
        check(None, Some(&child), base, ModelState::Loading);
        check(None, Some(&orphan), base, ModelState::Orphan);
        check(None, Some(&child), asked, ModelState::Stopping);
        check(Some(&model), Some(&child), base, ModelState::Resident);
        check(Some(&model), Some(&child), asked, ModelState::Stopping);
        check(Some(&model), None, base, ModelState::Ghost);
        let blind = Evidence {
            sees_runners: false,
            ..base
        };
        check(Some(&model), None, blind, ModelState::Resident);
        let other = Evidence {
            our_ctx: Some(8192),
            ..base
        };
        check(Some(&model), Some(&child), other, ModelState::ForeignReload);
    }

    #[test]
    fn alias_is_found_by_digest() {
        let list = [listed("first:latest", "d", 1), listed("other:1b", "e", 1)];
        assert_eq!(
            find_listed(&list, "alias:latest", "d").unwrap().name,
            "first:latest"
        );
        assert_eq!(find_listed(&list, "other:1b", "").unwrap().name, "other:1b");
        assert!(find_listed(&list, "alias:latest", "").is_none());
    }

    #[test]
    fn name_without_tag_means_latest() {
        assert_eq!(whole_name("llama3.2"), "llama3.2:latest");
        assert_eq!(whole_name("host:80/me/m"), "host:80/me/m:latest");
        assert_eq!(whole_name("m:1b"), "m:1b");
    }
}
