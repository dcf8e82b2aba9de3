//! Every limit, in both directions: what is within passes untouched, what is beyond is refused inwards and cut outwards.

use bytes::Bytes;
use doorward_policy::{KeyFingerprint, PathBytes};
use doorward_policy::{PackageEvidence, PublisherEvidence};
use doorward_proto::ConvertError;
use doorward_proto::convert::Fault;
use doorward_proto::enrollment::{EnrollRequest, EnrollResponse, HostFacts, RenewRequest, RenewResponse};
use doorward_proto::limit;
use doorward_proto::report::{
    Batch, ClosureNews, Coverage, FailureCount, Full, Health, Inventory, InventorySource, LiveProcess, Observation, Process, ReportBody,
    Source, Turned, Uncovered, Unjudged,
};
use doorward_proto::uplink::{
    AgentMessage, CmsMessage, CommandResult, Hello, HostSettings, PolicyState, SettingsState, StartScan, Verdict, Welcome,
};
use doorward_proto::v1;
use prost::Message;
use uuid::Uuid;

use crate::sample::{self, blob, text};

/// A limit, with a message that uses it up: `inwards` and `outwards` make one of the given size and tell the size on the other side.
struct Limit {
    field: &'static str,
    max: usize,
    inwards: fn(usize) -> Result<usize, ConvertError>,
    outwards: fn(usize) -> usize,
}

/// A text or list field of a domain struct.
macro_rules! limit {
    ($name:literal, $max:expr, $domain:ty, $wire:ty, $sample:expr, $field:ident = $make:expr, $wire_make:expr) => {
        Limit {
            field: $name,
            max: $max,
            inwards: |size| {
                let mut message = <$wire>::from($sample);
                message.$field = $wire_make(size);
                Ok(size_of_field(<$domain>::try_from(message)?.$field))
            },
            outwards: |size| {
                let mut domain: $domain = start($sample);
                domain.$field = $make(size);
                <$wire>::from(domain).$field.len()
            },
        }
    };
}

/// A value before a macro changes one field of it.
fn start<T>(value: T) -> T {
    value
}

/// Length of a field that is optional on one side only.
trait Size {
    fn size(&self) -> usize;
}

impl Size for String {
    fn size(&self) -> usize {
        self.len()
    }
}

impl Size for PathBytes {
    fn size(&self) -> usize {
        self.as_bytes().len()
    }
}

impl<T> Size for Vec<T> {
    fn size(&self) -> usize {
        self.len()
    }
}

impl<T: Size> Size for Option<T> {
    fn size(&self) -> usize {
        self.as_ref().map_or(0, Size::size)
    }
}

fn size_of_field(field: impl Size) -> usize {
    field.size()
}

fn path(len: usize) -> PathBytes {
    PathBytes::new(vec![b'p'; len])
}

fn paths(count: usize) -> Vec<PathBytes> {
    vec![path(3); count]
}

fn wire_paths(count: usize) -> Vec<Bytes> {
    vec![blob(3); count]
}

fn texts(count: usize) -> Vec<String> {
    vec![text(3); count]
}

fn some_text(len: usize) -> Option<String> {
    Some(text(len))
}

fn uncovered() -> Uncovered {
    Uncovered { mount_point: path(1), filesystem: "fuse".into(), reason: "a FUSE server could freeze it".into() }
}

fn source() -> InventorySource {
    InventorySource { source: Source::Package(sample::package()), files: 1, executed: 0, modified: 0, scanned: true }
}

fn turned() -> Turned {
    Turned { file: sample::file(1), paths: Vec::new(), live: Vec::new(), last_executed_at: None }
}

fn welcome() -> Welcome {
    Welcome { protocol: 1, cms_version: "0.1.0".into(), acknowledged: 0, window: 2048, now: sample::NEW_YEAR }
}

fn enroll_response() -> EnrollResponse {
    EnrollResponse {
        host_id: sample::host(1),
        certificate_chain: vec![blob(9)],
        ca_certificate: blob(9),
        policy_key: [1; 32],
        profile_id: sample::profile(1),
        profile_name: "default".into(),
    }
}

fn enroll_request() -> EnrollRequest {
    EnrollRequest { token_secret: "s".into(), certificate_request: blob(9), facts: sample::facts() }
}

fn start_scan() -> StartScan {
    StartScan { scan: doorward_policy::ScanId::new(Uuid::nil()), reference: true, roots: Vec::new() }
}

fn command_result() -> CommandResult {
    CommandResult { id: Uuid::nil(), error: None }
}

#[rustfmt::skip]
fn limits_of_reports() -> Vec<Limit> {
    use limit::*;
    vec![
        limit!("PackageEvidence.name", NAME_BYTES_MAX, PackageEvidence, v1::PackageEvidence, sample::package(), name = text, text),
        limit!("PackageEvidence.version", NAME_BYTES_MAX, PackageEvidence, v1::PackageEvidence, sample::package(), version = text, text),
        limit!("PackageEvidence.origin", NAME_BYTES_MAX, PackageEvidence, v1::PackageEvidence, sample::package(), origin = text, text),
        limit!("PublisherEvidence.name", NAME_BYTES_MAX, PublisherEvidence, v1::PublisherEvidence, sample::publisher(), name = text, text),
        limit!("Process.parent_path", PATH_BYTES_MAX, Process, v1::Process, sample::process(), parent_path = |len| Some(path(len)), blob),
        limit!("Process.container", NAME_BYTES_MAX, Process, v1::Process, sample::process(), container = some_text, text),
        limit!("Observation.path", PATH_BYTES_MAX, Observation, v1::Observation, sample::observation(), path = path, blob),
        limit!("Unjudged.path", PATH_BYTES_MAX, Unjudged, v1::Unjudged, sample::unjudged(), path = path, blob),
        limit!("Unjudged.reason", WORD_BYTES_MAX, Unjudged, v1::Unjudged, sample::unjudged(), reason = text, text),
        limit!("ClosureNews.path", PATH_BYTES_MAX, ClosureNews, v1::ClosureNews, sample::closure(), path = path, blob),
        limit!("ClosureNews.source", NAME_BYTES_MAX, ClosureNews, v1::ClosureNews, sample::closure(), source = some_text, text),
        limit!("Uncovered.mount_point", PATH_BYTES_MAX, Uncovered, v1::Uncovered, uncovered(), mount_point = path, blob),
        limit!("Uncovered.filesystem", WORD_BYTES_MAX, Uncovered, v1::Uncovered, uncovered(), filesystem = text, text),
        limit!("Uncovered.reason", SENTENCE_BYTES_MAX, Uncovered, v1::Uncovered, uncovered(), reason = text, text),
        limit!("Coverage.covered", COVERAGE_FILESYSTEMS_MAX, Coverage, v1::Coverage, Coverage::default(), covered = paths, wire_paths),
        limit!("Coverage.uncovered", COVERAGE_FILESYSTEMS_MAX, Coverage, v1::Coverage, Coverage::default(),
            uncovered = |count| vec![uncovered(); count], |count| vec![v1::Uncovered::from(uncovered()); count]),
        limit!("Turned.paths", TURNED_PATHS_MAX, Turned, v1::Turned, turned(), paths = paths, wire_paths),
        limit!("Turned.live", TURNED_PROCESSES_MAX, Turned, v1::Turned, turned(),
            live = |count| vec![sample::live(); count], |count| vec![v1::LiveProcess::from(sample::live()); count]),
        limit!("Health.failures", FAILURES_MAX, Health, v1::Health, Health::default(),
            failures = |count| vec![FailureCount { reason: "x".into(), count: 1 }; count], |count| vec![v1::FailureCount::default(); count]),
    ]
}

#[rustfmt::skip]
fn limits_of_the_stream() -> Vec<Limit> {
    use limit::*;
    vec![
        limit!("Hello.agent_version", WORD_BYTES_MAX, Hello, v1::Hello, sample::hello(), agent_version = text, text),
        limit!("Hello.capabilities", CAPABILITIES_MAX, Hello, v1::Hello, sample::hello(), capabilities = texts, texts),
        limit!("Welcome.cms_version", WORD_BYTES_MAX, Welcome, v1::Welcome, welcome(), cms_version = text, text),
        limit!("Verdict.reason", WORD_BYTES_MAX, Verdict, v1::Verdict, sample::verdict(), reason = text, text),
        limit!("Verdict.threat_name", NAME_BYTES_MAX, Verdict, v1::Verdict, sample::verdict(), threat_name = some_text, text),
        limit!("HostSettings.exclusions", EXCLUSIONS_MAX, HostSettings, v1::HostSettings, HostSettings::default(), exclusions = paths, wire_paths),
        limit!("HostSettings.trusted_mounts", TRUSTED_MOUNTS_MAX, HostSettings, v1::HostSettings, HostSettings::default(),
            trusted_mounts = |count| vec![PathBytes::new("/srv"); count], |count| vec![Bytes::from_static(b"/srv"); count]),
        limit!("HostSettings.interpreters", INTERPRETERS_MAX, HostSettings, v1::HostSettings, HostSettings::default(),
            interpreters = |count| vec!["sh".parse().unwrap(); count], |count| vec!["sh".to_owned(); count]),
        limit!("HostSettings.open_exclusions", EXCLUSIONS_MAX, HostSettings, v1::HostSettings, HostSettings::default(),
            open_exclusions = paths, wire_paths),
        limit!("HostSettings.archive_keys", ARCHIVE_KEYS_MAX, HostSettings, v1::HostSettings, HostSettings::default(),
            archive_keys = |count| vec![KeyFingerprint::V4([1; 20]); count], |count| vec![Bytes::from_static(&[1; 20]); count]),
        limit!("PolicyState.refused", SENTENCE_BYTES_MAX, PolicyState, v1::PolicyState,
            PolicyState { epoch: 1, revision: 1, refused: None }, refused = some_text, text),
        limit!("SettingsState.refused", SENTENCE_BYTES_MAX, SettingsState, v1::SettingsState,
            SettingsState { revision: 1, refused: None }, refused = some_text, text),
        limit!("StartScan.roots", SCAN_ROOTS_MAX, StartScan, v1::StartScan, start_scan(), roots = paths, wire_paths),
        limit!("CommandResult.error", SENTENCE_BYTES_MAX, CommandResult, v1::CommandResult, command_result(), error = some_text, text),
        limit!("HostFacts.host_name", NAME_BYTES_MAX, HostFacts, v1::HostFacts, sample::facts(), host_name = text, text),
        limit!("HostFacts.operating_system", NAME_BYTES_MAX, HostFacts, v1::HostFacts, sample::facts(), operating_system = text, text),
        limit!("HostFacts.kernel", NAME_BYTES_MAX, HostFacts, v1::HostFacts, sample::facts(), kernel = text, text),
        limit!("HostFacts.architecture", WORD_BYTES_MAX, HostFacts, v1::HostFacts, sample::facts(), architecture = text, text),
        limit!("EnrollRequest.token_secret", TOKEN_SECRET_BYTES_MAX, EnrollRequest, v1::EnrollRequest, enroll_request(), token_secret = text, text),
        limit!("EnrollResponse.profile_name", NAME_BYTES_MAX, EnrollResponse, v1::EnrollResponse, enroll_response(), profile_name = text, text),
        Limit {
            field: "VerdictBatch.verdicts",
            max: VERDICTS_MAX,
            inwards: |size| {
                let verdicts = vec![v1::Verdict::from(sample::verdict()); size];
                let body = v1::cms_message::Body::Verdicts(v1::VerdictBatch { verdicts });
                match CmsMessage::try_from(v1::CmsMessage { body: Some(body) })? {
                    CmsMessage::Verdicts(verdicts) => Ok(verdicts.len()),
                    other => panic!("{other:?}"),
                }
            },
            outwards: |size| match v1::CmsMessage::from(CmsMessage::Verdicts(vec![sample::verdict(); size])).body {
                Some(v1::cms_message::Body::Verdicts(batch)) => batch.verdicts.len(),
                other => panic!("{other:?}"),
            },
        },
        Limit {
            field: "SnapshotRequest.reason",
            max: SENTENCE_BYTES_MAX,
            inwards: |size| {
                let body = v1::agent_message::Body::SnapshotRequest(v1::SnapshotRequest { reason: text(size) });
                match AgentMessage::try_from(v1::AgentMessage { body: Some(body) })? {
                    AgentMessage::SnapshotRequest(reason) => Ok(reason.len()),
                    other => panic!("{other:?}"),
                }
            },
            outwards: |size| match v1::AgentMessage::from(AgentMessage::SnapshotRequest(text(size))).body {
                Some(v1::agent_message::Body::SnapshotRequest(request)) => request.reason.len(),
                other => panic!("{other:?}"),
            },
        },
    ]
}

#[test]
fn every_limit_holds_in_both_directions() {
    for Limit { field, max, inwards, outwards } in limits_of_reports().into_iter().chain(limits_of_the_stream()) {
        assert_eq!(inwards(max), Ok(max), "{field}: what is just within the limit is taken");
        let refusal = inwards(max + 1).expect_err(field);
        assert_eq!(refusal.field, field);
        assert!(
            matches!(refusal.fault, Fault::TooLong { max: said, got } | Fault::TooMany { max: said, got } if (said, got) == (max, max + 1)),
            "{refusal}"
        );
        assert_eq!(outwards(max), max, "{field}: what is just within the limit is sent whole");
        assert_eq!(outwards(max + 1), max, "{field}: what is beyond the limit is cut");
    }
}

#[test]
fn elements_of_lists_have_limits_too() {
    let long = |refusal: ConvertError, field, max| assert_eq!(refusal, ConvertError { field, fault: Fault::TooLong { max, got: max + 1 } });
    let long_path = || vec![blob(limit::PATH_BYTES_MAX + 1)];
    let long_word = || text(limit::WORD_BYTES_MAX + 1);
    let path_max = limit::PATH_BYTES_MAX;

    let coverage = v1::Coverage { covered: long_path(), ..Default::default() };
    long(Coverage::try_from(coverage).unwrap_err(), "Coverage.covered", path_max);
    let turned = v1::Turned { paths: long_path(), ..v1::Turned::from(turned()) };
    long(Turned::try_from(turned).unwrap_err(), "Turned.paths", path_max);
    let settings = v1::HostSettings { exclusions: long_path(), ..v1::HostSettings::from(HostSettings::default()) };
    long(HostSettings::try_from(settings).unwrap_err(), "HostSettings.exclusions", path_max);
    let settings = v1::HostSettings { trusted_mounts: long_path(), ..v1::HostSettings::from(HostSettings::default()) };
    long(HostSettings::try_from(settings).unwrap_err(), "HostSettings.trusted_mounts", path_max);
    let settings = v1::HostSettings { open_exclusions: long_path(), ..v1::HostSettings::from(HostSettings::default()) };
    long(HostSettings::try_from(settings).unwrap_err(), "HostSettings.open_exclusions", path_max);
    let settings = v1::HostSettings { interpreters: vec!["/bin/sh".to_owned()], ..v1::HostSettings::from(HostSettings::default()) };
    let refusal = HostSettings::try_from(settings).unwrap_err();
    assert_eq!(refusal, ConvertError { field: "HostSettings.interpreters", fault: Fault::Malformed });
    let scan = v1::StartScan { roots: long_path(), ..v1::StartScan::from(start_scan()) };
    long(StartScan::try_from(scan).unwrap_err(), "StartScan.roots", path_max);
    let hello = v1::Hello { capabilities: vec![long_word()], ..v1::Hello::from(sample::hello()) };
    long(Hello::try_from(hello).unwrap_err(), "Hello.capabilities", limit::WORD_BYTES_MAX);
    let health = v1::Health { failures: vec![v1::FailureCount { reason: long_word(), count: 1 }], ..Default::default() };
    long(Health::try_from(health).unwrap_err(), "FailureCount.reason", limit::WORD_BYTES_MAX);
}

#[test]
fn credentials_beyond_their_limits_are_refused() {
    let request = |len| RenewRequest::try_from(v1::RenewRequest { certificate_request: blob(len) });
    let max = limit::CERTIFICATE_REQUEST_BYTES_MAX;
    assert!(request(max).is_ok());
    assert_eq!(request(max + 1).unwrap_err().fault, Fault::TooLong { max, got: max + 1 });
    assert_eq!(request(0).unwrap_err().fault, Fault::Missing);

    let chain = |chain: Vec<usize>| RenewResponse::try_from(v1::RenewResponse { certificate_chain: chain.into_iter().map(blob).collect() });
    let max = limit::CERTIFICATE_BYTES_MAX;
    assert!(chain(vec![max; limit::CHAIN_CERTIFICATES_MAX]).is_ok());
    assert_eq!(chain(vec![max + 1]).unwrap_err().fault, Fault::TooLong { max, got: max + 1 });
    assert_eq!(chain(vec![9; 5]).unwrap_err().fault, Fault::TooMany { max: 4, got: 5 });
    assert_eq!(chain(vec![]).unwrap_err().fault, Fault::Missing);
    assert_eq!(chain(vec![9, 0]).unwrap_err().fault, Fault::Missing);
}

#[test]
fn a_cut_text_ends_between_characters() {
    let facts = HostFacts { host_name: "ä".repeat(limit::NAME_BYTES_MAX), ..sample::facts() };
    let sent = v1::HostFacts::from(facts).host_name;
    assert_eq!(sent, "ä".repeat(limit::NAME_BYTES_MAX / 2));
}

#[test]
fn fixed_lengths_are_exact() {
    for len in [0, 1, 31, 33] {
        let facts = v1::FileFacts { sha256: blob(len), ..v1::FileFacts::from(sample::observation().file) };
        let refusal = doorward_proto::report::FileFacts::try_from(facts).unwrap_err();
        assert_eq!(refusal, ConvertError { field: "FileFacts.sha256", fault: Fault::WrongLength { expected: 32, got: len } });
    }
    for len in [1, 15, 17] {
        let observation = v1::Observation { scan_id: blob(len), ..v1::Observation::from(sample::observation()) };
        assert_eq!(Observation::try_from(observation).unwrap_err().field, "Observation.scan_id");
        let hello = v1::Hello { store_epoch: blob(len), ..v1::Hello::from(sample::hello()) };
        assert_eq!(Hello::try_from(hello).unwrap_err().field, "Hello.store_epoch");
    }
}

#[test]
fn numbers_beyond_their_range_are_refused_and_never_sent() {
    let verdict = v1::Verdict { threat_score: Some(11), ..v1::Verdict::from(sample::verdict()) };
    assert_eq!(Verdict::try_from(verdict).unwrap_err().fault, Fault::Unknown(11));
    assert_eq!(v1::Verdict::from(Verdict { threat_score: Some(200), ..sample::verdict() }).threat_score, Some(10));
    for row in [0, 10, 256, u32::MAX] {
        let denial = v1::Denial { row, ..sample::denial().into() };
        assert_eq!(doorward_proto::report::Denial::try_from(denial).unwrap_err().field, "Denial.row");
    }
}

#[test]
fn mount_points_are_normal_or_refused_and_never_sent_otherwise() {
    for text in ["", "srv", "/srv/", "//srv", "/srv//a", "/srv/./a", "/srv/../etc", "/..", "/srv/a\0"] {
        let settings = v1::HostSettings { trusted_mounts: vec![text.into()], ..v1::HostSettings::from(HostSettings::default()) };
        let refusal = HostSettings::try_from(settings).unwrap_err();
        assert_eq!(refusal, ConvertError { field: "HostSettings.trusted_mounts", fault: Fault::NotNormal }, "{text:?}");
        let trusted_mounts = vec![PathBytes::new(text), PathBytes::new("/srv")];
        let sent = v1::HostSettings::from(HostSettings { trusted_mounts, ..HostSettings::default() });
        assert_eq!(sent.trusted_mounts, ["/srv"]);
    }
    let odd: Vec<_> = [b"/".as_slice(), b"/a\n\xff", b"/...", b"/.a/..b"].into_iter().map(Bytes::from_static).collect();
    let settings = v1::HostSettings { trusted_mounts: odd.clone(), ..v1::HostSettings::from(HostSettings::default()) };
    assert_eq!(v1::HostSettings::from(HostSettings::try_from(settings).unwrap()).trusted_mounts, odd);
}

#[test]
fn a_batch_beyond_its_limits_is_refused() {
    let reports = |count: u64| v1::ReportBatch { reports: (1..=count).map(|sequence| sample::report(sequence).into()).collect() };
    assert_eq!(Batch::try_from(reports(512)).unwrap().last_sequence(), Some(512));
    assert_eq!(Batch::try_from(reports(513)).unwrap_err().fault, Fault::TooMany { max: 512, got: 513 });

    let long = ReportBody::Observation(Observation { path: path(limit::PATH_BYTES_MAX), ..sample::observation() });
    let mut batch = reports(300);
    for report in &mut batch.reports {
        report.body = v1::Report::from(doorward_proto::report::Report { sequence: 0, body: long.clone() }).body;
    }
    let got = batch.encoded_len();
    assert_eq!(Batch::try_from(batch).unwrap_err().fault, Fault::TooLong { max: limit::BATCH_BYTES_MAX, got });
}

#[test]
fn sequences_in_a_batch_must_rise() {
    for sequences in [[2, 1], [3, 3]] {
        let reports = sequences.map(|sequence| v1::Report::from(sample::report(sequence))).to_vec();
        assert_eq!(Batch::try_from(v1::ReportBatch { reports }).unwrap_err().fault, Fault::Unordered);
    }
}

#[test]
fn a_batch_that_was_filled_is_never_refused() {
    let long = Observation { path: path(limit::PATH_BYTES_MAX), ..sample::observation() };
    for body in [ReportBody::Observation(sample::observation()), ReportBody::Observation(long)] {
        let mut batch = Batch::default();
        let mut sequence = 1;
        while let Ok(()) = batch.push(doorward_proto::report::Report { sequence, body: body.clone() }) {
            sequence += 1;
        }
        let Err(Full(refused)) = batch.push(doorward_proto::report::Report { sequence, body: body.clone() }) else {
            panic!("a full batch took another report");
        };
        assert_eq!(refused.sequence, sequence, "the report comes back");
        let message = v1::ReportBatch::from(batch.clone());
        assert_eq!(Batch::try_from(message).unwrap().reports(), batch.reports());
    }
}

#[test]
fn the_largest_report_fits_an_empty_batch() {
    let process = Process { parent_path: Some(path(limit::PATH_BYTES_MAX)), container: some_text(255), ..sample::process() };
    let bodies = [
        ReportBody::Turned(Turned {
            paths: vec![path(4095); 100],
            live: vec![LiveProcess { process, ..sample::live() }; 2000],
            ..turned()
        }),
        ReportBody::Coverage(Coverage {
            covered: vec![path(4095); 2000],
            uncovered: vec![Uncovered { mount_point: path(4095), filesystem: text(64), reason: text(255) }; 2000],
            user_namespaces: true,
        }),
        ReportBody::Inventory(Inventory { sources: vec![source(); 100_000], complete: true }),
    ];
    for body in bodies {
        let mut batch = Batch::default();
        batch.push(doorward_proto::report::Report { sequence: 1, body }).unwrap();
        let message = v1::ReportBatch::from(batch);
        assert!(message.encoded_len() <= limit::BATCH_BYTES_MAX, "{} bytes", message.encoded_len());
        Batch::try_from(message).unwrap();
    }
}

#[test]
fn an_inventory_of_any_size_is_split_without_loss() {
    let sources: Vec<_> = (0..45_000).map(|files| InventorySource { files, ..source() }).collect();
    let parts = Inventory { sources: sources.clone(), complete: true }.split();
    assert!(parts.len() > 2);
    let complete: Vec<_> = parts.iter().map(|part| part.complete).collect();
    assert!(complete[0] && !complete[1..].contains(&true), "only the first part makes the CMS forget");
    let mut arrived = Vec::new();
    for part in parts {
        arrived.extend(Inventory::try_from(v1::Inventory::from(part)).unwrap().sources);
    }
    assert_eq!(arrived, sources);
}

#[test]
fn an_inventory_that_had_to_be_cut_is_not_complete() {
    let inventory = Inventory { sources: vec![source(); limit::INVENTORY_SOURCES_MAX + 1], complete: true };
    let sent = v1::Inventory::from(inventory);
    assert!(sent.sources.len() <= limit::INVENTORY_SOURCES_MAX && !sent.complete);
    let many = v1::Inventory { sources: vec![source().into(); limit::INVENTORY_SOURCES_MAX + 1], complete: true };
    assert_eq!(Inventory::try_from(many).unwrap_err().field, "Inventory.sources");
}

#[test]
fn long_lists_of_verdicts_are_chunked_in_order() {
    let verdicts: Vec<_> = (0..1300).map(|change_id| Verdict { change_id, ..sample::verdict() }).collect();
    let mut arrived = Vec::new();
    for message in CmsMessage::verdicts(verdicts.clone()) {
        match CmsMessage::try_from(v1::CmsMessage::from(message)).unwrap() {
            CmsMessage::Verdicts(verdicts) => arrived.extend(verdicts),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(arrived, verdicts);
}
