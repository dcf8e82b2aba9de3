//! The agent says more than anybody takes: into a file that is renamed under it, into a pipe that nobody reads or whose readers come and
//! go, and to a journal that stands still, is gone and comes back.

use std::fs::{self, File, OpenOptions};
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use doorward_tests::lab::{Lab, LabAgent};
use doorward_tests::site::{Site, eventually, unheard_of};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{HOLD_LIMIT, holding};
use crate::{CANARY_LIMIT, minimal};

/// Unknown programs started meanwhile.
const STARTS: u32 = 16;
/// What tells that lines were lost.
const LOST: &str = " log lines were dropped";
/// How long a reader of a pipe stays before another takes its place.
const TURN: Duration = Duration::from_millis(20);
/// Where the journal takes entries, in the lab.
const JOURNAL: &str = "run/systemd/journal/socket";

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

/// The next reader of a named pipe, which waits for nothing.
fn next_reader(path: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).unwrap()
}

/// Readers that take a little and are replaced, now and then after a while in which there is none, until it is over.
fn take_turns(path: &Path, is_over: &AtomicBool) {
    let mut taken = vec![0; 4_096];
    for turn in 0_u32.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let mut reader = next_reader(path);
        thread::sleep(TURN);
        let _ = reader.read(&mut taken);
        drop(reader);
        if turn % 3 == 0 {
            thread::sleep(TURN);
        }
    }
}

/// Ends the turns with the test, however that ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_log_whose_readers_are_replaced_all_the_time() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut agent = holding(&lab, &site);
    agent.kill();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
    let first = next_reader(&path);
    agent.run_logging_to(OpenOptions::new().write(true).open(&path).unwrap().into());
    drop(first);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| take_turns(&path, &is_over));
        eventually("the agent protects again", || agent.holds_executions().then_some(()));
        goes_on(&lab, &mut agent, "/opt/replaced");
    });
    // Nobody reads any more, and who writes is told so.
    goes_on(&lab, &mut agent, "/opt/nobody");
    let (mut last, mut said) = (next_reader(&path), Vec::new());
    eventually("it goes on logging, and says what was lost", || {
        let _ = agent.ask(&["status"]);
        let _ = last.read_to_end(&mut said);
        String::from_utf8_lossy(&said).contains(LOST).then_some(())
    });
}

/// A journal, as a program in the lab reaches it.
fn journal(path: &Path) -> UnixDatagram {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let journal = UnixDatagram::bind(path).unwrap();
    journal.set_nonblocking(true).unwrap();
    journal
}

#[test]
fn a_journal_that_stands_still_is_gone_and_comes_back() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut agent = holding(&lab, &site);
    agent.kill();
    let keeper = lab.spawn(&["sleep", "600"]);
    let path = eventually("somebody is in the lab", || {
        let root = PathBuf::from(format!("/proc/{}/root", keeper.pid()));
        root.join("usr/sbin/doorward-lab").is_file().then(|| root.join(JOURNAL))
    });
    let unread = journal(&path);
    agent.run_logging_to_journal();
    eventually("the agent protects again", || agent.holds_executions().then_some(()));
    assert!(unread.recv(&mut [0; 65_536]).is_ok(), "it logs to the journal");
    goes_on(&lab, &mut agent, "/opt/still");
    fs::remove_file(&path).unwrap();
    drop(unread);
    goes_on(&lab, &mut agent, "/opt/gone");
    let (back, mut entry) = (journal(&path), vec![0; 65_536]);
    eventually("it goes on logging, and says what was lost", || {
        let _ = agent.ask(&["status"]);
        let length = back.recv(&mut entry).ok()?;
        String::from_utf8_lossy(&entry[..length]).contains(LOST).then_some(())
    });
    goes_on(&lab, &mut agent, "/opt/back");
}
