//! A host with a root file system of its own: a folder with files and a small dpkg database, and a real agent that looks at it.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::cms::Site;
use super::program::{Program, ask};
use super::wait::eventually;

/// A host before it is enrolled.
pub struct HostBuilder<'a> {
    site: &'a Site,
    name: String,
    folder: TempDir,
    status: String,
    /// Whose files the agent looks at; `None` for a root of the host's own.
    foreign_root: Option<PathBuf>,
}

impl<'a> HostBuilder<'a> {
    pub(super) fn new(site: &'a Site, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Automatic allows never reach folders that others can write, and a temporary folder's mode says who can.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our folder's mode");
        for part in ["root/var/lib/dpkg/info", "root/opt", "root/usr/bin", "state", "run"] {
            fs::create_dir_all(folder.path().join(part)).expect("a folder of the host");
        }
        Self { site, name: name.to_owned(), folder, status: String::new(), foreign_root: None }
    }

    /// Puts a file on the host, mode 755. The path's bytes need not be text; it does not start with a slash.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn with_file(self, path: impl AsRef<[u8]>, content: &[u8]) -> Self {
        write(&self.root().join(OsStr::from_bytes(path.as_ref())), content);
        self
    }

    /// Installs a package, by its name, with its files as dpkg would have recorded them.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn with_package(mut self, name: &str, files: &[(&str, &[u8])]) -> Self {
        let info = self.root().join("var/lib/dpkg/info");
        let (mut list, mut md5sums) = (String::from("/.\n"), String::new());
        for (path, content) in files {
            write(&self.root().join(path), content);
            let _ = writeln!(list, "/{path}");
            let _ = writeln!(md5sums, "{}  {path}", md5(content));
        }
        fs::write(info.join(format!("{name}.list")), list).expect("the list");
        fs::write(info.join(format!("{name}.md5sums")), md5sums).expect("the md5sums");
        let _ = write!(
            self.status,
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\nMaintainer: Test <test@example.org>\nDescription: test\n\n"
        );
        fs::write(self.root().join("var/lib/dpkg/status"), &self.status).expect("the status file");
        self
    }

    /// Sets an anchor of publishers, in `anchors.d`, `public.d` or `time.d`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn with_anchor(self, folder: &str, content: &[u8]) -> Self {
        let folder = self.folder.path().join("publishers").join(folder);
        fs::create_dir_all(&folder).expect("a folder of anchors");
        let count = fs::read_dir(&folder).expect("a folder of anchors").count();
        fs::write(folder.join(format!("{count}.crt")), content).expect("an anchor");
        self
    }

    /// Lets the agent look at a root that is there already, as a bench does with the machine's. It reads there and writes nothing.
    #[must_use]
    pub fn on_root(mut self, root: &Path) -> Self {
        self.foreign_root = Some(root.to_owned());
        self
    }

    /// The host's root folder.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Enrolls the agent with a fresh token of the site.
    ///
    /// # Panics
    /// When enrolling fails.
    #[must_use]
    pub fn enrolled(self) -> Host {
        let token = self.site.token();
        let host = self.unenrolled();
        let enrolled = host.host.ask(&["enroll", "--cms", &host.site_url, "--token", &token]).unwrap_or_else(|error| failed(&error));
        let id = enrolled["host_id"].as_str().expect("enroll prints the host id").to_owned();
        Host { id, ..host.host }
    }

    /// Leaves the agent without credentials.
    ///
    /// # Panics
    /// When its configuration cannot be written.
    #[must_use]
    pub fn unenrolled(self) -> Unenrolled {
        let folder = self.folder.path().display();
        let root = self.foreign_root.clone().unwrap_or_else(|| self.root());
        let config = configuration(&format!("{folder}/state"), &format!("{folder}/run"), &root.display().to_string());
        let config = format!("{config}[trust]\npublisher_anchors = \"{folder}/publishers\"\n");
        fs::write(self.folder.path().join("agent.toml"), config).expect("the configuration can be written");
        let site_url = self.site.url();
        Unenrolled { host: Host { name: self.name, id: String::new(), folder: self.folder, agent: None }, site_url }
    }
}

/// What stands in an agent's configuration; it tries again soon, as a test has no patience.
pub(crate) fn configuration(state_dir: &str, runtime_dir: &str, root: &str) -> String {
    format!(
        "state_dir = \"{state_dir}\"\nruntime_dir = \"{runtime_dir}\"\nroot = \"{root}\"\n[uplink]\nreconnect_min_ms = 20\nreconnect_max_ms = 200\n"
    )
}

/// A host that no CMS knows.
pub struct Unenrolled {
    /// The host; its id is empty.
    pub host: Host,
    site_url: String,
}

/// A host with an agent.
pub struct Host {
    name: String,
    id: String,
    /// Before the folder, so that a failing test can still show what it logged.
    agent: Option<Program>,
    folder: TempDir,
}

impl Host {
    /// Starts the agent and waits until it is connected.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn running(mut self) -> Self {
        self.run();
        eventually(&format!("the agent of {} is connected", self.name), || {
            self.ask(&["status"]).ok().filter(|status| status["connected"] == true)
        });
        self
    }

    /// Starts the agent and waits for nothing.
    pub fn run(&mut self) {
        let config = self.config();
        let arguments = [OsStr::new("--config"), config.as_os_str(), OsStr::new("run")];
        self.agent = Some(Program::spawn("doorward-agent", arguments, self.folder.path().join("agent.log")));
    }

    /// kill -9 of the agent.
    pub fn kill(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.kill();
        }
    }

    /// Asks the agent to stop and waits until it has.
    ///
    /// # Panics
    /// When it does not stop, or not well.
    pub fn stop(&mut self) {
        if let Some(agent) = self.agent.take() {
            let status = agent.stop();
            assert!(status.success(), "the agent of {} ended with {status}", self.name);
        }
    }

    /// The agent's process.
    ///
    /// # Panics
    /// When it was stopped or killed.
    #[must_use]
    pub fn agent(&mut self) -> &mut Program {
        self.agent.as_mut().expect("the agent runs")
    }

    /// The id the CMS gave it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The host's root folder.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The folder the agent keeps its state in.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Everything the agent logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("agent.log")).unwrap_or_default()
    }

    /// Puts a file on the host now, mode 755.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn add_file(&self, path: &str, content: &[u8]) -> PathBuf {
        let path = self.root().join(path);
        write(&path, content);
        path
    }

    /// Runs a program of the host to its end.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn execute(&self, path: &str) {
        let status = Command::new(self.root().join(path)).status().expect("the program runs");
        assert!(status.success(), "{path} ended with {status}");
    }

    /// `doorward-agent why` for a path below the host's root.
    ///
    /// # Panics
    /// When the agent has no answer.
    #[must_use]
    pub fn why(&self, path: &str) -> Value {
        let path = self.root().join(path);
        let path = path.to_str().expect("a path that is text");
        self.ask(&["why", path]).unwrap_or_else(|error| failed(&error))
    }

    /// Waits until the host's own judgement of a path is this row.
    ///
    /// # Panics
    /// When it never is.
    #[must_use]
    pub fn judged(&self, path: &str, row: &str) -> Value {
        eventually(&format!("{} judges {path} by {row}", self.name), || Some(self.why(path)).filter(|why| why["judgement"]["row"] == row))
    }

    /// `doorward-agent status`.
    ///
    /// # Panics
    /// When the daemon does not answer.
    #[must_use]
    pub fn status(&self) -> Value {
        self.ask(&["status"]).unwrap_or_else(|error| failed(&error))
    }

    /// A `doorward-agent --json` command; an error is what it said on standard error.
    ///
    /// # Errors
    /// What the command said when it failed.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value, String> {
        let config = self.config();
        let mut all = vec![OsStr::new("--config"), config.as_os_str(), OsStr::new("--json")];
        all.extend(arguments.iter().map(OsStr::new));
        ask("doorward-agent", &all)
    }

    /// A reference scan the CMS asks for, to its end; its last progress.
    ///
    /// # Panics
    /// When it does not end well.
    #[must_use]
    pub fn reference_scan(&self, site: &Site) -> Value {
        site.cms_says(&["profile", "scan", "default", "--host", &self.id, "--wait"])
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("agent.toml")
    }
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder of the host");
    fs::write(path, content).expect("a file of the host");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file's mode");
}

fn md5(content: &[u8]) -> String {
    use md5::Digest as _;
    doorward_policy::Md5::new(md5::Md5::digest(content).into()).to_string()
}

#[expect(clippy::panic, reason = "a test says what went wrong by panicking")]
fn failed(error: &str) -> ! {
    panic!("doorward-agent: {error}")
}
