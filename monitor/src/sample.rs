//! One look at the whole app: every byte attributed, what could not be had named.

use serde::Serialize;

use crate::component::Component;
use crate::gauge::Gauges;
use crate::membership::Membership;
use crate::reader::{
    Cgroup, Entry, Machine, PROCESSES_MAX, ProcessId, ProcessMemory, Psi, ReadError, System,
};

/// Most pipelines whose gauges are read.
pub const PUBLISHERS_MAX: usize = 16;

/// How long a search for the owner of a port is good for, in milliseconds: it looks through the open files of every
/// process, some 20 ms with 300 of them.
const PORT_SEARCH_MS: u64 = 30_000;

/// Every so many samples the whole table of processes is read; between them only the new numbers. At one sample in 5 s a
/// number that was used again at once is noticed after 30 s; memory is never read of the wrong process.
const TABLE_SAMPLES: u32 = 6;

/// Memory of one component, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Part {
    /// What the component costs. The parts add up to the total.
    pub private_bytes: u64,
    /// What its processes have in RAM, shared pages and mapped files included. For display: these do not add up.
    pub resident_bytes: u64,
    /// Mapped files of its processes in RAM, which the kernel can drop.
    pub reclaimable_bytes: u64,
    /// Swapped-out bytes of its processes, part of their private bytes.
    pub swap_bytes: u64,
    /// Its processes.
    pub processes: u32,
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
        part.estimated |= memory.basis.is_estimated();
        self.total_bytes = self.total_bytes.saturating_add(memory.private_bytes);
    }
}

/// Takes samples.
///
/// # Memory
///
/// The buffers reach the size of the process table once, 40 bytes per process, and are used again.
#[derive(Debug)]
pub struct Sampler {
    system: System,
    own: ProcessId,
    membership: Membership,
    publishers: Vec<Gauges>,
    entries: Vec<Entry>,
    members: Vec<(ProcessId, Component)>,
    listeners: Vec<(u16, ProcessId)>,
    ports_searched_ms: Option<u64>,
    /// Samples until the whole table is read.
    table_in: u32,
}

/// Too many publishers are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one more publisher of gauges than the limit of {limit}")]
#[non_exhaustive]
pub struct TooManyPublishers {
    /// [`PUBLISHERS_MAX`].
    pub limit: usize,
}

impl Sampler {
    /// Makes a sampler. `own` is the process whose pipelines publish gauges.
    #[must_use]
    pub fn new(system: System, own: ProcessId, membership: Membership) -> Self {
        Self {
            system,
            own,
            membership,
            publishers: Vec::new(),
            entries: Vec::with_capacity(512.min(PROCESSES_MAX)),
            members: Vec::new(),
            listeners: Vec::new(),
            ports_searched_ms: None,
            table_in: 0,
        }
    }

    /// Reads a pipeline's gauges from now on.
    ///
    /// # Errors
    ///
    /// [`TooManyPublishers`]: let pipelines share a registry.
    pub fn watch(&mut self, gauges: Gauges) -> Result<(), TooManyPublishers> {
        if self.publishers.len() == PUBLISHERS_MAX {
            return Err(TooManyPublishers {
                limit: PUBLISHERS_MAX,
            });
        }
        self.publishers.push(gauges);
        Ok(())
    }

    /// Returns the registries that are read.
    #[must_use]
    pub fn publishers(&self) -> &[Gauges] {
        &self.publishers
    }

    /// Returns the membership, to hand processes over.
    pub fn membership(&mut self) -> &mut Membership {
        &mut self.membership
    }

    /// Returns the system that is read.
    #[must_use]
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Returns the processes of the last sample.
    #[must_use]
    pub fn members(&self) -> &[(ProcessId, Component)] {
        &self.members
    }

    /// Takes a sample. It always succeeds: what cannot be read is missing from it, with a reason.
    pub fn sample(&mut self, at: Moment) -> Sample {
        let mut sample = Sample {
            at,
            ..Sample::default()
        };
        match self.system.machine() {
            Ok(machine) => {
                if machine.estimated {
                    sample
                        .reasons
                        .push("available memory is estimated".to_owned());
                }
                sample.machine = Some(machine);
            }
            Err(error) => sample.reasons.push(explain(&error)),
        }
        sample.cgroup = self.system.cgroup().ok();
        sample.psi = self.system.psi().ok();
        match self.read_table() {
            Ok(()) => {
                self.search_ports(at.steady_ms);
                self.membership
                    .assign(&self.entries, &self.listeners, &mut self.members);
                self.measure(&mut sample);
            }
            Err(error) => {
                sample.reasons.push(explain(&error));
                self.measure_own(&mut sample);
            }
        }
        sample
    }

    fn read_table(&mut self) -> Result<(), ReadError> {
        if self.table_in == 0 {
            self.system.processes(&mut self.entries)?;
            self.table_in = TABLE_SAMPLES;
        } else {
            self.system.refresh_processes(&mut self.entries)?;
        }
        self.table_in -= 1;
        Ok(())
    }

    fn measure(&self, sample: &mut Sample) {
        for (id, component) in &self.members {
            let oldest = &mut sample.parts[component.index()].oldest;
            if oldest.is_none_or(|o| (id.start_time, id.pid) < (o.start_time, o.pid)) {
                *oldest = Some(*id);
            }
            match self.system.memory_of(*id) {
                Ok(memory) => {
                    let held = if *id == self.own {
                        self.held()
                    } else {
                        Vec::new()
                    };
                    sample.attribute(*component, &memory, &held);
                }
                // It ended since the table was read: it costs nothing.
                Err(ReadError::Gone { .. }) => {}
                Err(error) => {
                    sample.parts[component.index()].estimated = true;
                    sample.reasons.push(explain(&error));
                }
            }
        }
    }

    /// Without a table of processes this process is still known.
    fn measure_own(&self, sample: &mut Sample) {
        if let Ok(memory) = crate::reader::own() {
            sample.attribute(Component::Unattributed, &memory, &self.held());
        }
        sample
            .parts
            .iter_mut()
            .for_each(|part| part.estimated = true);
    }

    fn held(&self) -> Vec<(Component, u64)> {
        self.publishers
            .iter()
            .map(|g| (g.component(), g.held_bytes()))
            .collect()
    }

    fn search_ports(&mut self, now_ms: u64) {
        let all_known = self
            .membership
            .rules()
            .ports
            .iter()
            .all(|(port, _)| self.membership.port_is_known(&self.listeners, *port));
        let fresh = self
            .ports_searched_ms
            .is_some_and(|then| now_ms.saturating_sub(then) < PORT_SEARCH_MS);
        if all_known || fresh {
            return;
        }
        self.ports_searched_ms = Some(now_ms);
        let (system, entries) = (&self.system, &self.entries);
        let owner = |(port, _): &(u16, Component)| {
            Some((*port, system.listener(*port, entries).ok().flatten()?))
        };
        self.listeners = self
            .membership
            .rules()
            .ports
            .iter()
            .filter_map(owner)
            .collect();
    }
}

/// An error with its causes, on one line.
fn explain(error: &ReadError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
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
