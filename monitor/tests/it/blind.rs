//! What cannot be read is unknown: never 0 bytes, never Low, never Stable.

use std::path::Path;

use serde_json::{Value, json};
use steadyscribe_monitor::monitor::{Monitor, Options};
use steadyscribe_monitor::reader::System;

/// Copies a folder of captured files.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// A laptop on which these files exist and cannot be read: folders stand in their place, which
/// stops root, too.
fn usage_without(unreadable: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let laptop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/proc/laptop");
    copy(&laptop, root);
    for name in unreadable {
        std::fs::remove_file(root.join(name)).unwrap();
        std::fs::create_dir(root.join(name)).unwrap();
    }
    let mut options = Options::default();
    options.system = System::at(root, root.join("cgroup"));
    let monitor = Monitor::new(options).unwrap();
    serde_json::to_value(monitor.get_current_usage()).unwrap()
}

#[test]
fn unreadable_process_makes_its_component_unknown() {
    let usage = usage_without(&["4242/status"]);
    let [ollama, audio] = [0, 1].map(|at| &usage["componentBreakdown"][at]);
    assert_eq!(ollama["currentUsage"], json!(null), "{ollama}");
    assert_eq!(audio["currentUsage"], 0, "{audio}");
    assert_eq!(usage["meetilyTotalUsage"], json!(null));
}

#[test]
fn unreadable_machine_has_no_level() {
    let usage = usage_without(&["meminfo", "pressure/memory", "self/cgroup"]);
    assert_eq!(usage["availableMemory"], json!(null));
    assert_eq!(usage["memoryPressureLevel"], "Unknown", "{usage}");
}

/// Files of processes cannot be opened, as when this process has none left: no component may look
/// empty.
#[test]
fn unreadable_table_makes_every_component_unknown() {
    let usage = usage_without(&["1/stat", "4100/stat", "4242/stat"]);
    for part in usage["componentBreakdown"].as_array().unwrap() {
        assert_eq!(part["currentUsage"], json!(null), "{part}");
        assert_eq!(part["memoryTrend"], "Unknown", "{part}");
    }
}
