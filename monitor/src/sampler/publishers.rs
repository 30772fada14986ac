//! The pipelines whose gauges are read.

use crate::component::Component;
use crate::gauge::{Gauges, WeakGauges};

/// Most pipelines whose gauges are read at the same time.
pub const PUBLISHERS_MAX: usize = 16;

/// There are too many publishers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} pipelines publish gauges already; let pipelines share a registry")]
#[non_exhaustive]
pub struct TooManyPublishers {
    /// [`PUBLISHERS_MAX`].
    pub limit: usize,
}

/// Registries that are read as long as their pipelines keep them. Each has a place, which another
/// takes once the pipeline is gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Publishers {
    places: [Option<WeakGauges>; PUBLISHERS_MAX],
}

impl Publishers {
    /// Reads a registry from now on. One that is read already is not read twice.
    pub(super) fn register(&mut self, gauges: &Gauges) -> Result<(), TooManyPublishers> {
        if self.places.iter().flatten().any(|weak| weak.is(gauges)) {
            return Ok(());
        }
        let is_free = |place: &&mut Option<WeakGauges>| {
            place.as_ref().is_none_or(|weak| weak.upgrade().is_none())
        };
        let place = self.places.iter_mut().find(is_free);
        let place = place.ok_or(TooManyPublishers {
            limit: PUBLISHERS_MAX,
        })?;
        *place = Some(gauges.downgrade());
        Ok(())
    }

    /// The registries whose pipelines still keep them, with their places.
    pub(super) fn alive(&self) -> impl Iterator<Item = (usize, Gauges)> + '_ {
        let alive = |weak: &Option<WeakGauges>| weak.as_ref().and_then(WeakGauges::upgrade);
        let places = self.places.iter().enumerate();
        places.filter_map(move |(place, weak)| Some((place, alive(weak)?)))
    }

    /// What each of them holds, by its own account.
    pub(super) fn held(&self) -> Vec<(Component, u64)> {
        self.alive()
            .map(|(_, gauges)| (gauges.component(), gauges.held_bytes()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gauge::Unit;

    #[test]
    fn publisher_that_is_gone_makes_room_and_holds_nothing() {
        let mut publishers = Publishers::default();
        for _ in 0..40 {
            let gauges = Gauges::new(Component::Audio);
            let pool = gauges.gauge("pool", Unit::HeldBytes).unwrap();
            pool.set(7);
            publishers.register(&gauges).unwrap();
            drop(gauges);
            assert_eq!(publishers.held(), [(Component::Audio, 7)]);
        }
        assert_eq!(publishers.held(), []);
    }

    #[test]
    fn living_publishers_are_bounded_and_keep_their_places() {
        let mut publishers = Publishers::default();
        let mut all: Vec<Gauges> = (0..PUBLISHERS_MAX)
            .map(|_| Gauges::new(Component::Audio))
            .collect();
        for gauges in &all {
            publishers.register(gauges).unwrap();
            publishers.register(gauges).unwrap();
        }
        let more = Gauges::new(Component::Backend);
        let error = publishers.register(&more).unwrap_err();
        assert_eq!(error.limit, PUBLISHERS_MAX);
        all.remove(3);
        publishers.register(&more).unwrap();
        let backend = publishers
            .alive()
            .find(|(_, gauges)| gauges.component() == Component::Backend);
        assert_eq!(backend.unwrap().0, 3);
    }
}
