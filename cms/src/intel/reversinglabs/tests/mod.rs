//! The client against a real TLS server on loopback that misbehaves in every way the facts list.

mod server;

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_policy::Class;

use self::server::{ConnectProxy, Reply, Request, Server};
use super::*;
use crate::intel::secret::Secret;
use crate::intel::settings::{ProviderChoice, Settings};

/// What a host says to a question.
type Answer = fn(&Request) -> Reply;

const PASSWORD: &str = "p4ss-of-account";

fn file(number: u8) -> Sha256 {
    Sha256::new([number; 32])
}

/// The settings that reach `servers` in order, and the password file they need.
fn settings(servers: &[&Server]) -> (Settings, tempfile::NamedTempFile) {
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), PASSWORD).unwrap();
    let mut ca = tempfile::NamedTempFile::new().unwrap();
    for server in servers {
        std::io::copy(&mut std::fs::File::open(&server.ca_file).unwrap(), &mut ca).unwrap();
    }
    let settings = Settings {
        provider: ProviderChoice::ReversingLabs,
        urls: servers.iter().map(|server| server.url()).collect(),
        user: Some("u/company/user".into()),
        password_file: Some(password.path().to_owned()),
        ca_file: Some(ca.into_temp_path().keep().unwrap()),
        ca_only: true,
        connect_timeout_s: 5,
        request_timeout_s: 5,
        ..Settings::default()
    };
    (settings, password)
}

async fn look_up_with(settings: &Settings, files: &[Sha256]) -> LookUp {
    let provider = settings.provider(Clock::system()).unwrap();
    let _ = settings.ca_file.as_ref().map(std::fs::remove_file);
    provider.look_up(files).await
}

async fn look_up(servers: &[&Server], files: &[Sha256]) -> LookUp {
    let (settings, _password) = settings(servers);
    look_up_with(&settings, files).await
}

fn classes(found: &LookUp) -> BTreeSet<(Sha256, Option<Class>)> {
    let class = |item: &Item| match item {
        Item::Answered(outcome) => Some(outcome.reputation.class),
        Item::Refused => None,
    };
    found.items.iter().map(|(file, item)| (*file, class(item))).collect()
}

#[tokio::test]
async fn a_question_is_one_authenticated_post_of_checksums() {
    let server = Server::start(Reply::unknown).await;
    let found = look_up(&[&server], &[file(1), file(2)]).await;
    assert_eq!(classes(&found), [(file(1), Some(Class::Unknown)), (file(2), Some(Class::Unknown))].into());
    assert_eq!(found.cost, Cost { requests: 1, hashes: 2, errors: Vec::new(), unknown_statuses: 0 });

    let [request] = &server.seen()[..] else { panic!("one request") };
    let head = request.head.to_ascii_lowercase();
    assert!(
        request
            .head
            .starts_with("POST /api/databrowser/malware_presence/bulk_query/json?extended=true&show_hashes=true&format=json HTTP/1.1\r\n")
    );
    assert!(request.head.contains("Basic dS9jb21wYW55L3VzZXI6cDRzcy1vZi1hY2NvdW50\r\n"), "sent without being asked for");
    assert!(head.contains(concat!("user-agent: doorward-cms/", env!("CARGO_PKG_VERSION"), "\r\n")));
    assert!(head.contains("content-type: application/json\r\n") && head.contains("accept-encoding: gzip\r\n"));
    assert_eq!(request.hashes(), [file(1).to_string(), file(2).to_string()]);
    let known = ["host:", "content-type:", "accept:", "accept-encoding:", "user-agent:", "authorization:", "content-length:", "post "];
    assert!(head.lines().all(|line| line.is_empty() || known.iter().any(|name| line.starts_with(name))), "nothing else leaves: {head}");
}

#[tokio::test]
async fn no_more_than_a_hundred_hashes_go_in_one_request() {
    let server = Server::start(Reply::unknown).await;
    let files: Vec<Sha256> = (0..250_u8).map(file).collect();
    let found = look_up(&[&server], &files).await;
    assert_eq!((found.items.len(), found.cost.requests, found.cost.hashes), (250, 3, 250));
    assert!(server.seen().iter().all(|request| request.hashes().len() <= HASHES_MAX));
}

#[tokio::test]
async fn refusals_fail_as_the_table_says_and_are_not_repeated() {
    for (status, headers, kind) in [
        (401, "www-authenticate: Basic\r\n", FailureKind::Unauthorized),
        (403, "", FailureKind::Forbidden),
        (404, "", FailureKind::Misconfigured),
        (429, "retry-after: 7\r\n", FailureKind::RateLimited),
        (302, "location: https://elsewhere.example/\r\n", FailureKind::Misconfigured),
        (307, "location: https://elsewhere.example/\r\n", FailureKind::Misconfigured),
    ] {
        let server = Server::start(move |_| Reply::status(status, headers)).await;
        let spare = Server::start(Reply::unknown).await;
        let found = look_up(&[&server, &spare], &[file(1)]).await;
        let failure = found.failure.unwrap();
        assert_eq!(failure.kind(), kind, "HTTP {status}");
        assert_eq!((found.items.len(), found.cost.requests), (0, 1), "HTTP {status}");
        assert_eq!((server.seen().len(), spare.seen().len()), (1, 0), "HTTP {status} is not the host's fault");
        if let Failure::RateLimited { retry_after, .. } = failure {
            assert_eq!(retry_after, Some(std::time::Duration::from_secs(7)));
        }
    }
}

#[tokio::test]
async fn what_is_the_hosts_fault_is_asked_of_the_next_host() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"rl\":{\"entries\":[";
    let rows: [(&str, FailureKind, Answer); 8] = [
        ("500", FailureKind::Unavailable, |_| Reply::status(500, "")),
        ("503", FailureKind::Unavailable, |_| Reply::status(503, "")),
        ("504", FailureKind::Unavailable, |_| Reply::status(504, "")),
        ("408", FailureKind::TimedOut, |_| Reply::status(408, "")),
        ("a web page", FailureKind::BadAnswer, |_| Reply::body("<!doctype html><title>Sign in</title>")),
        ("XML", FailureKind::BadAnswer, |_| Reply::body("<rl><entries/></rl>")),
        ("other JSON", FailureKind::BadAnswer, |_| Reply::body("{\"error\":\"no\"}")),
        ("nothing", FailureKind::Unavailable, |_| Reply::Raw(Vec::new())),
    ];
    let spare = Server::start(Reply::unknown).await;
    for (what, kind, answer) in rows {
        let server = Server::start(answer).await;
        let alone = look_up(&[&server], &[file(1)]).await;
        assert_eq!(alone.failure.map(|failure| failure.kind()), Some(kind), "{what}");
        assert!(alone.items.is_empty(), "{what} says nothing about any file");
        let found = look_up(&[&server, &spare], &[file(1)]).await;
        assert_eq!((found.failure, found.items.len(), found.cost.errors), (None, 1, vec![kind]), "{what}");
    }
    let server = Server::start(move |_| Reply::Raw(cut.into())).await;
    let found = look_up(&[&server], &[file(1)]).await;
    assert_eq!(found.failure.map(|failure| failure.kind()), Some(FailureKind::BadAnswer), "a body that was cut");
}

#[tokio::test]
async fn a_host_nobody_listens_on_is_passed_over() {
    let gone = Server::start(Reply::unknown).await;
    let spare = Server::start(Reply::unknown).await;
    let (mut settings, _password) = settings(&[&gone, &spare]);
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    settings.urls[0] = format!("https://localhost:{port}");
    let found = look_up_with(&settings, &[file(1)]).await;
    assert_eq!((found.failure, found.items.len(), found.cost.requests), (None, 1, 2));
}

#[tokio::test]
async fn a_host_that_stays_silent_times_out() {
    let server = Server::start(|_| Reply::Silence).await;
    let (mut settings, _password) = settings(&[&server]);
    settings.request_timeout_s = 1;
    let found = look_up_with(&settings, &[file(1)]).await;
    assert_eq!(found.failure, Some(Failure::TimedOut { host: format!("localhost:{}", server.address.port()) }));
}

#[tokio::test]
async fn an_oversized_answer_is_not_read_to_its_end() {
    let huge = "x".repeat(endpoint::BODY_BYTES_MAX);
    let server = Server::start(move |_| Reply::body(&format!("{{\"rl\":{{\"entries\":[],\"junk\":\"{huge}\"}}}}"))).await;
    let found = look_up(&[&server], &[file(1)]).await;
    let Some(Failure::BadAnswer { what, .. }) = found.failure else { panic!("{found:?}") };
    assert!(what.contains("more than"), "{what}");
}

#[tokio::test]
async fn the_bad_hash_of_a_batch_is_found_and_the_others_are_answered() {
    let bad = file(77).to_string();
    for status in [400, 413] {
        let bad = bad.clone();
        let server =
            Server::start(move |request| if request.hashes().contains(&bad) { Reply::status(status, "") } else { Reply::unknown(request) })
                .await;
        let files: Vec<Sha256> = (0..100).map(file).collect();
        let found = look_up(&[&server], &files).await;
        assert_eq!((found.items.len(), &found.failure), (100, &None));
        let refused: Vec<Sha256> = found.items.iter().filter(|(_, item)| *item == Item::Refused).map(|(file, _)| *file).collect();
        assert_eq!(refused, [file(77)], "HTTP {status}");
        assert!(found.cost.requests <= 15, "{} requests", found.cost.requests);
    }
}

#[tokio::test]
async fn a_server_that_refuses_everything_makes_no_hash_a_bad_one() {
    let server = Server::start(|_| Reply::status(400, "")).await;
    for files in [vec![file(1)], (0..100).map(file).collect()] {
        let found = look_up(&[&server], &files).await;
        assert!(matches!(found.failure, Some(Failure::Rejected { status: 400, .. })), "{found:?}");
        assert!(found.items.is_empty() && found.cost.requests <= REFUSALS_MAX);
    }
}

#[tokio::test]
async fn a_stranger_with_another_ca_gets_no_question() {
    let server = Server::start(Reply::unknown).await;
    let other = Server::start(Reply::unknown).await;
    let (mut settings, _password) = settings(&[&other]);
    settings.urls = vec![server.url()];
    let found = look_up_with(&settings, &[file(1)]).await;
    let Some(Failure::Unavailable { what, .. }) = found.failure else { panic!("{found:?}") };
    assert!(what.contains("UnknownIssuer") && what.contains("ca_file"), "{what}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_name_the_certificate_does_not_have_gets_no_question() {
    let server = Server::start(Reply::unknown).await;
    let (mut settings, _password) = settings(&[&server]);
    settings.urls = vec![format!("https://127.0.0.1:{}", server.address.port())];
    let found = look_up_with(&settings, &[file(1)]).await;
    assert!(matches!(found.failure, Some(Failure::Unavailable { .. })), "{found:?}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn the_proxy_is_asked_to_connect_and_never_sees_the_question() {
    let server = Server::start(Reply::unknown).await;
    let proxy = ConnectProxy::start("basic dxnlcjpwnhnzlw9mlxbyb3h5").await;
    let (mut settings, _password) = settings(&[&server]);
    settings.proxy = Some(Secret::new(format!("http://user:p4ss-of-proxy@{}", proxy.address)));
    let found = look_up_with(&settings.clone(), &[file(1)]).await;
    assert_eq!((found.failure, found.items.len()), (None, 1));
    let [head] = &proxy.heads()[..] else { panic!("one CONNECT") };
    assert!(head.starts_with(&format!("connect localhost:{} http/1.1\r\n", server.address.port())));
    assert!(!head.contains(&file(1).to_string()) && !head.contains("\r\nauthorization:"), "the account is not the proxy's business");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_a_failure_with_its_cause_and_without_secrets() {
    let server = Server::start(Reply::unknown).await;
    let proxy = ConnectProxy::start("basic of-somebody-else").await;
    let (mut settings, _password) = settings(&[&server]);
    settings.proxy = Some(Secret::new(format!("http://user:p4ss-of-proxy@{}", proxy.address)));
    let found = look_up_with(&settings, &[file(1)]).await;
    let shown = format!("{found:?} {}", found.failure.clone().unwrap());
    assert_eq!(found.failure.map(|failure| failure.kind()), Some(FailureKind::Unavailable));
    assert!(!shown.contains("p4ss") && !shown.contains("dXNl"), "{shown}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn hosts_of_the_no_proxy_list_are_asked_directly() {
    let server = Server::start(Reply::unknown).await;
    let proxy = ConnectProxy::start("basic of-somebody-else").await;
    let (mut settings, _password) = settings(&[&server]);
    settings.proxy = Some(Secret::new(format!("http://{}", proxy.address)));
    settings.no_proxy = vec!["localhost".into()];
    let found = look_up_with(&settings, &[file(1)]).await;
    assert_eq!((found.failure, proxy.heads().len()), (None, 0));
}

#[tokio::test]
async fn no_failure_and_no_debug_output_holds_the_password() {
    let mut shown = String::new();
    for status in [400, 401, 403, 404, 429, 500] {
        let server = Server::start(move |_| Reply::status(status, "")).await;
        let (settings, _password) = settings(&[&server]);
        let provider = ReversingLabs::new(connection(&settings), settings.bases().unwrap(), Clock::system());
        let found = Provider::look_up(&provider, &[file(1)]).await;
        shown += &format!("{provider:?} {found:?} {}", found.failure.clone().unwrap());
    }
    assert!(!shown.contains(PASSWORD) && !shown.contains("dS9jb21wYW55"), "{shown}");
}

fn connection(settings: &Settings) -> Client {
    let connection = connection::Connection {
        user: settings.user.clone().unwrap(),
        password: Secret::new(PASSWORD),
        ca_file: settings.ca_file.clone(),
        ca_only: true,
        proxy: None,
        connect_timeout: std::time::Duration::from_secs(5),
        request_timeout: std::time::Duration::from_secs(5),
    };
    connection.client().unwrap()
}

#[tokio::test]
async fn questions_asked_at_once_share_the_client() {
    let server = Server::start(Reply::unknown).await;
    let (settings, _password) = settings(&[&server]);
    let provider: Arc<dyn Provider> = settings.provider(Clock::system()).unwrap();
    let (first, second) = ([file(1)], [file(2)]);
    let (first, second) = tokio::join!(provider.look_up(&first), provider.look_up(&second));
    assert_eq!((first.items.len(), second.items.len()), (1, 1));
}
