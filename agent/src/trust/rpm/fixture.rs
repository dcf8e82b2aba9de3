//! A root with a real rpm database in it: packages built by `rpmbuild`, signed by `rpmsign` with a key made for the test, and
//! installed by `rpm` itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use doorward_policy::{Blake3, DigestAlgorithm, PathBytes, Sha256};
use sha2::Digest as _;
use tempfile::TempDir;

use crate::identify::{Digests, WantedDigest};
use crate::trust::PackageTrust;

/// Where the database lies below the root.
pub(crate) const DATABASE: &str = "usr/lib/sysimage/rpm";

/// A folder to build in and a root to install to.
pub(crate) struct RpmRoot {
    folder: TempDir,
    is_signing: bool,
}

/// A package to be built.
pub(crate) struct Spec<'a> {
    pub(crate) name: &'a str,
    /// Lines of the preamble, such as a prefix.
    pub(crate) preamble: &'a str,
    /// Shell lines that put files under `%{buildroot}`.
    pub(crate) install: &'a str,
    /// The `%files` list, and scripts behind it.
    pub(crate) files: &'a str,
    /// rpm's number for the algorithm of file digests.
    pub(crate) algorithm: u8,
    pub(crate) is_signed: bool,
}

impl Default for Spec<'_> {
    fn default() -> Self {
        Self { name: "tool", preamble: "", install: "", files: "", algorithm: 8, is_signed: false }
    }
}

impl RpmRoot {
    /// With an empty database; `None`, and says so, where rpm or what it takes is missing.
    pub(crate) fn new() -> Option<Self> {
        let needed = ["rpm", "rpmbuild", "rpmsign", "gpg"];
        let is_there = |program: &&str| Command::new("which").arg(program).stdout(Stdio::null()).status().is_ok_and(|done| done.success());
        if !nix::unistd::geteuid().is_root() || !needed.iter().all(is_there) {
            eprintln!("SKIPPED: needs root and {}", needed.join(", "));
            return None;
        }
        let root = Self { folder: tempfile::Builder::new().prefix("dw").tempdir().unwrap(), is_signing: false };
        fs::create_dir_all(root.database()).unwrap();
        root.rpm(&["--initdb"]);
        Some(root)
    }

    /// Makes a key and puts it into the keyring of the database.
    pub(crate) fn with_key(mut self) -> Self {
        let home = self.path("gpg");
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        self.gpg(&["--quick-gen-key", "Test Signer <signer@example.org>", "rsa2048", "sign", "never"]);
        fs::write(self.path("key.asc"), self.gpg(&["--armor", "--export"]).stdout).unwrap();
        self.is_signing = true;
        self.rpm(&["--import", self.path("key.asc").to_str().unwrap()]);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.at(DATABASE)
    }

    fn gpg(&self, arguments: &[&str]) -> Output {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.path("gpg")).args(["--batch", "--quiet", "--passphrase", ""]).args(arguments);
        done(&mut gpg)
    }

    /// Builds a package and signs it where it should be.
    pub(crate) fn build(&self, spec: &Spec<'_>) -> PathBuf {
        let Spec { name, preamble, install, files, algorithm, .. } = spec;
        let top = self.path("build");
        let text = format!(
            "Name: {name}\nEpoch: 2\nVersion: 1.0\nRelease: 3\nSummary: s\nLicense: MIT\nVendor: Example Vendor\n{preamble}\n\
             %define _build_id_links none\n%define __os_install_post %{{nil}}\n%define debug_package %{{nil}}\nAutoReqProv: no\n\
             %description\nd\n%install\n{install}\n%files\n%defattr(755,root,root)\n{files}\n"
        );
        fs::create_dir_all(&top).unwrap();
        let spec_file = top.join(format!("{name}.spec"));
        fs::write(&spec_file, text).unwrap();
        let mut build = Command::new("rpmbuild");
        build.args(["-bb", "--target", "noarch", "--define", &format!("_topdir {}", top.display())]);
        build.args(["--define", &format!("_binary_filedigest_algorithm {algorithm}"), "--define", "_buildhost builder.example.org"]);
        done(build.arg(&spec_file));
        let package = top.join(format!("RPMS/noarch/{name}-1.0-3.noarch.rpm"));
        if spec.is_signed {
            assert!(self.is_signing, "there is a key");
            let mut sign = Command::new("rpmsign");
            sign.args(["--define", "__gpg /usr/bin/gpg", "--define", "_gpg_name Test Signer"]);
            sign.args(["--define", &format!("_gpg_path {}", self.path("gpg").display()), "--addsign"]).arg(&package);
            done(sign.env("GNUPGHOME", self.path("gpg")));
        }
        package
    }

    /// Builds a package and installs it, however much room the disk has for what is sparse.
    pub(crate) fn install(&self, spec: &Spec<'_>, options: &[&str]) {
        let package = self.build(spec);
        self.rpm(&[&["-i", "--nodeps", "--ignoresize"], options, &[package.to_str().unwrap()]].concat());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut rpm = Command::new("rpm");
        rpm.arg("--root").arg(self.root()).args(["--dbpath", &format!("/{DATABASE}")]).args(arguments);
        rpm
    }

    /// Runs rpm on the root; it must succeed.
    pub(crate) fn rpm(&self, arguments: &[&str]) -> String {
        String::from_utf8(done(&mut self.command(arguments)).stdout).unwrap()
    }

    /// Starts rpm on the root.
    pub(crate) fn start_rpm(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What rpm says of every file: `S.5....T.  c /path` and `missing     /path`; it exits with 1 for that.
    pub(crate) fn verified_by_rpm(&self) -> Vec<(String, String)> {
        let output = self.command(&["-Va", "--nodeps"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split_once(" /").map(|(flags, path)| (format!("/{path}"), flags.to_owned()))).collect()
    }

    /// Regular files of all packages, as rpm lists them: path and file flags.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let text = self.rpm(&["-qa", "--qf", "[%{FILENAMES}\t%{FILEMODES:perms}\t%{FILEFLAGS:fflags}\n]"]);
        let files =
            text.lines().map(|line| line.split('\t').collect::<Vec<_>>()).filter(|parts| parts.len() == 3 && parts[1].starts_with('-'));
        files.map(|parts| (parts[0].to_owned(), parts[2].to_owned())).collect()
    }

    /// Every header with its number, in the order of the numbers.
    pub(crate) fn headers(&self) -> Vec<(u32, Vec<u8>)> {
        let database = rusqlite::Connection::open(self.database().join("rpmdb.sqlite")).unwrap();
        let mut statement = database.prepare("SELECT hnum, blob FROM Packages ORDER BY hnum").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

impl Drop for RpmRoot {
    fn drop(&mut self) {
        if self.is_signing {
            // Its agent would stay behind, and look for its folder for ever.
            let _ = Command::new("gpgconf").env("GNUPGHOME", self.path("gpg")).args(["--kill", "all"]).status();
        }
    }
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Digests of a file as an execution of it would take them.
pub(crate) fn digests_of(trust: &PackageTrust, path: &str, file: &Path) -> Digests {
    digests(trust.wanted_digest(&PathBytes::new(path)), &fs::read(file).unwrap())
}

pub(crate) fn digests(wanted: Option<DigestAlgorithm>, content: &[u8]) -> Digests {
    let listed = wanted.map(|algorithm| {
        let mut digest = WantedDigest::new(algorithm);
        digest.update(content);
        digest.finish()
    });
    let (sha256, blake3) = (sha2::Sha256::digest(content).into(), blake3::hash(content).into());
    Digests { sha256: Sha256::new(sha256), blake3: Blake3::new(blake3), listed }
}
