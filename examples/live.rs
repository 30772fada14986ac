//! Plays a file into a feed as a microphone would, and prints the text as it comes.
//!
//! `cargo run --release --example live -- fixtures/standup.opus --speed 4`
//!
//! An application calls `Feed::push` in the callback of the audio device. With a `--speed` that the
//! model cannot follow, the lag grows, the backlog goes to the disk, and all of it is transcribed
//! in the end.

#![allow(clippy::print_stderr, reason = "a program on a terminal")]

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use steadyscribe::decode::Decoder;
use steadyscribe::live::{Feed, Live, LiveOptions, Status, Watch};
use steadyscribe::sink::Sink;
use steadyscribe::{
    Config, FileSource, Segment, Time, Transcriber, Whisper, WhisperOptions, memory,
};

/// A model of 360 words of synthetic speech.
const FIXTURE_MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);

/// Longest wait for the rest of the text after the file was played.
const DEADLINE: Duration = Duration::from_secs(3_600);

/// Plays a file into a live input, as a microphone would
#[derive(Parser)]
struct Args {
    /// The recording to play
    file: PathBuf,
    /// How many times faster than real time it is played
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Whisper model in ggml format
    #[arg(short, long, default_value = FIXTURE_MODEL)]
    model: PathBuf,
    /// Seconds of a pause after which the speech before it is transcribed
    #[arg(long, default_value_t = 1.0)]
    pause: f64,
    /// Seconds of speech without a pause after which it is transcribed
    #[arg(long, default_value_t = 12.0)]
    window_seconds: f32,
    /// Directory of the spill file, on a disk
    #[arg(long)]
    spill_dir: Option<PathBuf>,
    /// Limit of the spill file in megabytes; 0 for no file
    #[arg(long, default_value_t = 461)]
    spill_megabytes: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if !(args.speed > 0.0 && args.speed.is_finite()) {
        return Err("--speed must be above 0".into());
    }
    memory::return_large_blocks();
    let mut options = LiveOptions::default();
    options.pause = Duration::try_from_secs_f64(args.pause)?;
    options.window_s = args.window_seconds;
    options.spill_bytes = args.spill_megabytes.saturating_mul(1_000_000);
    options.spill_dir = args.spill_dir.clone().unwrap_or(options.spill_dir);
    let decoder = Decoder::open(&mut FileSource::open(&args.file)?)?;
    let engine = Whisper::open(&args.model, WhisperOptions::default())?;
    let mut scribe = Transcriber::new(Config::default(), engine)?;
    scribe.warm_up()?;

    // Ctrl-C ends the input; what was played by then is still transcribed. A second one cancels
    // that.
    let stopped = Arc::new(AtomicBool::new(false));
    let (stop, cancel) = (Arc::clone(&stopped), scribe.cancel());
    ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            cancel.cancel();
        }
    })?;

    let (feed, mut live) = Live::start(options)?;
    let mut lines = Lines {
        watch: live.watch(),
        longest: Time::ZERO,
    };
    let (summary, played) = thread::scope(|scope| {
        let player = scope.spawn(|| play(decoder, feed, args.speed, &stopped));
        let summary = scribe.transcribe_live(&mut live, &mut lines);
        // If the transcription ended early, nothing would read the rest.
        stopped.store(true, Ordering::Relaxed);
        (summary, player.join())
    });
    let left = played.map_err(|_| "the player panicked")??;
    let summary = summary?;
    eprintln!(
        "{} segments, at most {:.1} s after they were said; {}; RTF {:.2}",
        summary.segments,
        lines.longest.seconds(),
        describe(left),
        summary.rtf,
    );
    for span in summary.damage {
        eprintln!("  dropped: {} to {}", span.start, span.end);
    }
    Ok(())
}

/// Pushes a packet whenever it is due, and then waits for what is left.
fn play(
    mut decoder: Decoder,
    mut feed: Feed,
    speed: f64,
    stopped: &AtomicBool,
) -> Result<Status, steadyscribe::Error> {
    let started = Instant::now();
    let mut played_s = 0.0;
    while !stopped.load(Ordering::Relaxed) {
        let Some(chunk) = decoder.next()? else { break };
        let frames = feed.push(chunk.samples, chunk.format.rate_hz, chunk.format.channels);
        played_s += frames as f64 / f64::from(chunk.format.rate_hz);
        let due = Duration::from_secs_f64(played_s / speed);
        thread::sleep(due.saturating_sub(started.elapsed()));
    }
    Ok(feed.finish(DEADLINE))
}

/// Prints each segment, and how far behind it is.
struct Lines {
    watch: Watch,
    /// The most audio that was pushed between the end of a segment and its coming.
    longest: Time,
}

impl Sink for Lines {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        let status = self.watch.status();
        let delay = status.pushed - segment.end;
        self.longest = self.longest.max(delay);
        let Segment {
            start, end, text, ..
        } = segment;
        let mut out = io::stdout().lock();
        writeln!(out, "[{start} to {end}] {text}")?;
        out.flush()?;
        writeln!(
            io::stderr(),
            "    {:.1} s after it was said; {}",
            delay.seconds(),
            describe(status)
        )?;
        Ok(true)
    }
}

fn describe(status: Status) -> String {
    format!(
        "lag {:.1} s, {:.1} MB on disk, {:.1} s dropped",
        status.lag().seconds(),
        status.spilled_bytes as f64 / 1e6,
        status.dropped.seconds(),
    )
}
