//! Enums and oneofs: what this program does not know is refused where it stands, or undecided; never an allow.

use doorward_policy::{PackageEvidence, PublisherEvidence, TrustRules};
use doorward_proto::convert::Fault;
use doorward_proto::report::{ClosureNews, Denial, FileFacts, LiveProcess, Observation, Report, Unjudged};
use doorward_proto::snapshot::Part;
use doorward_proto::uplink::{AgentMessage, CmsMessage, Command, HostSettings, ScanProgress, Verdict, VerdictDecision};
use doorward_proto::{ConvertError, v1};

use crate::sample;

/// Zero is "unspecified" in every enum; the others come from a later version, or from nowhere.
const UNKNOWN: [i32; 4] = [0, 99, -1, i32::MIN];

fn settings() -> v1::HostSettings {
    HostSettings::default().into()
}

#[test]
fn unknown_members_are_refused_by_field() {
    type Convert = fn(i32) -> Result<(), ConvertError>;
    let table: [(&str, Convert); 17] = [
        ("FileFacts.kind", |kind| FileFacts::try_from(v1::FileFacts { kind, ..sample::observation().file.into() }).map(drop)),
        ("Observation.use", |r#use| Observation::try_from(v1::Observation { r#use, ..sample::observation().into() }).map(drop)),
        ("PackageEvidence.manager", |manager| {
            PackageEvidence::try_from(v1::PackageEvidence { manager, ..sample::package().into() }).map(drop)
        }),
        ("PackageEvidence.level", |level| PackageEvidence::try_from(v1::PackageEvidence { level, ..sample::package().into() }).map(drop)),
        ("PackageEvidence.fit", |fit| PackageEvidence::try_from(v1::PackageEvidence { fit, ..sample::package().into() }).map(drop)),
        ("PublisherEvidence.signing", |signing| {
            PublisherEvidence::try_from(v1::PublisherEvidence { signing, ..sample::publisher().into() }).map(drop)
        }),
        ("PublisherEvidence.flaw", |flaw| {
            PublisherEvidence::try_from(v1::PublisherEvidence { flaw: Some(flaw), ..sample::publisher().into() }).map(drop)
        }),
        ("Denial.fate", |fate| Denial::try_from(v1::Denial { fate, ..sample::denial().into() }).map(drop)),
        ("Unjudged.fate", |fate| Unjudged::try_from(v1::Unjudged { fate, ..sample::unjudged().into() }).map(drop)),
        ("ClosureNews.event", |event| ClosureNews::try_from(v1::ClosureNews { event, ..sample::closure().into() }).map(drop)),
        ("LiveProcess.fate", |fate| LiveProcess::try_from(v1::LiveProcess { fate, ..sample::live().into() }).map(drop)),
        ("Verdict.status", |status| Verdict::try_from(v1::Verdict { status, ..sample::verdict().into() }).map(drop)),
        ("HostSettings.mode", |mode| HostSettings::try_from(v1::HostSettings { mode, ..settings() }).map(drop)),
        ("HostSettings.coverage", |coverage| HostSettings::try_from(v1::HostSettings { coverage, ..settings() }).map(drop)),
        ("HostSettings.unverified_action", |unverified_action| {
            HostSettings::try_from(v1::HostSettings { unverified_action, ..settings() }).map(drop)
        }),
        ("TrustRules.package_level", |package_level| {
            TrustRules::try_from(v1::TrustRules { package_level, allow_new_packages: true, allow_new_publishers: true }).map(drop)
        }),
        ("ScanProgress.state", |state| {
            ScanProgress::try_from(v1::ScanProgress { scan_id: sample::blob(16), state, ..Default::default() }).map(drop)
        }),
    ];
    for (field, convert) in table {
        for raw in UNKNOWN {
            assert_eq!(convert(raw), Err(ConvertError { field, fault: Fault::Unknown(raw.into()) }));
        }
        assert_eq!(convert(1), Ok(()), "{field}: a known member is taken");
    }
}

#[test]
fn an_unknown_decision_is_undecided_and_keeps_its_verdict() {
    for decision in UNKNOWN {
        let verdict = Verdict::try_from(v1::Verdict { decision, ..sample::verdict().into() }).unwrap();
        assert_eq!(verdict, Verdict { decision: VerdictDecision::Undecided, ..sample::verdict() });
    }
}

#[test]
fn only_the_word_allow_allows() {
    for raw in -3..100 {
        let verdict = Verdict::try_from(v1::Verdict { decision: raw, ..sample::verdict().into() }).unwrap();
        let allows = verdict.decision == VerdictDecision::Allow;
        assert_eq!(allows, raw == i32::from(v1::VerdictDecision::Allow), "{raw}");
    }
}

#[test]
fn an_opener_says_something_about_loads_only() {
    for usage in [v1::Use::Execute, v1::Use::Scan] {
        let spoilt = v1::Observation { r#use: usage.into(), opener_sha256: sample::blob(32), ..sample::observation().into() };
        assert_eq!(Observation::try_from(spoilt).unwrap_err().field, "Observation.opener_sha256");
    }
}

#[test]
fn a_message_without_a_known_body_is_refused() {
    let missing = |field| ConvertError { field, fault: Fault::Missing };
    assert_eq!(AgentMessage::try_from(v1::AgentMessage::default()), Err(missing("AgentMessage.body")));
    assert_eq!(CmsMessage::try_from(v1::CmsMessage::default()), Err(missing("CmsMessage.body")));
    assert_eq!(Report::try_from(v1::Report::default()), Err(missing("Report.body")));
    assert_eq!(Part::try_from(v1::PolicySnapshot::default()), Err(missing("PolicySnapshot.part")));
    let command = v1::Command { id: sample::blob(16), body: None };
    assert_eq!(Command::try_from(command), Err(missing("Command.body")));
    let observation = v1::Observation { file: None, ..sample::observation().into() };
    assert_eq!(Observation::try_from(observation), Err(missing("Observation.file")));
}

#[test]
fn a_refusal_reads_as_a_sentence() {
    let refusal = Verdict::try_from(v1::Verdict { status: 77, ..sample::verdict().into() }).unwrap_err();
    assert_eq!(refusal.to_string(), "Verdict.status: unknown value 77");
}

#[test]
fn no_debug_of_an_enrollment_shows_its_secret() {
    let message = v1::EnrollRequest { token_secret: "hunter2".into(), ..Default::default() };
    assert!(!format!("{message:?}").contains("hunter2"));
    let request = doorward_proto::enrollment::EnrollRequest {
        token_secret: "hunter2".into(),
        certificate_request: sample::blob(3),
        facts: sample::facts(),
    };
    assert!(!format!("{request:?}").contains("hunter2"));
}
