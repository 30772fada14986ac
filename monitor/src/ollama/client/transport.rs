//! One connection for one request, with cancellation and a stall policy.
//!
//! A fixed read timeout does not work here: a load sends nothing for minutes while it makes
//! progress, and closing the connection aborts it on the server. So the socket is read in short
//! turns, and after each silent turn a [`StallPolicy`] decides whether to keep waiting.
//! Connections are not reused: over loopback, a new one is cheaper than detecting a dead one.

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Longest delay until a cancelled or stalled request is noticed.
const TURN: Duration = Duration::from_millis(50);

/// Limit for connecting. A server on the same machine accepts in microseconds.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Limit for sending a request, whose body is small.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Buffer of one connection, in each direction.
const BUFFER_BYTES: usize = 16 << 10;

/// Cancels requests from another thread, within about 50 ms. Clones share one flag.
///
/// Cancelling closes the connection. The server then stops a generation and **aborts a load**, so
/// that the next attempt starts the load again. Cancel a load only if the model is not wanted any
/// more.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Creates a flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag. Calling it more than once has no further effect.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the flag is set.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Decides how long to wait for a silent server.
pub trait StallPolicy: Debug + Send + Sync {
    /// Returns whether to keep waiting after the server has sent nothing for `silent`. It is
    /// called about 20 times a second.
    fn keep_waiting(&self, silent: Duration) -> bool;
}

/// Waits for at most a fixed time of silence.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StallTimeout(
    /// The longest silence.
    pub Duration,
);

impl StallTimeout {
    /// Creates a policy that tolerates `longest` without data.
    #[must_use]
    pub fn new(longest: Duration) -> Self {
        Self(longest)
    }
}

impl StallPolicy for StallTimeout {
    fn keep_waiting(&self, silent: Duration) -> bool {
        silent <= self.0
    }
}

/// Why the client aborted a request. It travels inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Abort {
    #[error("cancelled")]
    Cancelled,
    #[error("the server sent nothing for {} ms", silent.as_millis())]
    Stalled { silent: Duration },
}

impl Abort {
    /// Finds the reason in an error that has passed through ureq and the readers above it.
    pub(super) fn find(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// Opens connections, and decides during each silent turn whether to abort.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) cancel: Cancel,
    pub(super) policy: Arc<dyn StallPolicy>,
}

impl Guard {
    fn check(&self, silent: Duration) -> Result<(), Error> {
        let abort = if self.cancel.is_cancelled() {
            Abort::Cancelled
        } else if self.policy.keep_waiting(silent) {
            return Ok(());
        } else {
            Abort::Stalled { silent }
        };
        Err(Error::Io(io::Error::other(abort)))
    }
}

impl Connector for Guard {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Connection>, Error> {
        self.check(Duration::ZERO)?;
        let mut refused = None;
        for address in details.addrs.iter() {
            match TcpStream::connect_timeout(address, CONNECT_MAX) {
                Ok(stream) => return Connection::new(stream, self.clone()).map(Some),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.map_or(Error::HostNotFound, Error::Io))
    }
}

/// The socket of one request.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffers: LazyBuffers,
    guard: Guard,
}

impl Connection {
    fn new(stream: TcpStream, guard: Guard) -> Result<Self, Error> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TURN))?;
        stream.set_write_timeout(Some(WRITE_MAX))?;
        Ok(Self {
            stream,
            buffers: LazyBuffers::new(BUFFER_BYTES, BUFFER_BYTES),
            guard,
        })
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> Result<(), Error> {
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let since = Instant::now();
        loop {
            let silent = since.elapsed();
            self.guard.check(silent)?;
            // ureq's timeout covers the whole exchange: a byte a second must not extend it.
            if timeout.not_zero().is_some_and(|left| silent > *left) {
                return Err(Error::Timeout(timeout.reason));
            }
            match self.stream.read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if is_silence(error.kind()) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        false // never reused
    }
}

/// Returns whether a read ended at the end of a turn. Unix reports `WouldBlock`, Windows
/// `TimedOut`.
fn is_silence(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
