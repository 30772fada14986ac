//! Modules import one way: no two files of the library depend on each other, on whatever path, and
//! a module uses only the modules before it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The modules of the library in order; a module may use the modules before its own.
const ORDER: [&str; 23] = [
    "component",
    "reading",
    "exclusive",
    "reader",
    "gauge",
    "membership",
    "model",
    "sample",
    "sampler",
    "series",
    "capacity",
    "trend",
    "leak",
    "pressure",
    "alert",
    "tracker",
    "report",
    "history",
    "monitor",
    "ollama",
    "ollama_models",
    "server",
    "lib",
];

/// A module's place in the crate: `["alert", "channel"]`.
type Module = Vec<String>;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

fn module(file: &Path) -> Module {
    let mut module: Module = file
        .with_extension("")
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// The code of a file without comments and without the tests at its end.
fn code(text: &str) -> String {
    let code = text.split("mod tests {").next().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    code.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// The leaves of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn leaves(tree: &str, prefix: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((stem, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap().trim();
        found.push(format!("{prefix}{path}"));
        return;
    };
    let prefix = format!("{prefix}{}", stem.trim());
    let inside = rest.rsplit_once('}').unwrap().0;
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in inside.char_indices().chain([(inside.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inside[start..at].trim().is_empty() {
                    leaves(&inside[start..at], &prefix, found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Every path that a file names: in `use` lines, and inside code where it starts at `crate` or
/// `super`.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        // `use`, `pub use`, `pub(crate) use`.
        let Some((before, tree)) = line.split_once("use ") else {
            continue;
        };
        if !matches!(
            before.trim_start(),
            "" | "pub " | "pub(crate) " | "pub(super) "
        ) {
            continue;
        }
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree += lines.next().unwrap();
        }
        leaves(tree.split(';').next().unwrap(), "", &mut found);
    }
    let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let path: String = code[at..].chars().take_while(|c| is_path(*c)).collect();
            let before = &code[..at];
            // A visibility such as `pub(in crate::a)` imports nothing, and a path that ends here is
            // the stem of a use tree.
            if !before.ends_with(is_path) && !before.ends_with("(in ") && !path.ends_with("::") {
                found.push(path);
            }
        }
    }
    found
}

/// The module that a path of `from` leads to.
fn target(path: &str, from: &Module, modules: &BTreeSet<Module>) -> Option<Module> {
    let mut at = from.clone();
    let mut segments = path.split("::").map(str::trim).peekable();
    match segments.peek()? {
        &"crate" => at = vec!["lib".to_owned()],
        &"super" | &"self" => {}
        // A child of this module, or another crate.
        child => {
            at.push((*child).to_owned());
            return modules.contains(&at).then_some(at);
        }
    }
    for segment in segments {
        match segment {
            "crate" | "self" => {}
            "super" => _ = at.pop(),
            name => {
                let mut deeper = at.clone();
                deeper.retain(|part| part != "lib");
                deeper.push(name.to_owned());
                if !modules.contains(&deeper) {
                    break;
                }
                at = deeper;
            }
        }
    }
    if at.is_empty() {
        at.push("lib".to_owned());
    }
    Some(at)
}

/// What each module imports.
fn imports() -> BTreeMap<Module, BTreeSet<Module>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    // The command is a program of its own, which uses the library from outside.
    files.retain(|file| !file.starts_with(root.join("cli")) && !file.ends_with("main.rs"));
    let of = |file: &PathBuf| module(file.strip_prefix(&root).unwrap());
    let modules: BTreeSet<Module> = files.iter().map(of).collect();
    files
        .iter()
        .map(|file| {
            let from = of(file);
            let code = code(&std::fs::read_to_string(file).unwrap());
            let targets = paths(&code)
                .iter()
                .filter_map(|path| target(path, &from, &modules))
                .filter(|to| *to != from)
                .collect();
            (from, targets)
        })
        .collect()
}

/// A way from a module back to itself.
fn circle(
    at: &Module,
    imports: &BTreeMap<Module, BTreeSet<Module>>,
    way: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<Module>> {
    if let Some(start) = way.iter().position(|module| module == at) {
        return Some(way[start..].to_vec());
    }
    if !done.insert(at.clone()) {
        return None;
    }
    way.push(at.clone());
    let next = imports.get(at).into_iter().flatten();
    let found = next
        .into_iter()
        .find_map(|to| circle(to, imports, way, done));
    way.pop();
    found
}

#[test]
fn no_circle() {
    let imports = imports();
    assert!(imports.len() > 50, "the sources are found");
    let mut done = BTreeSet::new();
    for module in imports.keys() {
        let found = circle(module, &imports, &mut Vec::new(), &mut done);
        assert_eq!(found, None, "a circle of imports");
    }
}

#[test]
fn modules_use_only_those_before_them() {
    let place = |module: &Module| {
        let found = ORDER.iter().position(|name| *name == module[0]);
        found.unwrap_or_else(|| panic!("{} has no place in the order", module[0]))
    };
    for (from, targets) in imports() {
        for to in targets {
            assert!(place(&to) <= place(&from), "{from:?} uses {to:?}");
        }
    }
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let text = "use crate::a::{b, c::{D, E as F}};\nuse super::g;\nfn f() { crate::h::i(); }";
    let found: BTreeSet<String> = paths(text).into_iter().collect();
    for path in [
        "crate::a::b",
        "crate::a::c::D",
        "crate::a::c::E",
        "super::g",
        "crate::h::i",
    ] {
        assert!(found.contains(path), "{path} in {found:?}");
    }
}
