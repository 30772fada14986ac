//! The log of commands that run for long.

/// Logs alerts and failures beside the work on standard error.
pub(super) fn start() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::INFO)
        .init();
}
