//! One look at the whole app: every byte attributed, what could not be had named.

mod sampler;
mod shares;

use serde::Serialize;

use crate::component::Component;
use crate::reader::{Basis, Cgroup, Machine, ProcessId, ProcessMemory, Psi};

pub use sampler::{PUBLISHERS_MAX, Sampler, TooManyPublishers};
pub use shares::{SHARE_MS, SHARED_RESIDENT_BYTES_MAX};

/// Memory of one component, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Part {
    /// What the component costs. The parts add up to the total.
    pub private_bytes: u64,
    /// Part of its private bytes that pipelines say they hold. `None`: no pipeline says so.
    pub held_bytes: Option<u64>,
    /// What its processes have in RAM, shared pages and mapped files included. For display: these do not add up.
    pub resident_bytes: u64,
    /// Mapped files of its processes in RAM, which the kernel can drop.
    pub reclaimable_bytes: u64,
    /// Swapped-out bytes of its processes, part of their private bytes.
    pub swap_bytes: u64,
    /// Its share of all pages in RAM and in swap, each page divided by the number of its users: what private memory counts
    /// twice after a fork counts once here. Up to some minutes old. `None`: not read for all of its processes.
    pub proportional_bytes: Option<u64>,
    /// Its processes.
    pub processes: u32,
    /// What its private bytes were made of; of several kinds the one that is an estimate. `None`: it has no process.
    pub basis: Option<Basis>,
    /// Whether any figure is an estimate, or a process could not be read.
    pub estimated: bool,
    /// The process that has run longest: another one means that the component was restarted.
    #[serde(skip)]
    pub oldest: Option<ProcessId>,
}

/// A moment, by two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Moment {
    /// Milliseconds of a clock that never goes back. Differences and decisions use this one.
    pub steady_ms: u64,
    /// Milliseconds since 1970 as the system says. Only shown.
    pub unix_ms: u64,
}

impl Moment {
    /// Names a moment.
    #[must_use]
    pub fn new(steady_ms: u64, unix_ms: u64) -> Self {
        Self { steady_ms, unix_ms }
    }
}

/// One look at the app and its machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Sample {
    /// When.
    pub at: Moment,
    /// Memory by component, in the order of [`Component::ALL`].
    pub parts: [Part; Component::ALL.len()],
    /// Private bytes of all processes of the app.
    pub total_bytes: u64,
    /// The machine, where it can be read.
    pub machine: Option<Machine>,
    /// The control group, where there is one.
    pub cgroup: Option<Cgroup>,
    /// Time lost waiting for memory, where the kernel counts it.
    pub psi: Option<Psi>,
    /// Why a figure is missing or estimated.
    pub reasons: Vec<String>,
}

impl Sample {
    /// Returns the part of a component.
    #[must_use]
    pub fn part(&self, component: Component) -> &Part {
        &self.parts[component.index()]
    }

    /// Returns what the app can still have: the machine's available memory or the room in its control group, whichever
    /// is less. `None`: neither is known.
    #[must_use]
    pub fn available_bytes(&self) -> Option<u64> {
        let machine = self.machine.map(|m| m.available_bytes);
        let group = self.cgroup.as_ref().and_then(|c| c.headroom_bytes);
        machine.into_iter().chain(group).min()
    }

    /// Returns the memory that there is: the machine's or the limit of its control group, whichever is less.
    #[must_use]
    pub fn limit_bytes(&self) -> Option<u64> {
        let machine = self.machine.map(|m| m.total_bytes);
        let group = self.cgroup.as_ref().and_then(|c| c.limit_bytes);
        machine.into_iter().chain(group).min()
    }

    /// Attributes a process. `held` are the bytes in it that pipelines say they hold; they leave the process's own
    /// component, as far as the process really has so many, so that no byte is counted twice or not at all.
    pub fn attribute(
        &mut self,
        component: Component,
        memory: &ProcessMemory,
        held: &[(Component, u64)],
    ) {
        let mut rest_bytes = memory.private_bytes;
        for (holder, bytes) in held {
            let bytes = (*bytes).min(rest_bytes);
            rest_bytes -= bytes;
            let part = &mut self.parts[holder.index()];
            part.private_bytes = part.private_bytes.saturating_add(bytes);
            part.held_bytes = Some(part.held_bytes.unwrap_or(0).saturating_add(bytes));
        }
        let part = &mut self.parts[component.index()];
        part.private_bytes = part.private_bytes.saturating_add(rest_bytes);
        part.resident_bytes = part.resident_bytes.saturating_add(memory.resident_bytes);
        let reclaimable_bytes = memory.reclaimable_bytes.unwrap_or(0);
        part.reclaimable_bytes = part.reclaimable_bytes.saturating_add(reclaimable_bytes);
        part.swap_bytes = part
            .swap_bytes
            .saturating_add(memory.swap_bytes.unwrap_or(0));
        part.processes += 1;
        part.basis = part
            .basis
            .filter(|b| b.is_estimated())
            .or(Some(memory.basis));
        part.estimated |= memory.basis.is_estimated();
        self.total_bytes = self.total_bytes.saturating_add(memory.private_bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reader::Basis;

    fn memory(private_bytes: u64) -> ProcessMemory {
        ProcessMemory {
            private_bytes,
            resident_bytes: private_bytes,
            reclaimable_bytes: None,
            swap_bytes: None,
            peak_resident_bytes: None,
            basis: Basis::AnonShmemSwap,
        }
    }

    fn component() -> impl Strategy<Value = Component> {
        (0..Component::ALL.len()).prop_map(|at| Component::ALL[at])
    }

    proptest! {
        /// Whatever pipelines claim, the parts add up to what was measured.
        ///
        /// Feature: meetily-memory-optimization, Property 1: Memory Monitoring Completeness
        #[test]
        fn parts_add_up_to_the_total(
            processes in prop::collection::vec(
                (component(), 0..1_u64 << 44, prop::collection::vec((component(), any::<u64>()), 0..5)),
                0..40,
            ),
        ) {
            let mut sample = Sample::default();
            for (component, private_bytes, held) in &processes {
                sample.attribute(*component, &memory(*private_bytes), held);
            }
            let measured: u64 = processes.iter().map(|(_, bytes, _)| bytes).sum();
            let parts: u64 = sample.parts.iter().map(|p| p.private_bytes).sum();
            prop_assert_eq!(sample.total_bytes, measured);
            prop_assert_eq!(parts, measured);
        }
    }

    #[test]
    fn held_bytes_move_to_their_holder() {
        let mut sample = Sample::default();
        sample.attribute(
            Component::Unattributed,
            &memory(100),
            &[(Component::Audio, 70)],
        );
        assert_eq!(sample.part(Component::Audio).private_bytes, 70);
        assert_eq!(sample.part(Component::Unattributed).private_bytes, 30);
        assert_eq!(sample.part(Component::Audio).processes, 0);
    }

    #[test]
    fn tighter_of_machine_and_group_counts() {
        let mut sample = Sample {
            machine: Some(Machine::new(100, 50, 0, 0)),
            ..Sample::default()
        };
        assert_eq!(
            (sample.available_bytes(), sample.limit_bytes()),
            (Some(50), Some(100))
        );
        let group = Cgroup {
            limit_bytes: Some(60),
            headroom_bytes: Some(8),
            ..Cgroup::default()
        };
        sample.cgroup = Some(group);
        assert_eq!(
            (sample.available_bytes(), sample.limit_bytes()),
            (Some(8), Some(60))
        );
    }
}
