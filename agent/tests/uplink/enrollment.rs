//! First contact, and every way it can fail. None of the failures leaves anything behind or tells the secret to a stranger.

use doorward_agent::credential::{EnrollError, enroll, load};
use doorward_agent::uplink::DialError;
use doorward_proto::token::Token;
use doorward_service::Clock;
use tokio::net::TcpListener;

use crate::cms::{TestCms, authority};
use crate::host::facts;

/// Changes an answer on its way.
type Spoil = fn(&mut doorward_proto::v1::EnrollResponse);

struct Attempt {
    folder: tempfile::TempDir,
}

impl Attempt {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    async fn at(&self, cms: &TestCms, name: &str, token: &Token) -> Result<(), EnrollError> {
        let folder = self.folder.path().join("credential");
        let outcome = enroll(&folder, &cms.url(name), token, facts(), cms.clock.now_micros()).await;
        assert_eq!(folder.exists(), outcome.is_ok());
        outcome.map(drop)
    }
}

#[tokio::test]
async fn a_token_becomes_a_credential_once() {
    let (cms, attempt) = (TestCms::new().await, Attempt::new());
    attempt.at(&cms, "localhost", &cms.token()).await.unwrap();
    let credential = load(&attempt.folder.path().join("credential")).unwrap().unwrap();
    assert_eq!((credential.profile.as_str(), credential.ca_key_hash), ("default", cms.authority().key_hash()));
    let folder = attempt.folder.path().join("credential");
    let again = enroll(&folder, &cms.url("localhost"), &cms.token(), facts(), cms.clock.now_micros()).await.unwrap_err();
    assert!(matches!(again, EnrollError::AlreadyEnrolled(host) if host == credential.host_id));
    assert_eq!(load(&folder).unwrap().unwrap().host_id, credential.host_id);
}

#[tokio::test]
async fn a_server_of_another_authority_never_hears_the_secret() {
    let (cms, attempt) = (TestCms::new().await, Attempt::new());
    cms.spoil_enrollment(|_| panic!("the server was asked"));
    let token = Token::new([1; 16], authority(&Clock::system()).key_hash());
    let error = attempt.at(&cms, "localhost", &token).await.unwrap_err();
    assert!(matches!(error, EnrollError::Dial(DialError::WrongAuthority(_))), "{error}");
}

#[tokio::test]
async fn a_name_the_certificate_does_not_carry_is_told_as_such() {
    let (cms, attempt) = (TestCms::new().await, Attempt::new());
    let error = attempt.at(&cms, "127.0.0.1", &cms.token()).await.unwrap_err();
    assert!(matches!(error, EnrollError::Dial(DialError::NameMismatch(_))), "{error}");
}

#[tokio::test]
async fn a_wrong_clock_is_told_as_such() {
    let (cms, attempt) = (TestCms::new().await, Attempt::new());
    let folder = attempt.folder.path().join("credential");
    let future = cms.clock.now_micros() + 400 * 86_400_000_000;
    let error = enroll(&folder, &cms.url("localhost"), &cms.token(), facts(), future).await.unwrap_err();
    assert!(matches!(error, EnrollError::Dial(DialError::OutOfDate(_))), "{error}");
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_told_with_the_next_step() {
    let (cms, attempt) = (TestCms::new().await, Attempt::new());
    let error = attempt.at(&cms, "localhost", &Token::new([2; 16], cms.authority().key_hash())).await.unwrap_err();
    assert!(matches!(error, EnrollError::TokenRefused { .. }) && error.to_string().contains("token create"), "{error}");
}

#[tokio::test]
async fn nobody_there_and_somebody_else_there_are_told_apart() {
    let (cms, attempt) = (TestCms::new().await, Attempt::new());
    let token = cms.token();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let folder = attempt.folder.path().join("credential");
    let url = format!("https://localhost:{}", closed.port()).parse().unwrap();
    let error = enroll(&folder, &url, &token, facts(), cms.clock.now_micros()).await.unwrap_err();
    assert!(matches!(error, EnrollError::Dial(DialError::Unreachable { .. })), "{error}");

    let talker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", talker.local_addr().unwrap().port()).parse().unwrap();
    let talk = async {
        let (mut stream, _) = talker.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").await.unwrap();
        stream
    };
    let now = cms.clock.now_micros();
    let (outcome, _stream) = tokio::join!(enroll(&folder, &url, &token, facts(), now), talk);
    assert!(matches!(outcome, Err(EnrollError::Dial(DialError::Protocol { .. }))), "{outcome:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_question_is_refused() {
    let spoils: [(&str, Spoil); 4] = [
        ("another host's certificate", |answer| answer.host_id = vec![9; 16].into()),
        ("another CA", |answer| {
            answer.ca_certificate = authority(&Clock::system()).certificate().to_vec().into();
        }),
        ("no certificate", |answer| answer.certificate_chain.clear()),
        ("half a policy key", |answer| answer.policy_key.truncate(16)),
    ];
    for (what, spoil) in spoils {
        let (cms, attempt) = (TestCms::new().await, Attempt::new());
        cms.spoil_enrollment(spoil);
        let error = attempt.at(&cms, "localhost", &cms.token()).await.unwrap_err();
        assert!(matches!(error, EnrollError::BadAnswer { .. }), "{what}: {error}");
    }
}
