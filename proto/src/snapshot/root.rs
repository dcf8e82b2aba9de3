//! The root: one hash over all records, made of 256 so that two sides can find where they differ without sending everything.

use doorward_policy::Blake3;

use super::Record;

const DOMAIN: &[u8] = b"doorward/policy-root/v1";

/// The root over records that rise strictly, and over the bytes of the version rules where there are any.
pub(super) fn root(records: &[[u8; Record::BYTES]], version_rules: &[u8]) -> Blake3 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN);
    let mut rest = records;
    for bucket in 0..=u8::MAX {
        let (records, later) = rest.split_at(rest.partition_point(|record| record[0] <= bucket));
        hasher.update(blake3::hash(records.as_flattened()).as_bytes());
        rest = later;
    }
    if !version_rules.is_empty() {
        hasher.update(blake3::hash(version_rules).as_bytes());
    }
    Blake3::new(*hasher.finalize().as_bytes())
}
