//! Fetching a model: what is asked, what is believed, and what is done when it breaks.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::part::{Part, with_suffix};
use super::request::{Answer, Asked, Client, Unanswered};
use super::{Model, ModelFile, Store};
use crate::cancel::Cancel;

/// The server that is asked unless the user names another.
const ENDPOINT: &str = "https://huggingface.co";

/// Silence after which a connection is given up, unless the user says otherwise.
const STALL: Duration = Duration::from_secs(30);

/// Bytes that are taken from the connection at once.
const CHUNK_BYTES: usize = 64 << 10;

/// How often a broken download is taken up again without having come further.
const RETRIES_MAX: u32 = 5;

/// What counts as having come further.
const FURTHER_BYTES: u64 = 1 << 20;

/// Wait before the first retry; it doubles with each that brings nothing.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// How often another's download is looked at, and how soon a cancelled wait is noticed.
const TURN: Duration = Duration::from_millis(100);

/// Which server is asked, and how.
///
/// # Examples
///
/// ```no_run
/// use steadyscribe::Cancel;
/// use steadyscribe::models::{Hub, Store};
///
/// let (store, model) = (Store::of_user()?, "base.en-q5_1".parse()?);
/// let path = store.fetch(&model, &Hub::from_env(), &Cancel::new(), &mut |event| println!("{event}"))?;
/// println!("{}", path.display());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hub {
    /// The server: Hugging Face, or one that answers as it does.
    pub endpoint: String,
    /// Sent to the endpoint, and to no host that it redirects to. The published models need none.
    pub token: Option<String>,
    /// No server is contacted: a model that is not in the store is an error.
    pub offline: bool,
    /// Silence after which a connection is given up. There is no limit to the whole.
    pub stall: Duration,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            endpoint: ENDPOINT.into(),
            token: None,
            offline: false,
            stall: STALL,
        }
    }
}

impl Hub {
    /// Follows the variables that Hugging Face's own programs follow: `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, and
    /// `HF_HUB_DOWNLOAD_TIMEOUT` in seconds.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        let mut hub = Self::default();
        if let Some(endpoint) = set("HF_ENDPOINT") {
            hub.endpoint = endpoint.trim().trim_end_matches('/').into();
        }
        hub.token = set("HF_TOKEN").map(|token| token.trim().into());
        let on =
            |value: String| matches!(&*value.trim().to_lowercase(), "1" | "on" | "yes" | "true");
        hub.offline = set("HF_HUB_OFFLINE").is_some_and(on);
        let stall_s = set("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|value| value.trim().parse().ok());
        if let Some(seconds) = stall_s.filter(|seconds| *seconds > 0) {
            hub.stall = Duration::from_secs(seconds);
        }
        hub
    }
}

/// Keeps the token to itself.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("offline", &self.offline)
            .field("stall", &self.stall)
            .finish()
    }
}

/// What happens while a model is fetched. Its `Display` is a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent {
    /// Another process is fetching the same model: its result is waited for.
    Waiting,
    /// The server is asked for the file, or for what an earlier download has left of it.
    Asking {
        /// The file's address.
        url: String,
        /// Bytes that are here already.
        have_bytes: u64,
    },
    /// More has arrived. Comes every 64 KiB at most.
    Received {
        /// Bytes that are here.
        bytes: u64,
        /// Size of the file.
        total_bytes: u64,
    },
    /// The connection broke and is tried again.
    Retrying {
        /// What broke it.
        reason: String,
        /// After how long.
        wait: Duration,
    },
}

impl fmt::Display for FetchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => write!(f, "another process is fetching this model: waiting for it"),
            Self::Asking { url, have_bytes: 0 } => write!(f, "fetching {url}"),
            Self::Asking { url, have_bytes } => {
                write!(f, "fetching the rest of {url}: {have_bytes} bytes are here")
            }
            Self::Received { bytes, total_bytes } => write!(f, "{bytes} of {total_bytes} bytes"),
            Self::Retrying { reason, wait } => {
                write!(f, "{reason}: trying again in {:.1} s", wait.as_secs_f64())
            }
        }
    }
}

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

fn status_hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; if the file is not public, set HF_TOKEN",
        404 => "; there is no such file",
        429 => "; it was asked too often, try later",
        _ => "",
    }
}

/// How one attempt ended that did not end well.
enum Failed {
    /// Worth another attempt, which goes on where this one ended.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    Final(FetchError),
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

impl Store {
    /// Returns a model's file, fetched now if it is not in the store.
    ///
    /// A file that is in the store is used as it is, without any network. Else the file is fetched into `NAME.part`, from where an
    /// earlier call left off, compared with its size and digests (SHA-1 of the published models, and the SHA-256 that
    /// the server states), and takes its name only then. Of two calls at once, in one process or two, the second
    /// waits for the first and uses its file.
    ///
    /// `on` is told what happens, on this thread.
    ///
    /// # Memory
    ///
    /// Two buffers of 64 KiB, those of the connection (some 300 KB with TLS), and the roots of trust (200 KB).
    ///
    /// # Errors
    ///
    /// [`FetchError`] says what to do. After [`Broken`](FetchError::Broken) and [`Cancelled`](FetchError::Cancelled) the next call goes on
    /// where this one ended.
    pub fn fetch(
        &self,
        model: &ModelFile,
        hub: &Hub,
        cancel: &Cancel,
        on: &mut dyn FnMut(FetchEvent),
    ) -> Result<PathBuf, FetchError> {
        if let Some(path) = self.cached(model) {
            return Ok(path);
        }
        if hub.offline {
            return Err(FetchError::Offline {
                name: model.to_string(),
                folder: self.folder().to_owned(),
            });
        }
        let target = self.path(model);
        let client = Client::new(hub)?;
        let folder = target.parent().unwrap_or(self.folder());
        fs::create_dir_all(folder).map_err(|source| disk(folder, source))?;
        let lock_path = with_suffix(&target, ".lock");
        let lock = wait_for_turn(&lock_path, cancel, on)?;
        if !target.is_file() {
            let part = Part::open(&target).map_err(|source| disk(&target, source))?;
            let mut download = Download {
                url: format!("{}/{}", hub.endpoint, model.address()),
                published: model.published(),
                total_bytes: model.published().map(|model| model.bytes),
                sha256: None,
                target: &target,
                part,
                answered: false,
                cancel,
                on,
            };
            download.run(&client)?;
            download.finish()?;
        }
        // Whoever waits for it finds the file, whichever lock it holds then. On Windows an open file stays.
        let _ = fs::remove_file(&lock_path);
        drop(lock);
        Ok(target)
    }
}

/// Waits until nobody else fetches this file. The lock ends with the process that holds it, however that ends.
fn wait_for_turn(
    path: &Path,
    cancel: &Cancel,
    on: &mut dyn FnMut(FetchEvent),
) -> Result<File, FetchError> {
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| disk(path, source))?;
    let mut told = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(disk(path, source)),
        }
        if !std::mem::replace(&mut told, true) {
            on(FetchEvent::Waiting);
        }
        pause(TURN, cancel)?;
    }
}

fn pause(length: Duration, cancel: &Cancel) -> Result<(), FetchError> {
    let until = Instant::now() + length;
    loop {
        if cancel.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(TURN));
    }
}

fn disk(path: &Path, source: io::Error) -> FetchError {
    FetchError::Disk {
        path: path.to_owned(),
        source,
    }
}

/// One file that is on its way.
struct Download<'a> {
    url: String,
    /// What is known of the file beforehand.
    published: Option<&'static Model>,
    /// Size of the file, once it is known.
    total_bytes: Option<u64>,
    /// What the server states.
    sha256: Option<String>,
    target: &'a Path,
    part: Part,
    /// A server has answered: what breaks from now on is worth another attempt.
    answered: bool,
    cancel: &'a Cancel,
    on: &'a mut dyn FnMut(FetchEvent),
}

impl Download<'_> {
    /// Asks until the file is whole.
    fn run(&mut self, client: &Client<'_>) -> Result<(), FetchError> {
        let (mut tries, mut furthest) = (0, self.part.bytes());
        loop {
            let source = match self.attempt(client) {
                Ok(()) => return Ok(()),
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Broken(source)) => source,
            };
            tries = if self.part.bytes() >= furthest + FURTHER_BYTES {
                1
            } else {
                tries + 1
            };
            furthest = furthest.max(self.part.bytes());
            if tries > RETRIES_MAX {
                return Err(FetchError::Broken {
                    url: self.url.clone(),
                    tries,
                    bytes: self.part.bytes(),
                    source,
                });
            }
            let wait = RETRY_WAIT * 2_u32.pow(tries - 1);
            let reason = source.to_string();
            (self.on)(FetchEvent::Retrying { reason, wait });
            pause(wait, self.cancel)?;
        }
    }

    /// Asks once for what is missing, and takes what comes.
    fn attempt(&mut self, client: &Client<'_>) -> Result<(), Failed> {
        let have_bytes = self.part.bytes();
        if self.total_bytes == Some(have_bytes) {
            // The whole file has arrived, and only its name was not given any more.
            return Ok(());
        }
        if self.total_bytes.is_some_and(|total| have_bytes > total) {
            self.restart(None)?;
        }
        let have_bytes = self.part.bytes();
        let url = self.url.clone();
        (self.on)(FetchEvent::Asking { url, have_bytes });
        let asked = Asked {
            url: &self.url,
            from: have_bytes,
            version: self.part.version(),
        };
        let answer = client.get(&asked).map_err(|unanswered| match unanswered {
            Unanswered::Refused(error) => Failed::Final(error),
            Unanswered::Broken(error) if self.answered => Failed::Broken(Box::new(error)),
            Unanswered::Broken(error) => Failed::Final(FetchError::Unreachable {
                url: self.url.clone(),
                source: Box::new(error),
            }),
        })?;
        self.answered = true;
        self.take(answer)
    }

    /// Takes the bytes of an answer to where they belong.
    fn take(&mut self, mut answer: Answer) -> Result<(), Failed> {
        match answer.status {
            200 => self.restart(answer.version.as_deref())?,
            206 if answer.from == self.part.bytes() && self.is_same_file(&answer) => {}
            // The bytes that are here are of no use to this server.
            206 | 416 => {
                self.restart(None)?;
                return Err(Failed::Broken("the server cannot go on from here".into()));
            }
            status @ (429 | 500..) => {
                return Err(Failed::Broken(
                    format!("the server answered {status}{}", status_hint(status)).into(),
                ));
            }
            status => {
                let url = self.url.clone();
                return Err(FetchError::Refused { url, status }.into());
            }
        }
        let total_bytes = self.believe(&answer)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        while self.part.bytes() < total_bytes {
            if self.cancel.is_cancelled() {
                return Err(FetchError::Cancelled.into());
            }
            let left = usize::try_from(total_bytes - self.part.bytes()).unwrap_or(CHUNK_BYTES);
            let wanted = left.min(CHUNK_BYTES);
            let read = match answer.body.read(&mut chunk[..wanted]) {
                Ok(0) => return Err(Failed::Broken("the connection was closed too early".into())),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failed::Broken(Box::new(error))),
            };
            let written = self.part.write(&chunk[..read]);
            written.map_err(|source| self.unwritten(source, total_bytes))?;
            let bytes = self.part.bytes();
            (self.on)(FetchEvent::Received { bytes, total_bytes });
        }
        Ok(())
    }

    fn is_same_file(&self, answer: &Answer) -> bool {
        let known = answer.bytes.zip(self.total_bytes);
        known.is_none_or(|(bytes, total)| bytes == total)
    }

    /// Takes over what the server says of the file, or refuses a file that cannot be the right one before it comes.
    fn believe(&mut self, answer: &Answer) -> Result<u64, FetchError> {
        let url = self.url.clone();
        if self.published.is_none() && answer.sha256.is_none() {
            return Err(FetchError::Unverifiable { url });
        }
        self.sha256.clone_from(&answer.sha256);
        match (answer.bytes, self.published.map(|model| model.bytes)) {
            (Some(bytes), Some(must_bytes)) if bytes != must_bytes => {
                self.clear();
                Err(FetchError::WrongSize {
                    url,
                    bytes,
                    must_bytes,
                })
            }
            (Some(bytes), _) | (None, Some(bytes)) => {
                self.total_bytes = Some(bytes);
                Ok(bytes)
            }
            (None, None) => Err(FetchError::Unverifiable { url }),
        }
    }

    /// Compares the file with its digests and gives it its name.
    fn finish(mut self) -> Result<(), FetchError> {
        let digests = self.part.digests();
        let musts = [
            (
                "SHA-1",
                self.published.map(|model| model.sha1.to_owned()),
                digests.sha1,
            ),
            ("SHA-256", self.sha256.take(), digests.sha256),
        ];
        for (kind, must, digest) in musts {
            if let Some(must) = must.filter(|must| *must != digest) {
                self.clear();
                let url = self.url;
                return Err(FetchError::WrongDigest {
                    url,
                    kind,
                    digest,
                    must,
                });
            }
        }
        let target = self.target;
        self.part
            .finish(target)
            .map_err(|source| disk(target, source))
    }

    fn restart(&mut self, version: Option<&str>) -> Result<(), FetchError> {
        let restarted = self.part.restart(version);
        restarted.map_err(|source| self.unwritten(source, self.total_bytes.unwrap_or(0)))
    }

    fn unwritten(&mut self, source: io::Error, total_bytes: u64) -> FetchError {
        if !matches!(
            source.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        ) {
            return disk(self.target, source);
        }
        // A disk that is full because of us stops everybody else.
        let needed_bytes = total_bytes.saturating_sub(self.part.bytes());
        self.clear();
        FetchError::DiskFull {
            folder: self.target.parent().unwrap_or(self.target).to_owned(),
            needed_bytes,
        }
    }

    /// Removes what has arrived. If that fails as well, the first failure is the one to tell.
    fn clear(&mut self) {
        let _ = self.part.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_that_of_hugging_faces_programs() {
        let check = |set: &[(&str, &str)], expected: Hub| {
            let variable = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(Hub::from_variables(&variable), expected, "{set:?}");
        };
        check(&[], Hub::default());
        check(
            &[
                ("HF_ENDPOINT", "http://localhost:8080/"),
                ("HF_TOKEN", " hf_secret\n"),
                ("HF_HUB_OFFLINE", "True"),
                ("HF_HUB_DOWNLOAD_TIMEOUT", "5"),
            ],
            Hub {
                endpoint: "http://localhost:8080".into(),
                token: Some("hf_secret".into()),
                offline: true,
                stall: Duration::from_secs(5),
            },
        );
        for (name, value) in [
            ("HF_ENDPOINT", ""),
            ("HF_TOKEN", " "),
            ("HF_HUB_OFFLINE", "0"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "0"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
        ] {
            check(&[(name, value)], Hub::default());
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let hub = Hub {
            token: Some("hf_secret".into()),
            ..Hub::default()
        };
        assert!(!format!("{hub:?}").contains("hf_secret"));
    }
}
