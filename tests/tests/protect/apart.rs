//! The lab itself: what it is made of, that it is apart from the machine, and that it leaves nothing behind.

use std::fs;

use doorward_tests::site::unheard_of;
use nix::errno::Errno;

use crate::{CANARY_LIMIT, minimal};

#[test]
fn a_lab_is_apart_from_the_machine() {
    let Some(lab) = minimal() else { return };
    lab.assert_apart();
    let table = lab.mountinfo();
    assert_eq!(table.lines().count(), 5, "root, /proc, /sys, /tmp and /run:\n{table}");
    assert!(table.lines().all(|line| !line.contains("shared:") && !line.contains("master:")), "nothing propagates:\n{table}");
    let root = table.lines().find(|line| line.contains(" / / ")).unwrap().split(' ').nth(2).unwrap().to_owned();
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&format!(" {root} ")), "the machine sees none of it");
}

#[test]
fn programs_run_in_it_and_say_how_they_ended() {
    let Some(lab) = minimal() else { return };
    let ended = lab.run(&["sh", "-c", "echo out; echo err >&2; id -u; exit 3"]);
    assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(3), "out\n0\n", "err\n"));
    assert_eq!(lab.spawn_as(1000, &["id", "-u"]).ended().stdout, "1000\n");
    lab.add_program("/opt/tool", &unheard_of("tool"));
    assert!(lab.run(&["/opt/tool"]).success());
    lab.remove("/opt/tool");
    assert_eq!(lab.run(&["/opt/tool"]).refusal(), Some(Errno::ENOENT));
    lab.write("/opt/text", b"#!/nowhere\n", "644");
    assert_eq!(lab.run(&["/opt/text"]).refusal(), Some(Errno::EACCES));
}

#[test]
fn canaries_sing_on_every_filesystem() {
    let Some(lab) = minimal() else { return };
    lab.mount_tmpfs("/mnt/more");
    let mut paths: Vec<_> = lab.canary_open().into_iter().map(|canary| canary.path.to_string_lossy().into_owned()).collect();
    paths.sort();
    assert_eq!(paths, ["/.canary", "/mnt/more/.canary", "/run/.canary", "/tmp/.canary"]);
    lab.assert_alive_within(CANARY_LIMIT);
}

#[test]
fn what_does_not_end_is_given_up_and_killed() {
    let Some(lab) = minimal() else { return };
    let mut sleeper = lab.spawn(&["sleep", "600"]);
    assert!(sleeper.within(std::time::Duration::from_millis(200)).is_none());
    let pid = sleeper.pid();
    lab.must(&["sh", "-c", "sleep 600 &"]);
    drop(sleeper);
    assert!(!fs::exists(format!("/proc/{pid}/root")).unwrap());
}

#[test]
fn a_lab_leaves_no_loop_device_and_no_process() {
    let Some(lab) = minimal() else { return };
    lab.must(&["sh", "-c", "sleep 600 >/dev/null 2>&1 &"]);
    let source = lab.mountinfo().lines().find(|line| line.contains(" - ext4 ")).unwrap().to_owned();
    let device = source.split_whitespace().find(|word| word.starts_with("/dev/loop")).unwrap().trim_start_matches("/dev/").to_owned();
    let backing = fs::read_to_string(format!("/sys/block/{device}/loop/backing_file")).unwrap();
    drop(lab);
    assert_ne!(fs::read_to_string(format!("/sys/block/{device}/loop/backing_file")).unwrap_or_default(), backing);
}
