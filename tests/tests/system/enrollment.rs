//! Who may join, and who may stay.

use doorward_tests::site::{Site, eventually, unheard_of};

#[test]
fn a_spent_token_enrolls_nobody_else() {
    let site = Site::start();
    let token = site.token();
    let first = site.host("web-1").unenrolled().host;
    first.ask(&["enroll", "--cms", &site.url(), "--token", &token]).unwrap();
    let second = site.host("web-2").unenrolled().host;
    let error = second.ask(&["enroll", "--cms", &site.url(), "--token", &token]).unwrap_err();
    assert!(error.contains("token"), "{error}");
    assert_eq!(site.cms_says(&["host", "list"])["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_token_of_another_site_is_noticed_before_its_secret_is_told() {
    let (site, other) = (Site::start(), Site::start());
    let host = site.host("web-1").unenrolled().host;
    let token = other.token();
    let error = host.ask(&["enroll", "--cms", &site.url(), "--token", &token]).unwrap_err();
    assert!(error.contains("CA") || error.contains("authority"), "{error}");
    host.ask(&["enroll", "--cms", &other.url(), "--token", &token]).expect("the token is not spent");
}

#[test]
fn a_revoked_token_is_refused() {
    let site = Site::start();
    let created = site.cms_says(&["token", "create", "--profile", "default", "--uses", "5"]);
    let _ = site.cms_says(&["token", "revoke", created["id"].as_str().unwrap()]);
    let host = site.host("web-1").unenrolled().host;
    let error = host.ask(&["enroll", "--cms", &site.url(), "--token", created["token"].as_str().unwrap()]).unwrap_err();
    assert!(error.contains("token"), "{error}");
}

#[test]
fn an_agent_that_is_not_enrolled_says_so_and_what_to_do() {
    let site = Site::start();
    let mut host = site.host("web-1").unenrolled().host;
    let error = host.ask(&["run"]).unwrap_err();
    assert!(error.contains("enroll") && error.contains("78"), "{error}");
    host.kill();
}

#[test]
fn a_removed_host_is_cut_off() {
    let site = Site::start();
    let host = site.host("web-1").with_file("opt/tool", &unheard_of("tool")).enrolled().running();
    let _ = site.cms_says(&["host", "remove", host.id()]);
    eventually("the removed host is cut off", || Some(host.status()).filter(|status| status["connected"] == false));
}
