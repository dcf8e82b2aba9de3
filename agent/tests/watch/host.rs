//! A host for tests: a root of its own with a package database, a pending store, and a real watch.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorward_agent::exec::{Counters, History, Setup, Watch};
use doorward_agent::health::{Health, Pulses};
use doorward_agent::identify::{Identifier, IdentityStore, Limits};
use doorward_agent::judge::{Closure, Judge};
use doorward_agent::list::Lists;
use doorward_agent::pending::{self, Pending};
use doorward_agent::system::entropy;
use doorward_agent::system::group::Class;
use doorward_agent::trust::Trust;
use doorward_policy::{PathBytes, Sha256};
use doorward_proto::report::{Observation, ReportBody, Source};
use doorward_service::Clock;

/// Longest a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host that is watched.
pub(crate) struct TestHost {
    folder: tempfile::TempDir,
    pub(crate) health: Health,
    pub(crate) history: Arc<History>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) identifier: Arc<Identifier>,
    pub(crate) pending: Pending,
    pub(crate) settled: Arc<Mutex<Vec<(String, Sha256)>>>,
    judge: Arc<Judge>,
    runtime: tokio::runtime::Runtime,
}

impl TestHost {
    /// A host with one package, `tools`, that owns `/usr/bin/packaged`.
    pub(crate) fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    /// As [`TestHost::new`], somewhere else than among the temporary files that everybody may write.
    pub(crate) fn in_folder(folder: tempfile::TempDir) -> Self {
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        make_program(&root.join("usr/bin/packaged"), "packaged");
        write_package_database(&root);
        let options = pending::Options { limits: pending::Limits::default(), clock: Clock::system(), mint_epoch: pending::random_epoch };
        let pending = Pending::open(&root.join("state"), options).unwrap().pending;
        let identifier = Arc::new(Identifier::new(Arc::new(IdentityStore::in_memory(entropy::fill)), Clock::system(), Limits::default()));
        let (trust, problems) = Trust::open(&root);
        assert!(problems.is_empty(), "{problems:?}");
        let root = PathBytes::new(root.as_os_str().as_bytes());
        let judge = Judge::new(Arc::new(Lists::unenrolled()), Arc::new(trust), Arc::new(Closure::default()), root);
        Self {
            folder,
            health: Health::default(),
            history: Arc::default(),
            counters: Arc::default(),
            identifier,
            pending,
            settled: Arc::default(),
            judge: Arc::new(judge),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        }
    }

    /// Starts watching; `None`, loudly, where this process may not.
    pub(crate) fn watch(&self, test: &str) -> Option<Watch> {
        let settled = Arc::clone(&self.settled);
        let setup = Setup {
            coverage: doorward_proto::uplink::CoverageKind::Exec,
            control_group: "/".into(),
            class: Class::Notification,
            beat: Arc::new(|| ()),
            judge: Arc::clone(&self.judge),
            identifier: Arc::clone(&self.identifier),
            pending: self.pending.clone(),
            history: Arc::clone(&self.history),
            counters: Arc::clone(&self.counters),
            settled_by_source: Arc::new(move |source, file| {
                if let Source::Package(package) = source {
                    settled.lock().unwrap().push((package.name, file));
                }
            }),
            health: self.health.clone(),
            vital: Pulses::default(),
            slow: Pulses::default(),
            prompt: Pulses::default(),
            clock: Clock::system(),
        };
        match Watch::start(setup) {
            Ok(watch) => Some(watch),
            Err(error) => {
                eprintln!("SKIPPED: {test}, because {error}");
                None
            }
        }
    }

    /// A path below the host's root.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// Puts a program there that exists nowhere else and does what `/bin/true` does.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        make_program(&path, &format!("{name} {}", std::process::id()));
        path
    }

    /// Whether the content of this file has been read since it was put there.
    pub(crate) fn identifier_knows(&self, path: &Path) -> bool {
        let file = fs::File::open(path).unwrap();
        let stat = nix::sys::stat::fstat(&file).unwrap();
        let filesystem = self.identifier.filesystems().id(stat.st_dev, &file).unwrap();
        let inode = doorward_agent::identify::Inode::of(filesystem, &stat).unwrap();
        self.identifier.store().candidate(&inode, None).is_some()
    }

    /// Opens a package transaction as dpkg does: by holding a lock on its file. It is over when the lock is dropped.
    pub(crate) fn package_transaction(&self) -> fs::File {
        let lock = fs::File::create(self.path("var/lib/dpkg/lock")).unwrap();
        let range =
            nix::libc::flock { l_type: nix::libc::F_WRLCK as _, l_whence: nix::libc::SEEK_SET as _, l_start: 0, l_len: 0, l_pid: 0 };
        // Of the open file and not of the process, so that the watch in this very process sees it as another's.
        nix::fcntl::fcntl(&lock, nix::fcntl::FcntlArg::F_OFD_SETLK(&range)).unwrap();
        lock
    }

    /// Makes the package own a program as it is now, and has the database read again.
    pub(crate) fn adopt(&self, name: &str) {
        let info = self.path("var/lib/dpkg/info");
        append(&info.join("tools.list"), &format!("/{name}\n"));
        append(&info.join("tools.md5sums"), &format!("{}  {name}\n", md5(&self.path(name))));
        self.judge.trust().reload(doorward_policy::PackageManager::Dpkg).unwrap();
    }

    /// The same for `/bin/sleep`.
    pub(crate) fn sleeper(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        copy_with_suffix("/bin/sleep", &path, name);
        path
    }

    /// Waits until observations of this path, however counted together, come to `count`, and gives the last of them.
    pub(crate) fn observed(&self, path: &Path, count: u64) -> Observation {
        let wanted = PathBytes::new(path.as_os_str().as_bytes());
        wait_for(&format!("{count} executions of {wanted}"), || {
            let mut found: Vec<_> = self.observations().into_iter().filter(|observation| observation.path == wanted).collect();
            (found.iter().map(|observation| observation.count).sum::<u64>() >= count).then(|| found.pop()).flatten()
        })
    }

    /// Everything reported so far. Handing a report out ends its counting, so later executions come in reports of their own.
    pub(crate) fn observations(&self) -> Vec<Observation> {
        let reports = self.runtime.block_on(self.pending.batch(0, 100_000, 64 << 20)).unwrap();
        let bodies = reports.into_iter().map(|report| report.body);
        bodies.filter_map(|body| if let ReportBody::Observation(observation) = body { Some(observation) } else { None }).collect()
    }
}

/// Polls until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Copies `/bin/true` and appends something, which the loader ignores and every digest notices.
pub(crate) fn make_program(path: &Path, suffix: &str) {
    copy_with_suffix("/bin/true", path, suffix);
}

fn copy_with_suffix(from: &str, to: &Path, suffix: &str) {
    let mut content = fs::read(from).unwrap();
    content.extend_from_slice(suffix.as_bytes());
    fs::write(to, content).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}

/// dpkg's files for one package that owns `usr/bin/packaged` as it is now.
fn write_package_database(root: &Path) {
    let info = root.join("var/lib/dpkg/info");
    fs::create_dir_all(&info).unwrap();
    let status = "Package: tools\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.org>\n\
                  Version: 1.0-1\nDescription: tools for tests\n\n";
    fs::write(root.join("var/lib/dpkg/status"), status).unwrap();
    fs::write(info.join("tools.list"), "/.\n/usr\n/usr/bin\n/usr/bin/packaged\n").unwrap();
    fs::write(info.join("tools.md5sums"), format!("{}  usr/bin/packaged\n", md5(&root.join("usr/bin/packaged")))).unwrap();
}

fn md5(path: &Path) -> String {
    let output = Command::new("md5sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout[..32].to_vec()).unwrap()
}

fn append(path: &Path, text: &str) {
    let content = fs::read_to_string(path).unwrap();
    fs::write(path, content + text).unwrap();
}
