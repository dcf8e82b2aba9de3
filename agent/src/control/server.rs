//! Listens on the socket and answers on one short-lived thread a request, within bounds for all, for each user, and with places
//! kept for root.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use doorward_policy::PathBytes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::connection::{Connection, Peer};
use super::protocol::{Answer, Refusal, RefusalCode, Request, ScanCounts, ScanOutcome};
use super::status::Status;
use super::trust::{Chain, TrustStatus, Unsigned, is_readable};
use super::why::Why;
use crate::health::{FailureReason, Health};
use crate::trust::Witnessed;
use crate::trust::ledger::Occasion;

/// Requests answered at the same time.
const REQUESTS_MAX: usize = 12;
/// Of those, for users other than root together.
const REQUESTS_OF_OTHERS_MAX: usize = 8;
/// Of those, for any one user other than root.
const REQUESTS_OF_ONE_MAX: usize = 3;
/// The socket's mode: anybody may connect, the answers differ.
const SOCKET_MODE: u32 = 0o666;

/// What the daemon answers with.
pub trait Daemon: Send + Sync + 'static {
    /// How it is.
    fn status(&self) -> Status;
    /// Why an open file may run or not.
    ///
    /// # Errors
    /// A refusal for the caller.
    fn why(&self, file: &File, path: &PathBytes, caller: Peer) -> Result<Why, Refusal>;
    /// Scans and reports; `progress` is called now and then and ends the scan with `Break`.
    ///
    /// # Errors
    /// A refusal for the caller.
    fn scan(&self, paths: Vec<PathBytes>, progress: &mut dyn FnMut(ScanCounts) -> ControlFlow<()>) -> Result<ScanOutcome, Refusal>;
    /// Reads an archive for the ledger.
    ///
    /// # Errors
    /// A refusal for the caller.
    fn witness(&self, archive: &File, occasion: Occasion) -> Result<Witnessed, Refusal>;
    /// Puts the ledger on disk.
    ///
    /// # Errors
    /// A refusal for the caller.
    fn witness_end(&self, occasion: Occasion) -> Result<(), Refusal>;
    /// The chain behind an open file.
    ///
    /// # Errors
    /// A refusal for the caller.
    fn chain(&self, file: &File, path: &PathBytes, caller: Peer) -> Result<Chain, Refusal>;
    /// How much signed archives vouch for.
    fn trust_status(&self) -> TrustStatus;
    /// Packages whose archive was not read.
    fn unsigned(&self) -> Vec<Unsigned>;
}

/// A socket being listened on. Dropping it stops listening and removes the socket.
pub struct Server {
    path: PathBuf,
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `path`. The caller holds the daemon's instance lock, so a socket that is there already is nobody's.
    ///
    /// # Errors
    /// When the folder or the socket cannot be made.
    pub fn start(path: &Path, daemon: Arc<dyn Daemon>, health: Health) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let desk = Arc::new(Desk { daemon, health, places: Places::default() });
        let listening = {
            let stop = Arc::clone(&stop);
            move || listen(&listener, &stop, &desk)
        };
        let thread = thread::Builder::new().name("control".into()).spawn(listening)?;
        Ok(Self { path: path.to_owned(), stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.stop.write(1).is_ok() {
            // Requests under way have threads of their own and end with their deadlines.
            drop(self.thread.take().map(JoinHandle::join));
        }
        drop(fs::remove_file(&self.path));
    }
}

fn listen(listener: &UnixListener, stop: &EventFd, desk: &Arc<Desk>) {
    loop {
        let mut waits = [PollFd::new(listener.as_fd(), PollFlags::POLLIN), PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waits, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                tracing::error!(%error, "the control socket is no longer answered");
                return;
            }
        }
        if waits[1].any() == Some(true) {
            return;
        }
        match listener.accept() {
            Ok((stream, _)) => desk.receive(stream),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                // Out of descriptors, most likely: the connection stays in the kernel's queue, and asking again at once would spin.
                tracing::warn!(%error, "cannot take a connection on the control socket");
                thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }
}

/// Where requests are answered.
struct Desk {
    daemon: Arc<dyn Daemon>,
    health: Health,
    places: Places,
}

impl Desk {
    fn receive(self: &Arc<Self>, stream: UnixStream) {
        let Ok(connection) = Connection::new(stream) else { return };
        let Some(place) = self.places.take(connection.peer.uid) else {
            let busy = Refusal::new(RefusalCode::Busy, "too many requests at once; ask again in a moment");
            return self.refuse(&connection, busy);
        };
        let desk = Arc::clone(self);
        let answer = move || {
            desk.serve(&connection);
            drop(place);
        };
        if let Err(error) = thread::Builder::new().name("control-request".into()).spawn(answer) {
            tracing::warn!(%error, "cannot start a thread to answer a request");
        }
    }

    fn serve(&self, connection: &Connection) {
        let outcome = connection.request().and_then(|(request, file)| self.answer(connection, request, file));
        match outcome {
            // A peer that left early misses its answer; nobody else does.
            Ok(answer) => drop(connection.answer(&answer)),
            Err(refusal) => self.refuse(connection, refusal),
        }
    }

    fn answer(&self, connection: &Connection, request: Request, file: Option<File>) -> Result<Answer, Refusal> {
        match request {
            Request::Status => Ok(Answer::Status(Box::new(self.daemon.status()))),
            Request::Why { path } => self.daemon.why(&along(file)?, &path, connection.peer).map(|why| Answer::Why(Box::new(why))),
            Request::Scan { paths } => {
                let mut progress = |counts| match connection.answer(&Answer::Progress(counts)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                };
                self.daemon.scan(paths, &mut progress).map(Answer::Scan)
            }
            Request::Witness { occasion } => self.daemon.witness(&along(file)?, occasion).map(Answer::Witness),
            Request::WitnessEnd { occasion } => self.daemon.witness_end(occasion).map(|()| Answer::Done),
            Request::TrustShow { path } => {
                self.daemon.chain(&along(file)?, &path, connection.peer).map(|chain| Answer::Chain(Box::new(chain)))
            }
            Request::TrustStatus => Ok(Answer::TrustStatus(Box::new(self.daemon.trust_status()))),
            Request::TrustUnsigned => Ok(Answer::TrustUnsigned(self.daemon.unsigned())),
        }
    }

    fn refuse(&self, connection: &Connection, refusal: Refusal) {
        if matches!(refusal.code, RefusalCode::Malformed | RefusalCode::Busy) {
            self.health.note(FailureReason::RequestRefused);
        }
        drop(connection.answer(&Answer::Error(refusal)));
    }
}

/// The open file that a request needs.
fn along(file: Option<File>) -> Result<File, Refusal> {
    file.filter(is_readable)
        .ok_or_else(|| Refusal::new(RefusalCode::Malformed, "no open file came with the question, or one that is not open for reading"))
}

/// Places for requests under way, by user.
#[derive(Default)]
struct Places(Arc<Mutex<HashMap<u32, usize>>>);

/// One place; given back when dropped.
struct Place {
    places: Arc<Mutex<HashMap<u32, usize>>>,
    uid: u32,
}

impl Places {
    fn take(&self, uid: u32) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let others = all - taken.get(&0).copied().unwrap_or(0);
        let own = taken.get(&uid).copied().unwrap_or(0);
        let has_room = match uid {
            0 => all < REQUESTS_MAX,
            _ => others < REQUESTS_OF_OTHERS_MAX && own < REQUESTS_OF_ONE_MAX,
        };
        has_room.then(|| {
            *taken.entry(uid).or_default() += 1;
            Place { places: Arc::clone(&self.0), uid }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests;
