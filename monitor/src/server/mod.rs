//! The dashboard: a page on this machine, for its user alone.
//!
//! A program without an async runtime starts it in a thread of its own with [`Dashboard::start`]. A
//! host that runs tokio awaits [`Dashboard::serve`], or mounts [`Dashboard::router`] in its own
//! axum server.
//!
//! # Security
//!
//! It listens on 127.0.0.1 only. A page of another site that reaches it (DNS rebinding, cross-site
//! requests) fails on the exact `Host`, on `Origin` and on `Sec-Fetch-Site`; another user of the
//! machine fails on the token, 128 random bits in the fragment of the address, which browsers never
//! send. The page loads nothing from elsewhere, and no answer holds a path, a command line or
//! transcribed text.

mod context;
mod dashboard;
mod embedded;
mod error;
mod events;
mod guard;
mod live;
mod metrics;
mod routes;
mod state;
mod token;

#[cfg(test)]
mod tests;

pub use dashboard::Dashboard;
pub use embedded::Embedded;
pub use error::ServeError;
pub use live::{CLIENTS_MAX, Stream, StreamChannel};
