//! Eight bytes that stand for "this identity was looked at and is no candidate".

use super::FingerprintKey;
use crate::identify::{Identity, NameClaim};

/// Fingerprints in ascending order, without repeats.
pub(crate) type Fingerprints = [u64];

/// The fingerprint of an identity met under a name with this claim.
pub(crate) fn of(key: &FingerprintKey, identity: &Identity, claim: NameClaim) -> u64 {
    let mut message = [0; Identity::KEY_BYTES + 1];
    message[..Identity::KEY_BYTES].copy_from_slice(&identity.key());
    message[Identity::KEY_BYTES] = claim as u8;
    let digest = blake3::keyed_hash(key, &message);
    u64::from_be_bytes(std::array::from_fn(|at| digest.as_bytes()[at]))
}

/// Where a fingerprint stands in a sorted list.
///
/// PERF: keyed digests spread evenly, so its value tells its place to within a few dozen entries: three probes where a
/// binary search of 340,000 makes eighteen.
pub(crate) fn find(list: &Fingerprints, fingerprint: u64) -> Option<usize> {
    let guess = ((u128::from(fingerprint) * list.len() as u128) >> 64) as usize;
    let (mut start, mut end) = (guess, guess);
    let mut step = 16;
    while start > 0 && list[start] > fingerprint {
        start = start.saturating_sub(step);
        step *= 4;
    }
    step = 16;
    while end < list.len() && list[end] < fingerprint {
        end = (end + step).min(list.len());
        step *= 4;
    }
    let end = (end + 1).min(list.len());
    list.get(start..end)?.binary_search(&fingerprint).ok().map(|at| start + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finding_agrees_with_a_plain_search_on_any_list(
            mut list in proptest::collection::vec(any::<u64>(), 0..500),
            others in proptest::collection::vec(any::<u64>(), 0..50),
        ) {
            list.sort_unstable();
            list.dedup();
            for fingerprint in list.iter().copied().chain(others).chain([0, u64::MAX]) {
                prop_assert_eq!(find(&list, fingerprint), list.binary_search(&fingerprint).ok());
            }
        }

        #[test]
        fn finding_agrees_on_lists_that_are_bunched_together(mut list in proptest::collection::vec(0u64..1000, 0..500)) {
            list.sort_unstable();
            list.dedup();
            for fingerprint in 0..1000 {
                prop_assert_eq!(find(&list, fingerprint), list.binary_search(&fingerprint).ok());
            }
        }
    }
}
