//! What `Feed::push` costs an audio callback, while nobody transcribes and all of it goes to the disk.
//!
//! `cargo bench --bench live --no-default-features`
//!
//! The worst case on the clock holds whatever else the machine does; the worst case of the thread's own time is what `push`
//! does. It ends with an error where that is a millisecond or more.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]
#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use steadyscribe::live::{Feed, Live, LiveOptions};

/// Pushes of one kind.
const PUSHES: usize = 20_000;

/// Most that a push may take of a callback's time.
const PUSH_MAX: Duration = Duration::from_millis(1);

/// Frames that may be on the way to the mover: half of the ring.
const ON_THE_WAY_MAX: usize = 240_000;

/// How a device calls back.
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

/// Time that this thread has run, where the system tells.
fn own_time() -> Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap_or_default()
    }
    #[cfg(not(unix))]
    Duration::ZERO
}

/// Pushes, and returns how long each took on the clock and of this thread's time.
fn run(device: &Device, feed: &mut Feed) -> (Vec<Duration>, Vec<Duration>) {
    let samples = vec![0.25; device.frames * device.channels];
    let (mut clock, mut own) = (Vec::with_capacity(PUSHES), Vec::with_capacity(PUSHES));
    let mut on_the_way = 0;
    for _ in 0..PUSHES {
        if on_the_way + device.frames > ON_THE_WAY_MAX {
            // A device gives its audio over time.
            std::thread::sleep(Duration::from_millis(25));
            on_the_way = 0;
        }
        let (own_began, began) = (own_time(), Instant::now());
        let taken = feed.push(&samples, device.rate_hz, device.channels);
        let (took, own_took) = (began.elapsed(), own_time() - own_began);
        on_the_way += taken;
        clock.push(took);
        own.push(own_took);
    }
    clock.sort();
    own.sort();
    (clock, own)
}

fn main() -> ExitCode {
    println!(
        "{:28} {:>10} {:>10} {:>10} {:>10} {:>12}",
        "µs of a push", "median", "99.9 %", "worst", "worst, own", "spilled, MB"
    );
    let mut worst = Duration::ZERO;
    for device in &DEVICES {
        let (mut feed, live) = Live::start(LiveOptions::default()).unwrap();
        let (clock, own) = run(device, &mut feed);
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "{:28} {:>10.2} {:>10.2} {:>10.1} {:>10.1} {:>12.1}",
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
