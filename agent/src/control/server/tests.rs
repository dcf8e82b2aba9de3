//! The socket with a daemon that is not one, and with peers that mean harm.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use doorward_policy::{HostId, Mode, ProfileId};

use super::super::client::{ClientError, ask};
use super::super::protocol::REQUEST_BYTES_MAX;
use super::super::status::PolicyStatus;
use super::*;
use crate::control::trust::PackageCounts;
use crate::trust::ledger::LedgerGauges;
use crate::trust::repository::SignedIndexes;

/// Answers everything without doing anything.
#[derive(Default)]
struct Dummy {
    scans: AtomicUsize,
}

impl Daemon for Dummy {
    fn status(&self) -> Status {
        Status {
            mode: Mode::Detect,
            host_id: HostId::from_slice(&[1; 16]).unwrap(),
            profile_id: ProfileId::from_slice(&[2; 16]).unwrap(),
            profile: "default".into(),
            cms: "https://cms.example:8443".into(),
            connected: true,
            last_error: None,
            policy: PolicyStatus::default(),
            settings_revision: 7,
            watches: doorward_proto::uplink::CoverageKind::Exec,
            pending: 0,
            awaiting: 0,
            dropped: 0,
            packages: PackageCounts::default(),
            coverage: doorward_proto::report::Coverage::default(),
            sandbox: crate::sandbox::Standing::default(),
            scan: None,
            failures: std::collections::BTreeMap::new(),
            executions: crate::control::status::Executions::default(),
            version: "0".into(),
            uptime_s: 1,
        }
    }

    fn why(&self, file: &File, path: &PathBytes, _caller: Peer) -> Result<Why, Refusal> {
        let mut text = String::new();
        (&*file).read_to_string(&mut text).unwrap();
        Err(Refusal::new(RefusalCode::Unreadable, format!("{path} holds {text}")))
    }

    fn scan(&self, _paths: Vec<PathBytes>, progress: &mut dyn FnMut(ScanCounts) -> ControlFlow<()>) -> Result<ScanOutcome, Refusal> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        for files in 1..=3 {
            if progress(ScanCounts { files, ..ScanCounts::default() }).is_break() {
                break;
            }
        }
        Ok(ScanOutcome { files: 3, ..ScanOutcome::default() })
    }

    fn witness(&self, _archive: &File, _occasion: Occasion) -> Result<Witnessed, Refusal> {
        Ok(Witnessed::Unusable { reason: "a test".into() })
    }

    fn witness_end(&self, _occasion: Occasion) -> Result<(), Refusal> {
        Ok(())
    }

    fn chain(&self, _file: &File, path: &PathBytes, _caller: Peer) -> Result<Chain, Refusal> {
        Err(Refusal::new(RefusalCode::Unreadable, path.to_string()))
    }

    fn trust_status(&self) -> TrustStatus {
        TrustStatus::new(PackageCounts::default(), LedgerGauges::default(), Vec::new(), &SignedIndexes::default())
    }

    fn unsigned(&self) -> Vec<Unsigned> {
        Vec::new()
    }
}

/// A socket that is answered.
struct Socket {
    _folder: tempfile::TempDir,
    path: PathBuf,
    health: Health,
    _server: Server,
}

fn socket() -> Socket {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/agent.sock");
    let health = Health::default();
    let server = Server::start(&path, Arc::new(Dummy::default()), health.clone()).unwrap();
    Socket { _folder: folder, path, health, _server: server }
}

impl Socket {
    /// Sends these bytes and returns what comes back until the daemon closes.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // The daemon may close before everything is sent; that is its right.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }
}

fn nothing(_: ScanCounts) {}

#[test]
fn status_is_answered() {
    let socket = socket();
    let answer = ask(&socket.path, &Request::Status, None, &mut nothing).unwrap();
    assert!(matches!(answer, Answer::Status(status) if status.settings_revision == 7));
}

#[test]
fn the_open_file_arrives_with_the_question() {
    let socket = socket();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"these bytes").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let request = Request::Why { path: PathBytes::new(*b"/x\n") };
    let error = ask(&socket.path, &request, Some(file.as_fd()), &mut nothing).unwrap_err();
    assert_eq!(error.to_string(), "/x\\n holds these bytes");
    let error = ask(&socket.path, &request, None, &mut nothing).unwrap_err();
    assert!(error.to_string().contains("no open file"), "{error}");
}

#[test]
fn a_scan_tells_how_far_it_is() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: a_scan_tells_how_far_it_is, because only root may ask for a scan");
        return;
    }
    let socket = socket();
    let mut seen = Vec::new();
    let answer = ask(&socket.path, &Request::Scan { paths: Vec::new() }, None, &mut |counts| seen.push(counts.files)).unwrap();
    assert!(matches!(answer, Answer::Scan(outcome) if outcome.files == 3));
    assert_eq!(seen, [1, 2, 3]);
}

#[test]
fn what_is_no_request_is_refused_with_a_reason_and_counted() {
    let socket = socket();
    let long = vec![b'x'; REQUEST_BYTES_MAX + 1];
    let deep = [b"[".repeat(REQUEST_BYTES_MAX - 2), b"\n".to_vec()].concat();
    let hostile: [&[u8]; 8] = [
        b"",
        b"\n",
        b"\xff\xfe\n",
        b"{\"request\":\"reboot\"}\n",
        b"{\"request\":\"scan\",\"paths\":[],\"extra\":1}\n",
        b"{\"request\":\"why\",\"path\":\"\\\\x\"}\n",
        &long,
        &deep,
    ];
    for bytes in hostile {
        let answer = socket.say(bytes);
        assert!(answer.starts_with("{\"error\":{\"code\":\"malformed\""), "{answer}");
    }
    assert_eq!(socket.health.count(FailureReason::RequestRefused), hostile.len() as u64);
    ask(&socket.path, &Request::Status, None, &mut nothing).expect("the daemon still answers");
}

#[test]
fn one_user_cannot_take_all_places() {
    let places = Places::default();
    let mut kept: Vec<_> = (0..REQUESTS_OF_ONE_MAX).map(|_| places.take(1000).unwrap()).collect();
    assert!(places.take(1000).is_none());
    let mut uid = 1001;
    while kept.len() < REQUESTS_OF_OTHERS_MAX {
        kept.push(places.take(uid).unwrap());
        uid += 1;
    }
    assert!(places.take(uid).is_none(), "others together have their bound");
    kept.extend((0..REQUESTS_MAX - REQUESTS_OF_OTHERS_MAX).map(|_| places.take(0).expect("root has places of its own")));
    assert!(places.take(0).is_none());
    kept.clear();
    assert!(places.take(1000).is_some());
}

#[test]
fn silent_peers_do_not_keep_root_from_asking() {
    let socket = socket();
    let silent: Vec<_> = (0..REQUESTS_MAX + 20).map(|_| UnixStream::connect(&socket.path).unwrap()).collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match ask(&socket.path, &Request::Status, None, &mut nothing) {
            Ok(_) => break,
            Err(ClientError::Refused(refusal)) if refusal.code == RefusalCode::Busy => {}
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "silent peers were never let go");
        thread::yield_now();
    }
    drop(silent);
}

#[test]
fn the_socket_is_gone_when_the_daemon_is() {
    let socket = socket();
    let path = socket.path.clone();
    drop(socket);
    let error = ask(&path, &Request::Status, None, &mut nothing).unwrap_err();
    assert!(matches!(error, ClientError::NoDaemon { .. }));
    assert!(error.to_string().contains("doorward-agent run"), "{error}");
}

#[test]
fn anybody_may_connect() {
    let socket = socket();
    assert_eq!(fs::metadata(&socket.path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
}
