//! The command line against a real server on a real socket: what people read, what scripts read, and exit codes.

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use doorward_policy::{Class, Reputation, ScanId, Sha256};
use doorward_proto::uplink::{ScanProgress, ScanState};
use doorward_service::Exit;
use serde_json::Value;

use super::run_with;
use crate::api::limit::DECISIONS_MAX;
use crate::api::tests::site::{NOW, Site, file};
use crate::enrollment::Keys;
use crate::store::InForce;

/// What a command did.
struct Ended {
    exit: Exit,
    out: String,
    log: String,
}

impl Ended {
    fn json(&self) -> Value {
        assert_eq!(self.exit, Exit::Ok, "{}", self.log);
        serde_json::from_str(self.out.lines().last().unwrap()).unwrap()
    }

    fn text(&self) -> &str {
        assert_eq!(self.exit, Exit::Ok, "{}", self.log);
        assert!(!self.out.contains('\u{1b}'), "nothing steers the terminal: {:?}", self.out);
        &self.out
    }
}

fn run_words(words: &[&str]) -> Ended {
    let arguments = ["doorward-cms"].iter().chain(words).map(OsString::from);
    let (mut out, mut log) = (Vec::new(), Vec::new());
    let exit = run_with(arguments, false, &mut out, &mut log);
    Ended { exit, out: String::from_utf8(out).unwrap(), log: String::from_utf8(log).unwrap() }
}

/// Commands run their own runtime, so they cannot run on a thread of the test's.
async fn run(site: &Site, words: &[&str]) -> Ended {
    let mut all = vec!["--socket".to_owned(), site.socket().display().to_string()];
    all.extend(words.iter().map(|word| (*word).to_owned()));
    tokio::task::spawn_blocking(move || run_words(&all.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
}

async fn busy_site() -> Site {
    let site = Site::start().await;
    site.executes(b"/opt/\x1b[2Jtool\nfake", file(1)).await;
    site.executes(b"/opt/other", file(2)).await;
    let name = Some("Linux.Trojan\u{1b}[31m".into());
    site.answers(file(1), Reputation { class: Class::Malicious, trust_factor: None, threat_level: Some(4), threat_name: name }).await;
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_every_list_and_every_detail() {
    let site = busy_site().await;
    let sha = file(1).to_string();
    let listing = run(&site, &["allowlist", "show", "default"]).await;
    let rows: Vec<&str> = listing.text().lines().collect();
    assert!(rows[1].starts_with("THREAT 9") && rows[1].ends_with(r"/opt/\x1b[2Jtool\nfake"), "{}", listing.out);
    assert!(rows[2].starts_with("UNVERIFIED") && rows[2].ends_with("/opt/other"), "{}", listing.out);
    let shown = run(&site, &["file", "show", &sha]).await;
    for words in ["THREAT 9 (malicious", r"Linux.Trojan\x1b[31m", "JUDGEMENT: DENY", "MALICIOUS", "as the provider put it", "web-1"] {
        assert!(shown.text().contains(words), "{words}: {}", shown.out);
    }
    let incidents = run(&site, &["incident", "list", "--open"]).await;
    assert!(incidents.text().contains("NEW_PROCESS") && incidents.out.contains(r"\x1b[2Jtool"), "{}", incidents.out);
    let id = run(&site, &["--json", "incident", "list", "--open"]).await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    assert!(run(&site, &["incident", "show", &id]).await.text().contains("doorward-cms file show"));
    for words in [&["profile", "list"][..], &["profile", "show", "default"], &["profile", "diff", "default"], &["host", "list"]] {
        assert!(run(&site, words).await.text().contains("default"), "{words:?}");
    }
    let host = run(&site, &["host", "show", "web-1"]).await;
    assert!(host.text().contains("Linux 6.18") && host.out.contains(&site.host.to_string()), "{}", host.out);
    assert!(run(&site, &["stats"]).await.text().contains("THREAT"));
    assert!(run(&site, &["intel", "status"]).await.text().contains("provider"));
    assert!(run(&site, &["change", "list", "default"]).await.text().contains("file_threat_malicious"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_show_is_a_sentence() {
    let site = Site::start().await;
    for words in [&["allowlist", "show", "default"][..], &["incident", "list"], &["package", "list"], &["change", "list", "default"]] {
        let said = run(&site, words).await;
        assert_eq!(said.text().lines().count(), 1, "{words:?}: {}", said.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_written_as_they_are_shown() {
    let site = Site::start().await;
    let previewed = run(&site, &["source", "deny", "dpkg:nethack", "--global", "--versions", "<3.7", "--dry-run"]).await;
    let text = previewed.text();
    assert!(
        text.contains("package nethack < 3.7 as DENIED in all profiles would bear on 0 hosts") && text.contains("nothing was changed"),
        "{text}"
    );
    assert!(run(&site, &["source", "list"]).await.text().contains("no such package or publisher"));
    let drafted = run(&site, &["source", "deny", "dpkg:nethack", "--global", "--versions", "<3.7", "--comment", "CVE"]).await;
    assert!(drafted.text().contains("`doorward-cms profile publish global`"), "{}", drafted.out);
    let listed = run(&site, &["source", "list", "--profile", "default", "--state", "new"]).await;
    assert!(listed.text().contains("global: draft DENIED < 3.7") && listed.out.contains("dpkg:nethack"), "{}", listed.out);
    let shown = run(&site, &["source", "show", "dpkg:nethack", "--profile", "default"]).await;
    assert!(shown.text().contains("CVE") && shown.out.contains("no host has it"), "{}", shown.out);
    assert!(run(&site, &["source", "forget", "dpkg:nethack", "--global", "--versions", "< 3.7"]).await.text().contains("UNDECIDED"));
    let refused = run(&site, &["source", "allow", "nethack", "--global"]).await;
    assert_eq!(refused.exit, Exit::Usage, "{}", refused.log);
    let unknown = run(&site, &["source", "show", "publisher:Nobody"]).await;
    assert!(unknown.log.contains("no host named a publisher"), "{}", unknown.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_say_what_they_did_and_warn_about_threats() {
    let site = busy_site().await;
    let sha = file(1).to_string();
    let allowed = run(&site, &["file", "allow", &sha, "--profile", "default", "--comment", "ours"]).await;
    assert!(allowed.text().contains("ALLOWED in profile default") && allowed.out.contains("WARNING"), "{}", allowed.out);
    assert!(run(&site, &["allowlist", "show", "default"]).await.text().contains("ALLOWED by "));
    assert!(run(&site, &["file", "deny", &sha, "--global"]).await.text().contains("DENIED in all profiles"));
    assert!(run(&site, &["file", "reset", &sha, "--global"]).await.text().contains("UNDECIDED"));
    let denied = run(&site, &["package", "deny", "nethack", "--manager", "dpkg", "--profile", "default"]).await;
    assert!(denied.text().contains("`doorward-cms profile publish default`"), "{}", denied.out);
    let set = run(&site, &["profile", "set", "default", "mode=protect", "exclusions=/srv/a,/srv/b"]).await;
    assert!(set.text().contains("mode: detect -> protect") && set.out.contains("/srv/a, /srv/b"), "{}", set.out);
    let set = run(&site, &["profile", "set", "default", "trusted_mounts=/home,/srv/tools", "kill_on_bad_verdict=true"]).await;
    assert!(set.text().contains("trusted_mounts: none -> /home, /srv/tools"), "{}", set.out);
    let refused = run(&site, &["profile", "set", "default", "trusted_mounts=/home/"]).await;
    assert!(refused.log.contains("trusted_mounts are at most 64 absolute paths"), "{}", refused.log);
    let set = run(&site, &["profile", "set", "default", "interpreters=sh:.sh:-c,python3*:.py", "open_exclusions="]).await;
    assert!(set.text().contains("-> sh:.sh:-c, python3*:.py") && set.out.contains("-> none"), "{}", set.out);
    assert!(run(&site, &["profile", "publish", "default"]).await.text().contains("6 settings, 1 packages"));
    let mode = run(&site, &["host", "set", "web-1", "mode=detect"]).await;
    assert!(mode.text().contains("detect, its own mode"), "{}", mode.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_files_is_decided_in_parts_and_what_is_left_out_is_told_line_by_line() {
    let site = busy_site().await;
    let mut list = tempfile::NamedTempFile::new().unwrap();
    let made_up = |number: u32| Sha256::new([[0xee; 28].as_slice(), &number.to_be_bytes()].concat().try_into().unwrap());
    let parts = u32::try_from(DECISIONS_MAX).unwrap() + 10;
    writeln!(list, "# bad ones\n{}  ./known\nnonsense", file(1)).unwrap();
    (0..parts).for_each(|number| writeln!(list, "{}", made_up(number)).unwrap());
    let path = list.path().to_str().unwrap();
    let denied = run(&site, &["file", "deny", "--from", path, "--profile", "default", "--comment", "a list"]).await;
    assert_eq!(denied.exit, Exit::Failure, "one line names no file");
    assert!(denied.out.starts_with(&format!("{} files are DENIED in profile default, in force now", parts + 1)), "{}", denied.out);
    assert!(denied.out.contains("no SHA-256: 1\n  line 3: ") && denied.log.contains("1 of the files"), "{} {}", denied.out, denied.log);
    let rows = site.allowlist.store().audit(&crate::store::PageRequest::default()).await.unwrap().items;
    assert_eq!(rows.iter().filter(|row| row.action == "files.decide").count(), 2, "one for each part");
    let allowed = run(&site, &["--json", "file", "allow", "--from", path, "--profile", "default"]).await;
    let report: Value = serde_json::from_str(allowed.out.lines().last().unwrap()).unwrap();
    assert_eq!((&report["decided"], &report["refused"]["threat"]), (&parts.into(), &1.into()), "{report}");
    assert_eq!(report["refused_files"][1]["file"], file(1).to_string(), "{report}");
    let missing = run(&site, &["file", "deny", "--from", "/nowhere/list", "--global"]).await;
    assert_eq!(missing.exit, Exit::NoInput, "{}", missing.log);
    let both = run(&site, &["file", "deny", &file(1).to_string(), "--from", path, "--global"]).await;
    assert_eq!(both.exit, Exit::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_get_one_document_on_the_last_line() {
    let site = busy_site().await;
    let token = run(&site, &["token", "create", "--profile", "default", "--uses", "3", "--expires", "2h", "--json"]).await.json();
    assert!(token["token"].as_str().unwrap().starts_with("dw1.") && token["id"].is_string(), "{token}");
    let revoked = run(&site, &["--json", "token", "revoke", token["id"].as_str().unwrap()]).await.json();
    assert_eq!(revoked["revoked"], true);
    assert_eq!(run(&site, &["--json", "stats"]).await.json()["files"], 2);
    assert_eq!(run(&site, &["--json", "intel", "recheck", &file(1).to_string()]).await.json()["queued"], 1);
    let page = run(&site, &["--json", "allowlist", "show", "default", "--limit", "1"]).await.json();
    let next =
        run(&site, &["--json", "allowlist", "show", "default", "--limit", "1", "--after", page["next"].as_str().unwrap()]).await.json();
    assert_eq!((page["items"][0]["sha256"].as_str(), &next["next"]), (Some(file(1).to_string().as_str()), &Value::Null));
    let out = run(&site, &["--json", "file", "show", &file(1).to_string()]).await.out;
    assert!(!out.trim_end().chars().any(char::is_control), "JSON is safe on a terminal too: {out:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_own_exit_codes_and_say_what_to_do() {
    let mut site = Site::start().await;
    let zeros = "0".repeat(64);
    let cases = [
        (&["file", "show", &zeros][..], Exit::Failure, "no host reported"),
        (&["profile", "show", "nowhere"], Exit::Failure, "nowhere"),
        (&["file", "allow", &zeros, "--profile", "nowhere"], Exit::Failure, "nowhere"),
        (&["profile", "set", "default", "mode=enforce"], Exit::Usage, "mode"),
        (&["profile", "set", "default", "colour=red"], Exit::Usage, "colour"),
        (&["host", "set", "web-1", "colour=red"], Exit::Usage, "mode=protect"),
    ];
    for (words, exit, says) in cases {
        let ended = run(&site, words).await;
        assert_eq!((ended.exit, ended.out.as_str()), (exit, ""), "{words:?}: {}", ended.log);
        assert!(ended.log.contains(says), "{words:?}: {}", ended.log);
    }
    for wrong in [
        &["file", "allow", "not-a-digest", "--global"][..],
        &["file", "allow", &zeros],
        &["frobnicate"],
        &["token", "create", "--profile", "x", "--expires", "soon"],
    ] {
        assert_eq!(run(&site, wrong).await.exit, Exit::Usage, "{wrong:?}");
    }
    site.stop().await;
    let ended = run(&site, &["stats"]).await;
    assert_eq!(ended.exit, Exit::Unavailable);
    assert!(ended.log.contains(&site.socket().display().to_string()) && ended.log.contains("doorward-cms serve"), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_is_waited_for_across_a_restart_of_the_server() {
    let mut site = Site::start().await;
    let (socket, host, store) = (site.socket().display().to_string(), site.host, site.allowlist.store().clone());
    let words = ["--json", "--socket", &socket, "profile", "scan", "default", "--host", "web-1", "--wait"].map(str::to_owned);
    let waiting = tokio::task::spawn_blocking(move || run_words(&words.each_ref().map(String::as_str)));
    let command = eventually(async || store.commands_due(host, 10).await.unwrap().into_iter().next()).await;
    let doorward_proto::uplink::CommandBody::StartScan(start) = command.body else { panic!("a scan was asked for: {command:?}") };
    site.stop().await;
    store.scan_progress(host, &progress(start.scan, 100, ScanState::Running), NOW + 1).await.unwrap();
    site.serve();
    store.scan_progress(host, &progress(start.scan, 200, ScanState::Done), NOW + 2).await.unwrap();
    let ended = waiting.await.unwrap();
    let scan = ended.json();
    assert_eq!((&scan["scan_id"], &scan["files"], &scan["state"]), (&start.scan.to_string().into(), &200.into(), &"done".into()));
    assert!(ended.log.contains("waiting for host web-1"), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_scan_ends_the_wait_with_its_reason() {
    let site = Site::start().await;
    let store = site.allowlist.store().clone();
    let host = site.host;
    let failing = async {
        let command = eventually(async || store.commands_due(host, 10).await.unwrap().into_iter().next()).await;
        store.command_done(host, command.id, Some("the root file system is gone"), NOW + 1).await.unwrap();
    };
    let (ended, ()) = tokio::join!(run(&site, &["profile", "scan", "default", "--host", "web-1", "--wait"]), failing);
    assert_eq!(ended.exit, Exit::Failure, "{}", ended.out);
    assert!(ended.log.contains("the root file system is gone") && ended.log.contains("scan show"), "{}", ended.log);
}

#[test]
fn init_makes_everything_once_and_says_what_to_do_next() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cms.toml");
    let state = folder.path().join("state");
    std::fs::write(
        &config,
        format!("state_dir = {:?}\nruntime_dir = {:?}\n", state.display().to_string(), folder.path().display().to_string()),
    )
    .unwrap();
    let config = config.display().to_string();
    let ended = run_words(&["--config", &config, "init", "--name", "cms.example"]);
    let keys = Keys::load(&state, None).unwrap();
    let text = ended.text();
    for words in
        [data_encoding::HEXLOWER.encode(&keys.ca_key_hash()).as_str(), "doorward-cms serve", "token create", "https://cms.example:8443"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let checked = run_words(&["--config", &config, "--json", "check-config"]).json();
    assert_eq!((&checked["names"][0], &checked["initialised"]), (&"cms.example".into(), &true.into()), "{checked}");
    let again = run_words(&["--config", &config, "init"]);
    assert_eq!(again.exit, Exit::CannotCreate);
    assert!(again.log.contains("initialised already") && again.log.contains("move its whole state folder away"), "{}", again.log);
    assert_eq!(Keys::load(&state, None).unwrap().ca_key_hash(), keys.ca_key_hash(), "what was there stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_the_agent_cannot_carry_out_is_said_wherever_the_mode_is() {
    let site = Site::start().await;
    let store = site.allowlist.store();
    let facts = store.host(site.host).await.unwrap().unwrap().facts;
    store.host_seen(site.host, &facts, "0.1.0", NOW).await.unwrap();
    store.host_capabilities(site.host, &["detect".to_owned()]).await.unwrap();
    let set = run(&site, &["host", "set", "web-1", "mode=protect"]).await;
    assert!(!set.text().contains("in force"), "what the agent has not heard of yet is no shortfall: {}", set.out);
    let revision = store.host(site.host).await.unwrap().unwrap().settings_revision;
    store.settings_in_force(site.host, &InForce { epoch: 0, revision, refused: None }).await.unwrap();
    let said = "protect wanted, detect in force: the agent cannot protect";
    assert!(run(&site, &["host", "show", "web-1"]).await.text().contains(said));
    let listed = run(&site, &["host", "list"]).await;
    assert!(listed.text().contains("detect, not protect (own)"), "{}", listed.out);
}

#[test]
fn a_server_without_names_is_refused_by_the_check_and_by_the_start_alike() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cms.toml").display().to_string();
    for names in ["", "[uplink]\nnames = [\"*.example\"]\n"] {
        std::fs::write(&config, format!("state_dir = {:?}\n{names}", folder.path().display().to_string())).unwrap();
        for command in ["check-config", "serve"] {
            let ended = run_words(&["--config", &config, command]);
            assert_eq!(ended.exit, Exit::Config, "{command}: {}", ended.log);
            assert!(ended.log.contains("[uplink] names"), "{command}: {}", ended.log);
        }
    }
}

#[test]
fn a_wrong_configuration_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cms.toml");
    std::fs::write(&config, "[intel]\nprovider = \"reversinglabs\"\nusre = \"x\"\n").unwrap();
    let ended = run_words(&["--config", &config.display().to_string(), "check-config"]);
    assert_eq!(ended.exit, Exit::Config);
    assert!(ended.log.contains("cms.toml:3") && ended.log.contains("usre"), "{}", ended.log);
    let ended = run_words(&["--config", "/nonexistent.toml", "stats"]);
    assert_eq!(ended.exit, Exit::Config, "{}", ended.log);
}

fn progress(scan: ScanId, files: u64, state: ScanState) -> ScanProgress {
    ScanProgress {
        scan,
        files,
        files_total: 200,
        candidates: 10,
        bytes: 1 << 20,
        package_trusted: 5,
        otherwise_trusted: 1,
        unresolved: 4,
        skipped: 0,
        elapsed_ms: 1500,
        state,
    }
}

/// Looks again until there is something, but not for ever.
async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), search).await.expect("it happens in time")
}
