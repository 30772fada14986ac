//! Downloads a model: continues, retries, checks, and names the file when it is complete.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::{FetchError, status_hint};
use super::hub::Hub;
use super::part::{Part, with_suffix};
use super::request::{Answer, Asked, Client, Unanswered};
use super::{Model, ModelFile, Store};
use crate::cancel::Cancel;
use crate::file_lock::{FileLock, LockError};

/// Bytes that are read from the connection at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Retries of a broken download without progress.
const RETRIES_MAX: u32 = 5;

/// Bytes that count as progress.
const FURTHER_BYTES: u64 = 1 << 20;

/// Wait before the first retry. It doubles with each one without progress.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// Time between two checks of another's download, and of a cancel.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// An event of a download. Its `Display` is a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent {
    /// Another process is fetching the same model. Its result is awaited.
    Waiting,
    /// The file, or the part that an earlier download did not receive, is requested.
    Asking {
        /// The file's address.
        url: String,
        /// Bytes that were received before.
        have_bytes: u64,
    },
    /// More bytes were received. Reported after at most 64 KiB.
    Received {
        /// Bytes that were received in all.
        bytes: u64,
        /// Size of the file.
        total_bytes: u64,
    },
    /// The connection broke and will be retried.
    Retrying {
        /// The error.
        reason: String,
        /// The wait before the retry.
        wait: Duration,
    },
}

impl fmt::Display for FetchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => write!(f, "another process is fetching this model; waiting for it"),
            Self::Asking { url, have_bytes: 0 } => write!(f, "fetching {url}"),
            Self::Asking { url, have_bytes } => {
                write!(f, "fetching the rest of {url}; {have_bytes} bytes are here")
            }
            Self::Received { bytes, total_bytes } => write!(f, "{bytes} of {total_bytes} bytes"),
            Self::Retrying { reason, wait } => {
                write!(f, "{reason}; trying again in {:.1} s", wait.as_secs_f64())
            }
        }
    }
}

/// How an attempt failed.
enum Failed {
    /// Another attempt may continue where this one ended.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    Final(FetchError),
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

impl Store {
    /// Returns a model's file. Downloads it if it is not in the store.
    ///
    /// A file in the store is used without contacting a server. Otherwise the file is downloaded to
    /// `NAME.part`, where an earlier call may have started. It is compared with its size and
    /// digests (the SHA-1 of published models, and the SHA-256 that the server states), and gets
    /// its name only then. If two calls run at once, in one process or two, the second waits for
    /// the first and uses its file.
    ///
    /// `on` is called with events, on this thread.
    ///
    /// # Memory
    ///
    /// Two buffers of 64 KiB, and those of the connection. Nothing grows with the file. Measured:
    /// 13.9 MB of resident memory for a program that fetches 10 MiB, 14.1 MB for one that fetches
    /// 500 MiB.
    ///
    /// # Errors
    ///
    /// [`FetchError`], whose variant says what to do. After [`Broken`](FetchError::Broken) and
    /// [`Cancelled`](FetchError::Cancelled) the next call continues where this one ended.
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
        // Waiters may lock the removed file, and then find the model. On Windows an open file
        // stays.
        let _ = fs::remove_file(&lock_path);
        drop(lock);
        Ok(target)
    }
}

/// Waits until no other download of this file runs. The lock ends with the process that holds it.
fn wait_for_turn(
    path: &Path,
    cancel: &Cancel,
    on: &mut dyn FnMut(FetchEvent),
) -> Result<(File, FileLock), FetchError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| disk(path, source))?;
    let mut is_reported = false;
    loop {
        match FileLock::acquire(&file, path) {
            Ok(lock) => return Ok((file, lock)),
            Err(LockError::InUse) => {}
            Err(LockError::Io(source)) => return Err(disk(path, source)),
        }
        if !std::mem::replace(&mut is_reported, true) {
            on(FetchEvent::Waiting);
        }
        pause(POLL_INTERVAL, cancel)?;
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
        std::thread::sleep(left.min(POLL_INTERVAL));
    }
}

fn disk(path: &Path, source: io::Error) -> FetchError {
    FetchError::Disk {
        path: path.to_owned(),
        source,
    }
}

/// A download in progress.
struct Download<'a> {
    url: String,
    /// The published model, whose size and digest are known.
    published: Option<&'static Model>,
    /// Size of the file, once known.
    total_bytes: Option<u64>,
    /// The digest that the server states.
    sha256: Option<String>,
    target: &'a Path,
    part: Part,
    /// A server has answered, so that a broken connection is worth a retry.
    answered: bool,
    cancel: &'a Cancel,
    on: &'a mut dyn FnMut(FetchEvent),
}

impl Download<'_> {
    /// Requests the file until it is complete.
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

    /// Requests the missing bytes once, and writes what is received.
    fn attempt(&mut self, client: &Client<'_>) -> Result<(), Failed> {
        let have_bytes = self.part.bytes();
        if self.total_bytes == Some(have_bytes) {
            // An earlier call received the whole file and was killed before it named it.
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

    /// Writes the bytes of an answer at their position.
    fn take(&mut self, mut answer: Answer) -> Result<(), Failed> {
        match answer.status {
            200 => self.restart(answer.version.as_deref())?,
            206 if answer.from == self.part.bytes() && self.is_same_file(&answer) => {}
            // The server cannot continue the part that is here.
            206 | 416 => {
                self.restart(None)?;
                return Err(Failed::Broken(
                    "the server cannot continue the download".into(),
                ));
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
        let total_bytes = self.check_answer(&answer)?;
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

    /// Takes size and digest from an answer. Refuses a file of the wrong size before it is
    /// downloaded.
    fn check_answer(&mut self, answer: &Answer) -> Result<u64, FetchError> {
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
        // A full disk would stop other programs.
        let needed_bytes = total_bytes.saturating_sub(self.part.bytes());
        self.clear();
        FetchError::DiskFull {
            folder: self.target.parent().unwrap_or(self.target).to_owned(),
            needed_bytes,
        }
    }

    /// Removes the incomplete file. If that fails too, the first error is the one to report.
    fn clear(&mut self) {
        let _ = self.part.remove();
    }
}
