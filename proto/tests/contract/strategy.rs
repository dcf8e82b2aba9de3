//! Any domain value, within the contract's limits. Texts are any text, paths any bytes, numbers any number.

use doorward_policy::evidence::CHAIN_NAMES_MAX;
use doorward_policy::{
    Blake3, Evidence, FileKind, Fit, Flaw, HostId, Interpreter, KeyFingerprint, Level, Md5, Mode, PackageEvidence, PackageManager,
    PathBytes, ProfileId, PublisherEvidence, ScanId, Sha1, Sha256, Signing, SourceKey, Status, TrustRules, UnverifiedAction, Use, Validity,
};
use doorward_proto::enrollment::{EnrollRequest, EnrollResponse, HostFacts, RenewRequest, RenewResponse};
use doorward_proto::report::{
    Batch, ClosureEvent, ClosureNews, Coverage, Denial, FailureCount, Fate, FileFacts, Health, Inventory, InventorySource, Layer,
    LiveProcess, Observation, Process, Report, ReportBody, Source, Turned, Uncovered, Unjudged,
};
use doorward_proto::snapshot::{Delta, Head, Part, REMOVAL_BYTES, Record, RecordKind, RecordScope, SignedHead};
use doorward_proto::uplink::{
    AgentMessage, CmsMessage, Command, CommandBody, CommandResult, CoverageKind, Hello, HostSettings, PolicyState, ScanProgress, ScanState,
    SettingsState, StartScan, Verdict, VerdictDecision, Welcome,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

/// Any text of at most so many bytes.
pub(crate) fn text(max: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..=max / 4).prop_map(|characters| characters.into_iter().collect())
}

/// As [`text`]; where the wire has no other word for "not there" than the empty text.
fn some_text(max: usize) -> impl Strategy<Value = Option<String>> {
    of(text(max).prop_filter("empty means not there", |text| !text.is_empty()))
}

fn path() -> impl Strategy<Value = PathBytes> {
    vec(any::<u8>(), 0..40).prop_map(PathBytes::new)
}

fn mount_point() -> impl Strategy<Value = PathBytes> {
    path().prop_map(|path| PathBytes::new([b"/", path.as_bytes()].concat())).prop_filter("a mount point", PathBytes::is_normal)
}

fn some_path() -> impl Strategy<Value = Option<PathBytes>> {
    of(vec(any::<u8>(), 1..40).prop_map(PathBytes::new))
}

fn some_time() -> impl Strategy<Value = Option<i64>> {
    of(any::<i64>().prop_filter("zero means not there", |time| *time != 0))
}

pub(crate) fn sha256() -> impl Strategy<Value = Sha256> {
    any::<[u8; 32]>().prop_map(Sha256::new)
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid::from_bytes)
}

fn package() -> impl Strategy<Value = PackageEvidence> {
    (
        select(vec![PackageManager::Dpkg, PackageManager::Rpm]),
        [text(255), text(255), text(255)],
        select(vec![Level::Database, Level::Signed]),
        select(vec![Fit::Match, Fit::Modified, Fit::NoDigest, Fit::Compiled]),
    )
        .prop_map(|(manager, [name, version, origin], level, fit)| PackageEvidence { manager, name, version, origin, level, fit })
}

fn publisher() -> impl Strategy<Value = PublisherEvidence> {
    let signing = vec![Signing::Authenticode, Signing::Jar, Signing::KernelModule, Signing::Ima, Signing::Pgp];
    let outcome = (any::<[bool; 3]>(), of(select(Flaw::ALL.to_vec())), any::<Option<i64>>());
    let certificate = (any::<Option<[i64; 2]>>(), vec(text(255), 0..=CHAIN_NAMES_MAX));
    (select(signing), text(255), sha256(), outcome, certificate).prop_map(
        |(signing, name, fingerprint, ([valid, trusted, public], flaw, signed_at), (validity, chain))| PublisherEvidence {
            signing,
            name,
            fingerprint,
            valid,
            chain_trusted: trusted,
            public_authority: public,
            flaw,
            signed_at,
            validity: validity.map(|[from, until]| Validity { from, until }),
            chain,
        },
    )
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![package().prop_map(Source::Package), publisher().prop_map(Source::Publisher)]
}

fn file_facts() -> impl Strategy<Value = FileFacts> {
    let digests = (
        sha256(),
        of(any::<[u8; 20]>().prop_map(Sha1::new)),
        of(any::<[u8; 16]>().prop_map(Md5::new)),
        of(any::<[u8; 32]>().prop_map(Blake3::new)),
    );
    (digests, any::<u64>(), select(FileKind::ALL.to_vec()), any::<[u32; 3]>(), any::<[i64; 2]>()).prop_map(
        |((sha256, sha1, md5, blake3), size, kind, [mode, uid, gid], [modified_at, changed_at])| FileFacts {
            sha256,
            sha1,
            md5,
            blake3,
            size,
            kind,
            mode,
            uid,
            gid,
            modified_at,
            changed_at,
        },
    )
}

fn process() -> impl Strategy<Value = Process> {
    (any::<[u32; 2]>(), of(any::<u32>()), any::<u64>(), some_path(), of(sha256()), some_text(255)).prop_map(
        |([pid, parent_pid], uid, start_ticks, parent_path, parent_sha256, container)| Process {
            pid,
            start_ticks,
            uid,
            parent_pid,
            parent_path,
            parent_sha256,
            container,
        },
    )
}

pub(crate) fn observation() -> impl Strategy<Value = Observation> {
    let usage = prop_oneof![Just(Use::Execute), of(sha256()).prop_map(|opener| Use::Load { opener }), Just(Use::Scan)];
    let evidence = (of(package()), of(publisher())).prop_map(|(package, publisher)| Evidence { package, publisher });
    let met = (path(), usage, of(uuid().prop_map(ScanId::new)), any::<[i64; 2]>(), any::<u64>());
    let place = (any::<bool>(), of((any::<bool>(), path()).prop_map(|(upper, folder)| Layer { upper, folder })));
    (file_facts(), met, evidence, of(process()), place).prop_map(
        |(file, (path, usage, scan, [first_observed_at, last_observed_at], count), evidence, process, (user_writable_folder, layer))| {
            Observation {
                file,
                path,
                usage,
                scan,
                first_observed_at,
                last_observed_at,
                count,
                evidence,
                process,
                user_writable_folder,
                layer,
            }
        },
    )
}

fn coverage() -> impl Strategy<Value = Coverage> {
    let uncovered =
        (path(), text(64), text(255)).prop_map(|(mount_point, filesystem, reason)| Uncovered { mount_point, filesystem, reason });
    (vec(path(), 0..4), vec(uncovered, 0..4), any::<bool>()).prop_map(|(covered, uncovered, user_namespaces)| Coverage {
        covered,
        uncovered,
        user_namespaces,
    })
}

fn inventory() -> impl Strategy<Value = Inventory> {
    let counted = (source(), any::<[u64; 3]>(), any::<bool>()).prop_map(|(source, [files, executed, modified], scanned)| InventorySource {
        source,
        files,
        executed,
        modified,
        scanned,
    });
    (vec(counted, 0..4), any::<bool>()).prop_map(|(sources, complete)| Inventory { sources, complete })
}

fn turned() -> impl Strategy<Value = Turned> {
    let live = (process(), fate()).prop_map(|(process, fate)| LiveProcess { process, fate });
    (sha256(), vec(path(), 0..4), vec(live, 0..4), some_time()).prop_map(|(file, paths, live, last_executed_at)| Turned {
        file,
        paths,
        live,
        last_executed_at,
    })
}

fn fate() -> impl Strategy<Value = Fate> {
    select(vec![Fate::Ran, Fate::Refused, Fate::Killed])
}

fn unjudged() -> impl Strategy<Value = Unjudged> {
    (path(), process(), text(64), fate(), any::<[i64; 2]>(), any::<u64>()).prop_map(
        |(path, process, reason, fate, [first_observed_at, last_observed_at], count)| Unjudged {
            path,
            process,
            reason,
            fate,
            first_observed_at,
            last_observed_at,
            count,
        },
    )
}

fn closure() -> impl Strategy<Value = ClosureNews> {
    use ClosureEvent::{Changed, FileDenyOverridden, PackageDenyOverridden, PublisherDenyOverridden};
    let event = select(vec![Changed, FileDenyOverridden, PackageDenyOverridden, PublisherDenyOverridden]);
    (path(), any::<[u8; 32]>(), event, some_text(255), any::<i64>()).prop_map(|(path, file, event, source, observed_at)| ClosureNews {
        path,
        file: Sha256::new(file),
        event,
        source,
        observed_at,
    })
}

fn health() -> impl Strategy<Value = Health> {
    let failure = (text(64), any::<u64>()).prop_map(|(reason, count)| FailureCount { reason, count });
    (any::<u64>(), any::<u64>(), vec(failure, 0..4)).prop_map(|(pending, dropped, failures)| Health { pending, dropped, failures })
}

pub(crate) fn report_body() -> impl Strategy<Value = ReportBody> {
    let denial = (observation(), 1..=9_u8, any::<bool>(), fate());
    let denial = denial.prop_map(|(observation, row, undecided, fate)| Denial { observation, row, undecided, fate });
    prop_oneof![
        observation().prop_map(ReportBody::Observation),
        denial.prop_map(ReportBody::Denial),
        coverage().prop_map(ReportBody::Coverage),
        inventory().prop_map(ReportBody::Inventory),
        turned().prop_map(ReportBody::Turned),
        health().prop_map(ReportBody::Health),
        unjudged().prop_map(ReportBody::Unjudged),
        closure().prop_map(ReportBody::Closure),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    vec((report_body(), 1..1000_u64), 0..5).prop_map(|bodies| {
        let mut batch = Batch::default();
        let mut sequence = 0;
        for (body, step) in bodies {
            sequence += step;
            batch.push(Report { sequence, body }).expect("a few reports fit");
        }
        batch
    })
}

pub(crate) fn host_facts() -> impl Strategy<Value = HostFacts> {
    ([text(255), text(255), text(255)], text(64), of(any::<[u8; 16]>())).prop_map(
        |([host_name, operating_system, kernel], architecture, machine_id_hash)| HostFacts {
            host_name,
            operating_system,
            kernel,
            architecture,
            machine_id_hash,
        },
    )
}

fn hello() -> impl Strategy<Value = Hello> {
    let in_force = any::<[u64; 3]>();
    (any::<u32>(), text(64), vec(text(64), 0..4), any::<[[u8; 16]; 2]>(), in_force, host_facts()).prop_map(
        |(protocol, agent_version, capabilities, [store_epoch, run_id], [policy_epoch, policy_revision, settings_revision], facts)| Hello {
            protocol,
            agent_version,
            capabilities,
            store_epoch,
            policy_epoch,
            policy_revision,
            settings_revision,
            facts,
            run_id,
        },
    )
}

fn scan_progress() -> impl Strategy<Value = ScanProgress> {
    let state = select(vec![ScanState::Running, ScanState::Done, ScanState::Stopped, ScanState::Failed]);
    (uuid().prop_map(ScanId::new), any::<[u64; 9]>(), state).prop_map(|(scan, counts, state)| {
        let [files, files_total, candidates, bytes, package_trusted, otherwise_trusted, unresolved, skipped, elapsed_ms] = counts;
        ScanProgress {
            scan,
            files,
            files_total,
            candidates,
            bytes,
            package_trusted,
            otherwise_trusted,
            unresolved,
            skipped,
            elapsed_ms,
            state,
        }
    })
}

pub(crate) fn agent_message() -> impl Strategy<Value = AgentMessage> {
    let policy_state =
        (any::<[u64; 2]>(), some_text(255)).prop_map(|([epoch, revision], refused)| PolicyState { epoch, revision, refused });
    let settings_state = (any::<u64>(), some_text(255)).prop_map(|(revision, refused)| SettingsState { revision, refused });
    let result = (uuid(), some_text(255)).prop_map(|(id, error)| CommandResult { id, error });
    prop_oneof![
        hello().prop_map(AgentMessage::Hello),
        batch().prop_map(AgentMessage::Reports),
        scan_progress().prop_map(AgentMessage::ScanProgress),
        policy_state.prop_map(AgentMessage::PolicyState),
        settings_state.prop_map(AgentMessage::SettingsState),
        text(255).prop_map(AgentMessage::SnapshotRequest),
        result.prop_map(AgentMessage::CommandResult),
        health().prop_map(AgentMessage::Heartbeat),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let words = (
        select(vec![Status::Threat, Status::Safe, Status::Unverified]),
        select(vec![VerdictDecision::Undecided, VerdictDecision::Allow, VerdictDecision::Deny]),
    );
    (sha256(), words, text(64), of(0..=10_u8), some_text(255), any::<bool>(), any::<u64>()).prop_map(
        |(file, (status, decision), reason, threat_score, threat_name, is_final, change_id)| Verdict {
            file,
            status,
            reason,
            decision,
            threat_score,
            threat_name,
            is_final,
            change_id,
        },
    )
}

fn settings() -> impl Strategy<Value = HostSettings> {
    (
        any::<u64>(),
        select(vec![Mode::Disabled, Mode::Detect, Mode::Protect]),
        select(vec![CoverageKind::Exec, CoverageKind::ExecAndOpen]),
        select(vec![UnverifiedAction::Allow, UnverifiedAction::Deny, UnverifiedAction::Hold]),
        some_time(),
        vec(path(), 0..4),
        any::<bool>(),
        vec(mount_point(), 0..4),
        (0..=Interpreter::usual().len()).prop_map(|count| Interpreter::usual().into_iter().take(count).collect()),
        vec(path(), 0..4),
        vec(select(vec![KeyFingerprint::V4([3; 20]), KeyFingerprint::V6([4; 32])]), 0..4),
    )
        .prop_map(
            |(
                revision,
                mode,
                coverage,
                unverified_action,
                maintenance_until,
                exclusions,
                kill_on_bad_verdict,
                trusted_mounts,
                interpreters,
                open_exclusions,
                archive_keys,
            )| {
                HostSettings {
                    revision,
                    mode,
                    coverage,
                    unverified_action,
                    maintenance_until,
                    exclusions,
                    kill_on_bad_verdict,
                    trusted_mounts,
                    interpreters,
                    open_exclusions,
                    archive_keys,
                }
            },
        )
}

fn command() -> impl Strategy<Value = Command> {
    let start = (uuid(), any::<bool>(), vec(path(), 0..4)).prop_map(|(scan, reference, roots)| StartScan {
        scan: ScanId::new(scan),
        reference,
        roots,
    });
    let body = prop_oneof![
        start.prop_map(CommandBody::StartScan),
        uuid().prop_map(|scan| CommandBody::StopScan(ScanId::new(scan))),
        source().prop_map(CommandBody::SourceFiles),
    ];
    (uuid(), body).prop_map(|(id, body)| Command { id, body })
}

pub(crate) fn rules() -> impl Strategy<Value = TrustRules> {
    (select(vec![Level::Database, Level::Signed]), any::<[bool; 2]>()).prop_map(|(package_level, [packages, publishers])| TrustRules {
        package_level,
        allow_new_packages: packages,
        allow_new_publishers: publishers,
    })
}

fn signed_head() -> impl Strategy<Value = SignedHead> {
    let head = (uuid(), any::<[u64; 2]>(), 0..=4_000_000_u64, any::<[u8; 32]>(), rules()).prop_map(
        |(profile, [epoch, revision], count, root, rules)| Head {
            profile: ProfileId::new(profile),
            epoch,
            revision,
            count,
            root: Blake3::new(root),
            rules,
        },
    );
    (head, any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(head, first, second)| {
        let signature = [first, second].concat().try_into().expect("two halves");
        SignedHead { head, signature }
    })
}

/// So many elements of so many bytes each.
fn elements(bytes: usize) -> impl Strategy<Value = bytes::Bytes> {
    (0..4_usize).prop_flat_map(move |count| vec(any::<u8>(), count * bytes)).prop_map(bytes::Bytes::from)
}

pub(crate) fn cms_message() -> impl Strategy<Value = CmsMessage> {
    let welcome = (any::<[u32; 2]>(), text(64), any::<u64>(), any::<i64>())
        .prop_map(|([protocol, window], cms_version, acknowledged, now)| Welcome { protocol, cms_version, acknowledged, window, now });
    let part = prop_oneof![
        signed_head().prop_map(Part::Head),
        elements(1).prop_map(Part::VersionRules),
        elements(Record::BYTES).prop_map(Part::Records),
        any::<u64>().prop_map(|count| Part::End { count }),
    ];
    let delta = (any::<[u64; 2]>(), signed_head(), of(elements(1)), elements(Record::BYTES), elements(REMOVAL_BYTES)).prop_map(
        |([base_epoch, base_revision], head, version_rules, upserts, removals)| Delta {
            base_epoch,
            base_revision,
            head,
            version_rules,
            upserts,
            removals,
        },
    );
    prop_oneof![
        welcome.prop_map(CmsMessage::Welcome),
        any::<u64>().prop_map(CmsMessage::Acknowledge),
        vec(verdict(), 0..5).prop_map(CmsMessage::Verdicts),
        part.prop_map(CmsMessage::PolicySnapshot),
        delta.prop_map(CmsMessage::PolicyDelta),
        settings().prop_map(CmsMessage::Settings),
        command().prop_map(CmsMessage::Command),
    ]
}

fn blob() -> impl Strategy<Value = bytes::Bytes> {
    vec(any::<u8>(), 1..60).prop_map(bytes::Bytes::from)
}

pub(crate) fn enroll_request() -> impl Strategy<Value = EnrollRequest> {
    (text(64), blob(), host_facts()).prop_map(|(token_secret, certificate_request, facts)| EnrollRequest {
        token_secret,
        certificate_request,
        facts,
    })
}

pub(crate) fn enroll_response() -> impl Strategy<Value = EnrollResponse> {
    (uuid(), vec(blob(), 1..=4), blob(), any::<[u8; 32]>(), uuid(), text(255)).prop_map(
        |(host, certificate_chain, ca_certificate, policy_key, profile, profile_name)| EnrollResponse {
            host_id: HostId::new(host),
            certificate_chain,
            ca_certificate,
            policy_key,
            profile_id: ProfileId::new(profile),
            profile_name,
        },
    )
}

pub(crate) fn renewal() -> impl Strategy<Value = (RenewRequest, RenewResponse)> {
    (blob(), vec(blob(), 1..=4))
        .prop_map(|(certificate_request, certificate_chain)| (RenewRequest { certificate_request }, RenewResponse { certificate_chain }))
}

/// Records with few keys, so that they collide, replace and remove each other.
pub(crate) fn records() -> impl Strategy<Value = Vec<Record>> {
    let kinds =
        vec![RecordKind::FileDeniedByPerson, RecordKind::FileAllowedByPerson, RecordKind::FileAllowedByRule, RecordKind::ClosureFile];
    let scope = || select(vec![RecordScope::Profile, RecordScope::Global]);
    let file = || (0..40_u8).prop_map(|number| Sha256::new([number.wrapping_mul(37); 32]));
    let record = prop_oneof![
        (file(), select(kinds), scope()).prop_map(|(file, kind, scope)| Record::file(&file, kind, scope)),
        (file(), any::<bool>(), of(0..=5_u8), scope())
            .prop_map(|(file, malicious, level, scope)| Record::threat(&file, malicious, level, scope)),
        (0..6_u8, select(vec![RecordKind::PackageAllowed, RecordKind::PackageDenied]), scope()).prop_map(|(name, kind, scope)| {
            Record::source(&SourceKey::package(PackageManager::Dpkg, &format!("package-{name}")), kind, scope)
        }),
    ];
    vec(record, 0..60)
}
