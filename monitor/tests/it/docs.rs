//! The commands of this program in the documentation: each names commands and options that exist.

use std::path::Path;
use std::process::Command;

/// Documents that show commands of this program, relative to this crate.
const DOCUMENTS: [&str; 3] = ["README.md", "../docs/monitor.md", "../docs/ollama.md"];

/// How a command of this program starts in a document, up to its arguments.
const START: &str = "cargo run -p steadyscribe-monitor --features ";

/// Lines and spans of code with a command of this program.
fn commands(text: &str) -> Vec<String> {
    let lines = text.lines().flat_map(|line| line.split('`'));
    let commands = lines.filter_map(|code| code.trim().strip_prefix(START));
    commands
        .map(|code| code.split_once(" -- ").unwrap().1.to_owned())
        .collect()
}

/// `--help` behind the arguments checks all of them and runs nothing.
#[test]
fn every_command_in_the_documentation_exists() {
    let mut checked = 0;
    for document in DOCUMENTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        for command in commands(&std::fs::read_to_string(path).unwrap()) {
            let command = command.replace("$$", "1").replace("PID", "1");
            let output = Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
                .args(command.split_whitespace())
                .arg("--help")
                .output()
                .unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}: {command}: {errors}");
            checked += 1;
        }
    }
    assert!(checked > 0, "no command was found");
}
