//! Runner processes that really run, allocate and map.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use super::process::Processes;

/// Returns the full name of a helper's test, in any test program that includes both modules.
pub fn test_path(test: &str) -> String {
    let modules = module_path!().split("::").skip(1);
    let mut modules: Vec<&str> = modules.collect();
    modules.truncate(modules.len() - 2); // `fake::real`
    modules.extend(["helper", test]);
    modules.join("::")
}

/// Processes that run this test program under the name of the server's runner.
#[derive(Debug)]
pub struct Real {
    folder: PathBuf,
    children: Mutex<BTreeMap<u32, Child>>,
}

impl Real {
    pub fn new(folder: &Path) -> Self {
        let program = folder.join("llama-server");
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), program).unwrap();
        Self {
            folder: folder.to_owned(),
            children: Mutex::default(),
        }
    }

    pub fn command(&self, blob: &str, private_bytes: u64, mapped: bool) -> Command {
        let mut command = Command::new(self.folder.join("llama-server"));
        // The test runner takes the arguments after `--` for filters that match nothing. The probe
        // recognizes the process by them.
        command
            .args([
                "--exact",
                &test_path("holds_memory"),
                "--ignored",
                "--nocapture",
                "--",
                "--model",
                blob,
            ])
            .env("HELPER_PRIVATE_BYTES", private_bytes.to_string())
            .env("HELPER_MAPPED", if mapped { blob } else { "" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// Starts a child of a child, which is an orphan once its parent has ended. It ends when the
    /// standard input of the returned parent is closed.
    pub fn start_orphan(&self, blob: &str, private_bytes: u64) -> (Child, u32) {
        let mut command = self.command(blob, private_bytes, false);
        command.env("HELPER_ORPHAN", "1");
        let mut child = command.spawn().unwrap();
        let pid = wait_for(&mut child, "ORPHAN ").trim().parse().unwrap();
        (child, pid)
    }
}

/// Reads a helper's output until `word`, and returns the rest of that line. The output stays open,
/// because a helper that wrote into a closed pipe would end.
pub fn wait_for(child: &mut Child, word: &str) -> String {
    let mut reader = BufReader::new(child.stdout.as_mut().unwrap().by_ref());
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert!(
            reader.read_line(&mut line).unwrap() > 0,
            "helper ended before {word}"
        );
    }
    line.split(word).nth(1).unwrap().to_owned()
}

impl Processes for Real {
    fn start(&self, blob: &str, private_bytes: u64, mapped: bool) -> u32 {
        let mut child = self.command(blob, private_bytes, mapped).spawn().unwrap();
        wait_for(&mut child, "READY");
        let pid = child.id();
        self.children.lock().unwrap().insert(pid, child);
        pid
    }

    fn end(&self, pid: u32) {
        if let Some(mut child) = self.children.lock().unwrap().remove(&pid) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn grow(&self, pid: u32, bytes: u64) {
        let mut children = self.children.lock().unwrap();
        let child = children.get_mut(&pid).unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{bytes}").unwrap();
        wait_for(child, "GREW");
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for child in self.children.get_mut().unwrap().values_mut() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
