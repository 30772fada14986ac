//! The command, as a user runs it.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use steadyscribe_monitor::Component;
use steadyscribe_monitor::alert::journal::Journal;
use steadyscribe_monitor::alert::{Key, Kind, Timing};
use steadyscribe_monitor::history::{self, History, Record};
use steadyscribe_monitor::pressure::Level;
use steadyscribe_monitor::tracker::Tracker;

use crate::corpus;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn snapshot_adds_up() {
    let own = format!("backend={}", std::process::id());
    let json: serde_json::Value =
        serde_json::from_str(&text(&run(&["snapshot", "--json", "--component", &own]))).unwrap();
    crate::types::Declarations::read().check("MemoryUsageReport", &json, "snapshot");
    let parts = json["componentBreakdown"].as_array().unwrap();
    let sum: u64 = parts
        .iter()
        .map(|part| part["currentUsage"].as_u64().unwrap())
        .sum();
    assert_eq!(json["meetilyTotalUsage"], sum);
    assert!(parts[3]["currentUsage"].as_u64() > Some(0), "{}", parts[3]);
    let table = text(&run(&["snapshot", "--component", &own]));
    assert!(
        table.contains("Backend") && !table.contains('\x1b'),
        "{table}"
    );
}

#[test]
fn table_is_as_wide_as_the_terminal() {
    let own = format!("backend={}", std::process::id());
    let limit = "backend=64K";
    for columns in ["80", "132"] {
        let output = Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
            .args(["watch", "--count", "2", "--interval", "0.1"])
            .args(["--component", &own, "--limit", limit])
            .env("COLUMNS", columns)
            .output()
            .unwrap();
        let table = text(&output);
        let widest = table.lines().map(|line| line.chars().count()).max();
        assert!(widest <= columns.parse().ok(), "{table}");
        assert_eq!(table.contains("reclaimable"), columns == "132", "{table}");
        assert_eq!(
            table.matches("Critical · Backend: holds").count(),
            2,
            "{table}"
        );
    }
}

/// Records for less than a second.
fn record(file: &str) {
    text(&run(&[
        "record",
        file,
        "--hours",
        "0.0002",
        "--interval",
        "0.1",
    ]));
}

#[test]
fn record_is_analyzed_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history");
    let file = path.to_str().unwrap();
    record(file);
    let lines = text(&run(&["analyze", file]));
    assert_eq!(lines.lines().count(), 6, "{lines}");
    assert!(
        lines.contains(r#"{"component":"Monitor","verdict":"none""#),
        "{lines}"
    );
    let records = || history::read(&path).unwrap().count();
    let before = records();
    let page = folder.path().join("report.html");
    text(&run(&[
        "report",
        "--history",
        file,
        "--format",
        "html",
        "--output",
        page.to_str().unwrap(),
    ]));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<h1>Memory report</h1>"));
    assert!(
        page.contains("reclaimable memory are not recorded"),
        "{page}"
    );
    assert_eq!(records(), before, "a report writes nothing");
}

/// The program is killed while it records, and a write was torn: the next run goes on behind what
/// is whole.
#[test]
fn history_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history");
    let mut child = Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
        .args(["record", "--interval", "0.1"])
        .arg(&path)
        .spawn()
        .unwrap();
    let records = || history::read(&path).map_or(0, Iterator::count);
    let until = Instant::now() + Duration::from_secs(60);
    while records() == 0 {
        assert!(Instant::now() < until, "nothing is recorded");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    file.write_all(b"the beginning of a record").unwrap();
    let file = path.to_str().unwrap();
    record(file);
    assert_eq!(records(), 2);
    assert_eq!(text(&run(&["analyze", file])).lines().count(), 6);
}

#[test]
fn report_of_a_history_lists_its_leaks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history");
    let mut history = History::open(&path).unwrap();
    let mut tracker = Tracker::new(Timing::default(), 1);
    let leak = corpus::trace(corpus::NOISE[1].1, 3, 20.0, corpus::Kind::Linear);
    for (minute, mb) in (0..).zip(&leak) {
        tracker.observe(crate::app::sample(minute, 6 << 30, (mb * 1e6) as u64));
        let record = Record::new(tracker.last(), tracker.capacity(), Level::Low);
        history.append(&record).unwrap();
    }
    drop(history);
    let file = path.to_str().unwrap();
    let json: serde_json::Value = serde_json::from_str(&text(&run(&[
        "report",
        "--history",
        file,
        "--format",
        "json",
    ])))
    .unwrap();
    assert_eq!(json["potentialLeaks"], serde_json::json!(["Backend"]));
    assert_eq!(json["usage"]["totalSystemMemory"], 8_u64 << 30);
    assert_eq!(json["usage"]["timestamp"], "2023-11-15T22:12:20.000Z");
    assert!(
        json["alerts"]
            .as_array()
            .unwrap()
            .iter()
            .any(|a| a["kind"] == "leak")
    );
}

#[test]
fn trace_may_come_through_a_pipe() {
    ["-", "/dev/stdin"]
        .into_iter()
        .for_each(judge_through_a_pipe);
}

fn judge_through_a_pipe(name: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
        .args(["analyze", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let rows: String = (0..1_440)
        .map(|m| format!("{m},{}\n", 500_000_000 + m * 500_000))
        .collect();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(rows.as_bytes())
        .unwrap();
    let line = text(&child.wait_with_output().unwrap());
    let verdict: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&verdict["component"], &verdict["verdict"]),
        (&"total".into(), &"confirmed".into())
    );
    assert_eq!(verdict["trend"], "Growing");
}

#[test]
fn open_alerts_are_listed_beside_a_program_that_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let mut journal = Journal::open(&path).unwrap();
    let key = Key::new(Kind::Limit, Some(Component::Backend));
    journal.critical(&crate::alerts::notice(7, key)).unwrap();
    let file = path.to_str().unwrap();
    assert!(
        text(&run(&["alerts", file]))
            .starts_with("     7  2023-11-14T22:13:20.000Z  Critical · Backend")
    );
    // The program still writes to the file that was listed.
    journal.critical(&crate::alerts::notice(8, key)).unwrap();
    let left = text(&run(&["alerts", file, "--acknowledge", "7"]));
    assert!(left.starts_with("     8  "), "{left}");
    let unknown = run(&["alerts", file, "--acknowledge", "7"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no open alert has the number 7"));
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn traces_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.csv");
    let leak = corpus::trace(corpus::NOISE[1].1, 11, 20.0, corpus::Kind::Linear);
    let none = corpus::trace(corpus::NOISE[1].1, 12, 0.0, corpus::Kind::Linear);
    let mut rows = "timestamp,component,bytes\n".to_owned();
    for (minute, (leak, none)) in leak.iter().zip(&none).enumerate() {
        let at = minute * 60;
        rows += &format!(
            "{at},Backend,{:.0}\n{at},Frontend,{:.0}\n",
            leak * 1e6,
            none * 1e6
        );
    }
    std::fs::write(&path, rows).unwrap();
    let verdicts: Vec<serde_json::Value> = text(&run(&["analyze", path.to_str().unwrap()]))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&verdicts[0]["component"], &verdicts[0]["verdict"]),
        (&"Backend".into(), &"confirmed".into())
    );
    assert_eq!(
        (&verdicts[1]["component"], &verdicts[1]["verdict"]),
        (&"Frontend".into(), &"none".into())
    );
    let types = crate::types::Declarations::read();
    verdicts
        .iter()
        .for_each(|verdict| types.check("Analysis", verdict, "verdict"));
    assert!(
        verdicts[0]["rateIntervalMbPerHour"][1].as_f64() > Some(15.0),
        "{}",
        verdicts[0]
    );
}

#[test]
fn errors_say_what_to_do() {
    for (arguments, expected, code) in [
        (
            &["analyze", "/nowhere"][..],
            "cannot read /nowhere: No such file",
            1,
        ),
        (
            &["snapshot", "--component", "disk=1"],
            "unknown component `disk`; expected one of ollama, audio, frontend",
            2,
        ),
        (&["snapshot", "--budget", "5T"], "expected K, M or G", 2),
        (&["report", "--history", "/nowhere"], "No such file", 1),
        (&["alerts", "/nowhere"], "No such file", 1),
        (
            &["analyze", "-", "--target-mb-per-hour", "0"],
            "must be above 0",
            2,
        ),
        (&[], "Usage", 2),
    ] {
        let output = run(arguments);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}
