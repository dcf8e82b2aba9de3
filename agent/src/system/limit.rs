//! What the kernel allows this process, and what it spares it: descriptors, core dumps, paging, the out-of-memory killer.
//!
//! Each function is best effort for its caller: a host on which one of them fails is still better watched than not.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// Descriptors asked for at most; more would only hide a leak.
const DESCRIPTORS_MAX: rlim_t = 1_048_576;
/// Adjustment that exempts a process from the out-of-memory killer.
const OOM_EXEMPT: i32 = -1000;

/// One of them was refused. The text says what to change in the unit.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {source}; {remedy}")]
pub struct LimitError {
    what: &'static str,
    remedy: &'static str,
    #[source]
    source: io::Error,
}

impl LimitError {
    fn of(what: &'static str, remedy: &'static str) -> impl Fn(Errno) -> Self {
        move |error| Self { what, remedy, source: error.into() }
    }
}

/// Raises the limit of open descriptors as far as this process may, and returns what it is then. Never lowers anything.
///
/// # Errors
/// [`LimitError`]; the limit is then what it was.
pub fn raise_descriptors() -> Result<u64, LimitError> {
    let failed = LimitError::of("raise the limit of open descriptors", "set LimitNOFILE= of the unit");
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(&failed)?;
    let wanted = hard.max(DESCRIPTORS_MAX.min(system_wide_descriptors()));
    if wanted > hard && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(&failed)?;
    }
    Ok(hard)
}

/// The most the kernel would grant any process; 0, which raises nothing, where it does not tell.
fn system_wide_descriptors() -> rlim_t {
    fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Makes a fatal signal end this process at once. A core dump would hold every execution that waits for it until the memory is
/// written, and would put on disk what the credential's owner keeps secret.
///
/// # Errors
/// [`LimitError`]; one of the two means may still be in force.
pub fn forbid_core_dumps() -> Result<(), LimitError> {
    let failed = LimitError::of("forbid core dumps", "set LimitCORE=0 of the unit");
    // A limit of 0 does not bind a core_pattern that is a pipe; not being dumpable does.
    let dumpable = prctl::set_dumpable(false).map_err(&failed);
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(&failed)?;
    dumpable
}

/// Keeps what this process has touched, and will touch, out of reach of swapping and of evicting mapped programs: a page that has
/// to be read from a disk makes whoever waits for this process wait for the disk. What is mapped but never touched costs nothing.
///
/// # Errors
/// [`LimitError`]: without CAP_IPC_LOCK and over RLIMIT_MEMLOCK.
pub fn lock_memory() -> Result<(), LimitError> {
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault)
        .map_err(LimitError::of("lock memory", "grant CAP_IPC_LOCK, or set LimitMEMLOCK=infinity of the unit"))
}

/// Exempts this process from the out-of-memory killer.
///
/// # Errors
/// [`LimitError`]: going below what the service manager set needs CAP_SYS_RESOURCE.
pub fn exempt_from_oom() -> Result<(), LimitError> {
    fs::write("/proc/self/oom_score_adj", OOM_EXEMPT.to_string()).map_err(|source| LimitError {
        what: "exempt this process from the out-of-memory killer",
        remedy: "set OOMScoreAdjust=-1000 of the unit",
        source,
    })
}

/// Makes this thread deaf to every signal that can be blocked, and with it every thread it starts later. Signals sent to the whole
/// service, as when it stops, then change nothing.
pub fn block_signals() {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).expect("a full set is a valid set");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_limit_rises_to_the_hard_one_and_never_falls() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let raised = raise_descriptors().unwrap();
        assert!(raised >= hard);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, raised);
        assert_eq!(raise_descriptors().unwrap(), raised, "doing it twice changes nothing");
    }

    #[test]
    fn a_process_that_forbade_core_dumps_leaves_none() {
        forbid_core_dumps().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert!(!prctl::get_dumpable().unwrap());
    }

    #[test]
    fn locked_memory_is_counted_by_the_kernel() {
        match lock_memory() {
            Ok(()) => {
                let status = fs::read_to_string("/proc/self/status").unwrap();
                assert!(!status.contains("VmLck:\t       0 kB"), "{status}");
            }
            Err(error) => eprintln!("SKIPPED: locking memory, because it was refused: {error}"),
        }
    }

    #[test]
    fn a_refusal_names_the_remedy() {
        let error = LimitError::of("lock memory", "grant CAP_IPC_LOCK")(Errno::EPERM);
        assert!(error.to_string().starts_with("cannot lock memory: ") && error.to_string().ends_with("; grant CAP_IPC_LOCK"), "{error}");
    }
}
