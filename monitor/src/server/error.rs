//! Why the dashboard cannot be served.

/// Why the dashboard cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The port is taken: name another, or 0.
    #[error("cannot listen on 127.0.0.1:{port}; name another port, or 0 for any that is free")]
    Bind {
        /// The port.
        port: u16,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The token file cannot be read or written, or holds no token: name another path.
    #[error("cannot use the token file; name another file")]
    Token(#[source] std::io::Error),
    /// The system gives no random bytes.
    #[error("cannot make a token: the system gives no random bytes")]
    Random,
    /// Serving failed.
    #[error("cannot serve the dashboard")]
    Serve(#[from] std::io::Error),
    /// The server's thread panicked.
    #[error("the thread of the dashboard panicked")]
    Panicked,
}
