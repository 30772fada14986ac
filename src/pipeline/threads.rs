//! Threads that are joined, and the one that writes.

use std::thread::{self, Scope, ScopedJoinHandle};

use crossbeam_channel::Receiver;

use crate::sink::Sink;
use crate::time::Time;
use crate::transcript::Segment;

/// What a sink is told.
#[derive(Debug)]
pub(super) enum Told {
    Segment(Segment),
    /// No later segment starts before this time.
    Reached(Time),
}

impl Told {
    pub(super) fn to(&self, sink: &mut dyn Sink) -> std::io::Result<()> {
        match self {
            Self::Segment(segment) => sink.segment(segment),
            Self::Reached(time) => sink.reached(*time),
        }
    }
}

/// Writes segments until they end or the sink fails. Returns how many it took.
pub(super) fn write(told: Receiver<Told>, sink: &mut dyn Sink) -> (u64, std::io::Result<()>) {
    let mut count = 0;
    for told in told {
        if let Err(error) = told.to(sink) {
            // Dropping the receiver stops the engine, which stops the decoder.
            return (count, Err(error));
        }
        count += u64::from(matches!(told, Told::Segment(_)));
    }
    (count, Ok(()))
}

/// What a panic said.
#[derive(Debug)]
pub(super) struct Panic(pub(super) String);

pub(super) type Handle<'scope, T> = std::io::Result<ScopedJoinHandle<'scope, T>>;

pub(super) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Handle<'scope, T> {
    thread::Builder::new()
        .name(name.into())
        .spawn_scoped(scope, work)
}

pub(super) fn join<T>(handle: Handle<'_, T>) -> Result<T, Panic> {
    let handle = handle.map_err(|error| Panic(format!("no thread could be started: {error}")))?;
    handle.join().map_err(|panic| {
        let said = panic.downcast_ref::<&str>().map(ToString::to_string);
        Panic(
            said.or_else(|| panic.downcast_ref().cloned())
                .unwrap_or_else(|| "panic".into()),
        )
    })
}
