//! A running simulator inside this process: start, ask, stop on drop.
//!
//! It runs on a thread and a runtime of its own, so that tests with or without one can hold it. The binary
//! `doorward-ti-simulator` is this behind a command line; `process` holds that binary as a child.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum_server::Handle;
use jiff::Timestamp;
use tempfile::TempDir;

use super::account::Accounts;
use super::catalogue::Catalogue;
use super::certificate::{Identity, write_private};
use super::checksum::Checksum;
use super::fault::Fault;
use super::limit::Limit;
use super::record::Record;
use super::service::Service;
use super::tally::{KeptRequest, Stats};
use super::{control, endpoint};

/// How long answers under way may go on after a stop.
const STOP_GRACE: Duration = Duration::from_millis(500);
const ANY_LOOPBACK_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Where the quota's days come from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a simulator starts. The default suits an in-process test: free loopback ports, a folder of its own, no records.
#[derive(Clone)]
pub struct Options {
    /// The provider's address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The control plane's address; loopback only, since it asks for no credentials.
    pub control_listen: SocketAddr,
    /// Gets `ca.pem`, `server.pem`, `server.key` and `password`; certificates that are already there are used. `None`
    /// is a temporary folder that goes with the simulator.
    pub state_dir: Option<PathBuf>,
    /// The entitled account.
    pub user: String,
    /// An account with the same password that is answered 403.
    pub forbidden_user: String,
    /// Of both accounts.
    pub password: String,
    /// What the provider knows at the start.
    pub records: Vec<Record>,
    /// Hashes per request and quota at the start.
    pub limit: Limit,
    /// Wall clock by default.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: ANY_LOOPBACK_PORT,
            control_listen: ANY_LOOPBACK_PORT,
            state_dir: None,
            user: "u/doorward/simulator".to_owned(),
            forbidden_user: "u/doorward/forbidden".to_owned(),
            password: "simulator".to_owned(),
            records: Vec::new(),
            limit: Limit::default(),
            clock: Arc::new(Timestamp::now),
        }
    }
}

/// What the two servers and the owner share.
pub(crate) struct Shared {
    service: Mutex<Service>,
    clock: Clock,
}

impl Shared {
    pub(crate) fn service(&self) -> MutexGuard<'_, Service> {
        // A panic while it was held is that request's failure; counts and records are whole between statements.
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// A provider that answers until it is dropped.
pub struct Simulator {
    address: SocketAddr,
    control_address: SocketAddr,
    state_dir: PathBuf,
    ca_path: PathBuf,
    ca_pem: String,
    shared: Arc<Shared>,
    stops: [Handle<SocketAddr>; 2],
    thread: Option<JoinHandle<()>>,
    /// After the thread, which may still read from it.
    _own_folder: Option<TempDir>,
}

impl Simulator {
    /// Returns when both ports are bound; connections are taken from then on.
    pub fn start(options: Options) -> Result<Self> {
        ensure!(
            options.control_listen.ip().is_loopback(),
            "the control plane asks for no credentials; {} is not a loopback address",
            options.control_listen
        );
        let own_folder = match options.state_dir {
            Some(_) => None,
            None => Some(tempfile::tempdir().context("cannot make a folder for the simulator")?),
        };
        let state_dir = match (&options.state_dir, &own_folder) {
            (Some(folder), _) => folder.clone(),
            (None, own) => own.as_ref().expect("made above when none was given").path().to_owned(),
        };
        fs::create_dir_all(&state_dir).with_context(|| format!("cannot make {}", state_dir.display()))?;
        write_private(&state_dir.join("password"), format!("{}\n", options.password).as_bytes())?;
        let identity = Identity::in_folder(&state_dir, options.listen.ip())?;
        let ca_pem = fs::read_to_string(&identity.ca).context("cannot read ca.pem")?;
        let tls = identity.server_config()?;

        let (listener, address) = bind(options.listen)?;
        let (control_listener, control_address) = bind(options.control_listen)?;
        let shared = Arc::new(Shared { service: Mutex::new(service(&options)?), clock: options.clock });
        let stops = [Handle::new(), Handle::new()];
        let provider = endpoint::serve(listener, tls, shared.clone(), stops[0].clone());
        let control = control::serve(control_listener, shared.clone(), stops[1].clone());
        Ok(Self {
            address,
            control_address,
            state_dir,
            ca_path: identity.ca,
            ca_pem,
            shared,
            stops,
            thread: Some(run(async { tokio::try_join!(provider, control).map(|_| ()) })?),
            _own_folder: own_folder,
        })
    }

    /// `https://127.0.0.1:PORT`, without a path.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// `http://127.0.0.1:PORT`, without a path.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control_address)
    }

    /// The certificate that clients must be told to trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The file that holds [`ca_pem`](Self::ca_pem).
    pub fn ca_path(&self) -> &Path {
        &self.ca_path
    }

    /// A file that holds the password and a newline, readable by its owner alone.
    pub fn password_path(&self) -> PathBuf {
        self.state_dir.join("password")
    }

    /// Adds or replaces what the provider knows about one file; holds from the next question on.
    pub fn put_record(&self, record: Record) -> Result<()> {
        self.shared.service().put_record(record.checked()?)
    }

    /// Makes the file UNKNOWN; false when it was.
    pub fn remove_record(&self, sha256: &Checksum) -> bool {
        self.shared.service().remove_record(sha256).is_some()
    }

    /// Replaces the order in force.
    pub fn fault(&self, fault: Fault) -> Result<()> {
        self.shared.service().order(fault.checked()?);
        Ok(())
    }

    /// Replaces all limits; what is used of the quota stays used.
    pub fn limit(&self, limit: Limit) -> Result<()> {
        self.shared.service().set_limit(limit.checked()?);
        Ok(())
    }

    /// Counts since the start or the last clearing.
    pub fn stats(&self) -> Stats {
        self.shared.service().stats(self.shared.now())
    }

    /// Forgets everything that was asked, the used quota included.
    pub fn clear_stats(&self) {
        self.shared.service().clear_stats();
    }

    /// How often the hash was asked, by this kind of checksum.
    pub fn asked(&self, checksum: &Checksum) -> u64 {
        self.shared.service().asked(checksum)
    }

    /// The last 1000 requests word for word, oldest first.
    pub fn requests(&self) -> Vec<KeptRequest> {
        self.shared.service().kept_requests()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for stop in &self.stops {
            stop.graceful_shutdown(Some(STOP_GRACE));
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been printed by its thread; a second one here would abort the test run.
            let _ = thread.join();
        }
    }
}

fn service(options: &Options) -> Result<Service> {
    let mut catalogue = Catalogue::default();
    for record in options.records.iter().cloned() {
        catalogue.put(record.checked()?)?;
    }
    let accounts =
        Accounts { user: options.user.clone(), forbidden_user: options.forbidden_user.clone(), password: options.password.clone() };
    Ok(Service::new(accounts, catalogue, options.limit.checked()?))
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr().context("cannot read the bound address")?;
    Ok((listener, bound))
}

fn run(servers: impl Future<Output = std::io::Result<()>> + Send + 'static) -> Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    std::thread::Builder::new()
        .name("ti-simulator".to_owned())
        .spawn(move || {
            if let Err(error) = runtime.block_on(servers) {
                eprintln!("the threat-intelligence simulator stopped: {error}");
            }
        })
        .context("cannot start a thread")
}
