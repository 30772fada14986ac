//! The spill file: an error where there is no room, and nothing left of it.

use std::io::BufRead;
use std::path::Path;
use std::process::{Command, Stdio};

use steadyscribe::live::LiveError;

use super::*;

fn check_refused(options: LiveOptions, is_right: impl Fn(&LiveError) -> bool) {
    let error = Live::start(options).unwrap_err();
    assert!(is_right(&error), "{error:?}");
}

#[test]
fn a_disk_without_room_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut missing = options(1 << 20);
    missing.spill_dir = folder.path().join("missing");
    check_refused(
        missing.clone(),
        |error| matches!(error, LiveError::Spill { source, .. } if source.kind() == io::ErrorKind::NotFound),
    );
    missing.spill_bytes = 0;
    assert!(Live::start(missing).is_ok(), "no file, no directory");
    check_refused(
        options(1 << 40),
        |error| matches!(error, LiveError::NoSpace { bytes, free_bytes, .. } if bytes > free_bytes),
    );
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

/// A disk of two megabytes, where the user of the tests may make one.
#[cfg(target_os = "linux")]
#[test]
fn a_small_disk_holds_what_fits_it() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let run = Command::new("mount").args(arguments).output();
        run.is_ok_and(|output| output.status.success())
    };
    let path = folder.path().to_str().unwrap();
    if !mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs", path]) {
        println!("skipped: no file system can be mounted");
        return;
    }
    let on_it = |bytes| {
        let mut options = options(bytes);
        options.spill_dir = folder.path().to_path_buf();
        Live::start(options)
    };
    let refused = on_it(3 << 20);
    let fits = on_it(1 << 20);
    let second = on_it(2 << 20);
    let is_full = |error: &LiveError| matches!(error, LiveError::NoSpace { .. });
    let found = (
        refused.is_err_and(|e| is_full(&e)),
        fits.is_ok(),
        second.is_err_and(|e| is_full(&e)),
    );
    drop(fits);
    let unmounted = Command::new("umount").arg(path).status();
    assert!(unmounted.unwrap().success());
    assert_eq!(found, (true, true, true));
}

/// Files in a folder that this process has open, and that have no name any more.
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
#[ignore = "a process of its own: see no_file_is_left_by_an_end_or_a_crash"]
fn spills_until_it_is_killed() {
    let mut options = options(4 << 20);
    options.spill_dir = std::env::var_os(FOLDER).unwrap().into();
    let (mut feed, live) = Live::start(options).unwrap();
    push_ramp(&mut feed, 0, 60 * 16_000);
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
