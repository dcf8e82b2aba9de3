//! A full disk under the CMS: nothing is acknowledged that is not kept, nothing that was kept goes, and all goes on by itself when there
//! is room again. The disk is a small one in a mount namespace of the server's own, so the machine's is never touched.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use doorward_tests::site::{Site, eventually, sha256, unheard_of};

/// Room for the database of a few hundred files with its log, in MiB.
const DISK_MIB: u32 = 12;

const FILES: usize = 60;

/// Writes until there is no room for another byte.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("the small disk can be reached");
    for block in [vec![0_u8; 64 * 1024], vec![0_u8; 4096]] {
        while file.write_all(&block).is_ok() {}
    }
}

#[test]
fn reports_wait_on_their_host_while_the_disk_is_full_and_arrive_when_there_is_room() {
    let mut site = match Site::start_on_small_disk(DISK_MIB) {
        Ok(site) => site,
        Err(why) => {
            eprintln!("SKIPPED: a full disk under the CMS is not tested, because {why}");
            return;
        }
    };
    let contents: Vec<_> = (0..FILES).map(|number| unheard_of(&format!("number {number}"))).collect();
    let mut builder = site.host("web-1").with_file("opt/early", &unheard_of("early"));
    for (number, content) in contents.iter().enumerate() {
        builder = builder.with_file(format!("srv/tool-{number}"), content);
    }
    let host = builder.enrolled().running();
    let ballast = site.small_disk().join("ballast");
    fill(&ballast);
    let before = site.cms_says(&["stats"]);
    host.ask(&["scan", "--report"]).expect("the host scans whatever the server does");
    let waiting = eventually("reports wait on the host", || host.status()["pending"].as_u64().filter(|pending| *pending >= FILES as u64));
    assert!(site.cms().is_running(), "the server lives on a full disk");
    let during = site.cms_says(&["stats"]);
    assert_eq!(during["files"], before["files"], "what cannot be kept is not shown as if it had been; {waiting} reports wait");
    let refused = site.ask(&["profile", "create", "other", "--tag", "other"]).expect_err("no change can be kept");
    assert!(refused.contains("full"), "a person is told why: {refused}");

    fs::remove_file(&ballast).expect("the ballast can go");
    let expected: BTreeSet<String> = contents.iter().map(|content| sha256(content).to_string()).collect();
    eventually("every file arrives", || {
        let rows = site.allowlist();
        let arrived: BTreeSet<_> = rows.iter().filter_map(|row| row["sha256"].as_str().map(str::to_owned)).collect();
        expected.is_subset(&arrived).then_some(())
    });
    // What counts together for a minute, as the health reports of the full disk do, waits until the minute is over.
    eventually("none of them waits any more", || host.status()["pending"].as_u64().filter(|pending| *pending < FILES as u64));
    let _ = site.cms_says(&["profile", "create", "other", "--tag", "other"]);
}
