//! What is loaded, for whom, and who must go first: policy without clock, network or thread.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use super::super::state::find_listed;
use super::super::unload::Target;
use super::super::{Estimate, LoadProfile, RunningModel, ServerTraits};
use crate::reader::ProcessId;

/// A model that we loaded.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) digest: String,
    pub(super) blob: Option<String>,
    pub(super) profile: LoadProfile,
    pub(super) estimate: Estimate,
    /// What the estimate took the server for.
    pub(super) server: ServerTraits,
    /// The process that holds it, once it was seen.
    pub(super) runner: Option<ProcessId>,
    /// Leases that are out.
    pub(super) users: usize,
    pub(super) last_used: Duration,
    pub(super) last_used_wall: OffsetDateTime,
    /// When the server was last told that it is wanted.
    pub(super) touched: Duration,
    /// Whether a job left the process larger than the limit allows.
    pub(super) is_bloated: bool,
}

/// The models that we loaded, by their whole names.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) held: BTreeMap<String, Held>,
}

impl Books {
    /// Bytes of all estimates.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held
            .values()
            .fold(0, |sum, held| sum.saturating_add(held.estimate.total_bytes))
    }

    /// Bytes of the estimates of models that nobody uses.
    pub(super) fn unused_bytes(&self) -> u64 {
        let idle = self.held.values().filter(|held| held.users == 0);
        idle.fold(0, |sum, held| sum.saturating_add(held.estimate.total_bytes))
    }

    /// Bytes that a load may take: what the limit leaves, and what the machine leaves beside the reserve, as if
    /// `freed` bytes of ours were free.
    pub(super) fn room_bytes(
        &self,
        limit: u64,
        available: Option<u64>,
        reserve: u64,
        freed: u64,
    ) -> u64 {
        let budget = limit.saturating_sub(self.held_bytes().saturating_sub(freed));
        available.map_or(budget, |bytes| {
            bytes
                .saturating_add(freed)
                .saturating_sub(reserve)
                .min(budget)
        })
    }

    /// The unused model that was used longest ago.
    pub(super) fn least_recently_used(&self) -> Option<&str> {
        let idle = self.held.iter().filter(|(_, held)| held.users == 0);
        idle.min_by_key(|(_, held)| held.last_used)
            .map(|(name, _)| name.as_str())
    }

    /// The unused models whose time is over, or whose process is bloated.
    pub(super) fn due(&self, now: Duration, idle_timeout: Option<Duration>) -> Vec<String> {
        let is_due = |held: &Held| {
            let idle = now.saturating_sub(held.last_used);
            held.is_bloated || idle_timeout.is_some_and(|timeout| idle >= timeout)
        };
        let idle = self.held.iter().filter(|(_, held)| held.users == 0);
        idle.filter(|(_, held)| is_due(held))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The unused models.
    pub(super) fn unused(&self) -> Vec<String> {
        let idle = self.held.iter().filter(|(_, held)| held.users == 0);
        idle.map(|(name, _)| name.clone()).collect()
    }

    /// The models that somebody uses.
    pub(super) fn in_use(&self) -> Vec<String> {
        let used = self.held.iter().filter(|(_, held)| held.users > 0);
        used.map(|(name, _)| name.clone()).collect()
    }

    /// How many models in use the server has lost, by a restart for instance, and the bytes of their estimates. Their
    /// users' next requests bring them back without asking us, so their places are taken.
    pub(super) fn lost_in_use(&self, list: &[RunningModel]) -> (usize, u64) {
        let lost = self.held.iter().filter(|(name, held)| {
            held.users > 0 && find_listed(list, name, &held.digest).is_none()
        });
        lost.fold((0, 0), |(count, bytes), (_, held)| {
            (count + 1, held.estimate.total_bytes.saturating_add(bytes))
        })
    }

    /// The name by which a model is held: its own, or another one of the same file, whose process the server shares.
    pub(super) fn key_of(&self, name: &str, blob: Option<&str>) -> Option<&str> {
        if let Some((key, _)) = self.held.get_key_value(name) {
            return Some(key);
        }
        let mut held = self.held.iter();
        let same = held.find(|(_, held)| blob.is_some() && held.blob.as_deref() == blob)?;
        Some(same.0)
    }

    /// Counts a lease out. `None`: the model is not held.
    pub(super) fn take(&mut self, name: &str) -> Option<&Held> {
        let held = self.held.get_mut(name)?;
        held.users += 1;
        Some(held)
    }

    /// Counts a lease back.
    pub(super) fn give_back(&mut self, name: &str, now: Duration, wall: OffsetDateTime) {
        if let Some(held) = self.held.get_mut(name) {
            held.users = held.users.saturating_sub(1);
            held.last_used = held.last_used.max(now);
            held.last_used_wall = wall;
        }
    }

    pub(super) fn target(&self, name: &str) -> Target {
        let held = self.held.get(name);
        Target {
            name: name.to_owned(),
            digest: held.map(|held| held.digest.clone()).unwrap_or_default(),
            blob: held.and_then(|held| held.blob.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(users: usize, last_used_s: u64, total_bytes: u64) -> Held {
        Held {
            digest: String::new(),
            blob: None,
            profile: LoadProfile::new(2048),
            estimate: Estimate {
                total_bytes,
                ..Estimate::default()
            },
            server: ServerTraits::default(),
            runner: None,
            users,
            last_used: Duration::from_secs(last_used_s),
            last_used_wall: OffsetDateTime::UNIX_EPOCH,
            touched: Duration::ZERO,
            is_bloated: false,
        }
    }

    fn books(models: &[(usize, u64, u64)]) -> Books {
        let held = models
            .iter()
            .enumerate()
            .map(|(n, &(users, last_used_s, bytes))| {
                (n.to_string(), held(users, last_used_s, bytes))
            });
        Books {
            held: held.collect(),
        }
    }

    #[test]
    fn idle_time_counts_to_the_second() {
        let books = books(&[(0, 100, 1)]);
        let timeout = Some(Duration::from_secs(50));
        assert!(books.due(Duration::from_secs(149), timeout).is_empty());
        assert_eq!(books.due(Duration::from_secs(150), timeout), ["0"]);
        assert!(books.due(Duration::from_secs(1 << 40), None).is_empty());
        // A clock that went back makes nothing due.
        assert!(books.due(Duration::ZERO, timeout).is_empty());
    }

    #[test]
    fn bloated_model_goes_after_its_job_only() {
        let mut books = books(&[(1, 0, 1), (0, 0, 1)]);
        for held in books.held.values_mut() {
            held.is_bloated = true;
        }
        assert_eq!(books.due(Duration::ZERO, None), ["1"]);
    }

    #[test]
    fn lost_models_in_use_keep_their_places() {
        let books = books(&[(1, 0, 30), (2, 0, 20), (0, 0, 10)]);
        assert_eq!(books.lost_in_use(&[]), (2, 50));
    }

    #[test]
    fn alias_is_held_under_the_first_name() {
        let mut books = books(&[(0, 0, 1), (0, 0, 1)]);
        books.held.get_mut("1").unwrap().blob = Some("file".to_owned());
        assert_eq!(books.key_of("alias", Some("file")), Some("1"));
        assert_eq!(books.key_of("0", Some("file")), Some("0"));
        assert_eq!(books.key_of("alias", Some("other")), None);
        assert_eq!(books.key_of("alias", None), None);
    }

    #[test]
    fn room_is_the_smaller_of_budget_and_machine() {
        let books = books(&[(0, 0, 30), (0, 0, 20)]);
        assert_eq!(books.room_bytes(100, Some(1000), 10, 0), 50);
        assert_eq!(books.room_bytes(100, Some(40), 10, 0), 30);
        assert_eq!(books.room_bytes(100, Some(40), 10, 15), 45);
        assert_eq!(books.room_bytes(100, None, 10, 0), 50);
        assert_eq!(books.room_bytes(40, Some(5), 10, 0), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn victim_is_unused_and_the_oldest(models in prop::collection::vec((0usize..3, 0u64..50, 0u64..9), 0..8)) {
            let books = books(&models);
            let oldest = models.iter().filter(|m| m.0 == 0).map(|m| m.1).min();
            let victim = books.least_recently_used().map(|name| &books.held[name]);
            prop_assert_eq!(victim.map(|held| held.last_used.as_secs()), oldest);
            prop_assert!(victim.is_none_or(|held| held.users == 0));
        }
    }
}
