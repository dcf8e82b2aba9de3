//! Snapshots as a broken or hostile sender would send them: every one is refused, and refusing changes nothing.

use bytes::Bytes;
use doorward_policy::TrustRules;
use doorward_proto::snapshot::{Assembler, Head, Part, Policy, Position, Refusal, SignedHead};
use doorward_proto::v1;
use proptest::prelude::*;

use crate::policy::{allow, at, deny, published, root_of, signer};
use crate::sample::profile;
use crate::strategy;

/// Pushes parts until the policy or the first refusal.
fn assemble(parts: impl IntoIterator<Item = Part>, current: Position) -> Result<Option<Policy>, Refusal> {
    let mut assembler = Assembler::new(signer().verifier(), profile(1));
    for part in parts {
        if let Some(policy) = assembler.push(part, current)? {
            assert!(!assembler.is_open());
            return Ok(Some(policy));
        }
    }
    Ok(None)
}

/// A head over these bytes, properly signed: what a faulty CMS, or one of a later version, could send.
fn signed_over(records: &[[u8; 40]], count: u64) -> SignedHead {
    let root = doorward_policy::Blake3::new(root_of(records));
    signer().sign(Head { profile: profile(1), epoch: 1, revision: 1, count, root, rules: TrustRules::default() })
}

fn parts_over(records: &[[u8; 40]]) -> [Part; 3] {
    let count = records.len() as u64;
    [Part::Head(signed_over(records, count)), Part::Records(records.as_flattened().to_vec().into()), Part::End { count }]
}

fn two_records() -> [[u8; 40]; 2] {
    [deny(1).to_bytes(), allow(2).to_bytes()]
}

#[test]
fn an_honest_snapshot_is_taken() {
    let policy = published(at(1, 1), [deny(1), allow(2)]);
    assert_eq!(assemble(policy.parts(), at(0, 0)), Ok(Some(policy)));
    let empty = published(at(1, 1), []);
    assert_eq!(assemble(empty.parts(), at(0, 9)), Ok(Some(empty)));
}

#[test]
fn a_large_snapshot_comes_in_parts_that_fit_their_messages() {
    let file = |number: u32| {
        let digest = blake3::hash(&number.to_be_bytes());
        doorward_policy::Sha256::new(*digest.as_bytes())
    };
    let record = |number| {
        let kind = doorward_proto::snapshot::RecordKind::FileAllowedByRule;
        doorward_proto::snapshot::Record::file(&file(number), kind, doorward_proto::snapshot::RecordScope::Profile)
    };
    let policy = published(at(1, 1), (0..60_000).map(record));
    let parts: Vec<Part> = policy.parts().collect();
    assert_eq!(parts.len(), 2 + 3);
    let through_wire = parts.into_iter().map(|part| Part::try_from(v1::PolicySnapshot::from(part)).unwrap());
    assert_eq!(assemble(through_wire, at(0, 0)), Ok(Some(policy)));
}

#[test]
fn a_snapshot_that_was_cut_is_refused() {
    let [head, records, end] = parts_over(&two_records());
    assert_eq!(assemble([head.clone(), records.clone()], at(0, 0)), Ok(None), "not taken before its end");
    let short = Refusal::Short { expected: 2, got: 1 };
    let one = Part::Records(Bytes::copy_from_slice(&two_records()[0]));
    assert_eq!(assemble([head.clone(), one, end.clone()], at(0, 0)), Err(short));
    assert_eq!(assemble([head.clone(), end], at(0, 0)), Err(Refusal::Short { expected: 2, got: 0 }));
    for count in [0, 1, 3] {
        let refusal = assemble([head.clone(), records.clone(), Part::End { count }], at(0, 0)).unwrap_err();
        assert!(matches!(refusal, Refusal::Short { .. } | Refusal::Surplus { .. }), "{refusal}");
    }
}

#[test]
fn an_extra_record_is_refused_as_it_comes() {
    let [head, records, end] = parts_over(&two_records());
    let extra = Part::Records(Bytes::copy_from_slice(&deny(9).to_bytes()));
    assert_eq!(assemble([head, records, extra, end], at(0, 0)), Err(Refusal::Surplus { expected: 2 }));
}

#[test]
fn records_out_of_order_or_twice_are_refused() {
    let [first, second] = two_records();
    assert_eq!(assemble(parts_over(&[second, first]), at(0, 0)), Err(Refusal::Unsorted));
    assert_eq!(assemble(parts_over(&[first, first]), at(0, 0)), Err(Refusal::Unsorted));
    // Order holds across parts too.
    let [head, _, end] = parts_over(&[second, first]);
    let apart = [head, Part::Records(Bytes::copy_from_slice(&second)), Part::Records(Bytes::copy_from_slice(&first)), end];
    assert_eq!(assemble(apart, at(0, 0)), Err(Refusal::Unsorted));
}

#[test]
fn records_that_were_not_signed_are_refused() {
    let [head, _, end] = parts_over(&two_records());
    let swapped = [allow(1).to_bytes(), deny(2).to_bytes()].as_flattened().to_vec();
    assert_eq!(assemble([head, Part::Records(swapped.into()), end], at(0, 0)), Err(Refusal::WrongRoot));
}

#[test]
fn a_count_that_is_not_the_records_is_refused() {
    let records = two_records();
    let bytes = || Part::Records(records.as_flattened().to_vec().into());
    let long = [Part::Head(signed_over(&records, 3)), bytes(), Part::End { count: 3 }];
    assert_eq!(assemble(long, at(0, 0)), Err(Refusal::Short { expected: 3, got: 2 }));
    let short = [Part::Head(signed_over(&records, 1)), bytes(), Part::End { count: 1 }];
    assert_eq!(assemble(short, at(0, 0)), Err(Refusal::Surplus { expected: 1 }));
}

#[test]
fn a_head_nobody_signed_is_refused_before_any_record() {
    let mut signed = signed_over(&two_records(), 2);
    signed.signature[7] ^= 1;
    assert_eq!(assemble([Part::Head(signed)], at(0, 0)), Err(Refusal::WrongSignature));
}

#[test]
fn a_count_beyond_any_policy_is_refused_before_any_record() {
    assert_eq!(assemble([Part::Head(signed_over(&[], 4_000_001))], at(0, 0)), Err(Refusal::TooLarge));
    let message = v1::PolicyHead::from(signed_over(&[], 4_000_001));
    let message = v1::PolicySnapshot { part: Some(v1::policy_snapshot::Part::Head(message)) };
    assert_eq!(Part::try_from(message).unwrap_err().field, "PolicyHead.count");
}

#[test]
fn a_replayed_policy_is_refused() {
    let offered = at(2, 5);
    let policy = published(offered, [deny(1)]);
    for current in [at(2, 5), at(2, 6), at(3, 0), at(3, 9)] {
        assert_eq!(assemble(policy.parts(), current), Err(Refusal::NotNewer { current, offered }), "{current}");
    }
    for current in [at(0, 0), at(1, 900), at(2, 4)] {
        assert!(assemble(policy.parts(), current).is_ok(), "{current}");
    }
}

#[test]
fn a_policy_that_grew_old_on_its_way_is_refused() {
    let policy = published(at(1, 5), [deny(1)]);
    let mut assembler = Assembler::new(signer().verifier(), profile(1));
    let mut parts = policy.parts();
    assembler.push(parts.next().unwrap(), at(1, 1)).unwrap();
    assembler.push(parts.next().unwrap(), at(1, 1)).unwrap();
    let refusal = assembler.push(parts.next().unwrap(), at(1, 6)).unwrap_err();
    assert_eq!(refusal, Refusal::NotNewer { current: at(1, 6), offered: at(1, 5) });
}

#[test]
fn another_profiles_policy_is_refused() {
    let policy = Policy::publish(profile(2), at(1, 1), TrustRules::default(), [deny(1)], &signer()).unwrap();
    assert_eq!(assemble(policy.parts(), at(0, 0)), Err(Refusal::WrongProfile));
}

#[test]
fn a_record_of_a_later_version_refuses_the_whole_policy() {
    let spoil = |at: usize, byte: u8| {
        let mut records = two_records();
        records[1][at] = byte;
        records
    };
    assert_eq!(assemble(parts_over(&spoil(32, 77)), at(0, 0)), Err(Refusal::UnknownRecordKind(77)));
    assert_eq!(assemble(parts_over(&spoil(33, 9)), at(0, 0)), Err(Refusal::UnknownRecordKind(2)));
    for flag in 34..40 {
        assert_eq!(assemble(parts_over(&spoil(flag, 1)), at(0, 0)), Err(Refusal::UnknownRecordKind(2)), "flag {flag}");
    }
}

#[test]
fn parts_out_of_turn_are_refused() {
    let [head, records, end] = parts_over(&two_records());
    assert_eq!(assemble([records.clone()], at(0, 0)), Err(Refusal::OutOfTurn));
    assert_eq!(assemble([end.clone()], at(0, 0)), Err(Refusal::OutOfTurn));
    assert_eq!(assemble([head.clone(), head], at(0, 0)), Err(Refusal::OutOfTurn));
}

#[test]
fn after_a_refusal_nothing_counts_but_a_new_head() {
    let [head, records, end] = parts_over(&two_records());
    let mut assembler = Assembler::new(signer().verifier(), profile(1));
    assembler.push(head.clone(), at(0, 0)).unwrap();
    assert_eq!(assembler.push(Part::End { count: 9 }, at(0, 0)), Err(Refusal::Short { expected: 2, got: 9 }));
    assert!(!assembler.is_open());
    assert_eq!(assembler.push(records.clone(), at(0, 0)), Err(Refusal::OutOfTurn));
    assert_eq!(assembler.push(end.clone(), at(0, 0)), Err(Refusal::OutOfTurn));
    assembler.push(head, at(0, 0)).unwrap();
    assembler.push(records, at(0, 0)).unwrap();
    assert!(assembler.push(end, at(0, 0)).unwrap().is_some());
}

#[test]
fn half_a_record_is_refused_at_the_edge_and_by_the_assembler() {
    let half = Bytes::copy_from_slice(&two_records()[0][..39]);
    let message = v1::PolicySnapshot { part: Some(v1::policy_snapshot::Part::Records(half.clone())) };
    assert_eq!(Part::try_from(message).unwrap_err().field, "PolicySnapshot.records");
    let [head, _, _] = parts_over(&two_records());
    assert!(assemble([head, Part::Records(half)], at(0, 0)).is_err());
}

#[test]
fn a_part_beyond_its_limit_is_refused_at_the_edge() {
    let max = doorward_proto::limit::PART_BYTES_MAX;
    let bytes = vec![0; max.next_multiple_of(40)].into();
    let message = v1::PolicySnapshot { part: Some(v1::policy_snapshot::Part::Records(bytes)) };
    assert_eq!(Part::try_from(message).unwrap_err().field, "PolicySnapshot.records");
}

#[derive(Debug, Clone)]
enum Spoil {
    Drop(prop::sample::Index),
    Twice(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Flip(prop::sample::Index, prop::sample::Index, u8),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Spoil::Drop),
        index().prop_map(Spoil::Twice),
        (index(), index()).prop_map(|(a, b)| Spoil::Swap(a, b)),
        (index(), index(), 1..=255_u8).prop_map(|(record, byte, mask)| Spoil::Flip(record, byte, mask)),
    ]
}

proptest! {
    #[test]
    fn any_snapshot_arrives_as_it_was_published(records in strategy::records(), rules in strategy::rules()) {
        let policy = Policy::publish(profile(1), at(1, 1), rules, records, &signer()).unwrap();
        let parts = policy.parts().map(|part| Part::try_from(v1::PolicySnapshot::from(part)).unwrap());
        prop_assert_eq!(assemble(parts, at(1, 0)).unwrap().unwrap(), policy);
    }

    /// Whatever happens to the records on their way, either they arrive as they were or not at all.
    #[test]
    fn no_spoilt_snapshot_is_taken(records in strategy::records(), spoil in spoil()) {
        let policy = published(at(1, 1), records);
        let mut bytes: Vec<[u8; 40]> = policy.records().map(|record| record.to_bytes()).collect();
        prop_assume!(!bytes.is_empty());
        let count = bytes.len();
        match spoil {
            Spoil::Drop(at) => drop(bytes.remove(at.index(count))),
            Spoil::Twice(at) => bytes.push(bytes[at.index(count)]),
            Spoil::Swap(a, b) => bytes.swap(a.index(count), b.index(count)),
            Spoil::Flip(record, byte, mask) => bytes[record.index(count)][byte.index(40)] ^= mask,
        }
        let parts = [
            Part::Head(*policy.signed_head()),
            Part::Records(bytes.as_flattened().to_vec().into()),
            Part::End { count: count as u64 },
        ];
        match assemble(parts, at(0, 0)) {
            Ok(taken) => prop_assert_eq!(taken, Some(policy)),
            Err(_) => prop_assert!(bytes != policy.records().map(|record| record.to_bytes()).collect::<Vec<_>>()),
        }
    }
}
