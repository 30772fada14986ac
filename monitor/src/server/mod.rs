//! The dashboard: a page on this machine, for its user alone.
//!
//! # Security
//!
//! It listens on 127.0.0.1 only. A page of another site that is lured to it (DNS rebinding, cross-site requests) fails on
//! the exact `Host`, on `Origin` and on `Sec-Fetch-Site`; another user of the machine fails on the token, 128 random bits
//! that are in the address's fragment, which is never sent. The page loads nothing from elsewhere, and no answer holds a
//! path, a command line or a word that was spoken.

mod api;
mod guard;
mod metrics;
mod stream;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::monitor::Monitor;

pub use stream::{CLIENTS_MAX, Stream, StreamChannel};

/// Random bytes of the token.
const TOKEN_BYTES: usize = 16;

/// How often the server looks for a new sample.
const POLL: Duration = Duration::from_millis(200);

/// Why the dashboard cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The port is taken: name another, or 0.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Bind {
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The token file cannot be read or written, or is no token: name another path.
    #[error("cannot use the token file")]
    Token(#[source] std::io::Error),
    /// The system gives no random bytes.
    #[error("no random bytes for the token")]
    Random,
    /// Serving failed.
    #[error("cannot serve")]
    Serve(#[from] std::io::Error),
}

/// A dashboard that is about to be served.
#[derive(Debug)]
pub struct Server {
    monitor: Arc<Monitor>,
    stream: Stream,
    listener: TcpListener,
    port: u16,
    token: String,
}

/// What every request needs.
#[derive(Clone, Debug)]
struct Context {
    monitor: Arc<Monitor>,
    stream: Stream,
    port: u16,
    token: Arc<str>,
}

impl Server {
    /// Listens on a port of 127.0.0.1; 0 takes any that is free. `stream` is also a channel of the monitor's alerts.
    ///
    /// # Errors
    ///
    /// [`ServeError`].
    pub fn bind(monitor: Arc<Monitor>, stream: Stream, port: u16) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Bind { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let mut random = [0; TOKEN_BYTES];
        getrandom::fill(&mut random).map_err(|_| ServeError::Random)?;
        let token = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            monitor,
            stream,
            listener,
            port,
            token,
        })
    }

    /// Keeps the token in a file that this user alone can read, so that an open page outlives a restart: a token that is
    /// in the file already is used again.
    ///
    /// # Errors
    ///
    /// [`ServeError::Token`].
    pub fn keep_token(&mut self, path: &Path) -> Result<(), ServeError> {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(ServeError::Token)?;
        let mut kept = String::new();
        let most = 2 * TOKEN_BYTES as u64 + 1;
        (&mut file)
            .take(most)
            .read_to_string(&mut kept)
            .map_err(ServeError::Token)?;
        if kept.is_empty() {
            return file
                .write_all(self.token.as_bytes())
                .map_err(ServeError::Token);
        }
        if kept.len() != 2 * TOKEN_BYTES || !kept.bytes().all(|b| b.is_ascii_hexdigit()) {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, "it holds no token");
            return Err(ServeError::Token(source));
        }
        self.token = kept;
        Ok(())
    }

    /// Returns the address to open, with the token in its fragment.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/#t={}", self.port, self.token)
    }

    /// Samples every `interval` and serves until the process ends.
    ///
    /// # Errors
    ///
    /// [`ServeError::Serve`].
    pub fn run(self, interval: Duration) -> Result<(), ServeError> {
        self.monitor.start_continuous_monitoring(interval)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> Result<(), ServeError> {
        let context = Context {
            monitor: self.monitor,
            stream: self.stream,
            port: self.port,
            token: self.token.into(),
        };
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        tokio::spawn(announce(context.clone()));
        axum::serve(listener, api::routes(context)).await?;
        Ok(())
    }
}

/// Tells the open pages of each new sample.
async fn announce(context: Context) {
    let mut seen = 0;
    let mut clock = tokio::time::interval(POLL);
    loop {
        clock.tick().await;
        let ticks = context.monitor.ticks();
        if ticks != seen {
            seen = ticks;
            context.stream.announce(ticks);
        }
    }
}
