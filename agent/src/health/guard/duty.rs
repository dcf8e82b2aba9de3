//! The guard's own process, from its first instruction to its last.
//!
//! Once at its post it opens, allocates and writes nothing, and keeps one descriptor: that of the agent. Every look takes the way of
//! the kill but for the signal, so everything the kill needs is in locked memory long before it is needed.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollTimeout;

use super::vigil::Vigil;
use super::{ARMED, AT_POST_LOCKED, AT_POST_UNLOCKED, BEATS, STANDING, group};
use crate::system::shared::SharedPage;
use crate::system::{inheritance, limit, process};

/// Pause between two looks at the agent.
pub(super) const LOOK_MS: u64 = 250;
/// The guard's exit code after it ended the agent. Nobody is left to read it but the service manager, which logs it.
pub const EXIT_AGENT_KILLED: u8 = 10;

/// How the watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The agent ended by itself.
    AgentGone,
    /// The agent was silent for the period and was sent SIGKILL.
    AgentKilled,
}

/// Watches the agent whose descriptor and shared page this process inherited, until it is gone.
///
/// # Errors
/// `InvalidInput` when nothing was inherited: the guard is started by the daemon and by nobody else.
pub fn watch(period_ms: u64) -> io::Result<End> {
    let [memory, agent] = inheritance::take()?;
    let page = SharedPage::map(&memory)?;
    drop(memory);
    process::rehearse_kill(&agent).map_err(|_| io::ErrorKind::InvalidInput)?;
    let standing = if prepare() { AT_POST_LOCKED } else { AT_POST_UNLOCKED };
    page.words()[STANDING].store(standing, Ordering::Release);
    Ok(keep_looking(&page, &agent, period_ms))
}

/// Does what helps the guard outlive whatever befalls the agent; true when its memory is locked. It cannot report anything else:
/// a guard that might be killed is better than none.
fn prepare() -> bool {
    limit::block_signals();
    group::leave();
    // Already leading a session, when a person's shell arranged it so, is as good.
    let _ = nix::unistd::setsid();
    let _ = limit::forbid_core_dumps();
    let _ = limit::exempt_from_oom();
    limit::lock_memory().is_ok()
}

fn keep_looking(page: &SharedPage, agent: &OwnedFd, period_ms: u64) -> End {
    let started = Instant::now();
    let mut vigil = Vigil::new(period_ms, 0);
    loop {
        match process::ends_within(agent, PollTimeout::from(LOOK_MS as u8)) {
            Ok(true) => return End::AgentGone,
            Ok(false) => {}
            // Short of memory in the kernel: look all the same, at the usual pace.
            Err(_) => thread::sleep(Duration::from_millis(LOOK_MS)),
        }
        let words = page.words();
        let is_armed = words[ARMED].load(Ordering::Acquire) != 0;
        let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let is_overdue = vigil.look(now_ms, is_armed, words[BEATS].load(Ordering::Relaxed));
        let sent = if is_overdue { process::kill(agent) } else { process::rehearse_kill(agent) };
        match sent {
            Ok(()) if is_overdue => return End::AgentKilled,
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => return End::AgentGone,
            // Refused just now: the silence goes on, and so does trying.
            Ok(()) | Err(_) => {}
        }
    }
}
