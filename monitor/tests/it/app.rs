//! The whole monitor: a day of an app in seconds, reports in every form, history across restarts.

use std::time::Duration;

use steadyscribe_monitor::Component;
use steadyscribe_monitor::alert::channel::Callback;
use steadyscribe_monitor::alert::{Event, Key, Kind, Notice, Severity, Timing};
use steadyscribe_monitor::leak::Cause;
use steadyscribe_monitor::model::{MODELS_MAX, Model};
use steadyscribe_monitor::monitor::{Monitor, Options};
use steadyscribe_monitor::pressure::Level;
use steadyscribe_monitor::reader::Machine;
use steadyscribe_monitor::report::{MemoryAnalysisReport, MemoryMetrics, MemoryUsageReport};
use steadyscribe_monitor::sample::{Moment, Sample};
use steadyscribe_monitor::trend::Trend;
use steadyscribe_monitor::watcher::Watcher;

use crate::{captured, corpus};

pub(crate) const GIB: u64 = 1 << 30;
const MB: f64 = 1e6;

pub(crate) fn sample(minute: u64, available_bytes: u64, backend_bytes: u64) -> Sample {
    let mut sample = Sample::default();
    sample.at = Moment::new(minute * 60_000, 1_700_000_000_000 + minute * 60_000);
    sample.machine = Some(Machine::new(8 * GIB, available_bytes, 2 * GIB, 2 * GIB));
    sample.parts[Component::Backend.index()].private_bytes = backend_bytes;
    sample.total_bytes = backend_bytes;
    sample
}

/// 24 hours at one sample per minute, 10 MB/h: the document's scenario.
///
/// Feature: meetily-memory-optimization, Property 1: Memory Monitoring Completeness
#[test]
fn leak_of_ten_megabytes_an_hour_is_told_within_a_day() {
    let trace = corpus::trace(corpus::NOISE[1].1, 3, 10.0, corpus::Kind::Linear);
    let mut watcher = Watcher::new(Timing::default(), 1);
    let mut notices = Vec::new();
    for (minute, mb) in (0..).zip(&trace) {
        let notice = watcher.observe(sample(minute, 6 * GIB, (mb * MB) as u64));
        notices.extend(notice.into_iter().map(|n| (minute, n)));
    }
    let leak = Key::new(Kind::Leak, Some(Component::Backend));
    let (minute, first) = notices.iter().find(|(_, n)| n.key == leak).unwrap();
    assert!((360..1_200).contains(minute), "told after {minute} minutes");
    assert!(
        first.facts.reason.contains("MB/h"),
        "{}",
        first.facts.reason
    );
    assert!(
        notices
            .iter()
            .any(|(_, n)| n.key == leak && n.severity == Severity::Warning)
    );
    let report = MemoryAnalysisReport::new(&watcher);
    assert_eq!(report.potential_leaks, [Component::Backend]);
    let rate = report.usage.component_breakdown[3]
        .leak
        .rate_mb_per_hour
        .unwrap();
    assert!((8.0..12.0).contains(&rate), "{rate} MB/h");
    let loud = notices.iter().filter(|(_, n)| n.loud).count();
    assert!(loud < 60, "{loud} loud notices in a day");
}

/// Feature: meetily-memory-optimization, Property 7: Memory Usage Reporting and Alerting
#[test]
fn shortage_is_told_with_advice_and_ends() {
    let mut watcher = Watcher::new(Timing::default(), 1);
    assert_eq!(watcher.observe(sample(0, 6 * GIB, GIB)), []);
    let notices = watcher.observe(sample(1, GIB / 4, GIB));
    assert_eq!(notices.len(), 1);
    assert_eq!(
        (notices[0].severity, notices[0].event),
        (Severity::Critical, Event::Raised)
    );
    assert!(
        notices[0]
            .facts
            .advice
            .contains("restart or reconfigure Backend")
    );
    let usage = MemoryUsageReport::new(&watcher);
    assert_eq!(usage.memory_pressure_level, Level::Critical);
    assert_eq!(usage.recommendations[0].component, "System");
    let after: Vec<Notice> = (2..20)
        .flat_map(|m| watcher.observe(sample(m, 6 * GIB, GIB)))
        .collect();
    assert_eq!(after.last().unwrap().event, Event::Resolved);
    assert_eq!(watcher.alerts(), []);
}

/// Meetings of half an hour, each of which leaves 40 MB in the backend.
///
/// Feature: meetily-memory-optimization, Property 1: Memory Monitoring Completeness
#[test]
fn what_meetings_leave_behind_is_told() {
    let mut watcher = Watcher::new(Timing::default(), 1);
    let mut notices = Vec::new();
    for meeting in 0..10 {
        watcher.meeting_began();
        watcher.meeting_began();
        for minute in 0..60 {
            if minute == 30 {
                watcher.meeting_ended();
                watcher.meeting_ended();
            }
            let busy = if minute < 30 { 300 } else { 0 };
            let bytes = (500 + busy + 40 * meeting) * 1_000_000;
            notices.extend(watcher.observe(sample(meeting * 60 + minute, 6 * GIB, bytes)));
        }
    }
    let key = Key::new(Kind::MeetingLeak, Some(Component::Backend));
    let notice = notices.iter().find(|n| n.key == key).unwrap();
    assert_eq!(notice.severity, Severity::Warning);
    assert!(
        notice.facts.reason.ends_with("left 40 MB behind"),
        "{}",
        notice.facts.reason
    );
    let report = MemoryAnalysisReport::new(&watcher);
    assert_eq!(report.potential_leaks, [Component::Backend]);
    for text in [report.to_markdown(), report.to_html()] {
        assert!(text.contains("meetings left 40 MB behind"), "{text}");
    }
}

/// Growth of what the allocator keeps is not the program's leak, and the advice is another one.
#[test]
fn fragmentation_is_not_called_a_leak() {
    let leaking = corpus::trace(corpus::NOISE[1].1, 3, 20.0, corpus::Kind::Linear);
    let run = |allocated: fn(f64) -> f64| {
        let mut watcher = Watcher::new(Timing::default(), 1);
        for (minute, mb) in (0..).zip(&leaking) {
            watcher.declare_allocated_bytes(Component::Backend, (allocated(*mb) * MB) as u64);
            watcher.observe(sample(minute, 6 * GIB, (mb * MB) as u64));
        }
        let leak = watcher.component(Component::Backend).leak;
        let key = Key::new(Kind::Leak, Some(Component::Backend));
        let alert = watcher.alerts().into_iter().find(|a| a.key == key).unwrap();
        (leak.cause, alert.facts.advice)
    };
    let (cause, advice) = run(|_| 300.0);
    assert_eq!(cause, Some(Cause::Fragmentation));
    assert!(
        advice.starts_with("Trim the allocator of Backend"),
        "{advice}"
    );
    let (cause, advice) = run(|mb| mb - 20.0);
    assert_eq!(cause, Some(Cause::Held));
    assert!(advice.starts_with("Restart Backend"), "{advice}");
    // Said once and then no more: what was true a day ago tells nothing.
    let mut watcher = Watcher::new(Timing::default(), 1);
    watcher.declare_allocated_bytes(Component::Backend, 300_000_000);
    for (minute, mb) in (0..).zip(&leaking) {
        watcher.observe(sample(minute, 6 * GIB, (mb * MB) as u64));
    }
    assert_eq!(watcher.component(Component::Backend).leak.cause, None);
}

/// Feature: meetily-memory-optimization, Property 7: Memory Usage Reporting and Alerting
#[test]
fn what_was_done_is_told_with_the_alert() {
    let pressure = Key::new(Kind::Pressure, None);
    let mut watcher = Watcher::new(Timing::default(), 1);
    watcher.set_measures_faster(true);
    watcher.observe(sample(0, 6 * GIB, GIB));
    assert!(
        !watcher.acted(pressure, "too early"),
        "there is no such alert"
    );
    let raised = watcher.observe(sample(1, GIB / 4, GIB));
    assert_eq!(
        raised[0].facts.done,
        "measured every second until it is over"
    );
    for _ in 0..3 {
        assert!(watcher.acted(pressure, "unloaded llama3.2:3b"));
    }
    let report = MemoryAnalysisReport::new(&watcher);
    let done = "measured every second until it is over; unloaded llama3.2:3b";
    assert_eq!(report.alerts[0].done, done);
    assert_eq!(report.usage.recommendations[0].done, done);
    assert!(report.to_markdown().contains("Done: measured every second"));
    assert_eq!(
        MemoryMetrics::new(&watcher).optimization_status.actions,
        [done]
    );
    (0..9).for_each(|n| assert!(watcher.acted(pressure, &format!("{n}{}", "x".repeat(900)))));
    let done = watcher.alerts()[0].facts.done.clone();
    assert!(
        done.len() < 4 * 210 + 50 && done.contains("; 8xxx"),
        "{done}"
    );
    let after: Vec<Notice> = (2..20)
        .flat_map(|m| watcher.observe(sample(m, 6 * GIB, GIB)))
        .collect();
    assert!(
        after.last().unwrap().facts.done.contains("8xxx"),
        "the end tells what was done"
    );
    let again = watcher.observe(sample(21, GIB / 4, GIB));
    assert!(
        !again[0].facts.done.contains("xxx"),
        "another alert, other deeds"
    );
}

#[test]
fn metrics_tell_needed_from_held() {
    let mut watcher = Watcher::new(Timing::default(), 1);
    watcher.set_limit_bytes(Component::Backend, Some(GIB / 2));
    watcher.observe(sample(0, 6 * GIB, GIB));
    let metrics = MemoryMetrics::new(&watcher);
    let backend = metrics.component_memory.backend;
    assert_eq!(
        (backend.efficiency_score, backend.optimization_level),
        (None, 2)
    );
    assert_eq!(metrics.system_memory.memory_pressure, Some(0.25));
    assert_eq!(metrics.system_memory.used_memory, Some(2 * GIB));
    let model = |bytes| Model::new("small").ram_bytes(bytes);
    watcher.report_models(Component::Backend, [model(GIB / 4), model(GIB / 4)]);
    let score = |w: &Watcher| {
        MemoryMetrics::new(w)
            .component_memory
            .backend
            .efficiency_score
    };
    assert_eq!(score(&watcher), Some(0.5));
    watcher.declare_allocated_bytes(Component::Backend, GIB / 4 * 3);
    assert_eq!(score(&watcher), Some(0.75));
    watcher.report_models(Component::Backend, (0..100).map(|_| model(GIB)));
    assert_eq!(watcher.models(Component::Backend).len(), MODELS_MAX);
    assert_eq!(score(&watcher), Some(1.0));
}

#[test]
fn component_over_its_limit_is_told() {
    let mut watcher = Watcher::new(Timing::default(), 1);
    watcher.set_limit_bytes(Component::Backend, Some(GIB));
    let notices: Vec<Notice> = (0..4)
        .flat_map(|m| watcher.observe(sample(m, 6 * GIB, GIB + GIB / 20)))
        .collect();
    assert_eq!(notices.len(), 1);
    assert_eq!(
        notices[0].facts.reason,
        "holds 1075 MiB, 105 % of its 1024 MiB"
    );
}

#[test]
fn growth_is_shown_before_it_is_a_leak() {
    let mut watcher = Watcher::new(Timing::default(), 1);
    for minute in 0..61 {
        watcher.observe(sample(minute, 6 * GIB, 300_000_000 + minute * 1_000_000));
    }
    assert_eq!(watcher.component(Component::Backend).trend, Trend::Growing);
    assert_eq!(
        watcher.component(Component::Backend).peak_bytes,
        360_000_000
    );
}

/// The names are the document's, spelled as written there.
///
/// Feature: meetily-memory-optimization, Property 7: Memory Usage Reporting and Alerting
#[test]
fn json_has_the_documents_names() {
    let mut watcher = Watcher::new(Timing::default(), 1);
    watcher.observe(sample(1, GIB / 4, GIB));
    let json: serde_json::Value =
        serde_json::from_str(&MemoryAnalysisReport::new(&watcher).to_json().unwrap()).unwrap();
    let usage = &json["usage"];
    for (name, expected) in [
        ("totalSystemMemory", serde_json::json!(8 * GIB)),
        ("availableMemory", serde_json::json!(GIB / 4)),
        ("meetilyTotalUsage", serde_json::json!(GIB)),
        ("memoryPressureLevel", serde_json::json!("Critical")),
    ] {
        assert_eq!(usage[name], expected, "{name}");
    }
    let backend = &usage["componentBreakdown"][3];
    assert_eq!(backend["component"], "Backend");
    assert_eq!(backend["memoryTrend"], "Stable");
    for name in ["currentUsage", "peakUsage", "averageUsage"] {
        assert_eq!(backend[name], GIB, "{name}");
    }
    let alert = &json["alerts"][0];
    assert_eq!(
        (&alert["severity"], &alert["component"]),
        (&"Critical".into(), &"System".into())
    );
    assert_eq!(alert["autoResolved"], false);
    assert_eq!(alert["timestamp"], "2023-11-14T22:14:20.000Z");
    assert!(alert["message"].is_string() && alert["recommendation"].is_string());
}

#[test]
fn page_needs_nothing_else_and_markdown_lists_all() {
    let mut watcher = Watcher::new(Timing::default(), 1);
    (0..90).for_each(|m| drop(watcher.observe(sample(m, GIB / 4, GIB + m * 1_000_000))));
    let report = MemoryAnalysisReport::new(&watcher);
    let html = report.to_html();
    assert!(
        html.contains("<svg") && html.contains("Backend: 1.08 GiB now"),
        "{html}"
    );
    for foreign in ["http:", "https:", "src=", "<script", "url("] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    let markdown = report.to_markdown();
    assert!(markdown.contains("Pressure: **Critical** (256 MiB available, below 491 MiB)"));
    for component in Component::ALL {
        assert!(
            markdown.contains(&format!("| {component} |")),
            "{component}"
        );
    }
}

#[test]
fn monitor_runs_changes_its_interval_and_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let options = || {
        let mut options = Options::default();
        options.history = Some(folder.path().join("history"));
        options
    };
    let monitor = Monitor::new(options()).unwrap();
    let slow = Duration::from_secs(3_600);
    monitor.start_continuous_monitoring(slow).unwrap();
    while monitor.ticks() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    monitor.sample_soon();
    while monitor.ticks() == 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    monitor
        .start_continuous_monitoring(Duration::from_millis(100))
        .unwrap();
    while monitor.ticks() < 5 {
        std::thread::sleep(Duration::from_millis(5));
    }
    monitor.stop_continuous_monitoring();
    let ticks = monitor.ticks();
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(monitor.ticks(), ticks, "it has stopped");
    let peak = monitor.with(|w| w.total().peak_bytes());
    drop(monitor);
    let again = Monitor::new(options()).unwrap();
    let remembered = again.with(|w| w.total().peak_bytes());
    // The first sample of the first run was recorded; what grew later was not yet.
    assert!(
        remembered > 0 && remembered <= peak,
        "{remembered} of {peak}"
    );
}

#[test]
fn unreadable_system_is_told_and_estimated() {
    let (send, told) = std::sync::mpsc::sync_channel(8);
    let mut options = Options::default();
    options.system = steadyscribe_monitor::reader::System::at("/nowhere", "/nowhere");
    options.timing.warning_for_ms = 0;
    options.channels = vec![Box::new(Callback::new(move |n: &Notice| {
        send.try_send(n.clone()).is_ok()
    }))];
    let monitor = Monitor::new(options).unwrap();
    let usage = monitor.get_current_usage();
    assert_eq!((usage.available_memory, usage.estimated), (None, true));
    assert!(
        usage.reasons[0].starts_with("cannot read /nowhere/meminfo"),
        "{:?}",
        usage.reasons
    );
    assert!(usage.meetily_total_usage > 0, "this process is still known");
    let notice = told.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(notice.key, Key::new(Kind::Blind, None));
}

#[test]
fn captured_machine_is_attributed() {
    let mut options = Options::default();
    options.system = captured("laptop");
    let monitor = Monitor::new(options).unwrap();
    let usage = monitor.get_current_usage();
    let ollama = &usage.component_breakdown[0];
    assert_eq!((ollama.component, ollama.processes), (Component::Ollama, 2));
    let runner = (49_152 + 1_024 + 9_765_432) << 10;
    assert_eq!(ollama.current_usage, runner + (51_200 << 10));
    assert_eq!(ollama.reclaimable, (21_504 + 28_800) << 10);
    assert_eq!(usage.swap_usage, Some((2_097_148 - 1_703_936) << 10));
    let markdown = monitor.generate_memory_report().to_markdown();
    assert!(markdown.contains("Measured is private memory: anonymous, shared and swapped."));
}
