//! A repository of packages that a test makes and signs, inside a lab.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use sha2::Digest as _;
use tempfile::TempDir;

use super::root::Lab;

/// A package to be built.
#[derive(Debug, Clone, Copy)]
pub struct Packaged<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Paths without a slash in front, and contents; all of them programs.
    pub files: &'a [(&'a str, &'a [u8])],
    /// `postinst` and `prerm`, when it has them.
    pub script: Option<&'a str>,
}

/// A key and what it signed, outside of the lab.
pub struct Repository {
    work: TempDir,
    key: String,
    index: String,
}

impl Repository {
    /// Makes a key.
    ///
    /// # Errors
    /// When a program that it takes is missing.
    ///
    /// # Panics
    /// When GnuPG does not do as it is told.
    pub fn new(owner: &str) -> Result<Self, String> {
        for program in ["gpg", "dpkg-deb"] {
            Command::new(program).arg("--version").output().map_err(|error| format!("{program} cannot be started: {error}"))?;
        }
        let work = tempfile::tempdir().expect("a temporary folder");
        let home = work.path().join("gpg");
        fs::create_dir(&home).expect("a home for keys");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("its mode");
        let mut repository = Self { work, key: String::new(), index: String::new() };
        let _ = repository.gpg(&["--quick-generate-key", owner, "ed25519", "cert,sign", "0"], b"");
        let listed = String::from_utf8(repository.gpg(&["--with-colons", "--list-keys"], b"")).expect("GnuPG writes text");
        let key = listed.lines().find_map(|line| line.strip_prefix("fpr:::::::::")?.strip_suffix(':'));
        repository.key = key.expect("a key has a fingerprint").to_owned();
        Ok(repository)
    }

    /// The fingerprint of its key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Builds a package and lists it; what was listed before stays. Gives the archive.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn build(&mut self, package: Packaged<'_>) -> Vec<u8> {
        let Packaged { name, version, files, script } = package;
        let tree = self.work.path().join("tree");
        drop(fs::remove_dir_all(&tree));
        fs::create_dir_all(tree.join("DEBIAN")).expect("a folder");
        let control =
            format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Test <test@example.org>\nDescription: test\n");
        fs::write(tree.join("DEBIAN/control"), &control).expect("a control file");
        let mut sums = String::new();
        let program = |path: &std::path::Path, content: &[u8]| {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content).expect("a program");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
        };
        for (path, content) in files {
            program(&tree.join(path), content);
            let md5 = doorward_policy::Md5::new(md5::Md5::digest(content).into());
            let _ = writeln!(sums, "{md5}  {path}");
        }
        fs::write(tree.join("DEBIAN/md5sums"), sums).expect("digests");
        for member in script.iter().flat_map(|_| ["postinst", "prerm"]) {
            program(&tree.join("DEBIAN").join(member), script.unwrap_or_default().as_bytes());
        }
        // The agent as tests build it has some hundred megabytes.
        let packing = if files.iter().any(|(_, content)| content.len() > 1 << 20) { "-Znone" } else { "-Zxz" };
        let archive = self.work.path().join("archive.deb");
        super::image::done(Command::new("dpkg-deb").args(["--root-owner-group", packing, "-b"]).arg(&tree).arg(&archive));
        let bytes = fs::read(archive).expect("what was built");
        let sha256 = doorward_policy::Sha256::new(sha2::Sha256::digest(&bytes).into());
        let _ = writeln!(self.index, "{control}Filename: ./{name}_{version}_amd64.deb\nSize: {}\nSHA256: {sha256}\n", bytes.len());
        bytes
    }

    /// Puts it into a lab's folder, signed, with these archives by name and version, its keyring beside them as `key.gpg`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn publish(&self, lab: &Lab, folder: &str, archives: &[(&str, &str, &[u8])]) {
        for (name, version, archive) in archives {
            lab.write(&format!("{folder}/{name}_{version}_amd64.deb"), archive, "644");
        }
        let digest = doorward_policy::Sha256::new(sha2::Sha256::digest(&self.index).into());
        let date = self.date();
        let release = format!("Origin: Test\nSuite: test\nDate: {date}\nSHA256:\n {digest} {} Packages\n", self.index.len());
        lab.write(&format!("{folder}/Packages"), self.index.as_bytes(), "644");
        lab.write(&format!("{folder}/InRelease"), &self.gpg(&["--clearsign"], release.as_bytes()), "644");
        lab.write(&format!("{folder}/key.gpg"), &self.gpg(&["--export"], b""), "644");
    }

    /// Now, as Release files have it.
    fn date(&self) -> String {
        let output = Command::new("date").args(["-u", "+%a, %d %b %Y %H:%M:%S UTC"]).env("LC_ALL", "C").output().expect("date");
        String::from_utf8(output.stdout).expect("a date").trim().to_owned()
    }

    fn gpg(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]);
        command.arg("--homedir").arg(self.work.path().join("gpg")).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("gpg starts");
        child.stdin.take().expect("its input").write_all(input).expect("gpg reads");
        let output = child.wait_with_output().expect("gpg ends");
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let home = self.work.path().join("gpg");
        drop(Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).output());
    }
}

impl Lab {
    /// Builds the lab's own programs as packages of a repository, so that their archives can be read like any others: into apt's cache.
    ///
    /// # Panics
    /// When they cannot be built.
    pub fn package_own_programs(&self, repository: &mut Repository) {
        let agent = fs::read(crate::site::path("doorward-agent")).expect("the agent is built");
        let entrance = fs::read(self.folder().join("stripped")).expect("the entrance was made with the lab");
        for (name, path, content) in
            [("doorward-agent", "usr/sbin/doorward-agent", &agent), ("doorward-lab", super::entrance::INSIDE, &entrance)]
        {
            let files = [(path.trim_start_matches('/'), content.as_slice())];
            let archive = repository.build(Packaged { name, version: "1.0-1", files: &files, script: None });
            self.write(&format!("/var/cache/apt/archives/{name}_1.0-1_amd64.deb"), &archive, "644");
        }
    }
}
