//! Takes samples: reads the system, attributes every byte, and gives the reason for what is
//! unknown.

mod publishers;
mod shares;

use crate::component::Component;
use crate::gauge::Gauges;
use crate::membership::Membership;
use crate::reader::{Entry, PROCESSES_MAX, ProcessId, ReadError, System};
use crate::reading::Reading;
use crate::sample::{Moment, Sample};

use publishers::Publishers;
pub use publishers::{PUBLISHERS_MAX, TooManyPublishers};
use shares::Shares;

/// How long a search for the owner of a port is good for, in milliseconds: it looks through the
/// open files of every process, some 20 ms with 300 of them.
const PORT_SEARCH_MS: u64 = 30_000;

/// The whole table of processes is read once in this number of samples, and only new numbers in
/// between. At one sample in 5 s a number that was used again at once is noticed after 30 s; memory
/// is never read of the wrong process.
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
    publishers: Publishers,
    entries: Vec<Entry>,
    members: Vec<(ProcessId, Component)>,
    listeners: Vec<(u16, ProcessId)>,
    ports_searched_ms: Option<u64>,
    /// Samples until the whole table is read.
    table_in: u32,
    shares: Shares,
    reads_shares: bool,
}

impl Sampler {
    /// Makes a sampler. `own` is the process whose pipelines publish gauges.
    #[must_use]
    pub fn new(system: System, own: ProcessId, membership: Membership) -> Self {
        Self {
            system,
            own,
            membership,
            publishers: Publishers::default(),
            entries: Vec::with_capacity(512.min(PROCESSES_MAX)),
            members: Vec::new(),
            listeners: Vec::new(),
            ports_searched_ms: None,
            table_in: 0,
            shares: Shares::default(),
            reads_shares: true,
        }
    }

    /// Reads a pipeline's gauges from now on, until every handle of them is dropped.
    ///
    /// # Errors
    ///
    /// [`TooManyPublishers`]: let pipelines share a registry.
    pub fn register(&mut self, gauges: &Gauges) -> Result<(), TooManyPublishers> {
        self.publishers.register(gauges)
    }

    /// Returns the registries that are read, each with its place, which it keeps.
    #[cfg(feature = "dashboard")]
    pub(crate) fn publishers(&self) -> Vec<(usize, Gauges)> {
        self.publishers.alive().collect()
    }

    /// Sets whether proportional shares are read, which walks the pages of one process in each
    /// sample.
    pub(crate) fn set_reads_shares(&mut self, reads: bool) {
        self.reads_shares = reads;
    }

    /// Reads the proportional shares of all processes of the last sample, which takes 12 ms per GiB
    /// of them.
    pub fn read_shares(&mut self, now_ms: u64) {
        self.shares.refresh_all(&self.system, &self.members, now_ms);
    }

    /// Returns the membership, to hand processes over.
    pub fn membership(&mut self) -> &mut Membership {
        &mut self.membership
    }

    /// Returns the system that is read.
    #[must_use]
    pub(crate) fn system(&self) -> &System {
        &self.system
    }

    /// Returns the processes of the last sample.
    #[must_use]
    pub fn members(&self) -> &[(ProcessId, Component)] {
        &self.members
    }

    /// Takes a sample. It always succeeds: a figure that cannot be read is unknown in it, for a
    /// reason.
    pub fn sample(&mut self, at: Moment) -> Sample {
        let mut sample = Sample {
            at,
            ..Sample::default()
        };
        self.read_machine(&mut sample);
        match self.read_table() {
            Ok(()) => {
                self.search_ports(at.steady_ms);
                self.membership
                    .assign(&self.entries, &self.listeners, &mut self.members);
                self.measure(&mut sample);
                self.share(&mut sample);
            }
            Err(error) => {
                let why = error.explain();
                sample.parts.iter_mut().for_each(|part| part.blind(&why));
                sample.reasons.push(why);
            }
        }
        sample
    }

    fn read_machine(&self, sample: &mut Sample) {
        let mut unknown = |what: &str, error: &ReadError| {
            let why = error.explain();
            sample.reasons.push(format!("{what} unknown: {why}"));
            why
        };
        sample.machine = match self.system.machine() {
            Ok(machine) => Reading::Known(machine),
            Err(error) => Reading::unknown(unknown("memory of the machine is", &error)),
        };
        sample.cgroup = match self.system.cgroup() {
            Ok(group) => Reading::Known(group),
            Err(error) => Reading::unknown(unknown("the limit of the control group is", &error)),
        };
        sample.psi = match self.system.psi() {
            Ok(psi) => Reading::Known(psi),
            // A system without such figures needs no word on every report.
            Err(error @ ReadError::Unsupported { .. }) => Reading::unknown(error.to_string()),
            Err(error) => Reading::unknown(unknown("stalls are", &error)),
        };
        if sample
            .machine
            .get()
            .is_some_and(|machine| machine.estimated)
        {
            sample
                .reasons
                .push("available memory is estimated".to_owned());
        }
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
            let held = if *id == self.own {
                self.publishers.held()
            } else {
                Vec::new()
            };
            match self.system.memory_of(*id) {
                Ok(memory) => sample.attribute(*component, &memory, &held),
                // It ended since the table was read: it costs nothing.
                Err(ReadError::Gone { .. }) => {}
                Err(error) => {
                    let why = error.explain();
                    let holders = held.iter().map(|(holder, _)| holder);
                    for component in holders.chain([component]) {
                        sample.parts[component.index()].blind(&why);
                    }
                    sample.reasons.push(why);
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
