//! Filesystems come and go; what runs from them is judged like everything else.

use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use nix::errno::Errno;

use crate::{CANARY_LIMIT, minimal};

#[test]
fn a_filesystem_mounted_later_is_watched() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    lab.mount_tmpfs("/mnt/late");
    eventually("it is covered", || agent.status()["coverage"]["covered"].to_string().contains("\"/mnt/late\"").then_some(()));
    lab.add_program("/mnt/late/tool", &unheard_of("on a late filesystem"));
    assert_eq!(lab.run(&["/mnt/late/tool"]).refusal(), Some(Errno::EPERM));
    lab.assert_alive_within(CANARY_LIMIT);
    lab.must(&["umount", "/mnt/late"]);
    eventually("it is forgotten", || (!agent.status()["coverage"]["covered"].to_string().contains("/mnt/late")).then_some(()));
}

#[test]
fn a_bind_mount_and_a_mount_namespace_change_nothing() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let tool = unheard_of("through a bind mount");
    lab.add_program("/opt/tool", &tool);
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    lab.must(&["mkdir", "/mnt/bound"]);
    lab.must(&["mount", "--bind", "/opt", "/mnt/bound"]);
    assert_eq!(lab.run(&["/mnt/bound/tool"]).refusal(), Some(Errno::EPERM));
    let ended = lab.run(&["unshare", "--mount", "/opt/tool"]);
    assert_eq!(ended.status.code(), Some(126), "unshare says that it could not execute: {ended:?}");
    let _ = site.file_with_reason(&sha256(&tool), "unknown");
}
