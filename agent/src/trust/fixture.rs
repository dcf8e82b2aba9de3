//! A root of our own for tests: files, and a dpkg database that vouches for some of them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use doorward_policy::PathBytes;
use md5::Digest as _;
use tempfile::TempDir;

/// A program in the sense of every test here.
pub(crate) fn script(words: &str) -> Vec<u8> {
    format!("#!/bin/sh\n{words}\n").into_bytes()
}

/// As dpkg writes it.
pub(crate) fn md5_hex(content: &[u8]) -> String {
    md5::Md5::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A root folder that is removed at the end of the test.
pub(crate) struct TestRoot {
    folder: PathBuf,
    _removed_at_the_end: Option<TempDir>,
}

impl TestRoot {
    /// With an empty package database.
    pub(crate) fn new() -> Self {
        Self::bare().with_database()
    }

    /// In a folder that somebody else removes, with an empty package database.
    pub(crate) fn at_folder(folder: PathBuf) -> Self {
        Self { folder, _removed_at_the_end: None }.with_database()
    }

    fn with_database(self) -> Self {
        fs::create_dir_all(self.database().join("info")).unwrap();
        fs::create_dir_all(self.database().join("updates")).unwrap();
        fs::write(self.database().join("status"), "").unwrap();
        self
    }

    /// Without any.
    pub(crate) fn bare() -> Self {
        let folder = TempDir::new().unwrap();
        Self { folder: folder.path().to_owned(), _removed_at_the_end: Some(folder) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn at(&self, path: impl AsRef<[u8]>) -> PathBuf {
        self.path().join(Path::new(std::ffi::OsStr::from_bytes(path.as_ref())))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("var/lib/dpkg")
    }

    /// `/bin` and `/lib` are links to those under `/usr`.
    pub(crate) fn merged_usr(self) -> Self {
        for top in ["bin", "lib"] {
            fs::create_dir_all(self.path().join("usr").join(top)).unwrap();
            symlink(Path::new("usr").join(top), self.path().join(top)).unwrap();
        }
        self
    }

    /// Writes a file, and the folders it is in.
    pub(crate) fn with(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    pub(crate) fn write(&self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        let place = self.at(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }

    /// Puts a package's files in place and into the database.
    pub(crate) fn with_package(self, package: &TestPackage) -> Self {
        for (path, content) in package.files.iter().chain(&package.conffiles) {
            self.write(path, content);
        }
        self.register(package);
        self
    }

    /// Into the database only.
    pub(crate) fn register(&self, package: &TestPackage) {
        let mut status = OpenOptions::new().append(true).open(self.database().join("status")).unwrap();
        status.write_all(package.stanza().as_bytes()).unwrap();
        let info = self.database().join("info");
        fs::write(info.join(format!("{}.list", package.stem())), package.list()).unwrap();
        if !package.without_digests {
            fs::write(info.join(format!("{}.md5sums", package.stem())), package.md5sums()).unwrap();
        }
    }

    pub(crate) fn divert(&self, from: &str, to: &str, by: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.database().join("diversions")).unwrap();
        write!(file, "{from}\n{to}\n{by}\n").unwrap();
    }
}

/// A package, installed unless said otherwise.
#[derive(Clone)]
pub(crate) struct TestPackage {
    name: String,
    version: String,
    status: String,
    architecture: String,
    is_multi_arch: bool,
    without_digests: bool,
    files: Vec<(String, Vec<u8>)>,
    conffiles: Vec<(String, Vec<u8>)>,
}

impl TestPackage {
    pub(crate) fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            status: "install ok installed".to_owned(),
            architecture: "amd64".to_owned(),
            is_multi_arch: false,
            without_digests: false,
            files: Vec::new(),
            conffiles: Vec::new(),
        }
    }

    /// A path as the package has it, without a leading slash.
    pub(crate) fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), content.into()));
        self
    }

    pub(crate) fn conffile(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.conffiles.push((path.to_owned(), content.into()));
        self
    }

    pub(crate) fn status(mut self, status: &str) -> Self {
        self.status = status.to_owned();
        self
    }

    /// Installable beside the same package of another architecture.
    pub(crate) fn multi_arch(mut self, architecture: &str) -> Self {
        self.architecture = architecture.to_owned();
        self.is_multi_arch = true;
        self
    }

    pub(crate) fn without_digests(mut self) -> Self {
        self.without_digests = true;
        self
    }

    fn stem(&self) -> String {
        if self.is_multi_arch { format!("{}:{}", self.name, self.architecture) } else { self.name.clone() }
    }

    pub(crate) fn stanza(&self) -> String {
        let multi_arch = if self.is_multi_arch { "Multi-Arch: same\n" } else { "" };
        let mut stanza = format!(
            "Package: {}\nStatus: {}\nArchitecture: {}\n{multi_arch}Version: {}\nMaintainer: Nobody <nobody@example.org>\n",
            self.name, self.status, self.architecture, self.version
        );
        if !self.conffiles.is_empty() {
            stanza.push_str("Conffiles:\n");
            for (path, content) in &self.conffiles {
                stanza.push_str(&format!(" /{path} {}\n", md5_hex(content)));
            }
        }
        stanza.push_str("Description: a package of a test\n\n");
        stanza
    }

    /// Every folder before what lies in it, as dpkg has it.
    fn list(&self) -> String {
        let mut lines = vec!["/.".to_owned()];
        for (path, _) in self.files.iter().chain(&self.conffiles) {
            for (at, _) in path.match_indices('/') {
                let folder = format!("/{}", &path[..at]);
                if !lines.contains(&folder) {
                    lines.push(folder);
                }
            }
            lines.push(format!("/{path}"));
        }
        lines.join("\n") + "\n"
    }

    fn md5sums(&self) -> String {
        self.files.iter().map(|(path, content)| format!("{}  {path}\n", md5_hex(content))).collect()
    }
}

/// An absolute path below the root.
pub(crate) fn absolute(path: &str) -> PathBytes {
    PathBytes::new(format!("/{path}"))
}
