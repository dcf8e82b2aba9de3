//! Where nobody protects, the attacks of the other stories succeed: a story that cannot fail would prove nothing.

use std::time::Duration;

use doorward_tests::lab::attack::Way;
use doorward_tests::site::unheard_of;

use crate::{CANARY_LIMIT, failing, minimal};

const ROUNDS: u32 = 200;

#[test]
fn a_file_changed_in_time_runs_changed() {
    let Some(lab) = minimal() else { return };
    lab.add_program("/opt/good", &unheard_of("good"));
    lab.add_program("/opt/bad", &failing("bad"));
    for way in Way::ALL {
        let tally = lab.attack(1000, way, ["/opt/good", "/opt/bad", "/home/ann/victim"], ROUNDS);
        eprintln!("{}: {tally:?}", way.word());
        assert!(tally.good > 0 && tally.bad > 0, "{}: {tally:?}", way.word());
        assert_eq!((tally.denied, tally.killed), (0, 0), "nobody is there to deny: {tally:?}");
    }
    // What somebody has mapped for writing the kernel itself does not start.
    let tally = lab.attack(1000, Way::Mapping, ["/opt/good", "/opt/bad", "/home/ann/victim"], ROUNDS);
    assert_eq!((tally.good, tally.busy), (ROUNDS, ROUNDS), "{tally:?}");
}

#[test]
fn a_user_namespace_has_a_filesystem_of_its_own() {
    let Some(lab) = minimal() else { return };
    lab.add_program("/opt/tool", &unheard_of("hidden"));
    let script = "mount -t tmpfs none /mnt && cp /opt/tool /mnt/tool && exec /mnt/tool";
    let ended = lab.spawn_as(1000, &["unshare", "-Urm", "sh", "-c", script]).ended();
    assert!(ended.success(), "{ended:?}");
}

#[test]
fn a_storm_of_processes_starts_and_ends() {
    let Some(lab) = minimal() else { return };
    lab.add_programs("/opt/storm", &failing("storm"), 500);
    let script = "i=0; while [ $i -lt 500 ]; do /opt/storm/$i & i=$((i+1)); done; wait; echo done";
    let mut storm = lab.spawn_as(1000, &["sh", "-c", script]);
    assert_eq!(lab.canary_exec_as(1001).errno, None);
    assert_eq!(storm.within(Duration::from_secs(60)).unwrap().stdout, "done\n");
    lab.add_padded_program("/opt/padded", &unheard_of("padded"), 5 << 30);
    assert!(lab.spawn_as(1000, &["/opt/padded"]).ended().success());
    lab.assert_alive_within(CANARY_LIMIT);
}
