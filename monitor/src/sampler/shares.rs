//! Proportional shares. They are read rarely: for each, the kernel walks every page of a process,
//! some 12 ms per GiB, and holds a lock of that process meanwhile.

use std::collections::HashMap;

use crate::component::Component;
use crate::reader::{ProcessId, System};
use crate::reading::Reading;

/// Least time between two looks at the same process.
const SHARE_MS: u64 = 60_000;

/// A process that has more in RAM than this is not looked at: it would take 50 ms.
const SHARED_RESIDENT_BYTES_MAX: u64 = 4 << 30;

/// What was read of each process of the app. At most one process is read in each sample, so that no
/// sample takes long.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares(HashMap<ProcessId, Share>);

#[derive(Clone, Copy, Debug)]
struct Share {
    read_ms: u64,
    /// `None`: it cannot be read, or is too large.
    bytes: Option<u64>,
}

impl Shares {
    /// Looks at the process that was not looked at for longest, if that is long enough.
    pub(super) fn refresh(
        &mut self,
        system: &System,
        members: &[(ProcessId, Component)],
        now_ms: u64,
    ) {
        self.0
            .retain(|id, _| members.binary_search_by_key(id, |(id, _)| *id).is_ok());
        let age_ms = |id: &ProcessId| {
            let read_ms = self.0.get(id).map(|share| share.read_ms);
            read_ms.map_or(u64::MAX, |then| now_ms.saturating_sub(then))
        };
        let oldest = members.iter().map(|(id, _)| *id).max_by_key(age_ms);
        let Some(id) = oldest.filter(|id| age_ms(id) >= SHARE_MS) else {
            return;
        };
        let bytes = read(system, id, SHARED_RESIDENT_BYTES_MAX);
        self.0.insert(
            id,
            Share {
                read_ms: now_ms,
                bytes,
            },
        );
    }

    /// Looks at every process, however large and however lately it was looked at.
    pub(super) fn refresh_all(
        &mut self,
        system: &System,
        members: &[(ProcessId, Component)],
        now_ms: u64,
    ) {
        self.0.clear();
        for (id, _) in members {
            let bytes = read(system, *id, u64::MAX);
            self.0.insert(
                *id,
                Share {
                    read_ms: now_ms,
                    bytes,
                },
            );
        }
    }

    /// Returns the shares of a component's processes together, which are known once all were read.
    pub(super) fn sum(
        &self,
        members: &[(ProcessId, Component)],
        component: Component,
    ) -> Reading<u64> {
        let own = members.iter().filter(|(_, c)| *c == component);
        own.map(|(id, _)| match self.0.get(id) {
            Some(Share {
                bytes: Some(bytes), ..
            }) => Reading::Known(*bytes),
            Some(_) => Reading::unknown("a process is too large, or its pages cannot be read"),
            None => Reading::unknown("proportional shares are not read yet"),
        })
        .fold(Reading::Known(0), Reading::plus)
    }
}

fn read(system: &System, id: ProcessId, resident_bytes_max: u64) -> Option<u64> {
    let memory = system.memory_of(id).ok()?;
    if memory.resident_bytes > resident_bytes_max {
        return None;
    }
    let share = system.proportional(id.pid).ok()?;
    Some(
        share
            .pss_bytes
            .saturating_add(share.swap_pss_bytes.unwrap_or(0)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(pids: &[(u32, u64)]) -> Vec<(ProcessId, Component)> {
        pids.iter()
            .map(|(pid, start)| (ProcessId::new(*pid, *start), Component::Ollama))
            .collect()
    }

    fn laptop() -> System {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/proc/laptop");
        System::at(root, root)
    }

    #[test]
    fn one_process_is_read_in_a_sample_and_once_in_a_minute() {
        let (system, mut shares) = (laptop(), Shares::default());
        // 4100 has no rollup file: it was read, and there is nothing to know.
        let both = members(&[(4_100, 9_000), (4_242, 12_000)]);
        shares.refresh(&system, &both, 0);
        assert_eq!(shares.0.len(), 1);
        shares.refresh(&system, &both, 1_000);
        assert_eq!(shares.0.len(), 2);
        let reads = |shares: &Shares| {
            let mut reads: Vec<u64> = shares.0.values().map(|share| share.read_ms).collect();
            reads.sort_unstable();
            reads
        };
        shares.refresh(&system, &both, 59_000);
        assert_eq!(reads(&shares), [0, 1_000]);
        shares.refresh(&system, &both, 60_000);
        assert_eq!(reads(&shares), [1_000, 60_000]);
    }

    #[test]
    fn sum_is_known_only_whole_and_forgets_the_gone() {
        let (system, mut shares) = (laptop(), Shares::default());
        let runner = members(&[(4_242, 12_000)]);
        assert!(!shares.sum(&runner, Component::Ollama).is_known());
        shares.refresh(&system, &runner, 0);
        let expected = (60_000 + 9_765_432) << 10;
        assert_eq!(
            shares.sum(&runner, Component::Ollama),
            Reading::Known(expected)
        );
        let audio = shares.sum(&runner, Component::Audio);
        assert_eq!(audio, Reading::Known(0), "it has no process");
        let both = members(&[(4_100, 9_000), (4_242, 12_000)]);
        shares.refresh(&system, &both, 1_000);
        let sum = shares.sum(&both, Component::Ollama);
        assert!(!sum.is_known(), "one cannot be read");
        shares.refresh(&system, &[], 2_000);
        assert!(shares.0.is_empty());
    }
}
