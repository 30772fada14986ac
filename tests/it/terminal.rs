//! The progress bar on a terminal.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use steadyscribe::FileSource;
use steadyscribe::decode::Decoder;
use tempfile::TempDir;

use crate::program::{FIRST_LINE, fixture, program};
use crate::support::files::Wave;

/// Opens a new terminal of 120 columns, and returns both ends.
#[expect(unsafe_code, reason = "the standard library opens no terminals")]
fn open_terminal() -> (File, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let size = libc::winsize {
        ws_row: 40,
        ws_col: 120,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the pointers are to variables that live longer than the call, or null where that
    // means nothing is asked for.
    let opened = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            std::ptr::null_mut(),
            std::ptr::null(),
            &raw const size,
        )
    };
    assert_eq!(opened, 0, "{}", io::Error::last_os_error());
    // SAFETY: both descriptors have just been opened, and nobody else has them.
    unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

/// Runs the program with its standard error on a terminal, and its text too if `text_too`. Returns
/// what the terminal was sent.
fn shown(words: &str, input: &Path, text_too: bool) -> String {
    let (mut master, slave) = open_terminal();
    let mut command: Command = program();
    command
        .args(words.split_whitespace())
        .arg(input)
        .env("TERM", "xterm-256color");
    let text = if text_too {
        slave.try_clone().unwrap().into()
    } else {
        Stdio::null()
    };
    command.stdout(text).stderr(slave);
    let mut child = command.spawn().unwrap();
    // Our copies of the other end, without which reading would not end.
    drop(command);
    let mut sent = Vec::new();
    let mut buffer = [0; 4_096];
    // The end of the other side is an error here.
    while let Ok(read @ 1..) = master.read(&mut buffer) {
        sent.extend_from_slice(&buffer[..read]);
    }
    let sent = String::from_utf8(sent).unwrap();
    // An input that is shorter than its header says is damaged.
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 6)), "{sent}");
    sent
}

/// The percentages that were shown, in order.
fn percentages(shown: &str) -> Vec<u32> {
    let before = shown.split('%').filter(|part| part.len() < shown.len());
    let digits = |part: &str| {
        part.rsplit(|c: char| !c.is_ascii_digit())
            .next()
            .map(str::to_owned)
    };
    before
        .filter_map(digits)
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// A minute of speech as a wave file whose header says that it has `times` as much.
fn speech(folder: &TempDir, times: u32) -> PathBuf {
    let mut source = FileSource::open(fixture("standup.opus")).unwrap();
    let mut decoder = Decoder::open(&mut source).unwrap();
    let (mut mono, mut rate_hz) = (Vec::new(), 0);
    while let Some(chunk) = decoder.next().unwrap() {
        rate_hz = chunk.format.rate_hz;
        mono.extend(chunk.samples.iter().step_by(chunk.format.channels));
    }
    let wave = Wave::mono(rate_hz);
    let data = wave.data(&mono);
    let path = folder.path().join("speech.wav");
    let mut file = File::create(&path).unwrap();
    file.write_all(&wave.riff_header(data.len() as u32 * times))
        .unwrap();
    file.write_all(&data).unwrap();
    path
}

#[test]
fn the_bar_shows_position_speed_time_left_and_memory() {
    let shown = shown("", &fixture("standup.opus"), true);
    for part in ["x real time", " left", " MB", "%"] {
        assert!(shown.contains(part), "{part}: {shown:?}");
    }
    let percentages = percentages(&shown);
    assert!(
        percentages.iter().all(|percent| *percent <= 100),
        "{percentages:?}"
    );
    // The text is not written into the bar, nor the bar into the text.
    let line = shown
        .split(['\r', '\n'])
        .find(|line| line.contains(FIRST_LINE));
    let behind = line.unwrap().rsplit("\u{1b}[").next().unwrap();
    assert!(behind.ends_with(FIRST_LINE), "{line:?}");
    // At the end it is gone.
    let last = shown.trim_end().rsplit(['\r', '\n']).next().unwrap();
    assert!(
        last.contains("x real time") && !last.contains('%'),
        "{last:?}"
    );
}

#[test]
fn a_header_that_lies_does_not_mislead_the_bar() {
    let folder = TempDir::new().unwrap();
    let shown = shown("--output - --format json", &speech(&folder, 100), false);
    let percentages = percentages(&shown);
    assert!(
        percentages.iter().any(|percent| *percent >= 30),
        "{percentages:?}"
    );
}

#[test]
fn an_input_of_unknown_length_has_no_end_to_show() {
    let folder = TempDir::new().unwrap();
    let (speech, pipe) = (speech(&folder, 1), folder.path().join("pipe"));
    let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
    make_pipe(&name);
    let to = pipe.clone();
    let writer = std::thread::spawn(move || {
        let mut from = File::open(speech).unwrap();
        io::copy(
            &mut from,
            &mut File::options().write(true).open(to).unwrap(),
        )
    });
    let shown = shown("", &pipe, false);
    writer.join().unwrap().unwrap();
    assert!(
        shown.contains("x real time") && shown.contains(" MB"),
        "{shown:?}"
    );
    assert!(
        !shown.contains('%') && !shown.contains(" left"),
        "{shown:?}"
    );
}

#[expect(unsafe_code, reason = "the standard library makes no named pipes")]
fn make_pipe(path: &CStr) {
    // SAFETY: the path ends with a zero and lives longer than the call.
    let made = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
    assert_eq!(made, 0, "{}", io::Error::last_os_error());
}

#[test]
fn quiet_and_verbose_show_no_bar() {
    for words in ["--quiet --duration 10", "--verbose --duration 10"] {
        let shown = shown(words, &fixture("standup.opus"), false);
        assert!(
            !shown.contains(" left") && !shown.contains("\u{1b}[2K"),
            "{shown:?}"
        );
    }
}
