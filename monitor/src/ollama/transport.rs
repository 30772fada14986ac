//! One connection for one request, watched while it is silent.
//!
//! A fixed read timeout is the wrong tool here: a load answers nothing for minutes while it makes progress, and giving
//! up aborts it on the server. So the socket is read in short turns, and at each silent turn somebody is asked whether
//! to go on. Connections are not reused: over loopback a new one costs less than finding out that an old one is dead.

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::Cancel;

/// How soon a cancelled or stalled request is noticed.
const TURN: Duration = Duration::from_millis(50);

/// A server on the same machine that does not answer a connection within this time never will.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A request body is small: a server that does not take it within this time is stuck.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Buffers of one connection, each way.
const BUFFER_BYTES: usize = 16 << 10;

/// Decides how long a silent server is waited for.
pub trait Patience: Debug + Send + Sync {
    /// Returns whether to wait on, when the server has sent nothing for `silent`. Asked about twenty times a second.
    fn waits(&self, silent: Duration) -> bool;
}

/// Waits for a fixed time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Within(
    /// The longest silence.
    pub Duration,
);

impl Within {
    /// Waits for `longest` without a sign.
    #[must_use]
    pub fn new(longest: Duration) -> Self {
        Self(longest)
    }
}

impl Patience for Within {
    fn waits(&self, silent: Duration) -> bool {
        silent <= self.0
    }
}

/// Why a request was given up on our side. Travels inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub(super) enum GivenUp {
    #[error("cancelled")]
    Cancelled,
    #[error("the server sent nothing for {} ms", silent.as_millis())]
    Stalled { silent: Duration },
}

impl GivenUp {
    /// Finds the reason in an error that has passed through ureq and the readers above it.
    pub(super) fn find(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// Who is asked while a request is silent.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) cancel: Cancel,
    pub(super) patience: Arc<dyn Patience>,
}

impl Watch {
    fn check(&self, silent: Duration) -> Result<(), Error> {
        let given_up = if self.cancel.is_cancelled() {
            GivenUp::Cancelled
        } else if self.patience.waits(silent) {
            return Ok(());
        } else {
            GivenUp::Stalled { silent }
        };
        Err(Error::Io(io::Error::other(given_up)))
    }
}

impl Connector for Watch {
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
    watch: Watch,
}

impl Connection {
    fn new(stream: TcpStream, watch: Watch) -> Result<Self, Error> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TURN))?;
        stream.set_write_timeout(Some(WRITE_MAX))?;
        Ok(Self {
            stream,
            buffers: LazyBuffers::new(BUFFER_BYTES, BUFFER_BYTES),
            watch,
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
            self.watch.check(silent)?;
            // The whole exchange has a limit where one is set: a byte a second is no answer.
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

/// The end of a turn: Unix says `WouldBlock`, Windows `TimedOut`.
fn is_silence(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
