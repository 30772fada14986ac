//! The table on the terminal: as wide as the terminal, levels in words as well as in colour.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use steadyscribe_monitor::leak::Verdict;
use steadyscribe_monitor::monitor::Monitor;
use steadyscribe_monitor::pressure::Level;
use steadyscribe_monitor::report::{
    ComponentMemoryUsage, MemoryUsageReport, bytes_text, leak_text,
};

/// Characters of a bar.
const BAR: std::ops::RangeInclusive<usize> = 8..=24;

/// Characters beside the bar in its column: two blanks before it and ` 100 %` after it.
const BESIDE_BAR: usize = 8;

/// Width where there is no terminal: every column fits.
const COLUMNS_PIPED: usize = 100;

/// Below it lines are broken by the terminal.
const COLUMNS_MIN: usize = 40;

/// How the table is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Whether it may use the cursor.
    terminal: bool,
    colour: bool,
    columns: usize,
    /// Lines that can be seen; those of a pipe all can.
    lines: usize,
}

impl Style {
    pub(super) fn detect() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let size = terminal_size::terminal_size().filter(|_| terminal);
        let told = || std::env::var("COLUMNS").ok()?.parse().ok();
        let columns = size.map(|(width, _)| usize::from(width.0)).or_else(told);
        // Source: no-color.org.
        Self {
            terminal,
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
            columns: columns.unwrap_or(COLUMNS_PIPED).max(COLUMNS_MIN),
            lines: size.map_or(usize::MAX, |(_, height)| usize::from(height.0)),
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
    let mut out = std::io::stdout().lock();
    let mut left = count;
    while left != Some(0) {
        // The user may have changed the size of the terminal.
        let style = Style::detect();
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

/// The table with a line feed after each line, cut to what the terminal can show.
pub(super) fn render(usage: &MemoryUsageReport, style: Style) -> String {
    let mut lines = head(usage, style);
    lines.extend(parts(usage, style.columns));
    lines.extend(below(usage, style.columns));
    // One line stays free for the cursor, else the terminal would scroll.
    let room = style.lines.saturating_sub(1).max(1);
    if lines.len() > room {
        let more = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(format!("… {more} more lines in a higher terminal"));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn head(usage: &MemoryUsageReport, style: Style) -> Vec<String> {
    let level = usage.memory_pressure_level;
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), bytes_text);
    let reason = usage.memory_pressure_reason.as_deref();
    let reason = reason.unwrap_or("nothing is short");
    let mut lines = wrap(
        "pressure   ",
        &format!("{} · {reason}", level.name()),
        style,
    );
    lines[0] = lines[0].replacen(level.name(), &style.paint(level, level.name()), 1);
    let machine = format!(
        "{} of {} available, {} swapped",
        known(usage.available_memory),
        known(usage.total_system_memory),
        known(usage.swap_usage)
    );
    lines.extend(wrap("machine    ", &machine, style));
    let app = bytes_text(usage.meetily_total_usage);
    lines.extend(wrap("app        ", &app, style));
    if let Some(basis) = usage.basis {
        lines.extend(wrap("measured   ", basis.meaning(), style));
    }
    lines.push(String::new());
    lines
}

/// A column of the table.
struct Column {
    head: &'static str,
    /// With the blanks before it.
    width: usize,
    left: bool,
    text: fn(&ComponentMemoryUsage) -> String,
}

impl Column {
    fn write(&self, text: &str) -> String {
        let width = self.width;
        if self.left {
            format!("  {text:<0$}", width - 2)
        } else {
            format!("{text:>width$}")
        }
    }
}

/// In the order of display.
const COLUMNS: [Column; 6] = [
    Column {
        head: "now",
        width: 10,
        left: false,
        text: |part| bytes_text(part.current_usage),
    },
    Column {
        head: "peak",
        width: 10,
        left: false,
        text: |part| bytes_text(part.peak_usage),
    },
    Column {
        head: "average",
        width: 10,
        left: false,
        text: |part| bytes_text(part.average_usage),
    },
    Column {
        head: "trend",
        width: 11,
        left: true,
        text: |part| format!("{:?}", part.memory_trend),
    },
    Column {
        head: "reclaimable",
        width: 12,
        left: false,
        text: |part| bytes_text(part.reclaimable),
    },
    Column {
        head: "procs",
        width: 6,
        left: false,
        text: |part| part.processes.to_string(),
    },
];

/// Columns that a narrow terminal does without, the first of them first.
const GIVEN_UP: [&str; 5] = ["reclaimable", "average", "procs", "peak", "trend"];

const NAME: usize = 12;

/// The columns that fit, and what is left for the bar.
fn fit(columns: usize) -> (Vec<&'static Column>, usize) {
    let mut shown: Vec<&Column> = COLUMNS.iter().collect();
    let mut given_up = GIVEN_UP.iter();
    loop {
        let used: usize = NAME + BESIDE_BAR + shown.iter().map(|c| c.width).sum::<usize>();
        let bar = columns.saturating_sub(used);
        if bar >= *BAR.start() {
            return (shown, bar.min(*BAR.end()));
        }
        match given_up.next() {
            Some(head) => shown.retain(|c| c.head != *head),
            None => return (shown, bar),
        }
    }
}

fn parts(usage: &MemoryUsageReport, columns: usize) -> Vec<String> {
    let (shown, width) = fit(columns);
    let row = |name: &str, cells: &mut dyn Iterator<Item = String>, bar: &str| {
        let cells: String = cells.collect();
        format!("{name:<NAME$}{cells}  {bar}")
    };
    let heads = &mut shown.iter().map(|column| column.write(column.head));
    let mut lines = vec![row("component", heads, "share")];
    for part in &usage.component_breakdown {
        let share = part.current_usage as f64 / usage.meetily_total_usage.max(1) as f64;
        let filled = (share * width as f64).round();
        let bar: String = (0..width)
            .map(|at| if (at as f64) < filled { '█' } else { '·' })
            .collect();
        let cells = &mut shown
            .iter()
            .map(|column| column.write(&(column.text)(part)));
        let bar = format!("{bar} {:>3.0} %", share * 100.0);
        lines.push(row(part.component.name(), cells, &bar));
    }
    lines
}

/// What needs words.
fn below(usage: &MemoryUsageReport, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |first: &str, text: &str| {
        lines.extend(wrap_to(first, text, columns));
    };
    for part in &usage.component_breakdown {
        let name = part.component.name();
        if part.leak.verdict.max(part.meeting_leak.verdict) > Verdict::None {
            say("", "");
            say("", &format!("{name}: leak {}", leak_text(part)));
        }
        if part.estimated {
            say("", "");
            say("", &format!("{name}: the figures are estimates"));
        }
        // For one process it says nothing new.
        if let Some(bytes) = part.proportional.filter(|_| part.processes > 1) {
            let bytes = bytes_text(bytes);
            say("", "");
            say(
                "",
                &format!("{name}: {bytes} if pages that its processes share count once"),
            );
        }
    }
    for step in &usage.recommendations {
        say("", "");
        let what = format!(
            "{} · {}: {}",
            step.severity.name(),
            step.component,
            step.reason
        );
        say("", &what);
        if !step.done.is_empty() {
            say("  ", &format!("Done: {}", step.done));
        }
        say("  ", &step.action);
    }
    for reason in &usage.reasons {
        say("", "");
        say("note: ", reason);
    }
    lines
}

fn wrap(first: &str, text: &str, style: Style) -> Vec<String> {
    wrap_to(first, text, style.columns)
}

/// Breaks text between words. `first` stands before the first line, as many blanks before the others. A word that is longer
/// than a line stays whole.
fn wrap_to(first: &str, text: &str, columns: usize) -> Vec<String> {
    let indent = " ".repeat(first.chars().count());
    let mut lines = Vec::new();
    let (mut line, mut words) = (first.to_owned(), 0);
    for word in text.split(' ') {
        if words > 0 && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            words = 0;
        }
        if words > 0 {
            line.push(' ');
        }
        line.push_str(word);
        words += 1;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use steadyscribe_monitor::Component;
    use steadyscribe_monitor::alert::Timing;
    use steadyscribe_monitor::reader::Machine;
    use steadyscribe_monitor::sample::{Moment, Sample};
    use steadyscribe_monitor::watcher::Watcher;

    use super::*;

    fn usage() -> MemoryUsageReport {
        let mut sample = Sample::default();
        sample.at = Moment::new(60_000, 1_700_000_000_000);
        sample.machine = Some(Machine::new(8 << 30, 200 << 20, 2 << 30, 1 << 30));
        for (component, mib) in [(Component::Ollama, 1_536), (Component::Backend, 512)] {
            let part = &mut sample.parts[component.index()];
            (part.private_bytes, part.processes) = (mib << 20, 12);
            part.proportional_bytes = Some(mib << 19);
            sample.total_bytes += mib << 20;
        }
        sample.reasons.push("stalls are unknown".to_owned());
        let mut watcher = Watcher::new(Timing::default(), 1);
        watcher.set_limit_bytes(Component::Ollama, Some(1 << 30));
        watcher.observe(sample);
        MemoryUsageReport::new(&watcher)
    }

    fn table(columns: usize, lines: usize) -> String {
        let style = Style {
            terminal: false,
            colour: false,
            columns,
            lines,
        };
        render(&usage(), style)
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in COLUMNS_MIN..130 {
            let text = table(columns, usize::MAX);
            for line in text.lines() {
                let width = line.chars().count();
                assert!(width <= columns, "{width} of {columns}: {line}");
            }
            for word in ["Critical", "Ollama", "1.50 GiB", "75 %", "restart or"] {
                assert!(text.contains(word), "{columns}: {word} in {text}");
            }
        }
    }

    #[test]
    fn narrow_terminal_gives_up_what_matters_least() {
        let heads = |columns| {
            let text = table(columns, usize::MAX);
            let head = text.lines().find(|line| line.starts_with("component"));
            head.unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (columns, expected) in [
            (
                100,
                "component now peak average trend reclaimable procs share",
            ),
            (80, "component now peak average trend procs share"),
            (60, "component now peak trend share"),
            (40, "component now share"),
        ] {
            assert_eq!(heads(columns), expected, "{columns}");
        }
    }

    #[test]
    fn low_terminal_does_not_scroll() {
        let text = table(80, 10);
        assert_eq!(text.lines().count(), 9);
        assert!(
            text.ends_with("more lines in a higher terminal\n"),
            "{text}"
        );
        assert_eq!(table(80, 1).lines().count(), 1);
    }

    #[test]
    fn level_has_a_name_with_and_without_colour() {
        let style = Style {
            terminal: true,
            colour: true,
            columns: 80,
            lines: 50,
        };
        let painted = render(&usage(), style);
        assert!(painted.starts_with("pressure   \x1b[1;31mCritical\x1b[0m · "));
        assert!(table(80, 50).starts_with("pressure   Critical · "));
    }

    #[test]
    fn words_are_not_broken() {
        assert_eq!(wrap_to("a: ", "bb cc dddd", 8), ["a: bb cc", "   dddd"]);
        assert_eq!(wrap_to("", "abcdefghij k", 4), ["abcdefghij", "k"]);
        assert_eq!(wrap_to("", "", 4), [""]);
    }
}
