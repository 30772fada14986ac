//! Threads that are joined, and the events that the caller's thread hands to the sink.

use std::io;
use std::thread::{self, Scope, ScopedJoinHandle};

use crossbeam_channel::Receiver;

use crate::sink::Sink;
use crate::time::Time;
use crate::transcript::Segment;

/// What a sink is given.
#[derive(Debug)]
pub(super) enum SinkEvent {
    Segment(Segment),
    /// No later segment starts before this time.
    Reached(Time),
}

impl SinkEvent {
    /// Hands the event to a sink. Returns whether the sink takes more.
    pub(super) fn deliver(&self, sink: &mut dyn Sink) -> io::Result<bool> {
        match self {
            Self::Segment(segment) => sink.segment(segment),
            Self::Reached(time) => sink.reached(*time).map(|()| true),
        }
    }
}

/// Hands events to the sink until they end, the sink has enough or it fails. Returns whether it
/// took all of them. `delivered` is called after each.
///
/// Returning drops the receiver, which stops the engine's thread, which stops the decoder's.
pub(super) fn deliver(
    events: Receiver<SinkEvent>,
    sink: &mut dyn Sink,
    mut delivered: impl FnMut(&SinkEvent),
) -> io::Result<bool> {
    for event in events {
        let takes_more = event.deliver(sink)?;
        delivered(&event);
        if !takes_more {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The message of a panic.
#[derive(Debug)]
pub(super) struct Panic(pub(super) String);

pub(super) type Handle<'scope, T> = io::Result<ScopedJoinHandle<'scope, T>>;

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
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref().cloned());
        Panic(text.unwrap_or_else(|| "panic".into()))
    })
}
