//! What is asked of threat intelligence, how often, and what becomes of an answer that changes or does not come.

use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use doorward_tests::ti::{Fault, FaultKind, RecordStatus};

#[test]
fn a_flipped_verdict_reaches_the_host_with_its_new_name() {
    let site = Site::start();
    let tool = unheard_of("tool");
    site.ti_says(&sha256(&tool), RecordStatus::Known, 1);
    let host = site.host("web-1").with_file("opt/tool", &tool).enrolled().running();
    let _ = host.reference_scan(&site);
    let _ = site.file_with_reason(&sha256(&tool), "known");
    let _ = site.ask(&["profile", "publish", "default"]);
    let _ = host.judged("opt/tool", "allowed_by_rule");
    site.ti_says(&sha256(&tool), RecordStatus::Malicious, 5);
    let _ = site.cms_says(&["intel", "recheck", &sha256(&tool).to_string()]);
    let file = site.file_with_reason(&sha256(&tool), "malicious");
    assert_eq!(file["threat_score"], 10);
    assert_eq!(file["reputation"]["history"].as_array().unwrap().len(), 2, "nothing is overwritten: {file}");
    let why = host.judged("opt/tool", "threat");
    assert_eq!(why["status"]["reason"], "malicious");
    let incident = site.incident("verdict_turned", &sha256(&tool));
    assert!(incident.to_string().contains("/opt/tool"), "the incident names the path: {incident}");
}

#[test]
fn a_withdrawn_false_positive_lifts_the_threat() {
    let site = Site::start();
    let tool = unheard_of("tool");
    site.ti_says(&sha256(&tool), RecordStatus::Malicious, 3);
    let host = site.host("web-1").with_file("opt/tool", &tool).enrolled().running();
    let _ = host.reference_scan(&site);
    let _ = host.judged("opt/tool", "threat");
    site.ti_says(&sha256(&tool), RecordStatus::Known, 0);
    let _ = site.cms_says(&["intel", "recheck", &sha256(&tool).to_string()]);
    let _ = site.file_with_reason(&sha256(&tool), "known");
    eventually("the host forgets the threat", || Some(host.why("opt/tool")).filter(|why| why["judgement"]["verdict"] != "deny"));
}

#[test]
fn many_hosts_with_one_file_cost_one_look_up() {
    let site = Site::start();
    let tool = unheard_of("shared tool");
    let hosts: Vec<_> = ["web-1", "web-2", "web-3"].map(|name| site.host(name).with_file("opt/tool", &tool).enrolled().running()).into();
    for host in &hosts {
        let _ = host.reference_scan(&site);
    }
    let _ = site.settled();
    assert_eq!(site.asked(&sha256(&tool)), 1);
    assert_eq!(site.file(&sha256(&tool)).unwrap()["observations"].as_array().unwrap().len(), 3);
}

#[test]
fn nothing_but_checksums_leaves_the_site() {
    let site = Site::start();
    let host = site.host("hostname-nobody-may-learn").with_file("opt/path-nobody-may-learn", &unheard_of("tool")).enrolled().running();
    let _ = host.reference_scan(&site);
    let _ = site.settled();
    let requests = site.ti().requests();
    assert!(!requests.is_empty());
    for request in requests {
        let request = format!("{request:?}");
        for secret in ["nobody-may-learn", "opt/", host.id()] {
            assert!(!request.contains(secret), "{secret} in {request}");
        }
    }
}

#[test]
fn an_error_is_never_an_answer() {
    let site = Site::start();
    let tool = unheard_of("tool");
    site.ti_says(&sha256(&tool), RecordStatus::Known, 0);
    site.ti().fault(Fault::status(503)).unwrap();
    let host = site.host("web-1").with_file("opt/tool", &tool).enrolled().running();
    let _ = host.reference_scan(&site);
    let file = eventually("the failure shows", || {
        site.file(&sha256(&tool)).filter(|file| file["reason"] == "provider_error" || !file["lookup"]["last_error"].is_null())
    });
    assert_eq!(file["status"], "unverified");
    assert!(file["reputation"]["history"].as_array().unwrap().is_empty(), "{file}");
    site.ti().fault(Fault::new(FaultKind::None)).unwrap();
    let _ = site.file_with_reason(&sha256(&tool), "known");
}

#[test]
fn html_instead_of_an_answer_is_an_error() {
    let site = Site::start();
    let tool = unheard_of("tool");
    site.ti_says(&sha256(&tool), RecordStatus::Known, 0);
    site.ti().fault(Fault::new(FaultKind::Html).times(1)).unwrap();
    let host = site.host("web-1").with_file("opt/tool", &tool).enrolled().running();
    let _ = host.reference_scan(&site);
    let file = site.file_with_reason(&sha256(&tool), "known");
    assert_eq!(file["reputation"]["history"].as_array().unwrap().len(), 1, "{file}");
}
