//! The agent's settings: fragments merged by the service crate, overridden by the command line, then checked as a whole.
//!
//! Every key has a default, so a host without a configuration file works. What the CMS decides (mode, coverage, exclusions) is
//! not configured here.

use std::path::{Path, PathBuf};

use doorward_service::config::{ConfigError, load};
use doorward_service::log;
use serde::Deserialize;

use crate::uplink;

/// Where the configuration is looked for when nobody names another file.
pub const CONFIG_FILE: &str = "/etc/doorward/agent.toml";
/// Threads a scan may be given at most; more than this many cores would only wait for the disk.
const SCAN_THREADS_MAX: usize = 64;

/// `agent.toml` with its drop-ins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What must outlive the process: credential, policy, pending reports, identities. Mode 0700.
    pub state_dir: PathBuf,
    /// Where the socket for `status` and `why` is made.
    pub runtime_dir: PathBuf,
    /// Root of the file system that is scanned, with the package database below it.
    pub root: PathBuf,
    /// `[log]`
    pub log: log::Settings,
    /// `[scan]`
    pub scan: ScanSettings,
    /// `[trust]`
    pub trust: TrustSettings,
    /// `[uplink]`
    pub uplink: uplink::Settings,
    /// `[watch]`
    pub watch: WatchSettings,
}

/// `[trust]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustSettings {
    /// Folder of the anchors publishers are trusted by, in `anchors.d`, `public.d` and `time.d`; it need not exist.
    pub publisher_anchors: PathBuf,
}

impl Default for TrustSettings {
    fn default() -> Self {
        Self { publisher_anchors: "/etc/doorward/publishers".into() }
    }
}

/// `[watch]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchSettings {
    /// Control group, as in `/proc/PID/cgroup` after `0::`, whose processes are looked after where no mark sees what they execute.
    /// `/`, the whole host, unless an agent is tried out beside the machine it runs on.
    pub control_group: String,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { control_group: "/".into() }
    }
}

/// `[scan]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScanSettings {
    /// Threads that walk and digest; 0 for as many as there are cores.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/doorward-agent".into(),
            runtime_dir: "/run/doorward-agent".into(),
            root: "/".into(),
            log: log::Settings::default(),
            scan: ScanSettings::default(),
            trust: TrustSettings::default(),
            uplink: uplink::Settings::default(),
            watch: WatchSettings::default(),
        }
    }
}

/// What the command line says instead of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Another configuration file; it must exist. Its drop-ins are in the folder of the same name with `.d` after it.
    pub config: Option<PathBuf>,
    /// Instead of `state_dir`.
    pub state_dir: Option<PathBuf>,
    /// Instead of `runtime_dir`.
    pub runtime_dir: Option<PathBuf>,
    /// Instead of `root`.
    pub root: Option<PathBuf>,
}

/// Why there are no settings; whoever wrote the configuration has to mend it.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A fragment cannot be read or understood.
    #[error(transparent)]
    Fragment(#[from] ConfigError),
    /// The file named on the command line is not there.
    #[error("configuration file {} does not exist", .0.display())]
    Missing(PathBuf),
    /// A folder is given by a relative path, which would depend on where the program was started.
    #[error("{key} = {} is not an absolute path; write the whole path", value.display())]
    Relative {
        /// The key.
        key: &'static str,
        /// What it was set to.
        value: PathBuf,
    },
    /// Not the absolute path of a control group.
    #[error("watch.control_group = {0} is not a control group; write its path as in /proc/PID/cgroup, without a slash at its end")]
    ControlGroup(String),
    /// A number is out of its range.
    #[error("{key} = {value} is more than {max}")]
    TooMany {
        /// The key.
        key: &'static str,
        /// What it was set to.
        value: usize,
        /// The most it can be.
        max: usize,
    },
}

impl Settings {
    /// Reads the configuration and applies what the command line says.
    ///
    /// # Errors
    /// [`SettingsError`], with file and line where there is one.
    pub fn read(overrides: &Overrides) -> Result<Self, SettingsError> {
        if let Some(missing) = overrides.config.as_ref().filter(|config| !config.exists()) {
            return Err(SettingsError::Missing(missing.clone()));
        }
        let main = overrides.config.as_deref().unwrap_or(Path::new(CONFIG_FILE));
        let mut settings: Self = load(main, &drop_ins(main))?;
        let replace = |key: &mut PathBuf, by: &Option<PathBuf>| {
            if let Some(by) = by {
                // A path typed at a prompt may be relative to where it was typed.
                *key = std::path::absolute(by).unwrap_or_else(|_| by.clone());
            }
        };
        replace(&mut settings.state_dir, &overrides.state_dir);
        replace(&mut settings.runtime_dir, &overrides.runtime_dir);
        replace(&mut settings.root, &overrides.root);
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        let folders = [
            ("state_dir", &self.state_dir),
            ("runtime_dir", &self.runtime_dir),
            ("root", &self.root),
            ("trust.publisher_anchors", &self.trust.publisher_anchors),
        ];
        if let Some((key, value)) = folders.into_iter().find(|(_, folder)| !folder.is_absolute()) {
            return Err(SettingsError::Relative { key, value: value.clone() });
        }
        let group = self.watch.control_group.as_str();
        if !group.starts_with('/') || group != "/" && group.ends_with('/') {
            return Err(SettingsError::ControlGroup(group.to_owned()));
        }
        if self.scan.threads > SCAN_THREADS_MAX {
            return Err(SettingsError::TooMany { key: "scan.threads", value: self.scan.threads, max: SCAN_THREADS_MAX });
        }
        Ok(())
    }

    /// Certificate, keys and what was learned at enrollment.
    #[must_use]
    pub fn credential_dir(&self) -> PathBuf {
        self.state_dir.join("credential")
    }

    /// The published policy and this host's settings.
    #[must_use]
    pub fn policy_dir(&self) -> PathBuf {
        self.state_dir.join("policy")
    }

    /// Reports that wait for the CMS.
    #[must_use]
    pub fn pending_dir(&self) -> PathBuf {
        self.state_dir.join("pending")
    }

    /// Identities of files that need not be read again.
    #[must_use]
    pub fn identity_dir(&self) -> PathBuf {
        self.state_dir.join("identity")
    }

    /// The socket that `status` and `why` ask.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir.join("agent.sock")
    }
}

fn drop_ins(main: &Path) -> PathBuf {
    let mut folder = main.as_os_str().to_owned();
    folder.push(".d");
    folder.into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A configuration made of these files.
    fn read(files: &[(&str, &str)], overrides: Overrides) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("agent.toml");
        fs::create_dir(folder.path().join("agent.toml.d")).unwrap();
        fs::write(&config, "").unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Settings::read(&Overrides { config: Some(config), ..overrides })
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(read(&[], Overrides::default()).unwrap(), Settings::default());
    }

    #[test]
    fn the_command_line_wins_over_drop_ins_and_those_over_the_file() {
        let files = [
            ("agent.toml", "state_dir = \"/a\"\nruntime_dir = \"/a\"\nroot = \"/a\"\n"),
            ("agent.toml.d/10.toml", "runtime_dir = \"/b\"\nroot = \"/b\"\n"),
        ];
        let settings = read(&files, Overrides { root: Some("/c".into()), ..Overrides::default() }).unwrap();
        assert_eq!([settings.state_dir, settings.runtime_dir, settings.root], ["/a", "/b", "/c"].map(PathBuf::from));
    }

    #[test]
    fn a_mistake_is_named_with_file_and_line() {
        let error = read(&[("agent.toml", "root = \"/\"\n\n[scan]\nthread = 4\n")], Overrides::default()).unwrap_err().to_string();
        assert!(error.contains("agent.toml:4:") && error.contains("thread"), "{error}");
        let error = read(&[("agent.toml.d/x.toml", "[scan]\nthreads = \"all\"\n")], Overrides::default()).unwrap_err().to_string();
        assert!(error.contains("x.toml:2:"), "{error}");
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused() {
        let error = read(&[("agent.toml", "state_dir = \"state\"")], Overrides::default()).unwrap_err().to_string();
        assert_eq!(error, "state_dir = state is not an absolute path; write the whole path");
        let error = read(&[("agent.toml", "[scan]\nthreads = 1000")], Overrides::default()).unwrap_err().to_string();
        assert_eq!(error, "scan.threads = 1000 is more than 64");
    }

    #[test]
    fn a_file_that_was_asked_for_must_exist() {
        let overrides = Overrides { config: Some("/no/such/agent.toml".into()), ..Overrides::default() };
        assert!(matches!(Settings::read(&overrides), Err(SettingsError::Missing(_))));
    }
}
