//! What differs between two policies, key by key, so that a new deny or threat can be held against what is known at once.

use std::iter::Peekable;

use doorward_policy::Sha256;
use doorward_proto::snapshot::{Policy, Record, RecordKind};

/// One key whose records differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A file's records.
    File {
        /// The file.
        file: Sha256,
        /// A deny or threat is there that was not: look for the file at once.
        turned_against: bool,
    },
    /// A package's or publisher's records; the key is the digest of the source's name.
    Source {
        /// See `doorward_proto::snapshot::source_record_key`.
        key: [u8; 32],
        /// It is denied now and was not.
        turned_against: bool,
    },
}

/// Goes through everything that differs, in order of keys. Looks at every record of both; allocates nothing that grows with them.
pub fn changes(old: &Policy, new: &Policy, mut see: impl FnMut(Change)) {
    let (mut old, mut new) = (old.records().peekable(), new.records().peekable());
    loop {
        let key = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(one), None) | (None, Some(one)) => *one.key(),
            (Some(old), Some(new)) => *old.key().min(new.key()),
        };
        let (before, after) = (of_key(&mut old, &key), of_key(&mut new, &key));
        if before == after {
            continue;
        }
        let turned_against = is_against(&after) && !is_against(&before);
        let is_source = before.iter().chain(&after).any(|record| is_of_source(record.kind()));
        see(match is_source {
            true => Change::Source { key, turned_against },
            false => Change::File { file: Sha256::new(key), turned_against },
        });
    }
}

/// The records of one key; there are at most as many as kinds times scopes.
fn of_key(records: &mut Peekable<impl Iterator<Item = Record>>, key: &[u8; 32]) -> Vec<Record> {
    std::iter::from_fn(|| records.next_if(|record| record.key() == key)).collect()
}

fn is_against(records: &[Record]) -> bool {
    use RecordKind::{FileDeniedByPerson, PackageDenied, PublisherDenied};
    records.iter().any(|record| record.kind().is_threat() || matches!(record.kind(), FileDeniedByPerson | PackageDenied | PublisherDenied))
}

const fn is_of_source(kind: RecordKind) -> bool {
    use RecordKind::{PackageAllowed, PackageDenied, PublisherAllowed, PublisherDenied};
    matches!(kind, PackageAllowed | PackageDenied | PublisherAllowed | PublisherDenied)
}
