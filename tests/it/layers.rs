//! Who may import whom: values, models, memory, stages, recording, report, wiring, each only what lies before it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Layers in order; a module may use the layers before its own, and of its own only itself. Values may use each other.
const LAYERS: [(&str, &[&str]); 7] = [
    (
        "values",
        &[
            "audio",
            "time",
            "error",
            "config",
            "cancel",
            "file_lock",
            "folder",
            "ggml",
        ],
    ),
    ("models", &["models"]),
    ("memory", &["budget", "pool", "memory"]),
    (
        "stages",
        &[
            "source",
            "decode",
            "resample",
            "vad",
            "window",
            "engine",
            "transcript",
            "sink",
            "journal",
        ],
    ),
    ("recording", &["live"]),
    ("report", &["report"]),
    ("wiring", &["pipeline", "lib"]),
];

/// What a stage may name of the stages before it: the types that it receives, and no function.
const RECEIVED: [(&str, &str, &[&str]); 5] = [
    (
        "decode",
        "source",
        &["Access", "Bytes", "FileSource", "Input", "Source"],
    ),
    ("engine", "transcript", &["Segment", "Token"]),
    ("sink", "transcript", &["Ending", "Segment", "Token"]),
    ("journal", "transcript", &["Segment"]),
    ("journal", "engine", &["EngineCounts", "Language"]),
];

/// Files that hold tests alone, which may use what they test with.
const TESTS: [&str; 3] = ["multilingual.rs", "parity.rs", "tests.rs"];

fn layer(module: &str) -> usize {
    let found = LAYERS
        .iter()
        .position(|(_, modules)| modules.contains(&module));
    found.unwrap_or_else(|| panic!("{module} belongs to no layer"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !TESTS.iter().any(|name| path.ends_with(name))
        {
            found.push(path);
        }
    }
}

/// Paths into the crate that a file's `use` lines name, one for each leaf, without the tests at its end.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut found = BTreeSet::new();
    for part in code.split("use crate::").skip(1) {
        let path: String = part.split(';').next().unwrap().split_whitespace().collect();
        match path.split_once('{') {
            Some((stem, leaves)) => {
                found.extend(
                    leaves
                        .trim_end_matches('}')
                        .split(',')
                        .map(|leaf| format!("{stem}{leaf}")),
                );
            }
            None => {
                found.insert(path);
            }
        }
    }
    found
}

#[test]
fn modules_use_only_what_lies_before_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 30, "the sources were not found");
    let mut wrong = Vec::new();
    for file in files {
        let module = file
            .strip_prefix(&root)
            .unwrap()
            .components()
            .next()
            .unwrap();
        let module = module
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        for path in imports(&std::fs::read_to_string(&file).unwrap()) {
            let used = path.split("::").next().unwrap();
            let name = path.rsplit("::").next().unwrap();
            if used == module || used.chars().next().is_some_and(char::is_uppercase) {
                continue;
            }
            let (from, to) = (layer(&module), layer(used));
            let received = RECEIVED.iter().any(|(user, stage, names)| {
                *user == module && *stage == used && names.contains(&name)
            });
            let limit = used == "report" && name == "SPANS_MAX";
            if !(to < from || (from == 0 && to == 0) || received || limit || module == "error") {
                wrong.push(format!("{} uses crate::{path}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_monitor_knows_nothing_of_audio() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("monitor/Cargo.toml");
    let text = std::fs::read_to_string(manifest).unwrap();
    let dependencies = text.split("[dependencies]").nth(1).unwrap();
    for name in ["steadyscribe =", "whisper", "symphonia", "rubato"] {
        assert!(
            !dependencies.contains(name),
            "monitor/Cargo.toml names {name}"
        );
    }
}
