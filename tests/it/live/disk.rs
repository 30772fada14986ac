//! The spill file: an error where it cannot be created, silence where its disk is full, and no
//! trace of it afterwards.

use std::io::BufRead;
use std::path::Path;
use std::process::{Command, Stdio};

use steadyscribe::live::LiveError;

use super::*;

fn check_refused(options: LiveOptions, is_right: impl Fn(&LiveError) -> bool) {
    let error = Live::start(options).unwrap_err();
    assert!(is_right(&error), "{error:?}");
}

/// The kind of the system's error, where the spill file could not be created.
fn spill_error(error: &LiveError) -> Option<io::ErrorKind> {
    match error {
        LiveError::Spill { source, .. } => Some(source.kind()),
        _ => None,
    }
}

#[test]
fn options_that_cannot_work_are_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut missing = options(1 << 20);
    missing.spill_dir = folder.path().join("missing");
    check_refused(missing.clone(), |error| {
        spill_error(error) == Some(io::ErrorKind::NotFound)
    });
    missing.spill_bytes = 0;
    assert!(Live::start(missing).is_ok(), "no file, no directory");
    for wrong in [1, (1 << 20) - 1, (1 << 40) + 1] {
        check_refused(options(wrong), |error| {
            matches!(error, LiveError::Options(_))
        });
    }
    for window_s in [4.9, 30.1, f32::NAN] {
        let mut wrong = options(0);
        wrong.window_s = window_s;
        check_refused(wrong, |error| matches!(error, LiveError::Options(_)));
    }
    let mut hasty = options(0);
    hasty.pause = Duration::from_millis(299);
    check_refused(hasty, |error| matches!(error, LiveError::Options(_)));
}

/// The limit of the file may be larger than its disk, which another program may fill or empty
/// later.
#[test]
fn a_limit_beyond_the_disk_starts_at_once() {
    let (feed, live) = Live::start(options(1 << 40)).unwrap();
    drop((feed, live));
}

/// A disk of two megabytes, where the user of the tests may mount one.
#[cfg(target_os = "linux")]
struct SmallDisk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let run = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder.path())
            .output();
        let is_mounted = run.is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("skipped: no file system can be mounted");
        }
        is_mounted.then_some(Self(folder))
    }

    fn start(&self, spill_bytes: u64) -> Result<(Feed, Live), LiveError> {
        let mut options = options(spill_bytes);
        options.spill_dir = self.0.path().to_path_buf();
        Live::start(options)
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: after a failed test, a file may still be open.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_without_room_for_the_first_megabyte_is_an_error_at_the_start() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let _both = [disk.start(8 << 20).unwrap(), disk.start(8 << 20).unwrap()];
    let error = disk.start(8 << 20).unwrap_err();
    assert_eq!(spill_error(&error), Some(io::ErrorKind::StorageFull));
}

/// Nobody transcribes for two minutes, of which 69 s fit in memory and 33 s on the disk.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_drops_audio_until_it_has_room() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let (mut feed, live) = disk.start(8 << 20).unwrap();
    let watch = live.watch();
    push_ramp(&mut feed, 0, 120 * 16_000);
    wait(&watch, "the pump", |s| s.pushed.samples() == 120 * 16_000);
    let full = watch.status();
    let kept = MEMORY_SAMPLES + (2 << 20) / 4;
    assert_eq!(full.spilled_bytes, 2 << 20);
    assert_eq!(full.dropped.samples(), 120 * 16_000 - kept);
    let (engine, transcribed) = keeps();
    let running = Running::start(everything(), engine, live);
    wait(&watch, "the engine", |s| s.committed.seconds() >= 90.0);
    push_ramp(&mut feed, 120 * 16_000, 10 * 16_000);
    assert_eq!(feed.finish(PATIENCE).lag(), Time::ZERO);
    assert_eq!(running.end().1.unwrap().audio_s, 130.0);
    assert_eq!(watch.status().dropped, full.dropped);
    let silent = kept..120 * 16_000;
    let expected = |at| if silent.contains(&at) { 0.0 } else { ramp(at) };
    let expected: Vec<f32> = (0..130 * 16_000).map(expected).collect();
    assert!(*transcribed.lock().unwrap() == expected);
}

/// Counts the files in a folder that a process has open and that have no name any more.
#[cfg(target_os = "linux")]
fn nameless(process: &str, folder: &Path) -> usize {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    targets
        .filter(|target| {
            target.starts_with(folder) && target.to_string_lossy().ends_with("(deleted)")
        })
        .count()
}

const FOLDER: &str = "STEADYSCRIBE_TEST_FOLDER";

#[test]
#[ignore = "its own process: see no_file_is_left_by_an_end_or_a_crash"]
fn spills_until_it_is_killed() {
    let mut options = options(4 << 20);
    options.spill_dir = std::env::var_os(FOLDER).unwrap().into();
    let (mut feed, live) = Live::start(options).unwrap();
    push_ramp(&mut feed, 0, 120 * 16_000);
    wait(&live.watch(), "the file", |status| {
        status.spilled_bytes > 1 << 20
    });
    println!("spills");
    thread::sleep(PATIENCE);
}

#[cfg(target_os = "linux")]
#[test]
fn no_file_is_left_by_an_end_or_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let is_empty = || std::fs::read_dir(folder.path()).unwrap().next().is_none();
    let mut here = options(1 << 20);
    here.spill_dir = folder.path().to_path_buf();
    let (feed, live) = Live::start(here).unwrap();
    assert_eq!((nameless("self", folder.path()), is_empty()), (1, true));
    drop((feed, live));
    assert_eq!((nameless("self", folder.path()), is_empty()), (0, true));

    let mut child = child("disk::spills_until_it_is_killed")
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = io::BufReader::new(child.stdout.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap().ends_with("spills")));
    assert_eq!(nameless(&child.id().to_string(), folder.path()), 1);
    assert!(is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_empty());
}
