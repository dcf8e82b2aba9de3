//! Mounts that no mark can reach, in a user namespace: nothing there is held or denied, and nothing is broken either.

use doorward_tests::site::{Site, unheard_of};

use crate::minimal;

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
