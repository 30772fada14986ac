//! Which models are resident, what fits beside them, and which one must go first.
//!
//! Everything here is policy: no clock, no network, no thread.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use super::catalog::Catalog;
use super::settings::Settings;
use crate::ollama::client::profile::LoadProfile;
use crate::ollama::client::server::Version;
use crate::ollama::client::wire::RunningModel;
use crate::ollama::outcome::{ManagerError, ModelEvent};
use crate::ollama::plan::estimate::{Estimate, ServerTraits};
use crate::ollama::plan::shape::ModelShape;
use crate::ollama::plan::{DoesNotFit, Plan, PlanOptions, plan};
use crate::ollama::probe::ModelMemory;
use crate::ollama::state::ModelId;
use crate::reader::ProcessId;

/// A model that the manager loaded.
#[derive(Clone, Debug)]
pub(super) struct Resident {
    pub(super) id: ModelId,
    pub(super) profile: LoadProfile,
    pub(super) estimate: Estimate,
    /// The server traits of the estimate.
    pub(super) server: ServerTraits,
    /// Its process, once it has been seen.
    pub(super) runner: Option<ProcessId>,
    pub(super) leases: usize,
    pub(super) last_used: Duration,
    pub(super) last_used_utc: OffsetDateTime,
    /// When the server's timer was last reset.
    pub(super) touched: Duration,
    /// Whether its process has grown beyond the limit.
    pub(super) is_bloated: bool,
}

/// A model to be planned.
pub(super) struct Demand<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a Version,
    pub(super) shape: &'a ModelShape,
    pub(super) ctx_max: u32,
    pub(super) is_mapped: bool,
    /// Other models that the server holds, or will hold again at the next request of their lease.
    pub(super) others: usize,
}

/// The next step of a load.
pub(super) enum Admission {
    Load(Plan),
    /// Unload this model first.
    Unload(String),
}

/// The resident models, by full name.
#[derive(Debug, Default)]
pub(super) struct Residency {
    pub(super) models: BTreeMap<String, Resident>,
}

impl Residency {
    /// Returns the sum of all estimates.
    pub(super) fn total_bytes(&self) -> u64 {
        sum_of_estimates(self.models.values())
    }

    /// Returns the sum of the estimates of unused models.
    fn unused_bytes(&self) -> u64 {
        sum_of_estimates(self.idle().map(|(_, model)| model))
    }

    /// Returns the bytes that a load may take, as if `freed_bytes` of our models were freed: what
    /// the limit leaves, and what the machine leaves beside the reserve.
    fn room_bytes(&self, limit_bytes: u64, capacity: Option<ModelMemory>, freed_bytes: u64) -> u64 {
        let held_bytes = self.total_bytes().saturating_sub(freed_bytes);
        let budget = limit_bytes.saturating_sub(held_bytes);
        let Some(mut capacity) = capacity else {
            return budget;
        };
        capacity.available_bytes = capacity.available_bytes.saturating_add(freed_bytes);
        capacity.room_bytes().min(budget)
    }

    fn idle(&self) -> impl Iterator<Item = (&String, &Resident)> {
        self.models.iter().filter(|(_, model)| model.leases == 0)
    }

    /// Returns the unused model that was last used the longest time ago.
    pub(super) fn least_recently_used(&self) -> Option<&str> {
        let oldest = self.idle().min_by_key(|(_, model)| model.last_used);
        oldest.map(|(name, _)| name.as_str())
    }

    /// Returns the unused models whose idle time is over, or whose process is bloated.
    pub(super) fn due(&self, now: Duration, idle_timeout: Option<Duration>) -> Vec<String> {
        let is_due = |model: &Resident| {
            let idle = now.saturating_sub(model.last_used);
            model.is_bloated || idle_timeout.is_some_and(|timeout| idle >= timeout)
        };
        let due = self.idle().filter(|(_, model)| is_due(model));
        due.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the unused models.
    pub(super) fn unused(&self) -> Vec<String> {
        self.idle().map(|(name, _)| name.clone()).collect()
    }

    /// Returns the models in use.
    fn in_use(&self) -> Vec<String> {
        let used = self.models.iter().filter(|(_, model)| model.leases > 0);
        used.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the number of leased models that the server no longer lists, for instance after a
    /// restart, and the sum of their estimates. The next request of a lease loads its model again
    /// without asking the manager, so their places are taken.
    pub(super) fn lost_in_use(&self, list: &[RunningModel]) -> (usize, u64) {
        let lost = self.models.values().filter(|model| {
            let is_listed = model.id.find_listed(list).is_some();
            model.leases > 0 && !is_listed
        });
        lost.fold((0, 0), |(count, bytes), model| {
            (count + 1, model.estimate.total_bytes.saturating_add(bytes))
        })
    }

    /// Returns the name under which a model is resident: its own, or that of an alias with the
    /// same weights, whose process the server shares.
    pub(super) fn key_of(&self, name: &str, blob: Option<&str>) -> Option<&str> {
        if let Some((key, _)) = self.models.get_key_value(name) {
            return Some(key);
        }
        let is_same = |model: &Resident| blob.is_some() && model.id.blob.as_deref() == blob;
        let same = self.models.iter().find(|(_, model)| is_same(model))?;
        Some(same.0)
    }

    /// Adds a lease. Returns `None` if the model is not resident.
    pub(super) fn acquire(&mut self, name: &str) -> Option<&Resident> {
        let model = self.models.get_mut(name)?;
        model.leases += 1;
        Some(model)
    }

    /// Removes a lease.
    pub(super) fn release(&mut self, name: &str, now: Duration, utc_now: OffsetDateTime) {
        if let Some(model) = self.models.get_mut(name) {
            model.leases = model.leases.saturating_sub(1);
            model.last_used = model.last_used.max(now);
            model.last_used_utc = utc_now;
        }
    }

    /// Decides on the next step of a load. No model is unloaded if that would not help.
    pub(super) fn admit(
        &self,
        settings: &Settings,
        demand: &Demand<'_>,
        capacity: Option<ModelMemory>,
    ) -> Result<Admission, ManagerError> {
        let victim = self.least_recently_used().map(str::to_owned);
        let models_max = settings.models_max;
        if demand.others >= models_max {
            // With one more, the server would pick a victim itself, without regard to leases.
            return victim.map(Admission::Unload).ok_or(ManagerError::TooMany {
                model: demand.name.to_owned(),
                models_max,
                in_use: self.in_use(),
            });
        }
        let fit = |freed_bytes| self.fit(settings, demand, capacity, freed_bytes);
        let source = match fit(0) {
            Ok(planned) => return Ok(Admission::Load(planned)),
            Err(source) => source,
        };
        match victim {
            Some(victim) if fit(self.unused_bytes()).is_ok() => Ok(Admission::Unload(victim)),
            _ => Err(ManagerError::NoRoom {
                model: demand.name.to_owned(),
                source,
                in_use: self.in_use(),
            }),
        }
    }

    /// Plans a context, as if `freed_bytes` more were available.
    fn fit(
        &self,
        settings: &Settings,
        demand: &Demand<'_>,
        capacity: Option<ModelMemory>,
        freed_bytes: u64,
    ) -> Result<Plan, DoesNotFit> {
        let options = PlanOptions {
            ctx_max: demand.ctx_max,
            ctx_min: settings.ctx_min.min(demand.ctx_max),
            use_mmap: Some(demand.is_mapped),
            server: settings.server_traits(demand.version),
        };
        let room_bytes = self.room_bytes(settings.models_bytes_max, capacity, freed_bytes);
        let mut planned = plan(demand.shape, room_bytes, &options)?;
        planned.profile.num_gpu = settings.num_gpu;
        planned.profile.num_thread = settings.num_thread;
        Ok(planned)
    }

    /// Handles unused models that another program loaded with a context of its own.
    ///
    /// A larger context that the settings allow serves us as well, and adopting it ends the
    /// alternation of reloads. With any other context the model is forgotten, and the next lease
    /// loads it again.
    pub(super) fn adopt_or_forget(
        &mut self,
        list: &[RunningModel],
        catalog: &Catalog,
        ctx_max: u32,
    ) -> Vec<ModelEvent> {
        let mut reloaded = Vec::new();
        for (name, model) in self.idle() {
            let listed = model.id.find_listed(list);
            let expected_ctx = model.profile.num_ctx;
            if let Some(actual_ctx) = listed.and_then(|listed| listed.context_length)
                && actual_ctx != u64::from(expected_ctx)
            {
                reloaded.push((name.clone(), expected_ctx, actual_ctx));
            }
        }
        let mut events = Vec::new();
        for (model, expected_ctx, actual_ctx) in reloaded {
            let adopted = u32::try_from(actual_ctx)
                .ok()
                .filter(|ctx| (expected_ctx..=ctx_max).contains(ctx));
            match (adopted, self.models.get_mut(&model), catalog.get(&model)) {
                (Some(num_ctx), Some(resident), Some(known)) => {
                    resident.profile.num_ctx = num_ctx;
                    resident.estimate =
                        Estimate::new(&known.shape, &resident.profile, resident.server);
                }
                _ => {
                    self.models.remove(&model);
                }
            }
            events.push(ModelEvent::ForeignReload {
                model,
                expected_ctx,
                actual_ctx,
            });
        }
        events
    }
}

fn sum_of_estimates<'a>(models: impl Iterator<Item = &'a Resident>) -> u64 {
    models.fold(0, |sum, model| {
        sum.saturating_add(model.estimate.total_bytes)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resident(leases: usize, last_used_s: u64, total_bytes: u64) -> Resident {
        Resident {
            id: ModelId::default(),
            profile: LoadProfile::new(2048),
            estimate: Estimate {
                total_bytes,
                ..Estimate::default()
            },
            server: ServerTraits::default(),
            runner: None,
            leases,
            last_used: Duration::from_secs(last_used_s),
            last_used_utc: OffsetDateTime::UNIX_EPOCH,
            touched: Duration::ZERO,
            is_bloated: false,
        }
    }

    /// Makes models named "0", "1" and so on, from leases, last use and bytes.
    fn residency(models: &[(usize, u64, u64)]) -> Residency {
        let numbered = models.iter().enumerate();
        let models = numbered.map(|(n, &(leases, last_used_s, bytes))| {
            (n.to_string(), resident(leases, last_used_s, bytes))
        });
        Residency {
            models: models.collect(),
        }
    }

    #[test]
    fn idle_time_counts_to_the_second() {
        let models = residency(&[(0, 100, 1)]);
        let timeout = Some(Duration::from_secs(50));
        assert!(models.due(Duration::from_secs(149), timeout).is_empty());
        assert_eq!(models.due(Duration::from_secs(150), timeout), ["0"]);
        assert!(models.due(Duration::from_secs(1 << 40), None).is_empty());
        // A clock that was set back makes nothing due.
        assert!(models.due(Duration::ZERO, timeout).is_empty());
    }

    #[test]
    fn bloated_model_is_due_only_after_its_job() {
        let mut models = residency(&[(1, 0, 1), (0, 0, 1)]);
        for model in models.models.values_mut() {
            model.is_bloated = true;
        }
        assert_eq!(models.due(Duration::ZERO, None), ["1"]);
    }

    #[test]
    fn lost_models_in_use_keep_their_places() {
        let models = residency(&[(1, 0, 30), (2, 0, 20), (0, 0, 10)]);
        assert_eq!(models.lost_in_use(&[]), (2, 50));
    }

    #[test]
    fn alias_is_resident_under_the_first_name() {
        let mut models = residency(&[(0, 0, 1), (0, 0, 1)]);
        models.models.get_mut("1").unwrap().id.blob = Some("file".to_owned());
        assert_eq!(models.key_of("alias", Some("file")), Some("1"));
        assert_eq!(models.key_of("0", Some("file")), Some("0"));
        assert_eq!(models.key_of("alias", Some("other")), None);
        assert_eq!(models.key_of("alias", None), None);
    }

    #[test]
    fn room_is_the_smaller_of_budget_and_machine() {
        let models = residency(&[(0, 0, 30), (0, 0, 20)]);
        let room = |limit, available: Option<u64>, freed| {
            models.room_bytes(
                limit,
                available.map(|bytes| ModelMemory::new(bytes, 10)),
                freed,
            )
        };
        assert_eq!(room(100, Some(1000), 0), 50);
        assert_eq!(room(100, Some(40), 0), 30);
        assert_eq!(room(100, Some(40), 15), 45);
        assert_eq!(room(100, None, 0), 50);
        assert_eq!(room(40, Some(5), 0), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn victim_is_unused_and_the_oldest(
            given in prop::collection::vec((0usize..3, 0u64..50, 0u64..9), 0..8),
        ) {
            let models = residency(&given);
            let oldest = given.iter().filter(|m| m.0 == 0).map(|m| m.1).min();
            let victim = models.least_recently_used().map(|name| &models.models[name]);
            prop_assert_eq!(victim.map(|model| model.last_used.as_secs()), oldest);
            prop_assert!(victim.is_none_or(|model| model.leases == 0));
        }
    }
}
