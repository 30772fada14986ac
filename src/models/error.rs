//! Errors of downloads, one variant for each reaction of a caller.

use std::io;
use std::path::PathBuf;

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The model is not in the store, and `HF_HUB_OFFLINE` forbids downloads: unset it.
    #[error(
        "the model {name} is not in {}, and HF_HUB_OFFLINE forbids downloads; \
         unset it, or copy the file there",
        folder.display()
    )]
    Offline {
        /// The model.
        name: String,
        /// The store's folder.
        folder: PathBuf,
    },
    /// The endpoint is not the address of a server: correct `HF_ENDPOINT`.
    #[error("HF_ENDPOINT is {endpoint:?}; set it to an address such as https://huggingface.co")]
    Endpoint {
        /// The value of the endpoint.
        endpoint: String,
    },
    /// No server was reached: check the connection. Models in the store need none.
    #[error(
        "cannot reach {url}; check the connection, or give the file of a model in place of its name"
    )]
    Unreachable {
        /// The file's address.
        url: String,
        /// The error of the network.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server refused to send the file: the status says why.
    #[error("the server answered {status} to {url}{}", status_hint(*status))]
    Refused {
        /// The file's address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server sent a redirect that must not be followed: use another `HF_ENDPOINT`.
    #[error("cannot follow the redirect of {url}: {reason}")]
    Redirect {
        /// The address that redirects.
        url: String,
        /// The reason not to follow it.
        reason: &'static str,
    },
    /// The connection broke repeatedly: call again, which continues where this call ended.
    #[error(
        "the download of {url} broke {tries} times; {bytes} bytes are kept, \
         and the next attempt continues there"
    )]
    Broken {
        /// The file's address.
        url: String,
        /// Attempts without progress.
        tries: u32,
        /// Bytes that were received.
        bytes: u64,
        /// The error of the last attempt.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server has another file than the published one: use another mirror. This one may be out
    /// of date, or no mirror at all.
    #[error(
        "{url} has {bytes} bytes, expected {must_bytes}; nothing was kept, \
         use another HF_ENDPOINT"
    )]
    WrongSize {
        /// The file's address.
        url: String,
        /// Bytes that the server has.
        bytes: u64,
        /// Bytes that the file must have.
        must_bytes: u64,
    },
    /// The downloaded file is not the expected one, and was removed: fetch it again, from another
    /// server if that fails too.
    #[error(
        "the file from {url} has the {kind} {digest}, expected {must}; it was removed, \
         download it again"
    )]
    WrongDigest {
        /// The file's address.
        url: String,
        /// `SHA-1` or `SHA-256`.
        kind: &'static str,
        /// The digest of the downloaded file.
        digest: String,
        /// The digest that the file must have.
        must: String,
    },
    /// Neither this library nor the server knows size and digest of the file, so it cannot be
    /// checked: fetch the file by other means.
    #[error(
        "{url} has no size and SHA-256 (X-Linked-Size, X-Linked-Etag) to check it with; \
         download the file by other means and give its path"
    )]
    Unverifiable {
        /// The file's address.
        url: String,
    },
    /// The disk is full: free space. The incomplete file was removed.
    #[error(
        "the disk has no room for {needed_bytes} more bytes in {}; \
         the incomplete file was removed, free space and download it again",
        folder.display()
    )]
    DiskFull {
        /// The store's folder.
        folder: PathBuf,
        /// Bytes that were missing.
        needed_bytes: u64,
    },
    /// The store cannot be written: check its permissions, or set `STEADYSCRIBE_CACHE` to another
    /// folder.
    #[error(
        "cannot write {}; check its permissions, or set STEADYSCRIBE_CACHE to another folder",
        path.display()
    )]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The download was cancelled. The next call continues where it ended.
    #[error("the download was cancelled")]
    Cancelled,
}

pub(super) fn status_hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; if the file is not public, set HF_TOKEN",
        404 => "; check the name of the file",
        429 => "; too many requests, try again later",
        _ => "",
    }
}
