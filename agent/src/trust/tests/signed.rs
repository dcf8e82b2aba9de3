//! The chain from a repository's key to a file, with a real key and a real archive, and each of its links cut.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use doorward_policy::{KeyFingerprint, Level, PathBytes, Sha256};
use sha2::Digest as _;

use crate::identify::Digests;
use crate::trust::ledger::Occasion;
use crate::trust::repository::SignedIndexes;
use crate::trust::{Ledger, Trust, Witness, Witnessed};

const TOOL: &[u8] = b"#!/bin/sh\necho tool\n";
const LISTS: &str = "var/lib/apt/lists";
const RELEASE: &str = "example.org_debian_dists_stable_";

/// A host's root with one repository of one package.
struct Host {
    root: tempfile::TempDir,
    key: KeyFingerprint,
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(bytes).into())
}

fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn now_micros() -> i64 {
    doorward_service::Clock::system().now_micros()
}

impl Host {
    fn new() -> Option<Self> {
        for program in ["gpg", "dpkg-deb"] {
            if Command::new(program).arg("--version").output().is_err() {
                eprintln!("SKIPPED: {program} is not installed");
                return None;
            }
        }
        let root = tempfile::tempdir().unwrap();
        for folder in ["gpg", LISTS, "etc/apt/trusted.gpg.d", "etc/apt/sources.list.d", "keys"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::set_permissions(root.path().join("gpg"), fs::Permissions::from_mode(0o700)).unwrap();
        let mut host = Self { root, key: KeyFingerprint::V4([0; 20]) };
        host.gpg(&["--quick-generate-key", "Example", "ed25519", "cert,sign", "0"], b"");
        let listed = String::from_utf8(host.gpg(&["--with-colons", "--list-keys"], b"")).unwrap();
        host.key = listed.lines().find_map(|line| line.strip_prefix("fpr:::::::::")?.strip_suffix(':')).unwrap().parse().unwrap();
        host.write("keys/example.gpg", &host.gpg(&["--export"], b""));
        host.write("etc/apt/sources.list", b"deb [signed-by=/keys/example.gpg] http://example.org/debian stable main\n");
        host.build();
        let index = host.index();
        host.write(&format!("{LISTS}/{RELEASE}main_binary-amd64_Packages"), index.as_bytes());
        host.sign(&host.release("SHA256", "", &index), &[]);
        Some(host)
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
    }

    fn gpg(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]);
        run(command.arg("--homedir").arg(self.path("gpg")).args(arguments), input)
    }

    fn build(&self) {
        self.write(
            "tree/DEBIAN/control",
            b"Package: tool\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@example.org>\nDescription: x\n",
        );
        self.write("tree/DEBIAN/postinst", b"#!/bin/sh\nexit 0\n");
        fs::set_permissions(self.path("tree/DEBIAN/postinst"), fs::Permissions::from_mode(0o755)).unwrap();
        self.write("tree/usr/bin/tool", TOOL);
        run(Command::new("dpkg-deb").args(["--root-owner-group", "-b"]).arg(self.path("tree")).arg(self.path("tool.deb")), b"");
    }

    fn index(&self) -> String {
        let archive = fs::read(self.path("tool.deb")).unwrap();
        let (size, digest) = (archive.len(), sha256(&archive));
        format!("Package: tool\nVersion: 1\nArchitecture: amd64\nFilename: pool/tool.deb\nSize: {size}\nSHA256: {digest}\n\n")
    }

    fn release(&self, field: &str, more: &str, index: &str) -> String {
        let digest = if field == "MD5Sum" { "d41d8cd98f00b204e9800998ecf8427e".to_owned() } else { sha256(index.as_bytes()).to_string() };
        format!(
            "Suite: stable\nDate: Sat, 17 May 2025 09:33:47 UTC\n{more}{field}:\n {digest} {} main/binary-amd64/Packages\n",
            index.len()
        )
    }

    fn sign(&self, release: &str, options: &[&str]) {
        let signed = self.gpg(&[options, &["--clearsign"]].concat(), release.as_bytes());
        self.write(&format!("{LISTS}/{RELEASE}InRelease"), &signed);
    }

    fn witness(&self, pinned: &[KeyFingerprint]) -> (Trust, Witnessed) {
        let (trust, _) = Trust::with_ledger(self.root.path(), Ledger::in_memory());
        let archive = fs::File::open(self.path("tool.deb")).unwrap();
        let witnessed = Witness::default().read(&trust, &archive, pinned, Occasion::Fetched, now_micros());
        (trust, witnessed)
    }

    /// That nothing counts any more, for a reason with these words in it.
    #[track_caller]
    fn is_cut(&self, pinned: &[KeyFingerprint], why: &str) {
        let (trust, witnessed) = self.witness(pinned);
        let Witnessed::NotSigned { problems, .. } = &witnessed else { panic!("{witnessed:?}") };
        assert!(problems.iter().any(|problem| problem.contains(why)), "{why}: {problems:?}");
        assert_eq!(trust.ledger().gauges().files, 0);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(Command::new("gpgconf").arg("--homedir").arg(self.path("gpg")).args(["--kill", "all"]).output());
    }
}

fn digests(content: &[u8]) -> Digests {
    Digests { sha256: sha256(content), blake3: doorward_policy::Blake3::new(*blake3::hash(content).as_bytes()), listed: None }
}

#[test]
fn a_file_of_a_signed_archive_is_vouched_for_before_the_database_knows_it() {
    let Some(host) = Host::new() else { return };
    let (trust, witnessed) = host.witness(&[host.key]);
    assert_eq!(witnessed, Witnessed::Signed { package: "tool".into(), version: "1".into(), files: 2 });
    let evidence = |path: &str, content, keys: &[_]| trust.evidence(&PathBytes::new(path), &digests(content), keys);
    let tool = evidence("/usr/bin/tool", TOOL, &[host.key]).unwrap();
    assert_eq!((tool.name.as_str(), tool.version.as_str(), tool.level), ("tool", "1", Level::Signed));
    assert!(evidence("/var/lib/dpkg/tmp.ci/postinst", b"#!/bin/sh\nexit 0\n", &[]).is_some());
    assert_eq!(evidence("/usr/bin/tool", b"#!/bin/sh\necho evil\n", &[]), None);
    assert_eq!(evidence("/tmp/tool", TOOL, &[]), None);
    assert_eq!(evidence("/usr/bin/tool", TOOL, &[KeyFingerprint::V4([1; 20])]), None, "the profile pins another key now");
}

#[test]
fn every_link_that_is_cut_is_named() {
    let Some(host) = Host::new() else { return };
    let index = host.index();
    let packages = format!("{LISTS}/{RELEASE}main_binary-amd64_Packages");
    host.is_cut(&[KeyFingerprint::V4([1; 20])], "in no keyring that counts");

    host.write("etc/apt/sources.list", b"deb [trusted=yes signed-by=/keys/example.gpg] http://example.org/debian stable main\n");
    host.is_cut(&[], "trusted=yes");
    host.write("etc/apt/sources.list", b"deb http://example.org/debian stable main\n");
    host.is_cut(&[], "in no keyring that counts");
    host.write("etc/apt/trusted.gpg.d/example.gpg", &fs::read(host.path("keys/example.gpg")).unwrap());
    assert!(matches!(host.witness(&[]).1, Witnessed::Signed { .. }), "apt takes the key for all sources");
    host.is_cut(&[KeyFingerprint::V4([1; 20])], "in no keyring that counts");

    host.write(&packages, index.replace("Version: 1", "Version: 2").as_bytes());
    host.is_cut(&[], "not the one its Release file lists");
    host.write(&packages, index.as_bytes());
    host.sign(&host.release("MD5Sum", "", &index), &[]);
    host.is_cut(&[], "MD5 or SHA-1 alone");
    host.sign(&host.release("SHA256", "Valid-Until: Sun, 18 May 2025 09:33:47 UTC\n", &index), &[]);
    host.is_cut(&[], "no longer valid");
    host.sign(&host.release("SHA256", "", &index), &["--digest-algo", "SHA1"]);
    host.is_cut(&[], "digest that does not count");
    host.sign(&host.release("SHA256", "", &index), &[]);
    assert!(matches!(host.witness(&[]).1, Witnessed::Signed { .. }));

    let unsigned = host.release("SHA256", "", &index);
    host.write(&format!("{LISTS}/{RELEASE}InRelease"), unsigned.as_bytes());
    host.is_cut(&[], "not a signed text");
    fs::remove_file(host.path(&format!("{LISTS}/{RELEASE}InRelease"))).unwrap();
    host.is_cut(&[], "nothing was fetched");
    host.write(&format!("{LISTS}/{RELEASE}Release"), unsigned.as_bytes());
    host.write(&format!("{LISTS}/{RELEASE}Release.gpg"), &host.gpg(&["--armor", "--detach-sign"], unsigned.as_bytes()));
    assert!(matches!(host.witness(&[]).1, Witnessed::Signed { .. }), "as old repositories do it");
    host.write(&format!("{LISTS}/{RELEASE}Release"), unsigned.replace("stable", "steble").as_bytes());
    host.is_cut(&[], "not of these bytes");
}

#[test]
fn an_archive_that_no_index_lists_is_not_even_parsed() {
    let Some(host) = Host::new() else { return };
    let mut archive = fs::read(host.path("tool.deb")).unwrap();
    archive.extend_from_slice(b"more");
    host.write("tool.deb", &archive);
    let (_, witnessed) = host.witness(&[host.key]);
    assert!(matches!(witnessed, Witnessed::NotSigned { .. }), "{witnessed:?}");
}

#[test]
fn the_machines_own_repositories_are_verified_from_their_keys_up() {
    let root = Path::new("/");
    if fs::read_dir(root.join(LISTS)).map_or(0, Iterator::count) < 5 {
        return eprintln!("SKIPPED: this machine's apt has fetched nothing");
    }
    let found = SignedIndexes::read(root, &[], now_micros().div_euclid(1_000_000));
    if found.indexes().is_empty() {
        return eprintln!("SKIPPED: no repository of this machine counts now: {:?}", found.problems);
    }
    assert!(found.archives() > 1000, "{:?}", found.problems);
    eprintln!("{} indexes, {} archives; {:?}", found.indexes().len(), found.archives(), found.problems);
}
