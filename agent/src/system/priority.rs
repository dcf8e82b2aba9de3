//! How a thread stands against others when processors are short. nix does not wrap the calls.

use std::io;

use nix::errno::Errno;

/// Nice value of a thread that every execution of the host may wait for, where it cannot go [`first`]; it does a few microseconds of work
/// at a time.
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

/// Puts the calling thread before all that are not of the kernel's real-time classes, for as long as it has something to do; what it starts is
/// not. The kernel keeps a twentieth of each second for the others, whatever it does (`sched_rt_runtime_us`).
///
/// PERF: each answer makes the kernel wake every process that waits for one. With 5,000 of them, a thread with a share of the processor, however
/// large, comes back when all have looked and wait again: eight million changes of processes and twenty seconds, against forty thousand and
/// half of one.
///
/// # Errors
/// Without `CAP_SYS_NICE`, or in a control group without a share of real time.
#[expect(unsafe_code, reason = "nix does not wrap sched_setscheduler")]
pub fn first() -> io::Result<()> {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: reads one `sched_param` of ours, which outlives the call. 0 names the calling thread.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const lowest) })?;
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

    /// Field 41 of it: the scheduling class.
    fn class() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(38).unwrap().parse().unwrap()
    }

    #[test]
    fn what_goes_first_starts_others_as_they_are() {
        let before = class();
        let classes = || first().map(|()| (class(), std::thread::spawn(class).join().unwrap()));
        match std::thread::spawn(classes).join().unwrap() {
            Ok(classes) => assert_eq!(classes, (libc::SCHED_RR, before)),
            Err(error) => eprintln!("SKIPPED: putting a thread first, because it was refused: {error}"),
        }
        assert_eq!(class(), before);
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
