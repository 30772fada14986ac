//! Channels: the ways in which notices are sent.

mod callback;
mod contract;
#[cfg(feature = "desktop")]
mod desktop;
mod log;
mod program;

pub use callback::Callback;
pub use contract::{Channel, ChannelError};
#[cfg(feature = "desktop")]
pub use desktop::Desktop;
pub use log::Log;
pub use program::Program;
