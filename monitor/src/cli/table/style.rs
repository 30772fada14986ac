//! The terminal on which the table is shown.

use std::io::IsTerminal;

use steadyscribe_monitor::pressure::Level;

/// Width without a terminal: every column fits.
const COLUMNS_PIPED: usize = 100;

/// Least width. A narrower terminal breaks the lines itself.
pub(super) const COLUMNS_MIN: usize = 40;

/// Width, height and colours of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Style {
    /// Whether it may use the cursor.
    pub(super) terminal: bool,
    pub(super) colour: bool,
    pub(super) columns: usize,
    /// Lines that are visible. A pipe has no limit.
    pub(super) lines: usize,
}

impl Style {
    pub(in crate::cli) fn detect() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let size = terminal_size::terminal_size().filter(|_| terminal);
        let set = || std::env::var("COLUMNS").ok()?.parse().ok();
        let columns = size.map(|(width, _)| usize::from(width.0)).or_else(set);
        // Source: no-color.org.
        Self {
            terminal,
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
            columns: columns.unwrap_or(COLUMNS_PIPED).max(COLUMNS_MIN),
            lines: size.map_or(usize::MAX, |(_, height)| usize::from(height.0)),
        }
    }

    /// Whether it may use the cursor.
    pub(in crate::cli) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// Colours a text by its level.
    pub(super) fn paint(self, level: Level, text: &str) -> String {
        let code = match level {
            Level::Low => "32",
            Level::Medium => "33",
            Level::High => "35",
            _ => "1;31",
        };
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
