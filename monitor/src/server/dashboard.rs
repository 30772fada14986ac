//! The dashboard, before it is served.

use std::future::Future;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;

use super::context::Context;
use super::error::ServeError;
use super::live::Stream;
use super::{routes, token};
use crate::monitor::Monitor;

/// How long open connections may take to end after a shutdown; then they are dropped.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// A dashboard of one monitor. Clones share it.
///
/// # Examples
///
/// In a host that runs tokio:
///
/// ```no_run
/// use std::net::TcpListener;
/// use std::sync::Arc;
/// use std::time::Duration;
/// use steadyscribe_monitor::server::{Dashboard, Stream};
/// use steadyscribe_monitor::{Monitor, Options};
///
/// # async fn host(stop: impl Future<Output = ()> + Send + 'static)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let stream = Stream::new();
/// let mut options = Options::default();
/// options.channels.push(Box::new(stream.channel()));
/// let monitor = Arc::new(Monitor::new(options)?);
/// monitor.start_continuous_monitoring(Duration::from_secs(5))?;
/// let dashboard = Dashboard::new(monitor, stream)?;
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// println!("{}", dashboard.address(listener.local_addr()?.port()));
/// dashboard.serve(listener, stop).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Dashboard {
    monitor: Arc<Monitor>,
    stream: Stream,
    token: String,
}

impl Dashboard {
    /// Makes a dashboard with a random token. `stream` is also a channel of the monitor's alerts.
    ///
    /// # Errors
    ///
    /// [`ServeError::Random`].
    pub fn new(monitor: Arc<Monitor>, stream: Stream) -> Result<Self, ServeError> {
        let token = token::random()?;
        Ok(Self {
            monitor,
            stream,
            token,
        })
    }

    /// Keeps the token in a file that this user alone can read, so that an open page survives a
    /// restart. A token that is in the file already is used again.
    ///
    /// # Errors
    ///
    /// [`ServeError::Token`].
    pub fn keep_token(&mut self, path: &Path) -> Result<(), ServeError> {
        self.token = token::kept(path, &self.token).map_err(ServeError::Token)?;
        Ok(())
    }

    /// Returns the address to open where the dashboard is served on `port`, with the token in its
    /// fragment.
    #[must_use]
    pub fn address(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}/#t={}", self.token)
    }

    /// Returns the routes for a server of the host's own, which must listen on `port` of 127.0.0.1
    /// and serve them at the root. Before that server shuts down, call
    /// [`Dashboard::close_streams`].
    pub fn router(&self, port: u16) -> Router {
        routes::routes(Context {
            monitor: Arc::clone(&self.monitor),
            stream: self.stream.clone(),
            port,
            token: self.token.as_str().into(),
        })
    }

    /// Ends the event streams of all open pages and refuses new ones. A stream never ends by
    /// itself, so a graceful shutdown would wait for it.
    pub fn close_streams(&self) {
        self.stream.close();
    }

    /// Serves on a listener until `shutdown` completes and the open connections have ended; those
    /// that take longer than 5 s are dropped. It runs in the runtime of the caller. Sampling is the
    /// caller's as well ([`Monitor::start_continuous_monitoring`]).
    ///
    /// # Errors
    ///
    /// [`ServeError::Serve`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let router = self.router(port);
        let shutdown = async move {
            shutdown.await;
            self.close_streams();
            // The other side is gone when serving has failed already.
            let _ = stopping.send(());
        };
        let overdue = async {
            match stopped.await {
                Ok(()) => tokio::time::sleep(SHUTDOWN_MAX).await,
                Err(_) => std::future::pending().await,
            }
        };
        let served = axum::serve(listener, router).with_graceful_shutdown(shutdown);
        tokio::select! {
            served = served.into_future() => Ok(served?),
            () = overdue => Ok(()),
        }
    }
}
