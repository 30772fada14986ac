//! The state of the app after a sample, from which alerts and reports are made.

use crate::capacity::Capacity;
use crate::component::Component;
use crate::leak::Finding;
use crate::pressure::Pressure;
use crate::reading::Reading;
use crate::trend::Trend;

/// The state of one component.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ComponentView {
    /// The component.
    pub component: Component,
    /// Private bytes now.
    pub current_bytes: Reading<u64>,
    /// Most private bytes ever. `None`: they were never known.
    pub peak_bytes: Option<u64>,
    /// Mean of the last two hours. `None`: nothing was known in them.
    pub average_bytes: Option<u64>,
    /// Direction of the last hour.
    pub trend: Trend,
    /// Whether it leaks.
    pub leak: Finding,
    /// Whether meetings leave memory behind in it.
    pub meeting_leak: Finding,
    /// Its own limit.
    pub limit_bytes: Option<u64>,
    /// Bytes that it needs: the bytes of its models and pipelines by their own account, or the
    /// bytes in use according to its allocator, whichever is more. `None`: nothing of it publishes
    /// such a figure.
    pub needed_bytes: Option<u64>,
}

/// The state of the whole app.
pub(super) struct AppView<'a> {
    pub(super) capacity: &'a Capacity,
    pub(super) pressure: &'a Pressure,
    /// Private bytes of all components.
    pub(super) total_bytes: Reading<u64>,
    /// Whether samples are taken more often while the pressure is High.
    pub(super) samples_faster: bool,
    pub(super) components: [ComponentView; Component::ALL.len()],
}
