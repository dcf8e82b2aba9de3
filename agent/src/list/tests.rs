//! The lists' promises: what is believed, what is kept, and how it turns into judgements.

use std::fs;

use doorward_policy::{
    Answer, Class, Fit, Level, PackageEvidence, PackageManager, PathBytes, Row, Scope, SourceKey, Status, StatusReason, explain, status,
    threat_score,
};
use doorward_proto::snapshot::{PolicySigner, Position, Record, RecordKind, RecordScope, Refusal};
use doorward_proto::uplink::VerdictDecision;

use super::file::files_that_differ;
use super::*;

const OUTSIDE: ClosureClaim = ClosureClaim::Outside;

struct TestCms {
    signer: PolicySigner,
    profile: ProfileId,
}

impl TestCms {
    fn new() -> Self {
        let signer = PolicySigner::from_pem(&PolicySigner::generate_pem().unwrap()).unwrap();
        Self { signer, profile: ProfileId::from_slice(&[3; 16]).unwrap() }
    }

    fn trustee(&self) -> Trustee {
        Trustee { verifier: self.signer.verifier(), profile: self.profile }
    }

    fn publish(&self, revision: u64, records: impl IntoIterator<Item = Record>) -> Policy {
        let position = Position { epoch: 1, revision };
        Policy::publish(self.profile, position, TrustRules::default(), records, &self.signer).unwrap()
    }
}

fn file(byte: u8) -> Sha256 {
    Sha256::new([byte; 32])
}

fn record(byte: u8, kind: RecordKind) -> Record {
    Record::file(&file(byte), kind, RecordScope::Profile)
}

fn bash() -> Evidence {
    packaged("bash")
}

fn nmap() -> Evidence {
    packaged("nmap")
}

fn packaged(name: &str) -> Evidence {
    let package = PackageEvidence {
        manager: PackageManager::Dpkg,
        name: name.into(),
        version: "5.2".into(),
        origin: "Debian".into(),
        level: Level::Database,
        fit: Fit::Match,
    };
    Evidence { package: Some(package), publisher: None }
}

fn verdict(byte: u8, status: Status, reason: &str, decision: VerdictDecision, change_id: u64) -> Verdict {
    let reason = reason.to_owned();
    Verdict { file: file(byte), status, reason, decision, threat_score: None, threat_name: None, is_final: true, change_id }
}

fn row(lists: &Lists, byte: u8) -> Row {
    judge(&lists.rules(), &lists.subject(&file(byte), &Evidence::default(), OUTSIDE)).row
}

#[test]
fn a_policy_is_in_force_at_once_and_after_a_restart() {
    let (folder, cms) = (tempfile::tempdir().unwrap(), TestCms::new());
    let (lists, problems) = Lists::open(folder.path(), cms.trustee());
    assert!(problems.is_empty());
    let mut seen = lists.policy_changes();
    assert_eq!(row(&lists, 1), Row::Nothing);

    lists.take_policy(cms.publish(1, [record(1, RecordKind::FileDeniedByPerson), record(2, RecordKind::FileAllowedByPerson)])).unwrap();
    assert_eq!((row(&lists, 1), row(&lists, 2), row(&lists, 3)), (Row::DeniedByPerson, Row::AllowedByPerson, Row::Nothing));
    assert!(seen.has_changed().unwrap());
    assert_eq!(seen.borrow_and_update().head().revision, 1);
    drop(lists);
    let (lists, problems) = Lists::open(folder.path(), cms.trustee());
    assert!(problems.is_empty());
    assert_eq!((row(&lists, 1), lists.policy().head().revision), (Row::DeniedByPerson, 1));
}

#[test]
fn a_policy_file_that_is_cut_changed_or_anothers_leaves_the_empty_policy_and_says_why() {
    let (folder, cms, other) = (tempfile::tempdir().unwrap(), TestCms::new(), TestCms::new());
    let path = folder.path().join("policy.bin");
    let good = cms.publish(1, [record(1, RecordKind::FileDeniedByPerson), record(2, RecordKind::FileDeniedByPerson)]).encode();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut elsewhere = TestCms { signer: cms.signer, profile: ProfileId::from_slice(&[9; 16]).unwrap() };
    let others_profile = elsewhere.publish(1, []).encode();
    elsewhere.profile = other.profile;
    let cms = elsewhere;
    for (name, bytes) in [
        ("cut", good[..good.len() - 40].to_vec()),
        ("changed", flipped),
        ("signed by another", other.publish(1, []).encode()),
        ("for another profile", others_profile),
        ("empty", Vec::new()),
        ("not a policy", b"#!/bin/sh\n".to_vec()),
    ] {
        fs::write(&path, bytes).unwrap();
        let (lists, problems) = Lists::open(folder.path(), cms.trustee());
        assert!(matches!(problems.as_slice(), [ListProblem::PolicyRefused { .. }]), "{name}: {problems:?}");
        assert_eq!((lists.policy().head().position(), row(&lists, 1)), (Position::default(), Row::Nothing), "{name}");
    }
    fs::write(&path, &good[..good.len() - 40]).unwrap();
    let (_, problems) = Lists::open(folder.path(), cms.trustee());
    assert!(matches!(problems[..], [ListProblem::PolicyRefused { refusal: Refusal::Short { expected: 2, got: 1 }, .. }]));
}

#[test]
fn a_policy_that_cannot_be_written_is_in_force_all_the_same() {
    let (folder, cms) = (tempfile::tempdir().unwrap(), TestCms::new());
    let (lists, _) = Lists::open(&folder.path().join("policy"), cms.trustee());
    fs::remove_dir_all(folder.path().join("policy")).unwrap();
    let problem = lists.take_policy(cms.publish(1, [record(1, RecordKind::FileDeniedByPerson)])).unwrap_err();
    assert_eq!(problem.reason(), "list_file_unusable");
    assert_eq!(row(&lists, 1), Row::DeniedByPerson);
}

#[test]
fn settings_only_rise_and_survive_a_restart() {
    let (folder, cms) = (tempfile::tempdir().unwrap(), TestCms::new());
    let (lists, _) = Lists::open(folder.path(), cms.trustee());
    let settings = |revision, path: &[u8]| HostSettings {
        revision,
        exclusions: vec![PathBytes::new(path)],
        kill_on_bad_verdict: true,
        trusted_mounts: vec![PathBytes::new(path)],
        interpreters: vec!["sh:.sh:-c".parse().unwrap()],
        open_exclusions: vec![PathBytes::new(path)],
        ..HostSettings::default()
    };
    let mut seen = lists.settings_changes();
    lists.take_settings(settings(4, b"/srv/\xff\n")).unwrap().unwrap();
    assert!(seen.has_changed().unwrap());
    assert_eq!(seen.borrow_and_update().revision, 4);
    for revision in [4, 3, 0] {
        assert_eq!(lists.take_settings(settings(revision, b"/")).unwrap_err(), SettingsRefusal { current: 4, offered: revision });
    }
    assert!(!seen.has_changed().unwrap());
    let (lists, problems) = Lists::open(folder.path(), cms.trustee());
    assert!(problems.is_empty());
    assert_eq!(*lists.settings(), settings(4, b"/srv/\xff\n"));
    fs::write(folder.path().join("settings.json"), "{\"version\":1,\"settings\":{\"mode\":\"on\"}}").unwrap();
    let (lists, problems) = Lists::open(folder.path(), cms.trustee());
    assert!(matches!(problems.as_slice(), [ListProblem::SettingsMalformed { .. }]));
    assert_eq!(lists.settings().revision, 0);
}

#[test]
fn a_verdict_allows_on_this_host_alone_and_a_threat_beats_that() {
    let (_folder, lists) = (tempfile::tempdir().unwrap(), Lists::unenrolled());
    lists.take_verdicts(&[
        verdict(1, Status::Unverified, "unknown", VerdictDecision::Allow, 1),
        verdict(2, Status::Threat, "malicious", VerdictDecision::Undecided, 1),
        verdict(3, Status::Threat, "suspicious", VerdictDecision::Allow, 1),
        verdict(4, Status::Threat, "a reason of tomorrow", VerdictDecision::Undecided, 1),
        verdict(5, Status::Threat, "denied_by_person", VerdictDecision::Deny, 1),
        verdict(6, Status::Unverified, "unknown", VerdictDecision::Undecided, 1),
    ]);
    let rows: Vec<_> = (1..=6).map(|byte| row(&lists, byte)).collect();
    assert_eq!(rows, [Row::AllowedByRule, Row::Threat, Row::Threat, Row::Threat, Row::DeniedByPerson, Row::Nothing]);
    let subject = lists.subject(&file(1), &Evidence::default(), OUTSIDE);
    assert_eq!(subject.allowed_by_rule, Some(Scope::Host));
    assert_eq!(lists.verdict(&file(6)), None, "it changes no judgement");

    lists.take_verdicts(&[verdict(2, Status::Safe, "known", VerdictDecision::Undecided, 3)]);
    lists.take_verdicts(&[
        verdict(2, Status::Threat, "malicious", VerdictDecision::Undecided, 2),
        verdict(1, Status::Unverified, "unknown", VerdictDecision::Undecided, 2),
    ]);
    assert_eq!(row(&lists, 1), Row::Nothing, "the allow was withdrawn");
}

#[test]
fn a_threat_in_the_policy_takes_its_name_from_the_verdict() {
    let (folder, cms) = (tempfile::tempdir().unwrap(), TestCms::new());
    let (lists, _) = Lists::open(folder.path(), cms.trustee());
    lists.take_policy(cms.publish(1, [Record::threat(&file(1), true, Some(4), RecordScope::Global)])).unwrap();
    let threat = Verdict {
        threat_score: Some(6),
        threat_name: Some("Linux.Trojan.Mirai".into()),
        ..verdict(1, Status::Threat, "suspicious", VerdictDecision::Undecided, 1)
    };
    lists.take_verdicts(&[threat]);
    let answer = lists.subject(&file(1), &Evidence::default(), OUTSIDE).facts.answer;
    let reputation = answer.reputation().unwrap();
    assert_eq!((reputation.class, reputation.threat_name.as_deref()), (Class::Malicious, Some("Linux.Trojan.Mirai")));
    assert_eq!(threat_score(&answer), Some(9));
}

#[test]
fn every_reason_a_server_gives_is_the_reason_this_host_shows() {
    use StatusReason::*;
    let lists = Lists::unenrolled();
    let reasons = [
        DeniedByPerson,
        Malicious,
        Suspicious,
        Known,
        KnownUntrusted,
        KnownNoTrustFactor,
        Unknown,
        NotAsked,
        NotAskedKind,
        Pending,
        NotConfigured,
        ProviderError,
        OverBudget,
    ];
    for reason in reasons {
        let word = serde_json::to_value(reason).unwrap();
        let told = verdict(1, reason.status(), word.as_str().unwrap(), VerdictDecision::Undecided, 1);
        let subject = lists.subject_with(&file(1), &Evidence::default(), OUTSIDE, Some(&told));
        assert_eq!(status(&lists.rules(), &subject.facts).reason, reason);
        assert_ne!(explain(&lists.rules(), &subject).judgement.verdict, Judged::Allow, "no word of a server alone allows");
    }
}

#[test]
fn sources_and_closure_come_from_lists_and_evidence() {
    let (folder, cms) = (tempfile::tempdir().unwrap(), TestCms::new());
    let (lists, _) = Lists::open(folder.path(), cms.trustee());
    let judged = |evidence: &Evidence, claim| judge(&lists.rules(), &lists.subject(&file(1), evidence, claim)).row;
    assert_eq!(judged(&nmap(), OUTSIDE), Row::Package);
    assert!(lists.settles(&file(1), &nmap(), OUTSIDE));
    assert!(!lists.settles(&file(1), &Evidence::default(), OUTSIDE));

    let denied = Record::source(&SourceKey::package(PackageManager::Dpkg, "nmap"), RecordKind::PackageDenied, RecordScope::Global);
    lists.take_policy(cms.publish(1, [denied, record(1, RecordKind::FileDeniedByPerson)])).unwrap();
    assert_eq!(judged(&nmap(), OUTSIDE), Row::DeniedByPerson);
    assert_eq!(judged(&nmap(), ClosureClaim::Member), Row::Closure);
    assert_eq!(judged(&Evidence::default(), ClosureClaim::Member), Row::DeniedByPerson, "a claim alone proves nothing");
    assert_eq!(judged(&nmap(), ClosureClaim::Boot), Row::Closure, "a list alone speaks against it");
    assert_eq!(judged(&Evidence::default(), ClosureClaim::Boot), Row::DeniedByPerson);
    assert_eq!(judged(&bash(), OUTSIDE), Row::Closure, "no host can do without files of this package");
    lists.take_policy(cms.publish(2, [denied, record(1, RecordKind::ClosureFile)])).unwrap();
    assert_eq!(judged(&nmap(), OUTSIDE), Row::PackageNotAllowed);
    assert_eq!(judged(&Evidence::default(), ClosureClaim::Member), Row::Closure);
    assert_eq!(judged(&Evidence::default(), OUTSIDE), Row::Nothing);
}

#[test]
fn changes_name_each_key_once_and_tell_a_turn_for_the_worse() {
    let cms = TestCms::new();
    let bash = SourceKey::package(PackageManager::Dpkg, "bash");
    let source = |kind| Record::source(&bash, kind, RecordScope::Profile);
    let old = cms.publish(
        1,
        [
            record(1, RecordKind::FileAllowedByPerson),
            record(2, RecordKind::FileAllowedByRule),
            record(3, RecordKind::FileDeniedByPerson),
            record(4, RecordKind::FileAllowedByRule),
            source(RecordKind::PackageAllowed),
        ],
    );
    let new = cms.publish(
        2,
        [
            record(1, RecordKind::FileAllowedByPerson),
            record(2, RecordKind::FileAllowedByRule),
            Record::threat(&file(2), false, None, RecordScope::Global),
            record(3, RecordKind::FileDeniedByPerson),
            Record::threat(&file(3), false, None, RecordScope::Global),
            Record::threat(&file(5), true, Some(5), RecordScope::Global),
            source(RecordKind::PackageDenied),
        ],
    );
    let mut seen = Vec::new();
    changes(&old, &new, |change| seen.push(change));
    let expected = [(2, true), (3, false), (4, false), (5, true)];
    let mut expected: Vec<_> = expected.map(|(byte, turned_against)| Change::File { file: file(byte), turned_against }).into();
    let key = doorward_proto::snapshot::source_record_key(&bash);
    expected.push(Change::Source { key, turned_against: true });
    let order = |change: &Change| match change {
        Change::File { file, .. } => *file.as_bytes(),
        Change::Source { key, .. } => *key,
    };
    expected.sort_by_key(order);
    assert_eq!(seen, expected);
    let mut nothing = 0;
    changes(&new, &new, |_| nothing += 1);
    assert_eq!(nothing, 0);
}

#[test]
fn an_answer_a_verdict_does_not_give_is_no_answer() {
    let lists = Lists::unenrolled();
    let told = verdict(1, Status::Safe, "package", VerdictDecision::Undecided, 1);
    let subject = lists.subject_with(&file(1), &Evidence::default(), OUTSIDE, Some(&told));
    assert_eq!(subject.facts.answer, Answer::None(doorward_policy::NoAnswer::NotAsked));
}

#[test]
fn a_verdict_turns_its_own_file_alone_and_only_when_it_changes_a_judgement() {
    let lists = Lists::unenrolled();
    let stamps = || (lists.stamp(&file(1)), lists.stamp(&file(2)));
    let before = stamps();
    lists.take_verdicts([&verdict(1, Status::Unverified, "not_found", VerdictDecision::Undecided, 1)]);
    assert_eq!((stamps(), lists.turns()), (before, 0), "nothing is known of it, as before");
    lists.take_verdicts([&verdict(1, Status::Safe, "allowed", VerdictDecision::Allow, 2)]);
    let allowed = stamps();
    assert!(allowed.0 != before.0 && allowed.1 == before.1 && !lists.holds(before.0));
    lists.take_verdicts([&verdict(1, Status::Unverified, "not_found", VerdictDecision::Undecided, 3)]);
    assert!(!lists.holds(allowed.0) && lists.holds(allowed.1), "an allow that was taken back");
    assert_eq!(lists.generation(), 0);
}

#[test]
fn a_policy_turns_the_files_it_says_something_else_of_and_everything_when_its_rules_change() {
    let (cms, folder) = (TestCms::new(), tempfile::tempdir().unwrap());
    let (lists, _) = Lists::open(folder.path(), cms.trustee());
    let allow = |byte| record(byte, RecordKind::FileAllowedByPerson);
    lists.take_policy(cms.publish(1, [allow(1), allow(2)])).unwrap();
    let generation = lists.generation();
    let (one, two) = (lists.stamp(&file(1)), lists.stamp(&file(2)));
    lists.take_policy(cms.publish(2, [record(1, RecordKind::FileDeniedByPerson), allow(2)])).unwrap();
    assert!(!lists.holds(one) && lists.holds(two) && lists.generation() == generation);
    let rules = TrustRules { package_level: Level::Signed, ..TrustRules::default() };
    let other = Policy::publish(cms.profile, Position { epoch: 1, revision: 3 }, rules, [allow(2)], &cms.signer).unwrap();
    lists.take_policy(other).unwrap();
    assert!(lists.generation() > generation);
}

#[test]
fn a_long_list_of_files_that_were_never_met_leaves_what_is_known_as_it_is() {
    let (cms, folder) = (TestCms::new(), tempfile::tempdir().unwrap());
    let (lists, _) = Lists::open(folder.path(), cms.trustee());
    let digest = |number: u32| Sha256::new(std::array::from_fn(|at| number.wrapping_mul(2_654_435_761).to_be_bytes()[at % 4]));
    let many = |count| (0..count).map(move |number| Record::file(&digest(number), RecordKind::FileDeniedByPerson, RecordScope::Profile));
    let (generation, known) = (lists.generation(), lists.stamp(&file(200)));
    lists.take_policy(cms.publish(1, many(5_000))).unwrap();
    assert!(lists.generation() == generation && lists.holds(known));
    let met = lists.stamp(&digest(7));
    lists.take_policy(cms.publish(2, many(7))).unwrap();
    assert!(lists.generation() == generation && !lists.holds(met), "one of the many was");
    let (old, new) = (cms.publish(3, many(0)), cms.publish(4, many(6)));
    assert!(files_that_differ(&old, &new, 6).is_some() && files_that_differ(&old, &new, 5).is_none(), "more than are looked at");
}
