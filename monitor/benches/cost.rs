//! The monitor's own cost beside 300 processes: `cargo bench -p steadyscribe-monitor
//! --bench cost`.
//!
//! Bounds: 10 MB of private memory, 0.5 % of one core at one sample in 5 s, 10 ms of processor time
//! for a sample. It fails above them.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints and fails"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use steadyscribe_monitor::Component;
use steadyscribe_monitor::monitor::{Monitor, Options};
use steadyscribe_monitor::reader::{System, own};

const PROCESSES: usize = 300;
const TICKS: u32 = 200;
const PRIVATE_BYTES_MAX: u64 = 10_000_000;
const CORE_PERCENT_MAX: f64 = 0.5;
const TICK_MS_MAX: f64 = 10.0;
const INTERVAL: Duration = Duration::from_secs(5);

/// Processes that do nothing, ended with the bench. Their parent has ended, so that they are not
/// the app's by descent.
struct Crowd(Vec<u32>);

impl Crowd {
    fn gather() -> Self {
        let mut entries = Vec::new();
        System::host().processes(&mut entries).unwrap();
        let missing = PROCESSES.saturating_sub(entries.len());
        let script =
            format!("for n in $(seq {missing}); do sleep 600 >/dev/null 2>&1 & echo $!; done");
        let started = Command::new("sh").args(["-c", &script]).output().unwrap();
        let numbers = String::from_utf8(started.stdout).unwrap();
        Self(numbers.lines().map(|pid| pid.parse().unwrap()).collect())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let pids = self.0.iter().map(u32::to_string);
        let ended = Command::new("kill").args(pids).status();
        assert!(ended.unwrap().success());
    }
}

fn main() {
    let crowd = Crowd::gather();
    let before = own().unwrap().private_bytes;
    let monitor = Monitor::new(Options::default()).unwrap();
    // Ten of them are the app's, as in a real one.
    let system = System::host();
    for pid in crowd.0.iter().take(10) {
        let id = system.identify(*pid).unwrap();
        monitor.hand_over(id, Component::Frontend).unwrap();
    }
    // The first sample also looks for the owners of ports.
    let first = Instant::now();
    monitor.tick();
    let first_ms = first.elapsed().as_secs_f64() * 1e3;
    let cpu = cpu_s();
    let mut ticks_ms: Vec<f64> = (0..TICKS)
        .map(|_| {
            let started = Instant::now();
            monitor.tick();
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let tick_cpu_s = (cpu_s() - cpu) / f64::from(TICKS);
    ticks_ms.sort_unstable_by(f64::total_cmp);
    let median_ms = ticks_ms[ticks_ms.len() / 2];
    let late_ms = ticks_ms[ticks_ms.len() * 95 / 100];
    let core_percent = tick_cpu_s / INTERVAL.as_secs_f64() * 100.0;
    let private_bytes = own().unwrap().private_bytes;
    let parts = monitor.with(|tracker| tracker.last().parts.clone());
    let members: u32 = parts.iter().map(|part| part.processes).sum();
    assert_eq!(members, 11, "ten and this one");
    let mut entries = Vec::new();
    system.processes(&mut entries).unwrap();
    println!("processes on the machine   {}", entries.len());
    println!("first sample, with ports   {first_ms:.1} ms");
    println!("sample                     {median_ms:.2} ms, 95 % below {late_ms:.2} ms");
    println!("one core at 5 s            {core_percent:.3} %");
    println!(
        "private memory             {:.2} MB, of which the monitor {:.2} MB",
        mb(private_bytes),
        mb(private_bytes - before)
    );
    // Of processor time: what else runs on the machine stretches the other.
    let tick_ms = tick_cpu_s * 1e3;
    println!("processor time of a sample {tick_ms:.2} ms");
    assert!(
        tick_ms <= TICK_MS_MAX,
        "a sample takes {tick_ms:.2} ms, more than {TICK_MS_MAX}"
    );
    assert!(
        core_percent <= CORE_PERCENT_MAX,
        "{core_percent:.3} % of a core"
    );
    assert!(
        private_bytes <= PRIVATE_BYTES_MAX,
        "{private_bytes} private bytes"
    );
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Processor time of this process in seconds, where the system reports it.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .filter_map(|field| field.parse().ok())
        .collect();
    // After the state: user and system time are the 11th and 12th numbers, in hundredths of a
    // second.
    fields
        .get(10..12)
        .map_or(0.0, |times| times.iter().sum::<f64>() / 100.0)
}
