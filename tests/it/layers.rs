//! Which modules may use which: values, files, models, memory, stages, state, recording, report and
//! wiring, each only what is in the layers before it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Layers in order. A module may use the layers before its own, and of its own layer only itself.
/// Values may use each other.
const LAYERS: [(&str, &[&str]); 9] = [
    (
        "values",
        &["audio", "cancel", "config", "error", "ggml", "time"],
    ),
    ("files", &["file_lock", "folder"]),
    ("models", &["models"]),
    ("memory", &["budget", "memory", "pool"]),
    (
        "stages",
        &[
            "source",
            "decode",
            "resample",
            "vad",
            "window",
            "transcript",
            "engine",
            "sink",
        ],
    ),
    ("state", &["carried", "journal"]),
    ("recording", &["live"]),
    ("report", &["report"]),
    ("wiring", &["pipeline", "lib"]),
];

/// What a module may name of its own layer: the types that it receives, and no function.
const RECEIVED: [(&str, &str, &[&str]); 4] = [
    (
        "decode",
        "source",
        &["Access", "Bytes", "FileSource", "Input", "Source"],
    ),
    ("engine", "transcript", &["Quality", "Segment", "Token"]),
    ("sink", "transcript", &["Ending", "Segment", "Token"]),
    ("journal", "carried", &["Carried"]),
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

/// A file without its comments and without the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let without_comment = |line: &str| line.split("//").next().unwrap().to_owned() + "\n";
    text.lines().map(without_comment).collect()
}

/// Paths into the crate that a file names, in `use` lines or anywhere else, one for each leaf.
fn paths(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        leaves("", part, &mut found);
    }
    found
}

/// Reads one path, with its groups in braces, from the start of `text`. Returns what follows it.
fn leaves<'a>(stem: &str, text: &'a str, found: &mut BTreeSet<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = leaves(stem, rest, found).trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
        }
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '*';
    let length = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let path = format!("{stem}{name}");
    match rest.strip_prefix("::") {
        Some(after) => leaves(&format!("{path}::"), after, found),
        None => {
            found.insert(path);
            rest.split_once([',', '}', ';']).map_or("", |_| {
                let end = rest.find([',', '}', ';']).unwrap_or(rest.len());
                &rest[end..]
            })
        }
    }
}

#[test]
fn paths_are_found_in_groups_and_in_code() {
    let text = "use crate::a::{B, c::{D, E}};\n\
                fn f() -> crate::g::H { crate::i::j(1) } // crate::k\n\
                /// [`x`](crate::l::M)\n#[cfg(test)]\nmod tests {\n    use crate::n::O;\n}\n";
    let expected = ["a::B", "a::c::D", "a::c::E", "g::H", "i::j"];
    let found = paths(text);
    assert_eq!(
        found.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn modules_use_only_what_lies_before_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 30, "the sources were not found");
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&root).unwrap();
        let module = relative.components().next().unwrap();
        let module = module.as_os_str().to_str().unwrap();
        let module = module.trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        for path in paths(&std::fs::read_to_string(&file).unwrap()) {
            let used = path.split("::").next().unwrap();
            let name = path.split("::").nth(1).unwrap_or_default();
            if used == module {
                continue;
            }
            // The root re-exports for users of the crate: inside, a path names the module.
            if used.chars().next().is_some_and(char::is_uppercase) {
                wrong.push(format!("{} uses crate::{path}", relative.display()));
                continue;
            }
            let (from, to) = (layer(&module), layer(used));
            let received = RECEIVED.iter().any(|(user, stage, names)| {
                *user == module && *stage == used && names.contains(&name)
            });
            if !(to < from || (from == 0 && to == 0) || received) {
                wrong.push(format!("{} uses crate::{path}", relative.display()));
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
