//! What a person should see: executions nothing allows, threat intelligence turning, coverage that went.

use doorward_cms::incident::{Detail, Kind};
use doorward_cms::store::NewIncident;
use doorward_policy::{Class, Decision, Fit, PathBytes, StatusReason};
use doorward_proto::report::{
    ClosureEvent, ClosureNews, Coverage, Denial, Fate, LiveProcess, PROTECTION, Process, ReportBody, Turned, Uncovered, Unjudged,
};
use serde_json::json;

use crate::support::{Found, HOUR, NOON, TestCms, file, known, malicious, suspicious, unknown};

fn process(pid: u32) -> Process {
    Process { pid, start_ticks: 1, uid: Some(0), parent_pid: 1, parent_path: None, parent_sha256: None, container: None }
}

#[tokio::test]
async fn a_suspicious_file_turns_malicious_automatic_allow_or_not_and_the_incident_names_hosts_and_paths() {
    let cms = TestCms::new().await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    web.finds([Found::new("/opt/a", "a").executed().at(NOON + 5), Found::new("/srv/copy of a", "a")]).await;
    db.finds([Found::new("/opt/a", "a")]).await;
    cms.ti_says("a", known(1)).await;
    assert!(cms.policy_on("a").await.allowed_by_rule.is_some());
    cms.ti_says("a", malicious(5, "Linux.Ransomware.X")).await;
    assert_eq!(cms.policy_on("a").await.allowed_by_rule, None, "it went at once");
    assert!(cms.policy_on("a").await.threat.is_some());
    let incident = cms.open_incident(Kind::VerdictTurned).await;
    assert_eq!((incident.file, incident.host_id), (Some(file("a")), None));
    let Detail::Turn(turn) = incident.detail else { panic!("{incident:?}") };
    let (from, to) = (turn.from.unwrap(), turn.to.unwrap());
    assert_eq!((from.class, to.class, to.threat_score), (Class::Known, Class::Malicious, Some(10)));
    assert_eq!((turn.host_count, turn.allows_removed), (2, 1));
    let hosts: Vec<_> = turn.hosts.iter().map(|holder| (holder.host.as_str(), holder.paths.len(), holder.last_executed_at)).collect();
    assert_eq!(hosts, [("web-1", 2, Some(NOON + 5)), ("db-1", 1, None)]);
    assert!(turn.hosts[0].paths.contains(&PathBytes::new("/srv/copy of a")));
}

fn turned(content: &str, live: &[(u32, Fate)]) -> ReportBody {
    let live = live.iter().map(|(pid, fate)| LiveProcess { process: process(*pid), fate: *fate }).collect();
    ReportBody::Turned(Turned { file: file(content), paths: vec![PathBytes::new("/opt/a")], live, last_executed_at: Some(NOON) })
}

#[tokio::test]
async fn a_file_that_a_person_denied_while_it_ran_is_an_incident_whatever_ti_says_or_does_not_say() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([Found::new("/opt/a", "a")]).await;
    cms.decide("a", Decision::Denied).await;
    web.report([turned("a", &[(7, Fate::Killed)])]).await;
    let incident = cms.open_incident(Kind::VerdictTurned).await;
    let Detail::Turn(turn) = incident.detail else { panic!() };
    assert_eq!((incident.host_id, turn.from, turn.to), (None, None, None));
    assert_eq!(turn.hosts[0].killed_count, 1);
}

#[tokio::test]
async fn processes_a_host_ended_for_reasons_of_its_own_are_an_incident_of_that_host() {
    let cms = TestCms::new().await;
    let (web, evil) = (cms.host("web-1").await, cms.host("evil").await);
    web.finds([Found::new("/opt/a", "a")]).await;
    web.report([turned("a", &[(7, Fate::Ran)])]).await;
    evil.report([turned("a", &[(7, Fate::Killed)])]).await;
    assert!(cms.open_incidents().await.is_empty(), "nothing was ended by a host that has the file");
    web.report([turned("a", &[(7, Fate::Ran), (8, Fate::Killed)])]).await;
    web.report([turned("a", &[(9, Fate::Killed)])]).await;
    let incident = cms.open_incident(Kind::VerdictTurned).await;
    let Detail::Turn(turn) = incident.detail else { panic!() };
    assert_eq!((incident.host_id, incident.count, turn.hosts[0].killed_count), (Some(web.id), 2, 2));
}

#[tokio::test]
async fn a_host_that_still_runs_a_turned_file_is_named_with_its_processes() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    cms.ti_says("a", suspicious()).await;
    cms.ti_says("a", malicious(5, "X")).await;
    web.report([turned("a", &[(7, Fate::Killed), (8, Fate::Ran)])]).await;
    let Detail::Turn(turn) = cms.open_incident(Kind::VerdictTurned).await.detail else { panic!() };
    assert_eq!(turn.hosts.len(), 1);
    assert_eq!(
        turn.hosts[0].live.iter().map(|live| (live.process.pid, live.fate)).collect::<Vec<_>>(),
        [(7, Fate::Killed), (8, Fate::Ran)]
    );
    assert_eq!((turn.hosts[0].live_count, turn.hosts[0].killed_count), (2, 1));
    web.report([turned("a", &[(8, Fate::Ran), (9, Fate::Killed)])]).await;
    let Detail::Turn(turn) = cms.open_incident(Kind::VerdictTurned).await.detail else { panic!() };
    let told: Vec<_> = turn.hosts[0].live.iter().map(|live| (live.process.pid, live.fate)).collect();
    assert_eq!(told, [(8, Fate::Ran), (9, Fate::Killed), (7, Fate::Killed)], "what was ended stays");
    assert_eq!((turn.hosts[0].live_count, turn.hosts[0].killed_count), (3, 2));
    assert_eq!(turn.from.unwrap().class, Class::Suspicious, "what the incident said before stays");
}

fn unjudged(path: &str, process: Process, at: i64) -> ReportBody {
    let path = PathBytes::new(path);
    let reason = "file_too_large".to_owned();
    ReportBody::Unjudged(Unjudged { path, process, reason, fate: Fate::Ran, first_observed_at: at, last_observed_at: at, count: 2 })
}

#[tokio::test]
async fn executions_nobody_could_judge_are_one_incident_of_their_host_that_names_each_path_process_and_reason() {
    let cms = TestCms::new().await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    let gone = Process { uid: None, start_ticks: 0, ..process(9) };
    web.report([unjudged("/tmp/big", process(7), NOON), unjudged("/tmp/big", gone, NOON)]).await;
    web.report([unjudged("/tmp/big", process(8), NOON + 5), unjudged("/tmp/other", process(10), NOON)]).await;
    let incident = cms.open_incident(Kind::ExecutionUnjudged).await;
    assert_eq!((incident.file, incident.host.as_deref(), incident.count), (None, Some("web-1"), 2));
    let Detail::Unjudged { unjudged: told } = incident.detail else { panic!("{incident:?}") };
    let named: Vec<_> = told.iter().map(|it| (it.path.to_string(), it.process.pid, it.process.uid, it.reason.as_str(), it.count)).collect();
    let expected = [("/tmp/big", 7, Some(0), 4), ("/tmp/big", 9, None, 2), ("/tmp/other", 10, Some(0), 2)];
    let expected: Vec<_> =
        expected.iter().map(|(path, pid, uid, count)| ((*path).to_owned(), *pid, *uid, "file_too_large", *count)).collect();
    assert_eq!(named, expected);
    assert_eq!(told[0].last_observed_at, NOON + 5);
    let ReportBody::Unjudged(ended) = unjudged("/tmp/big", process(11), NOON) else { panic!() };
    web.report([ReportBody::Unjudged(Unjudged { fate: Fate::Killed, ..ended })]).await;
    let Detail::Unjudged { unjudged: told } = cms.open_incident(Kind::ExecutionUnjudged).await.detail else { panic!() };
    assert_eq!((told[3].process.pid, told[3].fate, told[3].count), (11, Fate::Killed, 2), "what was ended is named apart");
    for number in 0..100 {
        db.report([unjudged(&format!("/tmp/{number}"), process(7), NOON)]).await;
    }
    let incidents = cms.open_incidents().await;
    let flood = incidents.iter().find(|incident| incident.host.as_deref() == Some("db-1")).unwrap();
    let Detail::Unjudged { unjudged: told } = &flood.detail else { panic!("{flood:?}") };
    assert_eq!((flood.count, told.len()), (100, doorward_cms::incident::UNJUDGED_NAMED_MAX));
    assert_eq!(told[0].path, PathBytes::new("/tmp/0"), "what gave the alarm is not pushed out");
}

#[tokio::test]
async fn a_turn_for_the_better_and_a_repeated_answer_are_no_incidents() {
    let cms = TestCms::new().await;
    cms.host("web-1").await.finds([Found::new("/opt/a", "a")]).await;
    for answer in [malicious(5, "X"), malicious(5, "X"), suspicious(), unknown(), known(0), known(2)] {
        cms.ti_says("a", answer).await;
    }
    assert!(cms.open_incidents().await.is_empty());
    let history = cms.detail("a").await.reputation.history;
    let classes: Vec<_> = history.iter().map(|answer| answer.reputation.class).collect();
    assert_eq!(classes, [Class::Known, Class::Known, Class::Unknown, Class::Suspicious, Class::Malicious]);
}

#[tokio::test]
async fn running_what_nobody_knows_is_one_incident_that_counts() {
    let cms = TestCms::new().await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    web.executes("/opt/a", "a").await;
    web.executes("/opt/a", "a").await;
    db.executes("/opt/a", "a").await;
    let incidents = cms.open_incidents().await;
    let mut counts: Vec<_> = incidents.iter().map(|incident| (incident.host.clone().unwrap(), incident.count)).collect();
    counts.sort();
    assert_eq!(counts, [("db-1".to_owned(), 1), ("web-1".to_owned(), 2)]);
    assert!(incidents.iter().all(|incident| incident.kind == Kind::NewProcess));
    let Detail::Execution(execution) = &incidents[0].detail else { panic!() };
    assert_eq!((execution.path.to_string().as_str(), execution.reason), ("/opt/a", StatusReason::Pending));
    assert_eq!(execution.process.as_ref().unwrap().uid, Some(1000));
}

fn stopped(content: &str, fate: Fate) -> ReportBody {
    let observation = Found::new("/opt/a", content).executed().0;
    ReportBody::Denial(Denial { observation, row: 9, undecided: true, fate })
}

#[tokio::test]
async fn a_process_that_was_ended_is_an_incident_even_when_its_file_is_allowed_by_now() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([Found::new("/opt/a", "a")]).await;
    cms.decide("a", Decision::Allowed).await;
    web.report([stopped("a", Fate::Refused), stopped("a", Fate::Ran)]).await;
    assert!(cms.open_incidents().await.is_empty(), "nothing of what ran was ended");
    web.report([stopped("a", Fate::Killed)]).await;
    let incident = cms.open_incident(Kind::ProcessKilled).await;
    assert_eq!((incident.file, incident.host_id), (Some(file("a")), Some(web.id)));
    let Detail::Execution(execution) = incident.detail else { panic!() };
    assert_eq!((execution.fate, execution.process.unwrap().pid), (Fate::Killed, 4711));
    let fates: Vec<_> = cms.detail("a").await.executions.iter().map(|execution| execution.fate).collect();
    assert_eq!(fates, [Fate::Killed, Fate::Ran, Fate::Refused]);
    cms.decide("a", Decision::Undecided).await;
    cms.decide("a", Decision::Allowed).await;
    assert_eq!(cms.open_incidents().await.len(), 1, "no allow settles that somebody's process was ended");
}

#[tokio::test]
async fn what_became_of_an_execution_stands_in_its_incident() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.report([stopped("a", Fate::Killed), stopped("b", Fate::Refused)]).await;
    let told = cms.open_incidents().await.into_iter().map(|incident| {
        let Detail::Execution(execution) = incident.detail else { panic!() };
        (incident.file, execution.fate)
    });
    let mut told: Vec<_> = told.collect();
    told.sort_by_key(|(of, _)| *of != Some(file("a")));
    assert_eq!(told, [(Some(file("a")), Fate::Killed), (Some(file("b")), Fate::Refused)]);
    cms.ti_says("b", malicious(5, "X")).await;
    let Detail::Execution(execution) = cms.open_incident(Kind::ThreatExecuted).await.detail else { panic!() };
    assert_eq!(execution.fate, Fate::Refused, "the answer came later and does not make it run");
}

#[tokio::test]
async fn what_is_found_on_disk_is_no_incident() {
    let cms = TestCms::new().await;
    cms.host("web-1").await.finds([Found::new("/opt/a", "a")]).await;
    cms.ti_says("a", malicious(5, "X")).await;
    assert!(cms.open_incidents().await.is_empty());
    assert_eq!(cms.store.stats(cms.now()).await.unwrap().threat, 1);
}

#[tokio::test]
async fn a_program_that_replaced_another_is_called_modified() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([Found::new("/opt/a", "version 1")]).await;
    cms.clock.advance(HOUR);
    web.executes("/opt/a", "version 2").await;
    let incident = cms.open_incident(Kind::ProcessModified).await;
    let Detail::Execution(execution) = incident.detail else { panic!() };
    assert_eq!(execution.previous, Some(file("version 1")));
    web.finds([Found::new("/usr/bin/ls", "patched").of_package("coreutils", Fit::Modified).executed()]).await;
    let modified = cms.open_incidents().await.into_iter().filter(|incident| incident.kind == Kind::ProcessModified).count();
    assert_eq!(modified, 2, "so is one that its package does not list");
}

#[tokio::test]
async fn a_threat_that_ran_before_the_answer_came_is_an_incident_on_each_host_that_ran_it() {
    let cms = TestCms::new().await;
    let (web, db, idle) = (cms.host("web-1").await, cms.host("db-1").await, cms.host("idle").await);
    web.executes("/opt/a", "a").await;
    db.executes("/tmp/a", "a").await;
    idle.finds([Found::new("/opt/a", "a")]).await;
    cms.ti_says("a", malicious(5, "Linux.Trojan.X")).await;
    let incidents = cms.open_incidents().await;
    let mut threats: Vec<_> = incidents.iter().filter(|incident| incident.kind == Kind::ThreatExecuted).collect();
    threats.sort_by_key(|incident| incident.host.clone());
    assert_eq!(threats.iter().map(|incident| incident.host.as_deref().unwrap()).collect::<Vec<_>>(), ["db-1", "web-1"]);
    let Detail::Execution(execution) = &threats[0].detail else { panic!() };
    assert_eq!((execution.path.to_string().as_str(), execution.threat_score), ("/tmp/a", Some(10)));
    web.executes("/opt/a", "a").await;
    let again = cms.open_incidents().await.into_iter().find(|i| i.kind == Kind::ThreatExecuted && i.host_id == Some(web.id)).unwrap();
    assert_eq!(again.count, 2);
}

#[tokio::test]
async fn an_execution_that_is_allowed_afterwards_settles_its_incident() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "by a rule").await;
    web.executes("/opt/b", "by a person").await;
    web.executes("/opt/c", "by nobody").await;
    cms.ti_says_all(&[("by a rule", known(0)), ("by a person", unknown()), ("by nobody", unknown())]).await;
    cms.decide("by a person", Decision::Allowed).await;
    let open: Vec<_> = cms.open_incidents().await.into_iter().map(|incident| incident.file.unwrap()).collect();
    assert_eq!(open, [file("by nobody")]);
    web.executes("/opt/a", "by a rule").await;
    assert_eq!(cms.open_incidents().await.len(), 1, "and running it again is none");
}

#[tokio::test]
async fn with_the_rule_for_unknown_files_their_executions_are_settled_on_their_host() {
    let cms = TestCms::new().await;
    cms.with_settings(json!({ "allow_unknown": "reference_scan_and_exec" })).await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    web.executes("/opt/a", "a").await;
    db.finds([Found::new("/home/u/a", "a").executed().in_user_writable_folder()]).await;
    cms.ti_says("a", unknown()).await;
    let open: Vec<_> = cms.open_incidents().await.into_iter().map(|incident| incident.host.unwrap()).collect();
    assert_eq!(open, ["db-1"]);
}

#[tokio::test]
async fn an_acknowledged_incident_is_history_and_the_next_one_is_new() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    let first = cms.open_incident(Kind::NewProcess).await;
    let closed = cms.store.acknowledge_incident(first.id, "ada", Some("known to us"), cms.now()).await.unwrap().unwrap();
    assert_eq!((closed.open, closed.closed_by.as_deref(), closed.comment.as_deref()), (false, Some("ada"), Some("known to us")));
    assert!(cms.open_incidents().await.is_empty());
    let again = cms.store.acknowledge_incident(first.id, "bob", None, cms.now()).await.unwrap().unwrap();
    assert_eq!(again.closed_by.as_deref(), Some("ada"), "the first one did");
    assert_eq!(cms.store.acknowledge_incident(uuid::Uuid::nil(), "ada", None, cms.now()).await.unwrap(), None);
    web.executes("/opt/a", "a").await;
    assert_ne!(cms.open_incident(Kind::NewProcess).await.id, first.id);
}

#[tokio::test]
async fn coverage_that_goes_is_an_incident_and_coverage_that_never_was_is_none() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let coverage = |covered: &[&str], uncovered: &[&str]| {
        ReportBody::Coverage(Coverage {
            covered: covered.iter().map(|path| PathBytes::new(*path)).collect(),
            uncovered: uncovered
                .iter()
                .map(|path| Uncovered { mount_point: PathBytes::new(*path), filesystem: "ext4".into(), reason: "no mark".into() })
                .collect(),
            user_namespaces: false,
        })
    };
    web.report([coverage(&["/", "/data"], &["/mnt/nfs"])]).await;
    assert!(cms.open_incidents().await.is_empty());
    web.report([coverage(&["/"], &["/mnt/nfs", "/data"])]).await;
    let Detail::Coverage { uncovered } = cms.open_incident(Kind::CoverageLost).await.detail else { panic!() };
    assert_eq!(uncovered.iter().map(|lost| lost.mount_point.to_string()).collect::<Vec<_>>(), ["/data"]);
}

#[tokio::test]
async fn a_silent_host_is_noticed_and_its_incident_ends_when_it_is_back() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    cms.store.host_disconnected(web.id, cms.now()).await.unwrap();
    assert!(cms.store.silent_hosts(cms.now()).await.unwrap().is_empty());
    cms.clock.advance(HOUR);
    assert_eq!(cms.store.silent_hosts(cms.now()).await.unwrap(), [web.id]);
    let detail = Detail::Silence { last_seen_at: Some(NOON) };
    let silent = NewIncident { kind: Kind::AgentSilent, file: None, host: Some(web.id), detail };
    cms.store.raise_incident(&silent, cms.now()).await.unwrap();
    assert_eq!(cms.open_incident(Kind::AgentSilent).await.detail, silent.detail);
    cms.store.close_incident(Kind::AgentSilent, None, Some(web.id), cms.now()).await.unwrap();
    assert!(cms.open_incidents().await.is_empty());
}

fn overridden(path: &str, event: ClosureEvent, source: Option<&str>) -> ReportBody {
    let source = source.map(str::to_owned);
    ReportBody::Closure(ClosureNews { path: PathBytes::new(path), file: file(path), event, source, observed_at: NOON })
}

#[tokio::test]
async fn denies_a_host_overrides_are_one_incident_that_names_each_entry_once_and_a_changed_closure_is_one_for_each_file() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let shell = overridden("/usr/bin/dash", ClosureEvent::FileDenyOverridden, None);
    web.report([shell.clone(), overridden("/usr/bin/gpgv", ClosureEvent::PackageDenyOverridden, Some("gpgv"))]).await;
    web.report([shell, overridden("/usr/bin/gpg-other", ClosureEvent::PackageDenyOverridden, Some("gpgv"))]).await;
    let incident = cms.open_incident(Kind::DenyOverridden).await;
    assert_eq!(incident.host.as_deref(), Some("web-1"));
    let Detail::Overridden { entries } = incident.detail else { panic!("{incident:?}") };
    let named: Vec<_> = entries.iter().map(|entry| (entry.path.to_string(), entry.source.clone())).collect();
    assert_eq!(named, [("/usr/bin/dash".to_owned(), None), ("/usr/bin/gpgv".to_owned(), Some("gpgv".to_owned()))]);
    web.report([overridden("/usr/sbin/sshd", ClosureEvent::Changed, None)]).await;
    let changed = cms.open_incident(Kind::ClosureChanged).await;
    assert_eq!(changed.file, Some(file("/usr/sbin/sshd")));
}

#[tokio::test]
async fn a_host_that_should_protect_and_cannot_is_an_incident_once() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let unheld = || {
        let protection = Uncovered {
            mount_point: PathBytes::new(PROTECTION),
            filesystem: String::new(),
            reason: "executions are only watched, not held: no permission".into(),
        };
        ReportBody::Coverage(Coverage { covered: vec![PathBytes::new(*b"/")], uncovered: vec![protection], user_namespaces: false })
    };
    web.report([unheld()]).await;
    web.report([unheld()]).await;
    let incident = cms.open_incident(Kind::CoverageLost).await;
    assert_eq!(incident.count, 1);
    let Detail::Coverage { uncovered } = incident.detail else { panic!("{incident:?}") };
    assert!(uncovered[0].reason.contains("not held"), "{uncovered:?}");
}
