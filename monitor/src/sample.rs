//! One look at the whole app: every byte is attributed, and every figure that is missing has a
//! reason.

use serde::Serialize;

use crate::component::Component;
use crate::reader::{Basis, Cgroup, Machine, ProcessId, ProcessMemory, Psi};
use crate::reading::Reading;

/// Memory of one component, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// What the component costs. The parts add up to the total.
    pub private_bytes: Reading<u64>,
    /// Part of its private bytes that its pipelines hold by their own account. `None`: no pipeline
    /// publishes it.
    pub held_bytes: Option<u64>,
    /// What its processes have in RAM, shared pages and mapped files included. For display: these
    /// do not add up.
    pub resident_bytes: Reading<u64>,
    /// Mapped files of its processes in RAM, which the kernel can drop.
    pub reclaimable_bytes: Reading<u64>,
    /// Swapped-out bytes of its processes, part of their private bytes.
    pub swap_bytes: Reading<u64>,
    /// Its share of all pages in RAM and in swap, each page divided by the number of its users:
    /// what private memory counts twice after a fork counts once here. It may be some minutes old.
    pub proportional_bytes: Reading<u64>,
    /// Its processes.
    pub processes: u32,
    /// What its private bytes were made of; of several kinds the one that is an estimate. `None`:
    /// it has no process.
    pub basis: Option<Basis>,
    /// Whether any figure is an estimate.
    pub estimated: bool,
    /// The process that has run longest: another one means that the component was restarted.
    pub(crate) oldest: Option<ProcessId>,
}

impl Part {
    /// A component without a process holds nothing, which is known.
    pub(crate) const EMPTY: Self = Self {
        private_bytes: Reading::Known(0),
        held_bytes: None,
        resident_bytes: Reading::Known(0),
        reclaimable_bytes: Reading::Known(0),
        swap_bytes: Reading::Known(0),
        proportional_bytes: Reading::Known(0),
        processes: 0,
        basis: None,
        estimated: false,
        oldest: None,
    };

    /// Makes every figure unknown.
    pub(crate) fn blind(&mut self, why: &str) {
        for figure in [
            &mut self.private_bytes,
            &mut self.resident_bytes,
            &mut self.reclaimable_bytes,
            &mut self.swap_bytes,
            &mut self.proportional_bytes,
        ] {
            // The first reason is kept.
            if figure.is_known() {
                *figure = Reading::unknown(why.to_owned());
            }
        }
    }
}

/// A moment, by two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Moment {
    /// Milliseconds of a clock that never goes back. Differences and decisions use this one.
    pub steady_ms: u64,
    /// Milliseconds since 1970 by the system's clock. For display only.
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
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Time of the sample.
    pub at: Moment,
    /// Memory by component, in the order of [`Component::ALL`].
    pub parts: [Part; Component::ALL.len()],
    /// The machine.
    pub machine: Reading<Machine>,
    /// The control group. Known as `None`: there is none.
    pub cgroup: Reading<Option<Cgroup>>,
    /// Time lost waiting for memory.
    pub psi: Reading<Psi>,
    /// Why figures are missing or estimated.
    pub reasons: Vec<String>,
}

/// Why nothing is known before the first sample.
const NOT_YET: &str = "no sample was taken yet";

impl Default for Sample {
    /// The state before the first sample: nothing is known about the machine, and no component has
    /// a process.
    fn default() -> Self {
        Self {
            at: Moment::default(),
            parts: [const { Part::EMPTY }; Component::ALL.len()],
            machine: Reading::unknown(NOT_YET),
            cgroup: Reading::Known(None),
            psi: Reading::unknown(NOT_YET),
            reasons: Vec::new(),
        }
    }
}

impl Sample {
    /// The state before the first sample of the app.
    pub(crate) fn none() -> Self {
        let mut sample = Self::default();
        sample.parts.iter_mut().for_each(|part| part.blind(NOT_YET));
        sample
    }

    /// Returns the part of a component.
    #[must_use]
    pub fn part(&self, component: Component) -> &Part {
        &self.parts[component.index()]
    }

    /// Returns the private bytes of all processes of the app: the sum of the parts, and unknown
    /// where one of them is.
    #[must_use]
    pub fn total_bytes(&self) -> Reading<u64> {
        let parts = self.parts.iter().map(|part| part.private_bytes.clone());
        parts.fold(Reading::Known(0), Reading::plus)
    }

    /// Returns the swapped-out bytes of the machine.
    pub(crate) fn machine_swap_bytes(&self) -> Option<u64> {
        let used = |m: Machine| m.swap_total_bytes.saturating_sub(m.swap_free_bytes);
        self.machine.get().map(used)
    }

    /// Returns the control group, where there is one and it can be read.
    pub(crate) fn cgroup(&self) -> Option<&Cgroup> {
        match &self.cgroup {
            Reading::Known(group) => group.as_ref(),
            Reading::Unknown { .. } => None,
        }
    }

    /// Attributes a process. `held` are the bytes in it that pipelines hold by their own account;
    /// they leave the process's own component, as far as the process really has that many, so that
    /// every byte is counted exactly once.
    pub(crate) fn attribute(
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
            add(&mut part.private_bytes, Some(bytes));
            part.held_bytes = Some(part.held_bytes.unwrap_or(0).saturating_add(bytes));
        }
        let part = &mut self.parts[component.index()];
        add(&mut part.private_bytes, Some(rest_bytes));
        add(&mut part.resident_bytes, Some(memory.resident_bytes));
        add(&mut part.reclaimable_bytes, memory.reclaimable_bytes);
        add(&mut part.swap_bytes, memory.swap_bytes);
        part.processes += 1;
        part.basis = part
            .basis
            .filter(|b| b.is_estimated())
            .or(Some(memory.basis));
        part.estimated |= memory.basis.is_estimated();
    }
}

/// Adds a figure of a process. `None`: the system does not report it.
fn add(sum: &mut Reading<u64>, bytes: Option<u64>) {
    let bytes = bytes.map_or_else(
        || Reading::unknown("this system does not report it"),
        Reading::Known,
    );
    let before = std::mem::replace(sum, Reading::Known(0));
    *sum = before.plus(bytes);
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
                (
                    component(),
                    0..1_u64 << 44,
                    prop::collection::vec((component(), any::<u64>()), 0..5),
                ),
                0..40,
            ),
        ) {
            let mut sample = Sample::default();
            for (component, private_bytes, held) in &processes {
                sample.attribute(*component, &memory(*private_bytes), held);
            }
            // Of 40 processes below 2^44 bytes, so that no sum saturates.
            let measured: u64 = processes.iter().map(|(_, bytes, _)| bytes).sum();
            let parts: u64 = sample.parts.iter().filter_map(|p| p.private_bytes.get()).sum();
            prop_assert_eq!(sample.total_bytes(), Reading::Known(measured));
            prop_assert_eq!(parts, measured);
        }
    }

    #[test]
    fn held_bytes_move_to_their_holder() {
        let mut sample = Sample::default();
        let held = [(Component::Audio, 70)];
        sample.attribute(Component::Unattributed, &memory(100), &held);
        let bytes = |component| sample.part(component).private_bytes.get();
        assert_eq!(bytes(Component::Audio), Some(70));
        assert_eq!(bytes(Component::Unattributed), Some(30));
        assert_eq!(sample.part(Component::Audio).processes, 0);
    }

    #[test]
    fn figure_that_one_process_lacks_is_unknown() {
        let mut sample = Sample::default();
        sample.attribute(Component::Backend, &memory(100), &[]);
        let part = sample.part(Component::Backend);
        assert_eq!(part.private_bytes, Reading::Known(100));
        assert!(!part.reclaimable_bytes.is_known() && !part.swap_bytes.is_known());
    }
}
