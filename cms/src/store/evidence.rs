//! What hosts proved, kept once per distinct proof and named by a hash of it; and the packages and publishers it speaks of.

use std::collections::BTreeMap;

use doorward_policy::{Evidence, SourceKey};
use doorward_proto::report::Source;
use doorward_proto::snapshot::source_record_key;
use sha2::{Digest, Sha256};
use sqlx::QueryBuilder;

use super::batch::ROWS_MAX;
use super::column::json;
use super::source::{NamedSource, register};
use super::{Connection, Result};

/// First 16 bytes of the SHA-256 of the evidence's JSON.
pub(super) type EvidenceKey = [u8; 16];

/// A proof as it is kept.
#[derive(Debug, Clone)]
pub(super) struct KeptEvidence {
    pub(super) key: EvidenceKey,
    json: String,
    package: Option<[u8; 32]>,
    publisher: Option<[u8; 32]>,
}

/// Distinct proofs of one batch, with the sources they name.
#[derive(Debug, Default)]
pub(super) struct EvidenceBatch {
    proofs: BTreeMap<EvidenceKey, KeptEvidence>,
    sources: BTreeMap<[u8; 32], NamedSource>,
}

impl EvidenceBatch {
    /// Adds a proof and gives its key.
    pub(super) fn add(&mut self, evidence: &Evidence) -> EvidenceKey {
        let json = json(evidence);
        let digest = Sha256::digest(json.as_bytes());
        let key = *digest.first_chunk().expect("a SHA-256 is longer than 16 bytes");
        let package = evidence.package.clone().map(|package| self.name(package.into()));
        let publisher = evidence.publisher.clone().map(|publisher| self.name(publisher.into()));
        self.proofs.entry(key).or_insert(KeptEvidence { key, json, package, publisher });
        key
    }

    fn name(&mut self, source: Source) -> [u8; 32] {
        let source = NamedSource::from(&source);
        let key = source.key();
        self.sources.insert(key, source);
        key
    }

    /// Writes down what is not there yet.
    pub(super) async fn write(self, work: &mut Connection, now: i64) -> Result<()> {
        register(work, self.sources.into_values(), now).await?;
        let proofs: Vec<_> = self.proofs.into_values().collect();
        for chunk in proofs.chunks(ROWS_MAX) {
            let mut insert = QueryBuilder::new("INSERT INTO evidence (key, evidence, package_key, publisher_key) ");
            insert.push_values(chunk, |mut row, proof| {
                row.push_bind(proof.key.to_vec()).push_bind(&proof.json);
                row.push_bind(proof.package.map(Vec::from)).push_bind(proof.publisher.map(Vec::from));
            });
            insert.push(" ON CONFLICT (key) DO NOTHING").build().execute(&mut *work).await?;
        }
        Ok(())
    }
}

/// The key of the source in lists, records and inventories.
pub(super) fn key_of(source: &Source) -> [u8; 32] {
    source_record_key(&match source {
        Source::Package(package) => SourceKey::package(package.manager, &package.name),
        Source::Publisher(publisher) => SourceKey::publisher(&publisher.fingerprint),
    })
}

/// The keys of the package and of the publisher a proof names.
pub(super) fn keys_of(evidence: &Evidence) -> [Option<[u8; 32]>; 2] {
    let package = evidence.package.clone().map(|package| key_of(&package.into()));
    [package, evidence.publisher.clone().map(|publisher| key_of(&publisher.into()))]
}
