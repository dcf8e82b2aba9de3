//! What is written reads back, whatever it holds; what was not written here is refused without a panic.

use doorward_policy::{
    Blake3, Evidence, FileKind, Fit, Flaw, Level, Md5, PackageEvidence, PackageManager, PathBytes, PublisherEvidence, ScanId, Sha1, Sha256,
    Signing, Use, Validity,
};
use doorward_proto::report::{
    ClosureEvent, ClosureNews, Coverage, Denial, FailureCount, Fate, FileFacts, Health, Inventory, InventorySource, Layer, LiveProcess,
    Observation, Process, Source, Turned, Uncovered, Unjudged,
};
use proptest::prelude::*;

use super::*;

fn path() -> impl Strategy<Value = PathBytes> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(PathBytes::new)
}

fn kind() -> impl Strategy<Value = FileKind> {
    prop::sample::select(FileKind::ALL.to_vec())
}

fn file() -> impl Strategy<Value = FileFacts> {
    let digests = (any::<[u8; 32]>(), any::<Option<[u8; 20]>>(), any::<Option<[u8; 16]>>(), any::<Option<[u8; 32]>>());
    (digests, kind(), any::<[u64; 1]>(), any::<[u32; 3]>(), any::<[i64; 2]>()).prop_map(
        |((sha256, sha1, md5, blake3), kind, [size], [mode, uid, gid], [modified_at, changed_at])| FileFacts {
            sha256: Sha256::new(sha256),
            sha1: sha1.map(Sha1::new),
            md5: md5.map(Md5::new),
            blake3: blake3.map(Blake3::new),
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
    let uid = prop::option::of(0..u32::MAX);
    (any::<[u32; 2]>(), uid, any::<u64>(), prop::option::of(path()), any::<Option<[u8; 32]>>(), any::<Option<String>>()).prop_map(
        |([pid, parent_pid], uid, start_ticks, parent_path, parent, container)| Process {
            pid,
            start_ticks,
            uid,
            parent_pid,
            parent_path,
            parent_sha256: parent.map(Sha256::new),
            container,
        },
    )
}

fn package() -> impl Strategy<Value = PackageEvidence> {
    let words = (
        prop::sample::select(vec![PackageManager::Dpkg, PackageManager::Rpm]),
        prop::sample::select(vec![Level::Database, Level::Signed]),
        prop::sample::select(vec![Fit::Match, Fit::Modified, Fit::NoDigest, Fit::Compiled]),
    );
    (words, any::<[String; 3]>()).prop_map(|((manager, level, fit), [name, version, origin])| PackageEvidence {
        manager,
        name,
        version,
        origin,
        level,
        fit,
    })
}

fn publisher() -> impl Strategy<Value = PublisherEvidence> {
    let signing = vec![Signing::Authenticode, Signing::Jar, Signing::KernelModule, Signing::Ima, Signing::Pgp];
    let outcome = (any::<[bool; 3]>(), prop::option::of(prop::sample::select(Flaw::ALL.to_vec())), any::<Option<i64>>());
    let certificate = (any::<Option<[i64; 2]>>(), prop::collection::vec(any::<String>(), 0..3));
    (prop::sample::select(signing), any::<String>(), any::<[u8; 32]>(), outcome, certificate).prop_map(
        |(signing, name, fingerprint, ([valid, chain_trusted, public_authority], flaw, signed_at), (validity, chain))| PublisherEvidence {
            signing,
            name,
            fingerprint: Sha256::new(fingerprint),
            valid,
            chain_trusted,
            public_authority,
            flaw,
            signed_at,
            validity: validity.map(|[from, until]| Validity { from, until }),
            chain,
        },
    )
}

fn observation() -> impl Strategy<Value = Observation> {
    let usage = prop_oneof![
        Just(Use::Execute),
        Just(Use::Scan),
        any::<Option<[u8; 32]>>().prop_map(|opener| Use::Load { opener: opener.map(Sha256::new) }),
    ];
    let evidence = (prop::option::of(package()), prop::option::of(publisher()));
    let layer = prop::option::of((any::<bool>(), path()).prop_map(|(upper, folder)| Layer { upper, folder }));
    let rest = (any::<Option<[u8; 16]>>(), any::<[i64; 2]>(), any::<u64>(), any::<bool>(), layer);
    (file(), path(), usage, evidence, prop::option::of(process()), rest).prop_map(
        |(file, path, usage, (package, publisher), process, (scan, [first, last], count, writable, layer))| Observation {
            file,
            path,
            usage,
            scan: scan.and_then(|id| ScanId::from_slice(&id)),
            first_observed_at: first,
            last_observed_at: last,
            count,
            evidence: Evidence { package, publisher },
            process,
            user_writable_folder: writable,
            layer,
        },
    )
}

fn fate() -> impl Strategy<Value = Fate> {
    prop::sample::select(vec![Fate::Ran, Fate::Refused, Fate::Killed])
}

fn closure_event() -> impl Strategy<Value = ClosureEvent> {
    use ClosureEvent::{Changed, FileDenyOverridden, PackageDenyOverridden, PublisherDenyOverridden};
    prop::sample::select(vec![Changed, FileDenyOverridden, PackageDenyOverridden, PublisherDenyOverridden])
}

fn body() -> impl Strategy<Value = ReportBody> {
    let source = prop_oneof![package().prop_map(Source::Package), publisher().prop_map(Source::Publisher)];
    let source = (source, any::<[u64; 3]>(), any::<bool>());
    let source =
        source.prop_map(|(source, [files, executed, modified], scanned)| InventorySource { source, files, executed, modified, scanned });
    let uncovered = (path(), any::<[String; 2]>());
    let uncovered = uncovered.prop_map(|(mount_point, [filesystem, reason])| Uncovered { mount_point, filesystem, reason });
    let live = (process(), fate()).prop_map(|(process, fate)| LiveProcess { process, fate });
    let paths = || prop::collection::vec(path(), 0..4);
    prop_oneof![
        observation().prop_map(ReportBody::Observation),
        (observation(), any::<u8>(), any::<bool>(), fate()).prop_map(|(observation, row, undecided, fate)| ReportBody::Denial(Denial {
            observation,
            row,
            undecided,
            fate
        })),
        (paths(), prop::collection::vec(uncovered, 0..4), any::<bool>())
            .prop_map(|(covered, uncovered, user_namespaces)| { ReportBody::Coverage(Coverage { covered, uncovered, user_namespaces }) }),
        (prop::collection::vec(source, 0..6), any::<bool>())
            .prop_map(|(sources, complete)| ReportBody::Inventory(Inventory { sources, complete })),
        (any::<[u8; 32]>(), paths(), prop::collection::vec(live, 0..3), any::<Option<i64>>()).prop_map(
            |(file, paths, live, last_executed_at)| {
                ReportBody::Turned(Turned { file: Sha256::new(file), paths, live, last_executed_at })
            }
        ),
        (any::<[u64; 2]>(), prop::collection::vec((any::<String>(), any::<u64>()), 0..4)).prop_map(|([pending, dropped], failures)| {
            let failures = failures.into_iter().map(|(reason, count)| FailureCount { reason, count }).collect();
            ReportBody::Health(Health { pending, dropped, failures })
        }),
        (path(), process(), any::<String>(), fate(), any::<[i64; 2]>(), any::<u64>()).prop_map(
            |(path, process, reason, fate, [first, last], count)| {
                let (first_observed_at, last_observed_at) = (first, last);
                ReportBody::Unjudged(Unjudged { path, process, reason, fate, first_observed_at, last_observed_at, count })
            }
        ),
        (path(), any::<[u8; 32]>(), closure_event(), any::<Option<String>>(), any::<i64>()).prop_map(
            |(path, file, event, source, observed_at)| {
                ReportBody::Closure(ClosureNews { path, file: Sha256::new(file), event, source, observed_at })
            }
        ),
    ]
}

proptest! {
    #[test]
    fn every_report_reads_back_as_it_was(body in body()) {
        let record = Record::from(body.clone());
        let bytes = record.encode(record.class());
        prop_assert_eq!(Class::of_value(&bytes), record.class());
        prop_assert_eq!(ReportBody::try_from(Record::decode(&bytes).unwrap()).unwrap(), body);
    }

    #[test]
    fn any_other_bytes_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Record::decode(&bytes);
        let framed = [&[VERSION, 0], u32::try_from(bytes.len()).unwrap().to_le_bytes().as_slice(), &bytes].concat();
        let _ = Record::decode(&framed).map(ReportBody::try_from);
    }

    #[test]
    fn a_report_that_lost_or_gained_bytes_is_refused(body in body(), cut in 1_usize..40) {
        let record = Record::from(body);
        let bytes = record.encode(record.class());
        prop_assert!(Record::decode(&bytes[..bytes.len().saturating_sub(cut)]).is_err());
        prop_assert!(Record::decode(&[bytes.as_slice(), &vec![0; cut]].concat()).is_err());
    }
}

#[test]
fn a_later_version_is_named_as_such() {
    let error = Record::decode(&[9, 0, 0, 0, 0, 0]).unwrap_err();
    assert!(matches!(error, Unreadable::Version(9)));
}
