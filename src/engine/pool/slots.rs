//! What changes in a pool: the model, the slots for states, and who waits for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::engine::{Model, State};

/// Everything that changes, behind one lock that is never held while a model is loaded or a window
/// is transcribed.
pub(super) struct Slots {
    pub(super) model: ModelSlot,
    /// Slots that no transcriber has borrowed.
    pub(super) free: Vec<Slot>,
    /// Slots that are borrowed.
    pub(super) lent: usize,
    /// Windows in progress that use a model, and so a state.
    pub(super) users: usize,
    /// Those of them whose model was unloaded. A model is loaded again only when there are none, so
    /// that two copies of it never exist.
    pub(super) retired: usize,
    /// Who waits for slots, in the order of asking. At most one entry for each transcriber and
    /// each caller of `warm_up`.
    pub(super) waiting: VecDeque<u64>,
    pub(super) next_ticket: u64,
    /// Counts the requests to free states, and those to free the model.
    pub(super) state_generation: u64,
    pub(super) model_generation: u64,
    pub(super) last_used: Instant,
}

pub(super) enum ModelSlot {
    Absent,
    Loading,
    Loaded(Arc<dyn Model>),
}

/// A place for one state.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) state: Option<Box<dyn State>>,
    /// The transcriber that used it last.
    pub(super) user: Option<u64>,
}

impl Slots {
    /// Makes empty slots for as many states as were planned.
    pub(super) fn new(states: usize) -> Self {
        let mut free = Vec::with_capacity(states);
        free.resize_with(states, Slot::default);
        Self {
            model: ModelSlot::Absent,
            free,
            lent: 0,
            users: 0,
            retired: 0,
            waiting: VecDeque::new(),
            next_ticket: 0,
            state_generation: 0,
            model_generation: 0,
            last_used: Instant::now(),
        }
    }

    /// Takes a free slot: the one that `user` used last, else one with a state.
    pub(super) fn take(&mut self, user: Option<u64>) -> Slot {
        let mine = |slot: &Slot| user.is_some() && slot.user == user && slot.state.is_some();
        let at = (self.free.iter().position(mine))
            .or_else(|| self.free.iter().position(|slot| slot.state.is_some()))
            .unwrap_or(0);
        let mut slot = self.free.swap_remove(at);
        slot.user = user;
        self.lent += 1;
        self.users += usize::from(slot.state.is_some());
        slot
    }

    /// A user of the model of that generation is done with it.
    pub(super) fn end_use(&mut self, generation: u64) {
        self.users -= 1;
        if generation != self.model_generation {
            self.retired -= 1;
        }
    }
}
