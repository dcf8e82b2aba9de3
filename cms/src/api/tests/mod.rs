//! The API over a real socket: what it answers, and what it refuses.

use doorward_policy::{Class, Reputation};
use serde_json::{Value, json};

pub(crate) mod site;

use super::limit::{BODY_BYTES_MAX, CONNECTIONS_MAX, DECISIONS_MAX, IDLE};
use site::{NOW, Site, file};

fn malicious() -> Reputation {
    Reputation { class: Class::Malicious, trust_factor: None, threat_level: Some(5), threat_name: Some("Linux.Trojan.Test".into()) }
}

/// Every refusal says what it is in the same form.
fn assert_problem(answer: &(u16, Value), status: u16, words: &str) {
    let (got, body) = answer;
    assert_eq!(*got, status, "{body}");
    assert_eq!(body["status"], status, "{body}");
    assert!(body["type"].as_str().is_some_and(|kind| kind.starts_with("urn:doorward:problem:")), "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{body} should speak of {words:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executed_threat_is_in_the_allowlist_the_file_the_incidents_and_the_counts() {
    let site = Site::start().await;
    site.executes(b"/opt/\x1b[31mtool", file(1)).await;
    site.answers(file(1), malicious()).await;

    let (_, rows) = site.get("/profiles/default/allowlist?status=threat").await;
    let row = &rows["items"][0];
    assert_eq!(row["sha256"], file(1).to_string());
    assert_eq!((&row["status"], &row["reason"], &row["threat_score"]), (&json!("threat"), &json!("malicious"), &json!(10)));
    assert_eq!((&row["paths"], &row["path_count"], &row["hosts"]), (&json!([r"/opt/\x1b[31mtool"]), &json!(1), &json!(1)));
    assert_eq!(row["sources"], json!(["exec"]));

    let (_, detail) = site.get(&format!("/files/{}", file(1))).await;
    assert_eq!(detail["observations"][0]["use"], "execute", "{detail}");
    assert_eq!(detail["observations"][0]["process"]["pid"], 4711);
    assert_eq!(detail["reputation"]["current"]["raw"]["note"], "as the provider put it");
    assert_eq!(detail["reputation"]["current"]["class"], "malicious");
    assert_eq!(detail["reputation"]["history"].as_array().unwrap().len(), 1);
    assert_eq!(detail["judgement"]["judgement"]["verdict"], "deny");
    assert_eq!(detail["lookup"]["state"], "done");
    assert_eq!(detail["digests"]["sha256"], file(1).to_string());

    let (_, incidents) = site.get(&format!("/incidents?open=true&file={}", file(1))).await;
    let incident = incidents["items"].as_array().unwrap().iter().find(|incident| incident["kind"] == "threat_executed").unwrap();
    assert_eq!((&incident["state"], &incident["host"]), (&json!("open"), &json!("web-1")));
    assert_eq!(incident["sha256"], file(1).to_string());
    assert_eq!(incident["paths"], json!([r"/opt/\x1b[31mtool"]));
    assert!(incident["summary"].as_str().unwrap().contains("web-1"), "{incident}");

    let (_, stats) = site.get("/stats").await;
    let counted = ["hosts", "files", "observations", "threat", "safe", "unverified", "lookups_done", "ti_requests"].map(|key| &stats[key]);
    assert_eq!(counted, [1, 1, 1, 1, 0, 0, 1, 0].map(|number| json!(number)).each_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_taken_shown_and_taken_back() {
    let site = Site::start().await;
    site.executes(b"/opt/tool", file(1)).await;
    let path = format!("/files/{}/decision", file(1));
    let allow = json!({"scope": "profile", "profile": "default", "decision": "allowed", "comment": "our own"}).to_string();
    let (status, decided) = site.ask("PUT", &path, &allow).await;
    assert_eq!((status, &decided["decision"], &decided["status"]), (200, &json!("allowed"), &json!("unverified")), "{decided}");
    let (_, rows) = site.get("/profiles/default/allowlist").await;
    let decision = &rows["items"][0]["decision"];
    assert_eq!((&decision["decision"], &decision["comment"], &decision["at"]), (&json!("allowed"), &json!("our own"), &json!(NOW)));
    assert!(decision["by"].as_str().is_some_and(|by| !by.is_empty()), "the audit log must name somebody: {decision}");
    let (_, changes) = site.get("/profiles/default/changes").await;
    assert_eq!((&changes["items"][0]["record"], &changes["items"][0]["change"]), (&json!("file_allowed_by_person"), &json!("added")));

    let reset = json!({"scope": "profile", "profile": "default", "decision": "undecided"}).to_string();
    assert_eq!(site.ask("PUT", &path, &reset).await.0, 200);
    let (_, rows) = site.get("/profiles/default/allowlist").await;
    assert_eq!(rows["items"][0]["decision"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_are_decided_at_once_and_what_is_left_out_is_told() {
    let site = Site::start().await;
    site.executes(b"/opt/tool", file(1)).await;
    site.answers(file(1), malicious()).await;
    let files = json!([file(1).to_string(), file(2).to_string(), file(2).to_string(), "no \u{1b}[31mdigest"]);
    let wish = |files: &Value| json!({"scope": "profile", "profile": "default", "decision": "allowed", "files": files}).to_string();
    let (status, decided) = site.ask("POST", "/files/decisions", &wish(&files)).await;
    assert_eq!((status, &decided["decided"], &decided["unchanged"]), (200, &json!(1), &json!(0)), "{decided}");
    let refused = decided["refused"].as_array().unwrap();
    let told: Vec<_> = refused.iter().map(|refused| (refused["file"].as_str().unwrap(), refused["because"].as_str().unwrap())).collect();
    assert_eq!(told, [("no \u{1b}[31mdigest", "malformed"), (file(1).to_string().as_str(), "threat")], "{decided}");
    let (_, again) = site.ask("POST", "/files/decisions", &wish(&files)).await;
    assert_eq!((&again["decided"], &again["unchanged"]), (&json!(0), &json!(1)), "{again}");
    let too_many = json!(vec![file(2).to_string(); DECISIONS_MAX + 1]);
    assert_problem(&site.ask("POST", "/files/decisions", &wish(&too_many)).await, 422, "in parts");
    assert_problem(&site.ask("POST", "/files/decisions", &wish(&json!([]))).await, 422, "1 to 5000");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_packages_are_drafted_shown_as_different_and_published() {
    let site = Site::start().await;
    let (_, profile) = site.ask("PATCH", "/profiles/default", r#"{"mode": "protect", "allow_safe": "off"}"#).await;
    assert_eq!((&profile["draft"]["mode"], &profile["published"]["mode"]), (&json!("protect"), &json!("detect")), "{profile}");
    let deny = r#"{"kind":"package","manager":"dpkg","name":"nethack","scope":"profile","profile":"default","decision":"denied"}"#;
    let (status, drafted) = site.ask("PUT", "/sources/decision", deny).await;
    assert_eq!((status, &drafted["draft"], &drafted["name"]), (200, &json!(true), &json!("nethack")), "{drafted}");
    let (_, difference) = site.get("/profiles/default/diff").await;
    assert_eq!(difference["settings"].as_array().unwrap().len(), 2, "{difference}");
    assert_eq!(difference["sources"][0]["after"], "denied");
    let (_, published) = site.ask("POST", "/profiles/default/publish", "{}").await;
    assert_eq!((&published["settings"], &published["sources"]), (&json!(2), &json!(1)), "{published}");
    let (_, sources) = site.get("/sources?profile=default&kind=package").await;
    let row = &sources["items"][0];
    assert_eq!(
        (&row["state"], &row["entries"][0]["decision"], &row["entries"][0]["draft"]),
        (&json!("denied"), &json!("denied"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_decided_on_by_version_and_looked_at_one_by_one() {
    let site = Site::start().await;
    let wish = |members: &[(&str, Value)]| {
        let mut body = json!({"kind": "package", "manager": "dpkg", "name": "openssl", "scope": "global", "decision": "denied"});
        members.iter().for_each(|(name, value)| body[*name] = value.clone());
        body.to_string()
    };
    let (status, previewed) =
        site.ask("PUT", "/sources/decision", &wish(&[("versions", json!("<3.0.9-1")), ("preview", json!(true))])).await;
    assert_eq!((status, &previewed["draft"], &previewed["versions"]), (200, &json!(false), &json!("< 3.0.9-1")), "{previewed}");
    assert_eq!(site.get("/sources").await.1["items"], json!([]), "a preview changes nothing");
    let (_, drafted) = site.ask("PUT", "/sources/decision", &wish(&[("versions", json!("[1, 3.0.9-1)"))])).await;
    assert_eq!((&drafted["draft"], &drafted["extent"]["hosts"]), (&json!(true), &json!(0)), "{drafted}");
    let key = drafted["key"].as_str().unwrap();
    let (status, shown) = site.get(&format!("/sources/{key}?profile=default&limit=5")).await;
    let entry = &shown["entries"][0];
    assert_eq!(
        (status, &entry["global"], &entry["versions"], &entry["draft"]),
        (200, &json!(true), &json!("[1, 3.0.9-1)"), &json!("denied"))
    );
    assert_eq!((&shown["state"], &shown["on"]["items"], &shown["asked"]["hosts"]), (&json!("new"), &json!([]), &json!(0)), "{shown}");
    for (versions, word) in [("3.0", "is no range"), ("[2, 1]", "no version is in"), ("< ~~", "is no version")] {
        assert_problem(&site.ask("PUT", "/sources/decision", &wish(&[("versions", json!(versions))])).await, 422, word);
    }
    let publisher = json!({"kind": "publisher", "fingerprint": file(1), "versions": "< 1", "scope": "global", "decision": "denied"});
    assert_problem(&site.ask("PUT", "/sources/decision", &publisher.to_string()).await, 422, "no versions");
    assert_problem(&site.get(&format!("/sources/{}", file(9))).await, 404, "source list");
    assert_problem(&site.get("/sources/nonsense").await, 404, "source list");
    assert_problem(&site.get("/sources?host=nobody").await, 404, "nobody");
    assert_problem(&site.get(&format!("/sources?text={}", "x".repeat(300))).await, 400, "text");
    assert_problem(&site.get("/sources?after=00").await, 400, "cursor");
    assert_problem(&site.ask("POST", "/profiles/default/sources/adopt", "{}").await, 409, "reference host");
    let (status, adopted) = site.ask("POST", "/profiles/default/sources/adopt", r#"{"host": "web-1"}"#).await;
    assert_eq!((status, &adopted["adopted"]), (200, &json!(0)), "{adopted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_get_modes_scans_and_their_dismissal() {
    let site = Site::start().await;
    let host = site.host;
    let (_, changed) = site.ask("PATCH", "/hosts/web-1", r#"{"mode":"protect"}"#).await;
    assert_eq!((&changed["mode"], &changed["mode_is_own"]), (&json!("protect"), &json!(true)), "{changed}");
    let (_, changed) = site.ask("PATCH", &format!("/hosts/{host}"), r#"{"mode":null}"#).await;
    assert_eq!(changed["mode_is_own"], false);
    assert_problem(&site.ask("PATCH", "/hosts/web-1", "{}").await, 422, "mode");

    let (status, scan) = site.ask("POST", "/profiles/default/scans", r#"{"host":"web-1"}"#).await;
    assert_eq!((status, &scan["state"], &scan["reference"]), (201, &json!("requested"), &json!(true)), "{scan}");
    let (_, shown) = site.get(&format!("/scans/{}", scan["id"].as_str().unwrap())).await;
    assert_eq!((&shown["host_id"], &shown["progress"], &shown["connected"]), (&json!(host), &Value::Null, &json!(false)));

    site.enroll("twin").await;
    site.enroll("twin").await;
    assert_problem(&site.get("/hosts/twin").await, 409, "give the id");
    let (_, removed) = site.ask("DELETE", &format!("/hosts/{host}"), "").await;
    assert_eq!(removed["removed_at"], NOW);
    assert_problem(&site.ask("DELETE", &format!("/hosts/{host}"), "").await, 409, "removed");
    assert_problem(&site.ask("POST", "/profiles/default/scans", &json!({"host": host}).to_string()).await, 409, "removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_can_be_revoked() {
    let site = Site::start().await;
    let (status, token) = site.ask("POST", "/tokens", r#"{"profile":"default","uses":2,"expires_in_s":3600}"#).await;
    assert_eq!((status, &token["uses_left"], &token["expires_at"]), (201, &json!(2), &json!(NOW + 3_600_000_000)));
    let secret = token["token"].as_str().unwrap();
    assert!(secret.starts_with("dw1."), "{token}");
    let (_, list) = site.get("/tokens").await;
    assert!(!list.to_string().contains(secret.split('.').nth(1).unwrap()), "a list tells no secret");
    let path = format!("/tokens/{}", token["id"].as_str().unwrap());
    assert_eq!(site.ask("DELETE", &path, "").await.0, 204);
    let (_, list) = site.get("/tokens").await;
    let revoked = list["items"].as_array().unwrap().iter().find(|row| row["id"] == token["id"]).unwrap();
    assert_eq!(revoked["revoked_at"], NOW);
    for (body, words) in [
        (r#"{"profile":"default","uses":0}"#, "uses"),
        (r#"{"profile":"default","expires_in_s":1}"#, "expires_in_s"),
        (r#"{"profile":"default","expires_in_s":18446744073709551615}"#, "expires_in_s"),
        (r#"{"profile":"global"}"#, "global"),
    ] {
        let answer = site.ask("POST", "/tokens", body).await;
        assert!(answer.0 == 422 || answer.0 == 409, "{body}: {answer:?}");
        assert_problem(&answer, answer.0, words);
    }
    assert_problem(&site.ask("POST", "/tokens", r#"{"profile":"nowhere"}"#).await, 404, "nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_that_join_without_gap_or_repeat() {
    let site = Site::start().await;
    for byte in 1..=7 {
        site.executes(format!("/opt/{byte}").as_bytes(), file(byte)).await;
    }
    site.answers(file(5), malicious()).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (_, page) = site.get(&format!("/profiles/default/allowlist?limit=3{after}")).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|row| row["sha256"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, [5, 1, 2, 3, 4, 6, 7].map(|byte| file(byte).to_string()), "threats first, then by digest");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_input_is_refused_in_words() {
    let site = Site::start().await;
    let name = "a".repeat(65);
    let refused = [
        ("GET", "/profiles/default/allowlist?after=zz".to_owned(), "", 400, "cursor"),
        ("GET", "/profiles/default/allowlist?after=00ff".to_owned(), "", 400, "cursor"),
        ("GET", format!("/hosts?after={}", "00".repeat(400)), "", 400, "cursor"),
        ("GET", "/profiles/default/allowlist?limit=0".to_owned(), "", 400, "limit"),
        ("GET", "/profiles/default/allowlist?limit=1001".to_owned(), "", 400, "limit"),
        ("GET", "/profiles/default/allowlist?limit=-1".to_owned(), "", 400, "limit"),
        ("GET", "/profiles/default/allowlist?colour=red".to_owned(), "", 400, "colour"),
        ("GET", "/profiles/default/allowlist?status=evil".to_owned(), "", 400, "evil"),
        ("GET", "/files/xyz".to_owned(), "", 400, "sha256"),
        ("GET", format!("/files/{}", "0".repeat(64)), "", 404, "000"),
        ("GET", "/scans/7".to_owned(), "", 400, ""),
        ("GET", "/profiles/%ff".to_owned(), "", 400, "UTF-8"),
        ("GET", "/nothing".to_owned(), "", 404, "path"),
        ("PUT", "/stats".to_owned(), "{}", 405, "method"),
        ("DELETE", "/profiles/default".to_owned(), "", 405, "method"),
        ("POST", "/profiles".to_owned(), r#"{"name":"x","tag":"y","colour":"red"}"#, 422, "colour"),
        ("POST", "/profiles".to_owned(), r#"{"name":"x"}"#, 422, "tag"),
        ("POST", "/profiles".to_owned(), r#"{"name":"x","tag":"y""#, 400, "JSON"),
        ("POST", "/profiles".to_owned(), r#"{"name":"../x","tag":"y"}"#, 422, "../x"),
        ("POST", "/profiles".to_owned(), &format!(r#"{{"name":"{name}","tag":"y"}}"#), 422, "letters"),
        ("POST", "/profiles".to_owned(), r#"{"name":"default","tag":"other"}"#, 409, "default"),
        ("POST", "/profiles".to_owned(), r#"["a"]"#, 422, ""),
        ("PATCH", "/profiles/default".to_owned(), r#"{"mode":"enforce"}"#, 422, "mode"),
        ("PATCH", "/profiles/global".to_owned(), r#"{"mode":"detect"}"#, 409, "global"),
        ("PATCH", "/profiles/nowhere".to_owned(), r#"{"mode":"detect"}"#, 404, "nowhere"),
        ("POST", "/intel/recheck".to_owned(), "{}", 422, "all"),
        ("POST", "/intel/recheck".to_owned(), r#"{"all":true,"profile":"default"}"#, 422, "one of"),
        ("PUT", "/sources/decision".to_owned(), r#"{"kind":"package","name":"x","scope":"global","decision":"denied"}"#, 422, "manager"),
    ];
    for (method, path, body, status, words) in refused {
        let answer = site.ask(method, &path, body).await;
        assert!(answer.0 == status, "{method} {path} {body}: {answer:?}");
        assert_problem(&answer, status, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_without_a_clear_reach_is_refused() {
    let site = Site::start().await;
    let path = format!("/files/{}/decision", file(1));
    let comment = "x".repeat(1001);
    for (body, status) in [
        (json!({"scope": "profile", "decision": "allowed"}), 422),
        (json!({"scope": "global", "profile": "default", "decision": "allowed"}), 422),
        (json!({"scope": "profile", "profile": "global", "decision": "allowed"}), 409),
        (json!({"scope": "everywhere", "decision": "allowed"}), 422),
        (json!({"scope": "global", "decision": "maybe"}), 422),
        (json!({"scope": "global", "decision": "allowed", "comment": comment}), 422),
        (json!({"decision": "allowed"}), 422),
    ] {
        let answer = site.ask("PUT", &path, &body.to_string()).await;
        assert!(answer.0 == status, "{body}: {answer:?}");
        assert_problem(&answer, status, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_and_must_be_json() {
    let site = Site::start().await;
    let huge = "x".repeat(BODY_BYTES_MAX + 1);
    let answer = site.ask("POST", "/profiles", &format!(r#"{{"name":"{huge}","tag":"y"}}"#)).await;
    assert_problem(&answer, 413, "bytes");
    let nested = "[".repeat(100_000);
    let answer = site.ask("PATCH", "/profiles/default", &format!(r#"{{"mode":{nested}"#)).await;
    assert_problem(&answer, 400, "recursion");
    let form = b"POST /api/v1/profiles HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    assert_problem(&site.raw(form).await, 415, "application/json");
    assert_eq!(site.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n").await.0, 400, "not even HTTP");
    assert_eq!(site.get("/stats").await.0, 200, "and it still answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_in_the_documentation_is_one_the_server_knows() {
    const DOCUMENTATION: &str = include_str!("../../../../docs/API.md");
    let site = Site::start().await;
    let rows = DOCUMENTATION.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        cells.get(1..3).filter(|cells| cells[1].starts_with('/')).map(|cells| (cells[0].to_owned(), cells[1].to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 30, "{rows:?}");
    for (method, path) in rows {
        let (_, answer) = site.ask(&method, &path.replace('{', "%7B").replace('}', "%7D"), "7").await;
        let told = answer.to_string();
        assert!(!told.contains("problem:method") && !told.contains("nothing at this path"), "{method} {path}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_its_owners_alone_and_taken_over_only_from_the_dead() {
    use std::os::unix::fs::PermissionsExt;
    let mut site = Site::start().await;
    let mode = std::fs::metadata(site.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(matches!(super::Socket::bind(&site.socket()), Err(super::SocketError::Taken { .. })));
    site.stop().await;
    assert!(!site.socket().exists(), "a server that stops takes its socket with it");
    // As after kill -9: the file is there and nobody listens.
    drop(std::os::unix::net::UnixListener::bind(site.socket()).unwrap());
    site.serve();
    assert_eq!(site.get("/stats").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ask_nothing_keep_nobody_out_for_long() {
    let site = Site::start().await;
    let mut idle = Vec::new();
    for number in 0..CONNECTIONS_MAX + 6 {
        let mut stream = tokio::net::UnixStream::connect(site.socket()).await.unwrap();
        if number % 2 == 0 {
            // Half a head is no request either.
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /api/v1/stats HTTP/1.1\r\nhost:").await.unwrap();
        }
        idle.push(stream);
    }
    let began = std::time::Instant::now();
    assert_eq!(site.get("/stats").await.0, 200);
    assert!(began.elapsed() < IDLE * 2, "answered after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_keeps_why_and_every_recheck() {
    let site = Site::start().await;
    site.executes(b"/opt/tool", file(1)).await;
    let deny = json!({"scope": "profile", "profile": "default", "decision": "denied", "comment": "seen on forums"}).to_string();
    assert_eq!(site.ask("PUT", &format!("/files/{}/decision", file(1)), &deny).await.0, 200);
    let package = r#"{"kind":"package","manager":"dpkg","name":"nethack","scope":"global","decision":"denied","comment":"no games"}"#;
    assert_eq!(site.ask("PUT", "/sources/decision", package).await.0, 200);
    assert_eq!(site.ask("POST", "/intel/recheck", &json!({"file": file(1)}).to_string()).await.0, 200);
    let store = site.allowlist.store();
    let rows = store.audit(&crate::store::PageRequest { limit: 10, after: None }).await.unwrap().items;
    let told: Vec<_> = rows.iter().take(3).map(|row| (row.action.as_str(), row.comment.as_deref())).collect();
    assert_eq!(told, [("intel.recheck", None), ("source.draft", Some("no games")), ("file.decide", Some("seen on forums"))]);
    assert_eq!(rows[0].target, file(1).to_string());
    assert_ne!(rows[0].actor, "cms", "a person asked");
    assert_eq!(store.broken_audit_row().await.unwrap(), None);
}
