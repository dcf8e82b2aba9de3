//! Deltas: a step gives exactly what the later snapshot would give, or nothing.

use bytes::Bytes;
use doorward_policy::TrustRules;
use doorward_proto::snapshot::{Delta, Policy, Position, Refusal};
use doorward_proto::v1;
use proptest::prelude::*;

use crate::policy::{allow, at, deny, published, signer};
use crate::sample::profile;
use crate::strategy;

fn apply(base: &Policy, delta: &Delta) -> Result<Policy, Refusal> {
    base.apply_delta(delta, &signer().verifier())
}

fn step() -> (Policy, Policy, Delta) {
    let base = published(at(1, 1), [deny(1), deny(3), allow(5)]);
    let later = published(at(1, 2), [allow(1), deny(3), deny(4)]);
    let delta = base.diff(&later).unwrap();
    (base, later, delta)
}

#[test]
fn a_step_names_only_what_changed() {
    let (base, later, delta) = step();
    assert_eq!((delta.upserts.len(), delta.removals.len()), (2 * 40, 2 * 34));
    assert_eq!(apply(&base, &delta), Ok(later));
}

#[test]
fn a_changed_threat_level_is_a_replacement() {
    let threat = |level| {
        doorward_proto::snapshot::Record::threat(&crate::sample::file(1), true, Some(level), doorward_proto::snapshot::RecordScope::Global)
    };
    let (base, later) = (published(at(1, 1), [threat(1)]), published(at(1, 2), [threat(5)]));
    let delta = base.diff(&later).unwrap();
    assert_eq!((delta.upserts.len(), delta.removals.len()), (40, 0));
    assert_eq!(apply(&base, &delta), Ok(later));
}

#[test]
fn the_first_policy_can_be_a_step_from_nothing() {
    let empty = Policy::empty(profile(1), TrustRules::default());
    let later = published(at(1, 1), [deny(1)]);
    assert_eq!(apply(&empty, &empty.diff(&later).unwrap()), Ok(later));
}

#[test]
fn a_step_from_another_policy_is_refused() {
    let (_, _, delta) = step();
    for position in [at(1, 0), at(0, 1)] {
        let other = published(position, [deny(1), deny(3), allow(5)]);
        assert_eq!(apply(&other, &delta), Err(Refusal::WrongBase { current: position, base: at(1, 1) }));
    }
}

#[test]
fn a_replayed_step_is_refused() {
    let (_, later, delta) = step();
    for current in [at(1, 2), at(1, 3), at(2, 0)] {
        let ahead = published(current, [deny(1)]);
        assert_eq!(apply(&ahead, &delta), Err(Refusal::NotNewer { current, offered: at(1, 2) }));
    }
    assert_eq!(apply(&later, &delta), Err(Refusal::NotNewer { current: at(1, 2), offered: at(1, 2) }));
}

#[test]
fn a_step_that_was_tampered_with_is_refused() {
    let (base, _, delta) = step();
    let spoilt = |spoil: fn(&mut Delta)| {
        let mut delta = delta.clone();
        spoil(&mut delta);
        apply(&base, &delta).unwrap_err()
    };
    assert_eq!(spoilt(|delta| delta.head.signature[0] ^= 1), Refusal::WrongSignature);
    assert_eq!(spoilt(|delta| delta.head.head.revision += 1), Refusal::WrongSignature);
    assert_eq!(spoilt(|delta| delta.removals = Bytes::new()), Refusal::Surplus { expected: 3 });
    assert_eq!(spoilt(|delta| delta.upserts = Bytes::new()), Refusal::Short { expected: 3, got: 1 });
    assert_eq!(spoilt(|delta| delta.upserts = delta.upserts.slice(..79)), Refusal::Unsorted, "half a record");
    assert_eq!(spoilt(|delta| delta.removals = delta.removals.slice(..67)), Refusal::Unsorted, "half a removal");
    let swapped = |bytes: &Bytes, width: usize| Bytes::from([&bytes[width..], &bytes[..width]].concat());
    let mut unsorted = delta.clone();
    unsorted.upserts = swapped(&delta.upserts, 40);
    assert_eq!(apply(&base, &unsorted), Err(Refusal::Unsorted));
    let mut unsorted = delta.clone();
    unsorted.removals = swapped(&delta.removals, 34);
    assert_eq!(apply(&base, &unsorted), Err(Refusal::Unsorted));
    assert_eq!(
        spoilt(|delta| {
            let mut upserts = delta.upserts.to_vec();
            upserts[32] = 200;
            delta.upserts = upserts.into();
        }),
        Refusal::UnknownRecordKind(200)
    );
    assert_eq!(
        spoilt(|delta| {
            let mut upserts = delta.upserts.to_vec();
            upserts[31] ^= 1;
            delta.upserts = upserts.into();
        }),
        Refusal::WrongRoot
    );
}

#[test]
fn another_profiles_step_is_refused() {
    let of = |revision, records: Vec<_>| Policy::publish(profile(2), at(1, revision), TrustRules::default(), records, &signer()).unwrap();
    let delta = of(1, vec![]).diff(&of(2, vec![deny(1)])).unwrap();
    assert_eq!(apply(&published(at(1, 1), []), &delta), Err(Refusal::WrongProfile));
}

#[test]
fn a_refused_step_leaves_the_policy_as_it_was() {
    let (base, _, mut delta) = step();
    let before = base.encode();
    delta.removals = Bytes::new();
    assert!(apply(&base, &delta).is_err());
    assert_eq!(base.encode(), before);
}

#[test]
fn a_step_too_big_for_a_message_is_none() {
    let many = |revision, from: u32| {
        let records = (from..from + 30_000).map(|number| {
            let file = doorward_policy::Sha256::new(*blake3::hash(&number.to_be_bytes()).as_bytes());
            doorward_proto::snapshot::Record::file(
                &file,
                doorward_proto::snapshot::RecordKind::FileAllowedByRule,
                doorward_proto::snapshot::RecordScope::Profile,
            )
        });
        published(at(1, revision), records)
    };
    let (empty, full) = (published(at(1, 1), []), many(2, 0));
    assert_eq!(empty.diff(&full), None, "too many upserts");
    assert!(many(1, 0).diff(&published(at(1, 2), [])).is_some(), "30,000 removals fit");
    let delta = full.diff(&many(3, 20_000)).expect("20,000 of each fit");
    let message = v1::PolicyDelta::from(delta.clone());
    assert_eq!(Delta::try_from(message).unwrap(), delta);
}

fn positions() -> impl Strategy<Value = (Position, Position)> {
    (0..3_u64, 1..50_u64, 0..3_u64, 1..50_u64).prop_map(|(epoch, revision, epochs, revisions)| {
        let base = at(epoch, revision);
        (base, at(epoch + epochs, if epochs == 0 { revision + revisions } else { revisions }))
    })
}

proptest! {
    #[test]
    fn a_step_gives_what_the_snapshot_gives(
        old in strategy::records(),
        new in strategy::records(),
        rules in strategy::rules(),
        (from, to) in positions(),
    ) {
        let base = published(from, old);
        let later = Policy::publish(profile(1), to, rules, new, &signer()).unwrap();
        let delta = base.diff(&later).unwrap();
        let delta = Delta::try_from(v1::PolicyDelta::from(delta)).unwrap();
        let stepped = apply(&base, &delta).unwrap();
        prop_assert_eq!(&stepped, &later);
        prop_assert_eq!(stepped.encode(), later.encode());
    }

    /// Any upserts and removals under an honest head: the later policy, or a refusal.
    #[test]
    fn no_spoilt_step_gives_another_policy(
        old in strategy::records(),
        new in strategy::records(),
        foreign in strategy::records(),
        take_upserts in any::<bool>(),
    ) {
        let (base, later) = (published(at(1, 1), old), published(at(1, 2), new));
        let mut delta = base.diff(&later).unwrap();
        let other = base.diff(&published(at(1, 2), foreign)).unwrap();
        if take_upserts { delta.upserts = other.upserts } else { delta.removals = other.removals }
        if let Ok(taken) = apply(&base, &delta) {
            prop_assert_eq!(taken, later);
        }
    }
}
