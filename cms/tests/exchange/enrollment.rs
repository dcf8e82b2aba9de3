//! First contact: who gets in, who does not, and what it costs.

use doorward_cms::store::PageRequest;
use doorward_proto::certificate::{HostKey, Validity, host_id_of};
use doorward_proto::tls::pinned_client_config;
use doorward_proto::token::Token;
use tonic::Code;

use crate::story::{HOUR, NOON};
use crate::support::TestServer;
use crate::support::agent::{TestAgent, channel, now};

const DAY: i64 = 24 * HOUR;

async fn refusal(server: &TestServer, token: &Token) -> (Code, String) {
    match TestAgent::enroll(server, "web-9", token).await {
        Ok(agent) => panic!("{} got in", agent.id),
        Err(status) => (status.code(), status.message().to_owned()),
    }
}

#[tokio::test]
async fn a_token_lets_a_host_in_and_the_cms_chooses_its_name() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let leaf = &agent.response.certificate_chain[0];
    assert_eq!(host_id_of(leaf).unwrap(), agent.id);
    let validity = Validity::of(leaf).unwrap();
    assert_eq!((validity.not_after - NOON) / DAY, 90);
    assert_eq!((agent.response.profile_id, agent.response.profile_name.as_str()), (server.cms.profile, "default"));
    assert_eq!(&agent.response.policy_key, server.keys.policy_signer().verifier().key());

    let host = server.cms.store.host(agent.id).await.unwrap().unwrap();
    assert_eq!((host.name.as_str(), host.connected, host.certificate_not_after), ("web-1", false, validity.not_after));
}

#[tokio::test]
async fn a_use_of_a_token_is_spent_once_whoever_comes_first() {
    let server = TestServer::start().await;
    let token = server.token(3).await;
    let tries = (0..8).map(|number| {
        let (server, token) = (&server, &token);
        async move { TestAgent::enroll(server, &format!("web-{number}"), token).await.is_ok() }
    });
    let admitted = futures::future::join_all(tries).await;
    assert_eq!(admitted.iter().filter(|admitted| **admitted).count(), 3);
    assert_eq!(server.cms.store.hosts(&PageRequest::default()).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn a_refusal_never_says_what_was_wrong_with_the_token() {
    let server = TestServer::start().await;
    let (spent, expired, revoked) =
        (server.token(1).await, server.token_until(1, NOON - 1).await, server.token_until(1, NOON + HOUR).await);
    TestAgent::enroll(&server, "web-1", &spent).await.unwrap_or_else(|status| panic!("{status}"));
    assert!(server.cms.store.revoke_token(revoked.1, "ada", NOON).await.unwrap());
    let unknown = Token::new([9; 16], server.keys.ca_key_hash());
    let first = refusal(&server, &unknown).await;
    assert_eq!(first.0, Code::PermissionDenied);
    for token in [&spent, &expired.0, &revoked.0] {
        assert_eq!(refusal(&server, token).await, first);
    }
}

#[tokio::test]
async fn a_malformed_request_costs_no_use() {
    let server = TestServer::start().await;
    let token = server.token(1).await;
    let key = HostKey::generate().unwrap();
    let mut forged = HostKey::generate().unwrap().request_der().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    for request in [&b"no request"[..], &[], &forged, &vec![0; 9000]] {
        let Err(status) = TestAgent::enroll_with(&server, "web-1", &token, &key, request).await else { panic!("{request:?} was taken") };
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    TestAgent::enroll(&server, "web-1", &token).await.unwrap_or_else(|status| panic!("{status}"));
}

#[tokio::test]
async fn whoever_fails_too_often_waits_even_with_a_good_token() {
    let server = TestServer::start().await;
    let unknown = Token::new([9; 16], server.keys.ca_key_hash());
    let mut codes = Vec::new();
    for _ in 0..11 {
        codes.push(refusal(&server, &unknown).await.0);
    }
    assert_eq!(codes[..10], [Code::PermissionDenied; 10]);
    let token = server.token(1).await;
    assert_eq!((codes[10], refusal(&server, &token).await.0), (Code::ResourceExhausted, Code::ResourceExhausted));
    server.cms.clock.advance(HOUR / 60);
    TestAgent::enroll(&server, "web-1", &token).await.unwrap_or_else(|status| panic!("{status}"));
}

#[tokio::test]
async fn a_host_that_pins_another_ca_does_not_tell_the_secret() {
    let server = TestServer::start().await;
    assert!(channel(server.address, pinned_client_config([7; 32], now())).await.is_err());
}
