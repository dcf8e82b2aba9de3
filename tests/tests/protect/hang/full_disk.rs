//! The disk under the agent's state is full while nobody knows what is started.

use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use nix::errno::Errno;

use crate::{CANARY_LIMIT, minimal};

const STATE: &str = "/var/lib/doorward-agent";
/// Unknown programs started while the disk is full.
const STARTS: u32 = 24;

#[test]
fn a_full_disk_under_the_state() {
    let Some(lab) = minimal() else { return };
    lab.mount_tmpfs(STATE);
    let site = Site::start();
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    let fill = format!("{STATE}/fill");
    // Until there is no room left; how dd takes that is not of interest.
    let _ = lab.run(&["dd", "if=/dev/zero", &format!("of={fill}"), "bs=64k"]);
    lab.add_programs("/opt/unknown", &unheard_of("started on a full disk"), STARTS);
    for number in 0..STARTS {
        let ended = lab.spawn_as(1000, &[format!("/opt/unknown/{number}")]).ended();
        assert_eq!(ended.refusal(), Some(Errno::EPERM), "{ended:?}");
        assert!(ended.took <= CANARY_LIMIT, "{ended:?}");
    }
    lab.assert_alive_within(CANARY_LIMIT);
    lab.add_program("/opt/last", &unheard_of("the last one on a full disk"));
    assert_eq!(lab.run(&["/opt/last"]).refusal(), Some(Errno::EPERM));
    lab.remove(&fill);
    eventually("the reports arrive", || {
        let _ = lab.run(&["/opt/last"]);
        site.file(&sha256(&unheard_of("the last one on a full disk")))
    });
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
}
