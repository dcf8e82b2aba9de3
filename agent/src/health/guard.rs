//! The guard: a process of its own that ends this one when it no longer answers.
//!
//! While a permission group exists, an agent that stands still (stopped, traced, deadlocked, starved of memory) holds every
//! execution of the host, and with them the service manager that should help. So a tiny process watches a count in shared memory
//! and sends SIGKILL when it stops rising; the kernel then lets everything go. This file is the agent's side: it starts the
//! guard and beats. What the guard does is in [`duty`], when it loses patience in [`vigil`].

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::poll::PollTimeout;

use crate::system::shared::SharedPage;
use crate::system::{inheritance, process};

pub mod duty;
mod group;
mod vigil;

/// How long the agent may be silent before the guard ends it. Longer than any wait for a processor on a busy host, shorter than
/// what a person takes for a machine that hangs.
pub const GUARD_PERIOD_MS: u64 = 5_000;
/// Longest [`Guard::start`] waits for the guard to be at its post.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How often it looks meanwhile.
const START_LOOK_MS: u8 = 5;
/// Longest a guard that is sent away is waited for.
const DISMISSAL_DEADLINE_MS: u16 = 1_000;

/// Word of the shared page that rises with every beat.
const BEATS: usize = 0;
/// Word that is 1 while silence is fatal.
const ARMED: usize = 1;
/// Word in which the guard says how it stands: 0 or one of the next two.
const STANDING: usize = 2;
/// The guard watches, its memory locked.
const AT_POST_LOCKED: u64 = 1;
/// The guard watches, but the kernel refused to lock its memory: with its program's disk gone it might fail.
const AT_POST_UNLOCKED: u64 = 2;

/// How a guard is started; the default is the daemon's way.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The agent's own program.
    pub program: PathBuf,
    /// Silence that is fatal, in milliseconds.
    pub period_ms: u64,
}

impl Default for Setup {
    fn default() -> Self {
        // The link leads to the very file that runs, also when an upgrade has replaced it under its name.
        Self { program: PathBuf::from("/proc/self/exe"), period_ms: GUARD_PERIOD_MS }
    }
}

/// A guard of this process. Dropping it disarms it and sends it away: close the groups before.
#[derive(Debug)]
pub struct Guard {
    setup: Setup,
    page: Arc<SharedPage>,
    memory: OwnedFd,
    child: Child,
    process: OwnedFd,
}

impl Guard {
    /// Starts a guard, disarmed, and waits until it is at its post. Blocks for as long as a program takes to start, so never call
    /// it on a thread that answers events; with a permission group standing, the guard's own execution has to be answered too.
    ///
    /// # Errors
    /// The guard could not be started, ended at once, or was not at its post within ten seconds.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Setup::default())
    }

    /// As [`Guard::start`], with another program or period.
    ///
    /// # Errors
    /// As [`Guard::start`].
    pub fn start_with(setup: Setup) -> io::Result<Self> {
        let (page, memory) = SharedPage::create("doorward-guard")?;
        let (child, process) = post(&setup, &page, &memory)?;
        Ok(Self { setup, page: Arc::new(page), memory, child, process })
    }

    /// Replaces a guard that is gone by a new one over the same memory, so that every [`Heartbeat`] goes on counting and an armed
    /// guard is armed again. Blocks as [`Guard::start`] does.
    ///
    /// # Errors
    /// As [`Guard::start`]; there is then no guard, and the call can be repeated.
    pub fn replace(&mut self) -> io::Result<()> {
        dismiss(&mut self.child, &self.process);
        (self.child, self.process) = post(&self.setup, &self.page, &self.memory)?;
        Ok(())
    }

    /// What the thread that proves the agent alive holds.
    #[must_use]
    pub fn heartbeat(&self) -> Heartbeat {
        Heartbeat(Arc::clone(&self.page))
    }

    /// From now on silence is fatal. Whoever beats must beat already.
    pub fn arm(&self) {
        self.page.words()[ARMED].store(1, Ordering::Release);
    }

    /// Silence is allowed again.
    pub fn disarm(&self) {
        self.page.words()[ARMED].store(0, Ordering::Release);
    }

    /// Whether the guard process still runs. When it does not: [`Guard::replace`].
    #[must_use]
    pub fn is_alive(&self) -> bool {
        process::is_alive(&self.process)
    }

    /// Whether the kernel let the guard lock its memory.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.page.words()[STANDING].load(Ordering::Acquire) == AT_POST_LOCKED
    }

    /// The guard's process id, for people.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.disarm();
        dismiss(&mut self.child, &self.process);
    }
}

/// Proof of life. Keeps its memory mapped when the guard is gone, so beating is always allowed.
#[derive(Debug, Clone)]
pub struct Heartbeat(Arc<SharedPage>);

impl Heartbeat {
    /// One atomic addition to memory that is always there: no system call, no lock, no wait.
    pub fn beat(&self) {
        self.0.words()[BEATS].fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts the guard's process and waits until it says that it watches.
fn post(setup: &Setup, page: &SharedPage, memory: &OwnedFd) -> io::Result<(Child, OwnedFd)> {
    let own_pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let agent = process::open(own_pid).ok_or_else(io::Error::last_os_error)?;
    page.words()[STANDING].store(0, Ordering::Release);
    // A program is executed rather than this process forked: a fork would share, and so keep alive, the very groups that the guard's
    // SIGKILL is meant to close.
    let mut command = Command::new(&setup.program);
    command.arg0("doorward-guard").args(["guard", "--period-ms", &setup.period_ms.to_string()]);
    command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    inheritance::give_only(&mut command, [memory.try_clone()?, agent]);
    let mut child = command.spawn()?;
    let process = match pidfd_of(&child) {
        Ok(process) => process,
        Err(error) => {
            // Ours and not yet waited for, so the number cannot have passed to another process.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(error);
        }
    };
    match wait_at_post(page, &process) {
        Ok(()) => Ok((child, process)),
        Err(error) => {
            dismiss(&mut child, &process);
            Err(error)
        }
    }
}

fn pidfd_of(child: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    process::open(pid).ok_or_else(io::Error::last_os_error)
}

fn wait_at_post(page: &SharedPage, guard: &OwnedFd) -> io::Result<()> {
    let started = Instant::now();
    while page.words()[STANDING].load(Ordering::Acquire) == 0 {
        if process::ends_within(guard, PollTimeout::from(START_LOOK_MS)).unwrap_or(false) {
            return Err(io::Error::other(
                "the guard process ended before it was at its post; check that the agent's own program can still be executed",
            ));
        }
        if started.elapsed() > START_DEADLINE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the guard process did not start in time"));
        }
    }
    Ok(())
}

/// Ends the guard's process, if it has not ended, and takes its status so that no zombie stays.
fn dismiss(child: &mut Child, guard: &OwnedFd) {
    // Already gone is as good; a guard that cannot be ended within the deadline is left to find the agent gone.
    let _ = process::kill(guard);
    let _ = process::ends_within(guard, PollTimeout::from(DISMISSAL_DEADLINE_MS));
    let _ = child.try_wait();
}
