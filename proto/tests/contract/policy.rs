//! A policy as a value: its bytes, its root, its signature, and what it answers.

use doorward_policy::{Class, Level, Listing, PackageManager, Reputation, Scope, SourceKey, TrustRules};
use doorward_proto::snapshot::{Policy, PolicySigner, PolicyVerifier, Position, Record, RecordKind, RecordScope, Refusal};
use proptest::prelude::*;

use crate::sample::{file, profile};
use crate::strategy;

/// PKCS#8 of the seed 0x01 × 32: the same key in every test, so that the fixed answers below stay fixed.
pub(crate) const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB
-----END PRIVATE KEY-----
";

pub(crate) fn signer() -> PolicySigner {
    PolicySigner::from_pem(KEY).unwrap()
}

pub(crate) const fn at(epoch: u64, revision: u64) -> Position {
    Position { epoch, revision }
}

pub(crate) fn published(position: Position, records: impl IntoIterator<Item = Record>) -> Policy {
    Policy::publish(profile(1), position, TrustRules::default(), records, &signer()).unwrap()
}

pub(crate) fn deny(number: u8) -> Record {
    Record::file(&file(number), RecordKind::FileDeniedByPerson, RecordScope::Profile)
}

pub(crate) fn allow(number: u8) -> Record {
    Record::file(&file(number), RecordKind::FileAllowedByPerson, RecordScope::Profile)
}

/// The root as the specification words it, written a second time.
pub(crate) fn root_of(records: &[[u8; 40]]) -> [u8; 32] {
    let mut text = b"doorward/policy-root/v1".to_vec();
    for bucket in 0..=255 {
        let bytes: Vec<u8> = records.iter().filter(|record| record[0] == bucket).flatten().copied().collect();
        text.extend_from_slice(blake3::hash(&bytes).as_bytes());
    }
    *blake3::hash(&text).as_bytes()
}

#[test]
fn a_record_has_the_layout_that_was_promised() {
    let bytes = Record::threat(&file(0xab), true, Some(4), RecordScope::Global).to_bytes();
    assert_eq!(&bytes[..32], &[0xab; 32]);
    assert_eq!(&bytes[32..], &[3, 2, 5, 0, 0, 0, 0, 0]);
    let source = SourceKey::package(PackageManager::Dpkg, "bash");
    let bytes = Record::source(&source, RecordKind::PackageDenied, RecordScope::Profile).to_bytes();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(b"doorward/package/v1\0dpkg\0bash");
    assert_eq!(bytes[..32], digest[..]);
    assert_eq!(&bytes[32..], &[17, 1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn kinds_have_the_numbers_that_were_promised() {
    let table = [
        (RecordKind::FileDeniedByPerson, 1),
        (RecordKind::FileAllowedByPerson, 2),
        (RecordKind::FileThreatMalicious, 3),
        (RecordKind::FileThreatSuspicious, 4),
        (RecordKind::FileAllowedByRule, 5),
        (RecordKind::PackageAllowed, 16),
        (RecordKind::PackageDenied, 17),
        (RecordKind::PublisherAllowed, 18),
        (RecordKind::PublisherDenied, 19),
        (RecordKind::ClosureFile, 32),
    ];
    let known: Vec<u8> = table.iter().map(|(_, number)| *number).collect();
    for (kind, number) in table {
        assert_eq!(Record::file(&file(1), kind, RecordScope::Profile).to_bytes()[32], number);
    }
    for number in 0..=255_u8 {
        let mut bytes = deny(1).to_bytes();
        bytes[32] = number;
        let read = Record::from_bytes(&bytes);
        let expected = if known.contains(&number) { Ok(number) } else { Err(Refusal::UnknownRecordKind(number)) };
        assert_eq!(read.map(|record| record.to_bytes()[32]), expected);
    }
}

#[test]
fn a_scope_or_flag_without_a_meaning_is_refused() {
    let spoilt = |record: Record, at: usize, byte: u8| {
        let mut bytes = record.to_bytes();
        bytes[at] = byte;
        Record::from_bytes(&bytes)
    };
    for scope in [0, 3, 255] {
        assert_eq!(spoilt(deny(1), 33, scope), Err(Refusal::UnknownRecordKind(1)));
    }
    for flag in 34..40 {
        assert_eq!(spoilt(deny(1), flag, 1), Err(Refusal::UnknownRecordKind(1)), "flag {flag}");
    }
    let threat = || Record::threat(&file(1), true, None, RecordScope::Global);
    assert_eq!(spoilt(threat(), 34, 6).unwrap().threat_level(), Some(5));
    assert_eq!(spoilt(threat(), 34, 7), Err(Refusal::UnknownRecordKind(3)), "no threat level is that high");
    for flag in 35..40 {
        assert_eq!(spoilt(threat(), flag, 1), Err(Refusal::UnknownRecordKind(3)), "flag {flag}");
    }
}

#[test]
fn the_signed_bytes_are_those_that_were_promised() {
    let policy = published(at(7, 9), [deny(1)]);
    let head = policy.head();
    let mut expected = b"doorward/policy/v1\0".to_vec();
    expected.extend_from_slice(&[1; 16]);
    expected.extend_from_slice(&7_u64.to_be_bytes());
    expected.extend_from_slice(&9_u64.to_be_bytes());
    expected.extend_from_slice(&1_u64.to_be_bytes());
    expected.extend_from_slice(&root_of(&[deny(1).to_bytes()]));
    expected.extend_from_slice(&[1, 1, 0]);
    assert_eq!(head.signed_bytes(), expected);
    let mut other = *head;
    other.rules = TrustRules { package_level: Level::Signed, allow_new_packages: false, allow_new_publishers: true };
    assert_eq!(&other.signed_bytes()[expected.len() - 3..], &[2, 0, 1]);
}

#[test]
fn every_signed_fact_is_under_the_signature() {
    let verifier = signer().verifier();
    let signed = *published(at(7, 9), [deny(1)]).signed_head();
    assert_eq!(verifier.verify(&signed), Ok(()));
    let spoil: [fn(&mut doorward_proto::snapshot::Head); 8] = [
        |head| head.profile = profile(2),
        |head| head.epoch += 1,
        |head| head.revision += 1,
        |head| head.count += 1,
        |head| head.root = doorward_policy::Blake3::new([0; 32]),
        |head| head.rules.package_level = Level::Signed,
        |head| head.rules.allow_new_packages ^= true,
        |head| head.rules.allow_new_publishers ^= true,
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let mut other = signed;
        spoil(&mut other.head);
        assert_eq!(verifier.verify(&other), Err(Refusal::WrongSignature), "fact {number}");
    }
    for at in 0..64 {
        let mut other = signed;
        other.signature[at] ^= 1;
        assert_eq!(verifier.verify(&other), Err(Refusal::WrongSignature), "byte {at}");
    }
    assert_eq!(PolicyVerifier::new([5; 32]).verify(&signed), Err(Refusal::WrongSignature), "another key");
}

#[test]
fn a_policy_key_is_read_back_and_nothing_else_is() {
    let pem = PolicySigner::generate_pem().unwrap();
    let one = PolicySigner::from_pem(&pem).unwrap().verifier();
    assert_eq!(one, PolicySigner::from_pem(&pem).unwrap().verifier());
    assert_ne!(one, PolicySigner::from_pem(&PolicySigner::generate_pem().unwrap()).unwrap().verifier());
    let ca = doorward_proto::certificate::Authority::create("CA", crate::sample::NEW_YEAR).unwrap();
    for wrong in ["", "no key", &pem[..60], &ca.key, &ca.certificate] {
        assert!(PolicySigner::from_pem(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_widest_scope_and_the_worst_news_count() {
    let both = |kind| [RecordScope::Profile, RecordScope::Global].map(|scope| Record::file(&file(1), kind, scope));
    let mut records = both(RecordKind::FileDeniedByPerson).to_vec();
    records.push(allow(1));
    records.push(Record::file(&file(1), RecordKind::FileAllowedByRule, RecordScope::Profile));
    records.push(Record::threat(&file(1), false, Some(5), RecordScope::Global));
    records.push(Record::threat(&file(1), true, Some(2), RecordScope::Profile));
    records.push(Record::threat(&file(1), true, Some(3), RecordScope::Global));
    records.push(Record::file(&file(2), RecordKind::ClosureFile, RecordScope::Profile));
    let policy = published(at(1, 1), records);
    let listing = policy.lookup_file(&file(1));
    assert_eq!(listing.denied_by_person, Some(Scope::Global));
    assert_eq!(listing.allowed_by_person, Some(Scope::Profile));
    assert_eq!(listing.allowed_by_rule, Some(Scope::Profile));
    let threat = Reputation { class: Class::Malicious, trust_factor: None, threat_level: Some(3), threat_name: None };
    assert_eq!(listing.threat, Some(threat));
    assert!(!listing.closure && policy.lookup_file(&file(2)).closure);
    assert_eq!(policy.lookup_file(&file(3)), Default::default());
}

#[test]
fn a_denied_source_is_denied_whoever_allowed_it() {
    let key = |name: &str| SourceKey::package(PackageManager::Dpkg, name);
    let publisher = SourceKey::publisher(&file(5));
    let policy = published(
        at(1, 1),
        [
            Record::source(&key("bash"), RecordKind::PackageAllowed, RecordScope::Global),
            Record::source(&key("nmap"), RecordKind::PackageAllowed, RecordScope::Global),
            Record::source(&key("nmap"), RecordKind::PackageDenied, RecordScope::Profile),
            Record::source(&publisher, RecordKind::PublisherDenied, RecordScope::Global),
        ],
    );
    assert_eq!(policy.package(PackageManager::Dpkg, "bash", "1"), Listing::Allowed);
    assert_eq!(policy.package(PackageManager::Rpm, "bash", "1"), Listing::Unlisted, "another manager, another package");
    assert_eq!(policy.package(PackageManager::Dpkg, "nmap", "1"), Listing::Denied);
    assert_eq!(policy.package(PackageManager::Dpkg, "zsh", "1"), Listing::Unlisted);
    assert_eq!(policy.publisher(&file(5)), Listing::Denied);
    assert_eq!(policy.publisher(&file(6)), Listing::Unlisted);
}

#[test]
fn equal_records_are_published_once_with_the_highest_threat_level() {
    let threat = |level| Record::threat(&file(1), true, level, RecordScope::Global);
    let policy = published(at(1, 1), [threat(Some(1)), deny(9), threat(None), threat(Some(4)), deny(9)]);
    assert_eq!(policy.records().collect::<Vec<_>>(), [threat(Some(4)), deny(9)]);
    assert_eq!(policy.head().count, 2);
}

#[test]
fn nothing_is_listed_before_anything_is_published() {
    let policy = Policy::empty(profile(1), TrustRules::default());
    assert_eq!(policy.head().position(), at(0, 0));
    assert_eq!(policy.lookup_file(&file(1)), Default::default());
    assert!(policy.head().position() < at(0, 1));
}

proptest! {
    #[test]
    fn the_root_is_what_the_specification_says(records in strategy::records()) {
        let policy = published(at(1, 1), records);
        let bytes: Vec<_> = policy.records().map(|record| record.to_bytes()).collect();
        prop_assert!(bytes.is_sorted_by(|a, b| a[..34] < b[..34]));
        prop_assert_eq!(policy.head().root.as_bytes(), &root_of(&bytes));
    }

    #[test]
    fn the_order_of_publishing_does_not_matter(records in strategy::records()) {
        let reversed = records.iter().rev().copied().collect::<Vec<_>>();
        prop_assert_eq!(published(at(1, 1), records), published(at(1, 1), reversed));
    }

    #[test]
    fn a_look_up_finds_exactly_what_was_published(records in strategy::records(), file in 0..60_u8) {
        let policy = published(at(1, 1), records.clone());
        let file = doorward_policy::Sha256::new([file.wrapping_mul(37); 32]);
        let scope = |kind| {
            let named = records.iter().filter(|record| record.key() == file.as_bytes() && record.kind() == kind);
            named.map(|record| Scope::from(record.scope())).max()
        };
        let listing = policy.lookup_file(&file);
        prop_assert_eq!(listing.denied_by_person, scope(RecordKind::FileDeniedByPerson));
        prop_assert_eq!(listing.allowed_by_person, scope(RecordKind::FileAllowedByPerson));
        prop_assert_eq!(listing.allowed_by_rule, scope(RecordKind::FileAllowedByRule));
        prop_assert_eq!(listing.closure, scope(RecordKind::ClosureFile).is_some());
        let is_threat = scope(RecordKind::FileThreatMalicious).or(scope(RecordKind::FileThreatSuspicious)).is_some();
        prop_assert_eq!(listing.threat.is_some(), is_threat);
    }

    #[test]
    fn any_bytes_are_a_record_or_a_refusal(bytes in any::<[u8; 32]>(), rest in any::<[u8; 8]>()) {
        let bytes: [u8; 40] = [bytes.as_slice(), &rest].concat().try_into().unwrap();
        if let Ok(record) = Record::from_bytes(&bytes) {
            prop_assert_eq!(record.to_bytes(), bytes);
        }
    }
}
