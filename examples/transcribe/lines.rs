//! Shows what the library logs as lines on standard error.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

/// Which events are shown: errors, warnings too, or also the decisions for each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Errors,
    Warnings,
    Decisions,
}

/// Makes a subscriber that writes one line to `out` for each event.
pub(crate) fn subscriber<W>(detail: Detail, out: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (ours, others) = match detail {
        Detail::Errors => (Level::ERROR, Level::ERROR),
        Detail::Warnings => (Level::WARN, Level::WARN),
        // Only warnings of other crates: whisper.cpp logs every buffer that it allocates.
        Detail::Decisions => (Level::DEBUG, Level::WARN),
    };
    let shown = Targets::new()
        .with_default(others)
        .with_target("steadyscribe", ours);
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Line)
        // A closed standard error is no reason to fail.
        .log_internal_errors(false)
        .with_writer(out);
    tracing_subscriber::registry().with(lines.with_filter(shown))
}

/// The message alone; warnings and errors with their level in front.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match *event.metadata().level() {
            Level::ERROR => write!(writer, "error: ")?,
            Level::WARN => write!(writer, "warning: ")?,
            _ => {}
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn check(detail: Detail, expected: &str) {
        let page = Page::default();
        let out = page.clone();
        tracing::subscriber::with_default(subscriber(detail, move || out.clone()), || {
            tracing::debug!(target: "steadyscribe::decisions", "silence, {}", "skipped");
            tracing::warn!(target: "steadyscribe::sink", "kept under another name");
            tracing::error!(target: "whisper_rs", "no memory");
            tracing::info!(target: "whisper_rs", "a buffer of 5 MB");
        });
        let written = page.0.lock().unwrap().clone();
        assert_eq!(String::from_utf8(written).unwrap(), expected, "{detail:?}");
    }

    #[test]
    fn warnings_and_errors_show_their_level_and_decisions_do_not() {
        check(Detail::Errors, "error: no memory\n");
        check(
            Detail::Warnings,
            "warning: kept under another name\nerror: no memory\n",
        );
        check(
            Detail::Decisions,
            "silence, skipped\nwarning: kept under another name\nerror: no memory\n",
        );
    }
}
