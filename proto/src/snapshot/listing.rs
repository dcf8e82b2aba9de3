//! Asking a policy about a file or a source.

use doorward_policy::{Class, Listing, PackageManager, Reputation, Scope, Sha256, SourceKey, SourceRule, listing};

use super::{Policy, Record, RecordKind, RecordScope, VersionRule, source_record_key};

/// Everything a policy says of one file. Where several scopes speak, the widest counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileListing {
    /// A person denied it.
    pub denied_by_person: Option<Scope>,
    /// A person allowed it.
    pub allowed_by_person: Option<Scope>,
    /// The profile's settings allowed it.
    pub allowed_by_rule: Option<Scope>,
    /// TI calls it a threat: class and level only, the name comes with verdicts.
    pub threat: Option<Reputation>,
    /// It belongs to the unblockable closure.
    pub closure: bool,
}

impl FileListing {
    fn add(&mut self, record: &Record) {
        let scope = Some(Scope::from(record.scope()));
        match record.kind() {
            RecordKind::FileDeniedByPerson => self.denied_by_person = self.denied_by_person.max(scope),
            RecordKind::FileAllowedByPerson => self.allowed_by_person = self.allowed_by_person.max(scope),
            RecordKind::FileAllowedByRule => self.allowed_by_rule = self.allowed_by_rule.max(scope),
            RecordKind::FileThreatMalicious => self.add_threat(Class::Malicious, record.threat_level()),
            RecordKind::FileThreatSuspicious => self.add_threat(Class::Suspicious, record.threat_level()),
            RecordKind::ClosureFile => self.closure = true,
            // A file and a source never share a key: that would be a collision of SHA-256.
            RecordKind::PackageAllowed | RecordKind::PackageDenied | RecordKind::PublisherAllowed | RecordKind::PublisherDenied => {}
        }
    }

    /// The worse class counts, and within it the higher level.
    fn add_threat(&mut self, class: Class, level: Option<u8>) {
        let threat = Reputation { class, trust_factor: None, threat_level: level, threat_name: None };
        let is_worse = self.threat.as_ref().is_none_or(|known| (known.class, known.threat_level) < (class, level));
        if is_worse {
            self.threat = Some(threat);
        }
    }
}

impl Policy {
    /// What the policy says of a file; nothing at all is the default value.
    #[must_use]
    pub fn lookup_file(&self, file: &Sha256) -> FileListing {
        let mut listing = FileListing::default();
        self.records_of(file.as_bytes()).for_each(|record| listing.add(&record));
        listing
    }

    /// How the policy stands towards a package in this version.
    #[must_use]
    pub fn package(&self, manager: PackageManager, name: &str, version: &str) -> Listing {
        self.source(&SourceKey::package(manager, name), Some((manager, version)))
    }

    /// How the policy stands towards a publisher.
    #[must_use]
    pub fn publisher(&self, fingerprint: &Sha256) -> Listing {
        self.source(&SourceKey::publisher(fingerprint), None)
    }

    fn source(&self, key: &SourceKey, version: Option<(PackageManager, &str)>) -> Listing {
        let key = source_record_key(key);
        let of_all_versions = self.records_of(&key).filter_map(|record| {
            let denies = match record.kind() {
                RecordKind::PackageDenied | RecordKind::PublisherDenied => true,
                RecordKind::PackageAllowed | RecordKind::PublisherAllowed => false,
                _ => return None,
            };
            Some(SourceRule { is_global: record.scope() == RecordScope::Global, denies, versions: None })
        });
        listing(version, of_all_versions.chain(self.version_rules().of(&key).map(VersionRule::rule)))
    }
}
