//! The documentation: its commands run, its links lead somewhere, its code is compiled.
//!
//! Each block of code is of a known kind, and what is not run is listed with the reason. Rust
//! blocks are documentation tests (`src/doc_tests.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::program::example;

/// Commands that are not run, by how they start, each with the reason.
const NOT_RUN: [(&str, &str); 5] = [
    (
        "cargo run --release --example ollama_cycle",
        "needs a server: ollama_cycle.rs runs it against a fake one",
    ),
    (
        "cargo run -p steadyscribe-monitor",
        "another package: monitor/tests/it/docs.rs checks the arguments, here the features",
    ),
    ("OLLAMA_CONFORMANCE_URL=", "needs a real Ollama server"),
    (
        "STEADYSCRIBE_AUDIO=",
        "a bench of minutes; its name is checked",
    ),
    (
        "STEADYSCRIBE_REAL_MODEL=",
        "needs a model that is not in the repository",
    ),
];

/// Widest line of prose and code, in characters.
const COLUMNS: usize = 100;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The README and every document, relative to the repository.
fn documents() -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
    let folder = fs::read_dir(root().join("docs")).unwrap();
    paths.extend(folder.map(|entry| Path::new("docs").join(entry.unwrap().file_name())));
    paths.sort();
    paths
}

/// A block of code: its language, and its lines.
struct Block {
    language: String,
    text: String,
}

/// Splits a document into prose and blocks of code.
fn parse(text: &str) -> (String, Vec<Block>) {
    let (mut prose, mut blocks, mut open) = (String::new(), Vec::new(), None::<Block>);
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                let language = language.to_owned();
                open = Some(Block {
                    language,
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, None) => prose += &format!("{line}\n"),
        }
    }
    assert!(open.is_none(), "a block of code is not closed");
    (prose, blocks)
}

/// Commands of a block: lines without their comments, joined where they continue.
fn commands(block: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut open = String::new();
    for line in block.lines() {
        let line = line.split("    #").next().unwrap().trim_end();
        if let Some(more) = line.strip_suffix('\\') {
            open += more;
        } else if line.ends_with('|') {
            open += line;
        } else {
            commands.push(std::mem::take(&mut open) + line);
        }
    }
    let squeeze = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    commands
        .into_iter()
        .map(squeeze)
        .filter(|c| !c.is_empty())
        .collect()
}

/// Commands in the prose: spans of code that start with the name of a tool and have arguments.
fn commands_in_prose(prose: &str) -> Vec<String> {
    let joined = prose.replace('\n', " ");
    let spans = joined.split('`').skip(1).step_by(2);
    let is_command = |span: &&str| {
        ["cargo ", "make ", "STEADYSCRIBE_REAL_MODEL="]
            .iter()
            .any(|tool| span.starts_with(tool))
    };
    spans.filter(is_command).map(str::to_owned).collect()
}

/// Names of all tests of this program.
fn tests() -> &'static str {
    static LIST: OnceLock<String> = OnceLock::new();
    LIST.get_or_init(|| {
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program).arg("--list").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    })
}

/// Checks that what a command of cargo or make names is there.
fn check_names(command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let after = |flag: &str| {
        let at = words.iter().position(|word| *word == flag);
        at.and_then(|at| words.get(at + 1)).copied()
    };
    if let Some(targets) = command.strip_prefix("make ") {
        for target in targets.split_whitespace() {
            let rule = format!("\n{target}:");
            assert!(
                read("Makefile").contains(&rule),
                "{command}: no such target"
            );
        }
        return;
    }
    let package = after("-p").unwrap_or("steadyscribe");
    let folder = match package {
        "steadyscribe" => "",
        "steadyscribe-monitor" => "monitor",
        "steadyscribe-memory-bench" => "benches/memory",
        other => panic!("{command}: no package {other}"),
    };
    let manifest = read(Path::new(folder).join("Cargo.toml"));
    for features in words.windows(2).filter(|pair| pair[0] == "--features") {
        for feature in features[1].split(',') {
            let entry = format!("\n{feature} = [");
            assert!(manifest.contains(&entry), "{command}: no feature {feature}");
        }
    }
    for bench in words.windows(2).filter(|pair| pair[0] == "--bench") {
        let entry = format!("[[bench]]\nname = \"{}\"", bench[1]);
        assert!(
            manifest.contains(&entry),
            "{command}: no bench {}",
            bench[1]
        );
    }
    if let Some(name) = after("--example") {
        let paths = [
            format!("examples/{name}.rs"),
            format!("examples/{name}/main.rs"),
        ];
        assert!(
            paths.iter().any(|path| root().join(path).is_file()),
            "{command}: no example"
        );
    }
    if package == "steadyscribe" && after("--test") == Some("it") {
        let own = words.iter().skip_while(|word| **word != "it").skip(1);
        if let Some(filter) = own
            .take_while(|word| **word != "--")
            .find(|w| !w.starts_with('-'))
        {
            assert!(tests().contains(filter), "{command}: no test {filter}");
        }
    }
}

/// A folder to run commands in, with the fixtures where the documents have them.
fn workplace() -> TempDir {
    let folder = TempDir::new().unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(root().join("fixtures"), folder.path().join("fixtures")).unwrap();
    folder
}

/// Replaces cargo's building and running of an example by the example, which is built already.
fn with_built_examples(command: &str) -> String {
    let start = "cargo run --release --example ";
    let mut pieces = command.split(start);
    let mut result = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let (name, rest) = piece
            .split_once(" -- ")
            .expect("`--` after the example's name");
        let program = example(name);
        result += &format!("'{}' {rest}", program.get_program().to_str().unwrap());
    }
    result
}

/// Runs a command, without a network and with an empty folder of models.
fn run(command: &str, folder: &Path) -> Output {
    Command::new("sh")
        .args(["-c", &with_built_examples(command)])
        .current_dir(folder)
        .env("HF_HUB_OFFLINE", "1")
        .env("STEADYSCRIBE_CACHE", folder.join("models"))
        .output()
        .unwrap()
}

/// Whether a command would download a published model.
fn downloads(command: &str) -> bool {
    let names = command.contains("--model ") && !command.contains("--plan");
    names || command.contains("models fetch ")
}

fn check_command(command: &str, folder: &Path) {
    if let Some((_, reason)) = NOT_RUN.iter().find(|(start, _)| command.starts_with(start)) {
        println!("not run ({reason}): {command}");
        let without_variables = command
            .split_whitespace()
            .skip_while(|word| word.contains('='));
        check_names(&without_variables.collect::<Vec<_>>().join(" "));
    } else if command.starts_with("make ") {
        check_names(command);
    } else if command.starts_with("ffmpeg ") && !has_ffmpeg() {
        println!("not run (no ffmpeg on this machine): {command}");
    } else {
        println!("run: {command}");
        let output = run(command, folder);
        let errors = String::from_utf8_lossy(&output.stderr);
        if downloads(command) {
            // All but the download was right.
            assert_eq!(output.status.code(), Some(4), "{command}: {errors}");
            assert!(errors.contains("HF_HUB_OFFLINE"), "{command}: {errors}");
        } else {
            assert!(output.status.success(), "{command}: {errors}");
        }
    }
}

fn has_ffmpeg() -> bool {
    Command::new("ffmpeg").arg("-version").output().is_ok()
}

#[cfg(unix)]
#[test]
fn every_command_runs() {
    for path in documents() {
        let (_, blocks) = parse(&read(&path));
        let folder = workplace();
        for block in blocks.iter().filter(|block| block.language == "sh") {
            for command in commands(&block.text) {
                check_command(&command, folder.path());
            }
        }
    }
}

#[test]
fn every_command_in_a_sentence_names_what_is_there() {
    for path in documents() {
        for command in commands_in_prose(&parse(&read(&path)).0) {
            let words = command.split_whitespace();
            let words = words.skip_while(|word| word.contains('=') && !word.starts_with('-'));
            check_names(&words.collect::<Vec<_>>().join(" "));
        }
    }
}

#[test]
fn every_block_is_checked_somewhere() {
    let compiled = read("src/doc_tests.rs");
    for path in documents() {
        for block in parse(&read(&path)).1 {
            let is_checked = match &*block.language {
                "sh" => true,
                "rust" | "rust,no_run" => compiled.contains(&format!("\"../{}\"", path.display())),
                // The dependency of the README: the address is that of the manifest.
                "toml" => read("Cargo.toml").contains("github.com/steadyscribe/steadyscribe\""),
                _ => false,
            };
            assert!(
                is_checked,
                "{}: a block of `{}`",
                path.display(),
                block.language
            );
        }
    }
}

/// The anchor that a forge makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    let lower = heading.trim().to_lowercase();
    lower
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

fn anchors(text: &str) -> BTreeSet<String> {
    let (prose, _) = parse(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    for path in documents() {
        let text = read(&path);
        let prose = parse(&text).0.replace('\n', " ");
        for link in prose.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                root().join(&path)
            } else {
                root().join(path.parent().unwrap()).join(file)
            };
            assert!(target.exists(), "{}: {link}", path.display());
            assert!(
                heading.is_empty() || anchors(&read(&target)).contains(heading),
                "{}: no heading for {link}",
                path.display()
            );
        }
    }
}

#[test]
fn every_document_is_listed_in_the_readme() {
    let readme = read("README.md");
    for path in documents() {
        let path = path.to_str().unwrap();
        assert!(
            path == "README.md" || readme.contains(&format!("({path})")),
            "{path}"
        );
    }
}

/// Tables and lines without a space to break at are excepted.
#[test]
fn every_line_fits_the_screen() {
    for path in documents() {
        for (number, line) in read(&path).lines().enumerate() {
            let is_table = line.starts_with('|');
            let fits = line.chars().count() <= COLUMNS || !line.trim().contains(' ');
            assert!(is_table || fits, "{}:{}", path.display(), number + 1);
        }
    }
}
