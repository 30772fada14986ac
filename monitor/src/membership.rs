//! Attribution of processes to components.
//!
//! A process belongs to the first component that matches: it was handed over; it descends from a
//! process that belongs; it listens on a known port; it has a known name. A descendant of the app
//! itself that matches nothing is unattributed. A process keeps its component for life, so a child
//! whose parent ends is not lost.

use std::collections::HashMap;

use crate::component::Component;
use crate::reader::{Entry, ProcessId};

/// Most processes that one app hands over at the same time.
pub const HANDED_MAX: usize = 256;

/// Longest chain of parents that is followed. Real ones are below 20; a damaged table may hold a
/// circle.
const PARENTS_MAX: usize = 64;

/// Ports and names by which processes are attributed, beside descent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// The listener on the port.
    pub ports: Vec<(u16, Component)>,
    /// Every process of the name, of which the first 15 bytes count. This is the weakest rule: use
    /// it for servers of which there is one, never for a runner that users may also start
    /// themselves.
    pub names: Vec<(String, Component)>,
}

impl Rules {
    /// No rules: every process of a component is handed over or descends from one that is.
    #[must_use]
    pub fn none() -> Self {
        Self {
            ports: Vec::new(),
            names: Vec::new(),
        }
    }
}

impl Default for Rules {
    /// Ollama's port and name, and the ports of Meetily's backend and of its whisper server.
    fn default() -> Self {
        Self {
            ports: vec![
                (11_434, Component::Ollama),
                (5_167, Component::Backend),
                (8_178, Component::Audio),
            ],
            names: vec![("ollama".to_owned(), Component::Ollama)],
        }
    }
}

/// Too many processes are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} processes are handed over already; hand over the parent of process {pid} instead")]
#[non_exhaustive]
pub struct TooManyHandedOver {
    /// The process that was refused.
    pub pid: u32,
    /// [`HANDED_MAX`].
    pub limit: usize,
}

/// The component of every process of the app.
#[derive(Debug)]
pub struct Membership {
    rules: Rules,
    app: ProcessId,
    handed: HashMap<ProcessId, Component>,
    remembered: HashMap<ProcessId, Component>,
}

impl Membership {
    /// Makes a membership for the app whose first process is `app`.
    #[must_use]
    pub fn new(app: ProcessId, rules: Rules) -> Self {
        Self {
            rules,
            app,
            handed: HashMap::new(),
            remembered: HashMap::new(),
        }
    }

    /// Returns the rules.
    #[must_use]
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Attributes a process, and every process that it starts from now on, to a component.
    ///
    /// # Errors
    ///
    /// [`TooManyHandedOver`]: hand over the parents of these processes instead.
    pub fn hand_over(
        &mut self,
        id: ProcessId,
        component: Component,
    ) -> Result<(), TooManyHandedOver> {
        if self.handed.len() >= HANDED_MAX && !self.handed.contains_key(&id) {
            return Err(TooManyHandedOver {
                pid: id.pid,
                limit: HANDED_MAX,
            });
        }
        // Inheritance under the old assignment no longer holds.
        self.remembered.clear();
        self.handed.insert(id, component);
        Ok(())
    }

    /// Returns whether the listener on a port is known, so that sockets need not be searched.
    pub(crate) fn port_is_known(&self, listeners: &[(u16, ProcessId)], port: u16) -> bool {
        listeners
            .iter()
            .any(|(p, id)| *p == port && self.remembered.contains_key(id))
    }

    /// Fills `members` with the processes of the app. `entries` is the table in order of numbers,
    /// and `listeners` holds the processes that were found on the ports of the rules.
    pub(crate) fn assign(
        &mut self,
        entries: &[Entry],
        listeners: &[(u16, ProcessId)],
        members: &mut Vec<(ProcessId, Component)>,
    ) {
        members.clear();
        for entry in entries {
            if let Some(component) = self.component_of(entry, entries, listeners) {
                members.push((entry.id, component));
            }
        }
        // Only living processes are remembered, so the memory is bounded by the table.
        self.remembered.clear();
        self.remembered.extend(members.iter().copied());
        // Processes that have ended must not fill the places of those to come.
        let alive = &self.remembered;
        self.handed.retain(|id, _| alive.contains_key(id));
    }

    fn component_of(
        &self,
        entry: &Entry,
        entries: &[Entry],
        listeners: &[(u16, ProcessId)],
    ) -> Option<Component> {
        if let Some(component) = self.certain(entry) {
            return Some(component);
        }
        let inherited = self.inherited(entry, entries, listeners);
        // The app's own tree is the weakest evidence: a port or a name outweighs it.
        match inherited {
            Some(Component::Unattributed) | None => self.evident(entry, listeners).or(inherited),
            Some(_) => inherited,
        }
    }

    /// Handed over, or assigned before.
    fn certain(&self, entry: &Entry) -> Option<Component> {
        let remembered = self
            .remembered
            .get(&entry.id)
            .filter(|c| **c != Component::Unattributed);
        self.handed.get(&entry.id).or(remembered).copied()
    }

    /// By port, by name, or as the app itself.
    fn evident(&self, entry: &Entry, listeners: &[(u16, ProcessId)]) -> Option<Component> {
        let by_port = |(port, component): &(u16, Component)| {
            listeners.contains(&(*port, entry.id)).then_some(*component)
        };
        let by_name =
            |(name, component): &(String, Component)| entry.is_named(name).then_some(*component);
        self.rules
            .ports
            .iter()
            .find_map(by_port)
            .or_else(|| self.rules.names.iter().find_map(by_name))
            .or_else(|| (entry.id == self.app).then_some(Component::Unattributed))
            .or_else(|| self.remembered.get(&entry.id).copied())
    }

    /// The component of the nearest ancestor that has one.
    fn inherited(
        &self,
        entry: &Entry,
        entries: &[Entry],
        listeners: &[(u16, ProcessId)],
    ) -> Option<Component> {
        let mut child = entry;
        for _ in 0..PARENTS_MAX {
            let at = entries
                .binary_search_by_key(&child.parent_pid, |e| e.id.pid)
                .ok()?;
            let parent = &entries[at];
            // A parent that is younger than its child is another process with the parent's number.
            if parent.id.start_time > child.id.start_time {
                return None;
            }
            if let Some(component) = self
                .certain(parent)
                .or_else(|| self.evident(parent, listeners))
            {
                return Some(component);
            }
            child = parent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: ProcessId = id(10, 100);

    const fn id(pid: u32, start_time: u64) -> ProcessId {
        ProcessId { pid, start_time }
    }

    fn entry(pid: u32, parent: u32, name: &str) -> Entry {
        Entry::new(id(pid, u64::from(pid) * 10), parent, name)
    }

    fn check(
        membership: &mut Membership,
        entries: &[Entry],
        listeners: &[(u16, ProcessId)],
        expected: &[(u32, Component)],
    ) {
        let mut members = Vec::new();
        membership.assign(entries, listeners, &mut members);
        let seen: Vec<_> = members.iter().map(|(id, c)| (id.pid, *c)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn evidence_ranks() {
        let mut membership = Membership::new(APP, Rules::default());
        membership
            .hand_over(id(20, 200), Component::Frontend)
            .unwrap();
        let entries = [
            entry(1, 0, "init"),
            entry(10, 1, "app"),
            entry(20, 10, "webview"),
            entry(21, 20, "ollama"),
            entry(30, 10, "python"),
            entry(31, 10, "tool"),
            entry(40, 1, "ollama"),
            entry(41, 40, "llama-server"),
            entry(50, 1, "llama-server"),
        ];
        let expected = [
            (10, Component::Unattributed),
            (20, Component::Frontend),
            (21, Component::Frontend),
            (30, Component::Backend),
            (31, Component::Unattributed),
            (40, Component::Ollama),
            (41, Component::Ollama),
        ];
        check(
            &mut membership,
            &entries,
            &[(5_167, id(30, 300))],
            &expected,
        );
    }

    #[test]
    fn child_keeps_its_component_when_its_parent_ends() {
        let mut membership = Membership::new(APP, Rules::default());
        let before = [entry(40, 1, "ollama"), entry(41, 40, "runner")];
        let both = [(40, Component::Ollama), (41, Component::Ollama)];
        check(&mut membership, &before, &[], &both);
        let after = [entry(41, 1, "runner"), entry(42, 41, "helper")];
        let rest = [(41, Component::Ollama), (42, Component::Ollama)];
        check(&mut membership, &after, &[], &rest);
    }

    #[test]
    fn reused_number_inherits_nothing() {
        let mut membership = Membership::new(APP, Rules::default());
        membership
            .hand_over(id(40, 400), Component::Backend)
            .unwrap();
        check(
            &mut membership,
            &[entry(40, 1, "python")],
            &[],
            &[(40, Component::Backend)],
        );
        let reused = Entry::new(id(40, 9_000), 1, "editor");
        let child = Entry::new(id(41, 410), 40, "orphan");
        check(&mut membership, &[reused, child], &[], &[]);
    }

    #[test]
    fn circle_of_parents_ends() {
        let mut membership = Membership::new(APP, Rules::default());
        let circle = [Entry::new(id(5, 7), 6, "a"), Entry::new(id(6, 7), 5, "b")];
        check(&mut membership, &circle, &[], &[]);
    }

    #[test]
    fn handed_over_processes_are_bounded_while_they_live() {
        let mut membership = Membership::new(APP, Rules::default());
        for (pid, _) in (0_u32..).zip(0..HANDED_MAX) {
            membership
                .hand_over(id(pid, 1), Component::Frontend)
                .unwrap();
        }
        let error = membership
            .hand_over(id(9_999, 1), Component::Frontend)
            .unwrap_err();
        assert_eq!((error.pid, error.limit), (9_999, HANDED_MAX));
        let one = [Entry::new(id(7, 1), 1, "webview")];
        check(&mut membership, &one, &[], &[(7, Component::Frontend)]);
        for (pid, _) in (1_000_u32..).zip(1..HANDED_MAX) {
            membership
                .hand_over(id(pid, 1), Component::Frontend)
                .unwrap();
        }
    }
}
