//! Takes samples: reads, attributes, and names what could not be had.

use super::shares::Shares;
use super::{Moment, Sample};
use crate::component::Component;
use crate::gauge::Gauges;
use crate::membership::Membership;
use crate::reader::{Entry, PROCESSES_MAX, ProcessId, ReadError, System};

/// Most pipelines whose gauges are read.
pub const PUBLISHERS_MAX: usize = 16;

/// How long a search for the owner of a port is good for, in milliseconds: it looks through the open files of every
/// process, some 20 ms with 300 of them.
const PORT_SEARCH_MS: u64 = 30_000;

/// Every so many samples the whole table of processes is read; between them only the new numbers. At one sample in 5 s a
/// number that was used again at once is noticed after 30 s; memory is never read of the wrong process.
const TABLE_SAMPLES: u32 = 6;

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
    shares: Shares,
    reads_shares: bool,
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
            shares: Shares::default(),
            reads_shares: true,
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

    /// Sets whether proportional shares are read, which walks the pages of one process in each sample.
    pub fn set_reads_shares(&mut self, reads: bool) {
        self.reads_shares = reads;
    }

    /// Reads the proportional shares of all processes of the last sample, which takes 12 ms per GiB of them.
    pub fn read_shares(&mut self, now_ms: u64) {
        self.shares.refresh_all(&self.system, &self.members, now_ms);
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
        match self.system.psi() {
            Ok(psi) => sample.psi = Some(psi),
            // A system that has no such figure needs no word on every report.
            Err(ReadError::Unsupported { .. }) => {}
            Err(error) => sample
                .reasons
                .push(format!("stalls are unknown: {}", explain(&error))),
        }
        match self.read_table() {
            Ok(()) => {
                self.search_ports(at.steady_ms);
                self.membership
                    .assign(&self.entries, &self.listeners, &mut self.members);
                self.measure(&mut sample);
                self.share(&mut sample);
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

    fn share(&mut self, sample: &mut Sample) {
        if self.reads_shares {
            self.shares
                .refresh(&self.system, &self.members, sample.at.steady_ms);
        }
        for component in Component::ALL {
            let part = &mut sample.parts[component.index()];
            part.proportional_bytes = self.shares.sum(&self.members, component);
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
