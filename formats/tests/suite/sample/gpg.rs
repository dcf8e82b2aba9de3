//! Keys and signatures of the real GnuPG, in a home of their own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A home with keys; its agent ends with it.
pub(crate) struct Gpg(TempDir);

impl Gpg {
    /// `None` after saying loudly that GnuPG is not there.
    pub(crate) fn new() -> Option<Self> {
        if Command::new("gpg").arg("--version").output().is_err() {
            eprintln!("SKIPPED: gpg is not installed");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Some(Self(home))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a key that signs; `expires` as GnuPG has it, `0` for never. Gives its fingerprint.
    pub(crate) fn key(&self, name: &str, algorithm: &str, expires: &str, more: &[&str]) -> String {
        let mut arguments = more.to_vec();
        arguments.extend(["--quick-generate-key", name, algorithm, "cert,sign", expires]);
        self.run(&arguments, b"");
        let listed = self.run(&["--with-colons", "--list-keys", name], b"");
        let listed = String::from_utf8(listed).unwrap();
        listed.lines().find_map(|line| line.strip_prefix("fpr:::::::::")?.strip_suffix(':').map(str::to_owned)).unwrap()
    }

    pub(crate) fn public(&self, key: &str) -> Vec<u8> {
        self.run(&["--export", key], b"")
    }

    pub(crate) fn armoured(&self, key: &str) -> Vec<u8> {
        self.run(&["--armor", "--export", key], b"")
    }

    pub(crate) fn clearsign(&self, key: &str, text: &[u8], more: &[&str]) -> Vec<u8> {
        let mut arguments = more.to_vec();
        arguments.extend(["--local-user", key, "--clearsign"]);
        self.run(&arguments, text)
    }

    pub(crate) fn detach(&self, key: &str, text: &[u8], more: &[&str]) -> Vec<u8> {
        let mut arguments = more.to_vec();
        arguments.extend(["--local-user", key, "--detach-sign"]);
        self.run(&arguments, text)
    }

    pub(crate) fn revoke(&self, key: &str) {
        let certificate = self.path().join("openpgp-revocs.d").join(format!("{key}.rev"));
        // GnuPG breaks the certificate it keeps ready with a colon, so that nobody uses it by mistake.
        let text = std::fs::read_to_string(certificate).unwrap().replace(":-----BEGIN", "-----BEGIN");
        self.run(&["--import"], text.as_bytes());
    }

    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]);
        command.arg("--homedir").arg(self.path()).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let home: PathBuf = self.path().to_owned();
        drop(Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).output());
    }
}
