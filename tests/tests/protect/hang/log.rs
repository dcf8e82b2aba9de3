//! The agent says more than anybody takes: into a file that is renamed under it, and into a pipe that nobody reads.

use std::fs;
use std::io::{PipeReader, PipeWriter, Write, pipe};

use doorward_tests::lab::{Lab, LabAgent};
use doorward_tests::site::{Site, eventually, unheard_of};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{HOLD_LIMIT, holding};
use crate::{CANARY_LIMIT, minimal};

/// Unknown programs started meanwhile.
const STARTS: u32 = 16;

/// Executions go on, and so does everything that logs: only the runtime, which does, can answer `status`.
fn goes_on(lab: &Lab, agent: &mut LabAgent<'_>, folder: &str) {
    lab.add_programs(folder, &unheard_of(folder), STARTS);
    let waiting: Vec<_> = (0..STARTS).map(|number| lab.spawn_as(1000, &[format!("{folder}/{number}")])).collect();
    for _ in 0..5 {
        lab.assert_alive_within(CANARY_LIMIT);
    }
    for mut process in waiting {
        let ended = process.within(HOLD_LIMIT).expect("nobody waits past the deadline");
        assert!(ended.refusal().is_some(), "{ended:?}");
    }
    assert!(agent.is_running() && agent.holds_executions());
    eventually("the agent still talks to its CMS", || agent.ask(&["status"]).ok().filter(|status| status["connected"] == true));
}

/// A pipe that takes nothing more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

#[test]
fn a_log_that_is_renamed_or_that_nobody_reads() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut agent = holding(&lab, &site);
    fs::rename(agent.log_file(), agent.log_file().with_extension("old")).unwrap();
    goes_on(&lab, &mut agent, "/opt/renamed");
    agent.kill();
    let (nobody, pipe) = full_pipe();
    agent.run_logging_to(pipe.into());
    eventually("the agent protects again", || agent.holds_executions().then_some(()));
    goes_on(&lab, &mut agent, "/opt/unread");
    drop(nobody);
}
