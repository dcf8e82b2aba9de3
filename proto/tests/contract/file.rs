//! The file a host keeps its policy in: whatever happens to it, it reads back as what was published or not at all.

use doorward_policy::TrustRules;
use doorward_proto::snapshot::{Policy, PolicyVerifier, Refusal};
use proptest::prelude::*;

use crate::policy::{allow, at, deny, published, signer};
use crate::sample::profile;
use crate::strategy;

fn decode(bytes: &[u8]) -> Result<Policy, Refusal> {
    Policy::decode(bytes, &signer().verifier(), profile(1))
}

#[test]
fn every_flipped_byte_is_noticed() {
    let policy = published(at(3, 4), [deny(1), allow(2), deny(200)]);
    let bytes = policy.encode();
    assert_eq!(decode(&bytes), Ok(policy));
    for at in 0..bytes.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= mask;
            assert!(decode(&spoilt).is_err(), "byte {at} ^ {mask:#x}");
        }
    }
}

#[test]
fn every_cut_is_noticed_and_so_is_every_byte_more() {
    let bytes = published(at(3, 4), [deny(1), allow(2)]).encode();
    for end in 0..bytes.len() {
        assert!(decode(&bytes[..end]).is_err(), "cut to {end}");
    }
    for more in [1, 39, 40, 80] {
        let mut longer = bytes.clone();
        longer.extend(std::iter::repeat_n(0, more));
        assert_eq!(decode(&longer), Err(Refusal::Surplus { expected: 2 }), "{more} more");
    }
    assert_eq!(decode(&bytes[..bytes.len() - 40]), Err(Refusal::Short { expected: 2, got: 1 }));
    assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(Refusal::Short { expected: 2, got: 1 }));
}

#[test]
fn another_hosts_file_is_refused() {
    let bytes = published(at(3, 4), [deny(1)]).encode();
    assert_eq!(Policy::decode(&bytes, &PolicyVerifier::new([9; 32]), profile(1)), Err(Refusal::WrongSignature));
    assert_eq!(Policy::decode(&bytes, &signer().verifier(), profile(2)), Err(Refusal::WrongProfile));
}

#[test]
fn what_was_never_published_does_not_read_back() {
    let empty = Policy::empty(profile(1), TrustRules::default());
    assert_eq!(decode(&empty.encode()), Err(Refusal::WrongSignature));
    for bytes in [b"".as_slice(), b"\0", b"doorward policy file 1\n", b"doorward policy file 2\n"] {
        assert_eq!(decode(bytes), Err(Refusal::NotAPolicy));
    }
}

proptest! {
    #[test]
    fn any_policy_reads_back(records in strategy::records(), rules in strategy::rules()) {
        let policy = Policy::publish(profile(1), at(1, 1), rules, records, &signer()).unwrap();
        let bytes = policy.encode();
        prop_assert!(bytes.len() <= Policy::FILE_BYTES_MAX);
        prop_assert_eq!(decode(&bytes), Ok(policy));
    }

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(decode(&bytes).is_err());
        let mut named = b"doorward policy file 2\n".to_vec();
        named.extend(bytes);
        prop_assert!(decode(&named).is_err());
    }
}
