//! Packages that lists name: what hosts tell of them, what becomes of their files when they are denied, and what never leaves a host.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use doorward_tests::site::{Host, Site, eventually, sha256, unheard_of};
use serde_json::Value;

/// Files of a package with many.
const FILES: usize = 300;
/// Moments after a publication at which the agent is killed, in milliseconds.
const KILLS_MS: [u64; 4] = [0, 40, 120, 400];

fn publish(site: &Site) {
    site.ask(&["profile", "publish", "default"]).expect("what was drafted is published");
}

fn deny(site: &Site, source: &str, more: &[&str]) -> Value {
    let drafted = site.cms_says(&[&["source", "deny", source, "--profile", "default"], more].concat());
    publish(site);
    drafted
}

/// The source once every host that was asked for its files has reported them.
fn reported(site: &Site, source: &str) -> Value {
    eventually("hosts report the files of the source", || {
        let shown = site.ask(&["source", "show", source, "--profile", "default"]).ok()?;
        (shown["asked"]["hosts"].as_u64()? > 0 && shown["asked"]["hosts"] == shown["asked"]["done"]).then_some(shown)
    })
}

fn with_many_files(site: &Site, contents: &[Vec<u8>]) -> Host {
    let paths: Vec<_> = (0..contents.len()).map(|number| format!("usr/lib/game/{}/level-{number}", number % 5)).collect();
    let files: Vec<_> = paths.iter().zip(contents).map(|(path, content)| (path.as_str(), content.as_slice())).collect();
    site.host("web-1").with_package("game", &files).with_package("tools", &[("usr/bin/tool", &unheard_of("tool"))]).enrolled().running()
}

#[test]
fn the_inventory_tells_of_a_package_and_never_of_its_files() {
    let mut site = Site::start();
    let (settled, other) = (unheard_of("settled"), unheard_of("other"));
    let mut host = site
        .host("web-1")
        .with_package("game", &[("usr/lib/name-nobody-may-learn/program", &settled)])
        .with_file("opt/name-everybody-learns", &other)
        .enrolled()
        .running();
    let _ = host.reference_scan(&site);
    let _ = site.settled();
    let rows = eventually("the inventory arrives", || {
        let rows = site.cms_says(&["source", "list", "--kind", "package", "--manager", "dpkg", "--state", "new", "--text", "GAM"]);
        rows["items"].as_array().filter(|rows| !rows.is_empty()).cloned()
    });
    assert_eq!((rows.len(), &rows[0]["name"], &rows[0]["files"], &rows[0]["hosts"]), (1, &"game".into(), &1.into(), &1.into()), "{rows:?}");
    assert_eq!(rows[0]["sources"], serde_json::json!(["scan"]), "{rows:?}");
    let shown = site.cms_says(&["source", "show", "dpkg:game"]);
    assert_eq!(shown["on"]["items"][0]["evidence"]["package"]["version"], "1.0-1", "{shown}");
    assert!(site.file(&sha256(&settled)).is_none());
    host.stop();
    site.stop();
    let secrets = [b"name-nobody-may-learn".to_vec(), sha256(&settled).as_bytes().to_vec(), sha256(&settled).to_string().into_bytes()];
    for folder in [site.folder(), &host.state().join("pending")] {
        for secret in &secrets {
            let found = holding(folder, secret);
            assert!(found.is_empty(), "{} is told in {found:?}", String::from_utf8_lossy(secret));
        }
    }
    assert!(!holding(site.folder(), b"name-everybody-learns").is_empty(), "what is told would have been found");
}

/// Files below a folder that hold these bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            // A host's own root and state lie apart from the server's folder.
            Ok(kind) if kind.is_dir() => found.extend(holding(&path, bytes)),
            Ok(kind) if kind.is_file() => {
                let content = fs::read(&path).unwrap_or_default();
                if content.windows(bytes.len()).any(|window| window == bytes) {
                    found.push(path);
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn a_denied_package_is_reported_file_by_file_and_nobody_is_asked_about_it() {
    let site = Site::start();
    let contents: Vec<_> = (0..FILES).map(|number| unheard_of(&format!("level {number}"))).collect();
    let host = with_many_files(&site, &contents);
    let _ = host.reference_scan(&site);
    let drafted = deny(&site, "dpkg:game", &["--comment", "no games"]);
    assert_eq!((&drafted["extent"]["files"], &drafted["extent"]["hosts"]), (&FILES.into(), &1.into()), "{drafted}");
    let shown = reported(&site, "dpkg:game");
    assert_eq!(shown["state"], "denied", "{shown}");
    for content in &contents {
        let file = site.file_with_reason(&sha256(content), "package_not_allowed");
        assert_eq!(file["status"], "threat");
        assert_eq!(site.asked(&sha256(content)), 0, "an explicit denial needs no look-up");
    }
    assert!(site.file(&sha256(&unheard_of("tool"))).is_none(), "another package's files stay where they are");
    assert!(host.log().contains("told the CMS of the files of a source"), "no scan of everything was needed: {}", host.log());
}

#[test]
fn a_host_that_is_killed_while_it_reports_reports_all_the_same() {
    let site = Site::start();
    let contents: Vec<_> = (0..FILES).map(|number| unheard_of(&format!("level {number}"))).collect();
    let mut host = with_many_files(&site, &contents);
    let _ = host.reference_scan(&site);
    deny(&site, "dpkg:game", &[]);
    for moment in KILLS_MS {
        thread::sleep(Duration::from_millis(moment));
        host.kill();
        host.run();
    }
    let _ = reported(&site, "dpkg:game");
    let rows = eventually("every file is a threat, once", || {
        let threats: Vec<_> = site.allowlist().into_iter().filter(|row| row["reason"] == "package_not_allowed").collect();
        (threats.len() == FILES).then_some(threats)
    });
    assert!(rows.iter().all(|row| row["path_count"] == 1 && row["hosts"] == 1));
}

#[test]
fn a_range_denies_the_versions_in_it_and_no_others() {
    let site = Site::start();
    let game = unheard_of("game");
    let host = site.host("web-1").with_package("game", &[("usr/bin/game", &game)]).enrolled().running();
    let _ = host.reference_scan(&site);
    deny(&site, "dpkg:game", &["--versions", ">= 1.0-2"]);
    let revision = site.cms_says(&["profile", "show", "default"])["revision"].as_u64().expect("a revision");
    eventually("the host has the policy", || Some(host.why("usr/bin/game")).filter(|why| why["policy_revision"] == revision));
    assert_eq!(host.why("usr/bin/game")["judgement"]["row"], "package", "the host has 1.0-1");
    let preview = site.cms_says(&["source", "deny", "dpkg:game", "--profile", "default", "--versions", "[1.0-1, 1.0-1]", "--dry-run"]);
    assert_eq!((&preview["draft"], &preview["extent"]["files"], &preview["versions"]), (&false.into(), &1.into(), &"= 1.0-1".into()));
    publish(&site);
    assert_eq!(host.why("usr/bin/game")["judgement"]["row"], "package", "a dry run changes nothing");
    deny(&site, "dpkg:game", &["--versions", "[1.0-1, 1.0-1]"]);
    let _ = host.judged("usr/bin/game", "package_not_allowed");
    let _ = site.file_with_reason(&sha256(&game), "package_not_allowed");
    let error = site.ask(&["source", "deny", "dpkg:game", "--profile", "default", "--versions", "3.0"]).unwrap_err();
    assert!(error.contains("is no range of versions"), "{error}");
    let _ = site.cms_says(&["source", "forget", "dpkg:game", "--profile", "default", "--versions", "= 1.0-1"]);
    publish(&site);
    let _ = host.judged("usr/bin/game", "package");
}

#[test]
fn what_the_reference_host_has_is_adopted_and_what_comes_later_is_new() {
    let site = Site::start();
    let (old, new) = (unheard_of("old"), unheard_of("new"));
    let golden = site.host("golden").with_package("game", &[("usr/bin/game", &old)]).enrolled().running();
    let _ = golden.reference_scan(&site);
    let adopted = eventually("the inventory is there to be adopted", || {
        Some(site.cms_says(&["source", "adopt", "--profile", "default"])).filter(|adopted| adopted["adopted"] == 1)
    });
    assert_eq!(adopted["host_id"], golden.id());
    let _ = site.cms_says(&["profile", "set", "default", "allow_new_packages=false"]);
    let difference = site.cms_says(&["profile", "diff", "default"]);
    assert_eq!((&difference["sources"][0]["extent"]["files"], &difference["new_sources"]["packages"]["sources"]), (&1.into(), &0.into()));
    publish(&site);
    let web = site.host("web-1").with_package("game", &[("usr/bin/game", &old)]).with_package("miner", &[("usr/bin/miner", &new)]);
    let web = web.enrolled().running();
    let _ = web.judged("usr/bin/miner", "nothing");
    assert_eq!(web.why("usr/bin/game")["judgement"]["row"], "package");
}
