//! A helper that was taken over: everything it would try, tried for real, with all walls and with single ones left out.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;

use doorward_policy::FileKind;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, Uid, getppid, setuid};
use serde::{Deserialize, Serialize};

use super::positional::Positional;
use super::*;
use crate::system::attempt;

/// Walls to leave out in the helper that this program is when it is set, by their words.
const LEFT_OUT: &str = "DOORWARD_TEST_SANDBOX_WITHOUT";
/// For what has to succeed, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// For what never ends.
const IMPATIENCE: Duration = Duration::from_millis(300);

/// What a helper can be told to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt {
    Nothing,
    OpenFile,
    OpenRootsFile,
    ReadProc,
    OpenAgain,
    WriteToFile,
    MoveItsPosition,
    MakeSocket,
    ConnectToAgent,
    Execute,
    Trace,
    Kill,
    Fork,
    BecomeRoot,
    MapExecutable,
    MakeExecutable,
    Allocate,
    Panic,
    Recurse,
    Loop,
    Lie,
    Babble,
}

impl Attempt {
    /// Tries it, in the helper; 0 or the error number.
    pub(super) fn make(self, file: &mut Positional<'_>) -> i32 {
        let number = |outcome: Result<(), Errno>| outcome.map_or_else(|error| error as i32, |()| 0);
        let opened = |path: &str| number(open(path, OFlag::O_RDONLY, Mode::empty()).map(drop));
        match self {
            Self::Nothing => 0,
            Self::OpenFile => opened("/etc/passwd"),
            Self::OpenRootsFile => opened("/etc/shadow"),
            Self::ReadProc => opened("/proc/1/status"),
            Self::OpenAgain => opened(&format!("/proc/self/fd/{}", file.file().as_raw_fd())),
            Self::WriteToFile => file.file().write_all(b"x").map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0),
            Self::MoveItsPosition => file.file().seek(SeekFrom::Start(3)).map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0),
            Self::MakeSocket => number(socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).map(drop)),
            Self::ConnectToAgent => number(
                socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)
                    .and_then(|socket| connect(socket.as_raw_fd(), &UnixAddr::new("/run/doorward-agent/agent.sock")?)),
            ),
            Self::Execute => attempt::execute(),
            Self::Trace => number(ptrace::attach(getppid())),
            Self::Kill => number(kill(getppid(), Signal::SIGCONT)),
            Self::Fork => attempt::fork(),
            Self::BecomeRoot => number(setuid(Uid::from_raw(0))),
            Self::MapExecutable => attempt::map_executable(),
            Self::MakeExecutable => attempt::make_executable(),
            Self::Allocate => {
                let mut much = Vec::<u8>::new();
                much.try_reserve_exact(4 << 30).map_or(Errno::ENOMEM as i32, |()| 0)
            }
            Self::Panic => panic!("a defect"),
            Self::Recurse => recurse(&[0; 4096]),
            Self::Loop => loop {
                std::hint::spin_loop();
            },
            Self::Lie | Self::Babble => 0,
        }
    }
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse(page: &[u8; 4096]) -> i32 {
    let mut next = *page;
    next[0] = next[0].wrapping_add(1);
    std::hint::black_box(recurse(std::hint::black_box(&next))) + i32::from(next[0])
}

/// The helper's own process; in any other, nothing.
#[test]
fn stand_in_for_a_helper() {
    let Ok(left_out) = std::env::var(LEFT_OUT) else { return };
    let all = [Layer::Limits, Layer::Namespaces, Layer::User, Layer::Capabilities, Layer::Landlock, Layer::Seccomp];
    let left_out: Vec<_> = all.into_iter().filter(|layer| left_out.split(',').any(|word| word == layer.word())).collect();
    std::process::exit(i32::from(duty::serve_without(&left_out).is_err()));
}

struct Site {
    sandbox: Sandbox,
    health: Health,
    file: File,
}

impl Site {
    fn new() -> Self {
        Self::without(&[])
    }

    fn without(left_out: &[Layer]) -> Self {
        let words = left_out.iter().map(|layer| layer.word()).collect::<Vec<_>>().join(",");
        let arguments = ["--exact", "sandbox::tests::stand_in_for_a_helper", "--test-threads=1"];
        let setup = Setup {
            program: std::env::current_exe().unwrap(),
            arguments: arguments.map(Into::into).to_vec(),
            environment: vec![(LEFT_OUT.into(), words.into())],
        };
        let health = Health::default();
        let sandbox = Sandbox::start_with(setup, health.clone());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"#!/bin/sh\nexit 0\n").unwrap();
        file.rewind().unwrap();
        Self { sandbox, health, file }
    }

    fn attempt(&self, attempt: Attempt) -> Result<Facts, NoFacts> {
        self.sandbox.ask(Question::Attempt(attempt), &self.file, PATIENCE)
    }

    /// The next question is answered as if nothing had happened.
    fn goes_on(&self) {
        let facts = self.sandbox.ask(Question::Kind, &self.file, PATIENCE);
        assert_eq!(facts, Ok(Facts::Kind(Some(FileKind::Script))));
    }

    fn has(&self, layer: Layer) -> bool {
        let missing = self.sandbox.standing().missing;
        let lack = missing.iter().find(|missing| missing.layer == layer);
        if let Some(lack) = lack {
            eprintln!("SKIPPED: a part of the sandbox's tests, because this kernel or user lacks {lack}");
        }
        lack.is_none()
    }
}

#[test]
fn a_question_about_an_open_file_is_answered_and_its_position_stays() {
    let mut site = Site::new();
    site.file.seek(SeekFrom::Start(5)).unwrap();
    site.goes_on();
    assert_eq!(site.file.stream_position().unwrap(), 5);
    assert_eq!(site.sandbox.standing().helpers as usize, HELPERS);
    assert_eq!(site.health.counts(), []);
}

#[test]
fn whatever_answering_does_not_take_ends_the_helper_and_the_next_one_goes_on() {
    let site = Site::new();
    if !site.has(Layer::Seccomp) {
        return;
    }
    let attempts = [
        Attempt::OpenFile,
        Attempt::ReadProc,
        Attempt::OpenAgain,
        Attempt::WriteToFile,
        Attempt::MoveItsPosition,
        Attempt::MakeSocket,
        Attempt::ConnectToAgent,
        Attempt::Execute,
        Attempt::Trace,
        Attempt::Kill,
        Attempt::Fork,
        Attempt::BecomeRoot,
        Attempt::MapExecutable,
        Attempt::MakeExecutable,
    ];
    for (index, attempt) in attempts.into_iter().enumerate() {
        assert_eq!(site.attempt(attempt), Err(NoFacts::Lost { signal: Some(libc::SIGSYS) }), "{attempt:?}");
        site.goes_on();
        assert_eq!(site.health.count(FailureReason::SandboxLost), index as u64 + 1, "{attempt:?}");
    }
    let mut content = String::new();
    (&site.file).read_to_string(&mut content).unwrap();
    assert_eq!(content, "#!/bin/sh\nexit 0\n", "neither written nor moved");
}

#[test]
fn without_seccomp_the_other_walls_hold() {
    let site = Site::without(&[Layer::Seccomp]);
    if !Uid::effective().is_root() || !site.has(Layer::Namespaces) || !site.has(Layer::Landlock) || !site.has(Layer::User) {
        return eprintln!("SKIPPED: the walls behind seccomp, because putting them all up needs root");
    }
    for (attempt, allowed) in [
        (Attempt::OpenFile, &[Errno::EACCES, Errno::ENOENT][..]),
        (Attempt::ReadProc, &[Errno::EACCES, Errno::ENOENT]),
        (Attempt::OpenAgain, &[Errno::EACCES, Errno::ENOENT]),
        (Attempt::ConnectToAgent, &[Errno::EACCES, Errno::ENOENT]),
        (Attempt::Execute, &[Errno::EACCES, Errno::ENOENT, Errno::EAGAIN]),
        (Attempt::Trace, &[Errno::EPERM, Errno::ESRCH]),
        (Attempt::Kill, &[Errno::EPERM, Errno::ESRCH]),
        (Attempt::Fork, &[Errno::EAGAIN]),
        (Attempt::BecomeRoot, &[Errno::EPERM]),
    ] {
        let Ok(Facts::Attempt(number)) = site.attempt(attempt) else { panic!("{attempt:?}") };
        assert!(allowed.contains(&Errno::from_raw(number)), "{attempt:?}: {}", Errno::from_raw(number));
    }
    // SIGXFSZ is blocked, so the limit of file sizes shows as an error.
    assert_eq!(site.attempt(Attempt::WriteToFile), Ok(Facts::Attempt(Errno::EFBIG as i32)));
}

#[test]
fn each_wall_alone_keeps_a_helper_from_roots_files() {
    if !Uid::effective().is_root() {
        return eprintln!("SKIPPED: single walls, because putting them up needs root");
    }
    let walls = [Layer::Namespaces, Layer::User, Layer::Landlock, Layer::Seccomp];
    let unwalled = Site::without(&walls);
    assert_eq!(unwalled.attempt(Attempt::OpenRootsFile), Ok(Facts::Attempt(0)), "a test that could not fail");
    for wall in walls {
        let left_out: Vec<_> = walls.into_iter().filter(|other| *other != wall).collect();
        let site = Site::without(&left_out);
        if site.has(wall) {
            let outcome = site.attempt(Attempt::OpenRootsFile);
            assert!(!matches!(outcome, Ok(Facts::Attempt(0))), "{wall:?}: {outcome:?}");
        }
    }
}

#[test]
fn memory_is_bounded_and_a_defect_costs_one_answer() {
    let site = Site::new();
    assert_eq!(site.attempt(Attempt::Allocate), Ok(Facts::Attempt(Errno::ENOMEM as i32)));
    assert_eq!(site.attempt(Attempt::Panic), Err(NoFacts::Defect));
    assert_eq!(site.health.counts(), [], "the helper goes on");
    assert!(matches!(site.attempt(Attempt::Recurse), Err(NoFacts::Lost { .. })));
    site.goes_on();
}

#[test]
fn a_helper_that_does_not_come_back_is_ended_at_the_deadline() {
    let site = Site::new();
    let started = Instant::now();
    assert_eq!(site.sandbox.ask(Question::Attempt(Attempt::Loop), &site.file, IMPATIENCE), Err(NoFacts::NotInTime));
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(site.health.count(FailureReason::SandboxTimeout), 1);
    site.goes_on();
}

#[test]
fn an_answer_to_another_question_or_of_no_sense_is_no_fact() {
    let site = Site::new();
    for attempt in [Attempt::Lie, Attempt::Babble] {
        assert_eq!(site.attempt(attempt), Err(NoFacts::Nonsense), "{attempt:?}");
        site.goes_on();
    }
}

#[test]
fn hostile_files_one_after_another_stop_nobody_for_long() {
    let site = Site::new();
    for _ in 0..4 {
        let _ = site.attempt(Attempt::Recurse);
    }
    let started = Instant::now();
    while site.sandbox.ask(Question::Kind, &site.file, PATIENCE) != Ok(Facts::Kind(Some(FileKind::Script))) {
        assert!(started.elapsed() < PATIENCE, "{:?}", site.sandbox.standing());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_finds_no_room_is_refused_at_once() {
    let site = Arc::new(Site::new());
    let busy: Vec<_> = (0..HELPERS + WAITING_MAX)
        .map(|_| {
            let site = Arc::clone(&site);
            thread::spawn(move || site.sandbox.ask(Question::Attempt(Attempt::Loop), &site.file, Duration::from_secs(5)))
        })
        .collect();
    let started = Instant::now();
    let mut last = None;
    while last != Some(Err(NoFacts::Busy)) && started.elapsed() < Duration::from_secs(4) {
        last = Some(site.sandbox.ask(Question::Attempt(Attempt::Nothing), &site.file, Duration::from_millis(1)));
    }
    assert_eq!(last, Some(Err(NoFacts::Busy)));
    for asked in busy {
        assert!(asked.join().unwrap().is_err());
    }
}

#[test]
fn a_helper_that_was_killed_is_replaced_unasked() {
    let site = Site::new();
    for pid in site.sandbox.standing().pids {
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    }
    let started = Instant::now();
    while site.health.count(FailureReason::SandboxLost) < HELPERS as u64 || site.sandbox.standing().helpers < HELPERS as u32 {
        assert!(started.elapsed() < PATIENCE, "{:?}", site.sandbox.standing());
        thread::sleep(Duration::from_millis(20));
    }
    site.goes_on();
}

#[test]
fn helpers_go_when_the_sandbox_goes() {
    let site = Site::new();
    let helpers = site.sandbox.standing().pids;
    assert_eq!(helpers.len(), HELPERS);
    drop(site);
    let started = Instant::now();
    while helpers.iter().any(|helper| fs::exists(format!("/proc/{helper}")).unwrap()) {
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_that_is_no_helper_is_tried_again_with_pauses_and_named() {
    let health = Health::default();
    let setup = Setup { program: "/bin/false".into(), ..Setup::default() };
    let sandbox = Sandbox::start_with(setup, health.clone());
    let file = tempfile::tempfile().unwrap();
    let started = Instant::now();
    while sandbox.ask(Question::Kind, &file, Duration::from_millis(100)) != Err(NoFacts::Unavailable) {
        assert!(started.elapsed() < PATIENCE, "whoever asks need not wait for what will not be there in time");
    }
    let standing = sandbox.standing();
    assert_eq!(standing.helpers, 0);
    assert!(standing.to_string().contains("did not come to its post"), "{standing}");
    assert!(health.count(FailureReason::SandboxLost) < 20, "it does not start programs without pause");
}
