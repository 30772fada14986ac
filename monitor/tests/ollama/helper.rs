//! The process that stands for a runner. It really allocates and maps memory.

#![allow(
    clippy::print_stdout,
    reason = "the helper reports its progress to its parent"
)]

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use steadyscribe_monitor::ollama::Host;

use super::fake::clock::Clock;
use super::fake::model::Model;
use super::fake::real::Real;
use super::fake::{Fake, Setup};

/// Not a test: the body of a helper process, which ends with its input.
#[test]
#[ignore = "the body of a helper process"]
fn holds_memory() {
    let Ok(bytes) = std::env::var("HELPER_PRIVATE_BYTES") else {
        return;
    };
    if std::env::var("HELPER_ORPHAN").is_ok() {
        return leave_an_orphan();
    }
    let mut held = vec![touched(bytes.parse().unwrap())];
    let path = std::env::var("HELPER_MAPPED").unwrap();
    let map = (!path.is_empty()).then(|| {
        let file = std::fs::File::open(path).unwrap();
        #[expect(unsafe_code, reason = "mapping is what this helper is for")]
        // SAFETY: the file was written before the helper started, and no one changes it meanwhile.
        let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        let sum: u64 = map.iter().step_by(4096).map(|byte| u64::from(*byte)).sum();
        std::hint::black_box(sum);
        map
    });
    println!("READY");
    for line in std::io::stdin().lock().lines() {
        held.push(touched(line.unwrap().parse().unwrap()));
        println!("GREW");
    }
    std::hint::black_box((held, map));
}

/// Not a test: the body of a process that stands for `ollama serve`, until it is killed.
#[test]
#[ignore = "the body of a helper process"]
fn serves() {
    let Ok(blob) = std::env::var("HELPER_SERVES") else {
        return;
    };
    let blob = std::path::PathBuf::from(blob);
    let mut model = Model::small("m:1b", 16 << 20);
    model.blob = blob.to_str().unwrap().to_owned();
    let host: Host = std::env::var("OLLAMA_HOST").unwrap().parse().unwrap();
    let processes = Arc::new(Real::new(blob.parent().unwrap()));
    let setup = Setup::of([model]);
    let _fake = Fake::start_at(host.port(), setup, Clock::default(), processes);
    // Longer than any test. It only bounds the life of the process if the test dies.
    std::thread::sleep(Duration::from_secs(60));
}

/// Returns memory whose pages have all been written.
fn touched(bytes: usize) -> Vec<u8> {
    let mut memory = vec![0u8; bytes];
    for byte in memory.iter_mut().step_by(4096) {
        *byte = 1;
    }
    memory
}

/// Starts a helper that inherits the input, and returns before that helper ends.
fn leave_an_orphan() {
    let mut command = Command::new(std::env::args().next().unwrap());
    command
        .args(std::env::args().skip(1))
        .env_remove("HELPER_ORPHAN")
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    super::fake::real::wait_for(&mut child, "READY");
    println!("ORPHAN {}", child.id());
}
