//! How a thread stands against others when processors are short. nix does not wrap the call.

use std::io;

use nix::errno::Errno;

/// Nice value of a thread that every execution of the host may wait for; it does a few microseconds of work at a time.
pub const ANSWERING: i32 = -10;
/// Nice value of a thread that executions wait for one by one.
pub const JUDGING: i32 = -5;

/// Gives the calling thread this nice value, from -20 (first) to 19. It is never more than a larger share: others still run, whatever
/// this thread does.
///
/// # Errors
/// Without `CAP_SYS_NICE` a thread cannot be raised; it then goes on as before.
#[expect(unsafe_code, reason = "nix does not wrap setpriority")]
pub fn set(nice: i32) -> io::Result<()> {
    // SAFETY: takes three numbers and touches no memory of ours. 0 names the calling thread: on Linux each has its own value.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field 19 of `/proc/thread-self/stat`; the command is the test's own and has no parenthesis in it.
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_calling_thread_is_raised() {
        let before = nice();
        let raised = std::thread::spawn(|| set(JUDGING).map(|()| nice())).join().unwrap();
        match raised {
            Ok(raised) => assert_eq!(raised, JUDGING),
            Err(error) => eprintln!("SKIPPED: raising a thread, because it was refused: {error}"),
        }
        assert_eq!(nice(), before);
    }
}
