//! What a load may take, and who goes for it: decided from the books, without clock or network.

use super::super::plan::{DoesNotFit, Plan, PlanOptions, plan};
use super::super::state::find_listed;
use super::super::{Estimate, ModelShape, RunningModel, Version};
use super::{Event, ManagerError, State};

/// What is to be planned.
pub(super) struct Wish<'a> {
    pub(super) version: &'a Version,
    pub(super) shape: &'a ModelShape,
    pub(super) ctx_max: u32,
    pub(super) is_mapped: bool,
    /// Models beside this one that the server holds, or will hold again at their users' next requests.
    pub(super) others: usize,
}

/// What to do next for a load.
pub(super) enum Admission {
    Load(Plan),
    Unload(String),
}

impl State {
    /// Decides what to do next for a load: nothing goes where that would not help.
    pub(super) fn admit(
        &self,
        name: &str,
        wish: &Wish<'_>,
        available: Option<u64>,
    ) -> Result<Admission, ManagerError> {
        let victim = self.books.least_recently_used().map(str::to_owned);
        let models_max = self.settings.models_max;
        if wish.others >= models_max {
            // One more, and the server would choose who goes: by time to live and path, whether leased or not.
            return victim.map(Admission::Unload).ok_or(ManagerError::TooMany {
                model: name.to_owned(),
                models_max,
                in_use: self.books.in_use(),
            });
        }
        let source = match self.plan(wish, available, 0) {
            Ok(planned) => return Ok(Admission::Load(planned)),
            Err(source) => source,
        };
        match victim {
            Some(victim)
                if self
                    .plan(wish, available, self.books.unused_bytes())
                    .is_ok() =>
            {
                Ok(Admission::Unload(victim))
            }
            _ => Err(ManagerError::NoRoom {
                model: name.to_owned(),
                source,
                in_use: self.books.in_use(),
            }),
        }
    }

    /// Plans, as if `freed_bytes` more were free.
    fn plan(
        &self,
        wish: &Wish<'_>,
        available: Option<u64>,
        freed_bytes: u64,
    ) -> Result<Plan, DoesNotFit> {
        let settings = &self.settings;
        let options = PlanOptions {
            ctx_max: wish.ctx_max,
            ctx_min: settings.ctx_min.min(wish.ctx_max),
            use_mmap: Some(wish.is_mapped),
            server: settings.server_traits(wish.version),
        };
        let room = self.books.room_bytes(
            settings.models_bytes_max,
            available,
            settings.reserve_bytes,
            freed_bytes,
        );
        let mut planned = plan(wish.shape, room, &options)?;
        planned.profile.num_gpu = settings.num_gpu;
        planned.profile.num_thread = settings.num_thread;
        Ok(planned)
    }

    /// Another program may have loaded a model of ours with a context of its own. A larger one that is allowed serves us
    /// as well, and taking it over ends the to and fro. Any other is theirs: it leaves our books, and our next job loads
    /// the model again.
    pub(super) fn take_over_or_leave(&mut self, list: &[RunningModel]) {
        let mut seen = Vec::new();
        for (name, held) in &self.books.held {
            let listed = find_listed(list, name, &held.digest);
            let theirs = listed.and_then(|model| model.context_length);
            if let Some(their_ctx) = theirs
                && their_ctx != u64::from(held.profile.num_ctx)
                && held.users == 0
            {
                seen.push((name.clone(), held.profile.num_ctx, their_ctx));
            }
        }
        let ctx_max = self.settings.ctx_max;
        for (model, our_ctx, their_ctx) in seen {
            let adopted = u32::try_from(their_ctx)
                .ok()
                .filter(|ctx| (our_ctx..=ctx_max).contains(ctx));
            match (
                adopted,
                self.books.held.get_mut(&model),
                self.descriptions.get(&model),
            ) {
                (Some(num_ctx), Some(held), Some(known)) => {
                    held.profile.num_ctx = num_ctx;
                    held.estimate = Estimate::new(&known.shape, &held.profile, held.server);
                }
                _ => {
                    self.books.held.remove(&model);
                }
            }
            self.note(Event::ForeignReload {
                model,
                our_ctx,
                their_ctx,
            });
        }
    }
}
