//! Programs nobody has ever seen: a real one with random bytes behind it, which the loader ignores and a digest does not.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::{self, Failure, Outcome};

/// A program made for the story.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// Lower-case hexadecimal, as the CMS names files.
    pub(crate) sha256: String,
}

impl Program {
    /// Makes a program that prints a line and lives for a moment when it is run.
    pub(crate) fn make(folder: &Path, name: &str) -> Outcome<Self> {
        let path = folder.join(name);
        fs::copy("/bin/sleep", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        let mut nonce = [0; 32];
        fs::File::open("/dev/urandom")?.read_exact(&mut nonce)?;
        OpenOptions::new().append(true).open(&path)?.write_all(&nonce)?;
        let sha256 = sha256(&path)?;
        Ok(Self { path, sha256 })
    }

    /// Runs it to its end.
    pub(crate) fn execute(&self) -> Outcome {
        let status = Command::new(&self.path).arg("0.2").stdin(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("{} ended with {status}", self.path.display()))) }
    }
}

/// Digest of a file by coreutils, so that the demo trusts neither agent nor CMS for it.
pub(crate) fn sha256(path: &Path) -> Outcome<String> {
    let printed = step::output(Command::new("sha256sum").arg("--").arg(path))?;
    let digest = printed.trim_start_matches('\\').get(..64).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digest.map(str::to_owned).ok_or_else(|| Failure::new(format!("sha256sum printed {printed:?}")))
}
