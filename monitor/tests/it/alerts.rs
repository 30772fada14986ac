//! Alerts: when they begin and end, how often they are sent, and that no critical one is lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use steadyscribe_monitor::Component;
use steadyscribe_monitor::alert::channel::{Callback, Channel, ChannelError, Log};
use steadyscribe_monitor::alert::journal::Journal;
use steadyscribe_monitor::alert::outbox::Outbox;
use steadyscribe_monitor::alert::{
    Alerts, Condition, Delivery, Event, Facts, Key, Kind, Notice, Severity, Timing,
};

const MACHINE: Key = Key::new(Kind::Pressure, None);
const BACKEND: Key = Key::new(Kind::Limit, Some(Component::Backend));

fn condition(key: Key, raised: Option<Severity>, clear: bool) -> Condition {
    let mut facts = Facts::default();
    facts.reason = "900 MiB, above 800 MiB".to_owned();
    Condition::new(key, raised, clear, facts)
}

/// Feeds one state per second and returns (second, event, severity).
fn run(states: &[(u64, Option<Severity>, bool)]) -> Vec<(u64, Event, Severity)> {
    let mut alerts = Alerts::new(Timing::default(), 1);
    let mut now = 0;
    let mut seen = Vec::new();
    for (seconds, raised, clear) in states {
        for _ in 0..*seconds {
            let notices = alerts.update(vec![condition(BACKEND, *raised, *clear)], now * 1_000, 0);
            seen.extend(notices.iter().map(|n| (now, n.event, n.severity)));
            now += 1;
        }
    }
    seen
}

#[test]
fn short_excess_is_no_alert() {
    let excess = (29, Some(Severity::Warning), false);
    assert_eq!(run(&[excess, (1, None, true), excess]), []);
}

#[test]
fn warning_waits_repeats_and_ends() {
    let seen = run(&[(1_900, Some(Severity::Warning), false), (200, None, true)]);
    let expected = [
        (30, Event::Raised, Severity::Warning),
        (1_830, Event::Repeated, Severity::Warning),
        (2_020, Event::Resolved, Severity::Warning),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn critical_fires_at_once_and_value_between_the_thresholds_keeps_it() {
    let seen = run(&[
        (60, Some(Severity::Warning), false),
        (10, Some(Severity::Critical), false),
        (200, None, false),
        (100, None, true),
        (1, None, false),
        (121, None, true),
    ]);
    let expected = [
        (30, Event::Raised, Severity::Warning),
        (60, Event::Raised, Severity::Critical),
        (370, Event::Repeated, Severity::Critical),
        (491, Event::Resolved, Severity::Critical),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn acknowledged_alert_is_silent_until_it_is_worse() {
    let mut alerts = Alerts::new(Timing::default(), 1);
    let step = |alerts: &mut Alerts, at: u64, raised| {
        alerts
            .update(vec![condition(BACKEND, Some(raised), false)], at * 1_000, 0)
            .len()
    };
    assert_eq!(step(&mut alerts, 0, Severity::Warning), 0);
    assert_eq!(step(&mut alerts, 30, Severity::Warning), 1);
    assert!(alerts.acknowledge(BACKEND) && !alerts.acknowledge(MACHINE));
    assert_eq!(step(&mut alerts, 9_000, Severity::Warning), 0);
    assert_eq!(step(&mut alerts, 9_001, Severity::Critical), 1);
}

#[test]
fn critical_machine_mutes_warnings_and_leak_mutes_growth() {
    let mut alerts = Alerts::new(Timing::default(), 1);
    let growing = Key::new(Kind::Growing, Some(Component::Backend));
    let leak = Key::new(Kind::Leak, Some(Component::Backend));
    let conditions = || {
        vec![
            condition(MACHINE, Some(Severity::Critical), false),
            condition(BACKEND, Some(Severity::Warning), false),
            condition(growing, Some(Severity::Info), false),
            condition(leak, Some(Severity::Warning), false),
        ]
    };
    let mut loud = HashMap::new();
    for second in 0..400 {
        for notice in alerts.update(conditions(), second * 1_000, 0) {
            loud.entry(notice.key).or_insert(notice.loud);
        }
    }
    let expected = [
        (MACHINE, true),
        (BACKEND, false),
        (growing, false),
        (leak, false),
    ];
    assert_eq!(loud, HashMap::from(expected));
}

fn state() -> impl Strategy<Value = (Option<Severity>, bool)> {
    prop_oneof![
        Just((None, true)),
        Just((None, false)),
        Just((Some(Severity::Info), false)),
        Just((Some(Severity::Warning), false)),
        Just((Some(Severity::Critical), false)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the input, one alert per key is open, notices per hour are bounded, and all end
    /// once values are normal.
    ///
    /// Feature: meetily-memory-optimization, Property 7: Memory Usage Reporting and Alerting
    #[test]
    fn alerts_are_bounded_and_end(
        states in prop::collection::vec((1..90_u64, state(), state()), 1..150),
    ) {
        let mut alerts = Alerts::new(Timing::default(), 1);
        let (mut now_s, mut notices) = (0, Vec::new());
        let step = |alerts: &mut Alerts, now_s: u64, a: (_, _), b: (_, _)| {
            let both = vec![condition(BACKEND, a.0, a.1), condition(MACHINE, b.0, b.1)];
            alerts.update(both, now_s * 1_000, 0)
        };
        for (seconds, a, b) in states {
            for _ in 0..seconds {
                notices.extend(step(&mut alerts, now_s, a, b).into_iter().map(|n| (now_s, n)));
                let mut keys: Vec<_> = alerts.open().iter().map(|a| a.key).collect();
                keys.dedup();
                prop_assert_eq!(keys.len(), alerts.open().len());
                now_s += 1;
            }
        }
        for (at, _) in &notices {
            let hour = notices.iter().filter(|(t, _)| t >= at && *t < at + 3_600);
            let is_loud = |n: &Notice| n.loud && n.severity < Severity::Critical;
            let (loud, all): (Vec<_>, Vec<_>) = hour.partition(|(_, n)| is_loud(n));
            prop_assert!(loud.len() <= 21, "{} loud warnings in an hour", loud.len());
            // Two keys, each of which needs two minutes to end or to become less bad, and repeats
            // every five.
            let sum = loud.len() + all.len();
            prop_assert!(sum <= 2 * (60 + 30 + 12), "{} notices", sum);
        }
        for _ in 0..121 {
            step(&mut alerts, now_s, (None, true), (None, true));
            now_s += 1;
        }
        prop_assert_eq!(alerts.open(), vec![]);
    }

    /// A critical notice is sent again until a channel takes it, however long all of them fail.
    ///
    /// Feature: meetily-memory-optimization, Property 7: Memory Usage Reporting and Alerting
    #[test]
    fn no_critical_notice_is_lost(dead_s in 0..20_000_u64, ids in 1..20_u64) {
        let mut outbox = Outbox::default();
        let mut now_s = 0;
        let mut arrived = Vec::new();
        for id in 1..=ids {
            let key = if id % 2 == 0 { MACHINE } else { BACKEND };
            outbox.submit(&notice(id, key), now_s * 1_000);
            now_s += 1;
        }
        while now_s < dead_s + 1_000 {
            for due in outbox.due(now_s * 1_000).0 {
                if now_s >= dead_s {
                    prop_assert!(outbox.acknowledge(due.id));
                    arrived.push(due.key);
                }
            }
            now_s += 1;
        }
        // The newest notice of each alert arrives once.
        prop_assert_eq!(arrived.len() as u64, ids.min(2));
        prop_assert_eq!(outbox.unacknowledged().count(), 0);
    }
}

pub(crate) fn notice(id: u64, key: Key) -> Notice {
    let mut alerts = Alerts::new(Timing::default(), id);
    let raised = vec![condition(key, Some(Severity::Critical), false)];
    alerts.update(raised, 0, 1_700_000_000_000).remove(0)
}

/// The steady clock stands still while the machine sleeps; the time of an alert is when it began
/// all the same.
#[test]
fn alert_keeps_its_time_through_a_sleep_of_the_machine() {
    let mut alerts = Alerts::new(Timing::default(), 1);
    let raised = || vec![condition(BACKEND, Some(Severity::Critical), false)];
    let (begun, slept) = (1_700_000_000_000, 8 * 3_600_000);
    alerts.update(raised(), 5_000, begun);
    alerts.update(raised(), 6_000, begun + slept);
    let open = &alerts.open()[0];
    assert_eq!((open.since_ms, open.since_unix_ms), (5_000, begun));
}

struct Broken {
    healed: Arc<AtomicBool>,
    tried: Arc<AtomicUsize>,
}

impl Channel for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn wants_quiet(&self) -> bool {
        true
    }

    fn deliver(&mut self, _: &Notice) -> Result<(), ChannelError> {
        self.tried.fetch_add(1, Ordering::Relaxed);
        assert!(self.healed.load(Ordering::Relaxed), "a channel may panic");
        Ok(())
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn critical_notice_survives_the_program_and_is_shown_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let (healed, tried) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let broken = || {
        Box::new(Broken {
            healed: Arc::clone(&healed),
            tried: Arc::clone(&tried),
        })
    };
    let delivery = Delivery::start(
        vec![Box::new(Log::default()), broken()],
        Some(Journal::open(&path).unwrap()),
    );
    let delivery = delivery.unwrap();
    delivery.submit(notice(7, MACHINE));
    eventually("the channel is tried", || {
        tried.load(Ordering::Relaxed) == 1
    });
    drop(delivery);

    // The end of the machine tore the last line.
    let torn = std::fs::read_to_string(&path).unwrap() + "{\"critical\":{\"id\":8,";
    std::fs::write(&path, torn).unwrap();
    let journal = Journal::open(&path).unwrap();
    assert_eq!(
        journal
            .unacknowledged()
            .iter()
            .map(|n| n.id)
            .collect::<Vec<_>>(),
        [7]
    );
    healed.store(true, Ordering::Relaxed);
    let delivery = Delivery::start(vec![broken()], Some(journal)).unwrap();
    eventually("it is shown again", || tried.load(Ordering::Relaxed) == 2);
    eventually("it is noted as received", || {
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("{\"acknowledged\":7}")
    });
    drop(delivery);
    assert_eq!(Journal::open(&path).unwrap().unacknowledged(), []);
}

#[test]
fn acknowledged_alert_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let journal = Journal::open(&path).unwrap();
    let delivery = Delivery::start(vec![Box::new(Log::default())], Some(journal)).unwrap();
    delivery.submit(notice(7, MACHINE));
    delivery.submit(notice(8, BACKEND));
    delivery.acknowledge_alert(MACHINE);
    let open = || steadyscribe_monitor::alert::journal::unacknowledged(&path).unwrap();
    eventually("the other alert stays", || {
        open().iter().map(|n| n.id).collect::<Vec<_>>() == [8]
    });
}

#[test]
fn slow_channel_delays_neither_sampling_nor_others() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    let slow = Callback::new(|_: &Notice| {
        std::thread::sleep(Duration::from_secs(600));
        true
    });
    let quick = Callback::new(move |notice: &Notice| {
        list.lock().unwrap().push(notice.id);
        true
    });
    let delivery = Delivery::start(vec![Box::new(slow), Box::new(quick)], None).unwrap();
    let started = Instant::now();
    for id in 1..=2_000 {
        delivery.submit(notice(id, MACHINE));
    }
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
    eventually("the last notice arrives", || {
        seen.lock().unwrap().last() == Some(&2_000)
    });
    let started = Instant::now();
    drop(delivery);
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "a channel that hangs is left behind"
    );
}

#[cfg(unix)]
#[test]
fn command_is_the_last_resort() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let (script, received) = (
        folder.path().join("receive"),
        folder.path().join("received"),
    );
    let text = format!("#!/bin/sh\necho \"$1\" > {0}\n", received.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let program = steadyscribe_monitor::alert::channel::Program::new(&script);
    assert!(program.is_last_resort());
    let delivery = Delivery::start(vec![Box::new(program)], None).unwrap();
    delivery.submit(notice(1, BACKEND));
    let first = Instant::now();
    eventually("the program runs", || received.exists());
    assert!(
        first.elapsed() > Duration::from_secs(4),
        "only after the first attempt failed"
    );
    let headline = "Critical · Backend: 900 MiB, above 800 MiB\n";
    eventually("it receives the headline", || {
        std::fs::read_to_string(&received).unwrap() == headline
    });
}

#[test]
fn two_programs_do_not_write_one_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let mut journal = Journal::open(&path).unwrap();
    let second = Journal::open(&path);
    assert!(
        second.is_err(),
        "the second program must not replace the file"
    );
    journal.critical(&notice(7, MACHINE)).unwrap();
    let kept = steadyscribe_monitor::alert::journal::unacknowledged(&path).unwrap();
    assert_eq!(kept.len(), 1);
}

/// A file that is replaced is written beside itself first. Files of one stem have names of their
/// own there.
#[test]
fn files_of_one_stem_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("memory.part");
    std::fs::write(&other, "another program's").unwrap();
    drop(Journal::open(&folder.path().join("memory.jsonl")).unwrap());
    assert_eq!(
        std::fs::read_to_string(&other).unwrap(),
        "another program's"
    );
}
