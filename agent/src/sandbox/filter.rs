//! The system calls that answering takes; any other ends the helper at once.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule};

/// Number of the socket in the helper: the only descriptor a helper inherits.
const SOCKET: u64 = 3;

/// Puts the filter over this thread, which is the only one.
pub(super) fn apply() -> io::Result<()> {
    let program = compile().map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

fn compile() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = allowed()?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?.try_into()
}

fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let anywhere = [
        // The file in question, by offset: neither `read` nor `lseek`, which would move the position that its owner shares.
        libc::SYS_pread64,
        libc::SYS_close,
        // Memory; `mmap` and `mprotect` stand below.
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        // Locks, time and hashing of the standard library.
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigreturn,
        // The end.
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_sigaltstack,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = anywhere.into_iter().map(|call| (call, Vec::new())).collect();
    let on_socket = || SeccompRule::new(vec![argument(0, SeccompCmpOp::Eq, SOCKET)?]);
    rules.insert(libc::SYS_sendmsg, vec![on_socket()?]);
    rules.insert(libc::SYS_recvmsg, vec![on_socket()?]);
    // Memory from the kernel alone, never of a file, and never to be executed.
    let prot_exec = libc::PROT_EXEC as u64;
    let not_executable = || argument(2, SeccompCmpOp::MaskedEq(prot_exec), 0);
    let map_anonymous = libc::MAP_ANONYMOUS as u64;
    let anonymous = argument(3, SeccompCmpOp::MaskedEq(map_anonymous), map_anonymous)?;
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![not_executable()?, anonymous])?]);
    rules.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![not_executable()?])?]);
    // The standard library, built with its own assertions, asks whether what it closes is open.
    rules.insert(libc::SYS_fcntl, vec![SeccompRule::new(vec![argument(1, SeccompCmpOp::Eq, libc::F_GETFD as u64)?])?]);
    Ok(rules)
}

fn argument(index: u8, operation: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operation, value)
}
