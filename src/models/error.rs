//! Why a model could not be fetched.

use std::io;
use std::path::PathBuf;

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The model is not in the store, and `HF_HUB_OFFLINE` forbids to fetch it.
    #[error("the model {name} is not in {}, and HF_HUB_OFFLINE forbids to fetch it", folder.display())]
    Offline {
        /// The model.
        name: String,
        /// The store's folder.
        folder: PathBuf,
    },
    /// The endpoint is no address of a server: correct `HF_ENDPOINT`.
    #[error("HF_ENDPOINT is {endpoint:?}, must be an address such as https://huggingface.co")]
    Endpoint {
        /// What it is.
        endpoint: String,
    },
    /// No server was reached: check the connection. Models that are in the store need none.
    #[error(
        "cannot reach {url}; check the connection, or give the file of a model in place of its name"
    )]
    Unreachable {
        /// The file's address.
        url: String,
        /// What the network said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server does not give the file.
    #[error("the server answered {status} to {url}{}", status_hint(*status))]
    Refused {
        /// The file's address.
        url: String,
        /// The status of HTTP.
        status: u16,
    },
    /// The server sends on to where nobody should go.
    #[error("{url} redirects wrongly: {reason}")]
    Redirect {
        /// The address that redirects.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The connection broke again and again. What has arrived is kept: another call goes on there.
    #[error(
        "the download of {url} broke {tries} times; {bytes} bytes are kept, and another call goes on there"
    )]
    Broken {
        /// The file's address.
        url: String,
        /// How often it was tried without coming further.
        tries: u32,
        /// Bytes that have arrived.
        bytes: u64,
        /// What broke it the last time.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server has another file than the published one: it may be a mirror that is out of date, or no mirror at all.
    #[error("{url} has {bytes} bytes, must have {must_bytes}; nothing was kept")]
    WrongSize {
        /// The file's address.
        url: String,
        /// Bytes that the server has.
        bytes: u64,
        /// Bytes that the file must have.
        must_bytes: u64,
    },
    /// What has arrived is not the file: it was removed. Fetch it again, from another server if it happens again.
    #[error("the file from {url} has the {kind} {digest}, must have {must}; it was removed")]
    WrongDigest {
        /// The file's address.
        url: String,
        /// `SHA-1` or `SHA-256`.
        kind: &'static str,
        /// The digest of what has arrived.
        digest: String,
        /// The digest that the file must have.
        must: String,
    },
    /// Neither this library nor the server knows size and digest of the file, so that nobody could tell whether it is whole.
    #[error(
        "{url} comes without size and SHA-256 (X-Linked-Size, X-Linked-Etag) to check it by; fetch the file yourself and give its path"
    )]
    Unverifiable {
        /// The file's address.
        url: String,
    },
    /// There is no room on the disk: what had arrived was removed.
    #[error("there is no room for {needed_bytes} more bytes in {}; what had arrived was removed", folder.display())]
    DiskFull {
        /// The store's folder.
        folder: PathBuf,
        /// Bytes that were still to come.
        needed_bytes: u64,
    },
    /// The store cannot be written: check its permissions, or set `STEADYSCRIBE_CACHE` to another folder.
    #[error("cannot write {}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It was cancelled. What has arrived is kept.
    #[error("cancelled")]
    Cancelled,
}

pub(super) fn status_hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; if the file is not public, set HF_TOKEN",
        404 => "; there is no such file",
        429 => "; it was asked too often, try later",
        _ => "",
    }
}
