//! Denying a package or a publisher makes threats of its files, without a question to threat intelligence.

use doorward_cms::allowlist::DecideError;
use doorward_cms::profile::GLOBAL;
use doorward_cms::store::{NamedSource, PageRequest, Priority, SourceDecision, SourceFilter, SourceKind, SourceState};
use doorward_policy::{Decision, Fit, Listing, PackageManager, ProfileId, PublisherEvidence, Signing, Status, StatusReason};
use doorward_proto::report::{Inventory, InventorySource, ReportBody, Source};
use doorward_proto::uplink::CommandBody;

use crate::support::host::package;
use crate::support::{Found, TestCms, file};

fn nmap() -> NamedSource {
    NamedSource::Package { manager: PackageManager::Dpkg, name: "nmap".into() }
}

async fn decide(cms: &TestCms, owner: ProfileId, source: NamedSource, decision: Decision) {
    let decision = SourceDecision { source, versions: None, owner, decision, comment: None };
    cms.allowlist.decide_source(&decision, "ada").await.unwrap();
}

fn inventory(name: &str) -> ReportBody {
    let source = InventorySource { source: Source::Package(package(name, Fit::Match)), files: 3, executed: 1, modified: 0, scanned: true };
    ReportBody::Inventory(Inventory { sources: vec![source], complete: true })
}

#[tokio::test]
async fn a_denied_package_is_a_draft_until_published_and_then_its_files_are_threats_nobody_is_asked_about() {
    let cms = TestCms::new().await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    web.report([inventory("nmap")]).await;
    db.report([inventory("curl")]).await;
    db.finds([Found::new("/opt/nmap", "old nmap").of_package("nmap", Fit::Modified)]).await;
    decide(&cms, cms.profile, nmap(), Decision::Denied).await;
    assert_eq!(cms.row("old nmap").await.status, Status::Unverified);
    let package = async || cms.allowlist.policies().current(cms.profile).await.unwrap().package(PackageManager::Dpkg, "nmap", "1");
    assert_eq!(package().await, Listing::Unlisted);
    let drafted = cms.store.difference("default").await.unwrap().unwrap().sources;
    assert_eq!(
        (drafted[0].change.source.name(), drafted[0].change.before, drafted[0].change.after),
        ("nmap", Decision::Undecided, Decision::Denied)
    );

    assert_eq!(cms.publish().await.sources, 1);
    assert_eq!(package().await, Listing::Denied);
    let asked = cms.store.commands_due(web.id, 10).await.unwrap();
    assert!(
        matches!(&asked[..], [command] if matches!(&command.body, CommandBody::SourceFiles(Source::Package(asked)) if asked.name == "nmap"))
    );
    assert!(cms.store.commands_due(db.id, 10).await.unwrap().is_empty(), "it holds none");
    let row = cms.row("old nmap").await;
    assert_eq!((row.status, row.reason), (Status::Threat, StatusReason::PackageNotAllowed));
    web.finds([Found::new("/usr/bin/nmap", "nmap").of_package("nmap", Fit::Match)]).await;
    assert_eq!(cms.row("nmap").await.reason, StatusReason::PackageNotAllowed);
    assert!(cms.store.take_lookups(cms.now(), Priority::Refresh, 10).await.unwrap().is_empty(), "neither is asked about");
}

#[tokio::test]
async fn an_allow_taken_back_asks_about_the_files_again() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    decide(&cms, cms.profile, nmap(), Decision::Denied).await;
    cms.publish().await;
    web.finds([Found::new("/usr/bin/nmap", "nmap").of_package("nmap", Fit::NoDigest)]).await;
    decide(&cms, cms.profile, nmap(), Decision::Undecided).await;
    cms.publish().await;
    assert_eq!(cms.row("nmap").await.reason, StatusReason::Pending);
    let taken = cms.store.take_lookups(cms.now(), Priority::Refresh, 10).await.unwrap();
    assert_eq!(taken.iter().map(|taken| taken.file).collect::<Vec<_>>(), [file("nmap")]);
}

#[tokio::test]
async fn a_global_deny_is_published_with_the_global_scope_and_beats_a_profiles_allow() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([Found::new("/usr/bin/nmap", "nmap").of_package("nmap", Fit::Match)]).await;
    decide(&cms, cms.profile, nmap(), Decision::Allowed).await;
    cms.publish().await;
    assert_eq!(cms.row("nmap").await.reason, StatusReason::Package);
    decide(&cms, GLOBAL, nmap(), Decision::Denied).await;
    assert_eq!(cms.publish().await.sources, 0, "another scope's draft");
    let before = cms.revision().await;
    cms.allowlist.publish("global", "ada").await.unwrap().unwrap();
    assert!(cms.revision().await > before);
    assert_eq!(cms.row("nmap").await.reason, StatusReason::PackageNotAllowed);
}

#[tokio::test]
async fn a_denied_publishers_signature_counts_only_where_it_is_valid() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let fingerprint = file("the certificate");
    let signed = |valid| {
        let mut found = Found::new("/opt/app.jar", if valid { "valid" } else { "forged" });
        let name = "ACME".to_owned();
        found.0.evidence.publisher = Some(PublisherEvidence {
            signing: Signing::Jar,
            name,
            fingerprint,
            valid,
            chain_trusted: false,
            public_authority: false,
            flaw: None,
            signed_at: None,
            validity: None,
            chain: Vec::new(),
        });
        found
    };
    web.finds([signed(true), signed(false)]).await;
    let acme = cms.store.publishers_named("ACME", 5).await.unwrap();
    assert_eq!(acme.len(), 1);
    decide(&cms, cms.profile, acme[0].clone(), Decision::Denied).await;
    cms.publish().await;
    assert_eq!(cms.row("valid").await.reason, StatusReason::PublisherNotAllowed);
    assert_eq!(cms.row("forged").await.reason, StatusReason::Pending);
    let filter = SourceFilter { profile: Some(cms.profile), kind: Some(SourceKind::Publisher), ..SourceFilter::default() };
    let listed = cms.store.sources(&filter, &PageRequest::default()).await.unwrap().items;
    assert_eq!((listed.len(), listed[0].state, listed[0].entries[0].decision), (1, SourceState::Denied, Decision::Denied));
}

#[tokio::test]
async fn a_draft_that_wants_what_is_published_already_is_no_draft() {
    let cms = TestCms::new().await;
    decide(&cms, cms.profile, nmap(), Decision::Denied).await;
    decide(&cms, cms.profile, nmap(), Decision::Undecided).await;
    assert!(cms.store.difference("default").await.unwrap().unwrap().sources.is_empty());
}

#[tokio::test]
async fn the_c_library_cannot_be_denied() {
    let cms = TestCms::new().await;
    let source = NamedSource::Package { manager: PackageManager::Dpkg, name: "libc6:amd64".into() };
    let deny = SourceDecision { source, versions: None, owner: GLOBAL, decision: Decision::Denied, comment: None };
    let refused = cms.allowlist.decide_source(&deny, "ada").await.unwrap_err();
    assert!(matches!(&refused, DecideError::Unblockable(_)), "{refused}");
}

#[tokio::test]
async fn a_deny_of_what_hosts_cannot_do_without_that_was_drafted_before_anybody_knew_is_refused_when_published() {
    let cms = TestCms::new().await;
    let shell = NamedSource::Package { manager: PackageManager::Dpkg, name: "dash".into() };
    // As a server that did not know the package would have kept it.
    let drafted = SourceDecision { source: shell, versions: None, owner: cms.profile, decision: Decision::Denied, comment: None };
    cms.store.draft_source(&drafted, "ada", cms.now()).await.unwrap();
    let refused = cms.allowlist.publish("default", "ada").await.unwrap_err();
    assert!(matches!(&refused, DecideError::Unblockable(_)) && refused.to_string().contains("package dash"), "{refused}");
    let policy = cms.allowlist.policies().current(cms.profile).await.unwrap();
    assert_eq!(policy.package(PackageManager::Dpkg, "dash", "1"), Listing::Unlisted, "nothing came into force");
    decide(&cms, cms.profile, drafted.source, Decision::Undecided).await;
    cms.publish().await;
}
