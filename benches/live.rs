//! The cost of `Feed::push` in an audio callback, while no transcription reads and all audio goes
//! to the disk.
//!
//! `cargo bench --bench live --no-default-features`
//!
//! The worst case on the clock includes whatever else the machine does; the worst case of the
//! thread's own time is that of `push` alone, and the bench fails if it is a millisecond or more.
//! Faults are pages that a push was the first to touch; the ring is touched when it is made.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use steadyscribe::Time;
use steadyscribe::live::{Feed, Live, LiveOptions};

/// Pushes of one kind.
const PUSHES: usize = 20_000;

/// Most that a push may take of a callback's time.
const PUSH_MAX: Duration = Duration::from_millis(1);

/// Frames that may wait in the ring: half of it.
const WAITING_MAX: usize = 240_000;

/// Audio that may wait to be resampled when the ring counts as empty: 0.1 s.
const LEFT: Time = Time::from_samples(1_600);

/// The format and size of a device's pushes.
struct Device {
    name: &'static str,
    rate_hz: u32,
    channels: usize,
    frames: usize,
}

const fn device(name: &'static str, rate_hz: u32, channels: usize, frames: usize) -> Device {
    Device {
        name,
        rate_hz,
        channels,
        frames,
    }
}

const DEVICES: [Device; 5] = [
    device("16 kHz mono, 20 ms", 16_000, 1, 320),
    device("48 kHz stereo, 10 ms", 48_000, 2, 480),
    device("44.1 kHz stereo, 93 ms", 44_100, 2, 4_096),
    device("192 kHz, 8 channels, 10 ms", 192_000, 8, 1_920),
    device("48 kHz stereo, 1 frame", 48_000, 2, 1),
];

/// Returns the time that this thread has run, where the system reports it.
fn own_time() -> Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap_or_default()
    }
    #[cfg(not(unix))]
    Duration::ZERO
}

/// Counts the pages that this thread was the first to touch, where the system reports it.
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // The fields after the name, which may hold blanks: state, six numbers, flags, then the faults.
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let faults = fields.split(' ').nth(7).and_then(|n| n.parse().ok());
    faults.unwrap_or_default()
}

/// The cost of pushes.
struct Cost {
    /// Of each on the clock, sorted.
    clock: Vec<Duration>,
    /// Of each in this thread's time, sorted.
    own: Vec<Duration>,
    /// Of all together.
    faults: u64,
}

fn run(device: &Device, feed: &mut Feed) -> Cost {
    let samples = vec![0.25; device.frames * device.channels];
    let (mut clock, mut own) = (vec![Duration::MAX; PUSHES], vec![Duration::MAX; PUSHES]);
    let watch = feed.watch();
    let (mut waiting, mut pushed_s) = (0, 0.0);
    faults();
    let faults_before = faults();
    for n in 0..PUSHES {
        if waiting + device.frames > WAITING_MAX {
            // A device gives its audio over time; a push into a full ring would measure nothing.
            while watch.status().pushed + LEFT < Time::from_seconds(pushed_s) {
                std::thread::sleep(Duration::from_millis(5));
            }
            waiting = 0;
        }
        let (own_began, began) = (own_time(), Instant::now());
        let taken = feed.push(&samples, device.rate_hz, device.channels);
        let (took, own_took) = (began.elapsed(), own_time() - own_began);
        assert_eq!(taken, device.frames, "the ring is full");
        waiting += taken;
        pushed_s += taken as f64 / f64::from(device.rate_hz);
        (clock[n], own[n]) = (took, own_took);
    }
    let faults = faults() - faults_before;
    clock.sort();
    own.sort();
    Cost { clock, own, faults }
}

fn main() -> ExitCode {
    println!(
        "{:28} {:>10} {:>10} {:>10} {:>10} {:>8} {:>12}",
        "µs of a push", "median", "99.9 %", "worst", "worst, own", "faults", "spilled, MB"
    );
    let mut worst = Duration::ZERO;
    for device in &DEVICES {
        let (mut feed, live) = Live::start(LiveOptions::default()).unwrap();
        let Cost { clock, own, faults } = run(device, &mut feed);
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "{:28} {:>10.2} {:>10.2} {:>10.1} {:>10.1} {faults:>8} {:>12.1}",
            device.name,
            micros(clock[PUSHES / 2]),
            micros(clock[PUSHES - PUSHES / 1_000]),
            micros(clock[PUSHES - 1]),
            micros(own[PUSHES - 1]),
            live.watch().status().spilled_bytes as f64 / 1e6,
        );
        worst = worst.max(own[PUSHES - 1]);
    }
    if worst < PUSH_MAX {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
