//! The command line as scripts see it: exit codes, what stands on which stream, and the shapes of its JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A host of its own, on which nothing runs.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("root/opt")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the agent's command line with folders of its own. Coreutils' `timeout` ends what would hang.
    fn agent(&self, arguments: &[&OsStr]) -> Output {
        let mut command = Command::new("timeout");
        command.arg("60").arg(env!("CARGO_BIN_EXE_doorward-agent"));
        for (option, folder) in [("--state-dir", "state"), ("--runtime-dir", "run"), ("--root", "root")] {
            command.arg(option).arg(self.path(folder));
        }
        fs::write(self.path("agent.toml"), "").unwrap();
        command.arg("--config").arg(self.path("agent.toml")).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn script(&self, name: &[u8]) -> PathBuf {
        let path = self.path("root/opt").join(OsStr::from_bytes(name));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

fn words<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("what is said is text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn without_enrollment_run_says_what_to_do() {
    let output = Bench::new().agent(&words(&["run"]));
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("doorward-agent enroll --cms"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn without_a_daemon_status_says_so() {
    let output = Bench::new().agent(&words(&["status", "--json"]));
    assert_eq!(code(&output), 69);
    assert!(stderr(&output).contains("agent.sock"), "{}", stderr(&output));
    assert!(output.stdout.is_empty(), "nothing that could be taken for an answer");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for line in [["frobnicate"], ["why"], ["--colour"]] {
        assert_eq!(code(&Bench::new().agent(&words(&line))), 64, "{line:?}");
    }
    assert_eq!(code(&Bench::new().agent(&words(&["--help"]))), 0);
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_file_and_line() {
    let bench = Bench::new();
    fs::create_dir(bench.path("agent.toml.d")).unwrap();
    fs::write(bench.path("agent.toml.d/50-site.toml"), "[uplink]\nreconnect_min_ms = 5\nreconect_max_ms = 6\n").unwrap();
    let output = bench.agent(&words(&["check-config"]));
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("50-site.toml:3:"), "{}", stderr(&output));
    fs::remove_file(bench.path("agent.toml.d/50-site.toml")).unwrap();
    assert_eq!(code(&bench.agent(&words(&["check-config"]))), 0);
}

#[test]
fn why_answers_offline_with_the_whole_chain() {
    let bench = Bench::new();
    let script = bench.script(b"tool");
    let output = bench.agent(&[OsStr::new("why"), OsStr::new("--json"), script.as_os_str()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let why = json(&output);
    assert_eq!((why["kind"].as_str(), why["offline"].as_bool()), (Some("script"), Some(true)));
    assert_eq!(why["judgement"], serde_json::json!({"verdict": "undecided", "row": "nothing"}));
    assert_eq!(why["status"], serde_json::json!({"status": "unverified", "reason": "not_asked"}));
    assert_eq!((why["response"].as_str(), why["mode"].as_str()), (Some("allow"), Some("detect")));
    assert_eq!(why["sha256"].as_str().map(str::len), Some(64));
    for key in ["path", "size", "threat_score", "threat_name", "steps", "would_change", "evidence", "policy_revision"] {
        assert!(why.get(key).is_some(), "{key} is missing");
    }
}

#[test]
fn why_never_waits_for_what_is_no_file() {
    let bench = Bench::new();
    let fifo = bench.path("root/opt/fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = bench.path("root/opt/socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    for (path, what) in
        [(fifo.as_path(), "a FIFO"), (&socket, "a socket"), (Path::new("/dev/zero"), "a device"), (Path::new("/"), "a folder")]
    {
        let output = bench.agent(&[OsStr::new("why"), path.as_os_str()]);
        assert_eq!(code(&output), 65, "{}", path.display());
        assert!(stderr(&output).contains(what), "{}", stderr(&output));
    }
    assert_eq!(code(&bench.agent(&words(&["why", "/no/such/file"]))), 66);
}

#[test]
fn a_name_full_of_tricks_is_shown_escaped() {
    let bench = Bench::new();
    let script = bench.script(b"evil\x1b[2J\n\xff");
    let output = bench.agent(&[OsStr::new("why"), script.as_os_str()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(output.stdout.starts_with(script.parent().unwrap().as_os_str().as_bytes()));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(r"evil\x1b[2J\n\xff") && !text.contains('\x1b'), "{text}");
}

/// A package with these files, as dpkg's database lists them.
fn packaged(bench: &Bench, files: &[(&str, &str)]) {
    let info = bench.path("root/var/lib/dpkg/info");
    fs::create_dir_all(&info).unwrap();
    fs::create_dir_all(bench.path("root/usr/bin")).unwrap();
    let status = "Package: tools\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n\n";
    fs::write(bench.path("root/var/lib/dpkg/status"), status).unwrap();
    let (mut list, mut sums) = ("/.\n/usr\n/usr/bin\n".to_owned(), String::new());
    for (name, md5) in files {
        list += &format!("/usr/bin/{name}\n");
        sums += &format!("{md5}  usr/bin/{name}\n");
    }
    fs::write(info.join("tools.list"), list).unwrap();
    fs::write(info.join("tools.md5sums"), sums).unwrap();
}

#[test]
fn verify_names_what_differs_from_its_package_and_says_so_in_its_exit_code() {
    const HELLO: &str = "b1946ac92492d2347c6235b4d2611184";
    let bench = Bench::new();
    packaged(&bench, &[("kept", HELLO), ("chang\u{1b}[2Jed", HELLO), ("gone", HELLO)]);
    fs::write(bench.path("root/usr/bin/kept"), "hello\n").unwrap();
    fs::write(bench.path("root/usr/bin/chang\u{1b}[2Jed"), "other\n").unwrap();
    let output = bench.agent(&words(&["verify"]));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(code(&output), 1, "{text} {}", stderr(&output));
    assert!(text.contains("changed    /usr/bin/chang\\x1b[2Jed") && text.contains("missing    /usr/bin/gone"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains("/usr/bin/kept"), "{text}");
    let verified = json(&bench.agent(&words(&["--json", "verify"])));
    assert_eq!((&verified["files"], &verified["modified"], &verified["missing"]), (&3.into(), &1.into(), &1.into()), "{verified}");
    assert_eq!(verified["differences"][1], serde_json::json!({"path": "/usr/bin/gone", "finding": "missing"}));
    for name in ["chang\u{1b}[2Jed", "gone"] {
        fs::write(bench.path("root/usr/bin").join(name), "hello\n").unwrap();
    }
    assert_eq!(code(&bench.agent(&words(&["verify"]))), 0);
    assert_eq!(code(&Bench::new().agent(&words(&["verify"]))), 66, "a host without dpkg");
}

#[test]
fn a_token_comes_from_a_file_and_what_is_none_is_not_repeated() {
    let bench = Bench::new();
    let file = bench.path("token");
    fs::write(&file, "s3cret\n").unwrap();
    fn line(file: &Path) -> Vec<&std::ffi::OsStr> {
        [&words(&["enroll", "--cms", "https://127.0.0.1:1", "--token-file"])[..], &[file.as_os_str()]].concat()
    }
    let output = bench.agent(&line(&file));
    assert_eq!(code(&output), 65, "{}", stderr(&output));
    assert!(stderr(&output).contains("holds no token") && !stderr(&output).contains("s3cret"), "{}", stderr(&output));
    assert_eq!(code(&bench.agent(&line(Path::new("/no/such/token")))), 66);
    assert_eq!(code(&bench.agent(&words(&["enroll", "--cms", "https://127.0.0.1:1"]))), 64, "one of the two is needed");
    let token = format!("dw1.{}.{}", "A".repeat(22), "B".repeat(43));
    let both = bench.agent(&words(&["enroll", "--cms", "https://127.0.0.1:1", "--token", &token, "--token-file", "-"]));
    assert_eq!(code(&both), 64, "and not both: {}", stderr(&both));
}

#[test]
fn a_scan_counts_and_prints_one_document() {
    let bench = Bench::new();
    bench.script(b"one");
    bench.script(b"two");
    fs::write(bench.path("root/opt/notes.txt"), "nothing to run").unwrap();
    let output = bench.agent(&words(&["scan", "--json", "/opt"]));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let scan = json(&output);
    assert_eq!((scan["files"].as_u64(), scan["candidates"].as_u64(), scan["unresolved"].as_u64()), (Some(3), Some(2), Some(2)));
    for key in ["bytes", "digested_files", "digested_bytes", "package_trusted", "otherwise_trusted", "skipped", "seconds", "peak_rss_mib"] {
        assert!(scan.get(key).is_some(), "{key} is missing");
    }
    let again = json(&bench.agent(&words(&["scan", "--json", "/opt"])));
    assert_eq!((again["candidates"].as_u64(), again["unresolved"].as_u64()), (Some(2), Some(2)));
}
