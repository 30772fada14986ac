//! The table on the terminal: levels in words as well as in colour.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use steadyscribe_monitor::leak::Verdict;
use steadyscribe_monitor::monitor::Monitor;
use steadyscribe_monitor::pressure::Level;
use steadyscribe_monitor::report::{MemoryUsageReport, bytes_text, leak_text};

/// Characters of a full bar.
const BAR: usize = 24;

/// Whether the table may use colour and the cursor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    terminal: bool,
    colour: bool,
}

impl Style {
    pub(super) fn detect() -> Self {
        let terminal = std::io::stdout().is_terminal();
        // Source: no-color.org.
        Self {
            terminal,
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    fn paint(self, level: Level, text: &str) -> String {
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

/// Samples and prints until `count` is reached, or for ever.
pub(super) fn watch(
    monitor: &Monitor,
    interval: Duration,
    count: Option<u64>,
) -> std::io::Result<()> {
    let style = Style::detect();
    let mut out = std::io::stdout().lock();
    let mut left = count;
    while left != Some(0) {
        let text = render(&monitor.get_current_usage(), style);
        // Home and clear below instead of clear screen, which flickers.
        let text = if style.terminal {
            format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
        } else {
            text
        };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // The reader of the pipe has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
        left = left.map(|n| n - 1);
        if left != Some(0) {
            std::thread::sleep(interval);
        }
    }
    Ok(())
}

pub(super) fn render(usage: &MemoryUsageReport, style: Style) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(usage, style, &mut text);
    text
}

fn write(usage: &MemoryUsageReport, style: Style, out: &mut String) -> std::fmt::Result {
    let level = usage.memory_pressure_level;
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), bytes_text);
    let reason = usage
        .memory_pressure_reason
        .as_deref()
        .unwrap_or("nothing is short");
    writeln!(
        out,
        "pressure   {}  {reason}",
        style.paint(level, level.name())
    )?;
    writeln!(
        out,
        "machine    {} of {} available, {} swapped",
        known(usage.available_memory),
        known(usage.total_system_memory),
        known(usage.swap_usage)
    )?;
    writeln!(
        out,
        "app        {}\n",
        bytes_text(usage.meetily_total_usage)
    )?;
    writeln!(
        out,
        "{:<13}{:>10} {:>10} {:>10}  {:<9} {:>11} {:>5}  share",
        "component", "now", "peak", "average", "trend", "reclaimable", "procs"
    )?;
    for part in &usage.component_breakdown {
        let share = part.current_usage as f64 / usage.meetily_total_usage.max(1) as f64;
        let filled = (share * BAR as f64).round().clamp(0.0, BAR as f64);
        let bar: String = (0..BAR)
            .map(|at| if (at as f64) < filled { '█' } else { '·' })
            .collect();
        let leaks = part.leak.verdict.max(part.meeting_leak.verdict) > Verdict::None;
        let leak = if leaks {
            format!("  leak {}", leak_text(part))
        } else {
            String::new()
        };
        writeln!(
            out,
            "{:<13}{:>10} {:>10} {:>10}  {:<9} {:>11} {:>5}  {bar} {:>3.0} %{}{leak}",
            part.component.name(),
            bytes_text(part.current_usage),
            bytes_text(part.peak_usage),
            bytes_text(part.average_usage),
            format!("{:?}", part.memory_trend),
            bytes_text(part.reclaimable),
            part.processes,
            share * 100.0,
            if part.estimated { " estimated" } else { "" },
        )?;
    }
    advice(usage, out)
}

fn advice(usage: &MemoryUsageReport, out: &mut String) -> std::fmt::Result {
    for part in &usage.component_breakdown {
        // For one process it says nothing new.
        if let Some(bytes) = part.proportional.filter(|_| part.processes > 1) {
            let (name, bytes) = (part.component.name(), bytes_text(bytes));
            writeln!(
                out,
                "\n{name}: {bytes} if pages that its processes share count once"
            )?;
        }
    }
    for step in &usage.recommendations {
        writeln!(
            out,
            "\n{} {}: {}",
            step.severity.name(),
            step.component,
            step.reason
        )?;
        if !step.done.is_empty() {
            writeln!(out, "  done: {}", step.done)?;
        }
        writeln!(out, "  {}", step.action)?;
    }
    usage
        .reasons
        .iter()
        .try_for_each(|reason| writeln!(out, "\nnote: {reason}"))
}
