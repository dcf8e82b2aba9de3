//! The management server is there and yet is not: it stands still with the stream open, is slow, accepts and says nothing, or talks
//! nonsense.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use doorward_tests::lab::{Lab, LabAgent};
use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{HOLD_LIMIT, holding};
use crate::{CANARY_LIMIT, minimal};

/// Connections that wait to be looked at.
const CONNECTIONS_MAX: usize = 8;
/// A slow server works for so long ...
const AWAKE: Duration = Duration::from_millis(5);
/// ... and then stands still for so long.
const ASLEEP: Duration = Duration::from_millis(400);

/// What is known goes on, what is not is refused in time.
fn goes_on(lab: &Lab, agent: &mut LabAgent<'_>, name: &str) {
    lab.add_program("/opt/unknown", &unheard_of(name));
    let mut unknown = lab.spawn(&["/opt/unknown"]);
    lab.assert_alive_within(CANARY_LIMIT);
    let ended = unknown.within(HOLD_LIMIT).expect("nobody answers, and it does not wait for ever");
    assert!(ended.refusal().is_some(), "{ended:?}");
    assert!(agent.is_running() && agent.holds_executions(), "{}", agent.log());
}

/// Takes the place of a server that was killed; every connection made is handed over, for as long as anybody wants them.
fn impostor(site: &mut Site) -> Receiver<TcpStream> {
    let address = site.url().trim_start_matches("https://").to_owned();
    site.kill();
    let listener = eventually("the port is free", || TcpListener::bind(&address).ok());
    let (connections, made) = sync_channel(CONNECTIONS_MAX);
    thread::spawn(move || listener.incoming().flatten().map(|connection| connections.send(connection)).find(Result::is_err));
    made
}

/// A process that gets hardly anything done, until this is dropped.
struct Slow {
    over: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Slow {
    fn make(process: Pid) -> Self {
        let (over, is_over) = sync_channel::<()>(0);
        let thread = thread::spawn(move || {
            let is_going_on = || is_over.recv_timeout(ASLEEP).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout);
            let _ = kill(process, Signal::SIGSTOP);
            while is_going_on() {
                let _ = kill(process, Signal::SIGCONT);
                thread::sleep(AWAKE);
                let _ = kill(process, Signal::SIGSTOP);
            }
            let _ = kill(process, Signal::SIGCONT);
        });
        Self { over: Some(over), thread: Some(thread) }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.over = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_cms_that_is_slow() {
    let Some(lab) = minimal() else { return };
    let mut site = Site::start();
    let mut agent = holding(&lab, &site);
    let slow = Slow::make(Pid::from_raw(i32::try_from(site.cms().pid()).unwrap()));
    goes_on(&lab, &mut agent, "asked of a slow CMS");
    goes_on(&lab, &mut agent, "asked of a slow CMS again");
    drop(slow);
    eventually("the agent is heard again", || site.file(&sha256(&unheard_of("asked of a slow CMS again"))));
}

#[test]
fn a_cms_that_stands_still() {
    let Some(lab) = minimal() else { return };
    let mut site = Site::start();
    let mut agent = holding(&lab, &site);
    let cms = Pid::from_raw(i32::try_from(site.cms().pid()).unwrap());
    kill(cms, Signal::SIGSTOP).unwrap();
    goes_on(&lab, &mut agent, "asked of a CMS that stands still");
    kill(cms, Signal::SIGCONT).unwrap();
}

#[test]
fn a_cms_that_accepts_and_says_nothing() {
    let Some(lab) = minimal() else { return };
    let mut site = Site::start();
    let mut agent = holding(&lab, &site);
    let connections = impostor(&mut site);
    let _silent = connections.recv().expect("the agent tries again");
    goes_on(&lab, &mut agent, "asked of a CMS that says nothing");
}

#[test]
fn a_cms_that_talks_nonsense() {
    let Some(lab) = minimal() else { return };
    let mut site = Site::start();
    let mut agent = holding(&lab, &site);
    let connections = impostor(&mut site);
    let nonsense = thread::spawn(move || {
        let mut told = 0;
        while told < 5 {
            let Ok(mut connection) = connections.recv() else { return told };
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\nnonsense");
            told += 1;
        }
        told
    });
    goes_on(&lab, &mut agent, "asked of a CMS that talks nonsense");
    assert_eq!(nonsense.join().unwrap(), 5, "it goes on trying");
    goes_on(&lab, &mut agent, "asked again");
}
