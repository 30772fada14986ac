//! The whole monitor: a day of an app in seconds, reports in every form, history across restarts.

use std::time::Duration;

use steadyscribe_monitor::alert::channel::Callback;
use steadyscribe_monitor::alert::{Event, Key, Kind, Notice, Severity, Timing};
use steadyscribe_monitor::leak::{Cause, Verdict};
use steadyscribe_monitor::model::{MODELS_MAX, Model};
use steadyscribe_monitor::monitor::{Monitor, Options};
use steadyscribe_monitor::pressure::Level;
use steadyscribe_monitor::reader::Machine;
use steadyscribe_monitor::report::{MemoryAnalysisReport, MemoryMetrics, MemoryUsageReport};
use steadyscribe_monitor::sample::{Moment, Sample};
use steadyscribe_monitor::tracker::Tracker;
use steadyscribe_monitor::trend::Trend;
use steadyscribe_monitor::{Component, Reading};

use crate::{captured, corpus};

pub(crate) const GIB: u64 = 1 << 30;
const MB: f64 = 1e6;

pub(crate) fn sample(minute: u64, available_bytes: u64, backend_bytes: u64) -> Sample {
    let mut sample = Sample::default();
    sample.at = Moment::new(minute * 60_000, 1_700_000_000_000 + minute * 60_000);
    let machine = Machine::new(8 * GIB, available_bytes, 2 * GIB, 2 * GIB);
    sample.machine = Reading::Known(machine);
    sample.parts[Component::Backend.index()].private_bytes = Reading::Known(backend_bytes);
    sample
}

/// 24 hours at one sample per minute, 10 MB/h: the document's scenario.
///
/// Feature: meetily-memory-optimization, Property 1: Memory Monitoring Completeness
#[test]
fn leak_of_ten_megabytes_an_hour_is_found_within_a_day() {
    let trace = corpus::trace(corpus::NOISE[1].1, 3, 10.0, corpus::Kind::Linear);
    let mut tracker = Tracker::new(Timing::default(), 1);
    let mut notices = Vec::new();
    for (minute, mb) in (0..).zip(&trace) {
        let notice = tracker.observe(sample(minute, 6 * GIB, (mb * MB) as u64));
        notices.extend(notice.into_iter().map(|n| (minute, n)));
    }
    let leak = Key::new(Kind::Leak, Some(Component::Backend));
    let (minute, first) = notices.iter().find(|(_, n)| n.key == leak).unwrap();
    assert!(
        (360..1_200).contains(minute),
        "found after {minute} minutes"
    );
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
    let report = MemoryAnalysisReport::new(&tracker);
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
fn shortage_is_alerted_with_advice_and_ends() {
    let mut tracker = Tracker::new(Timing::default(), 1);
    assert_eq!(tracker.observe(sample(0, 6 * GIB, GIB)), []);
    let notices = tracker.observe(sample(1, GIB / 4, GIB));
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
    let usage = MemoryUsageReport::new(&tracker);
    assert_eq!(usage.memory_pressure_level, Level::Critical);
    assert_eq!(usage.recommendations[0].component, "System");
    let after: Vec<Notice> = (2..20)
        .flat_map(|m| tracker.observe(sample(m, 6 * GIB, GIB)))
        .collect();
    assert_eq!(after.last().unwrap().event, Event::Resolved);
    assert_eq!(tracker.alerts(), []);
}

/// Meetings of half an hour, each of which leaves 40 MB in the backend.
///
/// Feature: meetily-memory-optimization, Property 1: Memory Monitoring Completeness
#[test]
fn memory_that_meetings_leave_behind_is_alerted() {
    let mut tracker = Tracker::new(Timing::default(), 1);
    let mut notices = Vec::new();
    for meeting in 0..10 {
        tracker.meeting_began();
        tracker.meeting_began();
        for minute in 0..60 {
            if minute == 30 {
                tracker.meeting_ended();
                tracker.meeting_ended();
            }
            let busy = if minute < 30 { 300 } else { 0 };
            let bytes = (500 + busy + 40 * meeting) * 1_000_000;
            notices.extend(tracker.observe(sample(meeting * 60 + minute, 6 * GIB, bytes)));
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
    let report = MemoryAnalysisReport::new(&tracker);
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
        let mut tracker = Tracker::new(Timing::default(), 1);
        for (minute, mb) in (0..).zip(&leaking) {
            tracker.declare_allocated_bytes(Component::Backend, (allocated(*mb) * MB) as u64);
            tracker.observe(sample(minute, 6 * GIB, (mb * MB) as u64));
        }
        let leak = tracker.component(Component::Backend).leak;
        let key = Key::new(Kind::Leak, Some(Component::Backend));
        let alert = tracker.alerts().into_iter().find(|a| a.key == key).unwrap();
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
    // Declared once and then no more: figures of a day ago prove nothing.
    let mut tracker = Tracker::new(Timing::default(), 1);
    tracker.declare_allocated_bytes(Component::Backend, 300_000_000);
    for (minute, mb) in (0..).zip(&leaking) {
        tracker.observe(sample(minute, 6 * GIB, (mb * MB) as u64));
    }
    assert_eq!(tracker.component(Component::Backend).leak.cause, None);
}

/// Feature: meetily-memory-optimization, Property 7: Memory Usage Reporting and Alerting
#[test]
fn actions_appear_in_the_alert() {
    let pressure = Key::new(Kind::Pressure, None);
    let mut tracker = Tracker::new(Timing::default(), 1);
    tracker.set_samples_faster(true);
    tracker.observe(sample(0, 6 * GIB, GIB));
    assert!(
        !tracker.record_action(pressure, "too early"),
        "there is no such alert"
    );
    let raised = tracker.observe(sample(1, GIB / 4, GIB));
    assert_eq!(
        raised[0].facts.done,
        "measured every second until it is over"
    );
    for _ in 0..3 {
        assert!(tracker.record_action(pressure, "unloaded llama3.2:3b"));
    }
    let report = MemoryAnalysisReport::new(&tracker);
    let done = "measured every second until it is over; unloaded llama3.2:3b";
    assert_eq!(report.alerts[0].done, done);
    assert_eq!(report.usage.recommendations[0].done, done);
    assert!(report.to_markdown().contains("Done: measured every second"));
    assert_eq!(
        MemoryMetrics::new(&tracker).optimization_status.actions,
        [done]
    );
    (0..9)
        .for_each(|n| assert!(tracker.record_action(pressure, &format!("{n}{}", "x".repeat(900)))));
    let done = tracker.alerts()[0].facts.done.clone();
    assert!(
        done.len() < 4 * 210 + 50 && done.contains("; 8xxx"),
        "{done}"
    );
    let after: Vec<Notice> = (2..20)
        .flat_map(|m| tracker.observe(sample(m, 6 * GIB, GIB)))
        .collect();
    assert!(
        after.last().unwrap().facts.done.contains("8xxx"),
        "the last notice lists the actions"
    );
    let again = tracker.observe(sample(21, GIB / 4, GIB));
    assert!(
        !again[0].facts.done.contains("xxx"),
        "another alert has other actions"
    );
}

#[test]
fn metrics_compare_needed_and_held() {
    let mut tracker = Tracker::new(Timing::default(), 1);
    tracker.set_limit_bytes(Component::Backend, Some(GIB / 2));
    tracker.observe(sample(0, 6 * GIB, GIB));
    let metrics = MemoryMetrics::new(&tracker);
    let backend = metrics.component_memory.backend;
    assert_eq!(
        (backend.efficiency_score, backend.optimization_level),
        (None, 2)
    );
    assert_eq!(metrics.system_memory.memory_pressure, Some(0.25));
    assert_eq!(metrics.system_memory.used_memory, Some(2 * GIB));
    let model = |bytes| Model::new("small").ram_bytes(bytes);
    tracker.report_models(Component::Backend, [model(GIB / 4), model(GIB / 4)]);
    let score = |w: &Tracker| {
        MemoryMetrics::new(w)
            .component_memory
            .backend
            .efficiency_score
    };
    assert_eq!(score(&tracker), Some(0.5));
    tracker.declare_allocated_bytes(Component::Backend, GIB / 4 * 3);
    assert_eq!(score(&tracker), Some(0.75));
    tracker.report_models(Component::Backend, (0..100).map(|_| model(GIB)));
    assert_eq!(tracker.models(Component::Backend).len(), MODELS_MAX);
    assert_eq!(score(&tracker), Some(1.0));
}

#[test]
fn component_over_its_limit_is_alerted() {
    let mut tracker = Tracker::new(Timing::default(), 1);
    tracker.set_limit_bytes(Component::Backend, Some(GIB));
    let notices: Vec<Notice> = (0..4)
        .flat_map(|m| tracker.observe(sample(m, 6 * GIB, GIB + GIB / 20)))
        .collect();
    assert_eq!(notices.len(), 1);
    assert_eq!(
        notices[0].facts.reason,
        "holds 1075 MiB, 105 % of its 1024 MiB"
    );
}

#[test]
fn growth_is_shown_before_it_is_a_leak() {
    let mut tracker = Tracker::new(Timing::default(), 1);
    for minute in 0..61 {
        tracker.observe(sample(minute, 6 * GIB, 300_000_000 + minute * 1_000_000));
    }
    assert_eq!(tracker.component(Component::Backend).trend, Trend::Growing);
    assert_eq!(
        tracker.component(Component::Backend).peak_bytes,
        Some(360_000_000)
    );
}

/// The names are the document's, spelled as written there.
///
/// Feature: meetily-memory-optimization, Property 7: Memory Usage Reporting and Alerting
#[test]
fn json_has_the_documents_names() {
    let mut tracker = Tracker::new(Timing::default(), 1);
    tracker.observe(sample(1, GIB / 4, GIB));
    let json: serde_json::Value =
        serde_json::from_str(&MemoryAnalysisReport::new(&tracker).to_json().unwrap()).unwrap();
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
    assert_eq!(backend["memoryTrend"], "Unknown", "an hour is needed");
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
    let mut tracker = Tracker::new(Timing::default(), 1);
    (0..90).for_each(|m| drop(tracker.observe(sample(m, GIB / 4, GIB + m * 1_000_000))));
    let report = MemoryAnalysisReport::new(&tracker);
    let html = report.to_html();
    assert!(
        html.contains("<svg") && html.contains("Backend: 1.08 GiB now"),
        "{html}"
    );
    for foreign in ["http:", "https:", "src=", "<script", "url("] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    let markdown = report.to_markdown();
    assert!(markdown.contains("Machine pressure: **Critical** (256 MiB available, below 491 MiB)"));
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
        remembered.is_some() && remembered <= peak,
        "{remembered:?} of {peak:?}"
    );
}

#[test]
fn unreadable_system_raises_an_alert() {
    let (send, received) = std::sync::mpsc::sync_channel(8);
    let mut options = Options::default();
    options.system = steadyscribe_monitor::reader::System::at("/nowhere", "/nowhere");
    options.timing.warning_for_ms = 0;
    options.channels = vec![Box::new(Callback::new(move |n: &Notice| {
        send.try_send(n.clone()).is_ok()
    }))];
    let monitor = Monitor::new(options).unwrap();
    let usage = monitor.get_current_usage();
    assert_eq!(
        (usage.available_memory, usage.meetily_total_usage),
        (None, None)
    );
    let why = "cannot read /nowhere/meminfo";
    let reason = usage.available_memory_unknown.unwrap();
    assert!(reason.starts_with(why), "{reason}");
    assert!(usage.reasons[0].contains(why), "{:?}", usage.reasons);
    let notice = received.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(notice.key, Key::new(Kind::Blind, None));
}

/// The budget is the app's own: exceeding it is no shortage of the machine.
#[test]
fn exceeded_budget_is_no_emergency_of_the_machine() {
    let mut tracker = Tracker::new(Timing::default(), 1);
    tracker.set_budget_bytes(Some(1 << 20));
    let mut notices: Vec<Notice> = Vec::new();
    for minute in 0..10 {
        notices.extend(tracker.observe(sample(minute, 6 * GIB, GIB)));
    }
    let usage = MemoryUsageReport::new(&tracker);
    assert_eq!(usage.memory_pressure_level, Level::Low);
    assert_eq!(usage.budget, Some(1 << 20));
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(notices[0].key, Key::new(Kind::Budget, None));
    assert_eq!(notices[0].severity, Severity::Warning);
    let facts = &notices[0].facts;
    assert!(
        facts.reason.ends_with("% of its budget of 1 MiB"),
        "{}",
        facts.reason
    );
    for step in &usage.recommendations {
        let advice = step.action.to_lowercase();
        assert!(
            !advice.contains("save your work") && !advice.contains("restart"),
            "{advice}"
        );
    }
    let metrics = MemoryMetrics::new(&tracker);
    assert_eq!(metrics.component_memory.audio.optimization_level, 2);
    // A budget that is raised ends the alert.
    tracker.set_budget_bytes(Some(4 * GIB));
    (10..20).for_each(|minute| drop(tracker.observe(sample(minute, 6 * GIB, GIB))));
    assert_eq!(tracker.alerts(), []);
}

/// A day of evidence survives an hour in which nothing can be read, and that hour adds none.
#[test]
fn blind_hour_neither_hides_a_leak_nor_makes_one() {
    let leaking = corpus::trace(corpus::NOISE[1].1, 3, 20.0, corpus::Kind::Linear);
    let run = |mb: fn(&f64) -> f64| {
        let mut tracker = Tracker::new(Timing::default(), 1);
        for (minute, trace) in (0..).zip(&leaking) {
            let mut now = sample(minute, 6 * GIB, (mb(trace) * MB) as u64);
            if (700..760).contains(&minute) {
                now.machine = Reading::unknown("too many open files");
                for part in &mut now.parts {
                    part.private_bytes = Reading::unknown("too many open files");
                }
            }
            tracker.observe(now);
        }
        tracker
    };
    let leak = run(|mb| *mb).component(Component::Backend).leak;
    assert_eq!(leak.verdict, Verdict::Confirmed, "{}", leak.evidence);
    let tracker = run(|_| 500.0);
    let flat = tracker.component(Component::Backend);
    assert_eq!(flat.leak.verdict, Verdict::None, "{}", flat.leak.evidence);
    let report = MemoryAnalysisReport::new(&tracker);
    assert!(report.history.iter().all(|c| {
        c.points
            .iter()
            .all(|p| c.name != "Backend" || p.min_bytes > 400_000_000)
    }));
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
    assert_eq!(ollama.current_usage, Some(runner + (51_200 << 10)));
    assert_eq!(ollama.reclaimable, Some((21_504 + 28_800) << 10));
    assert_eq!(usage.swap_usage, Some((2_097_148 - 1_703_936) << 10));
    let markdown = monitor.generate_memory_report().to_markdown();
    assert!(markdown.contains("The figures are private memory: anonymous, shared and swapped."));
}
