//! A use of a token is spent for a host that is kept, or not at all.

use doorward_cms::enrollment::{mint_token, secret_hash};
use doorward_cms::store::{Applicant, Certificate, NewToken};
use doorward_policy::HostId;
use doorward_proto::enrollment::HostFacts;

use crate::story::{HOUR, NOON, TestCms};

#[tokio::test]
async fn a_host_that_cannot_be_kept_costs_no_use() {
    let cms = TestCms::new().await;
    let minted = mint_token([7; 32]);
    let new = NewToken { secret_hash: minted.secret_hash, profile: cms.profile, uses: 2, expires_at: NOON + HOUR };
    let token = cms.store.create_token(&new, "ada", NOON).await.unwrap();
    let applicant = || Applicant {
        secret_hash: secret_hash(minted.token.secret()),
        id: HostId::from_slice(&[5; 16]).unwrap(),
        facts: HostFacts { host_name: "web-1".into(), ..HostFacts::default() },
        certificate: Certificate { serial: vec![1], not_after: NOON + HOUR },
    };
    let left = async || cms.store.tokens(&Default::default()).await.unwrap().items[0].uses_left;
    assert_eq!(cms.store.admit(applicant(), NOON).await.unwrap().unwrap().id, token.id);
    assert_eq!(left().await, 1);
    // The same id again cannot be kept, as after a crash between the two.
    cms.store.admit(applicant(), NOON).await.unwrap_err();
    assert_eq!(left().await, 1, "the use is still there");
}
