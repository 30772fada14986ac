//! The dashboard in a thread of its own, for programs without an async runtime.

use std::net::{Ipv4Addr, TcpListener};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::dashboard::Dashboard;
use super::error::ServeError;

/// A dashboard that is served by a thread of its own. Dropping it shuts the server down.
#[derive(Debug)]
pub struct Embedded {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Dashboard {
    /// Serves on a port of 127.0.0.1 in a thread of its own; 0 takes any port that is free. It may
    /// be called inside an async runtime.
    ///
    /// # Errors
    ///
    /// [`ServeError`].
    pub fn start(self, port: u16) -> Result<Embedded, ServeError> {
        let failed = |source| ServeError::Bind { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let address = self.address(port);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            // A sender that was dropped stops as well as one that was used.
            let _ = stopped.await;
        };
        let thread = std::thread::Builder::new()
            .name("memory-dashboard".to_owned())
            .spawn(move || runtime.block_on(self.serve(listener, shutdown)))?;
        Ok(Embedded {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Embedded {
    /// Returns the address to open, with the token in its fragment.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Blocks until the server ends by an error.
    ///
    /// # Errors
    ///
    /// [`ServeError`].
    pub fn wait(mut self) -> Result<(), ServeError> {
        self.join()
    }

    /// Shuts the server down and waits until its connections have ended, 5 s at most.
    ///
    /// # Errors
    ///
    /// [`ServeError`].
    pub fn stop(mut self) -> Result<(), ServeError> {
        self.stop = None;
        self.join()
    }

    fn join(&mut self) -> Result<(), ServeError> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(served) => served.unwrap_or(Err(ServeError::Panicked)),
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop = None;
        if let Err(error) = self.join() {
            tracing::error!(%error, "the dashboard ended with an error");
        }
    }
}
