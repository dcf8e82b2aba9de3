//! A process that has a guard, told over its standard input what to do: this test program, executed again.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use doorward_agent::health::Guard;
use doorward_agent::health::guard::Setup;
use doorward_agent::system::process;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Set, to the guard's period in milliseconds, for the process that stands in for the agent.
const PERIOD: &str = "DOORWARD_TEST_GUARD_PERIOD_MS";
/// Longest a test waits for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);
/// How often the stand-in beats.
const BEAT: Duration = Duration::from_millis(20);
/// What every answer of the stand-in begins with, as the test harness writes to the same stream.
const ANSWER: &str = "stand-in: ";

/// An agent that does nothing but have a guard.
pub(crate) struct StandIn {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    process: OwnedFd,
    pub(crate) guard: GuardProcess,
}

/// The guard as others see it.
pub(crate) struct GuardProcess {
    pub(crate) pid: i32,
    process: OwnedFd,
}

impl StandIn {
    /// Starts one with a disarmed guard, beating.
    pub(crate) fn start(period: Duration) -> Self {
        // Guards outlive their parents; as their next of kin this process can read their exit codes.
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "stand_in_for_a_guarded_agent", "--nocapture"])
            .env(PERIOD, period.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let guard = GuardProcess::named_by(&read_answer(&mut answers));
        let process = process::open(i32::try_from(child.id()).unwrap()).unwrap();
        Self { child, commands, answers, process, guard }
    }

    /// Has it do something, and returns what it says when it has.
    pub(crate) fn tell(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        read_answer(&mut self.answers)
    }

    /// As [`StandIn::tell`] for what is answered with another guard.
    pub(crate) fn tell_for_guard(&mut self, command: &str) -> GuardProcess {
        GuardProcess::named_by(&self.tell(command))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Whether it lives through all of `time`.
    pub(crate) fn survives(&self, time: Duration) -> bool {
        !happens_within(time, || !process::is_alive(&self.process))
    }

    /// Waits for its end; the signal that ended it, if one did.
    pub(crate) fn end(&mut self) -> Option<i32> {
        assert!(happens_within(PATIENCE, || !process::is_alive(&self.process)), "the agent still runs");
        self.child.wait().unwrap().signal()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl GuardProcess {
    fn named_by(answer: &str) -> Self {
        let pid = answer.parse().unwrap();
        Self { pid, process: process::open(pid).unwrap() }
    }

    pub(crate) fn is_alive(&self) -> bool {
        process::is_alive(&self.process)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).unwrap();
    }

    /// Its exit code, once it and the stand-in have ended.
    pub(crate) fn exit_code(&self) -> i32 {
        let mut code = None;
        let ended = || match waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, exit)) => {
                code = Some(exit);
                true
            }
            // Not ours before its parent is gone.
            _ => false,
        };
        assert!(happens_within(PATIENCE, ended), "the guard still runs");
        code.unwrap()
    }
}

/// Whether something comes true within `time`, looking often.
pub(crate) fn happens_within(time: Duration, mut what: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if what() {
            return true;
        }
        if started.elapsed() > time {
            return false;
        }
        thread::sleep(LOOK);
    }
}

fn read_answer(answers: &mut impl BufRead) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(answers.read_line(&mut line).unwrap(), 0, "the stand-in ended");
        // The harness leaves `test NAME ... ` without a newline before the first answer.
        if let Some((_, answer)) = line.split_once(ANSWER) {
            return answer.trim().to_owned();
        }
    }
}

/// The stand-in's own process; returns at once in any other.
pub(crate) fn act() {
    let Ok(period_ms) = std::env::var(PERIOD) else { return };
    let setup = Setup { program: PathBuf::from(env!("CARGO_BIN_EXE_doorward-agent")), period_ms: period_ms.parse().unwrap() };
    let _inheritable = make_inheritable();
    let mut guard = Some(Guard::start_with(setup).unwrap());
    let is_beating = beat_while(guard.as_ref().unwrap());
    let pid = |guard: &Option<Guard>| guard.as_ref().unwrap().pid().to_string();
    answer(&pid(&guard));
    for command in std::io::stdin().lines() {
        match command.unwrap().as_str() {
            "arm" => guard.as_ref().unwrap().arm(),
            "disarm" => guard.as_ref().unwrap().disarm(),
            "hush" => is_beating.store(false, Ordering::Relaxed),
            "drop" => guard = None,
            "is alive" => {
                answer(&guard.as_ref().unwrap().is_alive().to_string());
                continue;
            }
            "is locked" => {
                answer(&guard.as_ref().unwrap().is_locked().to_string());
                continue;
            }
            "replace" => {
                guard.as_mut().unwrap().replace().unwrap();
                answer(&pid(&guard));
                continue;
            }
            "leave" => {
                answer("leaving");
                std::process::exit(0);
            }
            other => panic!("no such command: {other}"),
        }
        answer("done");
    }
    std::process::exit(0);
}

/// A descriptor that an exec would hand on, as a careless library might leave one.
fn make_inheritable() -> OwnedFd {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let file = std::fs::File::open("/etc/passwd").unwrap();
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    file.into()
}

fn beat_while(guard: &Guard) -> Arc<AtomicBool> {
    let is_beating = Arc::new(AtomicBool::new(true));
    let (heartbeat, goes_on) = (guard.heartbeat(), Arc::clone(&is_beating));
    thread::spawn(move || {
        while goes_on.load(Ordering::Relaxed) {
            heartbeat.beat();
            thread::sleep(BEAT);
        }
    });
    is_beating
}

fn answer(text: &str) {
    println!("{ANSWER}{text}");
    std::io::stdout().flush().unwrap();
}
