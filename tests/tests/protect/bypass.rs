//! Ways round the marks: what runs where no mark can be is noticed after the fact, killed, and told.

use doorward_tests::site::{Site, sha256, unheard_of};

use crate::minimal;

#[test]
fn a_filesystem_mounted_in_a_user_namespace_hides_nothing() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut tool = std::fs::read("/bin/sleep").unwrap();
    tool.extend_from_slice(b"\0hidden in a user namespace");
    lab.add_program("/opt/sleeper", &tool);
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    agent.protects(&site, "allow");
    agent.decided(&site, "deny", &sha256(&tool), "/opt/sleeper");
    let script = "mount -t tmpfs none /mnt && cp /opt/sleeper /mnt/sleeper && exec /mnt/sleeper 5";
    let ended = lab.spawn_as(1000, &["unshare", "-Urm", "sh", "-c", script]).ended();
    assert!(!ended.success(), "a denied program ran for as long as it liked: {ended:?}");
    assert_eq!(ended.signal(), Some(9), "it was killed: {ended:?}");
    let _ = site.incident("threat_executed", &sha256(&tool));
}

#[test]
fn what_nobody_denied_may_run_in_a_user_namespace() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    agent.protects(&site, "allow");
    lab.add_program("/opt/tool", &unheard_of("nobody denied it"));
    let script = "mount -t tmpfs none /mnt && cp /opt/tool /mnt/tool && exec /mnt/tool";
    let ended = lab.spawn_as(1000, &["unshare", "-Urm", "sh", "-c", script]).ended();
    assert!(ended.success(), "{ended:?}");
}
