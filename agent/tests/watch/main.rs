//! Watching executions with the kernel's own events. Needs root (CAP_SYS_ADMIN); nothing is ever delayed or denied.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod host;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use doorward_agent::exec::Runners;
use doorward_agent::exec::mount::{MOUNTINFO, Mounts};
use doorward_agent::health::FailureReason;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use doorward_policy::{FileKind, Fit, PathBytes, Use};
use doorward_proto::report::Fate;
use host::{TestHost, make_program, wait_for};

/// Gives this thread, and threads and processes it starts from now on, mounts of their own with an empty filesystem at `point`.
fn private_mount<'a>(test: &str, point: &'a Path) -> Option<&'a Path> {
    let private = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>))
        .and_then(|()| mount(Some("none"), point, Some("tmpfs"), MsFlags::empty(), Some("size=64m,mode=0755")));
    private.inspect_err(|error| eprintln!("SKIPPED: {test}, because mounts of its own were refused: {error}")).ok().map(|()| point)
}

#[test]
fn an_unknown_program_is_noticed_with_its_process() {
    let host = TestHost::new();
    let Some(watch) = host.watch("an_unknown_program_is_noticed_with_its_process") else { return };
    let program = host.program("unknown");
    let mut child = Command::new(&program).spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let seen = host.observed(&program, 1);
    assert_eq!(seen.usage, Use::Execute);
    assert_eq!(seen.file.kind, FileKind::ElfExecutable);
    assert_eq!(seen.file.size, fs::metadata(&program).unwrap().len());
    assert_eq!(seen.process.unwrap().pid, pid);
    assert!(seen.user_writable_folder, "the folder for temporary files is everybody's");
    assert!(seen.evidence.package.is_none());
    watch.stop();
    assert!(host.counters.unresolved.load(Ordering::Relaxed) >= 1);
}

#[test]
fn a_living_process_is_told_with_user_and_parent() {
    let host = TestHost::new();
    let Some(_watch) = host.watch("a_living_process_is_told_with_user_and_parent") else { return };
    let program = host.sleeper("sleeper");
    let mut child = Command::new(&program).arg("60").spawn().unwrap();
    let seen = host.observed(&program, 1);
    let process = seen.process.unwrap();
    let mounts = Mounts::read(Path::new(MOUNTINFO)).unwrap();
    let sha256 = seen.file.sha256;
    let runners = Runners { identifier: &host.identifier, mounts: &mounts, health: &host.health };
    let live = runners.of(&[(sha256, host.history.of(&sha256).unwrap())], None).remove(0);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((process.pid, process.parent_pid, process.uid), (child.id(), std::process::id(), Some(0)));
    assert!(process.start_ticks > 0);
    let own = PathBytes::new(std::env::current_exe().unwrap().into_os_string().into_encoded_bytes());
    assert_eq!(process.parent_path, Some(own));
    assert_eq!(
        live.iter().map(|live| (live.process.pid, live.fate)).collect::<Vec<_>>(),
        [(child.id(), Fate::Ran)],
        "found again among the living"
    );
    assert_eq!(host.history.of(&seen.file.sha256).unwrap().paths, [seen.path]);
}

#[test]
fn a_script_is_noticed_as_the_script() {
    let host = TestHost::new();
    let Some(_watch) = host.watch("a_script_is_noticed_as_the_script") else { return };
    let script = host.path("run.sh");
    fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    Command::new(&script).status().unwrap();
    assert_eq!(host.observed(&script, 1).file.kind, FileKind::Script);
}

#[test]
fn a_packaged_program_stays_on_the_host_until_somebody_changes_it() {
    let host = TestHost::new();
    let Some(_watch) = host.watch("a_packaged_program_stays_on_the_host_until_somebody_changes_it") else { return };
    let program = host.path("usr/bin/packaged");
    Command::new(&program).status().unwrap();
    let settled = wait_for("the package", || host.settled.lock().unwrap().iter().find(|(name, _)| name == "tools").cloned());
    assert!(host.observations().iter().all(|seen| seen.file.sha256 != settled.1));
    make_program(&program, "somebody was here");
    Command::new(&program).status().unwrap();
    let seen = host.observed(&program, 1);
    assert_eq!(seen.evidence.package.unwrap().fit, Fit::Modified);
}

#[test]
fn what_a_package_transaction_puts_in_place_is_judged_when_it_is_over() {
    const TEST: &str = "what_a_package_transaction_puts_in_place_is_judged_when_it_is_over";
    // In a folder that is root's alone, which no temporary folder is.
    let Some(folder) = private_mount(TEST, Path::new("/mnt")) else { return };
    let host = TestHost::in_folder(tempfile::tempdir_in(folder).unwrap());
    let Some(watch) = host.watch(TEST) else { return };
    let transaction = host.package_transaction();
    let program = host.program("usr/bin/unpacked");
    // A file is remembered only when it was read some time after it was written, so the first execution may not show.
    let mut executions = 0;
    wait_for("an execution to be noticed", || {
        Command::new(&program).status().unwrap();
        executions += 1;
        host.identifier_knows(&program).then_some(())
    });
    host.adopt("usr/bin/unpacked");
    drop(transaction);
    let reported = || {
        let unpacked = host.observations().into_iter().filter(|seen| seen.path.as_bytes().ends_with(b"/unpacked"));
        unpacked.map(|seen| seen.count).sum::<u64>()
    };
    let settled = || host.settled.lock().unwrap().iter().filter(|(name, _)| name == "tools").count() as u64;
    // The second sensor may tell of one that the marks tell of a moment later, so there can be more of them.
    wait_for("every execution to be settled or reported", || (settled() + reported() >= executions).then_some(()));
    assert_eq!(reported(), 0);
    // Not before: what still waits when watching ends is settled by what is known of it, unread.
    watch.stop();
}

#[test]
fn a_burst_loses_nothing_and_leaks_nothing() {
    const BURST: u64 = 400;
    let host = TestHost::new();
    let Some(watch) = host.watch("a_burst_loses_nothing_and_leaks_nothing") else { return };
    let program = host.program("burst");
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    Command::new(&program).status().unwrap();
    host.observed(&program, 1);
    let before = descriptors();
    let unresolved = || host.counters.unresolved.load(Ordering::Relaxed);
    let already = unresolved();
    let script = format!("i=0; while [ $i -lt {BURST} ]; do {} & i=$((i+1)); done; wait", program.display());
    Command::new("/bin/sh").arg("-c").arg(script).stdin(Stdio::null()).status().unwrap();
    wait_for("every execution to be judged", || (unresolved() >= already + BURST).then_some(()));
    assert_eq!(host.health.count(FailureReason::QueueFull) + host.health.count(FailureReason::EventsLost), 0);
    wait_for("all descriptors to be closed", || (descriptors() <= before + 4).then_some(()));
    watch.stop();
}

#[test]
fn what_runs_already_is_caught_up_with() {
    let host = TestHost::new();
    let program = host.sleeper("early");
    let mut child = Command::new(&program).arg("60").spawn().unwrap();
    // The file is open for execution before `spawn` returns, so the watch can know it only from the process.
    let watch = host.watch("what_runs_already_is_caught_up_with");
    let seen = watch.as_ref().map(|_| host.observed(&program, 1));
    child.kill().unwrap();
    child.wait().unwrap();
    if let Some(seen) = seen {
        assert_eq!(seen.process.unwrap().pid, child.id());
    }
}

#[test]
fn a_filesystem_mounted_later_is_watched_and_told() {
    const TEST: &str = "a_filesystem_mounted_later_is_watched_and_told";
    let Some(_) = private_mount(TEST, Path::new("/mnt")) else { return };
    let host = TestHost::new();
    let Some(watch) = host.watch(TEST) else { return };
    let point = host.path("later");
    fs::create_dir(&point).unwrap();
    mount(Some("none"), &point, Some("tmpfs"), MsFlags::empty(), Some("size=4m,mode=0755")).unwrap();
    let name = PathBytes::new(point.as_os_str().as_encoded_bytes());
    let coverage = watch.coverage();
    wait_for("the new filesystem to be covered", || coverage.borrow().covered.contains(&name).then_some(()));
    let program = point.join("tool");
    make_program(&program, "on a filesystem mounted later");
    Command::new(&program).status().unwrap();
    host.observed(&program, 1);
    watch.stop();
    nix::mount::umount(&point).expect("nothing holds the filesystem once watching stopped");
}

#[test]
fn a_file_without_a_name_is_told_as_deleted() {
    let host = TestHost::new();
    let Some(_watch) = host.watch("a_file_without_a_name_is_told_as_deleted") else { return };
    let program = host.sleeper("fleeting");
    let held = fs::File::open(&program).unwrap();
    fs::remove_file(&program).unwrap();
    let link = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&held));
    let mut child = Command::new(link).arg("60").spawn().unwrap();
    let wanted = format!("(deleted){}", program.display());
    let seen = wait_for("the deleted file", || host.observations().into_iter().find(|seen| seen.path.to_string() == wanted));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen.user_writable_folder, "what has no place may come from anywhere");
}

#[test]
fn stopping_is_quick_and_leaves_the_kernel_alone() {
    let host = TestHost::new();
    let Some(watch) = host.watch("stopping_is_quick_and_leaves_the_kernel_alone") else { return };
    let began = Instant::now();
    watch.stop();
    assert!(began.elapsed() < Duration::from_secs(3), "took {:?}", began.elapsed());
    let program = host.program("afterwards");
    assert!(Command::new(&program).status().unwrap().success());
    let wanted = PathBytes::new(program.as_os_str().as_encoded_bytes());
    assert!(host.observations().iter().all(|seen| seen.path != wanted));
}
