//! Rules on some versions of packages: they come whole and as they were signed, by snapshot, step and file, or not at all.

use bytes::Bytes;
use doorward_policy::{Listing, PackageManager, SourceKey, TrustRules};
use doorward_proto::limit::{VERSION_RULES_BYTES_MAX, VERSION_RULES_MAX};
use doorward_proto::snapshot::{
    Assembler, Part, Policy, Position, Record, RecordKind, RecordScope, Refusal, VersionRule, VersionRules, source_record_key,
};
use doorward_proto::v1;
use proptest::prelude::*;

use crate::policy::{at, deny, root_of, signer};
use crate::sample::profile;

fn key(name: &str) -> SourceKey {
    SourceKey::package(PackageManager::Dpkg, name)
}

fn denies(name: &str, versions: &str) -> VersionRule {
    VersionRule::new(source_record_key(&key(name)), true, RecordScope::Profile, versions.parse().unwrap())
}

fn allows(name: &str, versions: &str) -> VersionRule {
    VersionRule::new(source_record_key(&key(name)), false, RecordScope::Global, versions.parse().unwrap())
}

fn policy(position: Position, rules: impl IntoIterator<Item = VersionRule>, records: impl IntoIterator<Item = Record>) -> Policy {
    let rules = VersionRules::new(rules).unwrap();
    Policy::publish_with(profile(1), position, TrustRules::default(), rules, records, &signer()).unwrap()
}

fn two() -> Policy {
    policy(at(1, 1), [denies("openssl", "< 3.0.9-1"), allows("openssl", ">= 3.0.9-1")], [deny(1)])
}

fn assemble(parts: impl IntoIterator<Item = Part>) -> Result<Option<Policy>, Refusal> {
    let mut assembler = Assembler::new(signer().verifier(), profile(1));
    for part in parts {
        let part = Part::try_from(v1::PolicySnapshot::from(part)).unwrap();
        if let Some(policy) = assembler.push(part, at(0, 0))? {
            return Ok(Some(policy));
        }
    }
    Ok(None)
}

#[test]
fn a_rule_has_the_layout_that_was_promised() {
    let rules = VersionRules::new([denies("openssl", "<3")]).unwrap();
    let mut bytes = source_record_key(&key("openssl")).to_vec();
    bytes.extend_from_slice(b"\x11\x01\x00\x03< 3");
    assert_eq!(rules.bytes(), &bytes);
    let policy = policy(at(1, 1), [denies("openssl", "<3")], [deny(1)]);
    let mut text = b"doorward/policy-root/v1".to_vec();
    let record = deny(1).to_bytes();
    for bucket in 0..=255 {
        let in_bucket: &[u8] = if record[0] == bucket { &record } else { &[] };
        text.extend_from_slice(blake3::hash(in_bucket).as_bytes());
    }
    text.extend_from_slice(blake3::hash(&bytes).as_bytes());
    assert_eq!(policy.head().root.as_bytes(), blake3::hash(&text).as_bytes());
    assert_ne!(policy.head().root.as_bytes(), &root_of(&[record]));
}

#[test]
fn a_policy_answers_by_version() {
    let mut records = vec![Record::source(&key("nmap"), RecordKind::PackageDenied, RecordScope::Profile)];
    records.push(Record::source(&key("openssl"), RecordKind::PackageAllowed, RecordScope::Profile));
    let policy = policy(at(1, 1), [denies("openssl", "< 3.0.9-1"), denies("curl", "[7, 8)")], records);
    let says = |name, version| policy.package(PackageManager::Dpkg, name, version);
    assert_eq!(says("openssl", "3.0.8-1"), Listing::Denied);
    assert_eq!(says("openssl", "3.0.9-1"), Listing::Allowed);
    assert_eq!((says("curl", "7.88"), says("curl", "8.0")), (Listing::Denied, Listing::Unlisted));
    assert_eq!(says("nmap", "1"), Listing::Denied);
    assert_eq!(policy.package(PackageManager::Rpm, "curl", "7.88"), Listing::Unlisted, "another manager, another package");
}

#[test]
fn snapshot_step_and_file_bring_the_same() {
    let policy = two();
    assert_eq!(assemble(policy.parts()), Ok(Some(policy.clone())));
    assert_eq!(Policy::decode(&policy.encode(), &signer().verifier(), profile(1)), Ok(policy.clone()));
    let base = self::policy(at(1, 0), [], [deny(1)]);
    let delta = base.diff(&policy).unwrap();
    assert!(delta.upserts.is_empty() && delta.version_rules.is_some());
    assert_eq!(base.apply_delta(&delta, &signer().verifier()), Ok(policy.clone()));
    let later = self::policy(at(1, 2), [], [deny(1)]);
    let gone = policy.diff(&later).unwrap();
    assert_eq!(gone.version_rules, Some(Bytes::new()), "that there are none any more is said");
    assert_eq!(policy.apply_delta(&gone, &signer().verifier()), Ok(later));
    let same = self::policy(at(1, 2), policy.version_rules().iter().cloned(), [deny(2)]);
    let step = policy.diff(&same).unwrap();
    assert_eq!(step.version_rules, None, "what stays is not sent again");
    assert_eq!(policy.apply_delta(&step, &signer().verifier()), Ok(same));
}

#[test]
fn rules_that_were_left_out_or_put_in_are_refused() {
    let policy = two();
    let without: Vec<_> = policy.parts().filter(|part| !matches!(part, Part::VersionRules(_))).collect();
    assert_eq!(assemble(without), Err(Refusal::WrongRoot));
    let fewer = VersionRules::new([allows("openssl", ">= 3.0.9-1")]).unwrap();
    let other = policy.parts().map(|part| match part {
        Part::VersionRules(_) => Part::VersionRules(fewer.bytes().clone()),
        part => part,
    });
    assert_eq!(assemble(other), Err(Refusal::WrongRoot));
    let base = self::policy(at(1, 0), [], [deny(1)]);
    let mut delta = base.diff(&policy).unwrap();
    delta.version_rules = None;
    assert_eq!(base.apply_delta(&delta, &signer().verifier()), Err(Refusal::WrongRoot));
}

#[test]
fn rules_come_once_and_before_the_records() {
    let parts: Vec<_> = two().parts().collect();
    let [head, rules, records, end] = &parts[..] else { panic!("{parts:?}") };
    assert!(matches!(rules, Part::VersionRules(_)));
    for order in [[head, records, rules, end], [head, rules, rules, end], [rules, head, records, end]] {
        assert_eq!(assemble(order.map(Part::clone)), Err(Refusal::OutOfTurn));
    }
}

#[test]
fn what_a_later_server_may_mean_is_refused() {
    let rule = VersionRules::new([denies("openssl", "< 3")]).unwrap().bytes().to_vec();
    for (at, byte) in [(32, 18), (32, 99), (33, 3), (36, b'~'), (37, b'_'), (35, 2), (35, 9)] {
        let mut changed = rule.clone();
        changed[at] = byte;
        assert_eq!(VersionRules::read(&changed.into()), Err(Refusal::UnknownVersionRule), "byte {at}");
    }
    assert_eq!(VersionRules::read(&[&rule[..], &rule[..]].concat().into()), Err(Refusal::Unsorted));
    assert_eq!(VersionRules::read(&rule[..rule.len() - 1].to_vec().into()), Err(Refusal::UnknownVersionRule));
}

#[test]
fn there_may_be_so_many_and_no_more() {
    let rule = |number: usize| denies("openssl", &format!("= {number}"));
    assert!(VersionRules::new((0..VERSION_RULES_MAX).map(rule)).is_ok());
    assert_eq!(VersionRules::new((0..=VERSION_RULES_MAX).map(rule)).unwrap_err(), Refusal::TooLarge);
    let long = |number: usize| denies("openssl", &format!("[{number}.{}, {number}.{}]", "1".repeat(120), "2".repeat(120)));
    let longest = VersionRules::new((0..VERSION_RULES_MAX).map(long)).unwrap();
    assert!(longest.bytes().len() <= VERSION_RULES_BYTES_MAX, "the number is the bound that is met");
    assert_eq!(VersionRules::read(&vec![0; VERSION_RULES_BYTES_MAX + 1].into()), Err(Refusal::TooLarge));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_are_rules_that_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(rules) = VersionRules::read(&bytes.clone().into()) {
            let again = VersionRules::new(rules.iter().cloned()).unwrap();
            prop_assert_eq!(again.bytes(), &bytes);
        }
    }
}
