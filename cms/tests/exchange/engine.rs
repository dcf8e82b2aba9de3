//! The look-up engine over a real queue: who is asked, when, how often, and what a failure is not.

use std::sync::Arc;

use doorward_cms::intel::chance::Chance;
use doorward_cms::intel::{Control, Engine, Failure, Health, NotConfigured, Provider, Settings};
use doorward_cms::signals::Effect;
use doorward_cms::store::Recheck;
use doorward_policy::{Class, Sha256, StatusReason};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::story::{Found, HOUR, TestCms, TestHost, file, known, malicious, suspicious};
use crate::support::provider::TestProvider;
use crate::support::{soon, until};

const MINUTE: i64 = HOUR / 60;

/// A batch that would gather for a minute: whatever is asked in a test was not waiting for it.
const NEVER_MS: u64 = 60_000;

struct Running {
    control: Control,
    cancel: CancellationToken,
    task: JoinSet<()>,
}

impl Running {
    fn start(cms: &TestCms, provider: Arc<dyn Provider>, batch_wait_ms: u64) -> Self {
        let settings = Settings { batch_wait_ms, ..Settings::default() };
        let (store, allowlist, signals, clock) = (cms.store.clone(), cms.allowlist.clone(), cms.signals.clone(), cms.clock.clone());
        let engine = Engine::new(store, allowlist, signals, provider, &settings, clock, Chance::Fixed(0.5));
        let (control, cancel) = (engine.control(), CancellationToken::new());
        let mut task = JoinSet::new();
        task.spawn(engine.run(cancel.clone()));
        Self { control, cancel, task }
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        soon("the engine's end", self.task.join_next()).await.unwrap().unwrap();
    }

    fn health(&self) -> Health {
        self.control.tally().health()
    }
}

/// Moves the clock and lets the engine notice, as its own sleep would.
fn advance(cms: &TestCms, micros: i64) {
    cms.clock.advance(micros);
    cms.signals.tell(&Effect { lookups: true, ..Effect::default() });
}

async fn reason(cms: &TestCms, content: &str) -> StatusReason {
    cms.row(content).await.reason
}

async fn becomes(cms: &TestCms, content: &str, expected: StatusReason) {
    until(&format!("{content} as {expected:?}"), || async { (reason(cms, content).await == expected).then_some(()) }).await;
}

async fn finds(host: &TestHost, contents: impl IntoIterator<Item = String>) {
    let found: Vec<Found> = contents.into_iter().map(|content| Found::new(&format!("/opt/{content}"), &content)).collect();
    for found in found.chunks(400) {
        host.finds(found.to_vec()).await;
    }
}

fn down() -> Failure {
    Failure::Unavailable { host: "ti.example".into(), what: "HTTP 503".into() }
}

#[tokio::test]
async fn an_executed_file_is_asked_at_once_while_others_gather() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), NEVER_MS);
    finds(&host, ["found".into()]).await;
    host.executes("/opt/run", "run").await;
    becomes(&cms, "run", StatusReason::Unknown).await;
    assert_eq!(provider.asked(), [vec![file("run")]]);
    assert_eq!(reason(&cms, "found").await, StatusReason::Pending);
    engine.stop().await;
}

#[tokio::test]
async fn found_files_share_requests_and_each_is_asked_once_however_many_hosts_have_it() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    for name in ["web-1", "web-2", "web-3"] {
        finds(&cms.host(name).await, (0..250).map(|number| format!("lib-{number}"))).await;
    }
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    until("all questions", || async { (provider.asked().iter().map(Vec::len).sum::<usize>() == 250).then_some(()) }).await;
    let asked = provider.asked();
    assert_eq!((asked.len(), asked.iter().map(Vec::len).max()), (3, Some(100)));
    let distinct: std::collections::BTreeSet<Sha256> = asked.into_iter().flatten().collect();
    assert_eq!(distinct.len(), 250);
    until("the counters", || async { (engine.control.tally().hashes() == 250).then_some(()) }).await;
    assert_eq!(engine.control.tally().requests(), 3);
    engine.stop().await;
}

#[tokio::test]
async fn a_failure_is_never_an_answer_and_is_asked_again_when_the_provider_is_back() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    provider.says("run", malicious(4, "Linux.Trojan.Run"));
    provider.fails(down());
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    host.executes("/opt/run", "run").await;
    becomes(&cms, "run", StatusReason::ProviderError).await;
    assert!(cms.detail("run").await.reputation.history.is_empty(), "an error is not stored as an answer");
    assert!(matches!(engine.health(), Health::BackingOff { .. }));

    host.executes("/opt/later", "later").await;
    becomes(&cms, "later", StatusReason::ProviderError).await;
    assert_eq!(provider.times("later"), 0, "nobody asks while the wait is not over, and nobody is left waiting");

    provider.fails(None);
    advance(&cms, MINUTE);
    becomes(&cms, "run", StatusReason::Malicious).await;
    becomes(&cms, "later", StatusReason::Unknown).await;
    assert_eq!((engine.health(), engine.control.tally().errors()), (Health::Working, [("unavailable", 1)].into()));
    engine.stop().await;
}

#[tokio::test]
async fn what_was_said_before_stays_while_the_provider_is_down() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    provider.says("run", malicious(4, "Linux.Trojan.Run"));
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    host.executes("/opt/run", "run").await;
    becomes(&cms, "run", StatusReason::Malicious).await;
    provider.fails(down());
    advance(&cms, 27 * HOUR);
    until("the refresh that fails", || async { (provider.times("run") == 2).then_some(()) }).await;
    until("the failure's end", || async { matches!(engine.health(), Health::BackingOff { .. }).then_some(()) }).await;
    assert_eq!(reason(&cms, "run").await, StatusReason::Malicious);
    engine.stop().await;
}

#[tokio::test]
async fn a_refused_account_stops_the_provider_until_a_person_says_so() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    provider.fails(Failure::Unauthorized { host: "ti.example".into() });
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    host.executes("/opt/run", "run").await;
    becomes(&cms, "run", StatusReason::ProviderError).await;
    let Health::Stopped { reason, .. } = engine.health() else { panic!("{:?}", engine.health()) };
    assert!(reason.contains("password_file"), "{reason}");
    advance(&cms, 5 * MINUTE);
    host.executes("/opt/more", "more").await;
    becomes(&cms, "more", StatusReason::ProviderError).await;
    assert_eq!(provider.asked().len(), 1, "no storm of questions that lock the account");

    provider.fails(None);
    engine.control.resume();
    let (_, effect) = cms.store.recheck(&Recheck::All, cms.now()).await.unwrap();
    cms.signals.tell(&effect);
    becomes(&cms, "run", StatusReason::Unknown).await;
    becomes(&cms, "more", StatusReason::Unknown).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_missing_entry_is_asked_again_later_and_a_refused_hash_is_not() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    provider.leaves_out("missing");
    provider.refuses("refused");
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    finds(&host, ["missing", "refused", "plain"].map(String::from)).await;
    becomes(&cms, "plain", StatusReason::Unknown).await;
    becomes(&cms, "missing", StatusReason::ProviderError).await;
    becomes(&cms, "refused", StatusReason::ProviderError).await;
    assert_eq!(engine.health(), Health::Working, "the provider answers; it is about single files");

    provider.leaves_nothing_out();
    advance(&cms, 2 * MINUTE);
    becomes(&cms, "missing", StatusReason::Unknown).await;
    assert_eq!((provider.times("missing"), provider.times("refused")), (2, 1));
    assert_eq!(engine.control.tally().errors(), [("invalid_hash", 1), ("missing", 1)].into());

    provider.says("refused", known(0));
    let (_, effect) = cms.store.recheck(&Recheck::File(file("refused")), cms.now()).await.unwrap();
    cms.signals.tell(&effect);
    becomes(&cms, "refused", StatusReason::Known).await;
    engine.stop().await;
}

#[tokio::test]
async fn without_a_provider_it_is_said_at_once_and_asked_when_there_is_one() {
    let cms = TestCms::new().await;
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(NotConfigured), 0);
    host.executes("/opt/run", "run").await;
    becomes(&cms, "run", StatusReason::NotConfigured).await;
    assert_eq!(engine.health(), Health::NotConfigured);
    engine.stop().await;

    let provider = TestProvider::new();
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    becomes(&cms, "run", StatusReason::Unknown).await;
    engine.stop().await;
}

#[tokio::test]
async fn what_was_in_flight_when_the_program_ended_is_asked_again_and_nothing_else() {
    let cms = TestCms::new().await;
    let host = cms.host("web-1").await;
    let quick = TestProvider::new();
    let engine = Running::start(&cms, Arc::new(quick.clone()), 0);
    host.executes("/opt/done", "done").await;
    becomes(&cms, "done", StatusReason::Unknown).await;
    engine.stop().await;

    let pensive = TestProvider::pensive();
    let engine = Running::start(&cms, Arc::new(pensive.clone()), 0);
    host.executes("/opt/open", "open").await;
    until("the question", || async { (pensive.times("open") == 1).then_some(()) }).await;
    engine.stop().await;

    let engine = Running::start(&cms, Arc::new(quick.clone()), 0);
    becomes(&cms, "open", StatusReason::Unknown).await;
    assert_eq!((quick.times("done"), quick.times("open")), (1, 1));
    engine.stop().await;
}

#[tokio::test]
async fn a_question_under_way_is_not_asked_twice() {
    let (cms, provider) = (TestCms::new().await, TestProvider::pensive());
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    for name in ["web-1", "web-2", "web-3", "web-4"] {
        cms.host(name).await.executes("/opt/run", "run").await;
    }
    until("the question", || async { (provider.times("run") == 1).then_some(()) }).await;
    provider.answer_now();
    becomes(&cms, "run", StatusReason::Unknown).await;
    assert_eq!(provider.times("run"), 1);
    engine.stop().await;
}

#[tokio::test]
async fn an_executed_file_does_not_wait_behind_batches_that_are_slow() {
    let (cms, provider) = (TestCms::new().await, TestProvider::pensive());
    let host = cms.host("web-1").await;
    finds(&host, (0..500).map(|number| format!("lib-{number}"))).await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    until("the batches", || async { (provider.asked().len() == 2).then_some(()) }).await;
    host.executes("/opt/run", "run").await;
    until("the question", || async { (provider.times("run") == 1).then_some(()) }).await;
    assert_eq!(provider.asked().len(), 3, "and no third batch");
    engine.stop().await;
}

#[tokio::test]
async fn an_answer_that_grew_stale_is_asked_again_and_a_turn_is_noticed() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    provider.says("run", suspicious());
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    host.executes("/opt/run", "run").await;
    becomes(&cms, "run", StatusReason::Suspicious).await;
    provider.says("run", malicious(5, "Linux.Ransomware.Run"));
    advance(&cms, HOUR / 2);
    host.executes("/opt/probe", "probe").await;
    becomes(&cms, "probe", StatusReason::Unknown).await;
    assert_eq!(provider.times("run"), 1, "fresh for an hour");
    advance(&cms, HOUR);
    becomes(&cms, "run", StatusReason::Malicious).await;
    let history = cms.detail("run").await.reputation.history;
    assert_eq!(history.iter().map(|answer| answer.reputation.class).collect::<Vec<_>>(), [Class::Malicious, Class::Suspicious]);
    engine.stop().await;
}

#[tokio::test]
async fn a_rate_limit_is_obeyed() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    let retry_after = Some(std::time::Duration::from_secs(300));
    provider.fails(Failure::RateLimited { host: "ti.example".into(), retry_after });
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    host.executes("/opt/run", "run").await;
    becomes(&cms, "run", StatusReason::ProviderError).await;
    provider.fails(None);
    advance(&cms, 4 * MINUTE);
    host.executes("/opt/more", "more").await;
    becomes(&cms, "more", StatusReason::ProviderError).await;
    assert_eq!(provider.asked().len(), 1);
    advance(&cms, 2 * MINUTE);
    becomes(&cms, "run", StatusReason::Unknown).await;
    engine.stop().await;
}

#[tokio::test]
async fn the_empty_file_is_never_asked_about() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    host.finds([Found::of("/opt/empty", Sha256::EMPTY, 0).executed()]).await;
    host.executes("/opt/run", "run").await;
    becomes(&cms, "run", StatusReason::Unknown).await;
    assert!(!provider.asked().concat().contains(&Sha256::EMPTY));
    engine.stop().await;
}

#[tokio::test]
async fn an_answer_that_grew_stale_while_there_was_no_provider_is_refreshed_by_the_next() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    provider.says("run", known(0));
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    host.executes("/opt/run", "run").await;
    becomes(&cms, "run", StatusReason::Known).await;
    engine.stop().await;

    let engine = Running::start(&cms, Arc::new(NotConfigured), 0);
    advance(&cms, 8 * 24 * HOUR);
    host.executes("/opt/new", "new").await;
    becomes(&cms, "new", StatusReason::NotConfigured).await;
    assert_eq!(cms.detail("run").await.lookup.last_error, None, "nobody waits for a refresh, so it does not fail either");
    engine.stop().await;

    provider.says("run", malicious(5, "Linux.Worm"));
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    becomes(&cms, "run", StatusReason::Malicious).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_provider_that_asks_to_come_back_at_once_is_not_asked_in_a_hot_loop() {
    let (cms, provider) = (TestCms::new().await, TestProvider::new());
    provider.fails(Failure::RateLimited { host: "ti.example".into(), retry_after: Some(std::time::Duration::ZERO) });
    let host = cms.host("web-1").await;
    let engine = Running::start(&cms, Arc::new(provider.clone()), 0);
    for number in 0..20 {
        let content = format!("run-{number}");
        host.executes("/opt/run", &content).await;
        becomes(&cms, &content, StatusReason::ProviderError).await;
    }
    assert_eq!(provider.asked().len(), 1, "the clock stands, so the wait is not over");
    engine.stop().await;
}
