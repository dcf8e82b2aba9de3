//! The simulator as other tests use it: the binary's life, its control plane, its faults on the wire, and the library.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_tests::ti::{Checksum, Fault, FaultKind, Limit, Options, Process, Record, RecordStatus, Simulator, Stats};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

const SIMULATOR: &str = env!("CARGO_BIN_EXE_doorward-ti-simulator");
const USER: &str = "u/doorward/simulator";
const PASSWORD: &str = "simulator";
const BULK: &str = "/api/databrowser/malware_presence/bulk_query/json?extended=true&show_hashes=true";

/// A look-up client that trusts one CA, and a hand at the control plane.
struct Asker {
    http: Client,
    url: String,
    control_url: String,
}

impl Asker {
    fn new(url: &str, control_url: &str, ca_pem: &str) -> Self {
        let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes()).expect("a CA in PEM");
        let http = Client::builder().tls_certs_only([ca]).no_proxy().timeout(Duration::from_secs(20)).build();
        let http = http.expect("a TLS client");
        Self { http, url: url.to_owned(), control_url: control_url.to_owned() }
    }

    fn of(simulator: &Simulator) -> Self {
        Self::new(&simulator.url(), &simulator.control_url(), simulator.ca_pem())
    }

    fn of_process(process: &Process) -> Self {
        let ready = process.ready();
        Self::new(&ready.url, &ready.control_url, &std::fs::read_to_string(&ready.ca).expect("ca.pem"))
    }

    async fn ask(&self, hashes: &[Checksum]) -> reqwest::Result<reqwest::Response> {
        let body = json!({"rl": {"query": {"hash_type": "sha256", "hashes": hashes}}});
        self.http.post(format!("{}{BULK}", self.url)).basic_auth(USER, Some(PASSWORD)).json(&body).send().await
    }

    async fn status_of(&self, hash: Checksum) -> Value {
        let answer = self.ask(&[hash]).await.expect("an answer");
        let body: Value = answer.json().await.expect("a JSON body");
        body["rl"]["entries"][0]["status"].clone()
    }

    async fn control(&self, method: Method, path: &str, body: &str) -> (StatusCode, String) {
        let answer = self.http.request(method, format!("{}{path}", self.control_url)).body(body.to_owned()).send().await;
        let answer = answer.expect("the control plane answers");
        let status = answer.status();
        (status, answer.text().await.expect("a text body"))
    }

    async fn stats(&self) -> Stats {
        let (status, text) = self.control(Method::GET, "/stats", "").await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_str(&text).expect("the stats are as documented")
    }
}

fn sha256(number: u32) -> Checksum {
    format!("{number:064x}").parse().expect("64 hex digits")
}

fn spawn(folder: &Path, arguments: &[&str]) -> Process {
    Process::spawn(Path::new(SIMULATOR), folder, arguments).expect("the simulator starts")
}

fn port_of(url: &str) -> u16 {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    port.expect("the URL ends in a port")
}

#[test]
fn the_binary_says_where_it_listens_and_ends_cleanly_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let process = spawn(folder.path(), &[]);
    let ready = process.ready().clone();
    assert_eq!(ready.ca, folder.path().join("ca.pem"));
    assert_eq!(ready.user, USER);
    assert_eq!(std::fs::read_to_string(&ready.password_file).unwrap(), "simulator\n");
    let ca = std::fs::read(&ready.ca).unwrap();
    TcpStream::connect(("127.0.0.1", port_of(&ready.url))).unwrap();
    assert!(process.terminate().unwrap().success(), "SIGTERM is a clean end");

    // The same folder has the same CA: a client that was told once need not be told again.
    let process = spawn(folder.path(), &[]);
    assert_eq!(std::fs::read(&process.ready().ca).unwrap(), ca);
    assert!(process.close_stdin().unwrap().success(), "the end of stdin is a clean end");
}

#[test]
fn the_binary_names_what_it_cannot_use() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("records.jsonl");
    std::fs::write(&records, "# fine\n{\"sha256\":\"aa\",\"status\":\"KNOWN\"}\n").unwrap();
    let output = |arguments: &[&str]| {
        let output =
            std::process::Command::new(SIMULATOR).arg("--state-dir").arg(folder.path().join("state")).args(arguments).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let error = output(&["--records", records.to_str().unwrap()]);
    assert!(error.contains("records.jsonl") && error.contains("line 2"), "{error}");
    let error = output(&["--password-file", "/nonexistent/password"]);
    assert!(error.contains("/nonexistent/password"), "{error}");
    let error = output(&["--control-listen", "192.0.2.1:0"]);
    assert!(error.contains("not a loopback address"), "{error}");
    let error = output(&["--over-limit-status", "200"]);
    assert!(error.contains("over_limit_status"), "{error}");
}

#[tokio::test]
async fn the_control_plane_changes_records_and_tells_what_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let process = spawn(folder.path(), &[]);
    let asker = Asker::of_process(&process);
    let file = sha256(1);
    assert_eq!(asker.status_of(file).await, "UNKNOWN");
    for status in ["SUSPICIOUS", "MALICIOUS"] {
        let record = json!({"sha256": file, "status": status}).to_string();
        let (code, _) = asker.control(Method::PUT, "/records", &record).await;
        assert_eq!(code, StatusCode::NO_CONTENT);
        assert_eq!(asker.status_of(file).await, status);
    }
    let two = json!([{"sha256": sha256(2), "status": "KNOWN"}, {"sha256": sha256(3), "status": "KNOWN"}]);
    asker.control(Method::PUT, "/records", &two.to_string()).await;
    assert_eq!(asker.status_of(sha256(3)).await, "KNOWN");
    let path = format!("/records/{file}");
    assert_eq!(asker.control(Method::DELETE, &path, "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(asker.control(Method::DELETE, &path, "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(asker.status_of(file).await, "UNKNOWN");

    let (_, asked) = asker.control(Method::GET, &format!("/asked/{file}"), "").await;
    assert_eq!(asked, r#"{"count":4}"#);
    let stats = asker.stats().await;
    assert_eq!((stats.requests, stats.hashes_asked, stats.distinct_hashes_asked, stats.repeated_hashes), (5, 5, 2, 3));
    assert_eq!(stats.paths, [BULK.split('?').next().unwrap()]);
    let (_, requests) = asker.control(Method::GET, "/requests", "").await;
    assert!(requests.contains(&file.to_string()) && !requests.contains("KNOWN"), "{requests}");
    asker.control(Method::DELETE, "/stats", "").await;
    assert_eq!(asker.stats().await, Stats::default());
}

#[tokio::test]
async fn the_control_plane_says_what_is_wrong_and_changes_nothing() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let asker = Asker::of(&simulator);
    let half_good = json!([{"sha256": sha256(1), "status": "KNOWN"}, {"sha256": "zz", "status": "KNOWN"}]);
    for (method, path, body, named) in [
        (Method::PUT, "/records", half_good.to_string(), "hex digits"),
        (Method::PUT, "/records", "nonsense".to_owned(), "line 1"),
        (Method::PUT, "/fault", r#"{"kind":"status"}"#.to_owned(), "needs a \\\"status\\\""),
        (Method::PUT, "/limit", r#"{"quota":1}"#.to_owned(), "quota"),
        (Method::DELETE, "/records/zz", String::new(), "hex digits"),
        (Method::GET, "/asked/zz", String::new(), "hex digits"),
    ] {
        let (status, text) = asker.control(method.clone(), path, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path}");
        let named = named.replace('\\', "");
        assert!(text.contains(&named), "{method} {path}: {text}");
    }
    assert_eq!(asker.status_of(sha256(1)).await, "UNKNOWN");
}

#[tokio::test]
async fn a_cut_body_is_short_of_its_promised_length() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let asker = Asker::of(&simulator);
    simulator.fault(Fault::new(FaultKind::Cut).times(1)).unwrap();
    let mut answer = asker.ask(&[sha256(1)]).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let promised = answer.content_length().unwrap();
    let mut received = 0;
    let error = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => received += chunk.len() as u64,
            Ok(None) => panic!("the body of {promised} bytes ended well after {received}"),
            Err(error) => break error,
        }
    };
    assert!(error.is_body() || error.is_decode(), "{error:?}");
    assert_eq!(received, promised / 2);
    assert_eq!(asker.status_of(sha256(1)).await, "UNKNOWN");
}

#[tokio::test]
async fn a_slow_body_begins_at_once_and_takes_its_time() {
    const DELAY_MS: u64 = 300;
    let simulator = Simulator::start(Options::default()).unwrap();
    let asker = Asker::of(&simulator);
    let slow = |delay_ms| Fault { delay_ms: Some(delay_ms), ..Fault::new(FaultKind::Slow).times(1) };
    simulator.fault(slow(DELAY_MS)).unwrap();
    let started = Instant::now();
    let body: Value = asker.ask(&[sha256(1)]).await.unwrap().json().await.unwrap();
    assert_eq!(body["rl"]["entries"][0]["status"], "UNKNOWN");
    assert!(started.elapsed() >= Duration::from_millis(DELAY_MS));

    // Ten minutes of body, and the headers are here long before the client gives up.
    simulator.fault(slow(600_000)).unwrap();
    assert_eq!(asker.ask(&[sha256(1)]).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_client_with_a_deadline_gives_up_on_a_late_answer() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let asker = Asker::of(&simulator);
    let late = Fault { delay_ms: Some(600_000), ..Fault::new(FaultKind::None) };
    simulator.fault(late).unwrap();
    let request = asker
        .http
        .get(format!("{}/api/databrowser/malware_presence/query/sha256/{}", asker.url, sha256(1)))
        .basic_auth(USER, Some(PASSWORD))
        .timeout(Duration::from_millis(200));
    assert!(request.send().await.unwrap_err().is_timeout());
    assert_eq!(simulator.asked(&sha256(1)), 1);

    // A stop does not wait for answers that are ordered to be late.
    let started = Instant::now();
    drop(simulator);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_is_not_a_tca_0101_request_is_refused_and_counted() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let asker = Asker::of(&simulator);
    let send = async |method: Method, path: &str, body: Vec<u8>| {
        let request = asker.http.request(method, format!("{}{path}", asker.url));
        let answer = request.basic_auth(USER, Some(PASSWORD)).body(body).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(send(Method::GET, BULK, vec![]).await, 405);
    assert_eq!(send(Method::GET, "/api/rescan/v1/query/sha1/aa", vec![]).await, 404);
    assert_eq!(send(Method::POST, BULK, b"\xff\x00".to_vec()).await, 400);
    assert_eq!(send(Method::POST, BULK, vec![b'x'; 2 * 1024 * 1024]).await, 413);
    let nobody = asker.http.get(&asker.url).send().await.unwrap();
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(nobody.headers()["www-authenticate"], "Basic realm=\"TitaniumCloud\"");
    let stats = simulator.stats();
    assert_eq!(stats.by_status.keys().copied().collect::<Vec<_>>(), [400, 401, 404, 405, 413]);
    assert_eq!((stats.requests, stats.hashes_asked, stats.quota_used), (5, 0, 0));
}

#[tokio::test]
async fn a_stranger_ca_and_plain_http_are_refused() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let stranger = Simulator::start(Options::default()).unwrap();
    let asker = Asker::new(&simulator.url(), &simulator.control_url(), stranger.ca_pem());
    assert!(asker.ask(&[sha256(1)]).await.unwrap_err().is_connect());
    let plain = simulator.url().replace("https://", "http://");
    let asker = Asker::new(&plain, &simulator.control_url(), simulator.ca_pem());
    assert!(asker.ask(&[sha256(1)]).await.is_err());
    assert_eq!(simulator.stats().requests, 0);
}

#[tokio::test]
async fn the_library_starts_with_what_it_is_given_and_stops_when_dropped() {
    let simulator = Simulator::start(Options {
        records: vec![Record { trust_factor: Some(2), ..Record::new(sha256(1), RecordStatus::Known) }],
        limit: Limit { quota_daily: Some(1), ..Limit::default() },
        clock: Arc::new(|| "2026-03-10T12:00:00Z".parse().unwrap()),
        ..Options::default()
    })
    .unwrap();
    let asker = Asker::of(&simulator);
    assert_eq!(asker.status_of(sha256(1)).await, "KNOWN");
    assert_eq!(asker.ask(&[sha256(1)]).await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    simulator.limit(Limit::default()).unwrap();
    simulator.put_record(Record::new(sha256(1), RecordStatus::Malicious)).unwrap();
    assert_eq!(asker.status_of(sha256(1)).await, "MALICIOUS");
    assert!(simulator.remove_record(&sha256(1)));
    assert_eq!(asker.status_of(sha256(1)).await, "UNKNOWN");
    assert_eq!(simulator.stats().repeated_hashes, 3);

    let (port, ca) = (port_of(&simulator.url()), simulator.ca_path().to_owned());
    drop(simulator);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!ca.exists(), "its own folder goes with it");
}
