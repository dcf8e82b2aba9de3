//! The server's configuration: `cms.toml` and the drop-ins beside it, as they stand in the files ([`Raw`]), then checked
//! ([`Settings`]). What the tables `[uplink]`, `[intel]` and `[log]` mean is said where they are used.

use std::path::{Path, PathBuf};

use doorward_proto::certificate::CertificateError;
use doorward_service::config::{self, ConfigError};
use doorward_service::log;
use serde::Deserialize;

use crate::{intel, uplink};

/// Where the configuration is when nobody says otherwise.
pub const CONFIG_FILE: &str = "/etc/doorward/cms.toml";

/// What the drop-in folder's name has behind that of the file.
const DROP_IN_SUFFIX: &str = ".d";

/// Where keys and database are when nobody says otherwise.
const STATE_DIR: &str = "/var/lib/doorward-cms";

/// Where the socket is when nobody says otherwise.
const RUNTIME_DIR: &str = "/run/doorward-cms";

/// Longest path of a unix socket, in bytes (`sockaddr_un` without the NUL).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The configuration as it stands in the files.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    state_dir: PathBuf,
    runtime_dir: PathBuf,
    uplink: uplink::Settings,
    intel: intel::Settings,
    log: log::Settings,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            state_dir: STATE_DIR.into(),
            runtime_dir: RUNTIME_DIR.into(),
            uplink: uplink::Settings::default(),
            intel: intel::Settings::default(),
            log: log::Settings::default(),
        }
    }
}

/// Where to read the configuration, and what the command line says instead of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The main file, named by a person; it must be there then. [`CONFIG_FILE`] otherwise, which may be missing.
    pub file: Option<PathBuf>,
    /// In place of the key of the same name.
    pub state_dir: Option<PathBuf>,
    /// In place of the key of the same name.
    pub runtime_dir: Option<PathBuf>,
}

impl Source {
    /// The main file.
    #[must_use]
    pub fn main_file(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(CONFIG_FILE))
    }

    /// The folder whose `*.toml` files are merged over the main file, by name.
    #[must_use]
    pub fn drop_ins(&self) -> PathBuf {
        let mut folder = self.main_file().as_os_str().to_owned();
        folder.push(DROP_IN_SUFFIX);
        folder.into()
    }
}

/// The configuration, checked as far as that goes without touching anything but its own files.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Keys and database; absolute.
    pub state_dir: PathBuf,
    /// The API's socket; absolute.
    pub runtime_dir: PathBuf,
    /// The side that faces hosts.
    pub uplink: uplink::Settings,
    /// Whom to ask about files.
    pub intel: intel::Settings,
    /// What is logged, and how.
    pub log: log::Settings,
}

/// Why there are no settings. All of it is for whoever wrote the configuration.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A fragment that cannot be read or understood; names file and line.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file a person named is not there.
    #[error("there is no configuration file {path}; check the path behind --config", path = path.display())]
    Missing {
        /// What was named.
        path: PathBuf,
    },
    /// What folders mean would depend on where the program was started.
    #[error("{key} is {path}, which is not an absolute path", path = path.display())]
    Relative {
        /// The key.
        key: &'static str,
        /// What stands there.
        path: PathBuf,
    },
    /// A server's certificate would name nobody.
    #[error("[uplink] names: {0}")]
    Names(#[from] CertificateError),
    /// The kernel would cut the path.
    #[error("runtime_dir is too long: {path} has more than {SOCKET_PATH_BYTES_MAX} bytes, the most a socket's path can have", path = path.display())]
    SocketPath {
        /// The socket's path.
        path: PathBuf,
    },
}

impl Settings {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn load(source: &Source) -> Result<Self, SettingsError> {
        if let Some(path) = source.file.as_ref().filter(|path| !path.exists()) {
            return Err(SettingsError::Missing { path: path.clone() });
        }
        let raw: Raw = config::load(source.main_file(), &source.drop_ins())?;
        let settings = Self {
            state_dir: source.state_dir.clone().unwrap_or(raw.state_dir),
            runtime_dir: source.runtime_dir.clone().unwrap_or(raw.runtime_dir),
            uplink: raw.uplink,
            intel: raw.intel,
            log: raw.log,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Checks what only a server needs; `init` and the commands that ask a server do without.
    ///
    /// # Errors
    /// [`SettingsError::Names`].
    pub fn check_server(&self) -> Result<(), SettingsError> {
        Ok(self.uplink.check()?)
    }

    fn check(&self) -> Result<(), SettingsError> {
        for (key, path) in [("state_dir", &self.state_dir), ("runtime_dir", &self.runtime_dir)] {
            if !path.is_absolute() {
                return Err(SettingsError::Relative { key, path: path.clone() });
            }
        }
        let socket = self.socket();
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(SettingsError::SocketPath { path: socket });
        }
        Ok(())
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state_dir.join("cms.sqlite")
    }

    /// Where the API listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir.join("api.sock")
    }
}

#[cfg(test)]
mod tests;
