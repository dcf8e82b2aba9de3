//! Small valid values that tests start from and then spoil.

use bytes::Bytes;
use doorward_policy::{
    Evidence, FileKind, Fit, HostId, Level, PackageEvidence, PackageManager, PathBytes, ProfileId, PublisherEvidence, Sha256, Signing, Use,
    Validity,
};
use doorward_proto::enrollment::HostFacts;
use doorward_proto::report::{
    ClosureEvent, ClosureNews, Denial, Fate, FileFacts, LiveProcess, Observation, Process, Report, ReportBody, Unjudged,
};
use doorward_proto::uplink::{Hello, Verdict, VerdictDecision};
use uuid::Uuid;

/// 2026-01-01T00:00:00Z.
pub(crate) const NEW_YEAR: i64 = 1_767_225_600_000_000;
pub(crate) const DAY: i64 = 86_400_000_000;

pub(crate) fn profile(number: u8) -> ProfileId {
    ProfileId::new(Uuid::from_bytes([number; 16]))
}

pub(crate) fn host(number: u8) -> HostId {
    HostId::new(Uuid::from_bytes([number; 16]))
}

pub(crate) fn file(number: u8) -> Sha256 {
    Sha256::new([number; 32])
}

pub(crate) fn package() -> PackageEvidence {
    PackageEvidence {
        manager: PackageManager::Dpkg,
        name: "coreutils".into(),
        version: "9.1-1".into(),
        origin: String::new(),
        level: Level::Database,
        fit: Fit::Match,
    }
}

pub(crate) fn publisher() -> PublisherEvidence {
    PublisherEvidence {
        signing: Signing::Authenticode,
        name: "Example Ltd".into(),
        fingerprint: file(9),
        valid: true,
        chain_trusted: true,
        public_authority: false,
        flaw: None,
        signed_at: Some(1),
        validity: Some(Validity { from: 0, until: 2 }),
        chain: vec!["Example CA".into()],
    }
}

pub(crate) fn process() -> Process {
    Process { pid: 7, start_ticks: 70, uid: Some(1000), parent_pid: 1, parent_path: None, parent_sha256: None, container: None }
}

pub(crate) fn live() -> LiveProcess {
    LiveProcess { process: process(), fate: Fate::Killed }
}

pub(crate) fn observation() -> Observation {
    Observation {
        file: FileFacts {
            sha256: file(1),
            sha1: None,
            md5: None,
            blake3: None,
            size: 12,
            kind: FileKind::Script,
            mode: 0o100_755,
            uid: 0,
            gid: 0,
            modified_at: -1,
            changed_at: NEW_YEAR,
        },
        path: PathBytes::new(*b"/opt/x"),
        usage: Use::Execute,
        scan: None,
        first_observed_at: NEW_YEAR,
        last_observed_at: NEW_YEAR,
        count: 1,
        evidence: Evidence::default(),
        process: None,
        user_writable_folder: false,
        layer: None,
    }
}

pub(crate) fn denial() -> Denial {
    Denial { observation: observation(), row: 2, undecided: false, fate: Fate::Refused }
}

pub(crate) fn unjudged() -> Unjudged {
    Unjudged {
        path: PathBytes::new(*b"/opt/x"),
        process: process(),
        reason: "file_too_large".into(),
        fate: Fate::Ran,
        first_observed_at: NEW_YEAR,
        last_observed_at: NEW_YEAR,
        count: 1,
    }
}

pub(crate) fn closure() -> ClosureNews {
    ClosureNews {
        path: PathBytes::new(*b"/usr/bin/dash"),
        file: Sha256::new([7; 32]),
        event: ClosureEvent::PackageDenyOverridden,
        source: Some("dash".into()),
        observed_at: NEW_YEAR,
    }
}

pub(crate) fn report(sequence: u64) -> Report {
    Report { sequence, body: ReportBody::Observation(observation()) }
}

pub(crate) fn facts() -> HostFacts {
    HostFacts {
        host_name: "web-1".into(),
        operating_system: "Debian GNU/Linux 12 (bookworm)".into(),
        kernel: "6.1.0-28-amd64".into(),
        architecture: "x86_64".into(),
        machine_id_hash: Some([3; 16]),
    }
}

pub(crate) fn hello() -> Hello {
    Hello {
        protocol: doorward_proto::limit::PROTOCOL,
        agent_version: "0.1.0".into(),
        capabilities: vec!["scan".into()],
        store_epoch: [1; 16],
        policy_epoch: 0,
        policy_revision: 0,
        settings_revision: 0,
        facts: facts(),
        run_id: [2; 16],
    }
}

pub(crate) fn verdict() -> Verdict {
    Verdict {
        file: file(1),
        status: doorward_policy::Status::Threat,
        reason: "malicious".into(),
        decision: VerdictDecision::Deny,
        threat_score: Some(9),
        threat_name: Some("Linux.Trojan.Example".into()),
        is_final: true,
        change_id: 4,
    }
}

pub(crate) fn blob(len: usize) -> Bytes {
    vec![7; len].into()
}

/// A text of exactly so many bytes.
pub(crate) fn text(len: usize) -> String {
    "x".repeat(len)
}
