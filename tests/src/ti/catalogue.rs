//! The records of the simulated provider, found by any of a file's three checksums.
//!
//! Changing a record is how a test makes a verdict turn; the change holds from the next question on.

use std::collections::HashMap;

use anyhow::{Result, ensure};

use super::checksum::Checksum;
use super::record::Record;

/// Enough for the fleet benchmarks; a record takes some 500 bytes.
const RECORDS_MAX: usize = 1_000_000;

/// What the provider knows. Everything else is UNKNOWN.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    records: HashMap<Checksum, Record>,
    /// SHA-1 and MD5 to the SHA-256 that names the record.
    aliases: HashMap<Checksum, Checksum>,
}

impl Catalogue {
    /// Adds the record or replaces the one of the same SHA-256, its other checksums included.
    pub(crate) fn put(&mut self, record: Record) -> Result<()> {
        ensure!(
            self.records.len() < RECORDS_MAX || self.records.contains_key(&record.sha256),
            "the catalogue is full ({RECORDS_MAX} records)"
        );
        self.remove(&record.sha256);
        for alias in [record.sha1, record.md5].into_iter().flatten() {
            self.aliases.insert(alias, record.sha256);
        }
        self.records.insert(record.sha256, record);
        Ok(())
    }

    /// Makes the file UNKNOWN again; `None` when it was.
    pub(crate) fn remove(&mut self, sha256: &Checksum) -> Option<Record> {
        let record = self.records.remove(sha256)?;
        for alias in [record.sha1, record.md5].into_iter().flatten() {
            // A later record may have taken the alias over.
            if self.aliases.get(&alias) == Some(sha256) {
                self.aliases.remove(&alias);
            }
        }
        Some(record)
    }

    /// Accepts any of the three kinds.
    pub(crate) fn find(&self, checksum: &Checksum) -> Option<&Record> {
        let sha256 = self.aliases.get(checksum).unwrap_or(checksum);
        self.records.get(sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ti::record::RecordStatus;

    fn checksum(digit: &str, digits: usize) -> Checksum {
        digit.repeat(digits).parse().unwrap()
    }

    #[test]
    fn a_file_is_found_by_each_of_its_checksums_until_it_is_removed() {
        let mut catalogue = Catalogue::default();
        let (sha256, sha1, md5) = (checksum("a", 64), checksum("a", 40), checksum("a", 32));
        let record = Record { sha1: Some(sha1), md5: Some(md5), ..Record::new(sha256, RecordStatus::Suspicious) };
        catalogue.put(record.clone()).unwrap();
        for name in [sha256, sha1, md5] {
            assert_eq!(catalogue.find(&name), Some(&record));
        }

        // The verdict turns, and the new record no longer tells the MD5.
        let turned = Record { status: RecordStatus::Malicious, md5: None, ..record };
        catalogue.put(turned.clone()).unwrap();
        assert_eq!(catalogue.find(&sha1), Some(&turned));
        assert_eq!(catalogue.find(&md5), None);

        assert_eq!(catalogue.remove(&sha256), Some(turned));
        for name in [sha256, sha1, md5] {
            assert_eq!(catalogue.find(&name), None);
        }
    }
}
