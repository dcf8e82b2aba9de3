//! The provider's rules end to end, without a socket: what is refused, what is charged, what is counted.

use super::*;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BULK: &str = "/api/databrowser/malware_presence/bulk_query/json?extended=true&show_hashes=true";

struct Client {
    service: Service,
    now: Timestamp,
    user: &'static str,
}

impl Client {
    fn new(limit: Limit) -> Self {
        let accounts =
            Accounts { user: "u/doorward/simulator".into(), forbidden_user: "u/doorward/forbidden".into(), password: "secret".into() };
        let mut catalogue = Catalogue::default();
        for record in Record::parse_all(include_str!("../../../data/ti/records.jsonl")).unwrap() {
            catalogue.put(record).unwrap();
        }
        Self {
            service: Service::new(accounts, catalogue, limit),
            now: "2026-03-10T12:00:00Z".parse().unwrap(),
            user: "u/doorward/simulator",
        }
    }

    fn send(&mut self, method: Method, uri: &str, body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        let credentials = STANDARD.encode(format!("{}:secret", self.user));
        headers.insert(AUTHORIZATION, format!("Basic {credentials}").parse().unwrap());
        let request = Request { method: &method, uri: &uri.parse().unwrap(), headers: &headers, body: body.as_bytes() };
        self.service.reply(request, self.now)
    }

    fn bulk(&mut self, hashes: &[String]) -> Reply {
        let body = json!({"rl": {"query": {"hash_type": "sha256", "hashes": hashes}}});
        self.send(Method::POST, BULK, &body.to_string())
    }

    fn stats(&mut self) -> Stats {
        self.service.stats(self.now)
    }
}

fn hashes(count: u32) -> Vec<String> {
    (0..count).map(|index| format!("{index:064x}")).collect()
}

fn json_body(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap()
}

#[test]
fn the_quota_counts_valid_hashes_of_answered_questions() {
    let mut client = Client::new(Limit::default());
    let mut asked = hashes(97);
    asked.extend(["zz".to_owned(), "a".repeat(40), String::new()]);
    let reply = client.bulk(&asked);
    assert_eq!(reply.status, StatusCode::OK);
    let body = json_body(&reply);
    assert_eq!(body["rl"]["entries"].as_array().unwrap().len(), 97);
    assert_eq!(body["rl"]["invalid_hashes"].as_array().unwrap().len(), 3);
    assert_eq!(client.stats().quota_used, 97);
    assert_eq!(client.stats().invalid_hashes, 3);

    client.service.order(Fault::status(503).times(1));
    assert_eq!(client.bulk(&hashes(10)).status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.stats().quota_used, 97);
}

#[test]
fn a_used_up_quota_is_429_until_midnight_utc() {
    let mut client = Client::new(Limit { quota_daily: Some(100), ..Limit::default() });
    assert_eq!(client.bulk(&hashes(100)).status, StatusCode::OK);
    let refused = client.bulk(&hashes(1));
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers, []);
    client.now = "2026-03-11T00:00:00Z".parse().unwrap();
    assert_eq!(client.bulk(&hashes(1)).status, StatusCode::OK);
    assert_eq!(client.stats().quota_used, 1);
}

#[test]
fn more_than_a_hundred_hashes_are_refused_with_the_status_that_was_set() {
    let mut client = Client::new(Limit::default());
    assert_eq!(client.bulk(&hashes(100)).status, StatusCode::OK);
    assert_eq!(client.bulk(&hashes(101)).status, StatusCode::PAYLOAD_TOO_LARGE);
    client.service.set_limit(Limit { over_limit_status: 400, ..Limit::default() });
    assert_eq!(client.bulk(&hashes(101)).status, StatusCode::BAD_REQUEST);
    assert_eq!(client.stats().quota_used, 100);
}

#[test]
fn accounts_and_malformed_questions_do_not_use_up_a_fault() {
    let mut client = Client::new(Limit::default());
    client.service.order(Fault::status(429).times(1));
    client.user = "u/doorward/forbidden";
    assert_eq!(client.bulk(&hashes(1)).status, StatusCode::FORBIDDEN);
    client.user = "somebody";
    let refused = client.bulk(&hashes(1));
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers[0].0, "www-authenticate");
    client.user = "u/doorward/simulator";
    assert_eq!(client.send(Method::POST, BULK, "{}").status, StatusCode::BAD_REQUEST);
    assert_eq!(client.bulk(&hashes(1)).status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(client.bulk(&hashes(1)).status, StatusCode::OK);
    assert_eq!(client.stats().by_status.into_iter().collect::<Vec<_>>(), [(200, 1), (400, 1), (401, 1), (403, 1), (429, 1)]);
}

#[test]
fn the_tally_tells_repetitions_from_distinct_hashes() {
    let mut client = Client::new(Limit::default());
    client.bulk(&hashes(10));
    client.bulk(&hashes(15));
    let upper = format!("{:064X}", 10);
    client.send(Method::GET, &format!("/api/databrowser/malware_presence/query/sha256/{upper}"), "");
    let stats = client.stats();
    assert_eq!((stats.requests, stats.bulk_requests, stats.single_requests), (3, 2, 1));
    assert_eq!((stats.hashes_asked, stats.distinct_hashes_asked, stats.repeated_hashes), (26, 15, 11));
    assert_eq!(stats.untracked_hashes, 0);
    assert_eq!(client.service.asked(&upper.parse().unwrap()), 2);
    client.service.clear_stats();
    assert_eq!(client.stats(), Stats::default());
}

#[test]
fn a_verdict_turns_from_one_question_to_the_next() {
    let mut client = Client::new(Limit::default());
    let suspicious = "b".repeat(64);
    let status = |client: &mut Client| {
        let reply = client.bulk(std::slice::from_ref(&suspicious));
        json_body(&reply)["rl"]["entries"][0]["status"].clone()
    };
    assert_eq!(status(&mut client), "SUSPICIOUS");
    let text = format!(r#"{{"sha256":"{suspicious}","status":"MALICIOUS","threat_level":5}}"#);
    for record in Record::parse_all(&text).unwrap() {
        client.service.put_record(record).unwrap();
    }
    assert_eq!(status(&mut client), "MALICIOUS");
    client.service.remove_record(&suspicious.parse().unwrap()).unwrap();
    assert_eq!(status(&mut client), "UNKNOWN");
}

#[test]
fn xml_is_what_a_single_question_gets_that_names_no_format() {
    let mut client = Client::new(Limit::default());
    let uri = format!("/api/databrowser/malware_presence/query/md5/{}?extended=true", "c".repeat(32));
    let reply = client.send(Method::GET, &uri, "");
    assert_eq!(reply.content_type, "application/xml");
    assert!(reply.body.starts_with("<?xml"), "{}", reply.body);
    for part in [
        "<rl><malware_presence>",
        "<query_hash><md5>cccc",
        "<status>KNOWN</status>",
        "<trust_factor>0</trust_factor>",
        "</malware_presence></rl>",
    ] {
        assert!(reply.body.contains(part), "{part} is not in {}", reply.body);
    }
}

#[test]
fn faults_of_the_wire_are_told_to_the_endpoint() {
    let mut client = Client::new(Limit::default());
    client.service.order(Fault { delay_ms: Some(250), ..Fault::new(FaultKind::Slow) });
    let slow = client.bulk(&hashes(1));
    assert_eq!(slow.delivery, Delivery::Dripping(Duration::from_millis(250)));
    client.service.order(Fault::new(FaultKind::Cut));
    assert_eq!(client.bulk(&hashes(1)).delivery, Delivery::Cut);
    client.service.order(Fault::new(FaultKind::Html));
    let page = client.bulk(&hashes(1));
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.content_type.starts_with("text/html") && page.body.starts_with("<!DOCTYPE html>"));
    client.service.order(Fault { delay_ms: Some(250), retry_after_s: Some(7), ..Fault::status(429) });
    let late = client.bulk(&hashes(1));
    assert_eq!(late.delay, Duration::from_millis(250));
    assert_eq!(late.headers, [("retry-after", "7".to_owned())]);
}
