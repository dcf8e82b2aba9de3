//! One question for each distinct file, the urgent ones first, none for what says nothing.

use doorward_cms::allowlist::Failed;
use doorward_cms::store::{Priority, Recheck};
use doorward_policy::{FileKind, NoAnswer, Sha256, StatusReason};

use crate::support::{Found, HOUR, TestCms, file, known, unknown};

async fn take(cms: &TestCms, least: Priority) -> Vec<(Sha256, Priority)> {
    let taken = cms.store.take_lookups(cms.now(), least, 100).await.unwrap();
    taken.into_iter().map(|taken| (taken.file, taken.priority)).collect()
}

#[tokio::test]
async fn what_is_executed_is_asked_before_what_is_merely_there() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([Found::new("/opt/a", "a"), Found::new("/opt/b", "b"), Found::new("/opt/c", "c")]).await;
    web.executes("/opt/c", "c").await;
    assert_eq!(cms.store.next_lookup_due(cms.now()).await.unwrap().unwrap().priority, Priority::Executed);
    assert_eq!(take(&cms, Priority::Executed).await, [(file("c"), Priority::Executed)]);
    let mut rest: Vec<_> = take(&cms, Priority::Refresh).await.into_iter().map(|(file, _)| file).collect();
    rest.sort_unstable();
    let mut expected = [file("a"), file("b")];
    expected.sort_unstable();
    assert_eq!(rest, expected);
    assert!(take(&cms, Priority::Refresh).await.is_empty(), "in flight");
}

#[tokio::test]
async fn questions_in_flight_when_the_program_died_are_asked_again() {
    let cms = TestCms::new().await;
    cms.host("web-1").await.executes("/opt/a", "a").await;
    assert_eq!(take(&cms, Priority::Refresh).await.len(), 1);
    assert_eq!(cms.store.release_in_flight().await.unwrap(), 1);
    assert_eq!(take(&cms, Priority::Refresh).await.len(), 1);
}

#[tokio::test]
async fn nothing_is_asked_about_empty_files_and_bytecode() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([
        Found::of("/opt/empty", Sha256::EMPTY, 0).executed(),
        Found::new("/opt/x.pyc", "bytecode").of_kind(FileKind::PythonBytecode).executed(),
    ])
    .await;
    assert!(take(&cms, Priority::Refresh).await.is_empty());
    assert_eq!(cms.detail("bytecode").await.lookup.state, "none");
}

#[tokio::test]
async fn bytecode_is_not_asked_about_and_says_so_until_the_profile_asks() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([Found::new("/opt/x.pyc", "bytecode").of_kind(FileKind::PythonBytecode)]).await;
    assert_eq!(cms.row("bytecode").await.reason, StatusReason::NotAskedKind);
    assert_eq!(cms.store.stats(0).await.unwrap().not_asked_kind, 1);
    cms.with_settings(serde_json::json!({ "ask_bytecode": true })).await;
    assert_eq!(cms.row("bytecode").await.reason, StatusReason::Pending);
    assert_eq!(take(&cms, Priority::Refresh).await.len(), 1);
    cms.with_settings(serde_json::json!({ "ask_bytecode": false })).await;
    assert_eq!(cms.row("bytecode").await.reason, StatusReason::NotAskedKind);
    assert_eq!(cms.store.stats(0).await.unwrap().not_asked_kind, 1);
}

#[tokio::test]
async fn a_host_cannot_keep_a_file_from_being_asked_about_by_lying() {
    let cms = TestCms::new().await;
    let (liar, web) = (cms.host("liar").await, cms.host("web-1").await);
    let mut lie = Found::new("/opt/x.pyc", "worm").of_kind(FileKind::PythonBytecode);
    lie.0.file.size = 0;
    liar.finds([lie]).await;
    assert!(take(&cms, Priority::Refresh).await.is_empty());
    web.finds([Found::new("/opt/worm", "worm")]).await;
    assert_eq!(take(&cms, Priority::Refresh).await, [(file("worm"), Priority::New)]);
}

#[tokio::test]
async fn an_answer_is_asked_for_again_when_it_grows_stale() {
    let cms = TestCms::new().await;
    cms.host("web-1").await.finds([Found::new("/opt/a", "a")]).await;
    take(&cms, Priority::Refresh).await;
    cms.ti_says("a", known(0)).await;
    assert_eq!(cms.detail("a").await.lookup.state, "done");
    assert!(take(&cms, Priority::Refresh).await.is_empty());
    let due = cms.store.next_lookup_due(cms.now()).await.unwrap().unwrap();
    assert_eq!((due.at, due.priority), (cms.now() + HOUR, Priority::Refresh));
    cms.clock.advance(HOUR);
    assert_eq!(take(&cms, Priority::Refresh).await, [(file("a"), Priority::Refresh)]);
    assert!(cms.detail("a").await.reputation.current.is_some_and(|current| !current.stale));
    cms.clock.advance(1);
    assert!(cms.detail("a").await.reputation.current.is_some_and(|current| current.stale));
}

#[tokio::test]
async fn running_an_unknown_file_asks_again_at_most_once_an_hour() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    take(&cms, Priority::Refresh).await;
    cms.ti_says("a", unknown()).await;
    web.executes("/opt/a", "a").await;
    assert!(take(&cms, Priority::Executed).await.is_empty());
    cms.clock.advance(HOUR);
    web.executes("/opt/a", "a").await;
    assert_eq!(take(&cms, Priority::Executed).await, [(file("a"), Priority::Executed)]);
}

#[tokio::test]
async fn executions_do_not_defeat_the_back_off() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    take(&cms, Priority::Refresh).await;
    let not_before = Some(cms.now() + HOUR);
    let failed = Failed { file: file("a"), error: "timeout".into(), no_answer: NoAnswer::ProviderError, not_before };
    cms.allowlist.failed(&[failed]).await.unwrap();
    web.executes("/opt/a", "a").await;
    assert!(take(&cms, Priority::Refresh).await.is_empty());
    cms.clock.advance(HOUR);
    assert_eq!(take(&cms, Priority::Refresh).await.len(), 1);
}

#[tokio::test]
async fn a_person_can_have_anything_asked_again() {
    let cms = TestCms::new().await;
    cms.host("web-1").await.finds([Found::new("/opt/a", "a"), Found::new("/opt/b", "b")]).await;
    take(&cms, Priority::Refresh).await;
    cms.ti_says("a", known(0)).await;
    let failed = Failed { file: file("b"), error: "invalid".into(), no_answer: NoAnswer::ProviderError, not_before: None };
    cms.allowlist.failed(&[failed]).await.unwrap();
    assert_eq!(cms.detail("b").await.lookup.state, "given_up");
    for (what, expected) in [(Recheck::File(file("a")), 1), (Recheck::Profile(cms.profile), 2), (Recheck::All, 2)] {
        let (count, effect) = cms.store.recheck(&what, cms.now()).await.unwrap();
        assert_eq!((count, effect.lookups), (expected, true), "{what:?}");
        assert_eq!(take(&cms, Priority::Refresh).await.len(), usize::try_from(expected).unwrap(), "{what:?}");
        cms.store.release_in_flight().await.unwrap();
        cms.ti_says("a", known(0)).await;
        take(&cms, Priority::Refresh).await;
        let failed = Failed { file: file("b"), error: "invalid".into(), no_answer: NoAnswer::ProviderError, not_before: None };
        cms.allowlist.failed(&[failed]).await.unwrap();
    }
    assert_eq!(cms.store.retry_given_up(cms.now()).await.unwrap(), 1, "the one without an answer");
    assert_eq!(take(&cms, Priority::Refresh).await, [(file("b"), Priority::New)]);
}

#[tokio::test]
async fn what_is_asked_for_while_a_question_is_in_flight_is_asked_once_more() {
    for what in [Recheck::File(file("a")), Recheck::All] {
        let cms = TestCms::new().await;
        cms.host("web-1").await.executes("/opt/a", "a").await;
        take(&cms, Priority::Refresh).await;
        let (count, effect) = cms.store.recheck(&what, cms.now()).await.unwrap();
        assert_eq!((count, effect.lookups), (1, true), "{what:?}");
        assert!(take(&cms, Priority::Refresh).await.is_empty(), "it is still in flight");
        cms.ti_says("a", known(0)).await;
        assert_eq!(take(&cms, Priority::Refresh).await, [(file("a"), Priority::Executed)], "{what:?}");
        cms.ti_says("a", known(0)).await;
        assert!(take(&cms, Priority::Refresh).await.is_empty(), "once");
    }
}

#[tokio::test]
async fn what_is_asked_for_while_a_question_fails_is_not_given_up() {
    let cms = TestCms::new().await;
    cms.host("web-1").await.executes("/opt/a", "a").await;
    take(&cms, Priority::Refresh).await;
    let _ = cms.store.recheck(&Recheck::File(file("a")), cms.now()).await.unwrap();
    let failed = Failed { file: file("a"), error: "invalid_hash".into(), no_answer: NoAnswer::ProviderError, not_before: None };
    cms.allowlist.failed(&[failed]).await.unwrap();
    assert_eq!(take(&cms, Priority::Refresh).await.len(), 1);
}

#[tokio::test]
async fn only_a_person_has_a_checksum_asked_about_again_that_the_provider_does_not_take() {
    let cms = TestCms::new().await;
    cms.host("web-1").await.finds([Found::new("/opt/a", "a"), Found::new("/opt/b", "b")]).await;
    take(&cms, Priority::Refresh).await;
    cms.ti_says("b", known(0)).await;
    let failed =
        |content, error: &str| Failed { file: file(content), error: error.into(), no_answer: NoAnswer::ProviderError, not_before: None };
    cms.allowlist.failed(&[failed("a", "invalid_hash"), failed("b", "not_configured")]).await.unwrap();
    assert_eq!(cms.store.retry_given_up(cms.now()).await.unwrap(), 1);
    assert_eq!(take(&cms, Priority::Refresh).await, [(file("b"), Priority::Refresh)], "given up with an answer, and asked again");
    assert_eq!(cms.store.recheck(&Recheck::File(file("a")), cms.now()).await.unwrap().0, 1);
}
