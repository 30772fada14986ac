//! The models that the whisper.cpp project publishes: their names, where they are kept, and how they come there.
//!
//! | question | file |
//! |---|---|
//! | which models are there? | `catalog.rs`, any others `file.rs` |
//! | where on this machine are they? | `store.rs` |
//! | what is asked of which server, and when? | `hub.rs`, `fetch.rs`, `request.rs` (feature `download`) |
//! | what becomes of half a download? | `part.rs` (feature `download`) |
//!
//! # Network
//!
//! Nothing here contacts a server but [`Store::fetch`], and that only for a model that is not in the store. It asks the server of
//! [`Hub::from_env`] for one file, follows its redirects (Hugging Face keeps the files at a host of its own), and sends
//! nothing but the name of the file, the name and version of this library, and, to the server itself alone, the token
//! that the user has set.

mod catalog;
#[cfg(feature = "download")]
mod error;
#[cfg(feature = "download")]
mod fetch;
mod file;
#[cfg(feature = "download")]
mod hub;
#[cfg(feature = "download")]
mod part;
#[cfg(feature = "download")]
mod request;
mod store;

pub use catalog::{Model, NameError, all, find};
#[cfg(feature = "download")]
pub use error::FetchError;
#[cfg(feature = "download")]
pub use fetch::FetchEvent;
pub use file::ModelFile;
#[cfg(feature = "download")]
pub use hub::Hub;
pub use store::{NoFolder, Store};
