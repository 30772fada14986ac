//! Published models: their names, the folder that holds them, and downloads.
//!
//! | question | file |
//! |---|---|
//! | which models are there? | `catalog.rs`, any others `file.rs` |
//! | where are they on this machine? | `store.rs` |
//! | which server is contacted? | `hub.rs` (feature `download`) |
//! | when is it retried, and what is checked? | `fetch.rs`, `request.rs` (feature `download`) |
//! | what happens to half a download? | `part.rs` (feature `download`) |
//!
//! # Network
//!
//! Only [`Store::fetch`] contacts a server, and only for a model that is not in the store. It
//! requests one file from the server of [`Hub::from_env`] and follows its redirects (Hugging Face
//! stores the files on another host). It sends the name of the file, the name and version of this
//! library, and, only to the server itself, the token that the user has set.

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
