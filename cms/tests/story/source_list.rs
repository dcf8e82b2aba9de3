//! What people are told of packages and publishers: where they were seen, what lists say, and what a change would bear on.

use doorward_cms::profile::GLOBAL;
use doorward_cms::store::{
    Extent, NamedSource, PageRequest, SourceDecision, SourceDetail, SourceFilter, SourceKind, SourceRow, SourceState, StoreError,
    VERSION_ENTRIES_MAX,
};
use doorward_policy::{Decision, Fit, Listing, PackageManager, ProfileId, Sha256, Status, StatusReason};
use doorward_proto::report::{Inventory, InventorySource, ReportBody, Source};
use doorward_proto::snapshot::Position;
use doorward_proto::uplink::CommandBody;

use crate::support::host::{TestHost, package};
use crate::support::{Found, TestCms};

fn named(name: &str) -> NamedSource {
    NamedSource::Package { manager: PackageManager::Dpkg, name: name.into() }
}

fn key(name: &str) -> Sha256 {
    Sha256::new(named(name).key())
}

async fn decide(cms: &TestCms, owner: ProfileId, name: &str, versions: &str, decision: Decision) -> Result<(), StoreError> {
    let versions = (!versions.is_empty()).then(|| versions.parse().unwrap());
    let decision = SourceDecision { source: named(name), versions, owner, decision, comment: Some("advisory".into()) };
    cms.store.draft_source(&decision, "ada", cms.now()).await
}

/// A package in a version, with how many files of it were settled and executed.
fn counted(name: &str, version: &str, files: u64, executed: u64) -> InventorySource {
    let mut evidence = package(name, Fit::Match);
    evidence.version = version.into();
    InventorySource { source: Source::Package(evidence), files, executed, modified: 0, scanned: files > executed }
}

async fn has(host: &TestHost, sources: impl IntoIterator<Item = InventorySource>) {
    host.report([ReportBody::Inventory(Inventory { sources: sources.into_iter().collect(), complete: true })]).await;
}

fn of_version(path: &str, content: &str, name: &str, version: &str) -> Found {
    let mut found = Found::new(path, content).of_package(name, Fit::Match);
    if let Some(package) = &mut found.0.evidence.package {
        package.version = version.into();
    }
    found
}

async fn listed(cms: &TestCms, filter: SourceFilter) -> Vec<SourceRow> {
    cms.store.sources(&filter, &PageRequest::default()).await.unwrap().items
}

async fn names(cms: &TestCms, filter: SourceFilter) -> Vec<String> {
    listed(cms, filter).await.iter().map(|row| row.source.name().to_owned()).collect()
}

async fn detail(cms: &TestCms, name: &str) -> SourceDetail {
    cms.store.source(&key(name), Some(cms.profile), &PageRequest::default()).await.unwrap().unwrap()
}

/// The packages a host was asked to report the files of and has not reported.
async fn asked(cms: &TestCms, host: &TestHost) -> Vec<String> {
    let commands = cms.store.commands_due(host.id, 100).await.unwrap();
    let name = |body: CommandBody| match body {
        CommandBody::SourceFiles(Source::Package(package)) => package.name,
        other => panic!("{other:?}"),
    };
    commands.into_iter().map(|command| name(command.body)).collect()
}

async fn answer(cms: &TestCms, host: &TestHost, error: Option<&str>) {
    for command in cms.store.commands_due(host.id, 100).await.unwrap() {
        cms.store.command_done(host.id, command.id, error, cms.now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_source_is_seen_in_inventories_and_in_reports() {
    let cms = TestCms::new().await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    has(&web, [counted("openssl", "3.0.8-1", 40, 2), counted("bash", "5.2-1", 3, 3)]).await;
    has(&db, [counted("openssl", "3.0.9-1", 41, 0)]).await;
    let modified = Found::new("/usr/bin/openssl", "patched").of_package("openssl", Fit::Modified).executed();
    db.finds([modified]).await;
    let rows = listed(&cms, SourceFilter::default()).await;
    let seen = |name: &str| rows.iter().find(|row| row.source.name() == name).unwrap().seen.clone();
    let openssl = seen("openssl");
    assert_eq!((openssl.hosts, openssl.files, openssl.executed, openssl.reported), (2, 81, 2, 1));
    assert_eq!(openssl.sources.words().collect::<Vec<_>>(), ["scan", "exec"]);
    assert_eq!(seen("bash").sources.words().collect::<Vec<_>>(), ["exec"]);
    assert!(openssl.first_seen_at.is_some() && openssl.first_seen_at <= openssl.last_seen_at);
    let detail = detail(&cms, "openssl").await;
    let on: Vec<_> = detail.on.items.iter().map(|host| (host.host.as_str(), host.files, host.executed, host.reported)).collect();
    assert_eq!(on, [("db-1", 41, 0, 1), ("web-1", 40, 2, 0)]);
    assert!(matches!(&detail.on.items[1].evidence, Some(Source::Package(package)) if package.version == "3.0.8-1"));
}

#[tokio::test]
async fn a_source_that_is_gone_and_comes_back_was_first_seen_when_it_was() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let noon = cms.now();
    has(&web, [counted("nmap", "1", 3, 0)]).await;
    cms.clock.advance(3_600_000_000);
    has(&web, [counted("curl", "1", 3, 0)]).await;
    assert_eq!(names(&cms, SourceFilter::default()).await, ["curl"]);
    cms.clock.advance(3_600_000_000);
    has(&web, [counted("nmap", "2", 3, 0)]).await;
    let rows = listed(&cms, SourceFilter::default()).await;
    assert_eq!((rows[0].seen.first_seen_at, rows[0].seen.last_seen_at), (Some(noon), Some(cms.now())));
}

#[tokio::test]
async fn what_a_host_has_no_more_is_not_adopted() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    has(&web, [counted("nmap", "1", 3, 0), counted("curl", "1", 3, 0)]).await;
    has(&web, [counted("curl", "1", 3, 0)]).await;
    assert_eq!(cms.store.adopt_sources(cms.profile, web.id, "ada", cms.now()).await.unwrap(), 1);
    let drafted = cms.store.difference("default").await.unwrap().unwrap();
    assert_eq!(drafted.sources.iter().map(|preview| preview.change.source.name()).collect::<Vec<_>>(), ["curl"]);
}

#[tokio::test]
async fn a_host_that_names_others_each_time_fills_no_disk() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    has(&web, [counted("nmap", "1", 3, 0)]).await;
    for round in 0..3 {
        cms.clock.advance(1_000_000);
        has(&web, (0..600).map(|number| counted(&format!("p{round}-{number}"), "1", 1, 0))).await;
    }
    cms.clock.advance(1_000_000);
    has(&web, [counted("nmap", "1", 3, 0)]).await;
    let rows = listed(&cms, SourceFilter::default()).await;
    assert_eq!(rows[0].seen.first_seen_at, Some(cms.now()), "of all that went the newest thousand are remembered");
}

#[tokio::test]
async fn sources_are_filtered_and_come_in_pages_by_name() {
    let cms = TestCms::new().await;
    let other = cms.store.create_profile("db", "db", "ada", cms.now()).await.unwrap().id;
    let (web, db) = (cms.host("web-1").await, cms.host_in("db-1", other).await);
    has(&web, ["zsh", "bash", "100%_sure", "nmap"].map(|name| counted(name, "1", 3, 0))).await;
    has(&db, [counted("postgresql", "15", 9, 1)]).await;
    decide(&cms, cms.profile, "nmap", "", Decision::Denied).await.unwrap();
    decide(&cms, GLOBAL, "bash", "", Decision::Allowed).await.unwrap();
    let of = |filter: SourceFilter| SourceFilter { profile: Some(cms.profile), ..filter };
    assert_eq!(
        names(&cms, of(SourceFilter { state: Some(SourceState::New), ..Default::default() })).await.len(),
        4,
        "drafts are no entries"
    );
    cms.publish().await;
    cms.allowlist.publish("global", "ada").await.unwrap().unwrap();
    assert_eq!(names(&cms, SourceFilter::default()).await, ["100%_sure", "bash", "nmap", "postgresql", "zsh"]);
    assert_eq!(
        names(&cms, of(SourceFilter::default())).await,
        ["100%_sure", "bash", "nmap", "zsh"],
        "what another profile has is not there"
    );
    for (state, expected) in
        [(SourceState::New, &["100%_sure", "zsh"][..]), (SourceState::Denied, &["nmap"]), (SourceState::Allowed, &["bash"])]
    {
        assert_eq!(names(&cms, of(SourceFilter { state: Some(state), ..Default::default() })).await, expected);
        let rows = listed(&cms, of(SourceFilter { state: Some(state), ..Default::default() })).await;
        assert!(rows.iter().all(|row| row.state == state));
    }
    let with_text = |text: &str| SourceFilter { text: Some(text.into()), ..Default::default() };
    assert_eq!(names(&cms, with_text("SH")).await, ["bash", "zsh"]);
    assert_eq!(names(&cms, with_text("%_")).await, ["100%_sure"], "what stands for anything elsewhere stands for itself here");
    assert_eq!(names(&cms, SourceFilter { host: Some(db.id), ..Default::default() }).await, ["postgresql"]);
    assert_eq!(names(&cms, SourceFilter { kind: Some(SourceKind::Publisher), ..Default::default() }).await, [""; 0]);
    assert_eq!(names(&cms, SourceFilter { manager: Some(PackageManager::Rpm), ..Default::default() }).await, [""; 0]);
    let (mut page, mut seen) = (PageRequest { limit: 2, after: None }, Vec::new());
    loop {
        let part = cms.store.sources(&SourceFilter::default(), &page).await.unwrap();
        seen.extend(part.items.iter().map(|row| row.source.name().to_owned()));
        let Some(next) = part.next else { break };
        page.after = Some(next);
    }
    assert_eq!(seen, names(&cms, SourceFilter::default()).await);
}

#[tokio::test]
async fn a_denied_range_denies_those_versions_only_and_reaches_hosts_in_the_policy() {
    let cms = TestCms::new().await;
    let (old, new) = (cms.host("old").await, cms.host("new").await);
    has(&old, [counted("openssl", "3.0.8-1", 40, 2)]).await;
    has(&new, [counted("openssl", "3.0.9-1", 40, 2)]).await;
    decide(&cms, cms.profile, "openssl", "< 3.0.9-1", Decision::Denied).await.unwrap();
    let before = cms.allowlist.policies().current(cms.profile).await.unwrap();
    assert_eq!(cms.publish().await.sources, 1);
    let policy = cms.allowlist.policies().current(cms.profile).await.unwrap();
    let says = |version| policy.package(PackageManager::Dpkg, "openssl", version);
    assert_eq!((says("3.0.8-1"), says("3.0.9-1")), (Listing::Denied, Listing::Unlisted));
    assert_eq!((asked(&cms, &old).await, asked(&cms, &new).await), (vec!["openssl".to_owned()], vec![]));
    old.finds([of_version("/usr/bin/openssl", "old", "openssl", "3.0.8-1")]).await;
    new.finds([of_version("/usr/bin/openssl", "new", "openssl", "3.0.9-1")]).await;
    assert_eq!(cms.row("old").await.reason, StatusReason::PackageNotAllowed);
    assert_eq!(cms.row("new").await.reason, StatusReason::Package);
    let detail = detail(&cms, "openssl").await;
    let listings: Vec<_> = detail.on.items.iter().map(|host| (host.host.as_str(), host.listing)).collect();
    assert_eq!(listings, [("new", Listing::Unlisted), ("old", Listing::Denied)]);

    let step = cms.allowlist.policies().delta(cms.profile, before.head().position()).await.unwrap().unwrap();
    assert!(step.version_rules.is_some());
    assert_eq!(before.apply_delta(&step, &cms.verifier()).unwrap(), *policy);
    cms.decide("old", Decision::Denied).await;
    let position = Position { epoch: policy.head().epoch, revision: policy.head().revision };
    let next = cms.allowlist.policies().delta(cms.profile, position).await.unwrap().unwrap();
    assert_eq!(next.version_rules, None, "what stays is not sent again");
    let later = policy.apply_delta(&next, &cms.verifier()).unwrap();
    assert_eq!(later, *cms.fresh_policies().current(cms.profile).await.unwrap());

    decide(&cms, cms.profile, "openssl", "< 3.0.9-1", Decision::Undecided).await.unwrap();
    cms.publish().await;
    let gone = cms.allowlist.policies().delta(cms.profile, later.head().position()).await.unwrap().unwrap();
    let lifted = later.apply_delta(&gone, &cms.verifier()).unwrap();
    assert_eq!(lifted.package(PackageManager::Dpkg, "openssl", "3.0.8-1"), Listing::Unlisted);
}

#[tokio::test]
async fn all_but_some_versions_can_be_denied_and_another_scopes_deny_stands() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    decide(&cms, cms.profile, "log4j", "", Decision::Denied).await.unwrap();
    decide(&cms, cms.profile, "log4j", ">= 2.17.1", Decision::Allowed).await.unwrap();
    cms.publish().await;
    web.finds([of_version("/a", "old", "log4j", "2.14"), of_version("/b", "new", "log4j", "2.17.1")]).await;
    assert_eq!(cms.row("old").await.reason, StatusReason::PackageNotAllowed);
    assert_eq!(cms.row("new").await.reason, StatusReason::Package);
    decide(&cms, GLOBAL, "log4j", "= 2.17.1", Decision::Denied).await.unwrap();
    cms.allowlist.publish("global", "ada").await.unwrap().unwrap();
    assert_eq!(cms.row("new").await.reason, StatusReason::PackageNotAllowed);
    let entries = detail(&cms, "log4j").await.row.entries;
    let shown: Vec<_> = entries.iter().map(|entry| (entry.global, entry.versions.as_ref().map(ToString::to_string))).collect();
    assert_eq!(shown, [(true, Some("= 2.17.1".into())), (false, None), (false, Some(">= 2.17.1".into()))]);
}

#[tokio::test]
async fn entries_on_versions_have_a_bound() {
    let cms = TestCms::new().await;
    for number in 0..VERSION_ENTRIES_MAX {
        decide(&cms, cms.profile, "openssl", &format!("= {number}"), Decision::Denied).await.unwrap();
    }
    let refused = decide(&cms, cms.profile, "openssl", "= 9.9", Decision::Denied).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    decide(&cms, cms.profile, "openssl", "= 1", Decision::Undecided).await.unwrap();
    decide(&cms, cms.profile, "openssl", "= 9.9", Decision::Denied).await.unwrap();
}

#[tokio::test]
async fn hosts_are_asked_once_for_what_is_denied_and_their_progress_shows() {
    let cms = TestCms::new().await;
    let (web, db, late) = (cms.host("web-1").await, cms.host("db-1").await, cms.host("late").await);
    for host in [&web, &db] {
        has(host, [counted("nmap", "1", 3, 0)]).await;
    }
    decide(&cms, cms.profile, "nmap", "", Decision::Denied).await.unwrap();
    cms.publish().await;
    assert_eq!((asked(&cms, &web).await.len(), asked(&cms, &db).await.len(), asked(&cms, &late).await.len()), (1, 1, 0));
    // A host that tells what it has only now is asked then; one that tells again is not asked again.
    has(&late, [counted("nmap", "1", 3, 0)]).await;
    for _ in 0..2 {
        has(&web, [counted("nmap", "1", 3, 1)]).await;
    }
    assert_eq!((asked(&cms, &web).await.len(), asked(&cms, &late).await.len()), (1, 1));
    answer(&cms, &web, None).await;
    answer(&cms, &db, Some("the disk is gone")).await;
    cms.clock.advance(60_000_000);
    has(&web, [counted("nmap", "1", 3, 1)]).await;
    assert!(asked(&cms, &web).await.is_empty(), "it has reported them");
    let shown = detail(&cms, "nmap").await;
    assert_eq!((shown.asked.hosts, shown.asked.done, shown.asked.failed), (3, 1, 1));
    let error = shown.on.items.iter().find(|host| host.host == "db-1").unwrap().error.clone();
    assert_eq!(error.as_deref(), Some("the disk is gone"));
    // Denied anew, it is asked for anew.
    decide(&cms, cms.profile, "nmap", "", Decision::Undecided).await.unwrap();
    cms.publish().await;
    cms.clock.advance(60_000_000);
    decide(&cms, cms.profile, "nmap", "", Decision::Denied).await.unwrap();
    cms.publish().await;
    assert_eq!(asked(&cms, &web).await.len(), 1);
}

#[tokio::test]
async fn a_question_that_waits_is_withdrawn_when_the_package_is_denied() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([Found::new("/opt/nmap", "patched nmap").of_package("nmap", Fit::Modified).executed()]).await;
    assert_eq!(cms.row("patched nmap").await.reason, StatusReason::Modified);
    decide(&cms, cms.profile, "nmap", "", Decision::Denied).await.unwrap();
    cms.publish().await;
    let taken = cms.store.take_lookups(cms.now(), doorward_cms::store::Priority::Refresh, 10).await.unwrap();
    assert!(taken.is_empty(), "{taken:?}");
    let (count, _) = cms.store.recheck(&doorward_cms::store::Recheck::All, cms.now()).await.unwrap();
    assert_eq!(count, 0, "nor is it asked about because somebody wants everything asked anew");
    web.executes("/opt/nmap-2", "other").await;
    assert_eq!(cms.row("patched nmap").await.status, Status::Threat);
}

#[tokio::test]
async fn what_a_change_would_bear_on_is_told_before() {
    let cms = TestCms::new().await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    has(&web, [counted("openssl", "3.0.8-1", 40, 2), counted("bash", "5", 3, 3)]).await;
    has(&db, [counted("openssl", "3.0.9-1", 41, 0)]).await;
    web.finds([Found::new("/usr/bin/openssl", "patched").of_package("openssl", Fit::Modified)]).await;
    let extent = async |versions: &str| {
        let versions = (!versions.is_empty()).then(|| versions.parse().unwrap());
        cms.store.source_extent(cms.profile, &key("openssl"), versions.as_ref()).await.unwrap()
    };
    assert_eq!(extent("").await, Extent { sources: 1, hosts: 2, files: 81, executed: 2, reported: 1 });
    assert_eq!(extent("< 3.0.9-1").await, Extent { sources: 1, hosts: 1, files: 40, executed: 2, reported: 1 });
    assert_eq!(extent("> 4").await, Extent::default());
    decide(&cms, cms.profile, "openssl", "< 3.0.9-1", Decision::Denied).await.unwrap();
    cms.draft(serde_json::json!({"allow_new_packages": false})).await;
    let difference = cms.store.difference("default").await.unwrap().unwrap();
    assert_eq!(difference.sources[0].extent.unwrap().files, 40);
    let new = difference.new_sources.unwrap().packages;
    assert_eq!((new.sources, new.hosts, new.files), (1, 1, 3), "openssl will be on a list by then");
}

#[tokio::test]
async fn what_the_reference_host_has_is_adopted_and_no_longer_new() {
    let cms = TestCms::new().await;
    let (golden, web) = (cms.host("golden").await, cms.host("web-1").await);
    has(&golden, ["bash", "curl", "nmap"].map(|name| counted(name, "1", 3, 0))).await;
    has(&web, ["bash", "cryptominer"].map(|name| counted(name, "1", 3, 0))).await;
    decide(&cms, GLOBAL, "nmap", "", Decision::Denied).await.unwrap();
    cms.allowlist.publish("global", "ada").await.unwrap().unwrap();
    assert_eq!(cms.store.adopt_sources(cms.profile, golden.id, "ada", cms.now()).await.unwrap(), 2, "what is denied stays denied");
    cms.draft(serde_json::json!({"allow_new_packages": false})).await;
    cms.publish().await;
    let of = |state| SourceFilter { profile: Some(cms.profile), state: Some(state), ..Default::default() };
    assert_eq!(names(&cms, of(SourceState::Allowed)).await, ["bash", "curl"]);
    assert_eq!(names(&cms, of(SourceState::New)).await, ["cryptominer"]);
    web.finds([of_version("/a", "shell", "bash", "2"), of_version("/b", "miner", "cryptominer", "1")]).await;
    assert_eq!(cms.row("shell").await.reason, StatusReason::Package);
    assert_eq!(cms.row("miner").await.reason, StatusReason::Pending);
    assert_eq!(cms.store.adopt_sources(cms.profile, golden.id, "ada", cms.now()).await.unwrap(), 0);
}
