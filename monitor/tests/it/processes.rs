//! Real processes of ours, which allocate, map, fork, start others, lose their parents and end on
//! command.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use steadyscribe_monitor::membership::{Membership, Rules};
use steadyscribe_monitor::reader::{ProcessId, System};
use steadyscribe_monitor::sample::{Moment, Part};
use steadyscribe_monitor::sampler::Sampler;
use steadyscribe_monitor::{Component, Gauges, gauge::Unit};

const MIB: u64 = 1 << 20;

/// Environment variable that turns this test binary into the program under observation.
const ACT: &str = "STEADYSCRIBE_ACT";

/// Not a test by itself: what the other tests start.
#[test]
fn program_under_observation() {
    if std::env::var_os(ACT).is_some() {
        act();
    }
}

fn act() {
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut mapped = Vec::new();
    let mut sockets = Vec::new();
    let mut file = tempfile::tempfile().unwrap();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (command, count) = line.split_once(' ').unwrap_or((&line, "0"));
        let bytes = count.parse::<usize>().unwrap() << 20;
        match command {
            "allocate" => held.push(vec![1; bytes]),
            "free" => held.clear(),
            "map" => {
                for _ in 0..bytes >> 20 {
                    file.write_all(&vec![7; 1 << 20]).unwrap();
                }
                mapped.push(map(&file));
            }
            "start" => println!("{}", child().id()),
            #[cfg(target_os = "linux")]
            "fork" => println!("{}", fork()),
            "listen" => {
                let socket = TcpListener::bind("127.0.0.1:0").unwrap();
                println!("{}", socket.local_addr().unwrap().port());
                sockets.push(socket);
            }
            _ => return,
        }
        println!("done");
    }
}

/// Maps a file read-only and touches every page.
#[expect(
    unsafe_code,
    reason = "mapping a file is unsafe; no other program has this one open"
)]
fn map(file: &std::fs::File) -> memmap2::Mmap {
    // SAFETY: the file is an unlinked temporary one of this process, which does not change it while
    // it is mapped.
    let map = unsafe { memmap2::Mmap::map(file) }.unwrap();
    assert_eq!(
        map.iter().step_by(4096).filter(|&&b| b == 7).count(),
        map.len() / 4096
    );
    map
}

/// A copy of this process, which shares its pages until one of both writes to them. It ends by
/// itself.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "forking is unsafe")]
fn fork() -> libc::pid_t {
    // SAFETY: the copy has this thread alone, and calls nothing but what POSIX allows there.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0, "no process can be made");
        if pid == 0 {
            (0..=2).for_each(|file| _ = libc::close(file));
            libc::alarm(20);
            loop {
                libc::pause();
            }
        }
        pid
    }
}

/// A child that outlives us: it lives as long as our standard input is open, which it inherits.
fn child() -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::program_that_sleeps", "--nocapture"])
        .env(ACT, "sleep")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test by itself: the child of the program under observation.
#[test]
fn program_that_sleeps() {
    if std::env::var_os(ACT).is_some_and(|v| v == "sleep") {
        std::thread::sleep(Duration::from_secs(20));
    }
}

struct Actor {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Actor {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "processes::program_under_observation",
                "--nocapture",
            ])
            .env(ACT, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut actor = Self { process, output };
        actor.command("allocate 0");
        actor
    }

    /// Sends a command and returns the line before "done".
    fn command(&mut self, command: &str) -> String {
        writeln!(self.process.stdin.as_mut().unwrap(), "{command}").unwrap();
        let mut before = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "the program ended"
            );
            match line.trim() {
                "done" => return before,
                other => before = other.to_owned(),
            }
        }
    }

    fn id(&self) -> ProcessId {
        System::host().identify(self.process.id()).unwrap()
    }

    fn end(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

fn sampler(handed: &[(ProcessId, Component)]) -> Sampler {
    let own = System::host().identify(std::process::id()).unwrap();
    let mut membership = Membership::new(ProcessId::new(u32::MAX, 0), Rules::none());
    for (id, component) in handed {
        membership.hand_over(*id, *component).unwrap();
    }
    Sampler::new(System::host(), own, membership)
}

fn private(part: &Part) -> u64 {
    part.private_bytes.get().unwrap()
}

fn reclaimable(part: &Part) -> u64 {
    part.reclaimable_bytes.get().unwrap()
}

fn close(actual: u64, expected: u64) -> bool {
    actual.abs_diff(expected) <= 3 * MIB
}

/// What a process allocates is its cost; what it maps is reclaimable.
///
/// Feature: meetily-memory-optimization, Property 1: Memory Monitoring Completeness
#[test]
fn allocated_costs_and_mapped_is_reclaimable() {
    let mut actor = Actor::start();
    let mut sampler = sampler(&[(actor.id(), Component::Backend)]);
    let mut look = || {
        sampler
            .sample(Moment::default())
            .part(Component::Backend)
            .clone()
    };
    let start = look();
    assert_eq!(start.processes, 1);
    actor.command("allocate 48");
    let allocated = look();
    assert!(
        close(private(&allocated), private(&start) + 48 * MIB),
        "{allocated:?}"
    );
    actor.command("map 40");
    let mapped = look();
    let files = reclaimable(&mapped) + private(&mapped);
    let before = reclaimable(&allocated) + private(&allocated);
    // A temporary folder in RAM makes the file shared memory, which is a cost.
    assert!(close(files, before + 40 * MIB), "{mapped:?}");
    actor.command("free");
    assert!(private(&look()) < private(&mapped) - 40 * MIB);
    actor.end();
    assert_eq!(look().processes, 0);
}

/// Private bytes count what two processes share until they write, twice; proportional shares count
/// it once.
#[cfg(target_os = "linux")]
#[test]
fn copy_of_a_process_belongs_to_its_component() {
    let mut actor = Actor::start();
    let mut sampler = sampler(&[(actor.id(), Component::Backend)]);
    actor.command("allocate 64");
    let mut look = || {
        let sample = sampler.sample(Moment::default());
        sampler.read_shares(0);
        let part = sampler
            .sample(Moment::default())
            .part(Component::Backend)
            .clone();
        let parts: u64 = sample.parts.iter().map(private).sum();
        assert_eq!(Some(parts), sample.total_bytes().get());
        part
    };
    let alone = look();
    let copy: u32 = actor.command("fork").parse().unwrap();
    let both = look();
    assert_eq!((alone.processes, both.processes), (1, 2));
    let private = (private(&alone), private(&both));
    assert!(private.1 > private.0 + 60 * MIB, "{private:?}");
    let shares = (
        alone.proportional_bytes.get().unwrap(),
        both.proportional_bytes.get().unwrap(),
    );
    assert!(
        shares.0 > 60 * MIB && shares.1 < shares.0 + 10 * MIB,
        "{shares:?}"
    );
    let is_copy = |(id, _): &(ProcessId, Component)| id.pid == copy;
    assert!(sampler.members().iter().any(is_copy));
    actor.end();
}

#[test]
fn orphan_keeps_its_component() {
    let mut actor = Actor::start();
    let child: u32 = actor.command("start").parse().unwrap();
    let child = System::host().identify(child).unwrap();
    let mut sampler = sampler(&[(actor.id(), Component::Ollama)]);
    let first = sampler.sample(Moment::default());
    assert_eq!(first.part(Component::Ollama).processes, 2);
    actor.process.kill().unwrap();
    actor.process.wait().unwrap();
    let second = sampler.sample(Moment::default());
    assert_eq!(second.part(Component::Ollama).processes, 1);
    assert_eq!(sampler.members(), [(child, Component::Ollama)]);
}

/// Without being handed over, the listener on a port belongs with its children, and so does a
/// process of a known name.
#[test]
fn port_and_name_attribute_a_process() {
    let mut actor = Actor::start();
    let port: u16 = actor.command("listen").parse().unwrap();
    let child: u32 = actor.command("start").parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("llm-server-of-ours");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let mut named = Command::new(&program).arg("60").spawn().unwrap();
    let mut rules = Rules::none();
    rules.ports.push((port, Component::Backend));
    rules
        .names
        .push(("llm-server-of-ours".to_owned(), Component::Ollama));
    let own = System::host().identify(std::process::id()).unwrap();
    let membership = Membership::new(ProcessId::new(u32::MAX, 0), rules);
    let mut sampler = Sampler::new(System::host(), own, membership);
    let sample = sampler.sample(Moment::default());
    let mut members: Vec<_> = sampler
        .members()
        .iter()
        .map(|(id, c)| (id.pid, *c))
        .collect();
    members.sort_unstable();
    let mut expected = [
        (actor.process.id(), Component::Backend),
        (child, Component::Backend),
        (named.id(), Component::Ollama),
    ];
    expected.sort_unstable();
    named.kill().unwrap();
    named.wait().unwrap();
    assert_eq!(members, expected);
    assert_eq!(sample.part(Component::Backend).processes, 2);
    actor.end();
}

/// A process ends at any moment of a sample without harm.
#[test]
fn processes_that_end_meanwhile_do_no_harm() {
    let until = Instant::now() + Duration::from_millis(400);
    let own = System::host().identify(std::process::id()).unwrap();
    let mut sampler = sampler(&[(own, Component::Frontend)]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < until {
                Command::new("true").status().unwrap();
            }
        });
        while Instant::now() < until {
            let sample = sampler.sample(Moment::default());
            let parts: u64 = sample.parts.iter().map(private).sum();
            assert_eq!(Some(parts), sample.total_bytes().get());
            assert_eq!(sample.reasons, [""; 0]);
        }
    });
}

#[test]
fn gauges_split_this_process() {
    let own = System::host().identify(std::process::id()).unwrap();
    let mut sampler = sampler(&[(own, Component::Frontend)]);
    let gauges = Gauges::new(Component::Audio);
    gauges.gauge("pool", Unit::HeldBytes).unwrap().set(123_456);
    sampler.register(&gauges).unwrap();
    let sample = sampler.sample(Moment::default());
    assert_eq!(private(sample.part(Component::Audio)), 123_456);
    let rest = private(sample.part(Component::Frontend));
    assert_eq!(Some(rest + 123_456), sample.total_bytes().get());
}
