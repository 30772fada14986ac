//! What every request needs.

use std::sync::Arc;

use super::live::Stream;
use crate::monitor::Monitor;

/// The state of the routes. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) monitor: Arc<Monitor>,
    pub(super) stream: Stream,
    /// The port on which the routes are served: part of the addresses that are accepted.
    pub(super) port: u16,
    pub(super) token: Arc<str>,
}
