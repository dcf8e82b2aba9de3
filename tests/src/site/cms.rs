//! A CMS with the simulator behind it, in one temporary folder.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward_policy::Sha256;
use serde_json::Value;
use tempfile::TempDir;

use super::host::HostBuilder;
use super::program::{Program, ask, path};
use super::wait::eventually;
use crate::ti::{Checksum, Options, Record, RecordStatus, Simulator};

/// Simulator and CMS. Hosts join by [`Site::host`].
pub struct Site {
    ti: Simulator,
    cms: Option<Program>,
    port: u16,
    folder: TempDir,
    /// Size of the disk the state is on, in MiB; `None` for the machine's own.
    disk_mib: Option<u32>,
}

/// Mounts a small disk on the state folder ($1), puts back what was there (kept in $2), and becomes the server. The mount is seen by that
/// server alone and goes with it.
const ON_SMALL_DISK: &str = r#"set -e; state=$1 kept=$2 mib=$3; shift 3; mount -t tmpfs -o "size=${mib}m,mode=0700" doorward "$state"; cp -a "$kept/." "$state/"; exec "$@""#;

impl Site {
    /// Starts both and waits until the CMS answers.
    ///
    /// # Panics
    /// When a program is not there or does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// As [`Site::start`], with more lines at the end of the CMS's configuration.
    ///
    /// # Panics
    /// As [`Site::start`].
    #[must_use]
    pub fn start_with(configuration: &str) -> Self {
        let mut site = Self::initialised(configuration);
        site.serve();
        site
    }

    /// As [`Site::start`], with the state on a disk of so many MiB.
    ///
    /// # Errors
    /// Why there can be no such disk here.
    ///
    /// # Panics
    /// As [`Site::start`].
    pub fn start_on_small_disk(mib: u32) -> Result<Self, String> {
        if !nix::unistd::Uid::effective().is_root() {
            return Err("mounting a small disk needs root".to_owned());
        }
        let mounts =
            Command::new("unshare").args(["--mount", "--propagation", "private", "mount", "-t", "tmpfs", "doorward", "/mnt"]).output();
        match mounts {
            Ok(output) if output.status.success() => {}
            Ok(output) => return Err(format!("nothing can be mounted: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => return Err(format!("there is no unshare: {error}")),
        }
        let mut site = Self { disk_mib: Some(mib), ..Self::initialised("") };
        fs::rename(site.folder.path().join("state"), site.folder.path().join("kept")).expect("the state can be moved");
        fs::create_dir(site.folder.path().join("state")).expect("a folder to mount on");
        site.serve();
        Ok(site)
    }

    /// The small disk, as this process reaches it through the server's.
    ///
    /// # Panics
    /// When the server does not run.
    #[must_use]
    pub fn small_disk(&mut self) -> PathBuf {
        let state = self.folder.path().join("state");
        let state = state.strip_prefix("/").expect("a temporary folder is absolute").to_owned();
        Path::new("/proc").join(self.cms().pid().to_string()).join("root").join(state)
    }

    fn initialised(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ti = Simulator::start(Options::default()).expect("the simulator starts");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let site = Self { ti, cms: None, port, folder, disk_mib: None };
        fs::write(site.config(), site.configuration() + configuration).expect("the configuration can be written");
        site.ask(&["init"]).expect("init makes keys and database");
        site
    }

    fn configuration(&self) -> String {
        let (folder, port, url) = (self.folder.path().display(), self.port, self.ti.url());
        let (ca, password) = (self.ti.ca_path().display(), self.ti.password_path());
        let password = password.display();
        format!(
            "state_dir = \"{folder}/state\"\nruntime_dir = \"{folder}/run\"\n[uplink]\nlisten = \"127.0.0.1:{port}\"\nnames = [\"127.0.0.1\"]\n\
             [intel]\nprovider = \"reversinglabs\"\nurls = [\"{url}\"]\nca_file = \"{ca}\"\nuser = \"u/doorward/simulator\"\npassword_file = \"{password}\"\n"
        )
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("cms.toml")
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn serve(&mut self) {
        fs::create_dir_all(self.folder.path().join("run")).expect("a folder for the socket");
        let config = self.config();
        let arguments = [OsStr::new("--config"), config.as_os_str(), OsStr::new("serve")];
        let log = self.folder.path().join("cms.log");
        self.cms = Some(match self.disk_mib {
            None => Program::spawn("doorward-cms", arguments, log),
            Some(mib) => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--propagation", "private", "sh", "-c", ON_SMALL_DISK, "sh"]);
                command.args([self.folder.path().join("state"), self.folder.path().join("kept")]).arg(mib.to_string());
                command.arg(path("doorward-cms")).args(arguments);
                Program::spawn_command("doorward-cms", command, log)
            }
        });
        eventually("the CMS answers on its socket", || self.ask(&["stats"]).ok());
    }

    /// kill -9 of the CMS.
    pub fn kill(&mut self) {
        if let Some(cms) = self.cms.take() {
            cms.kill();
        }
    }

    /// Asks the CMS to stop and waits until it has.
    ///
    /// # Panics
    /// When it does not stop, or not well.
    pub fn stop(&mut self) {
        if let Some(cms) = self.cms.take() {
            let status = cms.stop();
            assert!(status.success(), "the CMS ended with {status}");
        }
    }

    /// The server's process.
    ///
    /// # Panics
    /// When it was stopped or killed.
    #[must_use]
    pub fn cms(&mut self) -> &mut Program {
        self.cms.as_mut().expect("the CMS runs")
    }

    /// Where hosts connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The threat-intelligence simulator.
    #[must_use]
    pub const fn ti(&self) -> &Simulator {
        &self.ti
    }

    /// Folder with everything the CMS keeps.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A `doorward-cms --json` command that must succeed.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn cms_says(&self, arguments: &[&str]) -> Value {
        self.ask(arguments).unwrap_or_else(|error| failed(arguments, &error))
    }

    /// A `doorward-cms --json` command; an error is what it said on standard error.
    ///
    /// # Errors
    /// What the command said when it failed.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value, String> {
        let config = self.config();
        let mut all = vec![OsStr::new("--config"), config.as_os_str(), OsStr::new("--json")];
        all.extend(arguments.iter().map(OsStr::new));
        ask("doorward-cms", &all)
    }

    /// A one-use enrollment token for the default profile.
    ///
    /// # Panics
    /// When the CMS does not give one.
    #[must_use]
    pub fn token(&self) -> String {
        let token = self.cms_says(&["token", "create", "--profile", "default", "--uses", "1"]);
        token["token"].as_str().expect("token create prints the token").to_owned()
    }

    /// A host to be: give it files and packages, then enroll it.
    #[must_use]
    pub fn host(&self, name: &str) -> HostBuilder<'_> {
        HostBuilder::new(self, name)
    }

    /// One file as `doorward-cms file show` has it; `None` while the CMS does not know it.
    #[must_use]
    pub fn file(&self, file: &Sha256) -> Option<Value> {
        self.ask(&["file", "show", &file.to_string()]).ok()
    }

    /// Waits until the CMS shows the file with this status reason.
    ///
    /// # Panics
    /// When it never does.
    #[must_use]
    pub fn file_with_reason(&self, file: &Sha256, reason: &str) -> Value {
        eventually(&format!("{file} is shown as {reason}"), || self.file(file).filter(|file| file["reason"] == reason))
    }

    /// Every row of the default profile's allowlist.
    #[must_use]
    pub fn allowlist(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut after = String::new();
        loop {
            let mut arguments = vec!["allowlist", "show", "default", "--limit", "500"];
            if !after.is_empty() {
                arguments.extend(["--after", after.as_str()]);
            }
            let page = self.cms_says(&arguments);
            rows.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => return rows,
            }
        }
    }

    /// Waits for an open incident of a kind about a file.
    ///
    /// # Panics
    /// When there never is one.
    #[must_use]
    pub fn incident(&self, kind: &str, file: &Sha256) -> Value {
        let file = file.to_string();
        eventually(&format!("there is an incident {kind} about {file}"), || {
            let incidents = self.ask(&["incident", "list", "--open"]).ok()?;
            incidents["items"].as_array()?.iter().find(|incident| incident["kind"] == kind && incident["sha256"] == file.as_str()).cloned()
        })
    }

    /// Sets what threat intelligence says about a file from now on.
    ///
    /// # Panics
    /// When the simulator refuses the record.
    pub fn ti_says(&self, file: &Sha256, status: RecordStatus, factor: u8) {
        let checksum: Checksum = file.to_string().parse().expect("a digest is a checksum");
        let threat = matches!(status, RecordStatus::Malicious | RecordStatus::Suspicious);
        let record = Record {
            trust_factor: Some(if threat { 5 } else { factor }),
            threat_level: Some(if threat { factor } else { 0 }),
            threat_name: threat.then(|| "Linux.Trojan.Test".to_owned()),
            ..Record::new(checksum, status)
        };
        self.ti.put_record(record).expect("the simulator takes the record");
    }

    /// How often threat intelligence was asked about a file.
    ///
    /// # Panics
    /// Never: a digest is a checksum.
    #[must_use]
    pub fn asked(&self, file: &Sha256) -> u64 {
        self.ti.asked(&file.to_string().parse().expect("a digest is a checksum"))
    }

    /// Waits until no look-up is queued.
    ///
    /// # Panics
    /// When the queue never empties.
    #[must_use]
    pub fn settled(&self) -> Value {
        eventually("every look-up is answered", || self.ask(&["stats"]).ok().filter(|stats| stats["lookups_queued"] == 0))
    }
}

#[expect(clippy::panic, reason = "a test says what went wrong by panicking")]
fn failed(arguments: &[&str], error: &str) -> Value {
    panic!("doorward-cms {}: {error}", arguments.join(" "))
}
