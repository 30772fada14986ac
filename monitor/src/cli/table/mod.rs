//! The table on the terminal: as wide as the terminal, levels in words as well as in colour.

mod style;
mod wrap;

use steadyscribe_monitor::leak::Verdict;
use steadyscribe_monitor::report::{
    ComponentMemoryUsage, MemoryUsageReport, bytes_text, figure_text, leak_text,
};

pub(super) use style::Style;
use wrap::wrap_to;

/// Characters of a bar.
const BAR: std::ops::RangeInclusive<usize> = 8..=24;

/// Characters beside the bar in its column: two blanks before it and ` 100 %` after it.
const BESIDE_BAR: usize = 8;

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
        figure_text(usage.available_memory),
        figure_text(usage.total_system_memory),
        figure_text(usage.swap_usage)
    );
    lines.extend(wrap("machine    ", &machine, style));
    let budget = usage.budget.map(bytes_text);
    let budget = budget.map_or_else(String::new, |b| format!(" of a budget of {b}"));
    let app = figure_text(usage.meetily_total_usage) + &budget;
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
        text: |part| figure_text(part.current_usage),
    },
    Column {
        head: "peak",
        width: 10,
        left: false,
        text: |part| figure_text(part.peak_usage),
    },
    Column {
        head: "average",
        width: 10,
        left: false,
        text: |part| figure_text(part.average_usage),
    },
    Column {
        head: "trend",
        width: 11,
        left: true,
        text: |part| part.memory_trend.name().to_owned(),
    },
    Column {
        head: "reclaimable",
        width: 12,
        left: false,
        text: |part| figure_text(part.reclaimable),
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
        let both = part.current_usage.zip(usage.meetily_total_usage);
        let share = both.map(|(part, total)| part as f64 / total.max(1) as f64);
        let filled = (share.unwrap_or(0.0) * width as f64).round();
        let bar: String = (0..width)
            .map(|at| if (at as f64) < filled { '█' } else { '·' })
            .collect();
        let cells = &mut shown
            .iter()
            .map(|column| column.write(&(column.text)(part)));
        let bar = match share {
            Some(share) => format!("{bar} {:>3.0} %", share * 100.0),
            None => format!("{bar}   ? %"),
        };
        lines.push(row(part.component.name(), cells, &bar));
    }
    lines
}

/// Notes below the table: leaks, estimates, advice, missing figures.
fn below(usage: &MemoryUsageReport, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut note = |first: &str, text: &str| {
        lines.extend(wrap_to(first, text, columns));
    };
    for part in &usage.component_breakdown {
        let name = part.component.name();
        if part.leak.verdict.max(part.meeting_leak.verdict) > Verdict::None {
            note("", "");
            note(
                "",
                &format!("{name}: leak {}", leak_text(&part.leak, &part.meeting_leak)),
            );
        }
        if let Some(why) = &part.current_usage_unknown {
            note("", "");
            note("", &format!("{name}: unknown, {why}"));
        }
        if part.estimated {
            note("", "");
            note("", &format!("{name}: the figures are estimates"));
        }
        // One process shares nothing within its component.
        if let Some(bytes) = part.proportional.filter(|_| part.processes > 1) {
            let bytes = bytes_text(bytes);
            note("", "");
            note(
                "",
                &format!("{name}: {bytes} if pages that its processes share count once"),
            );
        }
    }
    for step in &usage.recommendations {
        note("", "");
        let headline = format!(
            "{} · {}: {}",
            step.severity.name(),
            step.component,
            step.reason
        );
        note("", &headline);
        if !step.done.is_empty() {
            note("  ", &format!("Done: {}", step.done));
        }
        note("  ", &step.action);
    }
    for reason in &usage.reasons {
        note("", "");
        note("note: ", reason);
    }
    lines
}

fn wrap(first: &str, text: &str, style: Style) -> Vec<String> {
    wrap_to(first, text, style.columns)
}

#[cfg(test)]
mod tests {
    use steadyscribe_monitor::alert::Timing;
    use steadyscribe_monitor::reader::Machine;
    use steadyscribe_monitor::sample::{Moment, Sample};
    use steadyscribe_monitor::tracker::Tracker;
    use steadyscribe_monitor::{Component, Reading};

    use super::style::COLUMNS_MIN;
    use super::*;

    fn usage() -> MemoryUsageReport {
        let mut sample = Sample::default();
        sample.at = Moment::new(60_000, 1_700_000_000_000);
        sample.machine = Reading::Known(Machine::new(8 << 30, 200 << 20, 2 << 30, 1 << 30));
        for (component, mib) in [(Component::Ollama, 1_536), (Component::Backend, 512)] {
            let part = &mut sample.parts[component.index()];
            (part.private_bytes, part.processes) = (Reading::Known(mib << 20), 12);
            part.proportional_bytes = Reading::Known(mib << 19);
        }
        sample.reasons.push("stalls are unknown".to_owned());
        let mut tracker = Tracker::new(Timing::default(), 1);
        tracker.set_limit_bytes(Component::Ollama, Some(1 << 30));
        tracker.observe(sample);
        MemoryUsageReport::new(&tracker)
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
}
