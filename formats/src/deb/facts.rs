//! What an archive brings, in values that can be sent to another process.

use doorward_policy::{PathBytes, Sha256};
use serde::{Deserialize, Serialize};

/// Everything of an archive that can be executed or loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFacts {
    /// As its control file says.
    pub package: String,
    /// Several architectures of it may be installed at once, so dpkg writes the architecture behind its name.
    pub multi_arch_same: bool,
    /// As its control file says.
    pub version: String,
    /// As its control file says.
    pub architecture: String,
    /// Of `control.tar`: what dpkg and debconf run while they work.
    pub scripts: Vec<Script>,
    /// Of `data.tar`: what begins like something that can be executed or loaded, or is called so.
    pub files: Vec<PackagedFile>,
    /// Regular files that do neither.
    pub other_files: u64,
}

impl ArchiveFacts {
    /// The package as dpkg writes it where several architectures can be installed, see `dpkg::Package::info_stem`.
    #[must_use]
    pub fn stem(&self) -> String {
        if self.multi_arch_same { format!("{}:{}", self.package, self.architecture) } else { self.package.clone() }
    }
}

/// A program among the control files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// `postinst` and its like.
    pub name: String,
    /// Of its content.
    pub sha256: Sha256,
}

/// A file as packaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackagedFile {
    /// Relative to the root, plain names between slashes, before diversions and before `/usr` was merged.
    pub path: PathBytes,
    /// Permission bits.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Of its content.
    pub sha256: Sha256,
}
